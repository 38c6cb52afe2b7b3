"""
The network log of a workspace, and assertions about it.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from ..errors import WorkspaceLost
from ..text.phrases import counted, was
from .matching import BlockedFilters, Filters, Matcher, describe_differences
from .problems import asked_by
from .rules.hosts import host_matches
from .stubs import Route, fault_fields, stub_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .policy_reader import PolicyLike
    from .proxy_client import ProxyClient
    from .rules.policy import Policy, Reason
    from .rules.request import Request

__all__ = ["LiveNetwork", "NetworkLog"]

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class LiveNetwork:
    """
    Where the network of a running workspace can be changed.

    Attributes:
        proxy: carries changes out.
        address: of the workspace.
        read_policy: reads the policies that tests name.
        policy: returns the policy that is applied.
        use: applies a policy.
        workspace: who must still have the address; `None` for anybody.
    """

    proxy: ProxyClient
    address: str
    read_policy: Callable[[PolicyLike], Policy]
    policy: Callable[[], Policy]
    use: Callable[[Policy], None]
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
        self._stubs: list[Route] = []
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
        self._stubs.clear()
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
        self._stubs.clear()
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

    def use(self, policy: PolicyLike) -> None:
        """
        Apply *policy* to all further requests of the workspace, or of the block of
        `Workspace.phase`. What it has sent before is still judged by the policy before.

        Args:
            policy: a `Policy`, a mapping of its fields, or the name or path
                of a policy.

        Raises:
            WorkspaceLost: the workspace has ended.
            ProxyError: the proxy has ended.
        """
        live = self._running()
        live.use(live.read_policy(policy))

    def stub(
        self,
        *,
        host: str | None = None,
        path: str | None = None,
        path__regex: str | None = None,
        method: str | None = None,
        status: int = 200,
        json: Any = None,
        text: str | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
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
            status: status code of the response, 200 to 599.
            json: body of the response, as data to serialise.
            text: body of the response, as text.
            content: body of the response, as bytes.
            headers: headers of the response.

        Raises:
            TypeError, ValueError: an argument is invalid.
            WorkspaceLost: the workspace has ended.
        """
        matcher, fields = stub_fields(
            host=host,
            path=path,
            path__regex=path__regex,
            method=method,
            status=status,
            json=json,
            text=text,
            content=content,
            headers=headers,
        )
        route = self._route(matcher, fields)
        self._stubs.append(route)
        return route

    @overload
    def fault(
        self,
        *,
        kind: Literal["latency"],
        host: str | None = None,
        path: str | None = None,
        path__regex: str | None = None,
        method: str | None = None,
        times: int | None = None,
        seconds: float,
    ) -> Route: ...

    @overload
    def fault(
        self,
        *,
        kind: Literal["reset"],
        host: str | None = None,
        path: str | None = None,
        path__regex: str | None = None,
        method: str | None = None,
        times: int | None = None,
    ) -> Route: ...

    @overload
    def fault(
        self,
        *,
        kind: Literal["status"],
        host: str | None = None,
        path: str | None = None,
        path__regex: str | None = None,
        method: str | None = None,
        times: int | None = None,
        status: int = 503,
    ) -> Route: ...

    @overload
    def fault(
        self,
        *,
        kind: Literal["truncate"],
        host: str | None = None,
        path: str | None = None,
        path__regex: str | None = None,
        method: str | None = None,
        times: int | None = None,
        after: int | None = None,
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
        return self._route(matcher, fields)

    def assert_all_called(self) -> None:
        """
        Assert that every stub has answered a request.
        """
        __tracebackhide__ = True
        every = self._now()
        answered = {number for request in every for number in request.routes}
        idle = [route for route in self._stubs if route.id not in answered]
        if idle:
            count = f"{len(idle)} of {counted(len(self._stubs), 'stub')}"
            parts = [
                f"  {route}\n{textwrap.indent(describe_differences(route.matcher, every), '    ')}"
                for route in idle[:_SHOWN]
            ]
            raise AssertionError(
                f"{count} never answered a request; the nearest requests are below each:\n"
                + "\n".join(parts)
                + _more(len(idle))
            )

    def _route(self, matcher: Matcher, fields: dict[str, Any]) -> Route:
        live = self._running()
        number = live.proxy.add_route(live.address, fields, live.workspace)
        route = Route(number, matcher, self._now, self._remove_route)
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
        Assert that no other hosts were requested, whether blocked or not.

        Args:
            hosts: host names, or `*.example.org` for all subdomains.
        """
        __tracebackhide__ = True
        every = self._now()
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
