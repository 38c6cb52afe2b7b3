"""The playback of a cassette by one workspace."""

from __future__ import annotations

from pathlib import Path

from proxy_addons.state.cassette_player import CassettePlayer
from pytest_codex_workspace.network.rules.cassette import Cassette, Exchange, digest, lines_of

URL = "https://example.org/"


def _cassette(path: Path, *bodies: bytes) -> Cassette:
    exchanges = [Exchange("GET", URL, 200, content=digest(body)) for body in bodies]
    by_digest = {digest(body): body for body in bodies}
    path.write_bytes(b"".join(lines_of(exchanges, by_digest.__getitem__)))
    return Cassette(path)


def test_responses_are_played_in_order_and_the_last_one_is_repeated(tmp_path: Path) -> None:
    """
    A server that counts, or is polled until it is ready, works from a cassette as well.
    """
    cassette, played = _cassette(tmp_path / "c", b"first", b"second"), set()
    player = CassettePlayer(cassette, played)

    found = [player.play("GET", URL, "", {}) for _ in range(3)]

    assert [cassette.content(each) for each in found if each] == [b"first", b"second", b"second"]
    assert played == {0, 1}


def test_each_workspace_begins_with_the_first_response(tmp_path: Path) -> None:
    """
    Two players of one cassette do not move each other on, and share what was played.
    """
    cassette, played = _cassette(tmp_path / "c", b"first", b"second"), set()
    found = [CassettePlayer(cassette, played).play("GET", URL, "", {}) for _ in range(2)]

    assert [cassette.content(each) for each in found if each] == [b"first", b"first"]
    assert played == {0}


def test_a_request_that_was_not_recorded_has_no_response(tmp_path: Path) -> None:
    """
    Nothing is played in its place.
    """
    played: set[int] = set()
    player = CassettePlayer(_cassette(tmp_path / "c", b"x"), played)

    assert player.play("POST", URL, "", {}) is None
    assert played == set()
