"""What the key of each layer is made of: layers with equal parts are the same, on every machine.

`images.content_key.key_of` makes the key of the parts.
"""

from __future__ import annotations

from ..images.content_key import Hidden
from .spec import WorkspaceSpec

__all__ = ["clean_parts", "ready_parts", "setup_parts"]


def clean_parts(
    spec: WorkspaceSpec, *, base: str, platform: str, authority: str
) -> dict[str, object]:
    """
    Return everything that goes into a clean layer, by name.

    Args:
        spec: what the layer is made of.
        base: `base.base_identity` of the base image.
        platform: of the engine.
        authority: digest of the certificate authority that the layer trusts.
    """
    snapshot = spec.snapshot
    return {
        "base": base,
        "platform": platform,
        "authority": authority,
        "repository": snapshot.identity,
        "name": snapshot.name,
        "head": snapshot.head,
        "submodules": len(snapshot.submodules),
        "runtimes": {
            name: value for name, value in spec.variables.items() if name.startswith("CODEX_ENV_")
        },
        **_profile(spec),
    }


def setup_parts(spec: WorkspaceSpec, *, base: str, platform: str) -> dict[str, object]:
    """
    Return everything that goes into a setup image, by name.

    This machine's certificate authority is no part of it: whoever starts an
    image from elsewhere gives it the right certificate.

    Args:
        spec: what the image is made of.
        base: `base.base_identity` of the base image.
        platform: of the engine.

    Raises:
        SecretError: a secret is not set.
    """
    snapshot, secrets = spec.snapshot, spec.secrets
    return {
        "base": base,
        "platform": platform,
        "repository": snapshot.identity,
        "name": snapshot.name,
        "scripts": snapshot.scripts_tree,
        # Whether the commit has any is no part of it: a branch without them uses the same setup.
        "submodules": not snapshot.skips_submodules,
        "environment": spec.variables,
        "policy": spec.setup_policy.to_dict(),
        # As a mapping, of which labels get a digest: a path is not for others to know.
        **({"scope": {"name": spec.scope}} if spec.scope else {}),
        **_profile(spec),
        **({"cassette": spec.setup_cassette_digest} if spec.setup_cassette_digest else {}),
        # A layer is public to whoever reads its labels; a digest could be guessed at.
        **({"secrets": list(secrets.names)} if secrets.names else {}),
        **({"secret values": Hidden(secrets.digest(snapshot.identity))} if secrets.names else {}),
    }


def _profile(spec: WorkspaceSpec) -> dict[str, object]:
    """
    Return what the profile adds. The seed adds nothing: keys are those from before profiles.
    """
    return {} if spec.profile.name == "seed" else {"profile": spec.profile.name}


def ready_parts(spec: WorkspaceSpec, *, setup: str, authority: str) -> dict[str, object]:
    """
    Return everything that goes into a ready layer, by name.

    Args:
        spec: what the layer is made of.
        setup: id of the setup image below.
        authority: digest of the certificate authority that the layer trusts.
    """
    return {"setup": setup, "head": spec.snapshot.head, "authority": authority}
