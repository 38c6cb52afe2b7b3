"""Tests of recording, replaying and pruning the cassettes of a repository."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.errors import CassetteError
from pytest_codex_workspace.network.cassettes import (
    DIRECTORY,
    Cassettes,
    open_cassette,
    path_of,
    prune,
)
from pytest_codex_workspace.network.proxy_client import ProxyClient
from pytest_codex_workspace.network.rules.cassette import Exchange, digest, lines_of
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.secrets.secrets import Secrets

from .test_proxy_client import ScriptedStream, ok


class RecordingProxy:
    """
    The answers of a proxy that has recorded and replayed exchanges.

    Attributes:
        bodies: recorded bodies.
        loaded: content of the cassettes that were loaded, by name.
        played: numbers of the replayed exchanges.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.loaded: dict[str, bytes] = {}
        self.played: list[int] = []
        self._events: list[bytes] = []

    def record(self, path: Path, exchange: Exchange, *, whole: bool = True) -> None:
        """
        Send an exchange with the next reply.
        """
        event = {
            "event": "exchange",
            "cassette": str(path),
            "whole": whole,
            "exchange": exchange.to_json(),
        }
        self._events.append(json.dumps(event).encode() + b"\n")

    def reply(self, message: dict[str, Any]) -> list[tuple[int, bytes]]:
        """
        Answer a message of the client.
        """
        events, self._events = self._events, []
        fields: dict[str, Any] = {}
        if message["op"] == "recorded_body":
            [body] = [one for one in self.bodies if digest(one) == message["sha256"]]
            fields["data"] = base64.b64encode(body[message["offset"] :]).decode()
        elif message["op"] == "load_cassette":
            known = self.loaded.setdefault(message["cassette"], b"")
            self.loaded[message["cassette"]] = known + base64.b64decode(message["data"])
        elif message["op"] == "played":
            fields["played"] = self.played
        return [*((1, event) for event in events), ok(message, **fields)]


@pytest.fixture
def proxy() -> RecordingProxy:
    """
    Return the answers of a proxy.
    """
    return RecordingProxy()


@pytest.fixture
def notes() -> list[str]:
    """
    Return the list of lines that are shown to the user.
    """
    return []


