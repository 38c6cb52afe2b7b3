"""A finding about a repository, and the table of all that can be found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..text.phrases import cut_middle

if TYPE_CHECKING:
    from .tree import CommittedTree

__all__ = ["ADDED_ID", "CHECKS", "LEVELS", "READ", "RUN", "Check", "CheckInfo", "Finding", "Level"]

Level = Literal["error", "warning", "note"]
"""`error`: it will not work in Codex; `warning`: it may not; `note`: good to know."""

LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""The levels, the worst first."""

ADDED_ID = r"[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*"
"""Ids of checks that other distributions add, as `acme.pinned-image`. Ours have no dot."""

_LONGEST = 2000
"""Characters of each text of a finding."""


@dataclass(frozen=True, slots=True)
class CheckInfo:
    """
    A kind of finding.

    Attributes:
        id: its name for users, who silence findings by it; docs/checks.md has a section for it.
        level: the level of its findings, unless one says otherwise.
        title: what is wrong, in a few words.
    """

    id: str
    level: Level
    title: str


READ: tuple[CheckInfo, ...] = (
    CheckInfo("git-tags", "warning", "The version is computed from tags, which may not arrive"),
    CheckInfo("git-remote", "error", "A command needs a remote"),
    CheckInfo("git-branch", "error", "A command needs a branch other than the one checked out"),
    CheckInfo("git-identity", "error", "A command commits, but git has no identity"),
    CheckInfo("git-history", "warning", "The clone has only a part of the history or its objects"),
    CheckInfo("git-lfs", "warning", "Files are committed as LFS pointers"),
    CheckInfo("git-filter", "warning", "Files are committed through a filter of git"),
    CheckInfo("git-submodule", "error", "A submodule cannot be fetched"),
    CheckInfo("git-uncommitted", "warning", "Changes are not committed"),
    CheckInfo("ssh-dependency", "error", "A dependency is fetched over ssh"),
    CheckInfo("apt-package", "error", "A package does not do in Codex what it does in slim"),
    CheckInfo("runtime-version", "warning", "The repository needs another version of a runtime"),
    CheckInfo("runtime-missing", "warning", "A runtime is not in the image"),
    CheckInfo("runtime-differs", "note", "The image has another version than Codex"),
    CheckInfo("docker", "error", "A command needs Docker"),
    CheckInfo("docker-services", "note", "Services are described for Docker"),
    CheckInfo("download-host", "warning", "A download is from a host outside Codex's presets"),
    CheckInfo("browser", "warning", "Tests need a browser"),
    CheckInfo("trust-store", "warning", "A client has certificates of its own"),
    CheckInfo("script-missing", "error", "A script is not in the commit"),
    CheckInfo("script-syntax", "error", "A script is not valid bash"),
    CheckInfo("script-crlf", "warning", "A script has Windows line endings"),
    CheckInfo("script-executable", "error", "A script is run, but is not executable"),
    CheckInfo("script-errors", "warning", "A script continues after a failed command"),
    CheckInfo("script-location", "warning", "A script looks for the repository beside itself"),
    CheckInfo("hidden-download", "warning", "The failure of a download is hidden"),
    CheckInfo("export-lost", "warning", "An exported variable is lost when the script ends"),
    CheckInfo("daemon", "warning", "A script starts a process that later commands miss"),
    CheckInfo("prompt", "warning", "A command may ask a question that nobody answers"),
    CheckInfo("sudo", "warning", "A command needs sudo"),
    CheckInfo("yarn-global", "error", "Yarn is installed over the one that is there"),
    CheckInfo("corepack-host", "warning", "Corepack asks a host outside the presets"),
    CheckInfo("httpx-no-proxy", "error", "httpx before 0.24.1 cannot read NO_PROXY"),
    CheckInfo("not-read", "note", "Files are too large to be read"),
    CheckInfo("resume-script", "note", "Changed dependencies do not reach a cached setup"),
)
"""What is found by reading the commit, without an engine."""

RUN: tuple[CheckInfo, ...] = (
    CheckInfo("setup-fails", "error", "Setup fails"),
    CheckInfo("resume-fails", "error", "Resuming at a newer commit fails"),
    CheckInfo("time-limit", "warning", "A script takes too long"),
    CheckInfo("out-of-memory", "error", "The memory of the workspace does not suffice"),
    CheckInfo("prompt-unanswered", "warning", "A question was asked that nobody answers"),
    CheckInfo("output-held", "error", "A process keeps the output of its script open"),
    CheckInfo("server-lost", "warning", "A server is gone in the agent phase"),
    CheckInfo("process-lost", "note", "A process is gone in the agent phase"),
    CheckInfo("service-fails", "error", "A declared service does not start"),
    CheckInfo("setup-repeat", "warning", "Setup fails on its own result"),
    CheckInfo("setup-differs", "note", "A second setup has another result"),
    CheckInfo("tracked-changes", "warning", "A script changes tracked files"),
    CheckInfo("untracked-files", "note", "A script leaves files that git does not ignore"),
    CheckInfo("plain-http", "warning", "Plain HTTP is used"),
    CheckInfo("websocket", "warning", "A WebSocket is used"),
    CheckInfo("not-https", "warning", "A connection is not HTTPS on port 443"),
    CheckInfo("direct-lookup", "warning", "A program ignores the proxy"),
    CheckInfo("distrusted-certificate", "warning", "A program distrusts the proxy's certificate"),
    CheckInfo("blocked-request", "warning", "A request of a script was refused"),
    CheckInfo("unreachable-host", "note", "A host could not be reached"),
    CheckInfo("setup-hosts", "note", "Setup needs hosts outside of Codex's presets"),
    CheckInfo("tests-fail", "error", "The project's tests fail in the agent phase"),
    CheckInfo("tests-network", "error", "The project's tests need the network"),
    CheckInfo("tests-unknown", "note", "No test command was found"),
    CheckInfo("variable-lost", "warning", "A variable that setup exported is missing"),
    CheckInfo("login-shell", "note", "A program is on PATH in login shells only"),
    CheckInfo("secret-on-disk", "error", "A secret is left on the disk"),
)
"""What is found by running the repository in a workspace."""

