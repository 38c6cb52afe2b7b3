"""The images of workspaces and of the proxy, built only if missing or out of date."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import labels
from .build_context import BuildContext
from .codex import IMAGE, PROXY_IMAGE, UNIVERSAL
from .engine.protocol import Engine, ImageInfo
from .errors import EngineError, ImageBuildError
from .locks import machine_lock
from .output import Output
from .resources import package_dir, resource_dir
from .rootfs import DEBIAN, ensure_debian
from .trust import ca_certificate as certificate_of
from .trust import cache_dir, host_bundle

__all__ = [
    "IMAGE",
    "PROXY_IMAGE",
    "UNIVERSAL",
    "Plan",
    "base_identity",
    "base_plan",
    "ensure_base_image",
    "ensure_proxy_image",
    "find_base_image",
    "proxy_arguments",
    "proxy_plan",
    "reference_of",
]

_CHOICE = "io.codex-workspace.choice"
_BASE = "io.codex-workspace.base"

_SUPERSEDED_AGE = 24 * 3600.0
"""Seconds for which a superseded image is kept."""

_LONG_STEP = re.compile(r"step \d+/\d+ ?: run ", re.IGNORECASE)

_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The description of an image to build.

    `base` is the image to build from; `None` stands for Debian, which is pulled or
    made when it is needed.
    """

    what: str
    kind: str
    choice: str
    repository: str
    prefix: str
    dockerfile: str
    context: BuildContext
    key: str
    base: str | None = None

    @property
    def tag(self) -> str:
        return f"{self.repository}:{self.prefix}{self.key[:12]}"

    @property
    def latest(self) -> str:
        return f"{self.repository}:latest"

    def labels(self, base: str) -> dict[str, str]:
        """
        Return the labels of the image when it is built from *base*.
        """
        return {
            labels.KIND: self.kind,
            labels.KEY: self.key,
            labels.CREATED: labels.now(),
            _CHOICE: self.choice,
            _BASE: base,
        }


def ensure_proxy_image(engine: Engine, *, output: Output, anew: bool = False) -> ImageInfo:
    """
    Return the image of the proxy and of the network holders. Build it if necessary.

    Args:
        engine: the engine that has or builds the image.
        output: takes the progress.
        anew: build the image even if it exists, and without the build cache.

    Raises:
        ImageBuildError: the build failed. The text has the failed step and the
            end of its output.
    """
    return _ensure(engine, proxy_plan(), output, anew=anew)


def proxy_plan() -> Plan:
    """
    Return the description of the proxy image.
    """
    context = _common_context("proxy")
    package = package_dir()
    context.add_tree(resource_dir("proxy_addons"), "app/proxy_addons")
    context.add("app/holder.py", _read(package / "agent" / "holder.py"))
    # The addons judge requests by the package's own rules. Only the rules are copied.
    context.add("app/pytest_codex_workspace/__init__.py", b"")
    context.add("app/pytest_codex_workspace/network/__init__.py", b"")
    for module in ("policy.py", "fields.py", "hosts.py", "upstream.py", "cassette.py", "text.py"):
        path = f"app/pytest_codex_workspace/network/{module}"
        context.add(path, _read(package / "network" / module))
    return Plan(
        what="the proxy image",
        kind="proxy",
        choice="proxy",
        repository=PROXY_IMAGE,
        prefix="",
        dockerfile="proxy/Dockerfile",
        context=context,
        key=context.key(base=DEBIAN),
    )


def ensure_base_image(
    engine: Engine, choice: str, *, ca_certificate: bytes, output: Output, anew: bool = False
) -> ImageInfo:
    """
    Return the image that workspaces start from. Build it if necessary.

    Args:
        engine: the engine that has or builds the image.
        choice: `universal`, `slim`, or the reference of any image.
        ca_certificate: the CA certificate of the proxy in PEM form, which the image trusts.
        output: takes the progress.
        anew: build the image even if it exists, and without the build cache.

    Raises:
        ImageBuildError: the build failed, or *choice* names an image that is
            not on the engine and cannot be pulled.
    """
    plan = base_plan(engine, choice, ca_certificate=ca_certificate, output=output)
    return _ensure(engine, plan, output, anew=anew)


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
    return _built(engine, base_plan(engine, choice, ca_certificate=ca_certificate, output=output))


def reference_of(choice: str) -> str | None:
    """
    Return the image that a base image is built from; `None` for slim, which is
    built from Debian.
    """
    return {"slim": None, "universal": f"{UNIVERSAL}:latest"}.get(choice, choice)


def base_plan(engine: Engine, choice: str, *, ca_certificate: bytes, output: Output) -> Plan:
    """
    Return the description of the base image. The arguments are those of
    `ensure_base_image`.

    Raises:
        ImageBuildError: *choice* names an image that is not on the engine and
            cannot be pulled.
    """
    flavour, context, base = _inputs(engine, choice, output)
    context.add("ca.crt", certificate_of(ca_certificate))
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


