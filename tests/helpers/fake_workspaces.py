"""Sessions on the fake engine, with programs that behave like ours at the other end.

The engine, the network's isolation, the proxy's client and the channel to the agent
are the real ones. The proxy and the agent are small programs that speak the real
protocols; the agent's files are those of its container, so that what a script
writes is in the layer that is made of it, and nowhere else.
"""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pytest_codex_workspace.cache.entries import KINDS
from pytest_codex_workspace.codex import IMAGE, RESUME, SELECT_RUNTIMES, SETUP
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import ContainerSpec, ImageInfo, Stream
from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.images.base import named_plan
from pytest_codex_workspace.images.debian import DEBIAN
from pytest_codex_workspace.images.proxy import proxy_plan
from pytest_codex_workspace.in_container import describe_files, list_processes
from pytest_codex_workspace.in_container import workspace_agent as wire
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.projection.repository import RepositorySnapshot
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.setup.scripts import RUN
from tests.fakes.engine import FakeEngine

from .archives import unpack_all
from .local_agent import LocalStream

BASE = "test-base:1"
AGENT = "/opt/codex/workspace_agent.py"
HISTORY = "/root/history"
"""A file of the workspace that scripts add a line to."""

MERGED = 'exec 2>&1; exec "$@"'

_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
_KEY = "-----BEGIN PRIVATE KEY-----\nMIIC\n-----END PRIVATE KEY-----\n"


def snapshot(**changes: Any) -> RepositorySnapshot:
    """
    Return a commit with both scripts, which differs in *changes* from the default.
    """
    fields: dict[str, Any] = {
        "path": Path("/r"),
        "name": "demo",
        "git_dir": Path("/r/.git"),
        "common_dir": Path("/r/.git"),
        "head": "a" * 40,
        "object_format": "sha1",
        "shallow": False,
        "identity": "i",
        "scripts_tree": "t",
        "has_setup": True,
        "has_resume": True,
        "submodules": (),
    }
    return RepositorySnapshot(**{**fields, **changes})


class StubProjection:
    """
    The archive of a projection without git objects: a plan that names the commit.
    """

    unpack_dir = "/"

    def __init__(self, found: RepositorySnapshot) -> None:
        self._head = found.head

    of = classmethod(lambda cls, found, have=None, on_scratch=None: cls(found))
    size = 0

    def open(self, on_read: Any = None) -> BinaryIO:
        return tar_of("codex-projection/plan.json", json.dumps({"head": self._head}).encode())

    def close(self) -> None:
        """
        Nothing is open.
        """


@dataclass
class Script:
    """
    What a setup script does: it prints *output* and ends with *code*.

    Attributes:
        wait: is waited for while the script runs.
        requests: hosts that it requests.
        running: set while the script runs.
    """

    output: str
    code: int = 0
    wait: threading.Event | None = None
    requests: tuple[str, ...] = ()
    running: threading.Event = field(default_factory=threading.Event)


