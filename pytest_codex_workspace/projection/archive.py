"""Pack a commit, its history and its submodules into an archive for a workspace."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from ..errors import ProjectionError
from .git import isolated_environment
from .pack import Copier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from _typeshed import WriteableBuffer

    from .repository import RepositorySnapshot

__all__ = ["Projection"]

_ROOT = "codex-projection"


class Projection:
    """
    A commit as an archive, and the command that checks it out in a workspace.

    The archive holds bare repositories, packed by git, with the commit and its
    history only: no configuration, credentials, hooks, stashes, other branches or
    remotes of the host. The archive is an unnamed file, which disappears with
    the process.

    Example:
        >>> with Projection.of(snapshot) as projection:  # doctest: +SKIP
        ...     engine.put_archive(container, projection.unpack_dir, projection.open())
        ...     agent.run(projection.command)
    """

    unpack_dir = "/"
    """Directory of the container in which to unpack the archive."""

    def __init__(self, archive: BinaryIO, *, target: str, head: str) -> None:
        self._archive = archive
        self._target = target
        self._head = head
        self._size = os.fstat(archive.fileno()).st_size

    @classmethod
    def of(
        cls, snapshot: RepositorySnapshot, *, environ: Mapping[str, str] | None = None
    ) -> Projection:
        """
        Pack the commit of *snapshot* from the host's repositories.

        Args:
            snapshot: the result of `open_repository`.
            environ: environment for git; that of this process if omitted.

        Raises:
            ProjectionError: objects are missing, or git failed.
        """
        try:
            return cls._pack(snapshot, os.environ if environ is None else environ)
        except OSError as error:
            raise ProjectionError(
                f"the projection of {snapshot.path} cannot be written to a temporary directory: "
                f"{error}; free some space there, or set TMPDIR to another directory"
            ) from None

    @classmethod
    def _pack(cls, snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Projection:
        target = f"/workspace/{snapshot.name}"
        with tempfile.TemporaryDirectory(prefix="codex-projection-") as directory:
            scratch = Path(directory)
            env = isolated_environment(environ, scratch)
            copier = Copier(scratch, snapshot.object_format, env)
            plan = {
                "target": target,
                **copier.copy(snapshot.path, snapshot.common_dir, snapshot.head),
                "submodules": copier.copy_all(snapshot.path, snapshot.submodules),
            }
            archive = tempfile.TemporaryFile()  # noqa: SIM115
            try:
                _write_tar(archive, plan, scratch, copier.files())
            except BaseException:
                archive.close()
                raise
        return cls(archive, target=target, head=snapshot.head)

    @property
    def target(self) -> str:
        """
        Project directory in the workspace, `/workspace/<name>`.
        """
        return self._target

    @property
    def head(self) -> str:
        """
        Full commit id.
        """
        return self._head

    @property
    def size(self) -> int:
        """
        Size of the archive, in bytes.
        """
        return self._size

    @property
    def command(self) -> list[str]:
        """
        Command that checks out `head` in a container.

        The archive must have been unpacked there. The command updates the project
        directory and removes the unpacked files. If it fails, it prints the reason
        on standard error.
        """
        return ["python3", "-I", f"/{_ROOT}/apply_projection.py"]

    def open(self) -> BinaryIO:
        """
        Return a new reader of the whole archive.

        Readers are independent of each other, also in several threads.
        """
        return io.BufferedReader(_Reader(self._archive, self._size))

    def close(self) -> None:
        """
        Delete the archive. Readers that are still open raise an error.
        """
        self._archive.close()

    def __enter__(self) -> Projection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Reader(io.RawIOBase):
    """
    A reader with its own position in a shared file.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        data = os.pread(self._file.fileno(), memoryview(buffer).nbytes, self._at)
        memoryview(buffer)[: len(data)] = data
        self._at += len(data)
        return len(data)


def _write_tar(
    archive: BinaryIO, plan: Mapping[str, object], scratch: Path, files: Iterable[Path]
) -> None:
    """
    Write all files below one directory, each directory entry before its content.
    """
    script = resources.files("pytest_codex_workspace.in_container") / "apply_projection.py"
    contents: dict[str, bytes | Path] = {
        "apply_projection.py": script.read_bytes(),
        "plan.json": json.dumps(plan).encode(),
        **{str(path.relative_to(scratch)): path for path in files},
    }
    made = set()
    # The time of a file that was just written: a test may have frozen the time of Python.
    now = int(scratch.stat().st_mtime)
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in contents.items():
            path = PurePosixPath(_ROOT, name)
            for parent in [*reversed(path.parents)][1:]:
                if parent not in made:
                    made.add(parent)
                    entry = tarfile.TarInfo(str(parent))
                    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, now
                    tar.addfile(entry)
            entry = tarfile.TarInfo(str(path))
            entry.mode, entry.mtime = 0o644, now
            if isinstance(content, bytes):
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            else:
                entry.size = content.stat().st_size
                with content.open("rb") as file:
                    tar.addfile(entry, file)
    archive.flush()
