"""
Carries out what the host asks for.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.cassette import Cassette
from pytest_codex_workspace.network.policy import Policy
from pytest_codex_workspace.network.upstream import UpstreamProxy

from .answer.replay import Player
from .answer.stubs import Route
from .assembly import Assembly
from .barrier import Barrier
from .certificate_authority import install_authority, remove_key, write_bundle
from .dns.resolver import Resolver
from .judge.addresses import connected_networks

if TYPE_CHECKING:
    from pathlib import Path

    from .host_link import Control
    from .standalone import Journal

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

    def __init__(self, control: Control | Journal, directory: Path) -> None:
        self._control = control
        self._directory = directory
        self._networks = tuple(connected_networks())
        self._cassettes: dict[str, Cassette] = {}
        self._played: dict[str, set[int]] = {}
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
        upstream = message.get("upstream")
        parts = Assembly(
            self._directory,
            bundle,
            policy,
            self._control.emit,
            host,
            port,
            bodies=bodies,
            recording=message.get("cassette") == "record",
            upstream=UpstreamProxy.from_dict(upstream) if upstream else None,
        )
        parts.registry.anyone = message.get("anyone") is True
        await parts.start()
        remove_key(self._directory)
        own = host if host != _EVERYWHERE else "127.0.0.1"
        resolver = Resolver(parts.registry, own, parts.incidents.lookup)
        dns_port = int(message.get("dns_port", 53))
        await resolver.listen(host, dns_port)
        self._parts, self._resolver = parts, resolver
        self._barrier = Barrier(parts.registry, parts.recorder, resolver, (own, port), dns_port)
        self._control.allow(
            {
                "register": self.register,
                "policy": self.set_policy,
                "add_route": self.add_route,
                "load_tape": self.load_tape,
                "played": self.played,
                "recorded_body": self.recorded_body,
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
        if "policy" in message:
            self.set_policy(message)
        if "tape" in message:
            self.set_tape(message)
        return {"ok": True}

    def set_tape(self, message: Message) -> Message:
        """
        Choose the cassette of an address.
        """
        tape = message["tape"]
        player = None
        if tape in self._cassettes:
            cassette = self._cassettes[tape]
            player = Player(cassette, self._played.setdefault(tape, set()))
        self._parts.registry.set_tape(message["address"], tape, player)
        return {"ok": True}

    def load_tape(self, message: Message) -> Message:
        """
        Take the next piece of a cassette; an empty one is its end.
        """
        tape, data = message["tape"], base64.b64decode(message["data"])
        path = self._directory / f"tape-{hashlib.sha256(tape.encode()).hexdigest()}"
        if data:
            with path.open("ab") as file:
                file.write(data)
        else:
            self._cassettes[tape] = Cassette(path)
        return {"ok": True}

    def played(self, message: Message) -> Message:
        """
        Which exchanges of a cassette have been played.
        """
        return {"ok": True, "played": sorted(self._played.get(message["tape"], ()))}

    def recorded_body(self, message: Message) -> Message:
        """
        A piece of a recorded body.
        """
        piece = self._parts.recording.piece(message["sha256"], message["offset"])
        return {"ok": True, "data": base64.b64encode(piece).decode("ascii")}

    def set_policy(self, message: Message) -> Message:
        """
        Give an address a policy of its own.
        """
        policy = self._policy(message["policy"])
        self._parts.registry.set_policy(message["address"], policy)
        self._parts.allow(policy)
        self._parts.reconsider(message["address"])
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
        self._resolver.streams.cut_off(address)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLOSING_SECONDS
        while registry.conversations(address) and loop.time() < deadline:
            await asyncio.sleep(_STEP)
        return reply

    def _policy(self, data: Message) -> Policy:
        policy = Policy.from_dict(data)
        return dataclasses.replace(policy, refuse=(*policy.refuse, *self._networks))