class World:
    """
    A fake engine, its programs, and a trace of what they did.

    The trace has a word for each event: `base>clean` for a layer that was
    committed, `setup.sh` and `resume.sh` for scripts, `-ready` for a layer
    from which no container came up, `?ready` for one that was gone.
    """

    def __init__(self, agent: Callable[..., Any] | None = None) -> None:
        self._agent = agent or _Agent
        self.registered: list[tuple[str, str, str | None]] = []
        """Phase, policy and cassette of each workspace that was registered with a proxy."""
        self.trace: list[str] = []
        self.shown: list[str] = []
        self.scripts = {SETUP: Script("setup\n"), RESUME: Script("resume\n")}
        self.removal_time = 0.0
        """Seconds that the engine takes to remove a container, which ends later than that."""
        self.shell_results: dict[str, tuple[int, bytes]] = {}
        """Exit code and output of shell commands, by a word in them."""
        self.shell_commands: list[str] = []
        self.daemons: list[dict[str, Any]] = []
        """What is alive when a script ends."""
        self.services: dict[str, int | None] = {}
        """Exit code of services by command; `None` if they keep running."""
        self.found_secrets = b'{"found": [], "complete": true}'
        """What the search for secrets in a workspace answers."""
        self.before_create: Callable[[ImageInfo], None] | None = None
        """Called with the image of which a workspace is about to be created."""
        self.on_call: Callable[[str], None] | None = None
        """Called before and after each change that the main thread makes on the engine."""
        self.on_wait: Callable[[], None] | None = None
        """Called when a session begins to wait for the lock of another."""
        self.proxies: list[_Proxy] = []
        self.engine = TracingEngine(self)
        self.engine.import_image(tar_of(AGENT, b"the agent"), tag=BASE, changes=[])
        # As on a machine with an earlier run; tests/unit/images has the tests of its build.
        proxy = proxy_plan()
        self.engine.tag(self.engine.add_image(proxy.tag, proxy.labels(DEBIAN)).id, proxy.latest)

    def prepared(self) -> World:
        """
        Let an earlier run have made the image of workspaces, too.
        """
        plan = named_plan(self.engine, BASE, ca_certificate=_CERTIFICATE.encode())
        container = self.engine.create(self.spec_of(BASE))
        self.engine.commit(container, tag=plan.tag, labels=plan.labels(str(plan.base)))
        self.engine.remove(container)
        self.trace.clear()
        return self

    @contextmanager
    def session(self, cache: str = "auto", **options: Any) -> Iterator[Session]:
        """
        Return a session on the engine.
        """
        config = Config(image=BASE, cache=cache, **options)  # type: ignore[arg-type]
        output = Output("progress", self._show)
        with Session(config, output, connect=lambda _: self.engine) as session:
            yield session

    def _show(self, line: str) -> None:
        self.shown.append(line)
        if "codex: waiting for" in line and self.on_wait is not None:
            self.on_wait()

    def kind_of(self, reference: str) -> str:
        """
        Return the kind of an image.
        """
        image = self.engine.image(reference)
        return image.labels.get(labels.KIND, "?") if image else "?"

    def layers(self) -> list[str]:
        """
        Return the kinds of all layers on the engine.
        """
        kinds = (*KINDS, "temporary", "kept")
        found = self.engine.images({labels.KIND: None})
        return sorted(one.labels[labels.KIND] for one in found if one.labels[labels.KIND] in kinds)

    def leftovers(self) -> list[str]:
        """
        Return containers and networks that a session should have removed.
        """
        wanted = {labels.SESSION: None}
        return [
            *(one.name for one in self.engine.containers(wanted)),
            *(one.name for one in self.engine.networks(wanted)),
        ]

    def newest(self, kind: str) -> ImageInfo:
        """
        Return the tagged image of a kind.
        """
        return next(one for one in self.engine.images({labels.KIND: kind}) if one.tags)

    def remove(self, kind: str) -> None:
        """
        Remove the layers of a kind, and those that stand on them.
        """
        for above in reversed(KINDS[KINDS.index(kind) :]):  # type: ignore[arg-type]
            for image in self.engine.images({labels.KIND: above}):
                for tag in image.tags:
                    self.engine.remove_image(tag)

    def break_agent(self, kind: str) -> None:
        """
        Let the agent's program be missing in the layer of a kind.
        """
        image = self.newest(kind)
        tag = next(tag for tag in image.tags if tag.startswith(f"{IMAGE}:{kind}-"))
        container = self.engine.create(self.spec_of(image.id))
        self.engine.put_archive(container, "/", self.no_agent())
        self.engine.commit(container, tag=tag, labels={})
        self.engine.remove(container)
        self.trace.clear()

    @staticmethod
    def spec_of(image: str) -> ContainerSpec:
        """
        Return a container that a test makes of an image.
        """
        return ContainerSpec(image, ["true"], "made-by-a-test")

    @staticmethod
    def no_agent() -> BinaryIO:
        """
        Return an archive that replaces the agent's program with nothing.
        """
        return tar_of(AGENT, b"")

    def run(self, spec: ContainerSpec, stdin: BinaryIO, stdout: BinaryIO) -> int:
        """
        Run what a container runs.
        """
        if any(word.endswith("install_tools.sh") for word in spec.command):
            # The base image has the tools that a workspace needs.
            return 3
        program = spec.command[-1]
        if program.endswith("main.py"):
            proxy = _Proxy(stdout, self.registered)
            self.proxies.append(proxy)
            return proxy.serve(stdin)
        if program.endswith("network_holder.py"):
            stdin.readline()
            stdout.write(b'{"ready": true}\n')
            for _ in stdin:
                stdout.write(b'{"drained": true, "sentinels": 1}\n')
            return 0
        if program == AGENT:
            code = int(self._agent(self, spec, stdout).serve(stdin))
            time.sleep(2 * self.removal_time)
            return code
        return 0

    def request(self, container: str, host: str) -> None:
        """
        Log a request of a container.
        """
        for proxy in self.proxies:
            proxy.request(container, host)


