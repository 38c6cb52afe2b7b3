"""What git and bash of this machine tell: history, work tree, submodules, scripts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

from ...codex import RESUME, SCRIPTS, SETUP
from ...errors import ProjectionError
from ...network.rules.hosts import is_private, literal_address
from ...projection.repository import skips_submodules
from ...projection.work_tree import find_changes
from ...secrets.file_names import may_hold_secret
from ...text.option_names import spell_option
from ...text.phrases import counted, first_of
from ...text.urls import without_credentials
from ..clone import Clone
from ..finding import Finding, Level
from ..repository import CheckedRepository
from ..scripts import file_for_shell, path_from_top

__all__ = [
    "clone_history",
    "files_not_committed",
    "missing_scripts",
    "script_syntax",
    "submodule_addresses",
    "uncommitted_changes",
]

_SHOWN = 5
_TIMEOUT = 5.0
_MOST_SUBMODULES = 200
_MOST_SYNTAX = 12
"""Scripts whose syntax is checked: each costs a process."""

_MOST_SAID = 3
_LONGEST_SAID = 160
"""What is shown of bash's message, which repeats the line of the script."""

_SYNTAX_LINE = re.compile(r"line (\d{1,9}):")
_SCP = re.compile(r"(?:[^/:@]+@)?[^/:]+:(?!//)")
"""Matches `user@host:path`, which is ssh."""

_PRIVATE_DOMAINS = (".internal", ".local", ".lan", ".corp", ".home", ".localdomain", ".localhost")


def clone_history(clone: Clone, _: CheckedRepository) -> Iterator[Finding]:
    """
    Find out whether the clone is shallow or partial.
    """
    if clone.shallow:
        yield Finding.of(
            "git-history",
            "this is a shallow clone: the workspace has the same incomplete history, and no other "
            "clone can use its cache",
            "Codex makes a clone of its own; how much of the history it has differs (100 commits "
            "were seen).",
            "Run git fetch --unshallow; in CI, check out the full history.",
        )
    partial = r"^(remote\..*\.promisor|extensions\.partialclone)$"
    asked = clone.ask("config", "--get-regexp", partial)
    if asked.stdout.strip():
        yield Finding.of(
            "git-history",
            "this is a partial clone: objects that git would fetch later are not in the workspace",
            "Codex makes a clone of its own, whose objects are all there.",
            "Run git fetch --refetch --no-filter (git 2.36), or clone again without --filter.",
        )


def uncommitted_changes(clone: Clone, _: CheckedRepository) -> Iterator[Finding]:
    """
    Find changes of the work tree that are not in the commit.
    """
    if not clone.is_head:
        return
    try:
        found = find_changes(clone.top, clone.environ, timeout=_TIMEOUT)
    except ProjectionError:
        # Slow in a large work tree, and no workspace needs it; doctor says so.
        return
    names = [*found.changed, *found.untracked]
    secret = next(filter(may_hold_secret, found.untracked), "")
    if names:
        yield Finding.of(
            "git-uncommitted",
            f"{counted(len(names), 'file')} of the work tree "
            f"{'is' if len(names) == 1 else 'are'} changed or new, and not committed: "
            f"{first_of(names, _SHOWN)}",
            "Codex gets the commit only.",
            "Run git add and git commit for the files that the workspace needs."
            + (f" {secret} may hold secrets: {_NOT_COMMITTED}." if secret else ""),
        )


