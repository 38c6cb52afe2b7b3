"""What BuildKit tells of a build, and when it is used."""

from __future__ import annotations

import base64
import json

import pytest

from pytest_codex_workspace.engine.messages.buildkit import BuildTrace, needs_name, wants_buildkit
from pytest_codex_workspace.engine.messages.progress import Progress


def encode(number: int, value: int | bytes | str) -> bytes:
    """
    Return one field of a protocol buffer.
    """
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def vertex(name: str, *, state: str = "", cached: bool = False, error: str = "") -> bytes:
    """
    Return a vertex that has been announced, has begun or has ended.
    """
    data = encode(1, f"sha256:{name}") + encode(2, "sha256:some input") + encode(3, name)
    if cached:
        data += encode(4, 1)
    if state in ("begun", "ended"):
        data += encode(5, encode(1, 1796006920) + encode(2, 555))
    if state == "ended":
        data += encode(6, encode(1, 1796006921))
    return encode(1, data + (encode(7, error) if error else b""))


def log(name: str, text: bytes) -> bytes:
    """
    Return output of a vertex.
    """
    return encode(3, encode(1, f"sha256:{name}") + encode(3, 2) + encode(4, text))


class Shown:
    """
    A trace with the lines and steps that it led to.
    """

    def __init__(self, **names: str) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[int, int]] = []
        self.progress = Progress(
            self.lines.append, lambda one: self.steps.append((one.done, one.total))
        )
        self.trace = BuildTrace(self.progress, names)

    def feed(self, *parts: bytes) -> None:
        aux = base64.b64encode(b"".join(parts)).decode()
        self.trace.feed_line(json.dumps({"id": "moby.buildkit.trace", "aux": aux}))


def test_steps_and_their_output_are_those_of_the_classic_builder() -> None:
    """
    Steps count when they begin. A line that comes in pieces, and one without an end, are whole.
    """
    shown = Shown(name="sha256:abc")
    one, two = f"[1/2] FROM docker.io/library/name@sha256:{64 * 'a'}", "[2/2] RUN echo \n  two"

    shown.feed(vertex("[internal] load build context", state="ended"), vertex(one), vertex(two))
    shown.feed(vertex(one, state="ended", cached=True))
    shown.feed(vertex(two, state="begun"), log(two, b"a li"))
    shown.feed(log(two, b"ne\nand 10%\rand 20%\nlast"), vertex(two, state="begun"))
    shown.feed(vertex(two, state="ended"), vertex("exporting to image", state="ended"))
    shown.trace.feed_line('{"id": "moby.image.id", "aux": {"ID": "sha256:123"}}')
    shown.trace.feed_line("")

    assert [
        "Step 1/2 : FROM sha256:abc",
        " ---> Using cache",
        "Step 2/2 : RUN echo    two",
        "a line",
        "and 20%",
        "last",
    ] == shown.lines
    assert [(1, 2), (2, 2)] == shown.steps
    assert "sha256:123" == shown.progress.image


def test_the_failed_step_is_the_one_that_failed() -> None:
    """
    Another one has begun and printed something meanwhile.
    """
    shown = Shown()
    bad, good = "[a 1/1] RUN bad", "[b 1/1] RUN good"
    shown.feed(vertex(bad, state="begun"), log(bad, b"went wrong\n"))
    shown.feed(vertex(good, state="begun"), log(good, b"all is well\n"))

    shown.feed(vertex(bad, state="ended", error="exit code: 3"))
    shown.trace.feed_line('{"errorDetail": {"message": "exit code: 3"}}')

    progress = shown.progress
    assert ("Step 1/1 : RUN bad", "went wrong") == (progress.step, progress.tail)
    assert "exit code: 3" == progress.error


def test_output_without_line_ends_is_bounded() -> None:
    """
    A command may print for hours.
    """
    shown = Shown()
    shown.feed(vertex("[1/1] RUN x", state="begun"))

    for _ in range(3):
        shown.feed(log("[1/1] RUN x", b"x" * 40_000))

    assert 80_000 == len(shown.lines[-1])


@pytest.mark.parametrize(
    "aux", [b"\xff", b"\x0a\xff\x01", b"\x0b", b"\x80" * 12, encode(1, 7), encode(1, b"\x0a\x01x")]
)
def test_what_is_not_understood_is_no_error(aux: bytes) -> None:
    """
    A newer engine may tell more; the build goes on.
    """
    shown = Shown()

    shown.feed(aux)

    assert [] == shown.lines


@pytest.mark.parametrize(
    ("environ", "ping", "expected"),
    [
        ({}, {"Builder-Version": "2"}, True),
        ({}, {"Builder-Version": "1"}, False),
        ({}, {}, False),
        ({"DOCKER_BUILDKIT": "0"}, {"Builder-Version": "2"}, False),
        ({"DOCKER_BUILDKIT": "1"}, {"Builder-Version": "1"}, True),
        ({"DOCKER_BUILDKIT": "1"}, {}, True),
        ({"DOCKER_BUILDKIT": "?"}, {"Builder-Version": "2"}, True),
        ({"DOCKER_BUILDKIT": "1"}, {"Libpod-Api-Version": "5.4.2", "Builder-Version": ""}, False),
    ],
)
def test_the_builder_is_the_one_of_the_docker_command(
    environ: dict[str, str], ping: dict[str, str], expected: bool
) -> None:
    """
    The user's variable, then what the engine prefers. Podman has its own.
    """
    assert expected == wants_buildkit(ping, environ)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("sha256:" + "a" * 64, True),
        ("a" * 64, True),
        ("ghcr.io/some/image@sha256:" + "a" * 64, True),
        ("debian:trixie", False),
        ("http://proxy:8080", False),
    ],
)
def test_ids_and_digests_need_a_name(reference: str, expected: bool) -> None:
    """
    BuildKit would look for them in a registry.
    """
    assert expected == needs_name(reference)
