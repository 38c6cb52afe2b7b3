"""
The network log of a workspace, and assertions about it.
"""

from __future__ import annotations

import textwrap
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from ..errors import CodexWorkspaceError, WorkspaceLost
from ..text.phrases import counted, cut_end, was
from .matching import (
    BlockedFilters,
    FaultFilters,
    Filters,
    Matcher,
    StubFilters,
    describe_differences,
)
from .problems import asked_by
from .rules.hosts import host_matches
from .stubs import Respond, Route, StubFunction, fault_fields, stub_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from .policy_reader import PolicyLike
    from .proxy_client import ProxyClient
    from .rules.policy import Policy, Reason
    from .rules.request import Request

__all__ = ["LiveNetwork", "NetworkLog"]

_SHOWN = 10
_ALSO = 200


@dataclass(frozen=True, slots=True)
class LiveNetwork:
    """
    Where the network of a running workspace can be changed.

    Attributes:
        proxy: carries changes out.
        address: of the workspace.
        read_policy: reads the policies that tests name.
        policy: returns the policy that is applied.
        use: applies a policy, and returns the one before.
        workspace: who must still have the address; `None` for anybody.
    """

    proxy: ProxyClient
    address: str
    read_policy: Callable[[PolicyLike], Policy]
    policy: Callable[[], Policy]
    use: Callable[[Policy], Policy]
    workspace: str | None = None


