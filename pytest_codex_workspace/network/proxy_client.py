"""
The host's client for the proxy container.
"""

from __future__ import annotations

import base64
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from ..engine.calls import timed_call
from ..engine.container_output import ContainerOutput
from ..errors import ProxyError
from ..text.loggers import logger_of
from .messages import LineBuffer, decode, encode, request_from
from .rules.cassette import Exchange
from .rules.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..engine.protocol import Stream
    from .matching import Phase
    from .rules.policy import Policy
    from .rules.request import Request
    from .rules.upstream import UpstreamProxy

__all__ = ["KEPT_BYTES", "REQUEST_LIMIT", "Barrier", "FindProcess", "ProxyClient", "ProxyInfo"]

_LOG = logger_of(__name__)

REQUEST_LIMIT = 100_000
"""Maximum number of requests kept for each workspace; further requests are only counted."""

KEPT_BYTES = 64 << 20
"""Maximum bytes of the messages about the requests, or the exchanges, that are kept together."""

_ANSWER_SECONDS = 30.0
_QUEUE_SECONDS = 60.0
"""Seconds that the proxy may take to read what has arrived before; `QUEUE_SECONDS` there."""
_MAX_LOOKUPS = 16
"""Look-ups of processes of one workspace that are under way; the proxy asks for no more."""
_MAX_FUNCTIONS = 16
"""Calls of the function of one stub that have not returned."""

_TAIL_BYTES = 4096
_PIECE_BYTES = 512 * 1024


