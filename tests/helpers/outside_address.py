"""An address for a container that is reached from outside of the networks of workspaces."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_codex_workspace.engine.protocol import Engine

from .skips import skip_outside_ci

__all__ = ["outside_address"]


@contextmanager
def outside_address(engine: Engine) -> Iterator[str]:
    """
    Yield an address that nothing else listens on; empty if the engine gives its containers one.

    Containers of the native engine that have a way out share the network of the machine, so two
    tests that each start a server for port 443 would meet. Without root, such a server cannot be
    started there, and the test is skipped.
    """
    if not engine.url.startswith("native://"):
        yield ""
        return
    if os.geteuid() != 0:
        skip_outside_ci("a server for port 443 in the network of this machine needs root")
    while True:
        address = ".".join(map(str, (10, 213, *secrets.token_bytes(2))))
        if _change("add", address) == 0:
            break
    try:
        yield address
    finally:
        _change("delete", address)


def _change(how: str, address: str) -> int:
    words = ["ip", "address", how, f"{address}/32", "dev", "lo", "label", "lo:codex-test"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    # It is there already: of another test, or of one that was killed.
    assert done.returncode == 0 or "exists" in done.stderr, done.stderr
    return done.returncode