class TracingEngine(FakeEngine):
    """
    A fake engine that tells its world of what is done, and lets a test interfere.
    """

    def __init__(self, world: World) -> None:
        super().__init__(run=world.run, pullable=[DEBIAN])
        self._world = world
        self._calling = threading.local()

    def create(self, spec: ContainerSpec) -> str:
        """
        Create a container.
        """
        image = self.image(spec.image)
        if image and spec.command[-1] == AGENT and self._world.before_create:
            self._world.before_create(image)
        with self._call("create"):
            try:
                return super().create(spec)
            except EngineError:
                kind = image.labels[labels.KIND] if image else "?"
                self._world.trace.append(f"?{kind}")
                raise

    def attach(self, container: str) -> Stream:
        """
        Attach to a container.
        """
        with self._call("attach"):
            pass
        return super().attach(container)

    def start(self, container: str) -> None:
        """
        Start a container.
        """
        with self._call("start"):
            try:
                super().start(container)
            except EngineError:
                info = self.container(container)
                assert info is not None
                self._world.trace.append(f"-{self._world.kind_of(info.image)}")
                raise

    def put_archive(self, container: str, path: str, archive: BinaryIO) -> None:
        """
        Unpack files.
        """
        with self._call("put_archive"):
            super().put_archive(container, path, archive)

    def commit(
        self, container: str, *, tag: str | None, labels: Any, ends: bool = False
    ) -> ImageInfo:
        """
        Make an image of a container.
        """
        with self._call("commit"):
            info = self.container(container)
            below = self._world.kind_of(info.image) if info else "?"
            image = super().commit(container, tag=tag, labels=labels, ends=ends)
            self._world.trace.append(f"{below}>{self._world.kind_of(image.id)}")
            return image

    def tag(self, image: str, reference: str) -> None:
        """
        Name an image.
        """
        with self._call("tag"):
            super().tag(image, reference)

    def remove_image(self, reference: str) -> None:
        """
        Remove an image.
        """
        with self._call("remove_image"):
            super().remove_image(reference)

    def remove(self, container: str) -> None:
        """
        Remove a container.
        """
        time.sleep(self._world.removal_time)
        super().remove(container)

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        """
        Let the test interfere before and after a call of the main thread.
        """
        on_call = self._world.on_call
        inner = getattr(self._calling, "name", None)
        if on_call is None or inner or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._calling.name = name
        try:
            on_call(f"before {name}")
            yield
            on_call(f"after {name}")
        finally:
            self._calling.name = None


