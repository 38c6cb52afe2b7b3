"""The engines that the contract tests check, and the image of their containers."""

from __future__ import annotations

import io
import logging
import os
import re
import tarfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.engine.native.find import open_engine
from pytest_codex_workspace.engine.protocol import ContainerSpec, Engine, Stream
from pytest_codex_workspace.engine.session_id import Identity
from pytest_codex_workspace.errors import EngineUnavailable
from tests.fakes.engine import FakeEngine

from ..helpers.registry import local_registry
from ..helpers.skips import skip_outside_ci

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGE = f"codex-workspace-emulator-test:contract-{os.getpid()}"
"""Another for each process, since several may be testing on one machine."""

BUSYBOX = Path("/bin/busybox")

LIMIT = 20.0
"""Seconds to wait for what takes a moment: an engine on a busy machine takes several."""

CAT = ("/bin/busybox", "cat")
"""Sends its input back, and ends with it."""


def sh(script: str) -> tuple[str, ...]:
    """
    Return a command that runs *script*.
    """
    return ("/bin/sh", "-c", script)


@dataclass
class Bench:
    """
    An engine that removes what a test has made.
    """

    engine: Engine
    identity: Identity = field(default_factory=Identity)
    undo: ExitStack = field(default_factory=ExitStack)

    def spec(self, command: tuple[str, ...] = CAT, **more: object) -> ContainerSpec:
        """
        Return the description of a container of the contract's image.
        """
        return ContainerSpec(
            **{
                "image": IMAGE,
                "command": command,
                "name": self.identity.name("contract"),
                "labels": self.identity.labels("contract"),
                **more,
            }
        )

    def create(self, command: tuple[str, ...] = CAT, **more: object) -> str:
        """
        Create a container of the contract's image.
        """
        container = self.engine.create(self.spec(command, **more))
        self.undo.callback(self.engine.remove, container)
        return container

    def run(self, command: tuple[str, ...] = CAT, **more: object) -> tuple[str, Stream]:
        """
        Create a container, attach to it, and start it.
        """
        container = self.create(command, **more)
        stream = self.engine.attach(container)
        self.undo.callback(stream.close)
        self.engine.start(container)
        return container, stream

    def output(self, command: tuple[str, ...], **more: object) -> bytes:
        """
        Run *command*, and return everything it prints.
        """
        return drain(self.run(command, **more)[1])


def drain(stream: Stream, limit: int | None = None) -> bytes:
    """
    Return standard output until its end, or until there are *limit* bytes.
    """
    pieces, size = [], 0
    while limit is None or size < limit:
        channel, data = stream.receive()
        if channel == 0:
            break
        if channel == 1:
            pieces.append(data)
            size += len(data)
    return b"".join(pieces)


def log_of_a_life(bench: Bench, caplog: pytest.LogCaptureFixture) -> list[str]:
    """
    Run a container, commit and remove it. Check that its life was logged, and return what else the
    engine has logged.
    """
    with caplog.at_level(logging.DEBUG, "pytest_codex_workspace.engine"):
        spec = bench.spec(environment={"VALUE": "value-of-a-variable"})
        container = bench.engine.create(spec)
        stream = bench.engine.attach(container)
        bench.engine.start(container)
        image = bench.engine.commit(container, tag=None, labels={})
        bench.undo.callback(bench.engine.remove_image, image.id)
        stream.close()
        bench.engine.remove(container)
    life, calls = [], []
    for one in caplog.records:
        (life if one.name.endswith("engine.life") else calls).append(one.getMessage())
    whose = f"container {container[:12]} (contract {spec.name}"
    assert [
        f"created {whose}, from {IMAGE}, network none)",
        f"started {whose})",
        f"committed {whose}, as no name, image {image.id.removeprefix('sha256:')[:12]})",
        f"stopped {whose}, its input has ended)",
    ] == life[:4]
    # The native engine may have removed it by then, because its input has ended.
    assert life[4:] in ([f"removed {whose})"], [])
    assert "value-of-a-variable" not in caplog.text
    return calls


