"""Build an image when it is missing or out of date, and remove the images that it replaces."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from ..engine import labels
from ..engine.protocol import Engine, ImageInfo
from ..engine.session_id import mark_of
from ..errors import EngineError
from ..host.certificates import host_bundle
from ..host.dirs import cache_dir
from ..host.locks import machine_lock
from ..host.resources import resource_dir
from ..reporting.output import Output
from ..text.loggers import logger_of
from ..unpatched import clock
from .context import BuildContext
from .debian import ensure_debian

__all__ = [
    "Plan",
    "build_stage",
    "common_context",
    "ensure_image",
    "find_built_image",
    "proxy_arguments",
]

_LOG = logger_of(__name__)

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
    made when it is needed. The programs of a *foreign* base are not ours: they get neither
    a network nor the variables of this machine. `authority` is the digest of the certificate
    authority that the image trusts, if it has one. `prepared` returns the image to build
    from in place of `base`.
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
    foreign: bool = False
    authority: str = ""
    prepared: Callable[[str], str] = str

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
            **({labels.CA: self.authority} if self.authority else {}),
        }


def ensure_image(engine: Engine, plan: Plan, output: Output, *, rebuild: bool) -> ImageInfo:
    """
    Return the image of *plan*. Build it if it is missing or out of date.

    Args:
        engine: the engine that builds.
        plan: the image.
        output: takes the progress.
        rebuild: whether to build the image in any case, without the engine's build cache.

    Raises:
        ImageBuildError: the build failed.
    """
    before = find_built_image(engine, plan)
    image = None if rebuild else before
    why = "rebuild" if rebuild else "up to date" if image else "no image has its key"
    _LOG.debug("%s image %s: %s", "hit" if image else "miss", plan.tag, why)
    if image is None:
        with _lock(engine, plan, output):
            image = None if rebuild else find_built_image(engine, plan)
            if image is None:
                title = f"building {plan.what}"
                image = _run_build(engine, plan, output, title, rebuild=rebuild)
                _remove_superseded(engine, plan, image)
    latest = engine.image(plan.latest)
    if latest is None or latest.id != image.id:
        engine.tag(image.id, plan.latest)
    if before is not None and before.id != image.id:
        # The old image has no tag any more. The engine keeps it if layers or containers use it.
        with suppress(EngineError):
            engine.remove_image(before.id)
    return image


def build_stage(engine: Engine, plan: Plan, stage: str, what: str, output: Output) -> None:
    """
    Build an image up to *stage*. The steps are in the engine's build cache then.

    Args:
        engine: the engine that builds.
        plan: the image.
        stage: name of a stage of its Dockerfile.
        what: name of the stage for users.
        output: takes the progress.

    Raises:
        ImageBuildError: the build failed.
    """
    with _lock(engine, plan, output):
        _run_build(engine, plan, output, f"building {what}", stage=stage)


def _lock(engine: Engine, plan: Plan, output: Output) -> AbstractContextManager[None]:
    # Several engines of one run build at the same time.
    path = cache_dir() / "locks" / f"image-{plan.kind}-{mark_of(engine)}.lock"
    return machine_lock(path, f"building {plan.what}", output.note)


def find_built_image(engine: Engine, plan: Plan) -> ImageInfo | None:
    """
    Return the image of *plan* if the engine has it and it is up to date.
    """
    image = engine.image(plan.tag)
    if image is not None and image.labels.get(labels.KEY) == plan.key:
        return image
    return None


def _run_build(
    engine: Engine,
    plan: Plan,
    output: Output,
    title: str,
    *,
    stage: str = "",
    rebuild: bool = False,
) -> ImageInfo:
    base = plan.base or ensure_debian(engine, output, refresh=rebuild).id

    def on_line(line: str) -> None:
        # The other steps are short.
        show = output.note if _LONG_STEP.match(line) else output.detail
        show(line)

    with output.step(title) as step, plan.context.open() as archive:
        prepared = plan.prepared(base)
        return engine.build(
            archive,
            dockerfile=plan.dockerfile,
            # A stage is a step on the way, and an image with a label would be one more.
            tag="" if stage else plan.tag,
            labels={} if stage else plan.labels(base),
            args={"BASE": prepared, **({} if plan.foreign else proxy_arguments(os.environ))},
            on_line=on_line,
            on_advance=step.advance,
            target=stage,
            no_cache=rebuild,
            offline=plan.foreign,
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
        if clock.wall_time() - labels.created(one.labels) < _SUPERSEDED_AGE:
            continue
        for tag in one.tags:
            if tag.rpartition(":")[0].endswith(plan.repository):
                # A container uses the image. A later build removes it.
                with suppress(EngineError):
                    engine.remove_image(tag)


def common_context(flavour: str) -> BuildContext:
    dockerfiles = resource_dir("dockerfiles")
    context = BuildContext()
    context.add_tree(dockerfiles / "common", "common")
    context.add_tree(dockerfiles / flavour, flavour, lambda path: path.suffix != ".in")
    # The certificates that this machine trusts during a build do not change the image.
    context.add_unkeyed("host-ca.pem", lambda: host_bundle())
    return context


def proxy_arguments(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the proxy variables of *environment* as build arguments.
    """
    # Engines know these names: the values reach the commands of the build, but not the image.
    names = [spelled for name in _PROXY_VARIABLES for spelled in (name, name.lower())]
    return {name: environment[name] for name in names if environment.get(name)}
