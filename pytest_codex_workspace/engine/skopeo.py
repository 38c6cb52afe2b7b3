"""Images of registries, by skopeo: for an engine that has no client for registries of its own.

The options are those of skopeo-copy(1) and skopeo-inspect(1); what lies in a `dir:` is in
containers-transports(5). Credentials are those of `skopeo login`, `podman login` or `docker login`.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..text.units import show_size
from ..unpatched import clock, modules
from .protocol import Advance, OnAdvance

__all__ = ["SkopeoError", "download", "find_digest", "is_installed", "upload"]

_LOOK = 0.2
"""Seconds between two looks at what a copy has done."""

_LONGEST = 3600.0
"""Seconds that a copy may take, however much comes."""

_LONGEST_OUTPUT = 1 << 20
_FATAL = re.compile(r'level=fatal msg="((?:[^"\\]|\\.)*)"')
_PARSING = re.compile(r'^Error parsing image name "[^"]*": ')
"""How skopeo 1.9 begins every error of `inspect`, whatever it is about."""

_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$", re.MULTILINE)
_LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?/")


class SkopeoError(Exception):
    """
    skopeo is missing, or has failed. The text says why.
    """


def is_installed() -> bool:
    """
    Return whether there is a skopeo.
    """
    return shutil.which("skopeo") is not None


def find_digest(reference: str, patience: float | None) -> str:
    """
    Return the digest of an image in its registry, of all its platforms.

    Args:
        reference: its name, with a tag or a digest.
        patience: seconds until the registry must have answered; `None` for an hour.

    Raises:
        SkopeoError: it is not there, or the registry does not answer.
    """
    words = ["inspect", "--no-tags", "--format={{.Digest}}", *_tls_option("--", reference)]
    # Warnings come before it.
    longest = _LONGEST if patience is None else patience
    found = _DIGEST.search(_run([*words, f"docker://{reference}"], patience, longest=longest))
    if not found:
        raise SkopeoError("the registry's answer has no digest")
    return found[0]


def download(
    reference: str,
    folder: Path,
    *,
    architecture: str,
    on_line: Callable[[str], None],
    on_advance: OnAdvance | None = None,
    patience: float | None = None,
    limit: int | None = None,
) -> None:
    """
    Copy an image into an empty *folder*: `manifest.json`, its configuration, and its layers as tars
    that are not compressed, each with its digest as its name.

    Args:
        reference: its name, with a tag or a digest.
        folder: where it is put.
        architecture: which one of several, such as `amd64`.
        on_line: takes each line that skopeo prints.
        on_advance: takes the bytes that have come.
        patience: seconds for which the registry may be silent; `None` for ever.
        limit: the largest number of bytes to take, decompressed.

    Raises:
        SkopeoError: it could not be copied, or is larger.
    """

    def look() -> None:
        # skopeo renames files in there.
        done = 0
        for one in folder.iterdir():
            with suppress(FileNotFoundError):
                done += one.stat().st_size
        if limit is not None and done > limit:
            raise SkopeoError(f"the registry sent more than {show_size(limit)}")
        if on_advance is not None and done:
            on_advance(Advance(done, 0, "bytes"))

    words = ["--override-os=linux", f"--override-arch={architecture}", "copy", "--dest-decompress"]
    words += [*_tls_option("--src-", reference), f"docker://{reference}", f"dir:{folder}"]
    _run(words, patience, on_line, look)
    look()


def upload(
    archive: Path,
    reference: str,
    *,
    on_line: Callable[[str], None],
    patience: float | None = None,
) -> None:
    """
    Copy the one image of a tar, as `docker save` writes it, to a registry.

    Args:
        archive: the tar.
        reference: the image's name there.
        on_line: takes each line that skopeo prints.
        patience: seconds for which the registry may be silent; `None` for ever.

    Raises:
        SkopeoError: it could not be copied.
    """
    words = ["copy", *_tls_option("--dest-", reference), f"docker-archive:{archive}"]
    _run([*words, f"docker://{reference}"], patience, on_line)


def _tls_option(prefix: str, reference: str) -> list[str]:
    # As for Docker, a registry on loopback needs no TLS.
    return [f"{prefix}tls-verify=false"] if _LOOPBACK.match(reference) else []


def _run(
    arguments: Sequence[str],
    patience: float | None,
    on_line: Callable[[str], None] = lambda _: None,
    look: Callable[[], None] = lambda: None,
    longest: float = _LONGEST,
) -> str:
    """
    Run skopeo, and return what it printed. It may take *longest* seconds.
    """
    subprocess = modules.subprocess
    if not is_installed():
        raise SkopeoError("skopeo is not installed")
    # A registry may hold it for ever if nobody is left who waits for it.
    ends = ["setpriv", "--pdeathsig=KILL"] if shutil.which("setpriv") else []
    try:
        process = subprocess.Popen(
            [*ends, "skopeo", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    except OSError as error:
        raise SkopeoError(f"skopeo cannot be run: {error}") from None
    assert process.stdout is not None  # noqa: S101 -- it is a pipe
    with process:
        try:
            output = _read(process.stdout.fileno(), process.pid, patience, on_line, look, longest)
        except BaseException:
            process.kill()
            raise
    text = output.decode("utf-8", "replace")
    if process.returncode:
        fatal = _FATAL.search(text)
        words = _unquoted(fatal[1]) if fatal else text.strip()[-500:]
        words = _PARSING.sub("", words)
        raise SkopeoError(words or f"skopeo ended with the exit code {process.returncode}")
    return text


def _unquoted(text: str) -> str:
    """
    Return what Go's `%q` has quoted, in one line.
    """
    with suppress(ValueError):
        text = str(json.loads(f'"{text}"'))
    return " ".join(text.split())


def _read(
    descriptor: int,
    process: int,
    patience: float | None,
    on_line: Callable[[str], None],
    look: Callable[[], None],
    longest: float,
) -> bytes:
    """
    Read what a process prints until its end. It is silent as long as it neither prints, nor reads
    or writes.
    """
    output, rest = bytearray(), b""
    counters, alive = b"", clock.monotonic()
    deadline = alive + longest
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            ready = selector.select(_LOOK)
            if ready:
                data = os.read(descriptor, 1 << 16)
                if not data:
                    return bytes(output)
                output = (output + data)[-_LONGEST_OUTPUT:]
                *lines, rest = (rest + data)[-_LONGEST_OUTPUT:].split(b"\n")
                for line in lines:
                    on_line(line.decode("utf-8", "replace"))
            look()
            if clock.monotonic() > deadline:
                raise SkopeoError(f"the registry has not sent everything within {longest:g} s")
            now = _counters(process)
            if ready or now != counters:
                counters, alive = now, clock.monotonic()
            elif patience is not None and clock.monotonic() - alive > patience:
                raise SkopeoError(f"nothing came from the registry for {patience:g} s")


def _counters(process: int) -> bytes:
    """
    Return the kernel's counts of what a process has read and written, sockets included.
    """
    with suppress(OSError):
        return Path(f"/proc/{process}/io").read_bytes()
    return b""
