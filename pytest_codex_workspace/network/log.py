"""
What a workspace asked of the network, and assertions about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import WorkspaceLost
from .hosts import host_matches
from .matching import Matcher, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .control import Control, PolicyLike

__all__ = ["NetworkLog", "Request"]

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Request:
    """
    One request, allowed or not.

    A refused tunnel has the method `CONNECT`; a name that was looked up
    around the proxy has the method `DNS` and the scheme `dns`.

    Attributes:
        id: counts up through the life of the proxy.
        time: when it began, in seconds since the epoch.
        phase: `setup`, `resume` or `test`.
        method: the HTTP method.
        scheme: `https`, `http` or `dns`.
        host: normalised: lower case, ASCII, no brackets.
        port: the port the request was for.
        path: with the query; values of parameters that look like secrets
            are replaced.
        url: the same, with scheme, host and port.
        status: what the client got; `None` if it got nothing.
        size: bytes of the response's body; `None` if there was none.
        duration: seconds from the first byte of the request to the last of
            the response; `None` if there was no exchange.
        verdict: `allowed`, `blocked`, `stubbed`, `replayed` or `failed`.
        reason: why it was blocked or failed, `None` if it was not.
        explanation: what was wrong and what to do.
    """

    id: int
    time: float
    phase: str
    method: str
    scheme: str
    host: str
    port: int
    path: str
    url: str
    status: int | None
    size: int | None
    duration: float | None
    verdict: str
    reason: str | None = None
    explanation: str = ""

    def __str__(self) -> str:
        """
        One line: `[test] GET https://example.org/ 200 1256 bytes 0.12 s, allowed`.
        """
        parts = [f"[{self.phase}]", self.method, self.url]
        if self.status is not None:
            parts.append(str(self.status))
        if self.size is not None:
            parts.append(f"{self.size} bytes")
        if self.duration is not None:
            parts.append(f"{self.duration:.2f} s")
        reason = f" ({self.reason})" if self.reason else ""
        return f"{' '.join(parts)}, {self.verdict}{reason}"


class NetworkLog:
    """
    The requests of one workspace.

    Every method first waits until what the workspace has sent so far is in
    the log. Assertions raise `AssertionError` with the requests that came
    nearest. Keywords that select requests: `host` (`*.example.org` works),
    `host__regex`, `method`, `path`, `path__regex`, `status`, `scheme`,
    `verdict`, `reason`, `phase`, `url`, `port`.

    Args:
        sync: waits for what is under way and returns every request so far.
        control: changes the network; `None` once the workspace has ended.

    Example:
        >>> log = NetworkLog(list)
        >>> log.requests(host="example.org")
        []
    """

    def __init__(self, sync: Callable[[], list[Request]], control: Control | None = None) -> None:
        self._sync = sync
        self._control = control

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
        self._running().use(policy)

    def _running(self) -> Control:
        if self._control is None:
            raise WorkspaceLost("the network of a workspace that has ended cannot be changed")
        return self._control

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
