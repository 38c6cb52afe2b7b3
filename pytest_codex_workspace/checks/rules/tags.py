"""Versions that are computed from tags, which Codex may not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from ..documents import json_line, json_of, line_of_text, line_with, subtable, texts_of, toml_of
from ..finding import Finding, Level
from ..repository import CheckedRepository
from ..scripts import Found
from .git_commands import git_words

__all__ = ["versions_from_tags"]

_IN_CODEX = (
    "Codex fetches without tags when it syncs; whether those of the first clone are there is not "
    "known, so the strict answer counts: none."
)


@dataclass(frozen=True, slots=True)
class _Tool:
    """
    A tool that computes a version from tags.

    Attributes:
        name: its name.
        result: the version that it computes without tags.
        variables: variables that give it a version.
        remedy: what to do.
    """

    name: str
    result: str
    variables: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def advice(self) -> str:
        """
        What to do, with a variable if there is one.
        """
        if self.remedy:
            return self.remedy
        return (
            f"Set {self.variables[0]}=0.0.0 (or the real version) as a variable of the workspace "
            "(`env:` in .codex-workspace.yaml, and in Codex's environment)."
        )


_PRETEND = ("SETUPTOOLS_SCM_PRETEND_VERSION",)
_TAG = "Create a tag in the setup script before anything is installed: `git tag v0.0.0`."

_SETUPTOOLS_SCM = _Tool("setuptools-scm", "0.1.dev1", _PRETEND)
_PYTHON = {
    "hatch-vcs": _Tool("hatch-vcs", "0.1.dev1", _PRETEND),
    "flit-scm": _Tool("flit-scm", "0.1.dev1", _PRETEND),
    "setuptools-git-versioning": _Tool("setuptools-git-versioning", "0.0.1", (), _TAG),
    "poetry-dynamic-versioning": _Tool(
        "poetry-dynamic-versioning", "0.0.0.post1", ("POETRY_DYNAMIC_VERSIONING_BYPASS",)
    ),
    "uv-dynamic-versioning": _Tool(
        "uv-dynamic-versioning", "0.0.0.post1", ("UV_DYNAMIC_VERSIONING_BYPASS",)
    ),
    "versioningit": _Tool(
        "versioningit", "none, and ends with an error", (),
        "Set `default-version` in [tool.versioningit], or create a tag in the setup script.",
    ),
    "pbr": _Tool("pbr", "0.0.1.dev1", ("PBR_VERSION",)),
    "dunamai": _Tool("dunamai", "0.0.0.post1", (), _TAG),
    "vcversioner": _Tool("vcversioner", "none, and ends with an error", (), _TAG),
    "setupmeta": _Tool("setupmeta", "0.0.0", ("SETUPMETA_VERSION",), _TAG),
    "setuptools-vcs-version": _Tool("setuptools-vcs-version", "0.1.dev1", _PRETEND),
    "setuptools-git-version": _Tool("setuptools-git-version", "none", (), _TAG),
    "better-setuptools-git-version": _Tool("better-setuptools-git-version", "0.0.1", (), _TAG),
    "miniver": _Tool("miniver", "unknown", (), _TAG),
    "katversion": _Tool("katversion", "0.0", (), _TAG),
    "punch-vcs": _Tool("punch-vcs", "0.0", (), _TAG),
}  # fmt: skip
"""Plugins of Python's build systems by the name of their package."""

_VERSIONEER = _Tool("versioneer", "0+untagged", (), _TAG)
_PDM = _Tool("pdm (source = scm)", "0.1.0 or an error", ("PDM_BUILD_SCM_VERSION",))

_CARGO = {
    "vergen": _Tool("vergen", "none", ("VERGEN_GIT_DESCRIBE", "VERGEN_IDEMPOTENT")),
    "vergen-git2": _Tool("vergen-git2", "none", ("VERGEN_GIT_DESCRIBE", "VERGEN_IDEMPOTENT")),
    "vergen-gitcl": _Tool("vergen-gitcl", "none", ("VERGEN_GIT_DESCRIBE", "VERGEN_IDEMPOTENT")),
    "vergen-gix": _Tool("vergen-gix", "none", ("VERGEN_GIT_DESCRIBE", "VERGEN_IDEMPOTENT")),
    "git-version": _Tool(
        "git-version", "a compile error", (),
        'Give the macro a fallback: `git_version!(fallback = "unknown")`.',
    ),
    "git-testament": _Tool("git-testament", "unknown", (), _TAG),
    "bugreport": _Tool("bugreport", "unknown", (), _TAG),
}  # fmt: skip

