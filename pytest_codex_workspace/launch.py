"""Starting and stopping the containers that workspaces run in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, Literal

from .channel import Channel
from .codex import workspace_environment
from .engine.fate import fate_of
from .engine.protocol import ContainerSpec, Engine
from .errors import EngineError, ProxyError
from .identity import Identity
from .network.control import Control, PolicyLike
from .network.isolation import Holder, Isolation
from .network.policy import Policy
from .network.request import Request
from .secret import NO_SECRETS, Secrets

__all__ = ["Launcher", "Phase", "Running"]

Phase = Literal["setup", "resume", "test"]

_AGENT = ("python3", "-I", "-S", "-u", "/opt/codex/agent.py")
_PIDS = 4096
# No ::1: there is no IPv6, and a server told to listen on "localhost" would take it first.
# The last name is what `hostname` prints; git looks it up, which must not count as an outside name.
_HOSTS = "127.0.0.1\tlocalhost\n{proxy}\tproxy\n{own}\tworkspace {hostname}\n"
_RESOLVER = "nameserver {proxy}\noptions timeout:1 attempts:1\n"


@dataclass(frozen=True, slots=True)
class Running:
    """
    A running container with an agent that answers.
    """

    container: str
    holder: Holder
    channel: Channel


class Launcher:
    """
    Starts containers on a session's isolated network. What they request is
    told without *secrets*.
    """

    def __init__(
        self,
        engine: Engine,
        isolation: Isolation,
        identity: Identity,
        secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._engine = engine
        self._isolation = isolation
        self._identity = identity
        self._secrets = secrets

    @property
    def authority(self) -> str:
        """
        What tells the certificate authority that containers trust from others.
        """
        return hashlib.sha256(self._isolation.info.ca_certificate).hexdigest()[:16]

    def launch(
        self,
        image: str,
        env: Mapping[str, str],
        phase: Phase,
        *,
        policy: Policy,
        cwd: str,
        tape: str | None = None,
    ) -> Running:
        """
        Start a container of *image* and wait until its agent answers.

        Args:
            image: id or tag.
            env: variables on top of those that Codex sets.
            phase: what its requests are logged as.
            policy: what they are judged by.
            cwd: where commands start by default.
            tape: the cassette of its requests, if there is one.

        Raises:
            EngineError: the engine refused.
            WorkspaceLost: the container ended before its agent answered.
        """
        while True:
            holder = self._isolation.acquire()
            try:
                return self._launch(holder, image, env, phase, policy, cwd, tape)
            except EngineError:
                # A holder that somebody removed is not lent again.
                if self._isolation.lives(holder):
                    raise

    def _launch(
        self,
        holder: Holder,
        image: str,
        env: Mapping[str, str],
        phase: Phase,
        policy: Policy,
        cwd: str,
        tape: str | None,
    ) -> Running:
        engine, isolation = self._engine, self._isolation
        with ExitStack() as undo:
            container = ""
            undo.callback(lambda: isolation.release(holder, container, _nothing))
            container = engine.create(
                ContainerSpec(
                    image=image,
                    command=_AGENT,
                    name=self._identity.name("workspace"),
                    labels=self._identity.labels("workspace"),
                    environment=workspace_environment(env),
                    network=f"container:{holder.container}",
                    cap_drop=("NET_RAW", "NET_ADMIN"),
                    pids_limit=_PIDS,
                )
            )
            stream = engine.attach(container)
            undo.callback(stream.close)
            holder.proxy.register(holder.address, container, phase, policy, tape)
            engine.start(container)
            channel = Channel(stream, describe=lambda: fate_of(engine, container))
            names = {
                "proxy": isolation.address,
                "own": holder.address,
                "hostname": holder.container[:12],
            }
            channel.init(
                hosts=_HOSTS.format(**names),
                resolv=_RESOLVER.format(**names),
                ca_certificate=isolation.info.ca_certificate.decode("ascii"),
                cwd=cwd,
            )
            undo.pop_all()
        return Running(container, holder, channel)

    def enter(
        self, running: Running, phase: Phase, policy: Policy, tape: str | None = None
    ) -> None:
        """
        Log the container's requests as those of *phase* from now on, and
        judge them by *policy*, with the cassette *tape* if there is one.
        """
        proxy = running.holder.proxy
        proxy.barrier(running.holder.address)
        proxy.register(running.holder.address, running.container, phase, policy, tape)

    def control(self, running: Running, read_policy: Callable[[PolicyLike], Policy]) -> Control:
        """
        What a test can change about the container's network.
        """
        return Control(running.holder.proxy, running.holder.address, read_policy)

    def requests(self, running: Running) -> list[Request]:
        """
        Everything the container has requested until now. What has no answer
        after some seconds is there too, and its explanation says so.

        Raises:
            ProxyError: the proxy has ended, or there were too many to keep.
        """
        proxy = running.holder.proxy
        barrier = proxy.barrier(running.holder.address)
        if missing := proxy.dropped(running.container) + barrier.more:
            raise ProxyError(
                f"the log of {running.container[:12]} is not complete: after its first requests "
                f"{missing} more were not kept, so nothing can be asserted of it"
            )
        ended = proxy.requests(running.container)
        # One may have ended since the proxy looked.
        known = {(one.time, one.url) for one in ended}
        pending = (one for one in barrier.pending if (one.time, one.url) not in known)
        return [self._secrets.hide(one) for one in (*ended, *pending)]

    def last_requests(self, running: Running) -> list[Request]:
        """
        What the container has requested, without waiting; forgotten here.
        """
        found = running.holder.proxy.requests(running.container)
        running.holder.proxy.forget(running.container)
        return [self._secrets.hide(one) for one in found]

    def put(self, running: Running, path: str, archive: BinaryIO) -> None:
        """
        Unpack a tar below the directory *path* of the container.
        """
        self._engine.put_archive(running.container, path, archive)

    def stop(self, running: Running, after: Callable[[], None] | None = None) -> None:
        """
        Remove the container in the background, then call *after*.
        """
        running.channel.close()
        self._isolation.release(running.holder, running.container, after or _nothing)


def _nothing() -> None:
    return None