class _Proxy:
    """
    The proxy's side of its protocol: knows who has which address, and logs requests.
    """

    def __init__(self, stdout: BinaryIO, registered: list[tuple[str, str, str | None]]) -> None:
        self._stdout = stdout
        self._registered = registered
        self._lock = threading.Lock()
        self._workspaces: dict[str, tuple[str, str]] = {}
        self._number = 0
        self.settings: dict[str, Any] = {}

    def serve(self, stdin: BinaryIO) -> int:
        for line in stdin:
            message = json.loads(line)
            self._say(reply=message["id"], **self._answer(message))
        return 0

    def request(self, workspace: str, host: str) -> None:
        with self._lock:
            phase = next((one[1] for one in self._workspaces.values() if one[0] == workspace), None)
        if phase is None:
            return
        self._number += 1
        self._say(
            event="request",
            workspace=workspace,
            id=self._number,
            time=float(self._number),
            phase=phase,
            method="GET",
            scheme="https",
            host=host,
            port=443,
            path="/",
            url=f"https://{host}/",
            status=200,
            size=0,
            duration=0.1,
            verdict="allowed",
            reason=None,
            explanation="",
        )

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["op"] == "configure":
            self.settings = message
            new = None if message["ca"] else _KEY + _CERTIFICATE
            return {"ok": True, "ca_certificate": _CERTIFICATE, "ca": new}
        with self._lock:
            if message["op"] == "register":
                address, workspace = message["address"], message["workspace"]
                owner = self._workspaces.get(address, (workspace, ""))[0]
                if owner != workspace:
                    return {"error": f"{address} still belongs to {owner}"}
                self._workspaces[address] = workspace, message["phase"]
                policy, cassette = message["policy"]["name"], message.get("cassette")
                self._registered.append((message["phase"], policy, cassette))
            elif message["op"] == "policy":
                address = message["address"]
                workspace, phase = self._workspaces[address]
                phase = message.get("phase", phase)
                self._workspaces[address] = workspace, phase
                self._registered.append((phase, message["policy"]["name"], message.get("cassette")))
            elif message["op"] == "release":
                self._workspaces.pop(message["address"], None)
            elif message["op"] == "free":
                return {"ok": True, "free": message["address"] not in self._workspaces}
        return {"ok": True}

    def _say(self, **message: Any) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._stdout.write(data)


LIST_PROCESSES = Path(list_processes.__file__).read_text()
DESCRIBE_FILES = Path(describe_files.__file__).read_text()
_SEARCH = "the search for secrets"
_DESCRIBE = "what files are"


