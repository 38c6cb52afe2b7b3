"""
What a test can change about the network of its workspace while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .policy import Policy

if TYPE_CHECKING:
    from .proxy import ProxyClient

__all__ = ["Control", "PolicyLike"]

PolicyLike = Policy | Mapping[str, Any] | str | Path
"""A policy, its fields, or the name or file of one."""


class Control:
    """
    The network of one running workspace.

    Args:
        proxy: carries changes out.
        address: of the workspace.
        read_policy: makes a policy of what a test names.
    """

    def __init__(
        self, proxy: ProxyClient, address: str, read_policy: Callable[[PolicyLike], Policy]
    ) -> None:
        self._proxy = proxy
        self._address = address
        self._read_policy = read_policy

    def use(self, policy: PolicyLike) -> None:
        """
        Judge by *policy* from now on.
        """
        self._proxy.policy(self._address, self._read_policy(policy))

    def add_route(self, route: Mapping[str, Any]) -> int:
        """
        Add a stub or a fault: its id.
        """
        return self._proxy.add_route(self._address, route)

    def remove_route(self, number: int) -> None:
        """
        Take one away.
        """
        self._proxy.remove_route(self._address, number)
