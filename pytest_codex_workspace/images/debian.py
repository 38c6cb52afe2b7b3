"""Debian without a container registry: a root file system made with mmdebstrap."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from ..engine import labels
from ..engine.protocol import Engine, ImageInfo
from ..errors import EngineError, ImageBuildError
from ..host.dirs import cache_dir
from ..host.locks import machine_lock
from ..reporting.output import Output
from ..unpatched import modules
from .freshness import newest, pull_shown

__all__ = ["DEBIAN", "ROOTFS", "ensure_debian", "find_debian"]

DEBIAN = "debian:trixie-slim"
"""The base of slim and of the proxy if a registry is available."""

ROOTFS = "codex-workspace-emulator-rootfs:trixie"
"""The base of slim and of the proxy without a registry."""

_SUITE = "trixie"

# As in Debian's own slim images: documentation except licences is left out, now and later.
_EXCLUDES = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/groff/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
)

_KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)

_STEP = re.compile(r"I: ([a-z].*)")


def ensure_debian(engine: Engine, output: Output, *, refresh: bool = False) -> ImageInfo:
    """
    Return the engine's Debian image. Pull or make it if there is none.

    Args:
        engine: the engine that gets the image.
        output: takes the progress.
        refresh: pull it again if it came from a registry.

    Raises:
        ImageBuildError: the image cannot be pulled, and mmdebstrap is missing or
            has failed.
    """
    image = find_debian(engine)
    if image is not None:
        return newest(engine, DEBIAN, image, output) if refresh else image
    lock = cache_dir() / "locks" / "image-debian.lock"
    with machine_lock(lock, "making the Debian image", output.note):
        return find_debian(engine) or _make(engine, output)


def find_debian(engine: Engine) -> ImageInfo | None:
    """
    Return the engine's Debian image; `None` if there is none.
    """
    found = (engine.image(reference) for reference in (DEBIAN, ROOTFS))
    return next((image for image in found if image is not None), None)


def _make(engine: Engine, output: Output) -> ImageInfo:
    try:
        return pull_shown(engine, DEBIAN, output)
    except EngineError as error:
        refusal = str(error).splitlines()[0]
    output.note(f"no registry has {DEBIAN} for this engine ({refusal})")
    return _import(engine, output, refusal)


def _import(engine: Engine, output: Output, refusal: str) -> ImageInfo:
    command = shutil.which("mmdebstrap")
    if command is None:
        raise ImageBuildError(
            f"{DEBIAN} cannot be pulled ({refusal}), and mmdebstrap, which could make the image "
            "from Debian's archive, is not installed. On Debian and Ubuntu, run `apt-get install "
            "mmdebstrap debian-archive-keyring`; elsewhere, give the engine access to a registry"
        )
    keyring = next((path for path in _KEYRINGS if Path(path).is_file()), None)
    if keyring is None:
        # Otherwise mmdebstrap trusts whatever this machine's own apt trusts.
        raise ImageBuildError(
            f"{DEBIAN} cannot be pulled ({refusal}), and Debian's keys, with which its archive is "
            f"verified, are not installed ({' or '.join(_KEYRINGS)})",
            remedy="Run `apt-get install debian-archive-keyring`.",
        )
    with tempfile.TemporaryDirectory(prefix="codex-workspace-") as directory:
        archive = Path(directory) / "rootfs.tar"
        with output.step(f"making a Debian {_SUITE} root file system with mmdebstrap"):
            _mmdebstrap(command, archive, _architecture(engine), keyring, output)
        with output.step(f"importing it as {ROOTFS}"), archive.open("rb") as file:
            return engine.import_image(
                file,
                tag=ROOTFS,
                changes=[f'LABEL "{labels.KIND}"="rootfs"', 'CMD ["bash"]'],
            )


def _mmdebstrap(
    command: str, archive: Path, architecture: str, keyring: str, output: Output
) -> None:
    argv = [
        command,
        "--variant=minbase",
        "--include=ca-certificates",
        f"--keyring={keyring}",
        *(f"--dpkgopt={line}" for line in _EXCLUDES),
        *([f"--architectures={architecture}"] if architecture else []),
        _SUITE,
        str(archive),
    ]
    printed: list[str] = []
    with modules.subprocess.Popen(
        argv,
        stdin=modules.subprocess.DEVNULL,
        stdout=modules.subprocess.DEVNULL,
        stderr=modules.subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None  # noqa: S101 -- it is a pipe
        for line in process.stderr:
            printed.append(line.rstrip())
            output.detail(printed[-1])
    if process.returncode != 0:
        tail = "\n".join(f"  {line}" for line in printed[-20:] if not _STEP.fullmatch(line))
        raise ImageBuildError(
            f"mmdebstrap could not make a Debian {_SUITE} root file system (exit code "
            f"{process.returncode}):\n{tail}\nmmdebstrap needs access to Debian's archive, "
            "the package debian-archive-keyring, and either root or the package uidmap with an "
            "entry for this user in /etc/subuid and /etc/subgid"
        )


def _architecture(engine: Engine) -> str:
    """
    Return Debian's name of the engine's architecture. A remote engine may differ from
    this machine.
    """
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    architecture = engine.version().get("arch", "")
    return names.get(architecture, architecture)