def _inputs(engine: Engine, choice: str, output: Output) -> tuple[str, BuildContext, str | None]:
    flavour = choice if choice in ("slim", "universal") else "custom"
    context = _common_context(flavour)
    context.add_tree(package_dir() / "agent", "agent", _runs_in_workspace)
    base = None
    if flavour == "universal":
        base = _universal(engine, output)
    elif flavour == "custom":
        base = _custom(engine, choice, output)
    return flavour, context, base


def _ensure(engine: Engine, plan: Plan, output: Output, *, anew: bool) -> ImageInfo:
    before = _built(engine, plan)
    image = None if anew else before
    if image is None:
        # One lock for all images: two builds at a time would each make the root file system.
        with machine_lock(cache_dir() / "images.lock", f"building {plan.what}", output.note):
            image = None if anew else _built(engine, plan)
            if image is None:
                image = _build(engine, plan, output, anew=anew)
                _remove_superseded(engine, plan, image)
    latest = engine.image(plan.latest)
    if latest is None or latest.id != image.id:
        engine.tag(image.id, plan.latest)
    if before is not None and before.id != image.id:
        # The old image has no tag any more. The engine keeps it if layers or containers use it.
        with suppress(EngineError):
            engine.remove_image(before.id)
    return image


def _built(engine: Engine, plan: Plan) -> ImageInfo | None:
    image = engine.image(plan.tag)
    if image is not None and image.labels.get(labels.KEY) == plan.key:
        return image
    return None


def _build(engine: Engine, plan: Plan, output: Output, *, anew: bool) -> ImageInfo:
    base = plan.base or ensure_debian(engine, output).id

    def on_line(line: str) -> None:
        # The other steps are short.
        show = output.note if _LONG_STEP.match(line) else output.detail
        show(line)

    with output.step(f"building {plan.what}") as step, plan.context.open() as archive:
        return engine.build(
            archive,
            dockerfile=plan.dockerfile,
            tag=plan.tag,
            labels=plan.labels(base),
            args={"BASE": base, **proxy_arguments(os.environ)},
            on_line=on_line,
            on_advance=step.advance,
            anew=anew,
        )


def _remove_superseded(engine: Engine, plan: Plan, image: ImageInfo) -> None:
    """
    Remove older images of the same choice, except the previous image and those of the last
    day: checkouts that are used alternately must not rebuild the image each time.
    """
    older = [
        one
        for one in engine.images({labels.KIND: plan.kind, _CHOICE: plan.choice})
        if one.id != image.id
    ]
    older.sort(key=lambda one: labels.created(one.labels), reverse=True)
    for one in older[1:]:
        if time.time() - labels.created(one.labels) < _SUPERSEDED_AGE:
            continue
        for tag in one.tags:
            if tag.rpartition(":")[0].endswith(plan.repository):
                # A container uses the image. A later build removes it.
                with suppress(EngineError):
                    engine.remove_image(tag)


def _common_context(flavour: str) -> BuildContext:
    dockerfiles = resource_dir("dockerfiles")
    context = BuildContext()
    # list_runtimes.sh runs in finished images and is part of none.
    context.add_tree(dockerfiles / "common", "common", lambda path: path.name != "list_runtimes.sh")
    context.add_tree(dockerfiles / flavour, flavour, lambda path: path.suffix != ".in")
    # The certificates that this machine trusts during a build do not change the image.
    context.add("host-ca.pem", host_bundle(), keyed=False)
    return context


def _runs_in_workspace(path: Path) -> bool:
    # Compose mounts entry.py, so that setup scripts cannot change it.
    return path.suffix == ".py" and path.name not in ("holder.py", "entry.py")


def _universal(engine: Engine, output: Output) -> str:
    """
    Return Codex's image, by digest if the engine knows the digest, so that the build
    uses the image that was inspected.
    """
    image = _find_or_pull(
        engine,
        f"{UNIVERSAL}:latest",
        output,
        "use `--codex-image=slim`, which needs no registry, or add the image with `docker load`",
    )
    pinned = (one for one in image.digests if one.startswith(f"{UNIVERSAL}@"))
    return next(pinned, image.id)


def _custom(engine: Engine, choice: str, output: Output) -> str:
    image = _find_or_pull(
        engine,
        choice,
        output,
        "check the name, build or `docker pull` the image first, or use `--codex-image=slim`",
    )
    return image.id


def _find_or_pull(engine: Engine, reference: str, output: Output, advice: str) -> ImageInfo:
    try:
        image = engine.image(reference)
        if image is not None:
            return image
        with output.step(f"pulling {reference}") as step:
            return engine.pull(reference, output.detail, on_advance=step.advance)
    except EngineError as error:
        raise ImageBuildError(
            f"the base image {reference} is not on the engine and cannot be pulled: {advice}\n"
            f"{error}"
        ) from None


def proxy_arguments(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the proxy variables of *environment* as build arguments.
    """
    # Engines know these names: the values reach the commands of the build, but not the image.
    names = [spelled for name in _PROXY_VARIABLES for spelled in (name, name.lower())]
    return {name: environment[name] for name in names if environment.get(name)}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageBuildError(
            f"{path} is part of the proxy image and cannot be read: {error.strerror}; "
            "reinstall pytest-codex-workspace"
        ) from None
