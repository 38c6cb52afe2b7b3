"""
The host's client for the proxy container.
"""

from __future__ import annotations

import base64
import itertools
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import ProxyError
from .messages import LineBuffer, decode, encode, request_from
from .rules.cassette import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..engine.protocol import Stream
    from .matching import Phase
    from .rules.policy import Policy
    from .rules.request import Request
    from .rules.upstream import UpstreamProxy

__all__ = ["REQUEST_LIMIT", "Barrier", "ProxyClient", "ProxyInfo"]

REQUEST_LIMIT = 100_000
"""Maximum number of requests kept for each workspace; further requests are only counted."""

_ANSWER_SECONDS = 30.0
_TAIL_BYTES = 4096
_PIECE_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class ProxyInfo:
    """
    What the proxy reports once it is configured.

    Attributes:
        ca_certificate: the certificate that workspaces must trust, as PEM.
        new_ca: key and certificate as PEM, if the proxy created an authority.
    """

    ca_certificate: bytes
    new_ca: bytes | None


@dataclass(frozen=True, slots=True)
class Barrier:
    """
    The result of waiting until the log is complete.

    Attributes:
        complete: whether every request that was sent has ended and is in the log.
        pending: unfinished requests, with what is known so far; at most 100.
        more: number of further unfinished requests.
    """

    complete: bool
    pending: tuple[Request, ...] = ()
    more: int = 0


@dataclass(slots=True)
class _Requests:
    kept: list[Request] = field(default_factory=list)
    dropped: int = 0


