"""Versions of runtimes that the repository asks for, against those of a workspace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...codex import KNOWN_RUNTIMES, OF_SLIM
from ...text.option_names import spell_option
from ..documents import (
    json_line,
    json_of,
    line_of_text,
    line_with,
    subtable,
    toml_of,
    without_comment,
)
from ..finding import Finding, Level
from ..manifests import node_of_manager
from ..repository import CheckedRepository
from ..version_ranges import Dialect, accepts, is_of_python, numbers_of

__all__ = ["missing_runtimes", "other_runtimes", "runtime_versions"]

_NAMES = {"NODE": "Node", "PHP": "PHP"}
_LTS = {"hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24", "gallium": "16"}

_MANAGERS = {"npm": "11", "pnpm": "10", "yarn": "1.22"}
"""Package managers of Codex's image, beside Node 20 and 22."""

_PYTHON_MANAGERS = (
    ("uv", "0.7", "pyproject.toml", ("tool", "uv"), "required-version"),
    ("uv", "0.7", "uv.toml", (), "required-version"),
    ("poetry", "2.1", "pyproject.toml", ("tool", "poetry"), "requires-poetry"),
)
"""Those of Python: name, version in the image, and where a project names the one it needs."""

_TOOLS = {
    "node": "NODE", "nodejs": "NODE", "python": "PYTHON", "ruby": "RUBY", "golang": "GO",
    "go": "GO", "rust": "RUST", "java": "JAVA", "php": "PHP", "bun": "BUN", "swift": "SWIFT",
}  # fmt: skip
"""The names of runtimes in .tool-versions and mise.toml."""


_Kind = Literal["prefix", "at-least", "never"] | Dialect


@dataclass(frozen=True, slots=True)
class _Wish:
    """
    What a file asks for.

    Attributes:
        runtime: a key of `codex.RUNTIMES`.
        wanted: the version or range as the file writes it.
        path, line: where.
        level: how bad it is if it does not fit.
        effect: what happens then.
        kind: how it is compared, or the dialect of a range.
    """

    runtime: str
    wanted: str
    path: str
    line: int | None
    level: Level
    effect: str
    kind: _Kind = "prefix"

    def fits(self, version: str) -> bool:
        """
        Check whether a version of the image does.
        """
        if self.kind == "never":
            return False
        if self.kind == "prefix":
            mine, its = numbers_of(self.wanted), numbers_of(version)
            shared = min(len(mine), len(its))
            return not mine or mine[:shared] == its[:shared]
        if self.kind == "at-least":
            mine, its = numbers_of(self.wanted), numbers_of(version)
            shared = min(len(mine), len(its))
            return mine[:shared] <= its[:shared]
        return accepts(self.wanted, version, self.kind)