def tar_of(files: dict[str, bytes]) -> io.BytesIO:
    """
    Return a tar with *files*; a name that ends in a slash is a directory.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            else:
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    archive.seek(0)
    return archive


def untar(pieces: Iterator[bytes]) -> dict[str, bytes]:
    """
    Return the files of a tar that comes in pieces.
    """
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        found = ((member.name, tar.extractfile(member)) for member in tar)
        return {name: file.read() for name, file in found if file}


def play(spec: ContainerSpec, stdin: BinaryIO, stdout: BinaryIO) -> int:
    """
    Do what the contract's commands do, for the fake engine.
    """
    if tuple(spec.command) == CAT:
        while data := stdin.read1(1 << 16):
            stdout.write(data)
        return 0
    code = 0
    for part in spec.command[2].split("; "):
        if printed := re.fullmatch(r"printf '(.*)'", part):
            stdout.write(printed[1].encode())
        elif exited := re.fullmatch(r"exit (\d+)", part):
            code = int(exited[1])
        elif part == 'printf %s "$VALUE"':
            stdout.write(spec.environment["VALUE"].encode())
        else:
            raise AssertionError(f"the fake's shell does not know {part!r}")
    return code


def root_file_system() -> io.BytesIO:
    """
    Return a root file system of one static program.
    """
    program = BUSYBOX.read_bytes() if BUSYBOX.exists() else b""
    archive = tar_of({"bin/": b"", "tmp/": b"", "proc/": b"", "dev/": b"", "sys/": b""})
    with tarfile.open(fileobj=archive, mode="a") as tar:
        member = tarfile.TarInfo("bin/busybox")
        member.mode, member.size = 0o755, len(program)
        tar.addfile(member, io.BytesIO(program))
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    archive.seek(0)
    return archive


def import_contract_image(engine: Engine) -> None:
    """
    Make the image, with an entrypoint that would break every command.
    """
    changes = [
        'LABEL "contract.origin"="an image for more"',
        'ENTRYPOINT ["/bin/false"]',
        'CMD ["nothing"]',
    ]
    engine.import_image(root_file_system(), tag=IMAGE, changes=changes)


@pytest.fixture(scope="session")
def docker_engine(engine_or_skip: None) -> Iterator[Engine]:
    """
    The machine's engine, with the contract's image.
    """
    if not BUSYBOX.exists():
        skip_outside_ci(f"{BUSYBOX} is missing: install Debian's busybox-static")
    engine = find_engine()
    import_contract_image(engine)
    yield engine
    engine.remove_image(IMAGE)
    engine.close()


@contextmanager
def opened(engine: Engine) -> Iterator[Bench]:
    """
    Yield *engine* for one test.
    """
    bench = Bench(engine)
    with bench.undo:
        yield bench


@pytest.fixture
def real(docker_engine: Engine) -> Iterator[Bench]:
    """
    The machine's engine, without the fake.
    """
    with opened(docker_engine) as bench:
        yield bench


@pytest.fixture(scope="session")
def native_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """
    The engine of namespaces, in a directory of its own, with the contract's image.
    """
    if not BUSYBOX.exists():
        pytest.skip(f"{BUSYBOX} is missing: install Debian's busybox-static")
    try:
        engine = open_engine(f"native://{tmp_path_factory.mktemp('native')}")
    except EngineUnavailable as error:
        pytest.skip(str(error))
    import_contract_image(engine)
    yield engine
    engine.remove_image(IMAGE)
    engine.close()


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.needs_engine), "native"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """
    Each engine in turn.
    """
    if request.param in ("docker", "native"):
        engine = request.getfixturevalue(f"{request.param}_engine")
    else:
        engine = FakeEngine(run=play)
        import_contract_image(engine)
    with opened(engine) as bench:
        yield bench


@pytest.fixture
def registry(bench: Bench, tmp_path: Path) -> Iterator[str]:
    """
    The address of a registry that accepts images.
    """
    if isinstance(bench.engine, FakeEngine):
        yield "registry.example"
        return
    with local_registry(tmp_path / "registry", bench.engine.url) as running:
        yield running.address


def wait_until(condition: Callable[[], bool]) -> bool:
    """
    Return whether *condition* becomes true within `LIMIT`.
    """
    deadline = time.monotonic() + LIMIT
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met
