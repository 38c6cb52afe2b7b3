"""Commands that need of git what Codex does not have: remotes, other branches, an identity."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...codex import NO_REMOTE
from ...text.bash_commands import ShellCommand
from ..finding import Finding
from ..repository import CheckedRepository
from ..scripts import Script

__all__ = ["commits", "git_words", "uses_of_branches", "uses_of_remotes"]

_REMOTE_REF = re.compile(r"(?<![\w./@:-])(?:(?:refs/)?remotes/)?(?:origin|upstream)/[\w@{$]")
_NEEDS_REMOTE = frozenset({"fetch", "pull", "push", "ls-remote"})
_NEEDS_REMOTE_OF_LFS = frozenset({"fetch", "pull", "push"})
_REMOTE_CONFIGS = {
    "nx.json": re.compile(r'"(?:defaultBase|base)"\s*:\s*"((?:origin|upstream)/[^"]+)"'),
    "lerna.json": re.compile(r'"(?:since)"\s*:\s*"((?:origin|upstream)/[^"]+)"'),
    "pyproject.toml": re.compile(r'^[ \t]*compare[_-]branch\s*=\s*"((?:origin|upstream)/[^"]+)"'),
}
"""Options of test tools that name a branch of a remote, by file."""

_BRANCH = re.compile(
    r"(?:--(?:base|since|changedSince|compare-branch|from-ref|against)=)?"
    r"(?P<name>main|master|develop|trunk)(?:(?:\.{2,3}|:)\S*)?|\S*\.{2,3}(?P<last>main|master|develop)"
)
_NAMES_BRANCH = frozenset(
    {"checkout", "switch", "diff", "log", "merge", "merge-base", "rebase", "rev-list", "rev-parse"}
    | {"show", "cherry", "diff-tree", "worktree", "branch"}
)
_COMMITS = frozenset({"commit", "am", "cherry-pick", "revert", "rebase", "merge", "stash"})
_WITHOUT_COMMIT = frozenset({"--abort", "--ff-only", "--no-commit", "list", "show", "drop", "pop"})
_IDENTITY = re.compile(r"user\.(email|name)\b|GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL)=|EMAIL=")
_OPTIONS = re.compile(r"^-\w*[asmu]")

_ELSEWHERE = frozenset({"-C", "--git-dir", "--work-tree"})
"""Options of git that can name another repository."""

_HERE = frozenset({".", ".git", "./.git", "$PWD", "${PWD}", "$PWD/.git", "${PWD}/.git"})
"""Values of these that name this one."""

_WITH_VALUE = _ELSEWHERE | {"-c", "--namespace", "--config-env", "--attr-source"}
"""Options of git in front of the subcommand whose value may be the next word."""


def uses_of_remotes(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find commands and options that need a remote of the repository.
    """
    for script in repo.scripts:
        for line, what in _remotes_in(script):
            yield _needs_remote(
                f"{what} needs a remote, and {NO_REMOTE[0]}", _remedy(what), script.path, line
            )
    for name, pattern in _REMOTE_CONFIGS.items():
        for path, text in repo.tree.texts([name]):
            for number, content in enumerate(text.splitlines(), 1):
                if found := pattern.search(content):
                    yield _needs_remote(
                        f"{found[1]} is a branch of a remote, and {NO_REMOTE[0]}",
                        NO_REMOTE[1],
                        path,
                        number,
                    )


def _remedy(what: str) -> str:
    """
    Return what to do about a command or the name of a remote's branch.
    """
    if what.startswith("git lfs"):
        return "Download the files over HTTPS, or commit them without LFS."
    if what.startswith("git "):
        remedy = f"Delete the line, or let it fail where there is no remote (`{what} ... || true`)"
        if what.removeprefix("git ") in _NEEDS_REMOTE:
            remedy += ", or name an address with https:// in place of the remote"
        return f"{remedy}."
    return NO_REMOTE[1]


def _needs_remote(what: str, remedy: str, path: str | None, line: int | None) -> Finding:
    return Finding.of(
        "git-remote",
        what,
        "Codex removes the remote before the agent starts; only the branch `work` is there.",
        remedy,
        path=path,
        line=line,
    )