def runtime_versions(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find files that ask for another version of a runtime than the one that is selected.
    """
    yield from _package_managers(repo)
    yield from _python_managers(repo)
    yield from _patch_of_python(repo)
    for wish in _wishes(repo):
        selected = repo.version_of(wish.runtime)
        if wish.fits(selected):
            continue
        name = _NAMES.get(wish.runtime, wish.runtime.capitalize())
        variable = f"CODEX_ENV_{wish.runtime}_VERSION"
        known = next((one for one in KNOWN_RUNTIMES[wish.runtime] if wish.fits(one)), "")
        yield Finding.of(
            "runtime-version",
            f"{wish.path} asks for {name} {wish.wanted}, and {name} {selected} is selected",
            wish.effect,
            f"Set {variable}={known} (`runtimes: {{{wish.runtime.lower()}: '{known}'}}` in "
            ".codex-workspace.yaml, and in Codex's environment)."
            if known
            else f"Codex's image was not seen with {name} {wish.wanted}: install it in the "
            f"setup script, or accept one of {', '.join(KNOWN_RUNTIMES[wish.runtime])}.",
            path=wish.path,
            line=wish.line,
            level=wish.level,
        )


def _package_managers(repo: CheckedRepository) -> Iterator[Finding]:
    text = repo.tree.text("package.json")
    data = json_of(text)
    for name, version in _MANAGERS.items():
        wanted = subtable(data, "engines").get(name)
        if isinstance(wanted, str) and not accepts(wanted, version):
            yield Finding.of(
                "runtime-version",
                f"package.json asks for {name} {wanted}, and Codex's image has {name} {version}",
                f"{name} warns (EBADENGINE), or refuses to install.",
                f"Accept {name} {version}, or install the version in the setup script.",
                path="package.json",
                line=json_line(text, "engines", name),
            )
    manager = str(data.get("packageManager", ""))
    name, _, version = manager.partition("+")[0].partition("@")
    other = name in ("pnpm", "yarn") and not accepts(_MANAGERS[name], version or "0")
    # Newer versions of yarn have a check of their own.
    if other and not manager.startswith(("yarn@2", "yarn@3", "yarn@4")) and not repo.prepares(name):
        yield Finding.of(
            "runtime-version",
            f"package.json asks for {name} {version}, and Codex's image has {_MANAGERS[name]}",
            f"The first call of {name} downloads {version}: that works in setup, and not in an "
            "agent phase without internet.",
            f"Call {name} in the setup script.",
            path="package.json",
            line=json_line(text, "packageManager"),
        )


def _python_managers(repo: CheckedRepository) -> Iterator[Finding]:
    for name, version, path, tables, key in _PYTHON_MANAGERS:
        text = _top(repo, path)
        wanted = subtable(toml_of(text), *tables).get(key)
        if not isinstance(wanted, str) or accepts(wanted, version, "python"):
            continue
        if not repo.prepares(rf"{name} self update|\bpipx? install\b.*\b{name}\b|{name}/install"):
            yield Finding.of(
                "runtime-version",
                f"{path} asks for {name} {wanted}, and Codex's image has {name} {version}",
                f"{name} refuses to run with another version.",
                f"Install it in the setup script: `pip install '{name}{wanted}'`.",
                path=path,
                line=line_with(text, rf"^[ \t]*{key}\s*="),
                level="error",
            )


def _patch_of_python(repo: CheckedRepository) -> Iterator[Finding]:
    word, line = _first_word(_top(repo, ".python-version"))
    selected = numbers_of(repo.version_of("PYTHON"))
    wanted = numbers_of(word)
    if len(wanted) == 3 and len(selected) < 3 and wanted[:2] == selected[:2]:
        yield Finding.of(
            "runtime-version",
            f".python-version asks for Python {word} exactly",
            "pyenv obeys the file: `python` ends with `version ... is not installed` unless the "
            "image has this patch release, which is not known.",
            f"Write {wanted[0]}.{wanted[1]}, which stands for all its patch releases.",
            path=".python-version",
            line=line,
            level="note",
        )


def _wishes(repo: CheckedRepository) -> Iterator[_Wish]:
    yield from _node(repo)
    yield from _python(repo)
    yield from _rust_and_go(repo)
    yield from _ruby_and_php(repo)
    yield from _java(repo)
    yield from _tools(repo)


def _top(repo: CheckedRepository, name: str) -> str:
    return repo.tree.text(name)


def _first_word(text: str) -> tuple[str, int]:
    for number, line in enumerate(text.splitlines(), 1):
        word = without_comment(line).strip()
        if word:
            return word, number
    return "", 1


_NOT_USED = "Codex selects the version of its environment; it does not read this file."


def _node(repo: CheckedRepository) -> Iterator[_Wish]:
    for path in (".nvmrc", ".node-version"):
        word, line = _first_word(_top(repo, path))
        word = word.removeprefix("v")
        if word.startswith("lts/"):
            word = _LTS.get(word.removeprefix("lts/"), "")
        if numbers_of(word):
            yield _Wish(
                "NODE", word, path, line, "warning",
                _NOT_USED + " `nvm use` in a script fails if the version is not installed.",
            )  # fmt: skip
    text = _top(repo, "package.json")
    data = json_of(text)
    wanted: Any = subtable(data, "engines").get("node")
    if isinstance(wanted, str):
        strict = re.search(r"^[ \t]*engine-strict\s*=\s*true", _top(repo, ".npmrc"), re.MULTILINE)
        fails = bool(strict) or bool({"yarn.lock", "pnpm-lock.yaml"}.intersection(repo.tree.files))
        effect = (
            "The package manager refuses to install with another version."
            if fails
            else "npm warns (EBADENGINE) and goes on; what the project uses of the newer version "
            "is missing."
        )
        level: Level = "error" if fails else "warning"
        line = json_line(text, "engines", "node")
        yield _Wish("NODE", wanted, "package.json", line, level, effect, "npm")
    wanted = subtable(data, "volta").get("node")
    if isinstance(wanted, str):
        line = json_line(text, "volta", "node")
        yield _Wish("NODE", wanted, "package.json", line, "note", _NOT_USED)
    manager = data.get("packageManager")
    if needed := node_of_manager(data):
        line = json_line(text, "packageManager")
        effect = f"{manager} refuses to run with an older Node."
        yield _Wish("NODE", needed, "package.json", line, "error", effect, "npm")
    if isinstance(manager, str) and manager.startswith("bun@"):
        line = json_line(text, "packageManager")
        wanted = manager.removeprefix("bun@").partition("+")[0]
        yield _Wish("BUN", wanted, "package.json", line, "note", "Bun does not compare.")


def _python(repo: CheckedRepository) -> Iterator[_Wish]:
    word, line = _first_word(_top(repo, ".python-version"))
    if numbers_of(word):
        yield _Wish(
            "PYTHON", word, ".python-version", line, "warning",
            "pyenv obeys the file: `python` ends with `version ... is not installed` unless the "
            "image has it; uv downloads it.",
        )  # fmt: skip
    word, line = _first_word(_top(repo, "runtime.txt"))
    wanted: Any
    if word.startswith("python-"):
        wanted = word.removeprefix("python-")
        yield _Wish("PYTHON", wanted, "runtime.txt", line, "note", _NOT_USED)
    text = _top(repo, "pyproject.toml")
    data = toml_of(text)
    refused = "pip, uv and Poetry refuse to install the project with another version."
    wanted = subtable(data, "project").get("requires-python")
    if isinstance(wanted, str):
        line = line_with(text, r"^[ \t]*requires-python\s*=") or 1
        yield _Wish("PYTHON", wanted, "pyproject.toml", line, "error", refused, "python")
    wanted = subtable(data, "tool", "poetry", "dependencies").get("python")
    if isinstance(wanted, str):
        line = line_with(text, r"^[ \t]*python\s*=") or 1
        kind: _Kind = "python" if is_of_python(wanted) else "npm"
        yield _Wish("PYTHON", wanted, "pyproject.toml", line, "error", refused, kind)
    for path in ("setup.cfg", "setup.py"):
        text = _top(repo, path)
        found = re.search(r"^[^#\n]*\bpython_requires\s*=\s*[\"']?([^\"'\n]+)", text, re.MULTILINE)
        if found:
            line = text.count("\n", 0, found.start(1)) + 1
            yield _Wish("PYTHON", found[1].strip(), path, line, "error", refused, "python")
    text = _top(repo, "Pipfile")
    required = subtable(toml_of(text), "requires")
    for name in ("python_version", "python_full_version"):
        if isinstance(wanted := required.get(name), str):
            effect = "Pipenv looks for this version, and ends with an error without it."
            yield _Wish("PYTHON", wanted, "Pipfile", line_of_text(text, name), "error", effect)


def _rust_and_go(repo: CheckedRepository) -> Iterator[_Wish]:
    downloads = (
        "rustup downloads the toolchain at the first call of cargo: that works in setup, and not "
        "in an agent phase without internet."
    )
    for path in ("rust-toolchain.toml", "rust-toolchain"):
        text = _top(repo, path)
        channel = subtable(toml_of(text), "toolchain").get("channel") or _first_word(text)[0]
        if not isinstance(channel, str) or channel.startswith("["):
            continue
        line = line_of_text(text, channel)
        if numbers_of(channel) and not channel.startswith("20"):
            yield _Wish("RUST", channel, path, line, "warning", downloads)
        elif channel.startswith(("nightly", "beta")):
            yield _Wish("RUST", channel, path, line, "warning", downloads, "never")
    text = _top(repo, "Cargo.toml")
    data = toml_of(text)
    for group in (subtable(data, "package"), subtable(data, "workspace", "package")):
        wanted = group.get("rust-version")
        if isinstance(wanted, str):
            line = line_with(text, r"^[ \t]*rust-version\s*=")
            effect = "cargo refuses to compile with an older version."
            yield _Wish("RUST", wanted, "Cargo.toml", line, "error", effect, "at-least")
    text = _top(repo, "go.mod")
    directives: dict[str, tuple[str, int]] = {}
    for number, text_line in enumerate(text.splitlines(), 1):
        found = re.match(r"(go|toolchain)\s+(?:go)?(\d[\w.]*)", text_line)
        if found:
            directives[found[1]] = (found[2], number)
    if directives:
        name = "toolchain" if "toolchain" in directives else "go"
        wanted, number = directives[name]
        effect = (
            "go downloads the newer toolchain (GOTOOLCHAIN=auto): that works in setup, and not in "
            "an agent phase without internet."
        )
        yield _Wish("GO", wanted, "go.mod", number, "warning", effect, "at-least")
    found = re.match(r"//\s*swift-tools-version:\s*(\d[\d.]*)", _top(repo, "Package.swift"))
    if found:
        effect = "swift refuses a package of a newer tools version."
        yield _Wish("SWIFT", found[1], "Package.swift", 1, "error", effect, "at-least")
    word, line = _first_word(_top(repo, ".swift-version"))
    if numbers_of(word):
        yield _Wish("SWIFT", word, ".swift-version", line, "note", _NOT_USED, "at-least")


def _ruby_and_php(repo: CheckedRepository) -> Iterator[_Wish]:
    word, line = _first_word(_top(repo, ".ruby-version"))
    wanted: Any = word.removeprefix("ruby-")
    if numbers_of(wanted):
        yield _Wish("RUBY", wanted, ".ruby-version", line, "warning", _NOT_USED)
    text = _top(repo, "Gemfile")
    found = re.search(r"^[ \t]*ruby[ \t]*(?:\([ \t]*)?[\"']([^\"']+)[\"']", text, re.MULTILINE)
    if found:
        number = text.count("\n", 0, found.start(1)) + 1
        exact = not re.match(r"[<>~=]", found[1])
        effect = "bundler refuses to run: `Your Ruby version is ..., but your Gemfile specified`."
        wanted = found[1] if exact else _pessimistic(found[1])
        kind: _Kind = "prefix" if exact else "npm"
        yield _Wish("RUBY", wanted, "Gemfile", number, "error", effect, kind)
    text = _top(repo, "composer.json")
    wanted = subtable(json_of(text), "require").get("php")
    if isinstance(wanted, str):
        line = json_line(text, "require", "php")
        effect = "composer refuses to install with another version."
        yield _Wish("PHP", wanted, "composer.json", line, "error", effect, "composer")


def _pessimistic(wanted: str) -> str:
    """
    Return a requirement of RubyGems as one of npm: `~> 3.2` is below 4, `~> 3.2.1` below 3.3.
    """
    found = re.fullmatch(r"~>\s*(\d+)((?:\.\d+)*)", wanted.strip())
    if not found:
        return wanted
    parts = found[2].count(".")
    return f"{'^' if parts < 2 else '~'}{found[1]}{found[2]}"


def _java(repo: CheckedRepository) -> Iterator[_Wish]:
    effect = "The compiler of an older JDK refuses the release."
    text = _top(repo, "pom.xml")
    found = re.search(
        r"<(?:maven\.compiler\.(?:release|source|target)|java\.version|release)>\s*(?:1\.)?(\d+)\s*<",
        text,
    )
    if found:
        number = text.count("\n", 0, found.start(1)) + 1
        yield _Wish("JAVA", found[1], "pom.xml", number, "error", effect, "at-least")
    for path in ("build.gradle", "build.gradle.kts"):
        text = _top(repo, path)
        found = re.search(
            r"^(?![ \t]*//).*"
            r"(?:JavaLanguageVersion\.of\(|jvmToolchain\(|JavaVersion\.VERSION_)[ \t]*(\d+)",
            text,
            re.MULTILINE,
        )
        if found:
            number = text.count("\n", 0, found.start(1)) + 1
            kind: _Kind = "at-least" if "VERSION_" in found[0] else "prefix"
            toolchain = (
                "Gradle looks for this JDK, and downloads it if it may."
                if kind == "prefix"
                else effect
            )
            level: Level = "note" if kind == "prefix" else "error"
            yield _Wish("JAVA", found[1], path, number, level, toolchain, kind)
    word, line = _first_word(_top(repo, ".java-version"))
    if numbers_of(word):
        wanted = word.removeprefix("1.")
        yield _Wish("JAVA", wanted, ".java-version", line, "warning", _NOT_USED)
    found = re.search(r"^java=(\d+)", _top(repo, ".sdkmanrc"), re.MULTILINE)
    if found:
        yield _Wish("JAVA", found[1], ".sdkmanrc", 1, "note", _NOT_USED)


def _tools(repo: CheckedRepository) -> Iterator[_Wish]:
    for number, line in enumerate(_top(repo, ".tool-versions").splitlines(), 1):
        words = without_comment(line).split()
        if len(words) >= 2 and words[0] in _TOOLS:
            yield from _tool(words[0], words[1], ".tool-versions", number)
    for path in ("mise.toml", ".mise.toml"):
        text = _top(repo, path)
        for name, wanted in subtable(toml_of(text), "tools").items():
            versions = wanted if isinstance(wanted, list) else [wanted]
            if name in _TOOLS and versions and isinstance(versions[0], str):
                at = line_with(text, rf"^[ \t]*[\"']?{re.escape(name)}[\"']?\s*=")
                yield from _tool(name, versions[0], path, at)


def _tool(name: str, version: str, path: str, line: int | None) -> Iterator[_Wish]:
    found = re.search(r"(?:^|-)(\d[\d.]*)", version)
    if found:
        wanted = found[1].rstrip(".")
        yield _Wish(_TOOLS[name], wanted, path, line, "warning", _NOT_USED)


_OTHERS = (
    ("Deno", ("deno.json", "deno.jsonc"), r"\bdeno\b"),
    ("Dart", ("pubspec.yaml",), r"\b(dart|flutter)\b"),
    ("Stack or Cabal", ("stack.yaml", "cabal.project"), r"\b(ghcup|stack|cabal|haskell)\b"),
    ("Zig", ("build.zig",), r"\bzig\b"),
    ("Crystal", ("shard.yml",), r"\bcrystal\b"),
    ("sbt", ("build.sbt",), r"\bsbt\b"),
    ("Leiningen", ("project.clj",), r"\blein\b"),
    ("the Clojure tools", ("deps.edn",), r"\bclojure\b|\bclj\b"),
    ("opam", ("dune-project",), r"\bopam\b"),
    ("Gleam", ("gleam.toml",), r"\bgleam\b"),
    ("Julia", ("Project.toml",), r"\bjulia\b"),
    ("Nix", ("flake.nix",), r"\bnix\b"),
    ("Pixi", ("pixi.toml",), r"\bpixi\b"),
    ("conda", ("environment.yml", "environment.yaml"), r"\b(conda|mamba|micromamba)\b|Miniforge"),
    ("just", ("justfile", "Justfile"), r"\bjust\b"),
    ("Task", ("Taskfile.yml", "Taskfile.yaml"), r"\b(task|go-task)\b"),
    ("PDM", ("pdm.lock",), r"\bpdm\b"),
    ("Pipenv", ("Pipfile.lock",), r"\bpipenv\b"),
    ("Hatch", ("hatch.toml",), r"\bhatch\b"),
)
"""Programs that Codex's image does not have, files that need them, and how scripts name them."""

_OPTIONAL = frozenset({"Nix", "just", "Task", "conda", "Pixi"})
"""A repository may have these files and not need the program."""


def missing_runtimes(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find files of programs that the image does not have, and that no script installs.
    """
    for name, files, mentioned in _OTHERS:
        path = next((one for one in files if one in repo.tree.files), "")
        if path and not any(re.search(mentioned, one.text) for one in repo.preparing):
            if path == "Project.toml" and "uuid" not in repo.tree.text(path):
                continue
            yield Finding.of(
                "runtime-missing",
                f"{path} is for {name}, which the image does not have and no script installs",
                f"`command not found`: codex-universal has no {name.removeprefix('the ')}.",
                "Install it in the setup script, from a host that Codex's environment allows.",
                path=path,
                line=1,
                level="note" if name in _OPTIONAL else None,
            )


_USES: Mapping[str, tuple[str, ...]] = {
    "PYTHON": ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile"),
    "RUST": ("Cargo.toml",),
    "RUBY": ("Gemfile", "Rakefile"),
}
"""Files at the top that tell that a language is used."""


def other_runtimes(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find languages that the image slim has in another version than the one that is selected.
    """
    if repo.choices.image != "slim":
        return
    for runtime, has in OF_SLIM.items():
        selected = repo.version_of(runtime)
        path = next((one for one in _USES[runtime] if one in repo.tree.files), "")
        if path and not _Wish(runtime, has, path, 1, "note", "").fits(selected):
            name = runtime.capitalize()
            yield _differs(
                f"slim runs it with {name} {has}, and Codex with {name} {selected}",
                f"What needs {name} {has} works here only, and what {selected} has changed may "
                "fail there only.",
                path,
            )
    text = repo.tree.text("yarn.lock")
    classic = "# yarn lockfile v1" in text[:200]
    named = json_of(_top(repo, "package.json")).get("packageManager")
    if classic and not named and repo.prepares(r"(^|\s)yarn\b"):
        yield _differs(
            "slim installs with yarn 1.22, and package.json does not name a version",
            "Corepack was set to the newest yarn there was when the image was built (read): yarn 4 "
            "converts the lock file. Which version that is, is not known.",
            "yarn.lock",
            'Name the version in package.json: `"packageManager": "yarn@1.22.22"`.',
        )


def _differs(what: str, in_codex: str, path: str, remedy: str = "") -> Finding:
    return Finding.of(
        "runtime-differs",
        what,
        in_codex,
        remedy or f"Check with {spell_option('image', 'universal')}, too, or silence the finding.",
        path=path,
    )
