"""Calls to the Docker Engine API: addresses, time limits and errors in one place."""

from __future__ import annotations

import json
import threading
import urllib.parse
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import DockerException

from ...errors import EngineError, EngineUnavailable
from ...text.loggers import logger_of
from ...unpatched import modules
from ..calls import timed_call
from .dialect import dialect_of
from .failures import reason, to_engine_error, translate_errors
from .http import Answer, Client
from .stream import AttachedStream
from .transport import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from ...errors import ImageBuildError
    from ..places.place import SshWay, TlsFiles

__all__ = ["LONG", "OLDEST", "Api", "label_filter"]

_LOG = logger_of(__name__)

_Message = TypeVar("_Message")

_T = TypeVar("_T")

OLDEST = "1.41"
"""The oldest supported API version, that of Docker 20.10."""

_LIBPOD = "4.0.0"
"""The version of Podman's own API, for the few calls that Docker's cannot express."""

LONG = None
"""The time limit of long calls: none."""

_SHORT = (10.0, 300.0)
"""Seconds to connect and to answer, for all other calls. An engine under load is slow."""

_FIRST = (4.0, 10.0)
"""Seconds to connect and to answer, for the first call, which only looks for an engine."""


_GRACE = 30.0
"""Seconds that an interrupted call may still take."""


class Api:
    """
    A connection to one engine. Many threads may use it.

    Args:
        url: the address on which the engine listens.
        tls: certificates for `tcp://`.
        ssh: how to use ssh.

    Attributes:
        url: the address as given.
        version: the version of the API that both sides speak.
        about: the engine's answer to `/version`.
        dialect: in what the engine differs from others.

    Raises:
        EngineUnavailable: nothing answers, or the answer is not from an engine
            that is new enough. The text holds only the reason.
    """

    def __init__(self, url: str, tls: TlsFiles | None = None, ssh: SshWay | None = None) -> None:
        self.url = url
        try:
            self._client: Client = connect(url, tls=tls, ssh=ssh)
        except (DockerException, OSError, ValueError) as error:
            raise EngineUnavailable(reason(error)) from None
        try:
            self.about, self.version = self._introduce()
        except BaseException:
            self._client.close()
            raise
        self.dialect = dialect_of(self.about)

    def _introduce(self) -> tuple[Mapping[str, Any], str]:
        """
        Return the engine's answer to `/version`, and the version of the API to speak.
        """
        try:
            about = timed_call(
                _LOG,
                lambda: self._client.request("GET", "/version", timeout=_FIRST).json(),
                *("GET", "/version", f"(is there an engine at {self.url})"),
            )
            newest, oldest = about["ApiVersion"], about.get("MinAPIVersion") or OLDEST
            if _numbers(newest) < _numbers(OLDEST):
                raise EngineUnavailable(
                    f"it speaks version {newest} of the Docker API, but at least {OLDEST} (Docker "
                    "20.10, Podman 4) is needed: update the engine"
                )
            spoken = min(newest, DEFAULT_DOCKER_API_VERSION, key=_numbers)
            return about, max(spoken, oldest, key=_numbers)
        except EngineUnavailable:
            raise
        except (modules.http_client.HTTPException, OSError) as error:
            # A certificate that is not trusted is a `ValueError`, too.
            raise EngineUnavailable(reason(error)) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise EngineUnavailable(
                "something answers there, but it is not a container engine"
            ) from None

    def call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        allow: Container[int] = (),
        timeout: tuple[float, float] | None = _SHORT,
        stream: bool = False,
        finish: bool = False,
    ) -> Answer:
        """
        Make one call.

        Args:
            method: the HTTP method.
            path: the path below the API's version; it is quoted here.
            what: the action, for error messages.
            params: the query parameters; those with the value `None` are left out.
            body: a value to send as JSON.
            data: bytes or a file to send as a tar.
            headers: further headers.
            allow: error statuses to return instead of raising an error.
            timeout: seconds to connect and to answer; `LONG` for no limit.
            stream: leave the body of the answer unread.
            finish: wait for the answer even after an interrupt (Ctrl-C), and raise the interrupt
                then. For calls that create an object: the engine would create it after its
                client has gone, too late for the clean-up.

        Raises:
            EngineUnavailable: the engine does not answer.
            EngineError: the engine refused.
        """
        kind = {"Content-Type": "application/x-tar"} if data is not None else {}

        def request() -> Answer:
            return self._client.request(
                method,
                self._path(path),
                params=params,
                body=body,
                data=data,
                headers={**kind, **(headers or {})},
                timeout=timeout,
                stream=stream,
            )

        with translate_errors(what, self.url):
            answer = timed_call(
                _LOG,
                (lambda: _finished(request)) if finish else request,
                *(method, path, f"({what})"),
                status=lambda one: one.status_code,
            )
            if answer.status_code < 400 or answer.status_code in allow:
                return answer
            words = answer.text
        raise to_engine_error(what, _message(words))

    def attach(self, container: str, what: str) -> AttachedStream:
        """
        Return a connection to the container's standard input and outputs.
        """
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        path = self._path(f"/containers/{container}/attach")
        with translate_errors(what, self.url):
            status, words, connection = timed_call(
                _LOG,
                lambda: self._client.upgrade(path, params, _SHORT),
                *("POST", f"/containers/{container}/attach", f"({what})"),
                status=lambda answer: answer[0],
            )
        if status < 400:
            return AttachedStream(connection, container)
        connection.close()
        raise to_engine_error(what, _message(words))

    def close(self) -> None:
        """
        Close the idle connections.
        """
        self._client.close()

    def _path(self, path: str) -> str:
        version = _LIBPOD if path.startswith("/libpod/") else self.version
        return f"/v{version}{urllib.parse.quote(path, safe='/:@')}"

    def pieces(self, answer: Answer, what: str) -> Iterator[bytes]:
        """
        Yield the body of a streamed answer in pieces.
        """
        with answer:
            yield from self.messages(answer.pieces(), what)

    def messages(
        self,
        source: Iterable[_Message],
        what: str,
        refused: type[EngineError | ImageBuildError] = EngineError,
    ) -> Iterator[_Message]:
        """
        Yield what *source* yields, with its errors turned into ours. Errors of
        the consumer pass through unchanged.
        """
        iterator = iter(source)
        while True:
            with translate_errors(what, self.url, refused):
                try:
                    message = next(iterator)
                except StopIteration:
                    return
            yield message


def label_filter(wanted: Mapping[str, str | None]) -> dict[str, str]:
    """
    Return the query for objects with one of the labels *wanted*; `None` matches any value.

    With several, Podman 4.3 lists no image at all. So the engine is asked for one, if possible for
    one with a value, and `has_labels` looks at its answer for all.
    """
    if not wanted:
        # Podman 4 refuses an empty list.
        return {}
    name, value = max(wanted.items(), key=lambda one: one[1] is not None)
    return {"filters": json.dumps({"label": [name if value is None else f"{name}={value}"]})}


def _finished(work: Callable[[], _T]) -> _T:
    """
    Return what *work* returns. An interrupt is raised when *work* has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        # Interrupts arrive in the main thread only.
        return work()
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="codex-engine-call", daemon=True)
    try:
        thread.start()
        return future.result()
    except KeyboardInterrupt:
        # Unless the interrupt came before the thread was started.
        if thread in threading.enumerate() or future.done():
            wait([future], _GRACE)
        raise


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _message(text: str) -> str:
    """
    Return the message in an answer: some engines refuse in the form of a message of progress.
    """
    try:
        about = json.loads(text)
        return str((about.get("errorDetail") or about)["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return text
