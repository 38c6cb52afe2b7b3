"""Which language runtimes an image offers, told by the image itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .asking import ask
from .codex import RUNTIMES
from .engine.protocol import Engine
from .errors import EngineError

__all__ = ["Offer", "Runtime", "offered_runtimes"]

_MARK = "codex-runtime:"

# Slim has a list. Codex's image has none: what it can choose is in the directories of its version
# managers, and which variables it reads in its script. Links there are other names of a version.
_SCRIPT = f"""exec </dev/null 2>/dev/null
select=/opt/codex/setup_universal.sh
say() {{ printf '%s %s %s %s\\n' '{_MARK}' "$@"; }}
number() {{ grep -oE '[0-9]+([.][0-9]+)*' | head -n 1; }}
if [ -e /opt/codex/runtimes.txt ]; then
  "$select" --list | while read -r name version; do say listed "$name" "$version"; done
elif [ -e "$select" ]; then
  grep -oE 'CODEX_ENV_[A-Z]+_VERSION' "$select" | sort -u | while read -r variable; do
    name=${{variable#CODEX_ENV_}}; say read "${{name%_VERSION}}" -
  done
  directory() {{
    for one in "$2"/*; do
      if [ -d "$one" ] && [ ! -L "$one" ]; then say found "$1" "${{one##*/}}"; fi
    done
  }}
  directory python "${{PYENV_ROOT-$HOME/.pyenv}}/versions"
  directory node "${{NVM_DIR-$HOME/.nvm}}/versions/node"
  directory rust "${{RUSTUP_HOME-$HOME/.rustup}}/toolchains"
  for name in go swift ruby php bun java; do
    directory "$name" "${{MISE_DATA_DIR-$HOME/.local/share/mise}}/installs/$name"
  done
fi
say path python "$(python3 --version | number)"
say path node "$(node --version | number)"
say path rust "$(rustc --version | number)"
say path go "$(go version | number)"
say path swift "$(swift --version | grep -o 'Swift version .*' | number)"
say path ruby "$(ruby --version | number)"
say path php "$(php --version | number)"
say path bun "$(bun --version | number)"
say path java "$(java -version 2>&1 | grep -i version | number)"
say end - -
"""

Source = Literal["listed", "found", "none"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """
    One language of an image.

    Attributes:
        name: in lower case.
        versions: the ones that the image has.
        default: Codex's.
        choosable: whether `variable` chooses among them.
    """

    name: str
    versions: tuple[str, ...]
    default: str
    choosable: bool

    @property
    def variable(self) -> str:
        """
        The variable that chooses one.
        """
        return f"CODEX_ENV_{self.name.upper()}_VERSION"

    @property
    def has_default(self) -> bool:
        """
        Whether one of the versions is Codex's default, to the digits that it has.
        """
        return any(f"{one}.".startswith(f"{self.default}.") for one in self.versions)


@dataclass(frozen=True, slots=True)
class Offer:
    """
    What an image offers, and how that is known: it has a list (`listed`),
    its version managers' directories were looked into (`found`), or it has
    no choice, and what is on its PATH is all (`none`).
    """

    source: Source
    runtimes: tuple[Runtime, ...]


def offered_runtimes(engine: Engine, image_id: str) -> Offer:
    """
    Ask an image.

    Raises:
        EngineError: it does not answer.
    """
    said, _ = ask(engine, image_id, _SCRIPT, {}, purpose="runtimes")
    rows = [line.split()[1:] for line in said.splitlines() if line.startswith(_MARK)]
    if ["end", "-", "-"] not in rows:
        raise EngineError(
            f"the image {image_id[:19]} does not tell which runtimes it has: a bash login shell in "
            "it did not come to its end"
        )
    # A program that is not there has no version.
    told = [(row[0], row[1].upper(), _plain(row[2])) for row in rows if len(row) == 3]
    kinds = {kind for kind, _, _ in told}
    source: Source = "listed" if "listed" in kinds else "found" if "read" in kinds else "none"
    read = {name for kind, name, _ in told if kind == "read"}
    runtimes = []
    for name, default in RUNTIMES.items():
        managed = _versions(told, name, source)
        versions = managed or _versions(told, name, "path")
        choosable = bool(managed) if source == "listed" else name in read
        runtimes.append(Runtime(name.lower(), versions, default, choosable))
    return Offer(source, tuple(runtimes))


def _versions(told: list[tuple[str, str, str]], name: str, kind: str) -> tuple[str, ...]:
    found = [version for one, language, version in told if (one, language) == (kind, name)]
    return tuple(sorted(dict.fromkeys(found), key=_digits))


def _digits(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def _plain(version: str) -> str:
    """
    `v20.1.0` and `1.89.0-x86_64-unknown-linux-gnu` are what managers call versions.
    """
    return version.removeprefix("v").partition("-")[0]
