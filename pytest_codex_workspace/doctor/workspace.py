"""Checks of the image that workspaces start from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from ..codex import INSIDE, RUNTIMES, SELECT_RUNTIMES, defaulted_runtimes, workspace_environment
from ..engine import labels
from ..engine.protocol import Engine, ImageInfo
from ..errors import EngineError
from ..host import certificates
from ..images.base import find_base_image, reference_of
from ..images.debian import DEBIAN, ROOTFS
from ..images.run_once import run_once
from ..options.profiles import SEED, Profile, runtime_variables
from ..reporting.output import Output
from ..text.units import show_duration
from ..unpatched import clock
from .network import TIMEOUT
from .result import Result, error, ok, warning

__all__ = ["image", "runtimes"]

_ABSENT = "codex-workspace: absent"
_ENDED = "codex-workspace: ended with "
_RUN = f"""exec </dev/null
if [ -e {INSIDE}/setup_universal.sh ]; then {SELECT_RUNTIMES}; else echo '{_ABSENT}'; fi
echo "{_ENDED}$?"
"""


def base_image(engine: Engine, choice: str) -> ImageInfo | None:
    """
    Return the workspace image, if it is built and up to date.
    """
    authority = certificates.load_ca()
    if authority is None:
        return None
    quiet = Output("quiet", lambda _: None)
    return find_base_image(engine, choice, ca_certificate=authority, output=quiet)


def image(engine: Engine, choice: str) -> Result:
    """
    Check that the workspace image exists or can be built, without pulling anything.
    """
    built = base_image(engine, choice)
    if built is not None:
        age = show_duration(clock.wall_time() - labels.created(built.labels))
        return ok(f"{choice}: built {age} ago")
    reference = reference_of(choice)
    if reference is None:
        return _debian(engine)
    if engine.image(reference) is not None:
        return ok(f"{choice}: not built yet; the first run builds on {reference} (present)")
    if not engine.looks_up_digests:
        return _unknown(engine, choice, reference)
    try:
        engine.registry_digest(reference, TIMEOUT)
    except EngineError as problem:
        return error(
            f"{choice}: {reference} is not on the engine, and cannot be pulled: {_reason(problem)}",
            "Use --image=slim, which needs no container registry, log in to the registry, or load "
            "the image from an archive.",
        )
    return ok(f"{choice}: not built yet; the first run pulls {reference}")


def _debian(engine: Engine) -> Result:
    for reference in (DEBIAN, ROOTFS):
        if engine.image(reference) is not None:
            return ok(f"slim: not built yet; the first run builds on {reference} (present)")
    if shutil.which("mmdebstrap"):
        return ok("slim: not built yet; the first run uses mmdebstrap if it cannot pull")
    if not engine.looks_up_digests:
        return _unknown(engine, "slim", DEBIAN)
    try:
        engine.registry_digest(DEBIAN, TIMEOUT)
    except EngineError as problem:
        return error(
            f"slim: {DEBIAN} is not on the engine, and cannot be pulled: {_reason(problem)}",
            "Install mmdebstrap and debian-archive-keyring, which build it without a registry.",
        )
    return ok(f"slim: not built yet; the first run pulls {DEBIAN}")


def _unknown(engine: Engine, choice: str, reference: str) -> Result:
    name = engine.version()["name"]
    other = (
        "install mmdebstrap and debian-archive-keyring, which build it without a registry."
        if choice == "slim"
        else "use --image=slim, which needs no registry."
    )
    return warning(
        f"{choice}: {reference} is not on the engine, and {name} does not report whether it "
        "can be pulled",
        f"Try `{name} pull {reference}`, or {other}",
    )


def _reason(problem: EngineError) -> str:
    first = str(problem).splitlines()[0]
    return first.partition(" in its registry: ")[2] or first


def runtimes(
    engine: Engine, choice: str, env: Mapping[str, str], profile: Profile = SEED
) -> Result:
    """
    Check that the image has the runtimes that `CODEX_ENV_*_VERSION` select, by
    running its own selection in a temporary container.
    """
    result = _selected(engine, choice, env, profile)
    unknown = [name for name in env if name.startswith("CODEX_ENV_") and name not in _VARIABLES]
    if not unknown or result.status == "error":
        return result
    return warning(f"no such runtime: {', '.join(unknown)}", f"Use one of {', '.join(_VARIABLES)}.")


def _selected(engine: Engine, choice: str, env: Mapping[str, str], profile: Profile) -> Result:
    built = base_image(engine, choice)
    if built is None:
        return ok("not checked: the workspace image is not built yet")
    output, errors = _run_selection(engine, built.id, env, profile)
    output, _, code = output.rpartition(_ENDED)
    if code.strip() != "0":
        # Without a code, the selection was killed.
        return error(
            errors.strip() or f"{SELECT_RUNTIMES} failed in the image {choice}:\n{output.strip()}",
            "Select another version with --env, or another image with --image.",
        )
    output = output.strip()
    if output == _ABSENT:
        return ok(f"{choice} cannot select runtimes: CODEX_ENV_*_VERSION have no effect")
    if choice == "slim" and output:
        return warning(output, "If you need these versions, use --image=universal.")
    return ok("the image has the selected versions")


_VARIABLES = tuple(f"CODEX_ENV_{name}_VERSION" for name in RUNTIMES)


def _run_selection(
    engine: Engine, image_id: str, env: Mapping[str, str], profile: Profile
) -> tuple[str, str]:
    """
    Select runtimes in a container of the image, and return standard output and error.
    """
    every = workspace_environment({**runtime_variables(profile), **env})
    wanted = {k: v for k, v in every.items() if k in _VARIABLES}
    variables = {**wanted, "CODEX_ENV_DEFAULTED": defaulted_runtimes(env)}
    return run_once(engine, image_id, _RUN, variables, purpose="doctor")