class ProxyClient:
    """
    Sends commands to the proxy over its standard input and output.

    The client is thread-safe. Once the proxy has ended, every method except
    `requests`, `dropped`, `forget` and `close` raises `ProxyError`.

    Args:
        stream: the attached streams of the proxy container; closed by `close`.
        describe: describes the state of the container, for errors.
    """

    def __init__(self, stream: Stream, *, describe: Callable[[], str]) -> None:
        self._stream = stream
        self._describe = describe
        self._changed = threading.Condition()
        self._ids = itertools.count(1)
        self._replies: dict[int, dict[str, Any] | None] = {}
        self._requests: defaultdict[str, _Requests] = defaultdict(_Requests)
        self._exchanges: defaultdict[str, list[Exchange]] = defaultdict(list)
        self._left_out: defaultdict[str, list[Exchange]] = defaultdict(list)
        self._stderr = b""
        self._failure: str | None = None
        self._closed = False
        self._reader = threading.Thread(target=self._read, name="codex-proxy", daemon=True)
        self._reader.start()

    @property
    def lost(self) -> bool:
        """
        Whether the proxy has ended.
        """
        with self._changed:
            return self._over() is not None

    def configure(
        self,
        ca: bytes | None,
        upstream_ca: bytes,
        listen: str | None,
        policy: Policy,
        timeout: float = _ANSWER_SECONDS,
        *,
        refuse: Sequence[str] = (),
        bodies: int = 0,
        cassette: str = "off",
        upstream: UpstreamProxy | None = None,
        port: int = 8080,
        dns_port: int = 53,
    ) -> ProxyInfo:
        """
        Start the proxy's servers. This must be the first call.

        Args:
            ca: key and certificate of the authority that signs certificates
                for workspaces, as PEM; `None` to create an authority.
            upstream_ca: certificates, as PEM, that the proxy trusts besides
                its own bundle for connections to the outside.
            listen: address to listen on; `None` for all addresses.
            policy: policy of workspaces that are registered without one.
            timeout: seconds to wait for the servers.
            refuse: networks (CIDR) that no workspace may reach, whatever its
                policy says.
            bodies: number of bytes to keep of each body.
            cassette: `off`, or `record` or `replay` for addresses that are
                registered with a cassette.
            upstream: the upstream proxy; `None` to connect directly.
            port: port of the proxy.
            dns_port: port of the resolver.

        Raises:
            ProxyError: the proxy ended or could not start.
        """
        reply = self._ask(
            timeout,
            op="configure",
            ca=ca.decode("ascii") if ca else None,
            upstream_ca=upstream_ca.decode("utf-8", "replace"),
            listen=listen,
            policy=policy.to_dict(),
            refuse=list(refuse),
            bodies=bodies,
            cassette=cassette,
            upstream=upstream.to_dict() if upstream else None,
            port=port,
            dns_port=dns_port,
        )
        certificate, new = reply.get("ca_certificate"), reply.get("ca")
        if not isinstance(certificate, str) or not isinstance(new, (str, type(None))):
            raise ProxyError("the proxy did not send its certificate; rebuild its image")
        return ProxyInfo(certificate.encode(), new.encode() if new else None)

    def register(
        self,
        address: str,
        workspace: str,
        phase: Phase,
        policy: Policy | None = None,
        cassette: str | None = None,
    ) -> None:
        """
        Assign *address* to *workspace*, or change a registered workspace.

        Args:
            address: network address of the workspace.
            workspace: name of the workspace in the log.
            phase: phase that further requests belong to.
            policy: policy for further requests; `None` keeps the current one.
            cassette: cassette to record to or replay from; `None` keeps the
                current one.

        Raises:
            ProxyError: the address still belongs to another workspace.
        """
        fields: dict[str, object] = {"address": address, "workspace": workspace, "phase": phase}
        if policy is not None:
            fields["policy"] = policy.to_dict()
        if cassette is not None:
            fields["cassette"] = cassette
        self._ask(op="register", **fields)

    def policy(self, address: str, policy: Policy) -> None:
        """
        Apply *policy* to requests from *address* until the address is released.
        """
        self._ask(op="policy", address=address, policy=policy.to_dict())

    def load_cassette(self, cassette: str, content: BinaryIO) -> None:
        """
        Send *content* to the proxy, to replay it as *cassette*.
        """
        data = b"-"
        while data:
            data = content.read(_PIECE_BYTES)
            piece = base64.b64encode(data).decode("ascii")
            self._ask(op="load_cassette", cassette=cassette, data=piece)

    def played(self, cassette: str) -> list[int]:
        """
        Return the numbers of the exchanges of *cassette* that were replayed.
        """
        answer = self._ask(op="played", cassette=cassette)
        return [int(number) for number in answer.get("played", ())]

    def recorded(self, cassette: str) -> list[Exchange]:
        """
        Return the exchanges recorded for *cassette*, in the order in which they ended.
        """
        with self._changed:
            return list(self._exchanges[cassette])

    def left_out(self, cassette: str) -> list[Exchange]:
        """
        Return the exchanges of *cassette* that were too large to record.
        """
        with self._changed:
            return list(self._left_out[cassette])

    def recorded_body(self, sha256: str) -> bytes:
        """
        Return a recorded body by its digest.
        """
        body = bytearray()
        while True:
            reply = self._ask(op="recorded_body", sha256=sha256, offset=len(body))
            piece = base64.b64decode(reply.get("data", ""))
            if not piece:
                return bytes(body)
            body += piece

    def add_route(self, address: str, route: Mapping[str, Any]) -> int:
        """
        Add a stub or a fault for *address*, until the address is released.

        Args:
            address: network address of a workspace.
            route: fields from `stubs.stub_fields` or `stubs.fault_fields`.

        Returns:
            The id of the route, which is in `Request.routes` of each request
            that the route handles.
        """
        number = next(self._ids)
        self._ask(op="add_route", address=address, route={**route, "id": number})
        return number

    def remove_route(self, address: str, route: int) -> None:
        """
        Remove the stub or fault with the id *route*.
        """
        self._ask(op="remove_route", address=address, route=route)

    def barrier(self, address: str, timeout: float = 5.0) -> Barrier:
        """
        Wait until everything that *address* has sent so far is in the log.

        Args:
            address: network address of a workspace.
            timeout: seconds to wait for responses from outside.
        """
        reply = self._ask(timeout + _ANSWER_SECONDS, op="barrier", address=address, timeout=timeout)
        pending = tuple(request_from(each) for each in reply.get("pending", ()))
        return Barrier(reply.get("ok") is True, pending, int(reply.get("more", 0)))

    def release(self, address: str, timeout: float = 0.5) -> bool:
        """
        Wait as `barrier` does, close all connections of *address*, and unregister it.

        An address that is not registered is ignored.

        Returns:
            Whether all requests had ended before the connections were closed.
        """
        reply = self._ask(timeout + _ANSWER_SECONDS, op="release", address=address, timeout=timeout)
        return reply.get("ok") is True

    def ping(self, timeout: float = _ANSWER_SECONDS) -> None:
        """
        Check that the proxy responds.
        """
        self._ask(timeout, op="ping")

    def requests(self, workspace: str) -> list[Request]:
        """
        Return the requests of *workspace*, in the order in which they ended.

        Call `barrier` first to make the list complete.
        """
        with self._changed:
            return list(self._requests[workspace].kept) if workspace in self._requests else []

    def dropped(self, workspace: str) -> int:
        """
        Return how many requests of *workspace* exceeded the limit and were not kept.
        """
        with self._changed:
            return self._requests[workspace].dropped if workspace in self._requests else 0

    def forget(self, workspace: str) -> None:
        """
        Discard the requests of *workspace*, to free memory.
        """
        with self._changed:
            self._requests.pop(workspace, None)

    def close(self) -> None:
        """
        Stop the proxy. Further calls have no effect.
        """
        with self._changed:
            self._closed = True
        self._stream.close()
        self._reader.join(timeout=10)

    def _ask(self, timeout: float = _ANSWER_SECONDS, /, **message: object) -> dict[str, Any]:
        """
        Send a message and wait for its reply.
        """
        number = next(self._ids)
        reply: dict[str, Any] | None = None
        with self._changed:
            self._replies[number] = None
            over = self._over()
        try:
            if not over:
                self._send(encode({"id": number, **message}))
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._replies[number] is not None or self._over(), timeout
                    )
                    reply, over = self._replies[number], self._over()
        finally:
            with self._changed:
                del self._replies[number]
        if reply is None:
            what = over or f"it did not respond to {message['op']!r} within {timeout:g} s"
            raise ProxyError(f"the proxy is lost: {what}; {self._circumstances()}")
        if error := reply.get("error"):
            raise ProxyError(f"the proxy rejected {message['op']!r}: {error}{self._tail()}")
        return reply

    def _send(self, data: bytes) -> None:
        try:
            self._stream.send(data)
        except (ConnectionError, ValueError):
            # The reader thread will see the reason soon, and describes it better.
            with self._changed:
                self._changed.wait_for(self._over, timeout=2)
                self._failure = self._failure or "it accepts no more messages"

    def _over(self) -> str | None:
        return "its session has ended" if self._closed else self._failure

    def _circumstances(self) -> str:
        try:
            text = self._describe()
        except Exception as error:
            text = f"its container cannot be inspected ({error})"
        return text + self._tail()

    def _tail(self) -> str:
        text = self._stderr.decode("utf-8", "replace").strip()
        return f"\nlast output on its standard error:\n{text}" if text else ""

    def _read(self) -> None:
        lines = LineBuffer(self._on_line)
        failure = "its output ended"
        try:
            while True:
                channel, data = self._stream.receive()
                if channel == 1:
                    lines.feed(data)
                elif channel == 2:
                    self._stderr = (self._stderr + data)[-_TAIL_BYTES:]
                else:
                    break
        except ValueError as error:
            failure = f"it sent an invalid message ({error})"
        except Exception as error:
            failure = f"its output cannot be read ({error})"
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def _on_line(self, line: bytes) -> None:
        if not line.strip():
            return
        message = decode(line)
        if message.get("event") == "request":
            workspace, request = message.get("workspace"), request_from(message)
            if not isinstance(workspace, str):
                raise ValueError(f"a request of workspace {workspace!r}")
            with self._changed:
                requests = self._requests[workspace]
                if len(requests.kept) < REQUEST_LIMIT:
                    requests.kept.append(request)
                else:
                    requests.dropped += 1
            return
        if message.get("event") == "exchange":
            exchange = Exchange.from_json(message.get("exchange"))
            kept = self._exchanges if message.get("whole") is True else self._left_out
            with self._changed:
                kept[str(message.get("cassette"))].append(exchange)
            return
        number = message.get("reply")
        if not isinstance(number, int):
            raise ValueError("a message that is neither an event nor a reply")
        with self._changed:
            # A reply without a waiter arrived after its timeout.
            if number in self._replies:
                self._replies[number] = message
                self._changed.notify_all()
