"""Starting and stopping the containers that workspaces run in."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import BinaryIO, Protocol

from ..codex import AGENT, INSIDE, workspace_environment
from ..engine.diagnose import describe_container
from ..engine.protocol import ContainerSpec, Engine
from ..engine.session_id import Identity
from ..errors import (
    CodexWorkspaceError,
    EngineError,
    EngineUnavailable,
    ProxyError,
    WorkspaceLost,
)
from ..host.certificates import authority_digest
from ..in_container import workspace_agent as wire
from ..network.isolation import Holder, Isolation
from ..network.log import LiveNetwork, NetworkLog
from ..network.matching import Phase
from ..network.policy_reader import PolicyLike
from ..network.proxy_client import FindProcess
from ..network.rules.policy import OFFLINE, Policy
from ..network.rules.process import describe_processes
from ..network.rules.request import Request
from ..secrets.secrets import NO_SECRETS, Secrets
from ..text.loggers import logger_of
from ..text.phrases import counted
from .channel import Channel
from .limits import UNLIMITED, Limits

__all__ = [
    "Kind",
    "Launcher",
    "PhaseRules",
    "PhaseServices",
    "PhaseSwitch",
    "Running",
    "UnusableImage",
]

_LOG = logger_of(__name__)

_AGENT = (
    *("python3", "-I", "-S", "-B", "-u", "-c"),
    # Python keeps the compiled form of modules, and not that of programs.
    f"import sys; sys.path.append({INSIDE!r}); import workspace_agent; workspace_agent.main([])",
    AGENT,
)
_PIDS = 4096
_UNUSED = 3
"""Containers started ahead that may be of no use one after the other before no more are made."""
_HOLDERS = 10
"""How many holders are tried if each is removed before its workspace is there."""

# The last name is what `hostname` prints; git looks it up, which must not count as an outside name.
_HOSTS = "127.0.0.1\tlocalhost\n{loopback}{proxy}\tproxy\n{own}\tworkspace {hostname}\n"
_LOOPBACK_IPV6 = "::1\tlocalhost ip6-localhost ip6-loopback\n"
_RESOLVER = "nameserver {proxy}\noptions timeout:1 attempts:1\n"
_TAR_OVERHEAD = 64 << 10
_DAMAGE = ("overlay mount", "failed to mount", "layer does not exist", "runtime create failed")
"""What engines say of an image whose files are gone from their disk."""


@dataclass(frozen=True, slots=True)
class Kind:
    """
    What distinguishes a container from others before anything has run in it.

    Attributes:
        image: id or tag.
        env: variables on top of those that Codex sets, sorted.
        cwd: directory in which commands start by default.
    """

    image: str
    env: tuple[tuple[str, str], ...]
    cwd: str


@dataclass(slots=True)
class Running:
    """
    A running container with an agent that answers.

    Attributes:
        container: the engine's id of it. `Launcher.restart` puts another one in its place.
        holder: has its network.
        channel: leads to its agent.
        spec: what it was created from.
        name: what the proxy and reports call it: the id of its first container.
        kind: what its first container was before anything had run in it.
    """

    container: str
    holder: Holder
    channel: Channel
    spec: ContainerSpec
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class PhaseRules:
    """
    What holds in one phase of a workspace.

    Attributes:
        phase: its name, which its requests have.
        policy: what may be reached.
        cassette: the cassette of its requests, if there is one.
        variables: variables of its commands, in addition to those of every phase.
        secrets: are removed from the results of its commands.
    """

    phase: Phase
    policy: Policy
    cassette: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Secrets = NO_SECRETS


class PhaseServices(Protocol):
    """
    What runs in a workspace in the phase `test`, and in no other.
    """

    def suspend(self) -> None:
        """
        Note what runs, before every process is ended.
        """

    def resume(self) -> None:
        """
        Start what ran then.

        Raises:
            ServiceError: a service does not become ready.
        """


class PhaseSwitch:
    """
    Brings a workspace from one phase to another, and knows which one it is in.

    Args:
        running: the workspace.
        rules: returns the rules of a phase, by name.
        now: the phase in which it is.
        services: what runs in the phase `test`.
    """

    def __init__(
        self,
        running: Running,
        rules: Callable[[Phase], PhaseRules],
        now: PhaseRules,
        services: PhaseServices | None = None,
    ) -> None:
        self._services = services
        self._running = running
        self.rules = rules
        self.now: PhaseRules = now
        self.lock: threading.RLock = threading.RLock()
        self._give(now)

    def use(self, policy: Policy) -> Policy:
        """
        Apply *policy* to what the workspace requests for the rest of the phase, and return the
        policy before.
        """
        holder = self._running.holder
        # Another thread may be between two phases.
        with self._running.channel.holding_commands():
            holder.proxy.policy(holder.address, policy, self._running.name)
            before, self.now = self.now.policy, replace(self.now, policy=policy)
            return before

    def enter(self, rules: PhaseRules) -> None:
        """
        End every process of the workspace, and let *rules* hold from now on.

        As in Codex, no process lives longer than its phase, so none keeps a secret or makes
        requests that another phase forbids. If the rules cannot be applied, the workspace ends:
        its next command would have those of another phase.

        Raises:
            WorkspaceLost: the workspace has ended.
            ProxyError: the proxy has ended.
            ServiceError: a service does not become ready again.
        """
        holder, channel = self._running.holder, self._running.channel
        with _closed_on_error(channel):
            if self._services is not None:
                self._services.suspend()
        # What another thread begins meanwhile would outlive its phase, or have its secrets. After
        # an error, the channel is closed before such a command can begin.
        with channel.holding_commands(), _closed_on_error(channel):
            channel.kill_all()
            holder.proxy.policy(
                holder.address,
                rules.policy,
                self._running.name,
                phase=rules.phase,
                cassette=rules.cassette,
            )
            self._give(rules)
            self.now = rules
        if self._services is not None and rules.phase == "test":
            self._services.resume()

    def restart(self, relaunch: Callable[[], None]) -> None:
        """
        End every process of the workspace, and let it go on in another container. Services that
        ran are started again; the phase and its policy stay.

        Args:
            relaunch: puts the other container in place of this one.

        Raises:
            WorkspaceLost: the workspace has ended.
            ServiceError: a service does not become ready again.
        """
        services = self._services if self.now.phase == "test" else None
        channel = self._running.channel
        with self.lock:
            if services is not None:
                services.suspend()
            try:
                with channel.holding_commands():
                    channel.kill_all()
                    relaunch()
            finally:
                if services is not None and not channel.lost:
                    services.resume()

    def _give(self, rules: PhaseRules) -> None:
        hide = rules.secrets.redaction.data if rules.secrets.names else bytes
        self._running.channel.enter(rules.variables, hide)


@contextmanager
def _closed_on_error(channel: Channel) -> Iterator[None]:
    try:
        yield
    except BaseException:
        channel.close()
        raise


class UnusableImage(Exception):
    """
    No workspace comes up from an image.

    Attributes:
        image: id or tag of the image.
        cause: the error for users, if the image cannot be built again.
    """

    def __init__(self, image: str, cause: CodexWorkspaceError) -> None:
        super().__init__(str(cause))
        self.image = image
        self.cause = cause


class Launcher:
    """
    Starts and stops containers on a session's isolated network.

    Args:
        engine: runs the containers.
        isolation: the session's network.
        identity: the session.
        secrets: are removed from the requests that are reported.
        limits: what each container may use.
        where: what the engine is called, if there are several; an error about a container has it.
    """

    def __init__(
        self,
        engine: Engine,
        isolation: Isolation,
        identity: Identity,
        secrets: Secrets = NO_SECRETS,
        limits: Limits = UNLIMITED,
        where: str = "",
    ) -> None:
        self._where = f" (on the engine {where})" if where else ""
        self._engine = engine
        self._isolation = isolation
        self._identity = identity
        self._secrets = secrets
        self._limits = limits
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "codex-workspace-spare")
        self._spare: tuple[Kind, Future[Running]] | None = None
        self._unused = 0

    @cached_property
    def authority(self) -> str:
        """
        Digest of the certificate authority that containers trust.
        """
        return authority_digest(self._isolation.info.ca_certificate)

    def launch(
        self,
        image: str,
        env: Mapping[str, str],
        phase: Phase,
        *,
        policy: Policy,
        cwd: str,
        cassette: str | None = None,
    ) -> Running:
        """
        Start a container of *image* and wait until its agent answers.

        Args:
            image: id or tag.
            env: variables on top of those that Codex sets.
            phase: what its requests are logged as.
            policy: what it may reach.
            cwd: directory in which commands start by default.
            cassette: the cassette of its requests, if there is one.

        Raises:
            UnusableImage: the container ended before its agent answered, or its
                files are missing from the engine's disk.
            EngineError: the engine refused.
            ProxyError: the proxy has ended.
        """
        kind = Kind(image, tuple(sorted(env.items())), cwd)
        running = self._take_spare(kind)
        if running is None:
            return self._start(kind, phase, policy, cassette)
        with ExitStack() as undo:
            undo.callback(self.stop, running)
            holder = running.holder
            holder.proxy.register(holder.address, running.name, phase, policy, cassette)
            undo.pop_all()
        return running

    def prepare_another(self, running: Running) -> None:
        """
        Start another container like *running* in the background. The next call of `launch` takes
        it, if that asks for one of the kind; otherwise it is stopped.

        Nothing but its agent runs in it, and the proxy refuses it everything, until it is taken:
        it is what it would be if it were started then. There is never more than one, and none is
        made any more if several in a row were of no use.
        """
        with self._lock:
            if self._spare is not None or self._unused >= _UNUSED:
                return
            kind = running.kind
            self._spare = kind, self._pool.submit(self._start, kind, "test", OFFLINE)

    def _take_spare(self, kind: Kind) -> Running | None:
        """
        Return the container that was started ahead, if it is of *kind* and alive.
        """
        with self._lock:
            spare, self._spare = self._spare, None
            if spare is None:
                return None
            self._unused += 1
        future = spare[1]
        if spare[0] != kind:
            future.add_done_callback(self._stop_spare)
            return None
        try:
            # If it is not ready yet, it will be sooner than one that begins now.
            wait([future])
        except BaseException:
            future.add_done_callback(self._stop_spare)
            raise
        if (error := future.exception()) is not None:
            # What is wrong is told by the next start, if it is still so.
            _LOG.debug("no workspace could be started ahead: %s", error)
            return None
        running = future.result()
        if (
            running.channel.lost
            or not self._isolation.is_alive(running.holder)
            # Setup may have put another program in the agent's place. Ours requests nothing.
            or running.holder.proxy.requests(running.name)
        ):
            self._stop_spare(future)
            return None
        with self._lock:
            self._unused = 0
        return running

    def _stop_spare(self, future: Future[Running]) -> None:
        if not future.cancelled() and future.exception() is None:
            running = future.result()
            self.stop(running, lambda: running.holder.proxy.forget(running.name))

    def close(self) -> None:
        """
        Stop the container that was started ahead, if there is one. No other is started any more.
        """
        with self._lock:
            spare, self._spare = self._spare, None
            self._unused = _UNUSED
        self._pool.shutdown(cancel_futures=True)
        if spare is not None:
            self._stop_spare(spare[1])

    def _start(
        self, kind: Kind, phase: Phase, policy: Policy, cassette: str | None = None
    ) -> Running:
        left = _HOLDERS
        while True:
            left -= 1
            holder = self._isolation.acquire()
            try:
                return self._start_on(holder, kind, phase, policy, cassette)
            except WorkspaceLost as error:
                raise UnusableImage(kind.image, error) from None
            except EngineError as error:
                # A holder that was removed is not lent again; another may do.
                if left and not self._isolation.is_alive(holder):
                    continue
                if self._isolation.lacks_ipv6(error):
                    continue
                if any(words in str(error).lower() for words in _DAMAGE):
                    raise UnusableImage(kind.image, error) from None
                raise

    def _start_on(
        self, holder: Holder, kind: Kind, phase: Phase, policy: Policy, cassette: str | None
    ) -> Running:
        engine, isolation = self._engine, self._isolation
        with ExitStack() as undo:
            container = ""
            undo.callback(lambda: isolation.release(holder, container, _nothing))
            spec = replace(
                self._spec(kind.image, dict(kind.env), f"container:{holder.container}"),
                sysctls=isolation.loopback,
            )
            container = engine.create(spec)
            stream = engine.attach(container)
            undo.callback(stream.close)
            channel = Channel(stream, describe=self._describing(container))
            find = self._process_finder(channel)
            holder.proxy.register(holder.address, container, phase, policy, cassette, find)
            engine.start(container)
            self._init(channel, holder, kind.cwd)
            undo.pop_all()
        return Running(container, holder, channel, spec, container, kind)

    def _describing(self, container: str) -> Callable[[], str]:
        return lambda: f"{describe_container(self._engine, container)}{self._where}"

    def _init(self, channel: Channel, holder: Holder, cwd: str) -> None:
        isolation = self._isolation
        names = {
            "loopback": _LOOPBACK_IPV6 if isolation.loopback else "",
            "proxy": isolation.address,
            "own": holder.address,
            "hostname": wire.HOSTNAME,
        }
        channel.init(
            hosts=_HOSTS.format(**names),
            resolv=_RESOLVER.format(**names),
            ca_certificate=isolation.info.ca_certificate.decode("ascii"),
            cwd=cwd,
        )

    def restart(self, running: Running, image: str, cwd: str) -> None:
        """
        Put a container of *image* in place of that of *running*, none of whose processes runs. It
        has the same network, which keeps its log, its stubs and its policy. If it does not come up,
        the workspace ends.

        Args:
            running: the workspace; it has the other container afterwards.
            image: id or tag.
            cwd: directory in which commands start by default.

        Raises:
            WorkspaceLost: the other container ended before its agent answered.
            EngineError: the engine refused.
        """
        engine, channel, before = self._engine, running.channel, running.container
        spec = replace(running.spec, image=image, name=self._identity.name("workspace"))
        container = engine.create(spec)
        try:
            stream = engine.attach(container)
            channel.reconnect(stream, describe=self._describing(container))
            running.container, running.spec = container, spec
            engine.start(container)
            self._init(channel, running.holder, cwd)
            # It has the same network: nobody else may get that while it is there.
            engine.remove(before)
        except BaseException:
            channel.close()
            with suppress(EngineError, EngineUnavailable):
                engine.remove(container)
                # Whoever stops the workspace removes it, before its network goes to another.
                running.container = before
            raise

    @contextmanager
    def look(self, image: str) -> Iterator[Channel]:
        """
        Start a container of *image* without a network, and yield the channel to its agent. It is
        removed at the end of the context.

        Raises:
            WorkspaceLost: the container ended before its agent answered.
            EngineError: the engine refused.
        """
        engine = self._engine
        with ExitStack() as ends:
            container = engine.create(self._spec(image, {}, "none"))
            ends.callback(engine.remove, container)
            channel = Channel(engine.attach(container), describe=self._describing(container))
            ends.callback(channel.close)
            engine.start(container)
            channel.init()
            yield channel

    def _spec(self, image: str, env: Mapping[str, str], network: str) -> ContainerSpec:
        return ContainerSpec(
            image=image,
            command=_AGENT,
            name=self._identity.name("workspace"),
            labels=self._identity.labels("workspace"),
            environment=workspace_environment(env),
            network=network,
            cap_drop=("NET_RAW", "NET_ADMIN"),
            pids_limit=_PIDS,
            memory_limit=self._limits.memory,
            cpu_limit=self._limits.cpus,
        )

    def _process_finder(self, channel: Channel) -> FindProcess:
        """
        Return what tells the proxy who makes a request. It belongs to one container, so that no
        other can answer for it.
        """

        def find(protocol: str, local: tuple[str, int], remote: tuple[str, int]) -> str:
            found = channel.owner(protocol, local, remote)
            return describe_processes(found, self._secrets.redaction.stream)

        return find

    def enter(
        self, running: Running, phase: Phase, policy: Policy, cassette: str | None = None
    ) -> None:
        """
        Log the container's requests as those of *phase* from now on, judge
        them by *policy*, and use *cassette* for them if there is one.

        None of its processes may run. What they have requested belongs to the phase before, and
        is ended with it.

        Raises:
            ProxyError: the proxy has ended, or something of the phase before is left.
            EngineError: the holder has ended.
        """
        holder = running.holder
        running.channel.enter({})
        self._isolation.vacate(holder, running.name)
        holder.proxy.register(holder.address, running.name, phase, policy, cassette)

    def network_log(
        self,
        running: Running,
        read_policy: Callable[[PolicyLike], Policy],
        phases: PhaseSwitch,
        before: Sequence[Request] = (),
    ) -> NetworkLog:
        """
        Return the log of the container.

        Args:
            running: the container.
            read_policy: reads the policies that tests name.
            phases: applies policies, and knows the one that is applied.
            before: requests of other containers that belong to its log, too.
        """
        live = LiveNetwork(
            running.holder.proxy,
            running.holder.address,
            read_policy,
            policy=lambda: phases.now.policy,
            use=phases.use,
            workspace=running.name,
        )
        return NetworkLog(lambda: [*before, *self.requests(running)], live)

    def requests(self, running: Running) -> list[Request]:
        """
        Return everything that the container has requested until now. A request
        that has no answer after some seconds is included, and its explanation
        says so.

        Raises:
            ProxyError: the proxy has ended, or the log is not complete.
        """
        proxy = running.holder.proxy
        barrier = proxy.barrier(running.holder.address, workspace=running.name)
        what = f"the log of {running.name[:12]} is incomplete"
        if not barrier.passed:
            raise ProxyError(
                f"{what}: connections have waited for the proxy for too long, so nothing can be "
                "asserted about it",
                remedy="See what makes so many connections, in this workspace or in another.",
            )
        if damage := proxy.damage(running.name):
            raise ProxyError(
                f"{what}: the proxy reported {damage}, so nothing can be asserted about it",
                remedy="This is a fault of the proxy, unless its image is old: run "
                "`codex-workspace build` and please report it.",
            )
        if missing := proxy.dropped(running.name) + barrier.more:
            raise ProxyError(
                f"{what}: {counted(missing, 'request')} exceeded its limit, "
                "so nothing can be asserted about it"
            )
        ended = proxy.requests(running.name)
        # A pending request may have ended since the proxy looked.
        known = {one.id for one in ended}
        pending = (one for one in barrier.pending if one.id not in known)
        return [self._secrets.hide(one) for one in (*ended, *pending)]

    def last_requests(self, running: Running) -> list[Request]:
        """
        Return what the container has requested, without waiting, and free the
        memory that its requests take.
        """
        found = running.holder.proxy.requests(running.name)
        running.holder.proxy.forget(running.name)
        return [self._secrets.hide(one) for one in found]

    def put(self, running: Running, path: str, archive: BinaryIO) -> None:
        """
        Unpack a tar below the directory *path* of the container.
        """
        self._engine.put_archive(running.container, path, archive)

    def read_from_image(self, image: str, path: str, limit: int) -> bytes:
        """
        Return the content of a file of *image*, without running anything of the image; empty
        if there is no such file, or if it is larger than *limit* bytes.

        Raises:
            EngineError: the engine refused.
        """
        engine = self._engine
        container = engine.create(
            ContainerSpec(
                image=image,
                command=("true",),
                name=self._identity.name("reading"),
                labels=self._identity.labels("workspace"),
            )
        )
        try:
            archive = bytearray()
            for piece in engine.get_archive(container, path):
                archive += piece
                if len(archive) > limit + _TAR_OVERHEAD:
                    return b""
        finally:
            engine.remove(container)
        try:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                member = tar.next()
                file = tar.extractfile(member) if member and member.isreg() else None
                return file.read(limit) if file else b""
        except tarfile.TarError:
            return b""

    def stop(self, running: Running, after: Callable[[], None] | None = None) -> None:
        """
        Remove the container in the background, then call *after*.
        """
        try:
            running.channel.close()
        finally:
            self._isolation.release(
                running.holder, running.container, after or _nothing, running.name
            )

    def wait_for_cleanup(self) -> None:
        """
        Wait until every stopped container is removed, or could not be.
        """
        self._isolation.wait_for_cleanup()


def _nothing() -> None:
    return None