class NetworkLog:
    """
    The requests of one workspace.

    Every method first waits until everything that the workspace has sent so far
    is in the log. Failed assertions raise `AssertionError` and show the nearest
    requests. Filters: `host` (may be `*.example.org`), `method`, `path`, `url`,
    `status`, `port`, `scheme`, `verdict`, `reason`, `phase`. Append `__in` for a
    list of values, or `__regex` for a regular expression (text only).

    Args:
        sync: waits for requests under way and returns all requests so far.
        live: changes the network; `None` once the workspace has ended.

    Example:
        >>> log = NetworkLog(list)
        >>> log.requests(host="example.org")
        []
    """

    def __init__(self, sync: Callable[[], list[Request]], live: LiveNetwork | None = None) -> None:
        self._sync = sync
        self._live = live
        self._routes: list[Route] = []
        self._before = -1
        self._policy: Policy | None = None

    @property
    def since_start(self) -> NetworkLog:
        """
        The log since the workspace started. In a workspace that several tests share, the log itself
        has what was requested during the test at hand.
        """
        return NetworkLog(lambda: self._sync(), self._live)

    def begin_part(self) -> None:
        """
        Leave out what was requested before, from now on.

        Raises:
            ProxyError: the log is incomplete.
            WorkspaceLost: the workspace has ended.
        """
        self._policy = self._running().policy()
        self._before = max((request.id for request in self._sync()), default=-1)
        self._routes.clear()

    def end_part(self) -> None:
        """
        Remove the stubs and faults that were made since `begin_part`, and apply the policy of then.

        Raises:
            ProxyError: the proxy has ended.
            WorkspaceLost: the workspace has ended.
        """
        live = self._running()
        for route in list(self._routes):
            route.remove()
        if self._policy is not None and self._policy != live.policy():
            live.use(self._policy)

    def end(self, requests: list[Request]) -> None:
        """
        Freeze the log of a workspace that has ended.

        Args:
            requests: all requests of the workspace.
        """
        self._sync = requests.copy
        self._live = None

    def __iter__(self) -> Iterator[Request]:
        """
        Iterate over all requests, oldest first.
        """
        return iter(self._now())

    def __len__(self) -> int:
        """
        Return the number of requests.
        """
        return len(self._now())

    def __repr__(self) -> str:
        """
        Return the class name, without waiting for requests.
        """
        return f"<{type(self).__name__}>"

    def requests(self, **match: Unpack[Filters]) -> list[Request]:
        """
        Return the requests that match all filters, oldest first.

        Raises:
            TypeError: a filter is unknown, or its value has the wrong type.
            ValueError: no request can have the value of a filter.
        """
        matcher = Matcher(**match)
        return [request for request in self._now() if matcher.matches(request)]

    @property
    def blocked(self) -> list[Request]:
        """
        The requests that the policy blocked.
        """
        return self.requests(verdict="blocked")

    def use(self, policy: PolicyLike) -> AbstractContextManager[None]:
        """
        Apply *policy* to all further requests of the workspace, or of the block of
        `Workspace.phase`. What it has sent before is still judged by the policy before.

        Args:
            policy: a `Policy`, a mapping of its fields, or the name or path
                of a policy.

        Returns:
            A context manager, which applies the policy before again at the end of its block.
            The policy is in use without one, too.

        Raises:
            WorkspaceLost: the workspace has ended.
            ProxyError: the proxy has ended.
        """
        live = self._running()
        before = live.use(live.read_policy(policy))
        return _Until(lambda: self._running().use(before))

    @overload
    def stub(
        self,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **match: Unpack[StubFilters],
    ) -> Route: ...

    @overload
    def stub(
        self,
        *,
        json: Any,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **match: Unpack[StubFilters],
    ) -> Route: ...

    @overload
    def stub(
        self,
        *,
        text: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **match: Unpack[StubFilters],
    ) -> Route: ...

    @overload
    def stub(
        self,
        *,
        content: bytes,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **match: Unpack[StubFilters],
    ) -> Route: ...

    @overload
    def stub(self, *, respond: Respond, **match: Unpack[StubFilters]) -> Route: ...

    def stub(
        self,
        *,
        host: str | None = None,
        path: str | None = None,
        path__regex: str | None = None,
        method: str | None = None,
        match_query: Mapping[str, str | Sequence[str]] | None = None,
        match_headers: Mapping[str, str] | None = None,
        match_content: str | bytes | None = None,
        match_json: Any = ...,
        status: int = 200,
        json: Any = ...,
        text: str | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        respond: Respond | None = None,
    ) -> Route:
        """
        Answer matching requests in place of their host.

        A stubbed request never leaves the proxy, and its host need not exist.
        If several stubs match, the newest one answers. A request that the policy
        blocks stays blocked, except that a stub for a specific host (not `*`)
        allows that host for its own requests.

        Args:
            host: a host name, or `*.example.org`.
            path: path and query; without a query, any query matches.
            path__regex: regular expression, searched for in path and query.
            method: HTTP method; any method if omitted.
            match_query: parameters that the request must have, each with this value, or with
                exactly these values in this order. It may have others.
            match_headers: header fields that it must have, with these values.
            match_content: its body, as text or bytes.
            match_json: the data in its body.
            status: status code of the response, 200 to 599.
            json: body of the response, as data to serialise; `None` is `null`.
            text: body of the response, as text.
            content: body of the response, as bytes.
            headers: headers of the response.
            respond: in place of these, a list of `StubResponse` for one request after another,
                of which the last one is for all further requests; or a function that gets a
                `StubRequest` and returns a `StubResponse`. It runs in a thread of this process,
                for 30 s at most, and for 16 requests of a workspace at a time. If it raises an
                error, the request has failed, with status 502, and `Route.errors` has the error.

        A body that is longer than 512 KiB matches no `match_content` and `match_json`, and no
        function gets it.

        Returns:
            The stub. As a context manager, it is removed at the end of its block.

        Raises:
            TypeError, ValueError: an argument is invalid.
            WorkspaceLost: the workspace has ended.
        """
        matcher, fields = stub_fields(
            host=host,
            path=path,
            path__regex=path__regex,
            method=method,
            match_query=match_query,
            match_headers=match_headers,
            match_content=match_content,
            match_json=match_json,
            status=status,
            json=json,
            text=text,
            content=content,
            headers=headers,
            respond=respond,
        )
        given = {"query": match_query, "headers": match_headers, "content": match_content}
        also = [f"match_{name}={value!r}" for name, value in given.items() if value is not None]
        also += [] if match_json is ... else [f"match_json={match_json!r}"]
        function = StubFunction(respond) if callable(respond) else None
        return self._route("stub", matcher, fields, cut_end(" ".join(also), _ALSO), function)

    @overload
    def fault(
        self, *, kind: Literal["latency"], seconds: float, **match: Unpack[FaultFilters]
    ) -> Route: ...

    @overload
    def fault(self, *, kind: Literal["reset"], **match: Unpack[FaultFilters]) -> Route: ...

    @overload
    def fault(
        self, *, kind: Literal["status"], status: int = 503, **match: Unpack[FaultFilters]
    ) -> Route: ...

    @overload
    def fault(
        self, *, kind: Literal["truncate"], after: int | None = None, **match: Unpack[FaultFilters]
    ) -> Route: ...

    def fault(
        self,
        *,
        kind: str,
        host: str | None = None,
        path: str | None = None,
        path__regex: str | None = None,
        method: str | None = None,
        times: int | None = None,
        **how: Any,
    ) -> Route:
        """
        Make matching requests fail, if the policy allows them or a stub answers.

        Args:
            kind: `latency` waits `seconds` before the request continues;
                `reset` resets the client's connection before anything leaves;
                `status` answers with the error `status` (default 503);
                `truncate` ends the response and the connection after `after`
                bytes (default: half of the body).
            host: as for `stub`.
            path: as for `stub`.
            path__regex: as for `stub`.
            method: as for `stub`.
            times: number of requests to affect; all if omitted.
            how: `seconds`, `status` or `after`.

        Raises:
            TypeError, ValueError: an argument is invalid.
            WorkspaceLost: the workspace has ended.
        """
        matcher, fields = fault_fields(
            kind=kind,
            host=host,
            path=path,
            path__regex=path__regex,
            method=method,
            times=times,
            **how,
        )
        return self._route("fault", matcher, fields)

    def assert_all_called(self) -> None:
        """
        Assert that every stub and every fault has handled a request, and that no function of a
        stub has raised an error. What was removed does not count.
        """
        __tracebackhide__ = True
        every = self._now()
        for route in self._routes:
            if errors := route.errors:
                first = f"{type(errors[0]).__name__}: {errors[0]}"
                raise AssertionError(
                    f"the function of {route} raised an error {counted(len(errors), 'time')}, "
                    f"first {first}"
                ) from errors[0]
        handled = {number for request in every for number in request.routes}
        idle = [route for route in self._routes if route.id not in handled]
        if idle:
            kinds = {route.kind for route in self._routes}
            both = ("stub or fault", "stubs and faults")
            names = both if len(kinds) > 1 else (*kinds, f"{min(kinds)}s")
            count = f"{len(idle)} of {counted(len(self._routes), *names)}"
            parts = [
                f"  {route}\n{textwrap.indent(describe_differences(route.matcher, every), '    ')}"
                for route in idle[:_SHOWN]
            ]
            raise AssertionError(
                f"{count} never handled a request; the nearest requests are below each:\n"
                + "\n".join(parts)
                + _more(len(idle))
            )

    def _route(
        self,
        kind: str,
        matcher: Matcher,
        fields: dict[str, Any],
        also: str = "",
        function: StubFunction | None = None,
    ) -> Route:
        live = self._running()
        answer = function.answer if function else None
        number = live.proxy.add_route(live.address, fields, live.workspace, answer)
        route = Route(
            number,
            matcher,
            self._now,
            self._remove_route,
            kind=kind,
            also=also,
            function=function,
        )
        self._routes.append(route)
        return route

    def _now(self) -> list[Request]:
        """
        Return the requests of the part at hand so far.
        """
        return [request for request in self._sync() if request.id > self._before]

    def _remove_route(self, number: int) -> None:
        live = self._running()
        live.proxy.remove_route(live.address, number, live.workspace)
        self._routes = [route for route in self._routes if route.id != number]

    def _running(self) -> LiveNetwork:
        if self._live is None:
            raise WorkspaceLost(
                "the network of a workspace cannot be changed after the workspace has ended"
            )
        return self._live

    def assert_requested(self, count: int | None = None, **match: Unpack[Filters]) -> None:
        """
        Assert that a matching request was made, whatever its verdict.

        Args:
            count: exact number of matching requests; at least one if omitted.
            match: filters.

        Example:
            >>> NetworkLog(list).assert_requested(count=0, host="example.org")
        """
        __tracebackhide__ = True
        matcher = Matcher(**match)
        every = self._now()
        found = [request for request in every if matcher.matches(request)]
        if len(found) == count if count is not None else found:
            return
        wanted = "a request" if count is None else counted(count, "request")
        text = f"expected {wanted} with {matcher}, but {_found(found, every)}"
        rest = [request for request in every if request not in found]
        if (count is None or len(found) < count) and rest:
            text += f"\nthe nearest of the others:\n{describe_differences(matcher, rest)}"
        raise AssertionError(text)

    def assert_not_requested(self, **match: Unpack[Filters]) -> None:
        """
        Assert that no matching request was made, not even a blocked one.
        """
        __tracebackhide__ = True
        matcher = Matcher(**match)
        every = self._now()
        if found := [request for request in every if matcher.matches(request)]:
            raise AssertionError(f"expected no request with {matcher}, but {_found(found, every)}")

    def assert_blocked(self, reason: Reason | None = None, **match: Unpack[BlockedFilters]) -> None:
        """
        Assert that a matching request was blocked.

        Args:
            reason: reason of the refusal; any reason if omitted.
            match: filters.
        """
        __tracebackhide__ = True
        wanted: Filters = {**match, "verdict": "blocked", "reason": reason}
        self.assert_requested(**wanted)

    def assert_nothing_blocked(self) -> None:
        """
        Assert that no request was blocked.
        """
        __tracebackhide__ = True
        every = self._now()
        if found := [request for request in every if request.verdict == "blocked"]:
            lines = [_explained(each) for each in found[:_SHOWN]]
            count = f"{len(found)} of {counted(len(every), 'request')}"
            more = _more(len(found))
            text = "\n".join(lines) + more
            raise AssertionError(
                f"expected no blocked request, but {count} {was(len(found))} blocked:\n{text}"
            )

    def assert_only_hosts(self, *hosts: str) -> None:
        """
        Assert that these hosts were requested, at least one of them, and no others, whether
        blocked or not. Without any request, the assertion fails: what should have made one may
        not have run. Without *hosts*, assert that there was no request.

        Args:
            hosts: host names, or `*.example.org` for all subdomains.
        """
        __tracebackhide__ = True
        every = self._now()
        if hosts and not every:
            raise AssertionError(
                f"expected requests to {', '.join(hosts)}, and to no other host, but there were "
                "none: `assert_only_hosts()`, without a host, asserts that"
            )
        others = [
            request
            for request in every
            if not any(host_matches(host, request.host) for host in hosts)
        ]
        if others:
            names = ", ".join(sorted({request.host for request in others}))
            raise AssertionError(
                f"expected requests only to {', '.join(hosts) or 'no host'}, but "
                f"{counted(len(others), 'request')} went to {names}:\n{_lines(others)}"
            )


class _Until(AbstractContextManager[None]):
    """
    Call *undo* at the end of a block. An error of the block says more than one of the call.
    """

    def __init__(self, undo: Callable[[], object]) -> None:
        self._undo = undo

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(*((CodexWorkspaceError,) if error is not None else ())):
            self._undo()


def _found(found: list[Request], every: list[Request]) -> str:
    if not found:
        return f"none of {counted(len(every), 'request')} matches" if every else "there were none"
    match = "matches" if len(found) == 1 else "match"
    return f"{len(found)} of {counted(len(every), 'request')} {match}:\n{_lines(found)}"


def _explained(request: Request) -> str:
    asked = f"\n      {asked_by([request.process])}" if request.process else ""
    return f"  {request}\n      {request.explanation}{asked}"


def _lines(requests: list[Request]) -> str:
    return "\n".join(f"  {request}" for request in requests[:_SHOWN]) + _more(len(requests))


def _more(count: int) -> str:
    return f"\n  ... and {count - _SHOWN} more" if count > _SHOWN else ""
