"""Real git repositories for unit tests, whatever the machine's git configuration says."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Repository", "fingerprint", "host_environment"]

# Otherwise, each commit starts a process that looks for something to tidy up.
_SETTINGS = ("-c", "protocol.file.allow=always", "-c", "maintenance.auto=false")


def host_environment(home: Path) -> dict[str, str]:
    """
    Return the environment of a user without any git configuration.
    """
    home.mkdir(exist_ok=True)
    return {
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_AUTHOR_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A",
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(home),
        "PATH": os.environ["PATH"],
    }


class Repository:
    """
    A repository with a work tree at *path*.
    """

    def __init__(self, path: Path, env: dict[str, str], *options: str) -> None:
        self.path = path
        self.env = env
        path.mkdir(parents=True, exist_ok=True)
        if not (path / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main", *options)

    def git(self, *args: str | bytes | Path) -> str:
        """
        Run git in the work tree.
        """
        done = subprocess.run(
            ["git", *_SETTINGS, *args],
            cwd=self.path,
            env=self.env,
            check=False,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        return os.fsdecode(done.stdout).strip()

    def commit(self, files: dict[str, str | bytes | None] | None = None) -> None:
        """
        Write *files*, remove those with the value `None`, and commit everything.
        """
        for name, content in (files or {}).items():
            path = self.path / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=m")

    def head(self) -> str:
        """
        Return the full id of the commit at HEAD.
        """
        return self.git("rev-parse", "HEAD")

    def submodule(self, path: str, name: str | None = None) -> Repository:
        """
        Create a submodule with one commit, in the layout of old versions of git.

        Its git directory is inside its work tree. The next `commit` records it.
        """
        module = Repository(self.path / path, self.env)
        module.commit({"i.txt": f"{path}\n".encode("utf-8", "surrogateescape")})
        self.git("config", "--file=.gitmodules", f"submodule.{name or path}.path", path)
        return module


def fingerprint(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """
    Return mode, modification time and content of everything below *root*.
    """
    found = {}
    for path in [root, *root.rglob("*")]:
        facts = path.lstat()
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        else:
            content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (facts.st_mode, facts.st_mtime_ns, content)
    return found
