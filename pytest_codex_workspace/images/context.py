"""The build context of an image: a set of files, and a key computed from them."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .content_key import key_of

__all__ = ["BuildContext"]

# January 1980: zip files cannot store earlier times, should a build make one of these files.
_TIME = 315_619_200


class BuildContext:
    """
    The files of an image build.

    Equal files give an equal key and an equal tar, whatever their location, time
    and mode on the host.
    """

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._unkeyed: dict[str, Callable[[], bytes]] = {}

    def copy(self) -> BuildContext:
        """
        Return a context of the same files, to which others can be added.
        """
        other = BuildContext()
        other._files, other._unkeyed = dict(self._files), dict(self._unkeyed)
        return other

    @property
    def names(self) -> list[str]:
        """
        Paths of all files in the context, sorted.
        """
        return sorted(self._files)

    def add(self, name: str, content: bytes) -> None:
        """
        Add one file.

        Args:
            name: path of the file in the context.
            content: content of the file.
        """
        self._files[name] = content

    def add_unkeyed(self, name: str, read: Callable[[], bytes]) -> None:
        """
        Add a file whose content does not change the key, so that the image is not rebuilt when
        the file changes.

        Args:
            name: path of the file in the context.
            read: returns the content; called when the image is built.
        """
        self._files[name] = b""
        self._unkeyed[name] = read

    def add_tree(
        self, directory: Path, at: str, wanted: Callable[[Path], bool] = lambda _: True
    ) -> None:
        """
        Add the files below *directory*.

        Hidden files, editor backups and compiled Python files are left out.

        Args:
            directory: directory to read.
            at: path of *directory* in the context.
            wanted: selects files by their path relative to *directory*.
        """
        # Not Path.rglob, which takes ten times as long and enters __pycache__.
        for parent, directories, names in os.walk(directory):
            directories[:] = [name for name in directories if not _is_litter(name)]
            below = Path(os.path.relpath(parent, directory))
            for name in names:
                path = Path(parent, name)
                if not _is_litter(name) and path.is_file() and wanted(below / name):
                    self.add(f"{at}/{(below / name).as_posix()}", path.read_bytes())

    def key(self, **parts: str) -> str:
        """
        Return the key of an image built from these files.

        Args:
            parts: everything else that the image depends on, such as build
                arguments.
        """
        files = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in self._files.items()
            if name not in self._unkeyed
        }
        return key_of({"files": files, "directories": self._directories(), **parts})

    def write(self, directory: Path) -> None:
        """
        Write the files below *directory*, for a build on the command line.
        """
        for name in self.names:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            for above in _above(name):
                (directory / above).chmod(0o755)
            path.write_bytes(self._content(name))
            path.chmod(0o644)

    def open(self) -> BinaryIO:
        """
        Return the files as a tar archive, to send to an engine.
        """
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
            # Include directories, so that builds on the command line produce the same layers.
            for name in self._directories():
                member = tarfile.TarInfo(name)
                member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, _TIME
                tar.addfile(member)
            for name in self.names:
                content = self._content(name)
                member = tarfile.TarInfo(name)
                member.size = len(content)
                member.mode = 0o644
                member.mtime = _TIME
                tar.addfile(member, io.BytesIO(content))
        archive.seek(0)
        return archive

    def _content(self, name: str) -> bytes:
        read = self._unkeyed.get(name)
        return self._files[name] if read is None else read()

    def _directories(self) -> list[str]:
        return sorted({str(above) for name in self._files for above in _above(name)})


def _above(name: str) -> list[PurePosixPath]:
    return list(PurePosixPath(name).parents)[:-1]


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith((".pyc", "~"))