class _Agent:
    """
    The agent's side of its protocol, on the files of its container.
    """

    def __init__(self, world: World, spec: ContainerSpec, stdout: BinaryIO) -> None:
        self._world = world
        self._engine = world.engine
        self._spec = spec
        self._stdout = stdout
        self._writes: dict[int, tuple[str, bytes]] = {}

    def serve(self, stdin: BinaryIO) -> int:
        if not self._read(AGENT):
            info = self._engine.container(self._spec.name)
            self._world.trace.append(f"-{self._world.kind_of(info.image) if info else '?'}")
            return 2
        while header := stdin.read(wire.HEADER.size):
            kind, number, size = wire.HEADER.unpack(header)
            self._frame(kind, number, stdin.read(size))
        return 0

    def _frame(self, kind: int, number: int, payload: bytes) -> None:
        if kind == wire.STDIN:
            path, data = self._writes[number]
            self._writes[number] = path, data + payload
            self._send(wire.TAKEN, number, wire.TAKEN_COUNT.pack(len(payload)))
            return
        if kind == wire.STDIN_EOF:
            path, data = self._writes.pop(number)
            if path == _SEARCH:
                self._finish(number, 0, self._world.found_secrets)
                return
            if path == _DESCRIBE:
                self._finish(number, 0, json.dumps(self._files(json.loads(data))).encode())
                return
            self._write(path, data)
            self._answer(wire.DONE, number)
            return
        request = json.loads(payload or b"{}")
        if kind == wire.INIT:
            self._answer(wire.READY, number, python="3.12.0", pid=1, ca_installed=False, ms=1.0)
        elif kind == wire.EXEC:
            self._exec(number, request)
        elif kind == wire.READ:
            data = self._read(request["path"])
            if data is None:
                self._answer(wire.ERROR, number, errno="ENOENT", message="", path=request["path"])
                return
            self._send(wire.DATA, number, data)
            self._answer(wire.DONE, number)
        elif kind == wire.WRITE:
            self._writes[number] = request["path"], b""
        elif kind in (wire.KILL_ALL, wire.UNLINK):
            # What is removed here is of the run of a script, and no test looks for it.
            self._answer(wire.DONE, number)
        elif kind == wire.STAT:
            self._answer(wire.DONE, number, stat=[0o100644, 0, 0, 1, 0, 0, 0, 100, 100, 100])
        else:
            raise AssertionError(f"the agent of this test does not know frames of type {kind}")

    def _exec(self, number: int, request: dict[str, Any]) -> None:
        argv, code, output = request["argv"], 0, b""
        if argv[-1].endswith("apply_projection.py"):
            plan = json.loads(self._read("/codex-projection/plan.json") or b"{}")
            # After setup, the workspace has the commit already.
            if plan.get("repository") != "":
                self._note(f"project {plan['head'][:4]}")
        elif argv[:3] == ["bash", "-c", RUN]:
            code, output = self._script(argv[4])
        elif argv[-1] == LIST_PROCESSES:
            output = json.dumps({"processes": self._world.daemons, "ports": []}).encode()
        elif argv[-1] == DESCRIBE_FILES:
            self._writes[number] = _DESCRIBE, b""
            return
        elif argv[2] == MERGED:
            self._world.trace.append(f"service:{argv[-1]}")
            self._answer(wire.STARTED, number, pid=3)
            self._send(wire.STDOUT, number, b"ready\n")
            if self._world.services[argv[-1]] is None:
                return
            del request["window"]
            code = self._world.services[argv[-1]] or 0
        elif argv[:3] == ["python3", "-I", "-S"]:
            # It ends once it has read its input.
            self._writes[number] = _SEARCH, b""
            return
        elif argv[:3] == ["bash", "--login", "-c"]:
            self._world.shell_commands.append(argv[-1])
            results = self._world.shell_results.items()
            code, output = next((one for word, one in results if word in argv[-1]), (0, b""))
        else:
            raise AssertionError(f"the agent of this test does not know the command {argv}")
        if "window" in request:
            self._answer(wire.STARTED, number, pid=2)
        self._finish(number, code, output)

    def _finish(self, number: int, code: int, output: bytes) -> None:
        self._send(wire.STDERR if code else wire.STDOUT, number, output)
        self._answer(
            wire.EXIT,
            number,
            code=code,
            duration=0.1,
            totals=[len(output), 0],
            truncated=[False, False],
            timed_out=False,
        )

    def _script(self, path: str) -> tuple[int, bytes]:
        given = {"setup_script.sh": SETUP, "maintenance_script.sh": RESUME}
        name = given.get(path.partition("-")[2] if path.startswith("/tmp/") else "", path)
        script = self._world.scripts[name]
        self._world.trace.append("setup.sh" if name == SETUP else "resume.sh")
        script.running.set()
        wait, script.wait = script.wait, None
        if wait is not None and not wait.wait(20):
            raise AssertionError("nobody let the script go on")
        self._note(script.output.strip())
        info = self._engine.container(self._spec.name)
        for host in script.requests:
            assert info is not None
            self._world.request(info.id, host)
        return script.code, script.output.encode()

    def _files(self, wanted: dict[str, Any]) -> Any:
        """
        Answer what the program that describes files is asked. Every file is new here.
        """
        if "since" in wanted:
            container = self._engine._find_container(self._spec.name)
            assert container is not None
            return sorted(set(container.files._members) - describe_files.OWN)[: wanted["most"] + 1]
        if "paths" not in wanted:
            return 5
        found = ((path, self._read(path)) for path in wanted["paths"])
        return {
            path: [stat.S_IFREG, 0o644, 0, 0, len(data), data.decode()]
            for path, data in found
            if data is not None
        }

    def _note(self, line: str) -> None:
        self._write(HISTORY, (self._read(HISTORY) or b"") + line.encode() + b"\n")

    def _read(self, path: str) -> bytes | None:
        try:
            archive = b"".join(self._engine.get_archive(self._spec.name, path))
        except EngineError:
            return None
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            file = tar.extractfile(tar.getmembers()[0])
            return file.read() if file else None

    def _write(self, path: str, data: bytes) -> None:
        self._engine.put_archive(self._spec.name, "/", tar_of(path, data))

    def _answer(self, kind: int, number: int, **values: Any) -> None:
        self._send(kind, number, json.dumps(values).encode())

    def _send(self, kind: int, number: int, payload: bytes) -> None:
        self._stdout.write(wire.HEADER.pack(kind, number, len(payload)) + payload)


