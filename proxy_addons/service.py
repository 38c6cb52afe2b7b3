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
from .barrier import QUEUE_SECONDS, LogBarrier
from .certificate_authority import install_authority, remove_key, write_bundle
from .dns.resolver import Resolver
from .judge.addresses import connected_networks
from .state.cassette_player import CassettePlayer
from .state.network_secrets import use_rules
from .state.responses import use_refusal
from .state.routes import ProxyRoute

if TYPE_CHECKING:
    from pathlib import Path

    from .host_link import HostLink, HostMessage
    from .standalone import StandaloneLink
    from .state.connections import RegisteredWorkspace

__all__ = ["ProxyService"]

_ANY_ADDRESS = "0.0.0.0"  # noqa: S104
_CLOSING_SECONDS = 5.0
_STEP_SECONDS = 0.002
_MAX_PENDING = 1000
"""Pending requests that are reported, each in a line of its own."""

_MAX_NUMBERS = 50_000
"""Numbers in one answer."""


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
        use_refusal(str(message.get("refusal") or ""))
        use_rules(message.get("secrets") or ())
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
        resolver = Resolver(
            assembly.registry, own, assembly.connection_logger.log_lookup, assembly.process_lookup
        )
        dns_port = int(message.get("dns_port", 53))
        await resolver.listen(host, dns_port)
        self._assembly, self._resolver = assembly, resolver
        self._barrier = LogBarrier(
            assembly.registry, assembly.request_logger, resolver, (own, port), dns_port
        )
        self._link.add_operations(
            {
                "register": self.register,
                "policy": self.change_policy,
                "add_route": self.add_route,
                "load_cassette": self.load_cassette,
                "played": self.played,
                "recorded_body": self.recorded_body,
                "remove_route": self.remove_route,
                "barrier": self.barrier,
                "release": self.release,
                "free": self.free,
                "process": assembly.process_lookup.take,
                "stub_answer": assembly.stub_functions.take,
            }
        )
        return {"ok": True, "ca_certificate": assembly.certificate, "ca": new}

    def register(self, message: HostMessage) -> HostMessage:
        """
        Assign an address to a workspace, and set its phase, policy and cassette.

        The connections of an earlier phase are ended.
        """
        address = message["address"]
        self._assembly.registry.register(
            address,
            message["workspace"],
            message["phase"],
            names_processes=message.get("names_processes") is True,
        )
        self._assembly.disconnect(address)
        self._resolver.tcp.disconnect(address)
        if "policy" in message:
            self._set_policy(message)
        if "cassette" in message:
            self._set_cassette(message)
        return {"ok": True}

    def _set_cassette(self, message: HostMessage) -> None:
        """
        Set the cassette of an address: a loaded cassette is played, any other is recorded.
        """
        name, player = message["cassette"], None
        if name in self._cassettes:
            played = self._played.setdefault(name, set())
            player = CassettePlayer(self._cassettes[name], played)
        self._assembly.registry.set_cassette(message["address"], name, player)

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
        Return some numbers of the exchanges of a cassette that have been played.
        """
        numbers, offset = sorted(self._played.get(message["cassette"], ())), int(message["offset"])
        some = numbers[offset : offset + _MAX_NUMBERS]
        return {"ok": True, "played": some, "more": offset + len(some) < len(numbers)}

    def recorded_body(self, message: HostMessage) -> HostMessage:
        """
        Return a piece of a recorded body.
        """
        piece = self._assembly.cassette_recorder.read_body(message["sha256"], message["offset"])
        return {"ok": True, "data": base64.b64encode(piece).decode("ascii")}

    async def change_policy(self, message: HostMessage) -> HostMessage:
        """
        Set the policy of an address, and perhaps its phase and its cassette, for everything that
        arrives from now on. Its stubs and faults stay.
        """
        await self._read_earlier(message)
        if "phase" in message:
            self._owner(message).phase = message["phase"]
        if "cassette" in message:
            self._set_cassette(message)
        self._set_policy(message)
        return {"ok": True}

    def _set_policy(self, message: HostMessage) -> None:
        policy = self._policy(message["policy"])
        self._assembly.registry.set_policy(message["address"], policy)
        self._assembly.allow(policy)
        self._assembly.apply_policy_change(message["address"])

    async def add_route(self, message: HostMessage) -> HostMessage:
        """
        Add a stub or a fault to an address, for everything that arrives from now on.
        """
        route = ProxyRoute.from_message(message["route"])
        await self._read_earlier(message)
        self._assembly.registry.add_route(message["address"], route)
        return {"ok": True}

    async def remove_route(self, message: HostMessage) -> HostMessage:
        """
        Remove a stub or a fault. What has arrived before is still answered by it.
        """
        await self._read_earlier(message)
        self._assembly.registry.remove_route(message["address"], message["route"])
        return {"ok": True}

    async def _read_earlier(self, message: HostMessage) -> None:
        """
        Read what has arrived until now, by the rules until now.

        Raises:
            ValueError: the address does not belong to the workspace, or so much waits that the
                queues could not be passed.
        """
        owner = self._owner(message)
        if not await self._barrier.pass_queues(owner):
            raise ValueError(
                f"so many connections wait that they were not read within {QUEUE_SECONDS:g} s"
            )
        if self._owner(message) is not owner:
            raise ValueError(f"the owner of {owner.address} has changed")

    def _owner(self, message: HostMessage) -> RegisteredWorkspace:
        return self._assembly.registry.owner(message["address"], message.get("workspace"))

    async def barrier(self, message: HostMessage) -> HostMessage:
        """
        Wait until everything that an address has sent is in the log. What is not gets an event
        of its own.
        """
        seconds = float(message.get("timeout", 5.0))
        owner = self._owner(message)
        result = await self._barrier.wait(owner, seconds)
        if result.complete or not result.passed:
            return {"ok": result.complete, "passed": result.passed}
        pending = self._assembly.request_logger.pending(owner, seconds)
        for each in pending[:_MAX_PENDING]:
            self._link.emit({"event": "pending", "barrier": message["id"], **each})
        return {"ok": False, "passed": True, "more": len(pending[_MAX_PENDING:])}

    async def release(self, message: HostMessage) -> HostMessage:
        """
        Wait for what an address has sent, close its connections, and unregister it.
        """
        address, registry = message["address"], self._assembly.registry
        if registry.workspace(address) is None:
            return {"ok": True, "passed": True}
        seconds, owner = float(message.get("timeout", 5.0)), self._owner(message)
        result = await self._barrier.wait(owner, seconds, float(message.get("queue", seconds)))
        if not registry.is_registered(owner):
            # Another release was quicker, and the address may have its next owner already.
            return {"ok": result.complete, "passed": result.passed}
        registry.unregister(address)
        self._assembly.disconnect(address)
        self._resolver.tcp.disconnect(address)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLOSING_SECONDS
        while self._open_connections(address) and loop.time() < deadline:
            await asyncio.sleep(_STEP_SECONDS)
        return {"ok": result.complete, "passed": result.passed}

    async def free(self, message: HostMessage) -> HostMessage:
        """
        Check that an address has no owner, and no connection of an earlier one.

        Connections that came after the end of the last owner are logged as its own, except for
        the *sentinels* that the host has let the address make.
        """
        address, registry = message["address"], self._assembly.registry
        await self._resolver.pass_datagrams()
        if registry.workspace(address) is not None or self._open_connections(address):
            return {"ok": True, "free": False}
        ended = registry.last_owner(address)
        if ended and (late := ended.late_connections - int(message.get("sentinels", 0))) > 0:
            self._assembly.connection_logger.log_late(ended, late)
        if ended:
            ended.late_connections = 0
        return {"ok": True, "free": True}

    def _open_connections(self, address: str) -> int:
        registry = self._assembly.registry
        return len(registry.connections(address)) + self._resolver.tcp.count(address)

    def _policy(self, data: HostMessage) -> Policy:
        policy = Policy.from_dict(data)
        return dataclasses.replace(policy, refuse=(*policy.refuse, *self._networks))
