"""S10, S11: The same attempts fail for root in a workspace, against the proxy's container."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_codex_workspace.workspace.handle import Workspace

from .attempts import CLEAR, INSIDE, MARK, TUNNEL, Attempt
from .origin_container import NAME, Outside

_SEND = f"""
import contextlib, socket, ssl, sys
data = sys.stdin.buffer.read()
with socket.create_connection(("proxy", 8080), timeout=20) as connection:
    if sys.argv[1] != "clear":
        connection.sendall(b"CONNECT {NAME}:443 HTTP/1.1\\r\\n\\r\\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200"), "no tunnel"
    if sys.argv[1] == "inside":
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        connection = context.wrap_socket(connection, server_hostname="{NAME}")
    with contextlib.suppress(OSError):
        connection.sendall(data)
        if sys.argv[1] != "inside":
            connection.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):
        while received := connection.recv(65536):
            sys.stdout.buffer.write(received)
"""

_ATTEMPTS = [
    pytest.param(way, attempt, id=f"{way}-{attempt}")
    for way, attempts in (("clear", CLEAR), ("tunnel", TUNNEL), ("inside", INSIDE))
    for attempt in attempts
]


@pytest.fixture(scope="module")
def adversary(outside: Outside) -> Iterator[Workspace]:
    """
    Start a workspace whose policy allows the origin.
    """
    workspace = outside.workspace()
    yield workspace
    outside.stop(workspace)


@pytest.fixture
def seen(outside: Outside, adversary: Workspace) -> Callable[[str], list[str]]:
    """
    Return every target that has arrived at the origin, up to a new request for *path*.
    """

    def look(path: str) -> list[str]:
        adversary.exec(["curl", "-sS", f"https://{NAME}{path}"], check=True)
        return [str(each["target"]) for each in outside.origin.seen(path)]

    return look


@pytest.mark.promise("S10", "S11")
@pytest.mark.parametrize(("way", "attempt"), _ATTEMPTS)
def test_refused_logged_and_never_seen(
    adversary: Workspace, seen: Callable[[str], list[str]], way: str, attempt: Attempt
) -> None:
    """
    S10, S11: Each attempt gets no answer but a refusal, has one entry in the log, and sends
    nothing to the origin.
    """
    before = len(adversary.network.requests())

    said = adversary.exec(
        ["python3", "-c", _SEND, way], input=attempt.bytes_for(NAME, 443), timeout=60
    )

    new = adversary.network.requests()[before:]
    assert said.exit_code == 0, said.stderr
    assert not said.stdout.startswith("HTTP/1.1 200")
    assert [(one.verdict, one.reason) for one in new] == [("blocked", attempt.reason)]
    assert MARK.decode() not in " ".join(seen(f"/after/{way}/{attempt}"))