@pytest.fixture
def cassettes_of(
    proxy: RecordingProxy, notes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Cassettes]]:
    """
    Return a function that creates `Cassettes` for a new connection to the proxy.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clients: list[ProxyClient] = []

    def make(mode: str, **options: Any) -> Cassettes:
        client = ProxyClient(ScriptedStream(proxy.reply), describe=lambda: "gone")
        clients.append(client)
        # The reply to a message comes after the events before it.
        client.ping()
        return Cassettes(mode, client, Output("progress", notes.append), **options)

    yield make
    for client in clients:
        client.close()


def exchange(path: str, body: bytes = b"", **fields: Any) -> Exchange:
    """
    Return the exchange of a GET request to example.org.
    """
    content = digest(body) if body else ""
    return Exchange("GET", f"https://example.org{path}", 200, content=content, **fields)


def write(path: Path, *exchanges: Exchange, bodies: tuple[bytes, ...] = ()) -> None:
    """
    Write a cassette.
    """
    path.parent.mkdir(exist_ok=True)
    by_digest = {digest(body): body for body in bodies}
    path.write_bytes(b"".join(lines_of(exchanges, by_digest.__getitem__)))


def urls(path: Path) -> list[str]:
    """
    Return the paths of the URLs in a cassette.
    """
    return [one.url.removeprefix("https://example.org") for one in open_cassette(path).exchanges]


@pytest.mark.parametrize("kind", ["directory", "file", "dangling file"])
def test_no_link_leads_out_of_the_repository(
    cassettes_of: Callable[..., Cassettes], tmp_path: Path, kind: str
) -> None:
    """
    A commit can contain a link, and recording would write where it leads.
    """
    repo, outside = tmp_path / "repo", tmp_path / "outside"
    path = path_of(repo, "api")
    write(outside / "api.jsonl", exchange("/a"))
    before = (outside / "api.jsonl").read_bytes()
    repo.mkdir()
    if kind == "directory":
        path.parent.symlink_to(outside)
    else:
        path.parent.mkdir()
        path.symlink_to(outside / ("api.jsonl" if kind == "file" else "new.jsonl"))

    for mode in ("record", "replay"):
        with pytest.raises(CassetteError, match="leads out of the repository"):
            cassettes_of(mode).open(repo, "api")
    with pytest.raises(CassetteError, match="leads out of the repository"):
        prune(path)
    assert [one.name for one in outside.iterdir()] == ["api.jsonl"]
    assert (outside / "api.jsonl").read_bytes() == before


def test_recorded_exchanges_are_written(
    proxy: RecordingProxy, cassettes_of: Callable[..., Cassettes], notes: list[str], tmp_path: Path
) -> None:
    """
    A new cassette has the exchanges, their bodies and the date of the recording.
    """
    path = path_of(tmp_path, "api")
    proxy.bodies.append(b"body")
    proxy.record(path, exchange("/a", b"body"))
    proxy.record(path, exchange("/large"), whole=False)
    cassettes = cassettes_of("record")

    assert cassettes.open(tmp_path, "api") == str(path)
    cassettes.save()

    cassette = open_cassette(path)
    [one] = cassette.exchanges
    assert (one.url, cassette.content(one)) == ("https://example.org/a", b"body")
    assert len(one.recorded) == len("2026-11-24")
    assert [path.name for path in (tmp_path / DIRECTORY).iterdir()] == ["api.jsonl"]
    assert (
        "codex: not recorded, as its response is too large or cannot be kept as text: GET "
        "https://example.org/large" in notes
    )


def test_secrets_are_not_recorded(
    proxy: RecordingProxy, cassettes_of: Callable[..., Cassettes], tmp_path: Path
) -> None:
    """
    The value of a secret is replaced in URLs, headers and bodies.
    """
    path = path_of(tmp_path, "default")
    body = b"the token is hush-hush-123"
    proxy.bodies.append(body)
    headers = (("location", "/hush-hush-123"),)
    proxy.record(path, exchange("/hush-hush-123", body, headers=headers))
    secrets = Secrets(["TOKEN"], {"TOKEN": "hush-hush-123"})
    assert secrets.values == {"TOKEN": "hush-hush-123"}
    cassettes = cassettes_of("record", secrets=secrets)
    cassettes.open(tmp_path, None)

    cassettes.save()

    assert b"hush-hush" not in path.read_bytes()
    cassette = open_cassette(path)
    assert cassette.content(cassette.exchanges[0]).startswith(b"the token is ")


def test_a_new_recording_is_merged(
    proxy: RecordingProxy, cassettes_of: Callable[..., Cassettes], tmp_path: Path
) -> None:
    """
    Old exchanges stay with their bodies, unless the same request was recorded again.
    """
    path = path_of(tmp_path, "default")
    write(path, exchange("/a", b"old"), exchange("/b", b"stays"), bodies=(b"old", b"stays"))
    proxy.bodies.append(b"new")
    proxy.record(path, exchange("/a", b"new"))
    cassettes = cassettes_of("record")
    cassettes.open(tmp_path, None)

    cassettes.save()

    cassette = open_cassette(path)
    assert [cassette.content(one) for one in cassette.exchanges] == [b"new", b"stays"]


def test_renewing_drops_old_exchanges_of_scripts(
    proxy: RecordingProxy, cassettes_of: Callable[..., Cassettes], tmp_path: Path
) -> None:
    """
    Exchanges of scripts that were not recorded again are dropped; those of tests stay.
    """
    path = path_of(tmp_path, "default")
    write(path, exchange("/script", phase="setup"), exchange("/test"))
    cassettes = cassettes_of("record", renew_scripts=True)
    cassettes.open(tmp_path, None)

    cassettes.save()

    assert urls(path) == ["/test"]


def test_a_cassette_is_loaded_for_replay(
    proxy: RecordingProxy, cassettes_of: Callable[..., Cassettes], tmp_path: Path
) -> None:
    """
    The proxy gets the whole file once, and the digest of the default cassette is known.
    """
    path = path_of(tmp_path, "default")
    write(path, exchange("/a"))
    cassettes = cassettes_of("replay")

    names = {cassettes.open(tmp_path, None) for _ in range(2)}

    assert names == {str(path)}
    assert proxy.loaded == {str(path): path.read_bytes()}
    assert len(cassettes.digest(tmp_path)) == 64


def test_a_missing_cassette_is_explained(
    cassettes_of: Callable[..., Cassettes], tmp_path: Path
) -> None:
    """
    The error says how to record the cassette.
    """
    with pytest.raises(CassetteError, match="record it with --codex-cassette=record"):
        cassettes_of("replay").open(tmp_path, "none")


def test_a_damaged_cassette_is_explained(
    cassettes_of: Callable[..., Cassettes], tmp_path: Path
) -> None:
    """
    The error names the file, the line and a remedy, also before recording.
    """
    path = path_of(tmp_path, "default")
    write(path)
    path.write_bytes(path.read_bytes() + b"{}\n")

    for mode in ("record", "replay"):
        with pytest.raises(CassetteError, match=r"default\.jsonl, line 2: .*; restore the file"):
            cassettes_of(mode).open(tmp_path, None)


def test_pruning_keeps_exchanges_that_were_replayed(
    proxy: RecordingProxy, cassettes_of: Callable[..., Cassettes], tmp_path: Path
) -> None:
    """
    Replays add up; exchanges that none of them used are removed.
    """
    path = path_of(tmp_path, "default")
    write(path, exchange("/a"), exchange("/b"), exchange("/c"), exchange("/d"))
    for played in ([0], [2]):
        proxy.played = played
        cassettes = cassettes_of("replay")
        cassettes.open(tmp_path, None)
        cassettes.save()

    assert prune(path) == 2
    assert urls(path) == ["/a", "/c"]
    assert prune(path) == 0


def test_pruning_needs_a_replay_of_the_same_content(
    proxy: RecordingProxy, cassettes_of: Callable[..., Cassettes], tmp_path: Path
) -> None:
    """
    After the cassette has changed, earlier replays do not count.
    """
    path = path_of(tmp_path, "default")
    write(path, exchange("/a"))
    proxy.played = [0]
    cassettes = cassettes_of("replay")
    cassettes.open(tmp_path, None)
    cassettes.save()
    write(path, exchange("/b"))

    with pytest.raises(CassetteError, match="run the tests with `pytest --codex-cassette=replay`"):
        prune(path)
    assert urls(path) == ["/b"]