class LocalAgent:
    """
    The real agent, as a process of this machine, with the files of its container in a
    directory. They are written back when the host has every process of the container killed,
    which it does before each commit.
    """

    _REQUESTS = (wire.INIT, wire.EXEC, wire.READ, wire.WRITE)

    def __init__(self, world: World, spec: ContainerSpec, stdout: BinaryIO) -> None:
        self._engine = world.engine
        self._spec = spec
        self._stdout = stdout

    def serve(self, stdin: BinaryIO) -> int:
        with tempfile.TemporaryDirectory(prefix="codex-test-") as directory:
            self._root = Path(directory)
            (self._root / "home").mkdir()
            env = {**self._spec.environment, "HOME": str(self._root / "home")}
            env |= {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
            stream = LocalStream(env=env)
            pump = threading.Thread(target=self._pump, args=(stream,))
            pump.start()
            try:
                while header := stdin.read(wire.HEADER.size):
                    kind, number, size = wire.HEADER.unpack(header)
                    payload = self._prepare(kind, stdin.read(size))
                    stream.send(wire.HEADER.pack(kind, number, len(payload)) + payload)
            finally:
                stream.close()
                stream.process.wait(10)
                pump.join(10)
                code = stream.end()
            return code

    def _prepare(self, kind: int, payload: bytes) -> bytes:
        if kind == wire.KILL_ALL:
            self._write_back()
        if kind not in self._REQUESTS:
            return payload
        request = json.loads(payload)
        if kind == wire.INIT:
            self._unpack("/")
            for name in ("etc", "tmp", "usr/local/share/ca-certificates"):
                (self._root / name).mkdir(parents=True, exist_ok=True)
            request["root"] = str(self._root)
        if kind == wire.EXEC and request["argv"][-1].endswith("apply_projection.py"):
            self._unpack("/codex-projection")
            (self._root / "workspace").mkdir(exist_ok=True)
            project = next(iter(json.loads(self._plan.read_text())["target"].rsplit("/", 1)[1:]))
            script = str(self._root / "codex-projection/apply_projection.py")
            target = str(self._root / "workspace" / project)
            request["argv"] = [*request["argv"][:-1], script, target]
        if kind == wire.EXEC and RUN in request["argv"]:
            # A script that is no file of the repository.
            request["argv"] = [
                str(self._root) + one if one.startswith("/tmp/") else one for one in request["argv"]
            ]
        if kind == wire.EXEC and request["argv"][-1].endswith(SELECT_RUNTIMES):
            # This machine has its versions.
            request["argv"] = ["true"]
        if kind == wire.EXEC and request["argv"][-1] == LIST_PROCESSES:
            # The processes of this machine are nobody's daemons.
            request["argv"] = ["echo", '{"processes": [], "ports": []}']
        for field_ in ("path", "cwd"):
            if request.get(field_):
                request[field_] = str(self._root) + request[field_]
        return json.dumps(request).encode()

    @property
    def _plan(self) -> Path:
        return self._root / "codex-projection/plan.json"

    def _unpack(self, path: str) -> None:
        archive = b"".join(self._engine.get_archive(self._spec.name, path))
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            unpack_all(tar, self._root)

    def _write_back(self) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(self._root, arcname=".")
        archive.seek(0)
        self._engine.put_archive(self._spec.name, "/", archive)

    def _pump(self, stream: LocalStream) -> None:
        while True:
            kind, data = stream.receive()
            if not kind:
                return
            if kind == 1:
                self._stdout.write(data)


def tar_of(name: str, data: bytes) -> io.BytesIO:
    """
    Return a tar of one file.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name.lstrip("/"))
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    archive.seek(0)
    return archive
