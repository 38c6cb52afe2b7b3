"""What an image is built from: a set of files, and one key over all of them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from .keys import key_of

__all__ = ["BuildContext"]

# Before 1980, zip files could not be made of what is copied from the context.
_TIME = 315_619_200


class BuildContext:
    """
    Files for an image build. Equal files give an equal key and an equal tar,
    wherever they were read and whatever their time and mode.
    """

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._unkeyed: set[str] = set()

    @property
    def names(self) -> list[str]:
        """
        The path of each file, sorted.
        """
        return sorted(self._files)

    def add(self, name: str, content: bytes, *, keyed: bool = True) -> None:
        """
        Add one file.

        Args:
            name: its path in the context.
            content: its bytes.
            keyed: whether the image is made anew when they change.
        """
        self._files[name] = content
        if not keyed:
            self._unkeyed.add(name)

    def add_tree(
        self, directory: Path, at: str, wanted: Callable[[Path], bool] = lambda _: True
    ) -> None:
        """
        Add the files below *directory* that a build can need.

        Args:
            directory: where they are. What Python and editors leave there is
                not taken.
            at: the path of *directory* in the context.
            wanted: picks files by their path relative to *directory*.
        """
        for path in sorted(directory.rglob("*")):
            relative = path.relative_to(directory)
            if any(_is_litter(part) for part in relative.parts) or not path.is_file():
                continue
            if wanted(relative):
                self.add(f"{at}/{relative.as_posix()}", path.read_bytes())

    def key(self, **parts: str) -> str:
        """
        The key of an image made from these files.

        Args:
            parts: what else goes into it.
        """
        files = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in self._files.items()
            if name not in self._unkeyed
        }
        return key_of({"files": files, "directories": self._directories(), **parts})

    def write(self, directory: Path) -> None:
        """
        Write the files below *directory*, for who builds by the command line.
        """
        for name in self.names:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            for above in _above(name):
                (directory / above).chmod(0o755)
            path.write_bytes(self._files[name])
            path.chmod(0o644)

    def open(self) -> BinaryIO:
        """
        The files as a tar, to be sent to an engine.
        """
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
            # With directories, so that layers are shared with who builds by the command line.
            for name in self._directories():
                member = tarfile.TarInfo(name)
                member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, _TIME
                tar.addfile(member)
            for name in self.names:
                member = tarfile.TarInfo(name)
                member.size = len(self._files[name])
                member.mode = 0o644
                member.mtime = _TIME
                tar.addfile(member, io.BytesIO(self._files[name]))
        archive.seek(0)
        return archive

    def _directories(self) -> list[str]:
        return sorted({str(above) for name in self._files for above in _above(name)})


def _above(name: str) -> list[PurePosixPath]:
    return list(PurePosixPath(name).parents)[:-1]


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith((".pyc", "~"))