def _remotes_in(script: Script) -> Iterator[tuple[int | None, str]]:
    every = list(script.commands())
    if any(git_words(one.command)[:2] in _ADDS_REMOTE for one in every):
        return
    for one in every:
        words = git_words(one.command)
        plain = one.command.plain
        if one.tolerated or plain[:1] in (["echo"], ["printf"], ["["], ["[["], ["test"]):
            continue
        names = (
            word
            for word in one.command.words
            if "://" not in word and len(word.split()) == 1 and _REMOTE_REF.search(word)
        )
        if ref := next(names, ""):
            yield one.line, ref
        elif words and not any("://" in word or "@" in word for word in words):
            lfs = words[0] == "lfs"
            used, needs = words[lfs:], _NEEDS_REMOTE_OF_LFS if lfs else _NEEDS_REMOTE
            if used and used[0] in needs:
                yield one.line, f"git {'lfs ' if lfs else ''}{used[0]}"
            elif words[:2] == ["submodule", "update"] and "--remote" in words:
                yield one.line, "git submodule update --remote"
            elif words[:2] == ["remote", "get-url"] or words[:3] == ["remote", "show", "origin"]:
                yield one.line, f"git {' '.join(words[:2])}"


_ADDS_REMOTE = (["remote", "add"], ["remote", "set-url"])


def uses_of_branches(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find commands that need a local branch other than `work`.
    """
    for script in repo.scripts:
        every = list(script.commands())
        if any(_makes_branch(git_words(one.command)) for one in every):
            continue
        for one in every:
            if not one.tolerated and (name := _named_branch(one.command)):
                yield Finding.of(
                    "git-branch",
                    f"{name} is named as a branch, and there is none but `work`",
                    "Codex has one local branch, `work`, and no remote: git does not know the name "
                    "and fails.",
                    "Compare with a commit that HEAD contains, such as HEAD~1, or skip the command "
                    "if `git rev-parse --verify --quiet NAME` fails.",
                    path=script.path,
                    line=one.line,
                )


def _makes_branch(words: list[str]) -> bool:
    creates = words[:1] in (["checkout"], ["switch"]) and any(
        one in ("-b", "-B", "-c", "-C", "--orphan", "--create") for one in words
    )
    return (
        creates
        or words[:1] in (["clone"], ["init"])
        or words[:2] in _ADDS_REMOTE
        or (words[:1] == ["fetch"] and any("://" in one or "@" in one for one in words))
        or (words[:1] == ["rev-parse"] and "--verify" in words)
        or words[:1] == ["show-ref"]
    )


def _named_branch(command: ShellCommand) -> str:
    words = git_words(command)
    if words and (words[0] not in _NAMES_BRANCH or (words[0] == "branch" and len(words) < 3)):
        return ""
    options = [one for one in command.words if one.startswith("--")]
    candidates = words[1 : words.index("--") if "--" in words else None] if words else options
    for word in candidates:
        found = _BRANCH.fullmatch(word)
        if found and (words or word.startswith("--")):
            return found["name"] or found["last"]
    return ""


def commits(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find commands that make commits while nothing says who makes them.
    """
    if any(name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_")) for name in repo.choices.variables):
        return
    if any(_IDENTITY.search(one.text) for one in repo.preparing):
        return
    for script in repo.scripts:
        for found in () if _IDENTITY.search(script.text) else script.commands():
            words = git_words(found.command)
            if words and not found.tolerated and _commits(words):
                yield Finding.of(
                    "git-identity",
                    f"git {words[0]} needs to know who you are, and nothing has told git",
                    "Codex has no user.name and user.email: git asks who you are, and fails.",
                    "Set them in the script: `git config user.email you@example.com` and `git "
                    "config user.name You`.",
                    path=script.path,
                    line=found.line,
                )


def _commits(words: list[str]) -> bool:
    if words[0] == "tag":
        options = [one for one in words[1:] if one.startswith("-")]
        return any(_OPTIONS.match(one) or one in ("--annotate", "--sign") for one in options)
    return words[0] in _COMMITS and not _WITHOUT_COMMIT.intersection(words)


def git_words(command: ShellCommand) -> list[str]:
    """
    Return the words of a git command from the subcommand on, if it is one for this repository.
    """
    words = command.plain
    if command.name != "git":
        return []
    at = 1
    while at < len(words) and words[at].startswith("-"):
        option, equals, value = words[at].partition("=")
        apart = option in _WITH_VALUE and not equals
        if apart:
            value = words[at + 1] if at + 1 < len(words) else ""
        if option in _ELSEWHERE and value.rstrip("/") not in _HERE:
            return []
        at += 2 if apart else 1
    return words[at:]