def submodule_addresses(clone: Clone, repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find submodules that Codex, which does not have your clone, cannot fetch.
    """
    if skips_submodules(clone.environ) or skips_submodules(repo.choices.variables):
        return
    text = repo.tree.text(".gitmodules")
    uses = repo.prepares(r"\bgit (-\S+ ){0,10}submodule\b")
    for name, url, line in _urls(clone, text):
        reason = _unreachable(url, uses=uses)
        if reason:
            why, level = reason
            yield Finding.of(
                "git-submodule",
                f"Codex may not fetch the submodule {name} ({without_credentials(url)}: {why})",
                "Codex fetches submodules over HTTPS when it clones, without your keys and your "
                "network; workspaces here copy them from your clone.",
                "Use https:// URLs in .gitmodules, or set CODEX_SKIP_SUBMODULES=1 to get a "
                "workspace without submodules.",
                path=".gitmodules",
                line=line,
                level=level,
            )


def _urls(clone: Clone, text: str) -> Iterator[tuple[str, str, int | None]]:
    if not text:
        return
    listed = clone.ask(
        *("config", "--file=-", "--no-includes", "-z", "--get-regexp", r"^submodule\..*\.url$"),
        input=text.encode("utf-8", "surrogateescape"),
    )
    for entry in os.fsdecode(listed.stdout).split("\0")[:_MOST_SUBMODULES]:
        key, newline, url = entry.partition("\n")
        if newline:
            at = re.search(rf"^[ \t]*url[ \t]*=[ \t]*\"?{re.escape(url)}", text, re.MULTILINE)
            line = text.count("\n", 0, at.end()) + 1 if at else None
            yield key.removeprefix("submodule.").removesuffix(".url"), url, line


def _unreachable(url: str, *, uses: bool) -> tuple[str, Level] | None:
    """
    Return why Codex cannot fetch *url*, and how bad that is; `None` if no reason is known.

    Args:
        url: the URL in `.gitmodules`.
        uses: whether a script updates submodules.
    """
    if url.startswith(("./", "../")):
        what = "relative to the remote, which is gone when a script runs"
        return what, "warning" if uses else "note"
    if url.startswith(("/", "file:")):
        return "a directory on this machine", "error"
    try:
        parts = urlsplit(url) if "://" in url else None
    except ValueError:
        return "not a valid URL", "error"
    if parts is None:
        return ("ssh" if _SCP.match(url) else "not a URL"), "error"
    if parts.scheme != "https":
        return {"git+ssh": "ssh", "http": "plain HTTP"}.get(parts.scheme, parts.scheme), "error"
    host = (parts.hostname or "").lower()
    literal = literal_address(host)
    if literal is not None:
        return ("a private address", "error") if is_private(literal, (), ()) else None
    if "." not in host or host.endswith(_PRIVATE_DOMAINS):
        return "a private host", "error"
    return None


def missing_scripts(clone: Clone, repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find scripts that the work tree has, and the commit has not.
    """
    tree, given = repo.tree, repo.choices.given
    if "setup" in given:
        return
    if "resume" in given and SETUP not in tree.files:
        yield Finding.of(
            "script-missing",
            f"{given['resume'][0]} is the maintenance script, and there is no setup script",
            "Codex runs the maintenance script in a container that the setup script has made.",
            f"Give the setup script with {spell_option('setup-script', 'PATH')}, or commit "
            f"{SETUP}.",
        )
        return
    ignored = _ignored(clone)
    if ignored:
        yield Finding.of(
            "script-missing",
            f"git ignores {first_of(ignored, _SHOWN)}, so it is not in the workspace",
            "Codex gets the commit only.",
            f"Remove the pattern from .gitignore or run git add --force, and commit {SCRIPTS}/.",
            path=ignored[0],
        )
    elif any(path.startswith(f"{SCRIPTS}/") for path in tree.files):
        if SETUP not in tree.files:
            yield Finding.of(
                "script-missing",
                f"{SCRIPTS}/ is in the commit, but has no setup-script.sh, which this project's "
                "convention requires",
                "Codex runs the setup script of its environment's settings; here, it is this file.",
                f"Add and commit {SETUP}, or remove the directory.",
            )
    elif SCRIPTS in tree.files:
        yield Finding.of(
            "script-missing",
            f"{SCRIPTS} is a link or a file, and no directory: no script runs",
            "Codex runs the setup script of its environment's settings; here, it is a file of this "
            "directory.",
            f"Make it a directory; {SETUP} itself may be a link to a file of the repository.",
            path=SCRIPTS,
        )
    elif clone.is_head and (clone.top / SCRIPTS).is_dir():
        yield Finding.of(
            "script-missing",
            f"{SCRIPTS}/ is in the work tree, but not in the commit: no script runs",
            "Codex gets the commit only.",
            f"Run git add {SCRIPTS} and git commit.",
            level="warning",
        )


_MADE = frozenset(
    {".venv", "venv", "env", ".env", "node_modules", "target", "build", "dist", ".tox", ".nox"}
    | {"vendor", "_build", "out", "bin", "tmp", ".git"}
)
"""Folders that setup makes; the work tree has them because you have run it."""


_MAKERS = frozenset({"cp", "mv", "touch", "tee", "curl", "wget", "ln", "[", "[[", "test"})


def files_not_committed(clone: Clone, repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find files that a script runs or reads, and that only the work tree has.
    """
    made: set[str] = set()
    for script, found in repo.commands("setup", "resume", "called") if clone.is_head else ():
        made.update(word for operator, word in found.command.redirected if ">" in operator)
        if found.command.name in _MAKERS:
            # One that is asked for may be missing.
            made.update(found.command.plain[1:])
            continue
        name = _needed_file(found.command.plain)
        known = name in made or name.removeprefix("./") in made
        path = path_from_top("", name) if name and not known else ""
        if not path or path in repo.tree.files or not _MADE.isdisjoint(path.split("/")[:-1]):
            continue
        if not found.tolerated and _is_file(clone, path):
            yield Finding.of(
                "script-missing",
                f"{path} is used, and is in the work tree, but not in the commit",
                "Codex gets the commit only: `No such file or directory`.",
                _remedy_for(path, repo),
                path=script.path,
                line=found.line,
            )


_NOT_COMMITTED = (
    "do not commit it; name their variables in `secrets:` of .codex-workspace.yaml, and let the "
    "script read those"
)


def _remedy_for(path: str, repo: CheckedRepository) -> str:
    """
    Return how a workspace gets a file that is not in the commit.
    """
    if may_hold_secret(path):
        remedy = f"{path} may hold secrets: {_NOT_COMMITTED}. What is no secret can be in `env:`"
    else:
        remedy = f"Run git add --force {path} and git commit"
    endings = (".example", ".sample", ".template", ".dist")
    example = next((path + end for end in endings if path + end in repo.tree.files), "")
    made = (
        f"as with `cp {example} {path}`" if example else "from what is in the commit or downloaded"
    )
    return f"{remedy}; or let the script make it, {made}."


def _is_file(clone: Clone, path: str) -> bool:
    """
    Check whether the work tree has a file. A word of a script can be too long for a name.
    """
    try:
        return (clone.top / path).is_file()
    except (OSError, ValueError):
        return False


def _needed_file(words: list[str]) -> str:
    """
    Return the file that a command runs or reads; empty if it is not known.
    """
    if not words:
        return ""
    if words[0].startswith("./"):
        return words[0]
    if given := file_for_shell(words):
        return given
    for at, word in enumerate(words[:-1]):
        if word in ("-r", "--requirement", "--env-file") and words[0].endswith(
            ("pip", "pip3", "uv")
        ):
            return words[at + 1]
    return ""


def _ignored(clone: Clone) -> list[str]:
    if not clone.is_head:
        return []
    listed = clone.ask(
        *("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--"),
        *(f":(top){SETUP}", f":(top){RESUME}"),
        in_work_tree=True,
    )
    return [name for name in os.fsdecode(listed.stdout).split("\0") if name]


def script_syntax(clone: Clone, repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find scripts that this machine's bash cannot read.
    """
    bash = shutil.which("bash", path=clone.environ.get("PATH"))
    scripts = [one for one in repo.preparing if one.mode][:_MOST_SYNTAX]
    for script in scripts if bash else []:
        # Of a file, the rules get the beginning only; a script that an option gives is no file.
        text = repo.tree.text(script.path or "") or script.text
        message = _said_of_syntax(clone, bash or "", text)
        if message is None:
            yield Finding.of(
                "script-syntax",
                f"bash needs more than {_TIMEOUT:g} s to read {script.path}, so it is not known "
                "whether it is valid",
                "Bash would need as long before it runs anything.",
                "Make the script shorter.",
                path=script.path,
                level="warning",
            )
        if not message:
            continue
        line = _SYNTAX_LINE.search(message)
        old = _is_old(bash or "")
        yield Finding.of(
            "script-syntax",
            "\n".join(
                re.sub(r"^\S*bash: ", f"{script.path}: ", one[:_LONGEST_SAID])
                for one in message.splitlines()[:_MOST_SAID]
            ),
            "Bash stops at this line, or runs none of the script.",
            "This machine's bash is older than 4, and workspaces have a newer one. Install a newer "
            "bash to be sure."
            if old
            else "Fix the line and commit.",
            path=script.path,
            line=int(line[1]) if line else None,
            level="warning" if old else "error",
        )


def _said_of_syntax(clone: Clone, bash: str, text: str) -> str | None:
    """
    Return what bash says of a script that it cannot read; `None` if it takes too long.
    """
    try:
        done = subprocess.run(
            [bash, "-n"],
            input=text.replace("\r\n", "\n").encode("utf-8", "replace"),
            env={**clone.environ, "LC_ALL": "C"},
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    said = done.stderr.decode("utf-8", "replace").strip()
    return (said or "bash cannot read it") if done.returncode else ""


def _is_old(bash: str) -> bool:
    output = subprocess.run(
        [bash, "--version"], capture_output=True, timeout=_TIMEOUT, check=False
    ).stdout
    number = re.search(rb"version (\d+)", output)
    return number is not None and int(number[1]) < 4
