"""What code in a workspace tries to get out by the kernel's interfaces, as root and as nobody."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = (Path(__file__).parent / "escape_attempts.py").read_text()

ALLOWED_BY_OLD_DOCKER = {"rings", "the_hypervisor"}
"""Docker refuses io_uring since 25, and AF_VSOCK since 23; Podman has lists of its own."""


@pytest.fixture
def abstract() -> Iterator[str]:
    """
    Return the name of an abstract socket of the machine.
    """
    name = f"codex-escape-{secrets.token_hex(4)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        yield name


@pytest.mark.promise("S3", "S12")
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_no_attempt_reaches_anything(plain, codex_engine, abstract, user):
    """
    Mounts, namespaces, devices, keys, handles, sockets, descriptors, settings and calls.
    """
    command = ["python3", "-", abstract]
    if user == "nobody":
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]

    said = plain.exec(command, input=PROGRAM, timeout=60)

    assert said.ok, said.stderr
    found = json.loads(said.stdout)
    assert len(found) > 30
    if not codex_engine.url.startswith("native://"):
        for name in ALLOWED_BY_OLD_DOCKER:
            found.pop(name)
    assert {} == {name: reached for name, reached in found.items() if reached}
