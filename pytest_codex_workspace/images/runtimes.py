"""The language runtimes of an image, as a script in the image reports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..codex import RUNTIMES
from ..engine.protocol import Engine
from ..errors import EngineError
from ..host.resources import resource_dir
from .run_once import run_once

__all__ = ["Offer", "Runtime", "offered_runtimes"]

_MARK = "codex-runtime:"
"""The beginning of each line that dockerfiles/runtimes/list_runtimes.sh prints."""

OfferSource = Literal["listed", "found", "none"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """
    One language of an image.

    Attributes:
        name: name of the language in lower case.
        versions: versions in the image.
        default: Codex's version.
        choosable: whether `variable` chooses one of the versions.
    """

    name: str
    versions: tuple[str, ...]
    default: str
    choosable: bool

    @property
    def variable(self) -> str:
        """
        The variable that chooses a version.
        """
        return f"CODEX_ENV_{self.name.upper()}_VERSION"

    @property
    def has_default(self) -> bool:
        """
        Whether a version matches Codex's version in all digits of the latter.
        """
        return any(f"{one}.".startswith(f"{self.default}.") for one in self.versions)


@dataclass(frozen=True, slots=True)
class Offer:
    """
    The runtimes of an image, and their source: a list in the image (`listed`), the
    directories of its version managers (`found`), or only its PATH, without a
    choice (`none`).
    """

    source: OfferSource
    runtimes: tuple[Runtime, ...]


def offered_runtimes(engine: Engine, image_id: str) -> Offer:
    """
    Return the runtimes of an image, as reported by a script that runs in the image.

    Raises:
        EngineError: the script ended too early.
    """
    script = (resource_dir("dockerfiles") / "runtimes" / "list_runtimes.sh").read_text("utf-8")
    printed, _ = run_once(engine, image_id, script, {}, purpose="runtimes")
    rows = [line.split()[1:] for line in printed.splitlines() if line.startswith(_MARK)]
    if ["end", "-", "-"] not in rows:
        raise EngineError(
            f"the image {image_id[:19]} does not report its runtimes: a bash login shell in the "
            "image ended too early; check that `bash --login` works there"
        )
    # The row of a missing program has no version.
    reported = [(row[0], row[1].upper(), _plain(row[2])) for row in rows if len(row) == 3]
    kinds = {kind for kind, _, _ in reported}
    source: OfferSource = "listed" if "listed" in kinds else "found" if "read" in kinds else "none"
    read = {name for kind, name, _ in reported if kind == "read"}
    runtimes = []
    for name, default in RUNTIMES.items():
        managed = _versions(reported, name, source)
        versions = managed or _versions(reported, name, "path")
        choosable = bool(managed) if source == "listed" else name in read
        runtimes.append(Runtime(name.lower(), versions, default, choosable))
    return Offer(source, tuple(runtimes))


def _versions(reported: list[tuple[str, str, str]], name: str, kind: str) -> tuple[str, ...]:
    found = [version for one, language, version in reported if (one, language) == (kind, name)]
    return tuple(sorted(dict.fromkeys(found), key=_digits))


def _digits(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def _plain(version: str) -> str:
    """
    Normalise a version manager's name of a version, such as `v20.1.0`, `8.4snapshot` or
    `1.89.0-x86_64-unknown-linux-gnu`.
    """
    return version.removeprefix("v").partition("-")[0].removesuffix("snapshot")
