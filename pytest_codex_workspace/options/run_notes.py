"""What is said at the beginning of a run: whose rules apply, and what is not in workspaces."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ..codex import SCRIPTS
from ..engine.places.choose import likely_place
from ..errors import ProjectionError
from ..text.option_names import spell_option
from ..text.phrases import counted
from .config import Config
from .profiles import profile_named
from .script_text import FROM_STANDARD_INPUT

if TYPE_CHECKING:
    from ..projection.repository import RepositorySnapshot

__all__ = [
    "describe_engine",
    "describe_history",
    "describe_rules",
    "describe_scripts",
    "same_rules",
]

_TIMEOUT = 2.0
_SHOWN = 200
_TAG_TOOLS = (
    "setuptools[-_]scm|hatch-vcs|vcs-versioning|versioneer|versioningit|dunamai|miniver|"
    "(poetry|uv)-dynamic-versioning|git[- ]describe|source *= *[\"']scm[\"']"
)
_TAG_FILES = (
    *("pyproject.toml", "setup.py", "setup.cfg", "package.json", "build.gradle"),
    *("build.gradle.kts", "pom.xml", "build.rs", "CMakeLists.txt", "Makefile", f"{SCRIPTS}/"),
)


def describe_engine(choice: str, environ: Mapping[str, str]) -> str:
    """
    Return a line with the engine that *choice* probably stands for, and why. No engine is asked.
    """
    place = likely_place(choice, environ)
    if place is None:
        return f"engine {choice}: none found; `codex-workspace doctor` says why"
    return f"engine {place.url or choice} ({place.origin})"


def describe_rules(config: Config) -> str:
    """
    Return a line with the profile, and what tests may reach; and where that is more than Codex
    allows by default, how to get Codex's rules.
    """
    network = config.network if isinstance(config.network, str) else config.network["name"]
    reach = {
        "https-only": "tests reach every host over HTTPS",
        "offline": "tests are offline",
    }.get(network, f"tests reach what the policy {network} allows")
    if network == "offline":
        return f"profile {config.profile}: {reach}, as Codex's agent phase by default"
    whose = "the seed's rule" if network == "https-only" else "your choice"
    if config.profile != "seed":
        return f"profile {config.profile}: {reach} ({whose}; Codex's default is offline)"
    return (
        f"profile seed: {reach} ({whose}); Codex's agent phase is offline by default: "
        f"{spell_option('profile', 'codex')}"
    )


def same_rules(config: Config) -> list[str]:
    """
    Return the options of the command that give a workspace the profile, the scripts and the history
    of this run; none where they are the usual ones.
    """
    profile = profile_named(config.profile)
    found: dict[str, str] = {"profile": "" if profile.name == "seed" else profile.name}
    for name, script in (
        ("setup-script", config.setup_script),
        ("maintenance-script", config.maintenance_script),
    ):
        if script is not None:
            found[name] = "-" if script.name == FROM_STANDARD_INPUT else script.name
    if config.git_tags != profile.tags:
        found["git-tags"] = str(config.git_tags).lower()
    if config.git_depth != profile.depth:
        found["git-depth"] = "all" if config.git_depth is None else str(config.git_depth)
    return [f"--{name}={shlex.quote(value)}" for name, value in found.items() if value]


def describe_scripts(config: Config, snapshot: RepositorySnapshot) -> str:
    """
    Return a line about the scripts of a repository that do not run, because others are given;
    empty if there are none.
    """
    given = config.scripts
    if given.setup is not None and snapshot.scripts_tree is not None:
        none = "" if given.maintenance else ", and no maintenance script runs"
        return f"{given.setup.name} runs in place of {SCRIPTS}/{none}"
    if given.maintenance is not None and snapshot.has_resume:
        return f"{given.maintenance.name} runs in place of {SCRIPTS}/setup-from-cache-script.sh"
    return ""


def describe_history(
    config: Config, snapshot: RepositorySnapshot, environ: Mapping[str, str]
) -> str:
    """
    Return a line about tags and commits that are not in a workspace, because what Codex does is
    not known and the profile takes the stricter way; empty if there are none.
    """
    # The header of a run without workspaces needs none of this.
    from ..projection.repository import find_tags

    missing: list[str] = []
    options: list[str] = []
    with suppress(ProjectionError):
        tool = _tool_that_reads_tags(snapshot, environ)
        # The seed's rules have always been the same: only what goes wrong with them is told.
        told = config.profile != "seed" or tool
        if told and not config.git_tags and (tags := find_tags(snapshot, environ)):
            why = f" ({tool} makes a version of them)" if tool else ""
            missing.append(f"none of {counted(len(tags), 'tag')}{why}")
            options += ["set SETUPTOOLS_SCM_PRETEND_VERSION or its like"] if tool else []
            options.append(spell_option("git-tags", "true"))
        depth = None if config.profile == "seed" else config.git_depth
        if depth is not None and _is_longer(snapshot, depth, environ):
            missing.append(f"{counted(depth, 'commit')} of the history")
            options.append(spell_option("git-depth", "all"))
    if not missing:
        return ""
    return (
        f"warning: workspaces have {' and '.join(missing)}: what Codex's first clone has is not "
        "known, and its git sync fetches no tags. `git describe` and versions that are made of "
        f"tags differ: {', or '.join(options)} if Codex has them"
    )


def _tool_that_reads_tags(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> str:
    """
    Return the first file of the commit that names a tool that makes a version of tags, with the
    tool; empty if there is none. Without tags, most of these make a wrong version and no error.
    """
    from ..projection.git import inside, reading_environment, run_git

    found = run_git(
        *(*inside(snapshot.git_dir), "grep", "-I", "--only-matching", "--no-recurse-submodules"),
        *("-E", "-e", _TAG_TOOLS, snapshot.head, "--", *_TAG_FILES),
        env=reading_environment(environ),
        timeout=_TIMEOUT,
    )
    first = found.stdout.decode("utf-8", "replace").partition("\n")[0]
    return first.partition(":")[2].replace(":", ": ")[:_SHOWN]


def _is_longer(snapshot: RepositorySnapshot, depth: int, environ: Mapping[str, str]) -> bool:
    from ..projection.git import git, inside, reading_environment

    number = git(
        *(*inside(snapshot.git_dir), "rev-list", "--count", f"--max-count={depth + 1}"),
        snapshot.head,
        env=reading_environment(environ),
        timeout=_TIMEOUT,
    )
    return int(number) > depth