CHECKS: Mapping[str, CheckInfo] = MappingProxyType({one.id: one for one in (*READ, *RUN)})
"""All kinds of findings by id."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that does not work in Codex, or may not.

    Attributes:
        id: the kind of finding, by which it is silenced.
        level: how bad it is.
        what: what was found, in one sentence without a full stop.
        in_codex: what Codex would do, or that this is not known; empty if Codex has nothing to
            do with it.
        remedy: what to do about it.
        path: the file, from the top of the repository; `None` if there is none.
        line: the line in that file, from 1; `None` if the whole file is meant.
        silenced: the reason for which the repository silences this finding; empty if it does not.
        title: the title of its check.
    """

    id: str
    level: Level
    what: str
    in_codex: str
    remedy: str
    path: str | None = None
    line: int | None = None
    silenced: str = ""
    title: str = ""

    def __post_init__(self) -> None:
        """
        Take the title of one of our checks.
        """
        if not self.title and self.id in CHECKS:
            object.__setattr__(self, "title", CHECKS[self.id].title)

    @classmethod
    def of(
        cls,
        check: str | CheckInfo,
        what: str,
        in_codex: str,
        remedy: str,
        *,
        path: str | None = None,
        line: int | None = None,
        level: Level | None = None,
    ) -> Finding:
        """
        Return a finding with the level of its check, unless *level* says otherwise. Its texts are
        cut in their middle: a repository may have names and lines of any length.

        Args:
            check: one of another distribution, or a key of `CHECKS`.
            what, in_codex, remedy, path, line: as the attributes.
            level: a level other than the usual one.
        """
        info = CHECKS[check] if isinstance(check, str) else check
        what, in_codex, remedy = (cut_middle(one, _LONGEST) for one in (what, in_codex, remedy))
        return cls(
            info.id, level or info.level, what, in_codex, remedy, path, line, title=info.title
        )

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Finding:
        """
        Return the finding that `to_dict` has described. Further fields are ignored.
        """
        names = [one.name for one in dataclass_fields(cls)]
        return cls(**{name: fields[name] for name in names if name in fields})

    @property
    def where(self) -> str:
        """
        The path, with a colon and the line if there is one; empty without a path.
        """
        if self.path is None:
            return ""
        return self.path if self.line is None else f"{self.path}:{self.line}"

    def to_dict(self) -> dict[str, str | int | None]:
        """
        Return the finding as plain data for JSON.
        """
        return {
            "id": self.id,
            "level": self.level,
            "what": self.what,
            "in_codex": self.in_codex,
            "remedy": self.remedy,
            "path": self.path,
            "line": self.line,
            "silenced": self.silenced,
        }


@dataclass(frozen=True, slots=True)
class Check(CheckInfo):
    """
    A check that another distribution adds to `codex-workspace check`. Its entry point in the group
    `pytest_codex_workspace.checks` has the name `id`.

    Attributes:
        id: a prefix of the author's, a dot, and a name: `acme.pinned-image`.
        level: the level of its findings, unless one says otherwise.
        title: what is wrong, in a few words.
        find: yields the findings in the files of a commit. It must not run anything of them.

    Example:
        >>> def find(tree):
        ...     for path in tree.named("Dockerfile"):
        ...         yield CHECK.finding(f"{path} is there", "Nothing.", "Nothing.", path=path)
        >>> CHECK = Check("acme.dockerfile", "note", "There is a Dockerfile", find)
    """

    find: Callable[[CommittedTree], Iterable[Finding]]

    def finding(
        self,
        what: str,
        in_codex: str,
        remedy: str,
        *,
        path: str | None = None,
        line: int | None = None,
        level: Level | None = None,
    ) -> Finding:
        """
        Return a finding of this check.

        Args:
            what: what was found, in one sentence without a full stop.
            in_codex: what Codex would do, or that this is not known; empty if Codex has
                nothing to do with it.
            remedy: what to do about it.
            path: the file, from the top of the repository.
            line: the line in that file, from 1.
            level: a level other than that of the check.
        """
        return Finding.of(self, what, in_codex, remedy, path=path, line=line, level=level)
