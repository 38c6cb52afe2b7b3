"""Programs of images that are not ours: they run behind the gate, or without a network.

An image of the user's choice, or of a repository's, is an adversary like a script. None
of its programs runs with the network, the credentials or the certificates of this machine.
"""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from ..codex import IMAGE
from ..engine import labels
from ..engine.protocol import ContainerSpec, Engine, ImageInfo, Stream
from ..engine.session_id import Identity
from ..engine.sweep import keep_newest
from ..errors import EngineError, ImageBuildError
from ..host.resources import resource_dir
from ..network.isolation import Isolation
from ..network.rules.policy import HTTPS_ONLY
from ..reporting.output import Output
from ..unpatched import clock
from .content_key import key_of

__all__ = ["check_foreign", "ended_after", "limited", "with_tools"]

_BUILD = "/tmp/codex-build"  # noqa: S108 -- in the container
_NOTHING_MISSING = 3
_LINE = 4096
_KEPT = 5
"""Images with tools that are kept, so that a new authority does not need a network."""

_TAIL = 30
_PATIENCE = 20 * 60.0
"""Seconds for the installation of tools."""

_ENDING = 10.0
"""Seconds until an engine knows that a container has ended."""

# Package sources are often plain HTTP; their content is signed.
_POLICY = HTTPS_ONLY.but(name="tools", http="allow")


def limited(spec: ContainerSpec) -> ContainerSpec:
    """
    Return *spec* with the limits of a container in which a foreign program runs.
    """
    return replace(
        spec, pids_limit=4096, memory_limit=8 * 1024**3, cap_drop=("NET_RAW", "NET_ADMIN")
    )


def check_foreign(image: ImageInfo, name: str) -> None:
    """
    Check that a build from *image* runs nothing that the image says.

    Raises:
        ImageBuildError: it has ONBUILD instructions, with which the engine itself
            downloads files.
    """
    if image.on_build:
        raise ImageBuildError(
            f"the base image {name} has ONBUILD instructions ({image.on_build[0][:80]}), which "
            "would run outside of a workspace",
            remedy="Build an image from it (`FROM` in a Dockerfile), and use that one.",
        )


def with_tools(
    engine: Engine, open_network: Callable[[], Isolation], image: str, output: Output
) -> str:
    """
    Return the id of an image like *image* that has bash, git, Python and the trust store's
    tools: itself, or one that was made of it, now or earlier.

    What is missing is installed by the image's own package manager, in a container
    that reaches nothing but the session's proxy.

    Args:
        engine: the engine that has the image.
        open_network: opens the session's network.
        image: id of the image.
        output: takes the progress.

    Raises:
        ImageBuildError: a tool is missing and cannot be installed.
    """
    files = _scripts()
    key = key_of({"image": image, "files": {name: text.decode() for name, text in files.items()}})
    # By its name, which is ours to give; any image may have these labels.
    tag = f"{IMAGE}:tools-{key}"
    earlier = engine.image(tag)
    if earlier is not None and earlier.labels.get(labels.KEY) == key:
        return earlier.id
    isolation = open_network()
    holder = isolation.acquire()
    with ExitStack() as ends:
        container = ""
        ends.callback(lambda: isolation.release(holder, container, _nothing))
        identity = Identity()
        proxy = f"http://{isolation.address}:8080"
        try:
            container = engine.create(
                limited(
                    ContainerSpec(
                        image=image,
                        command=("/bin/sh", f"{_BUILD}/install_tools.sh", proxy),
                        name=identity.name("tools"),
                        labels=identity.labels("workspace"),
                        network=f"container:{holder.container}",
                        user="0",
                        auto_remove=False,
                    )
                )
            )
            files["host-ca.pem"] = isolation.info.ca_certificate
            engine.put_archive(container, "/", _tar(files))
            stream = engine.attach(container)
            ends.callback(stream.close)
            holder.proxy.register(holder.address, container, "setup", _POLICY)
            ends.callback(lambda: holder.proxy.forget(container))
            engine.start(container)
        except EngineError as error:
            raise ImageBuildError(
                f"no program of the base image can be started: {error.message}",
                remedy="The image needs a shell, bash, git, Python 3 and ca-certificates.",
            ) from None
        tail = _read(engine, container, stream, output)
        code = _exit_code(engine, container)
        if code == _NOTHING_MISSING:
            return image
        if code != 0:
            raise ImageBuildError(
                f"the tools that a workspace needs could not be installed in the base image (exit "
                f"code {code}):\n{tail or '(no output)'}",
                remedy="Add bash, git, Python 3 and ca-certificates to the image yourself.",
            )
        # Without a session: an image built from this one has these labels, too.
        marks = {labels.KIND: "tools", labels.KEY: key, labels.CREATED: labels.now()}
        marks |= {labels.SESSION: "", labels.PID: ""}
        made = engine.commit(container, tag=tag, labels=marks)
        keep_newest(engine, "tools", _KEPT)
        return made.id


def _scripts() -> dict[str, bytes]:
    folder = resource_dir("dockerfiles")
    return {
        "install_tools.sh": (folder / "foreign" / "install_tools.sh").read_bytes(),
        "build_env.sh": (folder / "common" / "build_env.sh").read_bytes(),
    }


def _tar(files: Mapping[str, bytes]) -> io.BytesIO:
    """
    Return the files of the installation. Of certificates, it gets the proxy's only.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{_BUILD.lstrip('/')}/{name}")
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    archive.seek(0)
    return archive


def _read(engine: Engine, container: str, stream: Stream, output: Output) -> str:
    """
    Show what the container prints until it ends or its time is over. Return the last lines.
    """
    lines: list[str] = []
    rest = b""

    def show(line: bytes) -> None:
        lines.append(line.decode("utf-8", "replace").rstrip("\r"))
        del lines[:-_TAIL]
        output.detail(lines[-1])

    with ended_after(engine, container, _PATIENCE, stream) as expired:
        while (received := stream.receive())[0]:
            *whole, rest = (rest + received[1]).split(b"\n")
            rest = rest[-_LINE:]
            for line in whole:
                show(line[:_LINE])
    if rest:
        show(rest)
    if expired():
        lines.append(f"(it was stopped after {_PATIENCE:.0f} s)")
    return "\n".join(lines)


@contextmanager
def ended_after(
    engine: Engine, container: str, seconds: float, stream: Stream
) -> Iterator[Callable[[], bool]]:
    """
    Remove a container that still runs after *seconds*; its output ends then.

    Yields:
        A function that returns whether that has happened.
    """
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        with suppress(Exception):
            engine.remove(container)
        stream.close()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired.is_set
    finally:
        timer.cancel()


def _exit_code(engine: Engine, container: str) -> int | None:
    deadline = clock.monotonic() + _ENDING
    while True:
        info = engine.container(container)
        if info is None or not info.running:
            return info.exit_code if info else None
        if clock.monotonic() > deadline:
            return None
        clock.sleep(0.02)


def _nothing() -> None:
    return None
