"""
Carries out what the host asks for.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.policy import Policy

from .addresses import connected_networks
from .assembly import Assembly
from .authority import install_authority, remove_key, write_bundle
from .barrier import Barrier
from .resolver import Resolver
from .routes import Route

if TYPE_CHECKING:
    from pathlib import Path

    from .control import Control

__all__ = ["Service"]

Message = dict[str, Any]

_EVERYWHERE = "0.0.0.0"  # noqa: S104
_CLOSING_SECONDS = 1.0
_STEP = 0.002
_TOLD = 100
"""Requests without an end that are told of."""


class Service:
    """
    One proxy, from `configure` to the end of the program.

    Args:
        control: the host.
        directory: a private directory, empty.
    """

    def __init__(self, control: Control, directory: Path) -> None:
        self._control = control
        self._directory = directory
        self._networks = tuple(connected_networks())
        control.serve({"configure": self.configure, "ping": lambda _: {"ok": True}})

    async def configure(self, message: Message) -> Message:
        """
        Start the servers. Only then is anything else understood.
        """
        self._control.forbid("configure")
        host, port = message.get("listen") or _EVERYWHERE, int(message.get("port", 8080))
        new = install_authority(self._directory, message.get("ca"))
        self._networks += tuple(message.get("refuse") or ())
        bundle = self._directory / "upstream.pem"
        write_bundle(bundle, message.get("upstream_ca") or "")
        policy = self._policy(message["policy"])
        bodies = int(message.get("bodies", 0))
        parts = Assembly(self._directory, bundle, policy, self._control.emit, host, port, bodies)
        await parts.start()
        remove_key(self._directory)
        own = host if host != _EVERYWHERE else "127.0.0.1"
        resolver = Resolver(parts.registry, own, parts.recorder.lookup)
        await resolver.listen(host, int(message.get("dns_port", 53)))
        self._parts = parts
        self._barrier = Barrier(parts.registry, parts.recorder, (own, port))
        self._control.allow(
            {
                "register": self.register,
                "policy": self.set_policy,
                "add_route": self.add_route,
                "remove_route": self.remove_route,
                "barrier": self.barrier,
                "release": self.release,
            }
        )
        return {"ok": True, "ca_certificate": parts.certificate, "ca": new}

    def register(self, message: Message) -> Message:
        """
        Let an address be a workspace in a phase, by a policy of its own.
        """
        self._parts.registry.register(message["address"], message["workspace"], message["phase"])
        return self.set_policy(message) if "policy" in message else {"ok": True}

    def set_policy(self, message: Message) -> Message:
        """
        Give an address a policy of its own.
        """
        policy = self._policy(message["policy"])
        self._parts.registry.set_policy(message["address"], policy)
        self._parts.allow(policy)
        return {"ok": True}

    def add_route(self, message: Message) -> Message:
        """
        Give an address a stub or a fault.
        """
        self._parts.registry.add_route(message["address"], Route.of(message["route"]))
        return {"ok": True}

    def remove_route(self, message: Message) -> Message:
        """
        Take one away.
        """
        self._parts.registry.remove_route(message["address"], message["route"])
        return {"ok": True}

    async def barrier(self, message: Message) -> Message:
        """
        Wait for what an address has sent.
        """
        address, seconds = message["address"], float(message.get("timeout", 5.0))
        if await self._barrier.wait(address, seconds):
            return {"ok": True}
        pending = self._parts.recorder.pending(address, seconds)
        return {"ok": False, "pending": pending[:_TOLD], "more": len(pending[_TOLD:])}

    async def release(self, message: Message) -> Message:
        """
        Wait for what an address has sent, cut it off and forget it.
        """
        reply = await self.barrier(message)
        address, registry = message["address"], self._parts.registry
        registry.forget(address)
        self._parts.cut_off(address)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLOSING_SECONDS
        while registry.conversations(address) and loop.time() < deadline:
            await asyncio.sleep(_STEP)
        return reply

    def _policy(self, data: Message) -> Policy:
        policy = Policy.from_dict(data)
        return dataclasses.replace(policy, refuse=(*policy.refuse, *self._networks))