_NODE = {
    "semantic-release": _Tool(
        "semantic-release", "1.0.0", (), "Do not run it in tests: it belongs to the release."
    ),
    "git-describe": _Tool("git-describe", "none, and ends with an error", (), _TAG),
    "git-rev-sync": _Tool("git-rev-sync", "the commit's id", (), _TAG),
    "git-semver-tags": _Tool("git-semver-tags", "none", (), _TAG),
    "git-tag-version": _Tool("git-tag-version", "none", (), _TAG),
    "standard-version": _Tool(
        "standard-version", "1.0.0", (), "Do not run it in tests: it belongs to the release."
    ),
    "release-it": _Tool(
        "release-it", "0.0.0", (), "Do not run it in tests: it belongs to the release."
    ),
    "auto": _Tool("auto", "0.0.0", (), "Do not run it in tests: it belongs to the release."),
}
_RELEASE_ONLY = frozenset({"semantic-release", "standard-version", "release-it", "auto"})

_GRADLE = {
    r"pl\.allegro\.tech\.build\.axion-release": _Tool(
        "axion-release", "0.1.0-SNAPSHOT", (), "Give `-Prelease.version=0.0.0` to gradle."
    ),
    r"(?:com\.)?nebula\.release|com\.netflix\.nebula\.release": _Tool(
        "nebula.release", "0.1.0-dev.1", (), "Give `-Prelease.version=0.0.0` to gradle."
    ),
    r"com\.palantir\.git-version": _Tool("palantir git-version", "unspecified", (), _TAG),
    r"fr\.brouillard\.oss\.gradle\.jgitver": _Tool(
        "jgitver", "0.0.0", (), "Give `-Djgitver.use-version=0.0.0`."
    ),
    r"com\.gorylenko\.gradle-git-properties": _Tool("gradle-git-properties", "no tag", (), _TAG),
    r"org\.shipkit\.shipkit-auto-version": _Tool("shipkit-auto-version", "0.0.1", (), _TAG),
    r"io\.github\.reckon|org\.ajoberstar\.reckon": _Tool("reckon", "0.1.0", (), _TAG),
    r"me\.qoomon\.git-versioning": _Tool("git-versioning", "0.0.0-SNAPSHOT", (), _TAG),
    r"net\.nemerosa\.versioning": _Tool("versioning", "none", (), _TAG),
}  # fmt: skip
_MAVEN = {
    r"jgitver-maven-plugin": _Tool(
        "jgitver", "0.0.0-SNAPSHOT", (), "Give `-Djgitver.use-version=0.0.0` to mvn."
    ),
    r"maven-git-versioning-extension": _Tool("maven-git-versioning-extension", "none", (), _TAG),
    r"git-commit-id-(?:maven-)?plugin": _Tool("git-commit-id", "an empty tag", (), _TAG),
}
_DOTNET = {
    "MinVer": _Tool("MinVer", "0.0.0-alpha.0", ("MinVerVersionOverride", "MINVERVERSIONOVERRIDE")),
    "GitVersion.MsBuild": _Tool("GitVersion", "0.1.0", (), "Set `next-version` in GitVersion.yml."),
    "GitVersionTask": _Tool("GitVersion", "0.1.0", (), "Set `next-version` in GitVersion.yml."),
    "GitInfo": _Tool("GitInfo", "0.0.0", (), _TAG),
    "Nerdbank.GitVersioning": _Tool(
        "Nerdbank.GitVersioning", "an error in a clone without the whole history", (),
        "Give `-p:PublicRelease=true`, or set `NBGV_GitEngine=Disabled`.",
    ),
}  # fmt: skip
_SBT = re.compile(r"sbt-(?:dynver|git|release-early|ci-release)")

