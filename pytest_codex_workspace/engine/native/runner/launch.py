"""A container: the process that watches it, and its first one until that is the command."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import resource
import select
import signal
import socket
from typing import Any, NoReturn

from .gate import answer_bind, receive_descriptor, send_descriptor
from .kernel import capabilities, seccomp
from .kernel.cgroups import Cgroup
from .kernel.mounts import (
    change_root,
    hide_from_host,
    mount_groups,
    mount_kernel,
    mount_layers,
    open_devices,
    open_system,
)
from .kernel.system import (
    NEW_CGROUP,
    NEW_IPC,
    NEW_NS,
    NEW_PID,
    NEW_UTS,
    call,
    enter,
    is_mapped,
    prctl,
    sethostname,
    unshare,
)
from .networks import Attachment, locked, new_namespace, plug_in
from .processes import is_alive, mark
from .removal import remove_tree
from .users import find_user

__all__ = ["Launch", "write_state"]

_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38
_JOIN_KEYRING = 1
_FILES = 1_048_576
_PIECE = 1 << 16


def write_state(container: str, state: dict[str, Any]) -> None:
    """
    Write what is known of a container, so that readers see the old or the new.
    """
    path = f"{container}/state.json"
    with open(f"{path}.new", "w") as file:
        json.dump(state, file)
    os.rename(f"{path}.new", path)


class Launch:
    """
    Starts one container, and stays until it has ended.

    Args:
        root: the directory of the engine.
        asked: the request: the container, its networks, what was joined.
        reply: takes one line of JSON when the command runs, or why it does not.
        inputs: the standard streams of the command.
        outputs: the other ends of its two outputs, which are read to nowhere when the client goes.
        client: is closed when nobody reads the outputs any more.
    """

    def __init__(
        self,
        root: str,
        asked: dict[str, Any],
        reply: socket.socket,
        inputs: list[int],
        outputs: list[int],
        client: int,
    ) -> None:
        self._root = root
        self._asked = asked
        self._reply = reply
        self._inputs = inputs
        self._outputs = outputs
        self._client = client
        self._container = f"{root}/containers/{asked['id']}"
        with open(f"{self._container}/container.json") as file:
            self._spec = json.load(file)
        self._groups = Cgroup(asked["id"])
        self._attached: dict[str, Attachment] = {}
        self._listener: int | None = None

    def run(self) -> None:
        """
        Start the container, wait until it has ended, and note how.
        """
        os.setsid()
        try:
            first = self._start()
        except (OSError, ValueError, KeyError) as error:
            self._groups.remove()
            self._say({"error": str(error)})
            return
        self._say({"ready": True})
        code = self._watch(first)
        memory = self._groups.killed_for_memory()
        self._groups.remove()
        if self._spec["auto_remove"] and not os.path.exists(f"{self._container}/kept"):
            if memory:
                self._remember_memory()
            self._discard()
        else:
            write_state(self._container, {"exit": code, "oom": memory})
            os.close(self._client)

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._reply.sendall(json.dumps(message).encode() + b"\n")
        self._reply.close()

    def _start(self) -> int:
        spec = self._spec
        self._groups.make(spec["memory"], spec["pids"], spec["cpus"])
        with contextlib.ExitStack() as locks:
            if not self._asked["egress"]:
                self._enter_network(locks)
            unshare(NEW_PID)
            ours, theirs = socket.socketpair()
            first = os.fork()
            if not first:
                ours.close()
                self._become(theirs)
            theirs.close()
            try:
                self._attend(first, locks)
            except BaseException:
                os.kill(first, signal.SIGKILL)
                # It may have ended before, for a reason of its own.
                _check_words(first, _read_words(ours))
                os.waitpid(first, 0)
                raise
        with contextlib.suppress(BrokenPipeError):
            ours.sendall(b"g")
        said = b""
        if self._hears_calls:
            self._listener, said = receive_descriptor(ours)
        _check_words(first, said + _read_words(ours))
        return first

    def _attend(self, first: int, locks: contextlib.ExitStack) -> None:
        """
        Do what the first process waits for, which meanwhile mounts what it will see.
        """
        if self._asked["egress"]:
            # The container stays in the machine's, to which there may be no way back.
            self._enter_network(locks)
        try:
            # The kernel takes 10 ms for the first of these.
            self._groups.add(first)
        except OSError as error:
            raise OSError(error.errno, f"limit the container: {error.strerror}") from None
        for descriptor in self._inputs:
            os.close(descriptor)
        write_state(
            self._container,
            {
                "monitor": mark(os.getpid()),
                "first": mark(first),
                "networks": {
                    one.network: {"address": one.address, "switch": one.switch}
                    for one in self._attached.values()
                },
            },
        )

    @property
    def _hears_calls(self) -> bool:
        return bool(self._asked["egress"] and self._asked["networks"])

    def _enter_network(self, locks: contextlib.ExitStack) -> None:
        """
        Enter the network of the container: a new one, or that of another container.
        """
        asked, sysctls = self._asked, self._spec["sysctls"]
        if joined := asked.get("joins"):
            process, began = joined
            found = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            if not is_alive((process, began)):
                os.close(found)
                raise OSError(errno.ESRCH, "the container whose network it joins does not run")
            enter(found)
            os.close(found)
        elif asked["egress"] and not asked["networks"]:
            if sysctls:
                raise ValueError(f"the setting {min(sysctls)} would be the machine's own")
            return
        else:
            new_namespace()
        for number, network in enumerate(asked["networks"]):
            locks.enter_context(locked(self._root, network))
            self._attached[network] = plug_in(self._root, network, f"eth{number}")
        _set(sysctls)

    def _become(self, channel: socket.socket) -> NoReturn:
        """
        Be the first process of the container.
        """
        try:
            self._confine(channel)
        except (OSError, ValueError, KeyError, seccomp.FilterError) as error:
            with contextlib.suppress(OSError):
                channel.sendall(str(error).encode() or type(error).__name__.encode())
        finally:
            os._exit(127)

    def _confine(self, channel: socket.socket) -> None:
        spec = self._spec
        prctl(_DEATH_SIGNAL, signal.SIGKILL)
        unshare(NEW_NS | NEW_IPC | NEW_UTS)
        hide_from_host()
        kept = capabilities.allowed(spec["cap_add"], spec["cap_drop"])
        if self._hears_calls:
            # It is in the machine's network.
            kept = []
        devices = open_devices()
        system = open_system() if self._asked["egress"] and is_mapped() else {}
        files = {
            f"/etc/{name}": os.open(f"{self._container}/{name}", os.O_PATH | os.O_CLOEXEC)
            for name in ("hosts", "hostname", "resolv.conf")
        }
        root = mount_layers(f"{self._root}/layers", spec["layers"], self._container)
        change_root(root)
        mount_kernel(devices, files, system)
        if channel.recv(1) != b"g":
            return
        # In its groups, the new namespace of groups shows nothing above them.
        unshare(NEW_CGROUP)
        mount_groups(self._groups)
        sethostname(spec["hostname"])
        os.setsid()
        os.umask(0o022)
        for number, stream in enumerate(self._inputs):
            os.dup2(stream, number)
        _raise_file_limit()
        user = find_user(spec["user"])
        environment = {"HOME": user.home, **spec["environment"]}
        workdir = spec["workdir"] or "/"
        os.makedirs(workdir, exist_ok=True)
        os.chdir(workdir)
        call("keyctl", _JOIN_KEYRING, 0)
        capabilities.limit(kept)
        if spec["no_new_privileges"]:
            prctl(_NO_NEW_PRIVILEGES, 1)
        program = seccomp.compose(
            platform.machine(),
            notify_bind=self._hears_calls,
            unix_sockets=not self._hears_calls,
        )
        listener = seccomp.install(program, listen=self._hears_calls)
        if self._hears_calls:
            send_descriptor(channel, listener)
            os.close(listener)
        os.setgroups(user.groups)
        os.setgid(user.gid)
        os.setuid(user.uid)
        # A change of the user clears it.
        prctl(_DEATH_SIGNAL, signal.SIGKILL)
        capabilities.keep_only(kept if not user.uid else ())
        for one in signal.Signals:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(one, signal.SIG_DFL)
        channel_number = channel.fileno()
        os.closerange(3, channel_number)
        os.closerange(channel_number + 1, _FILES)
        try:
            os.execvpe(spec["command"][0], spec["command"], environment)
        except OSError as error:
            words = f"start the program {spec['command'][0]}: {error.strerror}"
            raise OSError(error.errno, words) from None

    def _watch(self, first: int) -> int:
        """
        Answer the calls of the container, and take its output when nobody else does, until its end.
        """
        process = os.pidfd_open(first)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.register(self._client, select.POLLIN)
        if self._listener is not None:
            poll.register(self._listener, select.POLLIN)
        addresses = [one.address for one in self._attached.values()]
        while True:
            for descriptor, event in poll.poll():
                if descriptor == process:
                    _, status = os.waitpid(first, 0)
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else 128 - code
                if descriptor == self._listener:
                    if event & select.POLLIN:
                        answer_bind(descriptor, addresses)
                    else:
                        poll.unregister(descriptor)
                elif descriptor == self._client:
                    poll.unregister(descriptor)
                    for output in self._outputs:
                        poll.register(output, select.POLLIN)
                elif not os.read(descriptor, _PIECE):
                    poll.unregister(descriptor)

    def _remember_memory(self) -> None:
        with contextlib.suppress(OSError), open(f"{self._root}/oom/{self._spec['id']}", "w"):
            pass

    def _discard(self) -> None:
        trash = f"{self._root}/trash/{self._spec['id']}-{os.getpid()}"
        try:
            os.rename(self._container, trash)
        except OSError:
            # Another process removes it.
            os.close(self._client)
            return
        os.close(self._client)
        name = f"{self._root}/names/{self._spec['name']}"
        with contextlib.suppress(OSError), open(name) as file:
            if file.read() == self._spec["id"]:
                os.unlink(name)
        remove_tree(trash)


def _read_words(channel: socket.socket) -> bytes:
    """
    Read until the end what the first process says, which is nothing if it has become the command.
    """
    said = b""
    # Reset, after all that it has said, if it ended without reading what it was told.
    with contextlib.suppress(ConnectionResetError):
        while piece := channel.recv(_PIECE):
            said += piece
    channel.close()
    return said


def _check_words(first: int, said: bytes) -> None:
    """
    Raise what the first process has said as an error, once it has ended.
    """
    if said:
        os.waitpid(first, 0)
        raise OSError(0, said.decode(errors="replace"))


def _set(sysctls: dict[str, str]) -> None:
    """
    Set what the kernel has for each network, in that of this process.
    """
    for name, value in sysctls.items():
        if not name.startswith("net."):
            raise ValueError(f"the setting {name} is not one of a container's own network")
        with open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(value)


def _raise_file_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for files in (_FILES, most):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            return
