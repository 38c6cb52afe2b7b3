"""The runner, as this process talks to it."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ...errors import EngineUnavailable
from ...text.loggers import logger_of
from ...unpatched import modules
from ..calls import timed_call

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

__all__ = ["JobRefused", "Workers"]

_LOG = logger_of(__name__)

_PIECE = 1 << 18
_PACKAGE = Path(__file__).parents[3]
_PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from pytest_codex_workspace.engine.native.runner.program import main; main()"
)


class JobRefused(Exception):
    """
    The runner could not do a job. The text says why.
    """


class Workers:
    """
    Starts the runner when it is needed, and gives it requests. Many threads may use it.

    Args:
        root: the directory of the engine.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None
        self._process: Any = None

    def close(self) -> None:
        """
        End the runner. What it has started goes on.
        """
        with self._lock:
            if self._requests is not None:
                self._requests.close()
                self._requests = None
                self._process.wait()

    def check(self) -> None:
        """
        Check that containers can be made. For root, nothing of it is tried.

        Raises:
            EngineUnavailable: they cannot. The text says why.
        """
        try:
            self.ask({"do": "check"})
        except JobRefused as refusal:
            self.close()
            raise EngineUnavailable(str(refusal)) from None

    def discard(self, path: str, trash: str) -> None:
        """
        Remove a directory by way of *trash*, as far as that is possible.
        """
        try:
            self.ask({"do": "discard", "path": path, "to": trash})
        except JobRefused as refusal:
            _LOG.debug("%s could not be removed: %s", path, refusal)

    def ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        """
        Send a request, and return its one answer.

        Raises:
            JobRefused: it could not be done.
            EngineUnavailable: the runner cannot be started.
        """

        def make() -> dict[str, Any]:
            with self._send(request, descriptors) as reply, reply.makefile("rb") as answers:
                return _answer(answers.readline())

        return timed_call(_LOG, make, *_words(request))

    def feed(self, request: dict[str, Any], archive: BinaryIO) -> dict[str, Any]:
        """
        Send a request with an archive, and return the answer.

        Raises:
            JobRefused: it could not be done.
        """
        return timed_call(_LOG, lambda: self._feed(request, archive), *_words(request))

    def _feed(self, request: dict[str, Any], archive: BinaryIO) -> dict[str, Any]:
        read, write = os.pipe()
        try:
            reply = self._send(request, [read])
        except BaseException:
            os.close(write)
            raise
        finally:
            os.close(read)
        with reply, reply.makefile("rb") as answers:
            try:
                with os.fdopen(write, "wb", buffering=0) as pipe:
                    while piece := archive.read(_PIECE):
                        view = memoryview(piece)
                        while view:
                            view = view[pipe.write(view) :]
            except BrokenPipeError:
                # The answer says why.
                pass
            return _answer(answers.readline())

    def fetch(self, request: dict[str, Any]) -> Iterator[bytes]:
        """
        Send a request, and yield the archive that it makes once it is known that there is one.

        Raises:
            JobRefused: it could not be done, or not to the end.
        """
        return timed_call(_LOG, lambda: self._fetch(request), *_words(request))

    def _fetch(self, request: dict[str, Any]) -> Iterator[bytes]:
        read, write = os.pipe()
        try:
            reply = self._send(request, [write])
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        answers = reply.makefile("rb")
        reply.close()
        return _pieces(read, answers)

    def _send(self, request: dict[str, Any], descriptors: Sequence[int]) -> socket.socket:
        ours, theirs = modules.socket.socketpair()
        with theirs:
            data = json.dumps(request).encode()
            for attempt in (True, False):
                try:
                    modules.socket.send_fds(
                        self._connection(), [data], [theirs.fileno(), *descriptors]
                    )
                    break
                except OSError as error:
                    # It was killed, perhaps with all that a machine had in its memory.
                    if not attempt:
                        ours.close()
                        raise EngineUnavailable(
                            f"the process that starts containers has ended: {error}",
                            remedy=f"See {self._root / 'log'}, and run again.",
                        ) from None
                    self.close()
        return ours

    def _connection(self) -> socket.socket:
        with self._lock:
            if self._requests is None:
                self._requests = self._start()
            return self._requests

    def _start(self) -> socket.socket:
        module = modules.socket
        ours, theirs = module.socketpair(module.AF_UNIX, module.SOCK_SEQPACKET)
        with theirs, (self._root / "log").open("ab") as log:
            self._process = modules.subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_PACKAGE), str(self._root)],
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log,
                env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                cwd="/",
            )
        return ours


def _words(request: dict[str, Any]) -> tuple[str, ...]:
    """
    Return what is logged of a request: the job, and the container or path that it is about.
    """
    about = (request.get("id") or request.get("path") or "", request.get("path") or "")
    return ("runner:", str(request.get("do")), *dict.fromkeys(str(one) for one in about if one))


def _pieces(read: int, answers: BinaryIO) -> Iterator[bytes]:
    pipe = os.fdopen(read, "rb", buffering=0)
    try:
        _answer(answers.readline())
    except BaseException:
        pipe.close()
        answers.close()
        raise

    def rest() -> Iterator[bytes]:
        with pipe, answers:
            while piece := pipe.read(_PIECE):
                yield piece
            _answer(answers.readline())

    return rest()


def _answer(line: bytes) -> dict[str, Any]:
    if not line:
        raise JobRefused("the process that did it was killed")
    found: dict[str, Any] = json.loads(line)
    if "error" in found:
        raise JobRefused(found["error"])
    done = found.get("done")
    return done if isinstance(done, dict) else found
