"""Checks of what workspaces start from."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping

from .. import labels, trust
from ..asking import ask
from ..codex import RUNTIMES, SELECT_RUNTIMES, defaulted_runtimes, workspace_environment
from ..engine.protocol import Engine, ImageInfo
from ..errors import EngineError
from ..images import find_base_image, reference_of
from ..output import Output
from ..quantities import show_duration
from ..rootfs import DEBIAN, ROOTFS
from .network import PATIENCE
from .results import Result, error, ok, warning

__all__ = ["image", "runtimes"]

_ABSENT = "codex-workspace: absent"
_ENDED = "codex-workspace: ended with "
_RUN = f"""exec </dev/null
if [ -e {SELECT_RUNTIMES} ]; then {SELECT_RUNTIMES}; else echo '{_ABSENT}'; fi
echo "{_ENDED}$?"
"""


def base_image(engine: Engine, choice: str) -> ImageInfo | None:
    """
    The workspace image, if it is built and up to date.
    """
    authority = trust.load_ca()
    if authority is None:
        return None
    quiet = Output("quiet", lambda _: None)
    return find_base_image(engine, choice, ca_certificate=authority, output=quiet)


def image(engine: Engine, choice: str) -> Result:
    """
    Whether the workspace image is there, or can be built. Nothing is pulled.
    """
    built = base_image(engine, choice)
    if built is not None:
        age = show_duration(time.time() - labels.created(built.labels))
        return ok(f"{choice}: built {age} ago")
    reference = reference_of(choice)
    if reference is None:
        return _debian(engine)
    if engine.image(reference) is not None:
        return ok(f"{choice}: image present ({reference}); the first run builds from it")
    if engine.version()["name"] == "podman":
        return warning(
            f"{choice}: {reference} is not on the engine, and Podman does not tell whether it can "
            "be pulled",
            f"`podman pull {reference}` tells; --image=slim needs no container registry.",
        )
    try:
        engine.registry_digest(reference, PATIENCE)
    except EngineError as problem:
        return error(
            f"{choice}: {reference} is not on the engine, and cannot be pulled: {_reason(problem)}",
            "Take --image=slim, which needs no container registry; or bring the image with "
            "`docker pull` or `docker load`.",
        )
    return ok(f"{choice}: not here yet; the first run pulls {reference}")


def _debian(engine: Engine) -> Result:
    for reference in (DEBIAN, ROOTFS):
        if engine.image(reference) is not None:
            return ok(f"slim: image present ({reference}); the first run builds from it")
    if shutil.which("mmdebstrap"):
        return ok("slim: not here yet; the first run makes it with mmdebstrap, if it must")
    try:
        engine.registry_digest(DEBIAN, PATIENCE)
    except EngineError as problem:
        return error(
            f"slim: {DEBIAN} is not on the engine, and cannot be pulled: {_reason(problem)}",
            "Install mmdebstrap and debian-archive-keyring, which make it without a registry.",
        )
    return ok(f"slim: not here yet; the first run pulls {DEBIAN}")


def _reason(problem: EngineError) -> str:
    first = str(problem).splitlines()[0]
    return first.partition(" in its registry: ")[2] or first


def runtimes(engine: Engine, choice: str, env: Mapping[str, str]) -> Result:
    """
    Whether the image has the runtimes that `CODEX_ENV_*_VERSION` ask for. It
    is asked itself, in a container that lives for a moment.
    """
    result = _selected(engine, choice, env)
    unknown = [name for name in env if name.startswith("CODEX_ENV_") and name not in _VARIABLES]
    if not unknown or result.status == "error":
        return result
    return warning(
        f"{', '.join(unknown)}: there is no such runtime", f"There are {', '.join(_VARIABLES)}."
    )


def _selected(engine: Engine, choice: str, env: Mapping[str, str]) -> Result:
    built = base_image(engine, choice)
    if built is None:
        return ok("CODEX_ENV_*_VERSION are checked once the workspace image is built")
    said, complaints = _ask(engine, built.id, env)
    said, _, code = said.rpartition(_ENDED)
    if code.strip() != "0":
        # Without a code it has not even come to its end.
        return error(
            complaints.strip()
            or f"{SELECT_RUNTIMES} failed in the image {choice}:\n{said.strip()}",
            "Choose another version with --env, or another image with --image.",
        )
    said = said.strip()
    if said == _ABSENT:
        return ok(f"{choice} has no choice of runtimes: CODEX_ENV_*_VERSION are only set")
    if choice == "slim" and said:
        return warning(said, "Where that matters, take --image=universal.")
    return ok("the image has what CODEX_ENV_*_VERSION ask for")


_VARIABLES = tuple(f"CODEX_ENV_{name}_VERSION" for name in RUNTIMES)


def _ask(engine: Engine, image_id: str, env: Mapping[str, str]) -> tuple[str, str]:
    """
    What the selection of runtimes prints, to either output.
    """
    wanted = {k: v for k, v in workspace_environment(env).items() if k in _VARIABLES}
    variables = {**wanted, "CODEX_ENV_DEFAULTED": defaulted_runtimes(env)}
    return ask(engine, image_id, _RUN, variables, purpose="doctor")