FindProcess = Callable[[str, "tuple[str, int]", "tuple[str, int]"], str]
"""
Returns the process of a workspace that has a socket, after its ancestors; empty if not known. The
arguments are the protocol (`tcp` or `udp`), and the addresses and ports of both ends.
"""


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
        pending: unfinished requests, with what is known so far; at most 1000.
        more: number of further unfinished requests.
        passed: whether everything that had arrived at the proxy was read. If not, there may
            be requests that are neither in the log nor pending.
    """

    complete: bool
    pending: tuple[Request, ...] = ()
    more: int = 0
    passed: bool = True


@dataclass(slots=True)
class _Requests:
    kept: list[Request] = field(default_factory=list)
    size: int = 0
    dropped: int = 0
    damage: str = ""


@dataclass(slots=True)
class _Exchanges:
    whole: list[Exchange] = field(default_factory=list)
    left_out: list[Exchange] = field(default_factory=list)
    size: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Finder:
    find: FindProcess
    under_way: int = 0


@dataclass(slots=True)
class _Answerer:
    answer: Callable[[Mapping[str, Any]], dict[str, Any]]
    owner: str | None
    under_way: int = 0


@dataclass(slots=True)
class _Reply:
    message: dict[str, Any] | None = None
    pending: list[Request] = field(default_factory=list)


class ProxyClient:
    """
    Sends commands to the proxy over its standard input and output.

    The client is thread-safe. Once the proxy has ended, every method except
    `requests`, `dropped`, `damage`, `forget` and `close` raises `ProxyError`.

    A message that makes no sense costs the workspace, the cassette or the call that it is about,
    not the proxy. If it does not say, it costs every workspace of this moment its log.

    Args:
        stream: the attached streams of the proxy container; closed by `close`.
        describe: describes the state of the container, for errors.
    """

    def __init__(self, stream: Stream, *, describe: Callable[[], str]) -> None:
        self._stream = stream
        self._describe = describe
        self._changed = threading.Condition()
        self._ids = itertools.count(1)
        self._replies: dict[int, _Reply] = {}
        self._requests: dict[str, _Requests] = {}
        self._exchanges: defaultdict[str, _Exchanges] = defaultdict(_Exchanges)
        self._finders: dict[str, _Finder] = {}
        self._output = ContainerOutput(stream, keep=_TAIL_BYTES, name="proxy")
        self._answerers: dict[int, _Answerer] = {}
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
        refusal: str = "",
        secrets: Sequence[Mapping[str, Any]] = (),
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
            refusal: body of the response to a request to a refused host; empty for our
                explanation.
            secrets: placeholders that the proxy replaces, each with `placeholder`, `value` and
                `hosts`.
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
            refusal=refusal,
            secrets=list(secrets),
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
        find_process: FindProcess | None = None,
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
            find_process: finds out, in a thread of its own, who makes a request that is
                refused; `None` keeps the current one.

        Raises:
            ProxyError: the address still belongs to another workspace.
        """
        fields: dict[str, object] = {"address": address, "workspace": workspace, "phase": phase}
        if policy is not None:
            fields["policy"] = policy.to_dict()
        if cassette is not None:
            fields["cassette"] = cassette
        with self._changed:
            # What is reported of a workspace that is not known, or no longer, is dropped.
            self._requests.setdefault(workspace, _Requests())
            if find_process is not None:
                self._finders[workspace] = _Finder(find_process)
            if workspace in self._finders:
                fields["names_processes"] = True
        self._ask(op="register", **fields)

    def policy(
        self,
        address: str,
        policy: Policy,
        workspace: str | None = None,
        *,
        phase: Phase | None = None,
        cassette: str | None = None,
    ) -> None:
        """
        Apply *policy* to what *address* sends from now on, until the address is released. What
        has arrived before is judged by the policy before.

        Args:
            address: network address of a workspace.
            policy: the policy.
            workspace: who must have the address; `None` for anybody.
            phase: phase that further requests belong to; `None` keeps the current one.
            cassette: cassette of further requests; `None` keeps the current one.
        """
        more = {"phase": phase, "cassette": cassette}
        given = {name: value for name, value in more.items() if value is not None}
        self._change("policy", address, workspace, policy=policy.to_dict(), **given)

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
        played: list[int] = []
        while True:
            answer = self._ask(op="played", cassette=cassette, offset=len(played))
            some = answer.get("played")
            if not isinstance(some, list) or not all(type(one) is int for one in some):
                raise ProxyError("the proxy did not say what was replayed; rebuild its image")
            played += some
            if not some or answer.get("more") is not True:
                return played

    def recorded(self, cassette: str) -> list[Exchange]:
        """
        Return the exchanges recorded for *cassette*, in the order in which they ended.
        """
        with self._changed:
            return list(self._exchanges[cassette].whole)

    def left_out(self, cassette: str) -> list[Exchange]:
        """
        Return the exchanges of *cassette* that were too large to record.
        """
        with self._changed:
            return list(self._exchanges[cassette].left_out)

    def lost_exchanges(self, cassette: str) -> int:
        """
        Return how many exchanges of *cassette* were neither kept nor listed, because there were
        too many, or because nothing could be made of what the proxy reported.
        """
        with self._changed:
            return self._exchanges[cassette].lost

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

    def add_route(
        self,
        address: str,
        route: Mapping[str, Any],
        workspace: str | None = None,
        answer: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
    ) -> int:
        """
        Add a stub or a fault for what *address* sends from now on, until the address is released.

        Args:
            address: network address of a workspace.
            route: fields from `stubs.stub_fields` or `stubs.fault_fields`.
            workspace: who must have the address; `None` for anybody.
            answer: returns the fields of the response to a request, in a thread of its own, for a
                stub whose responses are not in *route*.

        Returns:
            The id of the route, which is in `Request.routes` of each request
            that the route handles.
        """
        number = next(self._ids)
        if answer is not None:
            with self._changed:
                self._answerers[number] = _Answerer(answer, workspace)
        self._change("add_route", address, workspace, route={**route, "id": number})
        return number

    def remove_route(self, address: str, route: int, workspace: str | None = None) -> None:
        """
        Remove the stub or fault with the id *route*.
        """
        self._change("remove_route", address, workspace, route=route)
        with self._changed:
            self._answerers.pop(route, None)

    def barrier(self, address: str, timeout: float = 5.0, workspace: str | None = None) -> Barrier:
        """
        Wait until everything that *address* has sent so far is in the log.

        What has been waited for by an earlier call is not waited for again.

        Args:
            address: network address of a workspace.
            timeout: seconds to wait for responses from outside.
            workspace: who must have the address; `None` for anybody.
        """
        reply = self._asked(
            timeout + _QUEUE_SECONDS + _ANSWER_SECONDS,
            op="barrier",
            timeout=timeout,
            **_owned(address, workspace),
        )
        message = reply.message or {}
        return Barrier(
            message.get("ok") is True,
            tuple(reply.pending),
            _count(message.get("more", 0)),
            passed=message.get("passed", True) is not False,
        )

    def release(
        self,
        address: str,
        timeout: float = 0.5,
        workspace: str | None = None,
        queue: float | None = None,
    ) -> bool:
        """
        Wait as `barrier` does, close all connections of *address*, and unregister it.

        An address that is not registered is ignored.

        Args:
            address: network address of a workspace.
            timeout: seconds to wait for responses from outside.
            workspace: who must have the address; `None` for anybody.
            queue: seconds to wait for what has arrived at the proxy and was not read yet;
                *timeout* by default.

        Returns:
            Whether all requests had ended before the connections were closed.
        """
        queue = timeout if queue is None else queue
        reply = self._ask(
            timeout + queue + _ANSWER_SECONDS,
            op="release",
            timeout=timeout,
            queue=queue,
            **_owned(address, workspace),
        )
        return reply.get("ok") is True

    def is_free(self, address: str, sentinels: int = 0) -> bool:
        """
        Check that *address* has no owner, and no connection of an earlier one.

        Args:
            address: a network address.
            sentinels: how many connections the address has made for us since it was released.
                Others that were made since then are logged as its last owner's.
        """
        reply = self._ask(op="free", address=address, sentinels=sentinels)
        return reply.get("free") is True

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
            found = self._requests.get(workspace)
            return list(found.kept) if found else []

    def dropped(self, workspace: str) -> int:
        """
        Return how many requests of *workspace* exceeded the limit and were not kept.
        """
        with self._changed:
            found = self._requests.get(workspace)
            return found.dropped if found else 0

    def damage(self, workspace: str) -> str:
        """
        Describe what the proxy reported of *workspace* that made no sense; empty if nothing.
        """
        with self._changed:
            found = self._requests.get(workspace)
            return found.damage if found else ""

    def forget(self, workspace: str) -> None:
        """
        Discard the requests of *workspace*, and those that are still reported, to free memory.
        """
        with self._changed:
            self._requests.pop(workspace, None)
            self._finders.pop(workspace, None)
            for route in [key for key, one in self._answerers.items() if one.owner == workspace]:
                del self._answerers[route]

    def close(self) -> None:
        """
        Stop the proxy. Further calls have no effect.
        """
        with self._changed:
            self._closed = True
        self._stream.close()
        self._reader.join(timeout=10)

    def _change(self, op: str, address: str, workspace: str | None, **fields: object) -> None:
        """
        Change how requests of *address* are treated, which the proxy does once what has arrived
        before was read.
        """
        self._ask(_QUEUE_SECONDS + _ANSWER_SECONDS, op=op, **_owned(address, workspace), **fields)

    def _ask(self, timeout: float = _ANSWER_SECONDS, /, **message: object) -> dict[str, Any]:
        """
        Send a message and return its reply.
        """
        return self._asked(timeout, **message).message or {}

    def _asked(self, timeout: float, /, **message: object) -> _Reply:
        """
        Send a message and wait for its reply, and the events that belong to it.
        """
        about = str(message.get("workspace") or message.get("address") or "")[:12]
        return timed_call(
            _LOG, lambda: self._exchange(timeout, message), "proxy:", str(message["op"]), about
        )

    def _exchange(self, timeout: float, message: dict[str, object]) -> _Reply:
        number, reply = next(self._ids), _Reply()
        with self._changed:
            self._replies[number] = reply
            over = self._over()
        try:
            if not over:
                self._send(encode({"id": number, **message}))
                with self._changed:
                    self._changed.wait_for(
                        lambda: reply.message is not None or self._over(), timeout
                    )
                    over = self._over()
        finally:
            with self._changed:
                del self._replies[number]
        if reply.message is None:
            what = over or f"it did not respond to {message['op']!r} within {timeout:g} s"
            raise ProxyError(f"the proxy is lost: {what}; {self._circumstances()}")
        if error := reply.message.get("error"):
            text = plain(str(error))
            raise ProxyError(
                f"the proxy rejected {message['op']!r}: {text}{self._output.last_words}"
            )
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
        return text + self._output.last_words

    def _read(self) -> None:
        failure = "its output ended"
        try:
            self._output.read(LineBuffer(self._on_line).feed)
        except Exception as error:
            failure = f"its output cannot be read ({error})"
        _LOG.debug("the proxy is gone: %s", failure)
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def _on_line(self, line: bytes) -> None:
        if not line.strip():
            return
        message: dict[str, Any] = {}
        try:
            message = decode(line)
            self._take(message, len(line))
        except (ValueError, TypeError, KeyError) as error:
            self._note_damage(message, plain(str(error))[:200])

    def _take(self, message: dict[str, Any], size: int) -> None:
        match message.get("event"):
            case "request":
                self._keep_request(message.get("workspace"), request_from(message), size)
            case "exchange":
                self._keep_exchange(message, size)
            case "pending":
                self._keep_pending(message["barrier"], request_from(message))
            case "process":
                self._find_process(message)
            case "stub":
                self._answer_stub(message)
            case "lost":
                raise ValueError("something that the proxy could not send")
            case None:
                self._keep_reply(message)
            case other:
                raise ValueError(f"an event {other!r}")

    def _keep_request(self, workspace: object, request: Request, size: int) -> None:
        if not isinstance(workspace, str):
            raise ValueError("a request of nobody")
        # Neither path nor query: they may say anything.
        _LOG.debug(
            "request of %.12s in %s: %s %s:%s %s %s, status %s",
            *(workspace, request.phase, request.method, request.host, request.port),
            *(request.verdict, request.reason or "", request.status),
        )
        with self._changed:
            if (requests := self._requests.get(workspace)) is None:
                return
            requests.size += size
            if len(requests.kept) < REQUEST_LIMIT and requests.size <= KEPT_BYTES:
                requests.kept.append(request)
            else:
                requests.dropped += 1

    def _keep_exchange(self, message: dict[str, Any], size: int) -> None:
        exchange = Exchange.from_json(message.get("exchange"))
        with self._changed:
            exchanges = self._exchanges[str(message["cassette"])]
            exchanges.size += size
            if exchanges.size > KEPT_BYTES:
                exchanges.lost += 1
            elif message.get("whole") is True:
                exchanges.whole.append(exchange)
            else:
                exchanges.left_out.append(exchange)

    def _find_process(self, message: dict[str, Any]) -> None:
        """
        Answer which process has a socket, once its workspace has said so.

        The proxy waits for a moment only, and takes no answer for an ignored question.
        """
        lookup, protocol = message["lookup"], str(message["protocol"])
        client, server = (_endpoint(message[end]) for end in ("client", "server"))
        with self._changed:
            finder = self._finders.get(message["workspace"])
            if finder is None or finder.under_way >= _MAX_LOOKUPS:
                return
            finder.under_way += 1

        def work() -> None:
            process = ""
            try:
                process = finder.find(protocol, client, server)
            except Exception:  # noqa: S110 -- whatever goes wrong, the process is not known
                pass
            finally:
                with self._changed:
                    finder.under_way -= 1
            answer = {"op": "process", "lookup": lookup, "process": process}
            self._send(encode({"id": next(self._ids), **answer}))

        # Whoever reads the messages of the proxy must not wait for one workspace.
        try:
            threading.Thread(target=work, name="codex-process", daemon=True).start()
        except RuntimeError:
            # The system has no more threads. That must not end the session's proxy.
            with self._changed:
                finder.under_way -= 1

    def _answer_stub(self, message: dict[str, Any]) -> None:
        """
        Answer how a stub responds to a request, once its function has said so.
        """
        call = message["call"]
        with self._changed:
            answerer = self._answerers.get(message["route"])
            # The proxy does not wait for more, and a function may hang.
            if answerer is None or answerer.under_way >= _MAX_FUNCTIONS:
                error = "it was removed" if answerer is None else "too many calls have not returned"
                answerer = _Answerer(lambda _: {"error": error}, None)
            answerer.under_way += 1

        def work() -> None:
            try:
                answer = answerer.answer(message)
            except Exception as error:
                answer = {"error": f"it was asked for {plain(str(error))[:200]}"}
            finally:
                with self._changed:
                    answerer.under_way -= 1
            self._send(encode({"id": next(self._ids), "op": "stub_answer", "call": call, **answer}))

        try:
            threading.Thread(target=work, name="codex-stub", daemon=True).start()
        except RuntimeError:
            # As in `_find_process`; the proxy waits in vain.
            with self._changed:
                answerer.under_way -= 1

    def _keep_pending(self, number: int, request: Request) -> None:
        with self._changed:
            if reply := self._replies.get(number):
                reply.pending.append(request)

    def _keep_reply(self, message: dict[str, Any]) -> None:
        number = message.get("reply")
        if type(number) is not int:
            raise ValueError("a message that is neither an event nor a reply")
        with self._changed:
            # A reply without a waiter arrived after its timeout.
            if reply := self._replies.get(number):
                reply.message = message
                self._changed.notify_all()

    def _note_damage(self, message: dict[str, Any], what: str) -> None:
        """
        Let what a message is about bear its cost.
        """
        with self._changed:
            if isinstance(cassette := message.get("cassette"), str):
                self._exchanges[cassette].lost += 1
                return
            number = message.get("barrier")
            if isinstance(number, int) and (reply := self._replies.get(number)):
                reply.message = {"error": f"it reported {what}"}
                self._changed.notify_all()
                return
            workspace = message.get("workspace")
            for name, requests in self._requests.items():
                if workspace == name or not isinstance(workspace, str):
                    requests.damage = requests.damage or what


def _owned(address: str, workspace: str | None) -> dict[str, object]:
    """
    Return the fields that say whose address an operation is about.
    """
    return {"address": address, **({} if workspace is None else {"workspace": workspace})}


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def _endpoint(value: object) -> tuple[str, int]:
    """
    Return an address and a port.

    Raises:
        ValueError: *value* is something else.
    """
    match value:
        case [str(address), int(port)]:
            return address, port
    raise ValueError(f"an end of a connection that is {value!r}")
