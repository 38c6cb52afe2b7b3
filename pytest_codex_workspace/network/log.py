"""
What a workspace asked of the network, and assertions about it.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import WorkspaceLost
from .hosts import host_matches
from .matching import Matcher, describe
from .routes import Route, fault_fields, stub_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .policy import Policy
    from .policy_file import PolicyLike
    from .proxy import ProxyClient
    from .request import Request

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
    """

    proxy: ProxyClient
    address: str
    read_policy: Callable[[PolicyLike], Policy]


class NetworkLog:
    """
    The requests of one workspace.

    Every method first waits until what the workspace has sent so far is in
    the log. Assertions raise `AssertionError` with the requests that came
    nearest. Keywords that select requests: `host` (`*.example.org` works),
    `method`, `path`, `url`, `status`, `port`, `scheme`, `verdict`, `reason`,
    `phase`; each with `__in` for one of several, and those with text also
    with `__regex`.

    Args:
        sync: waits for what is under way and returns every request so far.
        live: where the network can be changed; `None` once the workspace has ended.

    Example:
        >>> log = NetworkLog(list)
        >>> log.requests(host="example.org")
        []
    """

    def __init__(self, sync: Callable[[], list[Request]], live: LiveNetwork | None = None) -> None:
        self._sync = sync
        self._live = live
        self._stubs: list[Route] = []

    def end(self, requests: list[Request]) -> None:
        """
        The workspace has ended, and these are all its requests.
        """
        self._sync = requests.copy
        self._live = None

    def __iter__(self) -> Iterator[Request]:
        """
        Every request, oldest first.
        """
        return iter(self._sync())

    def __len__(self) -> int:
        """
        How many requests there were.
        """
        return len(self._sync())

    def __repr__(self) -> str:
        """
        Without waiting for anything.
        """
        return f"<{type(self).__name__}>"

    def requests(self, **match: Any) -> list[Request]:
        """
        The requests that fit every keyword, oldest first; without keywords all.

        Raises:
            TypeError: an unknown keyword.
            ValueError: a value that no request can have.
        """
        matcher = Matcher(**match)
        return [request for request in self._sync() if matcher.matches(request)]

    @property
    def blocked(self) -> list[Request]:
        """
        The requests that the policy refused.
        """
        return self.requests(verdict="blocked")

    def use(self, policy: PolicyLike) -> None:
        """
        Judge what the workspace requests by *policy* from now on.

        Args:
            policy: a `Policy`, a mapping of its fields, or the name or path
                of one.

        Raises:
            WorkspaceLost: the workspace has ended.
            ProxyError: the proxy has ended.
        """
        live = self._running()
        live.proxy.policy(live.address, live.read_policy(policy))

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
        Answer requests that fit, instead of whom they are for.

        Nothing of them leaves, and the host need not exist. The newest stub
        that fits answers. What the policy refuses stays refused, except that
        a stub which names a host (not `*`) opens that host for itself.

        Args:
            host: a name, or `*.example.org`.
            path: with the query, or without it for any.
            path__regex: searched for in the path and query.
            method: any without it.
            status: of the answer, 200 to 599.
            json: body of the answer, as data.
            text: body of the answer, as text.
            content: body of the answer, as bytes.
            headers: of the answer.

        Raises:
            TypeError, ValueError: an argument that makes no sense.
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
        Let requests that fit fail, if the policy allows them or a stub answers.

        Args:
            kind: `latency` waits `seconds` before the request goes on;
                `reset` ends the client's connection with a reset before
                anything leaves; `status` answers with an error (`status`, 503
                without it); `truncate` ends the answer and the connection
                after `after` bytes (half of the body without it).
            host: as for `stub`, like the other keywords that select.
            path: see there.
            path__regex: see there.
            method: see there.
            times: only so many requests; all without it.
            how: `seconds`, `status` or `after`.

        Raises:
            TypeError, ValueError: an argument that makes no sense.
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
        every = self._sync()
        answered = {number for request in every for number in request.routes}
        idle = [route for route in self._stubs if route.id not in answered]
        if idle:
            count = f"{len(idle)} of {_plural(len(self._stubs), 'stub')}"
            parts = [
                f"  {route}\n{textwrap.indent(describe(route.matcher, every), '    ')}"
                for route in idle[:_SHOWN]
            ]
            raise AssertionError(
                f"{count} never answered; below each, the requests nearest to it:\n"
                + "\n".join(parts)
                + _more(len(idle))
            )

    def _route(self, matcher: Matcher, fields: dict[str, Any]) -> Route:
        live = self._running()
        number = live.proxy.add_route(live.address, fields)
        return Route(number, matcher, lambda: self._sync(), self._remove_route)

    def _remove_route(self, number: int) -> None:
        live = self._running()
        live.proxy.remove_route(live.address, number)

    def _running(self) -> LiveNetwork:
        if self._live is None:
            raise WorkspaceLost("the network of a workspace that has ended cannot be changed")
        return self._live

    def assert_requested(self, count: int | None = None, **match: Any) -> None:
        """
        Assert that a request was made, whatever became of it.

        Args:
            count: exactly so many; at least one without it.
            match: keywords that select requests.

        Example:
            >>> NetworkLog(list).assert_requested(count=0, host="example.org")
        """
        __tracebackhide__ = True
        matcher = Matcher(**match)
        every = self._sync()
        found = [request for request in every if matcher.matches(request)]
        if len(found) == count if count is not None else found:
            return
        wanted = "a request" if count is None else _plural(count, "request")
        text = f"expected {wanted} with {matcher}, but {_found(found, every)}"
        rest = [request for request in every if request not in found]
        if (count is None or len(found) < count) and rest:
            text += f"\nthe nearest of the others:\n{describe(matcher, rest)}"
        raise AssertionError(text)

    def assert_not_requested(self, **match: Any) -> None:
        """
        Assert that no request was made that fits, not even one that was
        blocked.
        """
        __tracebackhide__ = True
        matcher = Matcher(**match)
        every = self._sync()
        if found := [request for request in every if matcher.matches(request)]:
            raise AssertionError(f"expected no request with {matcher}, but {_found(found, every)}")

    def assert_blocked(self, reason: str | None = None, **match: Any) -> None:
        """
        Assert that a request was blocked.

        Args:
            reason: for this reason.
            match: keywords that select requests.
        """
        __tracebackhide__ = True
        self.assert_requested(**{**match, "verdict": "blocked", "reason": reason})

    def assert_nothing_blocked(self) -> None:
        """
        Assert that no request was blocked.
        """
        __tracebackhide__ = True
        every = self._sync()
        if found := [request for request in every if request.verdict == "blocked"]:
            lines = [f"  {each}\n      {each.explanation}" for each in found[:_SHOWN]]
            count = f"{len(found)} of {_plural(len(every), 'request')}"
            more = _more(len(found))
            text = "\n".join(lines) + more
            raise AssertionError(f"expected no blocked request, but {count} were blocked:\n{text}")

    def assert_only_hosts(self, *hosts: str) -> None:
        """
        Assert that no other hosts were asked for, blocked or not.

        Args:
            hosts: names, or `*.example.org` for everything below it.
        """
        __tracebackhide__ = True
        every = self._sync()
        others = [
            request
            for request in every
            if not any(host_matches(host, request.host) for host in hosts)
        ]
        if others:
            names = ", ".join(sorted({request.host for request in others}))
            raise AssertionError(
                f"expected requests for {', '.join(hosts) or 'no host'} only, but there were some "
                f"for {names}:\n{_lines(others)}"
            )


def _found(found: list[Request], every: list[Request]) -> str:
    if not found:
        return f"none of {_plural(len(every), 'request')} is one" if every else "there were none"
    return f"{_plural(len(found), 'request')} of {len(every)} fit:\n{_lines(found)}"


def _lines(requests: list[Request]) -> str:
    return "\n".join(f"  {request}" for request in requests[:_SHOWN]) + _more(len(requests))


def _more(count: int) -> str:
    return f"\n  ... and {count - _SHOWN} more" if count > _SHOWN else ""


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
