"""What the rules look at: the files of a commit, its scripts, and the variables of a workspace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..codex import RUNTIMES
from .default_registries import DefaultHosts
from .scripts import Found, Role, Script, collect_scripts
from .tree import CommittedTree

__all__ = ["CheckedRepository", "Choices"]


@dataclass(frozen=True, slots=True)
class Choices:
    """
    What the user has chosen for the workspaces of a repository.

    Attributes:
        variables: the variables of workspaces that the profile and the user have set.
        test_command: the configured command of the tests.
        given: name and text of scripts that run in place of those of the repository.
        image: the image of workspaces; empty if it is not known.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    test_command: str = ""
    given: Mapping[Role, tuple[str, str]] = field(default_factory=dict)
    image: str = ""


_NOTHING_CHOSEN = Choices()


class CheckedRepository:
    """
    A repository at a commit.

    Attributes:
        tree: the files of the commit.
        choices: what the user has chosen for its workspaces.
        default_hosts: tells from which hosts pip and npm get packages where nothing is configured.
    """

    def __init__(
        self,
        tree: CommittedTree,
        choices: Choices = _NOTHING_CHOSEN,
        default_hosts: DefaultHosts = lambda _: None,
    ) -> None:
        """
        Take the files, and read scripts only when a rule asks for them.

        Args:
            tree: the files of the commit.
            choices: what the user has chosen for its workspaces.
            default_hosts: tells from which hosts pip and npm get packages where nothing is
                configured.
        """
        self.tree = tree
        self.choices = choices
        self.default_hosts = default_hosts

    @cached_property
    def scripts(self) -> list[Script]:
        """
        The scripts of the repository, and the commands of its tests.
        """
        return collect_scripts(self.tree, self.choices.test_command, self.choices.given)

    def scripts_of(self, *roles: Role) -> list[Script]:
        """
        Return the scripts with one of these roles.
        """
        return [one for one in self.scripts if one.role in roles]

    @property
    def preparing(self) -> list[Script]:
        """
        The scripts that prepare a workspace.
        """
        return self.scripts_of("setup", "resume", "called")

    def commands(self, *roles: Role) -> Iterator[tuple[Script, Found]]:
        """
        Yield the commands of the scripts with one of these roles; of all without any.
        """
        for script in self.scripts_of(*roles) if roles else self.scripts:
            for found in script.commands():
                yield script, found

    def prepares(self, pattern: str) -> bool:
        """
        Check whether a command of a script that prepares a workspace, written in one line,
        matches *pattern*.
        """
        wanted = re.compile(pattern)
        return any(
            wanted.search(" ".join(found.command.words))
            for script in self.preparing
            for found in script.commands()
        )

    def sets(self, *names: str) -> bool:
        """
        Check whether the user or a script that prepares a workspace sets one of the variables.
        """
        if not names:
            return False
        if any(one.startswith(name) for one in self.choices.variables for name in names):
            return True
        wanted = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\w*=")
        return any(wanted.search(one.text) for one in self.preparing)

    def version_of(self, runtime: str) -> str:
        """
        Return the version of a runtime of `codex.RUNTIMES` that a workspace uses.
        """
        return self.choices.variables.get(f"CODEX_ENV_{runtime}_VERSION", RUNTIMES[runtime])
