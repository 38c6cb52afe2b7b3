"""The program of a network holder, as the host talks to it."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..engine.container_output import ContainerOutput
from ..errors import EngineError
from .messages import LineBuffer, decode

if TYPE_CHECKING:
    from ..engine.protocol import Stream

__all__ = ["Drain", "HolderProgram"]

_START_SECONDS = 60.0
_ANSWER_SECONDS = 10.0
_TAIL_BYTES = 65536
_PORT, _DNS_PORT = 8080, 53


@dataclass(frozen=True, slots=True)
class Drain:
    """
    What is left of a workspace in a namespace.

    Attributes:
        done: whether nothing that was sent from there is on its way to the proxy.
        sentinels: connections that the holder made to find that out.
        why: what is left, if anything.
    """

    done: bool
    sentinels: int
    why: str = ""


class HolderProgram:
    """
    Asks the program of a holder. Every wait for it has a limit.

    Args:
        stream: the standard streams of the holder; closed by `close`, which ends it.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._output = ContainerOutput(stream, keep=_TAIL_BYTES, name="network holder")
        self._over = False
        threading.Thread(target=self._read, name="codex-holder", daemon=True).start()

    def isolate(self, proxy: str) -> None:
        """
        Let it remove all routes but the one to *proxy*.

        Raises:
            EngineError: it could not, ended, or did not answer in time.
        """
        answer = self._ask({"proxy": proxy}, _START_SECONDS, "before it was ready")
        if not answer.get("ready"):
            raise EngineError(
                f"a network holder could not remove its routes: {answer.get('error')}"
            )

    def drain(self, seconds: float) -> Drain:
        """
        Wait until nothing that was sent from the namespace is on its way to the proxy.

        The proxy must have closed the connections of the address, and accept none, except for
        those that the holder makes.

        Args:
            seconds: the limit.

        Raises:
            EngineError: the holder ended, or did not answer in time.
        """
        asked = {"seconds": seconds, "port": _PORT, "dns_port": _DNS_PORT}
        answer = self._ask({"drain": asked}, seconds + _ANSWER_SECONDS, "while it was in use")
        sentinels = answer.get("sentinels")
        if not isinstance(sentinels, int):
            raise EngineError(f"a network holder could not be drained: {answer.get('error')}")
        return Drain(answer.get("drained") is True, sentinels, str(answer.get("why", "")))

    def close(self) -> None:
        """
        End the holder. A second call has no effect.
        """
        self._stream.close()

    def _ask(self, message: dict[str, Any], seconds: float, when: str) -> dict[str, Any]:
        with self._lock:
            if self._over:
                raise self._ended(when)
            try:
                self._stream.send(json.dumps(message).encode() + b"\n")
                line = self._answers.get(timeout=seconds)
            except (ConnectionError, ValueError):
                line = None
            except queue.Empty:
                # A late answer must not be taken for that to a later question.
                self._over = True
                raise EngineError(f"a network holder did not answer within {seconds:g} s") from None
            if line is None:
                self._over = True
                raise self._ended(when)
        try:
            return decode(line)
        except ValueError as error:
            raise EngineError(f"a network holder sent {error}") from None

    def _ended(self, when: str) -> EngineError:
        return EngineError(f"a network holder ended {when}: {self._output.errors or 'no output'}")

    def _read(self) -> None:
        try:
            self._output.read(LineBuffer(self._answers.put).feed)
        finally:
            self._answers.put(None)
