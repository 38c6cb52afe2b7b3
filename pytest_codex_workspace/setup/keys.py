"""What the key of each layer is made of: layers with equal parts are the same, on every machine.

`images.content_key.key_of` makes the key of the parts.
"""

from __future__ import annotations

import hashlib

from ..images.content_key import Hidden
from ..projection.repository import RepositorySnapshot
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
        **_git(spec),
        **_tags(snapshot),
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
        **_scripts(spec),
        # Whether the commit has any is no part of it: a branch without them uses the same setup.
        "submodules": not snapshot.skips_submodules,
        **_git(spec),
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


def _scripts(spec: WorkspaceSpec) -> dict[str, object]:
    """
    Return what the key has of the scripts. Of both, because Codex makes its cache again after a
    change of the maintenance script, too.
    """
    snapshot = spec.snapshot
    given = {"setup script": spec.given.setup, "maintenance script": spec.given.maintenance}
    if spec.given.setup:
        found: dict[str, object] = {}
    else:
        linked = {"linked scripts": snapshot.linked_scripts} if snapshot.linked_scripts else {}
        found = {"scripts": snapshot.scripts_tree, **linked}
    texts = {
        name: hashlib.sha256(one.text).hexdigest() for name, one in given.items() if one is not None
    }
    return {**found, **texts}


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
    snapshot = spec.snapshot
    return {
        "setup": setup,
        "head": snapshot.head,
        "authority": authority,
        **_tags(snapshot),
    }


def _git(spec: WorkspaceSpec) -> dict[str, object]:
    """
    Return what is projected of git's history; nothing where that is the usual.
    """
    found = {"tags": spec.snapshot.tags is not None, "depth": spec.snapshot.depth}
    return {f"git {name}": value for name, value in found.items() if value}


def _tags(snapshot: RepositorySnapshot) -> dict[str, object]:
    """
    Return a digest of the tags, which change while the commit does not.
    """
    if not snapshot.tags:
        return {}
    listed = "".join(f"{one.id} {one.name}\0" for one in snapshot.tags)
    return {"tags": hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()}
