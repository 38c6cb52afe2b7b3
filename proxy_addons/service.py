"""
Carry out the operations that the host asks for.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.rules.cassette import Cassette
from pytest_codex_workspace.network.rules.policy import Policy
from pytest_codex_workspace.network.rules.upstream import UpstreamProxy

from .assembly import Assembly
from .barrier import LogBarrier
from .certificate_authority import install_authority, remove_key, write_bundle
from .dns.resolver import Resolver
from .judge.addresses import connected_networks
from .state.cassette_player import CassettePlayer
from .state.routes import ProxyRoute

if TYPE_CHECKING:
    from pathlib import Path

    from .host_link import HostLink, HostMessage
    from .standalone import StandaloneLink

__all__ = ["ProxyService"]

_ANY_ADDRESS = "0.0.0.0"  # noqa: S104
_CLOSING_SECONDS = 1.0
_STEP_SECONDS = 0.002
_MAX_PENDING = 100
"""Pending requests that are reported."""


class ProxyService:
    """
    One proxy, from `configure` to the end of the program.

    Args:
        link: the connection to the host.
        directory: a private directory, empty.
    """

    def __init__(self, link: HostLink | StandaloneLink, directory: Path) -> None:
        self._link = link
        self._directory = directory
        self._networks = tuple(connected_networks())
        self._cassettes: dict[str, Cassette] = {}
        self._played: dict[str, set[int]] = {}
        link.start({"configure": self.configure, "ping": lambda _: {"ok": True}})

    async def configure(self, message: HostMessage) -> HostMessage:
        """
        Start the servers. The other operations are accepted only after that.
        """
        self._link.remove_operation("configure")
        host, port = message.get("listen") or _ANY_ADDRESS, int(message.get("port", 8080))
        new = install_authority(self._directory, message.get("ca"))
        self._networks += tuple(message.get("refuse") or ())
        bundle = self._directory / "upstream.pem"
        write_bundle(bundle, message.get("upstream_ca") or "")
        policy = self._policy(message["policy"])
        bodies = int(message.get("bodies", 0))
        upstream = message.get("upstream")
        assembly = Assembly(
            self._directory,
            bundle,
            policy,
            self._link.emit,
            host,
            port,
            bodies=bodies,
            recording=message.get("cassette") == "record",
            upstream=UpstreamProxy.from_dict(upstream) if upstream else None,
        )
        assembly.registry.accept_any_address = message.get("accept_any_address") is True
        await assembly.start()
        remove_key(self._directory)
        own = host if host != _ANY_ADDRESS else "127.0.0.1"
        resolver = Resolver(assembly.registry, own, assembly.connection_logger.log_lookup)
        dns_port = int(message.get("dns_port", 53))
        await resolver.listen(host, dns_port)
        self._assembly, self._resolver = assembly, resolver
        self._barrier = LogBarrier(
            assembly.registry, assembly.request_logger, resolver, (own, port), dns_port
        )
        self._link.add_operations(
            {
                "register": self.register,
                "policy": self.set_policy,
                "add_route": self.add_route,
                "load_cassette": self.load_cassette,
                "played": self.played,
                "recorded_body": self.recorded_body,
                "remove_route": self.remove_route,
                "barrier": self.barrier,
                "release": self.release,
            }
        )
        return {"ok": True, "ca_certificate": assembly.certificate, "ca": new}

    def register(self, message: HostMessage) -> HostMessage:
        """
        Assign an address to a workspace, and set its phase, policy and cassette.
        """
        self._assembly.registry.register(message["address"], message["workspace"], message["phase"])
        if "policy" in message:
            self.set_policy(message)
        if "cassette" in message:
            self.set_cassette(message)
        return {"ok": True}

    def set_cassette(self, message: HostMessage) -> HostMessage:
        """
        Set the cassette of an address: a loaded cassette is played, any other is recorded.
        """
        name, player = message["cassette"], None
        if name in self._cassettes:
            played = self._played.setdefault(name, set())
            player = CassettePlayer(self._cassettes[name], played)
        self._assembly.registry.set_cassette(message["address"], name, player)
        return {"ok": True}

    def load_cassette(self, message: HostMessage) -> HostMessage:
        """
        Append a piece to a cassette that is to be played; an empty piece ends it.
        """
        name, data = message["cassette"], base64.b64decode(message["data"])
        path = self._directory / f"played-{hashlib.sha256(name.encode()).hexdigest()}"
        if data:
            with path.open("ab") as file:
                file.write(data)
        else:
            self._cassettes[name] = Cassette(path)
        return {"ok": True}

    def played(self, message: HostMessage) -> HostMessage:
        """
        Return the numbers of the exchanges of a cassette that have been played.
        """
        return {"ok": True, "played": sorted(self._played.get(message["cassette"], ()))}

    def recorded_body(self, message: HostMessage) -> HostMessage:
        """
        Return a piece of a recorded body.
        """
        piece = self._assembly.cassette_recorder.read_body(message["sha256"], message["offset"])
        return {"ok": True, "data": base64.b64encode(piece).decode("ascii")}

    def set_policy(self, message: HostMessage) -> HostMessage:
        """
        Set the policy of an address.
        """
        policy = self._policy(message["policy"])
        self._assembly.registry.set_policy(message["address"], policy)
        self._assembly.allow(policy)
        self._assembly.apply_policy_change(message["address"])
        return {"ok": True}

    def add_route(self, message: HostMessage) -> HostMessage:
        """
        Add a stub or a fault to an address.
        """
        self._assembly.registry.add_route(
            message["address"], ProxyRoute.from_message(message["route"])
        )
        return {"ok": True}

    def remove_route(self, message: HostMessage) -> HostMessage:
        """
        Remove a stub or a fault.
        """
        self._assembly.registry.remove_route(message["address"], message["route"])
        return {"ok": True}

    async def barrier(self, message: HostMessage) -> HostMessage:
        """
        Wait until everything that an address has sent is in the log.
        """
        address, seconds = message["address"], float(message.get("timeout", 5.0))
        if await self._barrier.wait(address, seconds):
            return {"ok": True}
        pending = self._assembly.request_logger.pending(address, seconds)
        return {"ok": False, "pending": pending[:_MAX_PENDING], "more": len(pending[_MAX_PENDING:])}

    async def release(self, message: HostMessage) -> HostMessage:
        """
        Wait as `barrier` does, close the connections of an address, and unregister it.
        """
        reply = await self.barrier(message)
        address, registry = message["address"], self._assembly.registry
        registry.unregister(address)
        self._assembly.disconnect(address)
        self._resolver.tcp.disconnect(address)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLOSING_SECONDS
        while registry.connections(address) and loop.time() < deadline:
            await asyncio.sleep(_STEP_SECONDS)
        return reply

    def _policy(self, data: HostMessage) -> Policy:
        policy = Policy.from_dict(data)
        return dataclasses.replace(policy, refuse=(*policy.refuse, *self._networks))
