"""The image that workspaces start from, built only if it is missing or out of date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from ..codex import IMAGE, UNIVERSAL
from ..engine.protocol import Engine, ImageInfo
from ..errors import EngineError, ImageBuildError
from ..host.certificates import authority_digest
from ..host.certificates import ca_certificate as certificate_of
from ..host.resources import package_dir
from ..network.isolation import Isolation
from ..reporting.output import Output
from ..text.option_names import spell_option
from ..text.phrases import did_you_mean
from .build import Plan, build_stage, common_context, ensure_image, find_built_image
from .context import BuildContext
from .debian import DEBIAN
from .foreign import check_foreign, with_tools
from .freshness import newest, pull_shown, tell_of_newer

__all__ = [
    "base_identity",
    "base_plan",
    "build_runtimes",
    "ensure_base_image",
    "find_base_image",
    "named_plan",
    "reference_of",
]


def ensure_base_image(
    engine: Engine,
    choice: str,
    *,
    ca_certificate: bytes,
    output: Output,
    rebuild: bool = False,
    isolation: Callable[[], Isolation] | None = None,
) -> ImageInfo:
    """
    Return the image that workspaces start from. Build it if necessary.

    Args:
        engine: the engine that has or builds the image.
        choice: `universal`, `slim`, or the reference of any image.
        ca_certificate: the CA certificate of the proxy in PEM form, which the image trusts.
        output: takes the progress.
        rebuild: build the image even if it exists, without the build cache, and from the
            newest image that the registry has under the name of its base.
        isolation: opens the network in which an image of the user gets the tools that it
            lacks; without it, such an image is an error.

    Raises:
        ImageBuildError: the build failed, or *choice* names an image that is
            not on the engine and cannot be pulled.
    """
    plan = base_plan(engine, choice, ca_certificate=ca_certificate, output=output, refresh=rebuild)
    if isolation is not None and _flavour(choice) == "custom":
        opened = isolation
        plan = replace(plan, prepared=lambda base: with_tools(engine, opened, base, output))
    return ensure_image(engine, plan, output, rebuild=rebuild)


def build_runtimes(engine: Engine, *, output: Output) -> None:
    """
    Build the part of the slim image that takes minutes into the engine's build cache. It does
    not contain the proxy's certificate, so it can be built before there is a proxy.

    Args:
        engine: the engine that builds.
        output: takes the progress.

    Raises:
        ImageBuildError: the build failed.
    """
    plan = _plan("slim", *_inputs(engine, "slim", output))
    build_stage(engine, plan, "runtimes", "the runtimes of the workspace image (slim)", output)


def find_base_image(
    engine: Engine, choice: str, *, ca_certificate: bytes, output: Output
) -> ImageInfo | None:
    """
    Return the image that `ensure_base_image` would return without a build or a pull;
    `None` if there is none.
    """
    reference = reference_of(choice)
    if reference is not None and engine.image(reference) is None:
        return None
    return find_built_image(
        engine, base_plan(engine, choice, ca_certificate=ca_certificate, output=output)
    )


def reference_of(choice: str) -> str | None:
    """
    Return the image that a base image is built from; `None` for slim, which is
    built from Debian.
    """
    return {"slim": None, "universal": f"{UNIVERSAL}:latest"}.get(choice, choice)


def base_plan(
    engine: Engine, choice: str, *, ca_certificate: bytes, output: Output, refresh: bool = False
) -> Plan:
    """
    Return the description of the base image. The arguments are those of
    `ensure_base_image`; *refresh* is its *rebuild*.

    Raises:
        ImageBuildError: *choice* names an image that is not on the engine and
            cannot be pulled.
    """
    flavour, context, base = _inputs(engine, choice, output, refresh=refresh)
    return _plan(choice, flavour, context, base, ca_certificate)


def named_plan(engine: Engine | None, choice: str, *, ca_certificate: bytes) -> Plan:
    """
    Return the description of the base image without a pull, for whoever builds it elsewhere. Its
    base is the image that the engine has, if there is one, and a name otherwise.
    """
    flavour = _flavour(choice)
    context = _packaged(flavour).copy()
    base = reference = reference_of(choice)
    if reference is not None and engine is not None:
        image = engine.image(reference)
        base = reference if image is None else _pinned(image)
    return _plan(choice, flavour, context, base, ca_certificate)


def _plan(
    choice: str,
    flavour: str,
    context: BuildContext,
    base: str | None,
    ca_certificate: bytes | None = None,
) -> Plan:
    authority = ""
    if ca_certificate is not None:
        certificate = certificate_of(ca_certificate)
        context.add("ca.crt", certificate)
        authority = authority_digest(certificate)
    return Plan(
        what=f"the workspace image ({choice})",
        kind="base",
        choice=choice,
        repository=IMAGE,
        prefix="base-",
        dockerfile=f"{flavour}/Dockerfile",
        context=context,
        key=context.key(base=base or DEBIAN),
        base=base,
        foreign=base is not None,
        authority=authority,
    )


def base_identity(engine: Engine, choice: str, *, output: Output) -> str:
    """
    Return a digest of the inputs of the base image. Unlike the image's id, the digest
    is the same on every machine and known before the build. This machine's
    certificate is not part of it.

    Raises:
        ImageBuildError: *choice* names an image that is not on the engine and
            cannot be pulled.
    """
    _, context, base = _inputs(engine, choice, output)
    return context.key(base=base or DEBIAN)


def _inputs(
    engine: Engine, choice: str, output: Output, *, refresh: bool = False
) -> tuple[str, BuildContext, str | None]:
    flavour = _flavour(choice)
    context = _packaged(flavour).copy()
    base = None
    if flavour == "universal":
        base = _universal(engine, output, refresh=refresh)
    elif flavour == "custom":
        base = _custom(engine, choice, output, refresh=refresh)
    return flavour, context, base


def _flavour(choice: str) -> str:
    return choice if choice in ("slim", "universal") else "custom"


@cache
def _packaged(flavour: str) -> BuildContext:
    context = common_context(flavour)
    context.add_tree(package_dir() / "in_container", "in_container", _runs_in_workspace)
    return context


def _runs_in_workspace(path: Path) -> bool:
    # Compose mounts its entry, so that setup scripts cannot change it. The host sends programs
    # that look around when they are needed.
    return path.name in ("__init__.py", "apply_projection.py", "workspace_agent.py")


def _universal(engine: Engine, output: Output, *, refresh: bool) -> str:
    """
    Return Codex's image, by digest if the engine knows the digest, so that the build
    uses the image that was inspected.
    """
    image = _find_or_pull(
        engine,
        f"{UNIVERSAL}:latest",
        output,
        f"use {spell_option('image', 'slim')}, which needs no registry, or add the image with "
        "`docker load`",
        refresh=refresh,
    )
    check_foreign(image, f"{UNIVERSAL}:latest")
    return _pinned(image)


def _pinned(image: ImageInfo) -> str:
    pinned = (one for one in image.digests if one.startswith(f"{UNIVERSAL}@"))
    return next(pinned, image.id)


def _custom(engine: Engine, choice: str, output: Output, *, refresh: bool) -> str:
    image = _find_or_pull(
        engine,
        choice,
        output,
        "check the name, build or `docker pull` the image first, or use "
        f"{spell_option('image', 'slim')}{did_you_mean(choice, ('slim', 'universal'))}",
        refresh=refresh,
    )
    check_foreign(image, choice)
    return image.id


def _find_or_pull(
    engine: Engine, reference: str, output: Output, advice: str, *, refresh: bool
) -> ImageInfo:
    try:
        image = engine.image(reference)
        if image is not None and refresh:
            return newest(engine, reference, image, output)
        if image is not None:
            tell_of_newer(engine, reference, image, output)
            return image
        return pull_shown(engine, reference, output)
    except EngineError as error:
        raise ImageBuildError(
            f"the base image {reference} is not on the engine and cannot be pulled: {advice}\n"
            f"{error}"
        ) from None