_DESCRIBING = (
    "setup.py", "build.rs", "CMakeLists.txt", "meson.build", "conanfile.py", "build.gradle",
    "build.gradle.kts", "build.zig", "Rakefile", "mix.exs", "wscript", "SConstruct",
    "configure.ac",
)  # fmt: skip
"""Files of build systems that may call git."""

_DESCRIBE = re.compile(
    r"""(?:\bgit|GIT_EXECUTABLE\})["']?[\s,]+(?:--?\w[\w-]*["'\s,]+){0,10}["']?describe\b|\.git\.describe\("""
)
_SLASHES = (".rs", ".gradle", ".kts", ".zig")


def versions_from_tags(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find tools and commands that compute a version from tags.
    """
    if any(_makes_tag(found) for _, found in repo.commands("setup", "resume", "called")):
        return
    for tool, path, line, level in (
        *_of_python(repo),
        *_of_node(repo),
        *_of_cargo(repo),
        *_of_java(repo),
        *_of_dotnet(repo),
    ):
        if not repo.sets(*tool.variables):
            yield Finding.of(
                "git-tags",
                f"{tool.name} computes the version from tags; without one: {tool.result}",
                _IN_CODEX,
                tool.advice,
                path=path,
                line=line,
                level=level,
            )
    yield from _describes(repo)


_Use = tuple[_Tool, str, int | None, Level | None]


def _of_python(repo: CheckedRepository) -> Iterator[_Use]:
    tree = repo.tree
    for path, text in tree.texts(tree.named("pyproject.toml")):
        data = toml_of(text)
        build = subtable(data, "build-system")
        names: dict[str, str] = {
            canonicalize_name(re.split(r"[\s<>=~!;\[@(]", one.strip(), maxsplit=1)[0]): one
            for one in texts_of(build.get("requires"))
        }
        found: dict[str, tuple[_Tool, int | None]] = {}
        if "setuptools-scm" in names and _scm_sets_version(data):
            line = line_with(text, r"^[ \t]*\[tool\.setuptools[-_]scm\]") or line_of_text(
                text, names["setuptools-scm"]
            )
            found["scm"] = (_SETUPTOOLS_SCM, line)
        for name, tool in _PYTHON.items():
            if name in names and not (name == "hatch-vcs" and not _hatch_uses_vcs(data)):
                found[name] = (tool, line_of_text(text, names[name]))
        if "versioneer" in names or "versioneer" in subtable(data, "tool"):
            line = line_with(text, r"^[ \t]*\[tool\.versioneer\]") or line_of_text(
                text, "versioneer"
            )
            found["versioneer"] = (_VERSIONEER, line)
        if subtable(data, "tool", "pdm", "version").get("source") == "scm":
            found["pdm"] = (_PDM, line_with(text, r"^[ \t]*source\s*=\s*[\"']scm"))
        if subtable(data, "tool", "poetry-dynamic-versioning").get("enable") is True:
            line = line_with(text, r"^[ \t]*\[tool\.poetry-dynamic-versioning\]")
            found["poetry-dynamic-versioning"] = (_PYTHON["poetry-dynamic-versioning"], line)
        provider = subtable(data, "tool", "scikit-build", "metadata", "version").get("provider")
        if provider == "scikit_build_core.metadata.setuptools_scm":
            found["scm"] = (_SETUPTOOLS_SCM, line_with(text, "metadata.setuptools_scm"))
        for tool, line in found.values():
            yield tool, path, line, None
    for path, text in tree.texts(tree.named("setup.py")):
        folder = path.rpartition("/")[0]
        if line := line_with(text, r"^[^#\n]*\buse_scm_version\s*="):
            yield _SETUPTOOLS_SCM, path, line, None
        elif line := line_with(text, r"^[^#\n]*\bversioneer\.get_version\("):
            if not _has_versioneer(tree.text(f"{folder}/pyproject.toml".lstrip("/"))):
                yield _VERSIONEER, path, line, None
        elif line := line_with(text, r"^[^#\n]*\bpbr\s*=\s*True"):
            yield _PYTHON["pbr"], path, line, None
        else:
            for name in ("setuptools_git_versioning", "vcversioner", "setupmeta"):
                if line := line_with(text, rf"^[^#\n]*[\"']?{name}[\"']?\s*="):
                    yield _PYTHON[name.replace("_", "-")], path, line, None


def _has_versioneer(text: str) -> bool:
    return "versioneer" in subtable(toml_of(text), "tool")


def _scm_sets_version(data: dict[str, object]) -> bool:
    """
    Check whether setuptools-scm decides the version. It also lists files, which needs no tags.
    """
    project = subtable(data, "project")
    if "version" in project or "version" in subtable(data, "tool", "setuptools", "dynamic"):
        return False
    if subtable(data, "tool").get("setuptools_scm") is not None:
        return True
    if subtable(data, "tool").get("setuptools-scm") is not None:
        return True
    return "version" in list(texts_of(project.get("dynamic")))


def _hatch_uses_vcs(data: dict[str, object]) -> bool:
    hatch = subtable(data, "tool", "hatch")
    return subtable(hatch, "version").get("source") == "vcs" or "vcs" in subtable(
        hatch, "build", "hooks"
    )


def _of_node(repo: CheckedRepository) -> Iterator[_Use]:
    for path, text in repo.tree.texts(repo.tree.named("package.json")):
        data = json_of(text)
        for name in ("dependencies", "devDependencies"):
            for package in subtable(data, name):
                tool = _NODE.get(package)
                if tool is not None:
                    level: Level | None = "note" if package in _RELEASE_ONLY else None
                    yield tool, path, json_line(text, name, package), level


def _of_cargo(repo: CheckedRepository) -> Iterator[_Use]:
    for path, text in repo.tree.texts(repo.tree.named("Cargo.toml")):
        data = toml_of(text)
        tables = (
            subtable(data, "dependencies"),
            subtable(data, "build-dependencies"),
            subtable(data, "workspace", "dependencies"),
        )
        names = {name for one in tables for name in one}
        for name in sorted(names.intersection(_CARGO)):
            line = line_with(text, rf"^[ \t]*(?:\[[\w.-]*dependencies\.)?{re.escape(name)}[\]\s=.]")
            yield _CARGO[name], path, line, None


def _of_java(repo: CheckedRepository) -> Iterator[_Use]:
    tree = repo.tree
    gradle = tree.named(
        "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts",
        "libs.versions.toml",
    )  # fmt: skip
    for path, text in tree.texts(gradle):
        for pattern, tool in _GRADLE.items():
            if line := line_with(text, rf"^(?![ \t]*(?://|#)).*\b(?:{pattern})\b"):
                yield tool, path, line, None
    for path, text in tree.texts(tree.named("pom.xml", "extensions.xml")):
        for pattern, tool in _MAVEN.items():
            if line := line_with(text, rf"<artifactId>\s*{pattern}\s*<"):
                # That one only writes what it finds into a file.
                yield tool, path, line, "note" if tool.name == "git-commit-id" else None
    for path, text in tree.texts(tree.named("plugins.sbt")):
        for number, line_text in enumerate(text.splitlines(), 1):
            found = _SBT.search(line_text.partition("//")[0])
            if found:
                yield _Tool(found[0], "a snapshot of the commit", (), _TAG), path, number, None


def _of_dotnet(repo: CheckedRepository) -> Iterator[_Use]:
    tree = repo.tree
    named = tree.named("Directory.Build.props", "Directory.Packages.props")
    for path, text in tree.texts([*tree.suffixed(".csproj", ".fsproj", ".vbproj"), *named]):
        for name, tool in _DOTNET.items():
            if line := line_with(
                text, rf"<PackageReference[ \t]+[^>\n]{{0,300}}Include=\"{re.escape(name)}\""
            ):
                yield tool, path, line, None
    for path in tree.named("GitVersion.yml", "GitVersion.yaml"):
        if not line_with(tree.text(path), r"^[ \t]*next-version\s*:"):
            yield _DOTNET["GitVersion.MsBuild"], path, 1, None


def _describes(repo: CheckedRepository) -> Iterator[Finding]:
    for script, found in repo.commands():
        what = "" if found.tolerated else _uses_tags(found)
        if what:
            yield _describe(
                script.path, found.line, "error" if what == _GIT_DESCRIBE else None, what
            )
    tree = repo.tree
    gemspecs = tree.suffixed(".gemspec", ".cmake")
    for path, text in tree.texts([*tree.named(*_DESCRIBING), *gemspecs]):
        for number, line in enumerate(text.splitlines(), 1):
            mark = "//" if path.endswith(_SLASHES) else "#"
            code = line.partition(mark)[0]
            if _DESCRIBE.search(code) and "--always" not in line and "--all" not in line:
                yield _describe(path, number, None)
        if path.rpartition("/")[2] == "meson.build" and (
            at := line_with(text, r"^[^#\n]*\bvcs_tag\s*\(")
        ):
            yield _describe(path, at, None, "`vcs_tag()` finds no tags")


def _uses_tags(found: Found) -> str:
    """
    Return what a command does that needs a tag; empty if it needs none.
    """
    words = git_words(found.command)
    if words[:1] == ["describe"]:
        return "" if {"--always", "--all"}.intersection(words) else _GIT_DESCRIBE
    if words[:1] == ["tag"] and (len(words) == 1 or _lists_tags(words)):
        return "`git tag` lists no tags"
    if words and words[0] in _WITH_REVISIONS:
        if {"--tags", "--no-walk=tags"}.intersection(words) and words[0] not in ("fetch", "push"):
            return f"`git {words[0]} --tags` finds no tags"
        named = next((one for one in words[1:] if _TAG_NAME.fullmatch(one)), "")
        if named:
            return f"`git {words[0]} {named}` does not find the tag"
    plain = found.command.plain
    while plain and plain[0] in ("npx", "bunx", "pnpx", "uvx", "pipx", "run", "dotnet"):
        plain = plain[1:]
    if plain and plain[0] in _COMMANDS and "--snapshot" not in plain and "--version" not in plain:
        return f"`{plain[0]}` finds no tags"
    if plain[:1] == ["lerna"] and (
        {"changed", "version", "publish", "diff"}.intersection(plain[1:2]) or "--since" in plain
    ):
        return f"`{' '.join(plain[:2])}` compares with the last tag"
    if plain[1:3] in (["-m", "setuptools_scm"], ["-m", "hatchling"]) and plain[2] != "hatchling":
        return "`python -m setuptools_scm` finds no tags"
    return ""


def _lists_tags(words: list[str]) -> bool:
    return any(one.partition("=")[0] in _LISTS_TAGS for one in words)


def _makes_tag(found: Found) -> bool:
    words = git_words(found.command)
    named = any(not one.startswith("-") for one in words[1:])
    return words[:1] == ["tag"] and named and not _lists_tags(words) and "-d" not in words


_GIT_DESCRIBE = "`git describe` fails without a tag"
_LISTS_TAGS = frozenset({"-l", "--list", "--points-at", "--merged", "--sort", "--contains"})
_WITH_REVISIONS = frozenset({"log", "diff", "rev-list", "rev-parse", "checkout", "switch", "show"})
_TAG_NAME = re.compile(
    r"(?:tags/|refs/tags/)\S+|v?\d+\.\d+\.\d+(?:\.\.\.?\S*)?|v\d+\.\d+(?:\.\.\.?\S*)?"
)
_COMMANDS = frozenset(
    {"gitversion", "dotnet-gitversion", "svu", "dunamai", "git-semver", "semantic-release", "nbgv"}
    | {"standard-version", "goreleaser", "setuptools-git-versioning", "versioningit"}
)
"""Programs that look for tags."""


def _describe(
    path: str | None, line: int | None, level: Level | None, what: str = _GIT_DESCRIBE
) -> Finding:
    return Finding.of(
        "git-tags",
        what,
        _IN_CODEX,
        "Add --always, or a version for the case without tags: `git describe --tags 2>/dev/null "
        "|| echo 0.0.0`."
        if what == _GIT_DESCRIBE
        else _TAG,
        path=path,
        line=line,
        level=level,
    )
