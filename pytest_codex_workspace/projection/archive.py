"""Pack a commit, its history and its submodules into an archive for a workspace."""

from __future__ import annotations

import bisect
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
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from _typeshed import WriteableBuffer

    from .repository import RepositorySnapshot

__all__ = ["COMMAND", "ROOT", "Projection"]

ROOT = "codex-projection"
"""Directory of the archive, below the one in which it is unpacked."""

COMMAND = ("python3", "-I", f"/{ROOT}/apply_projection.py")
"""
Command that applies an archive, unpacked below `/`, in a container.

The command brings the project directory to the commit, and removes the unpacked files. If it
fails, it prints the reason on standard error.
"""

_BUFFER = 1 << 16
_SMALL = 1 << 16


class Projection:
    """
    A commit as an archive, which `COMMAND` checks out in a workspace.

    The archive holds bare repositories, packed by git, with the commit and its
    history only: no configuration, credentials, hooks, stashes, other branches or
    remotes of the host. The archive is put together while it is read, from unnamed
    files, which disappear with the process: it is neither in memory nor on the disk
    a second time.

    Example:
        >>> with Projection.of(snapshot) as projection:  # doctest: +SKIP
        ...     engine.put_archive(container, projection.unpack_dir, projection.open())
        ...     agent.run(COMMAND)
    """

    unpack_dir = "/"
    """Directory of the container in which to unpack the archive."""

    def __init__(self, archive: _Archive, *, target: str, head: str) -> None:
        self._archive = archive
        self._target = target
        self._head = head

    @classmethod
    def of(
        cls,
        snapshot: RepositorySnapshot,
        *,
        have: str | None = None,
        environ: Mapping[str, str] | None = None,
        on_scratch: Callable[[Path], None] | None = None,
    ) -> Projection:
        """
        Pack the commit of *snapshot* from the host's repositories.

        Args:
            snapshot: the result of `open_repository`.
            have: a commit that the workspace has. What it has, too, is left out if the host's
                repository has that commit; the exit code of `COMMAND` is
                `apply_projection.OBJECTS_MISSING` if the workspace turns out not to have it.
            environ: environment for git; that of this process if omitted.
            on_scratch: called with the directory in which the packs grow.

        Raises:
            ProjectionError: objects are missing, or git failed.
        """
        try:
            env = os.environ if environ is None else environ
            return cls._pack(snapshot, have, env, on_scratch)
        except OSError as error:
            raise ProjectionError(
                f"the projection of {snapshot.path} cannot be written to a temporary directory: "
                f"{error}; free some space there, or set TMPDIR to another directory"
            ) from None

    @classmethod
    def _pack(
        cls,
        snapshot: RepositorySnapshot,
        have: str | None,
        environ: Mapping[str, str],
        on_scratch: Callable[[Path], None] | None,
    ) -> Projection:
        target = f"/workspace/{snapshot.name}"
        with tempfile.TemporaryDirectory(prefix="codex-projection-") as directory:
            scratch = Path(directory)
            if on_scratch is not None:
                on_scratch(scratch)
            env = isolated_environment(environ, scratch)
            copier = Copier(scratch, snapshot.object_format, env)
            plan = {
                "target": target,
                **copier.copy_with_submodules(
                    *(snapshot.path, snapshot.common_dir, snapshot.head, snapshot.submodules),
                    tags=snapshot.tags or (),
                    depth=snapshot.depth,
                    have=have,
                ),
            }
            archive = _Archive()
            try:
                _fill(archive, plan, scratch, copier.files())
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
        return self._archive.size

    def open(self, on_read: Callable[[int], object] = lambda _: None) -> BinaryIO:
        """
        Return a new reader of the whole archive.

        Readers are independent of each other, also in several threads.

        Args:
            on_read: called with the number of bytes that were read so far.
        """
        return io.BufferedReader(_Reader(self._archive, on_read), _BUFFER)

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


class _Archive:
    """
    The pieces of a tar: bytes, and open files.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._pieces: list[bytes | BinaryIO] = []
        self.size = 0
        self.closed = False

    def add(self, piece: bytes | BinaryIO, size: int) -> None:
        """
        Append a piece; a file is closed with the archive.
        """
        if size:
            self._starts.append(self.size)
            self._pieces.append(piece)
            self.size += size

    def read(self, at: int, length: int) -> bytes:
        """
        Return at most *length* bytes from the position *at*, of one piece only.
        """
        if self.closed:
            raise ValueError("the archive is closed")
        if not 0 <= at < self.size:
            return b""
        number = bisect.bisect_right(self._starts, at) - 1
        piece, offset = self._pieces[number], at - self._starts[number]
        if isinstance(piece, bytes):
            return piece[offset : offset + length]
        return os.pread(piece.fileno(), length, offset)

    def close(self) -> None:
        """
        Close the files, which are gone then.
        """
        self.closed = True
        for piece in self._pieces:
            if not isinstance(piece, bytes):
                piece.close()
        self._pieces.clear()


class _Reader(io.RawIOBase):
    """
    A reader with its own position in a shared archive.
    """

    def __init__(self, archive: _Archive, on_read: Callable[[int], object]) -> None:
        self._archive = archive
        self._on_read = on_read
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._archive.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        data = self._archive.read(self._at, memoryview(buffer).nbytes)
        memoryview(buffer)[: len(data)] = data
        self._at += len(data)
        self._on_read(self._at)
        return len(data)


def _fill(
    archive: _Archive, plan: Mapping[str, object], scratch: Path, files: Iterable[Path]
) -> None:
    """
    Add all files below one directory, each directory entry before its content.
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

    def add(entry: tarfile.TarInfo, mode: int, content: bytes | BinaryIO = b"") -> None:
        entry.mode, entry.mtime = mode, now
        head = entry.tobuf(tarfile.GNU_FORMAT)
        archive.add(head, len(head))
        archive.add(content, entry.size)
        padding = -entry.size % tarfile.BLOCKSIZE
        archive.add(bytes(padding), padding)

    for name, content in contents.items():
        path = PurePosixPath(ROOT, name)
        for parent in [*reversed(path.parents)][1:]:
            if parent not in made:
                made.add(parent)
                entry = tarfile.TarInfo(str(parent))
                entry.type = tarfile.DIRTYPE
                add(entry, 0o755)
        entry = tarfile.TarInfo(str(path))
        if isinstance(content, Path):
            entry.size = content.stat().st_size
            # A repository with many submodules has many small files.
            small = entry.size <= _SMALL
            add(entry, 0o644, content.read_bytes() if small else content.open("rb", buffering=0))
        else:
            entry.size = len(content)
            add(entry, 0o644, content)
    end = 2 * tarfile.BLOCKSIZE + -(archive.size + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE
    archive.add(bytes(end), end)
