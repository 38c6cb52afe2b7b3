"""
HTTP/1.1 to an engine, over connections that tests cannot reach.

Libraries for mocking HTTP change the HTTP libraries of the whole process. This client uses none of
them, but the standard library's parser, in a copy of our own.
"""

from __future__ import annotations

import errno
import io
import json
import select
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from ...unpatched import modules

if TYPE_CHECKING:
    import http.client
    import socket
    from types import TracebackType

__all__ = ["Answer", "Client", "Timeout"]

_IDLE = 64
"""The number of idle connections to keep. More connections may be in use."""

_BLOCK = 256 * 1024
"""Bytes written and read at a time."""

_GONE = {errno.EPIPE, errno.ECONNRESET, errno.EPROTOTYPE}
"""The errors of sending to an engine that has stopped reading: it may have answered before."""

_poll = (select.poll,)

Timeout = tuple[float, float] | None
"""Seconds to connect, and seconds without an answer; `None` for no limit."""

Dial = Callable[[float | None], "socket.socket"]
"""Opens a connection; takes the time limit in seconds."""


class Client:
    """
    A client of one engine. Many threads may use it.

    Args:
        dial: opens a connection to the engine.
        host: the engine's name in requests.
        prefix: the beginning of every path.
        headers: headers of every request.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        host: str = "localhost",
        prefix: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._dial = dial
        self._host = host
        self._prefix = prefix
        self._headers = dict(headers or {})
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        data: bytes | BinaryIO | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Timeout = None,
        stream: bool = False,
    ) -> Answer:
        """
        Make one request.

        Args:
            method: the HTTP method.
            path: the path, quoted.
            params: query parameters; those that are `None` are left out.
            body: a value to send as JSON.
            data: bytes, a file or pieces to send as they are.
            headers: further headers.
            timeout: the time limits.
            stream: leave the body of the answer unread.

        Raises:
            OSError: the engine does not answer.
            http.client.HTTPException: it does not speak HTTP.
        """
        target = self._prefix + path
        query = {name: value for name, value in (params or {}).items() if value is not None}
        if query:
            target += "?" + urllib.parse.urlencode(query, doseq=True)
        sent = {"Host": self._host, **self._headers, **(headers or {})}
        content: bytes | BinaryIO | Iterator[bytes] | None = data
        if body is not None:
            content = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        connection = self._connection(timeout)
        try:
            _send(connection, method, target, content, sent)
            answer = Answer(self, connection, connection.getresponse())
            return answer if stream else answer.whole()
        except BaseException:
            connection.close()
            raise

    def upgrade(
        self, path: str, params: Mapping[str, Any], timeout: Timeout
    ) -> tuple[int, str, socket.socket]:
        """
        Ask for a connection of raw bytes.

        Returns:
            The status, the text of a refusal, and the connection, which is the caller's.
        """
        target = f"{self._prefix}{path}?{urllib.parse.urlencode(params)}"
        sent = {"Host": self._host, **self._headers, "Upgrade": "tcp", "Connection": "Upgrade"}
        connection = self._connection(timeout, fresh=True)
        plain = connection.sock
        try:
            _send(connection, "POST", target, b"", sent)
            # Without a buffer, in which the first raw bytes would be lost.
            response = modules.http_client.HTTPResponse(
                _Unbuffered(plain),  # type: ignore[arg-type]
                method="POST",
            )
            response.begin()
            words = ""
            if response.status >= 400:
                words = response.read(_BLOCK).decode(errors="replace")
            return response.status, words, plain
        except BaseException:
            plain.close()
            raise

    def close(self) -> None:
        """
        Close the idle connections.
        """
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _connection(self, timeout: Timeout, *, fresh: bool = False) -> http.client.HTTPConnection:
        connect, answer = timeout or (None, None)
        connection = None if fresh else self._take()
        if connection is None:
            connection = modules.http_client.HTTPConnection("localhost", blocksize=_BLOCK)
            connection.sock = self._opened(connect)
        connection.sock.settimeout(answer)
        return connection

    def _opened(self, limit: float | None) -> socket.socket:
        """
        Open a connection. If that fails, the idle ones lead to an engine that is stopping.
        """
        try:
            return self._dial(limit)
        except OSError:
            self.close()
            raise

    def _take(self) -> http.client.HTTPConnection | None:
        """
        Return an idle connection that the engine has not closed; `None` if there is none.
        """
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if not _readable(connection.sock):
                return connection
            connection.close()

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """
        Keep a connection whose last answer has been read.
        """
        with self._lock:
            if connection.sock is not None and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()


class Answer:
    """
    What an engine answers. Its body is in `text`, or is read in pieces, once.

    Attributes:
        status_code: the status.
        headers: the headers.
    """

    def __init__(
        self,
        client: Client,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        self._client = client
        self._connection: http.client.HTTPConnection | None = connection
        self._response = response
        self._content: bytes | None = None
        self.status_code = response.status
        self.headers = response.headers

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def whole(self) -> Answer:
        """
        Return this answer with its body read.
        """
        if self._content is None:
            self._content = b"".join(self.pieces())
        return self

    @property
    def text(self) -> str:
        """
        The body as text.
        """
        self.whole()
        return (self._content or b"").decode(errors="replace")

    def json(self) -> Any:
        """
        Return the body, read as JSON.
        """
        return json.loads(self.text)

    def pieces(self, size: int = _BLOCK) -> Iterator[bytes]:
        """
        Yield the body in pieces as they arrive, of at most *size* bytes.
        """
        response = self._response
        try:
            while self._connection is not None:
                left = response.length
                if left == 0:
                    break
                # `read1` returns what has arrived, but does not count what is left.
                piece = response.read1(size) if left is None else response.read(min(size, left))
                if not piece:
                    if response.length:
                        raise modules.http_client.IncompleteRead(b"", response.length)
                    break
                yield piece
        except BaseException:
            self.close()
            raise
        self._end()

    def lines(self) -> Iterator[bytes]:
        """
        Yield the lines of the body as they arrive, without their ends.
        """
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def close(self) -> None:
        """
        Leave the rest of the body unread, and close the connection. Nothing happens if the body
        has been read.
        """
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._response.close()

    def _end(self) -> None:
        """
        Give the connection back, unless the engine closes it.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        closing = self._response.will_close
        self._response.close()
        if closing:
            connection.close()
        else:
            self._client.give_back(connection)


class _Unbuffered:
    """
    Has an answer read from a connection byte by byte.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, _mode: str) -> io.RawIOBase:
        return self._connection.makefile("rb", 0)


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    content: bytes | BinaryIO | Iterator[bytes] | None,
    headers: Mapping[str, str],
) -> None:
    chunked = False
    if not isinstance(content, bytes | None):
        length = _length(content)
        chunked = length is None
        headers = {**headers, **({"Transfer-Encoding": "chunked"} if chunked else {})}
        if length is not None:
            headers = {**headers, "Content-Length": str(length)}
    try:
        connection.request(method, target, content, dict(headers), encode_chunked=chunked)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        # The answer says why. Without one, reading it fails as well.


def _length(content: BinaryIO | Iterator[bytes]) -> int | None:
    """
    Return how many bytes are left to read, if that is known.
    """
    file: Any = content
    try:
        start: int = file.tell()
        end: int = file.seek(0, io.SEEK_END)
        file.seek(start)
    except (OSError, AttributeError):
        return None
    return end - start


def _readable(connection: socket.socket) -> bool:
    """
    Return whether something waits to be read: on an idle connection, that is its end.
    """
    poll = _poll[0]()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
