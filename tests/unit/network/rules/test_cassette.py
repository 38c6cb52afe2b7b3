"""Tests of the cassette file: its content, matching, merging and the nearest request."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.errors import CassetteError
from pytest_codex_workspace.network.cassettes import path_of
from pytest_codex_workspace.network.rules.cassette import (
    Cassette,
    Exchange,
    InvalidCassette,
    digest,
    is_valid,
    kept_headers,
    lines_of,
    matched_headers,
    merge,
)


def exchange(path: str = "/", content: str = "", **fields: object) -> Exchange:
    """
    Return the exchange of a GET request to example.org.
    """
    values: dict[str, object] = {"method": "GET", "status": 200, "content": content, **fields}
    return Exchange(url=f"https://example.org{path}", **values)  # type: ignore[arg-type]


def write(path: Path, exchanges: list[Exchange], *bodies: bytes) -> Cassette:
    """
    Write a cassette with these bodies and open it.
    """
    by_digest = {digest(body): body for body in bodies}
    path.write_bytes(b"".join(lines_of(exchanges, by_digest.__getitem__)))
    return Cassette(path)


@pytest.mark.parametrize("body", [b"text\n", "grüße".encode(), bytes(range(256)), b"x" * 100_000])
def test_bodies_are_read_as_they_were_written(tmp_path: Path, body: bytes) -> None:
    """
    Short text is stored as text, other bodies are compressed; each is stored once.
    """
    both = [exchange("/a", digest(body)), exchange("/b", digest(body))]

    cassette = write(tmp_path / "c", both, body)

    assert cassette.exchanges == both
    assert cassette.content(both[1]) == body
    lines = (tmp_path / "c").read_text("utf-8").splitlines()
    assert len(lines) == 4
    assert ('"text"' in lines[3]) == (len(body) < 100)


# Not by regular expressions, which take most of the time of a test.
_TOKENS = st.text("!#$%&'*+.^_`|~-" + string.digits + string.ascii_lowercase, max_size=9).map(
    "x{}".format
)
_URLS = st.builds(
    "https://{}/{}".format,
    st.text(string.ascii_lowercase, min_size=1, max_size=9),
    st.text([chr(code) for code in range(0x21, 0x7F)], max_size=30),
)
_VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=9)


@pytest.mark.slow
@given(
    st.lists(
        st.builds(
            Exchange,
            method=st.sampled_from(["GET", "POST"]),
            url=_URLS,
            status=st.integers(200, 999),
            match=st.dictionaries(_TOKENS, _VALUES, max_size=2),
            headers=st.lists(st.tuples(_TOKENS, _VALUES), max_size=2).map(tuple),
            recorded=st.just("2026-11-24"),
        ),
        max_size=5,
    )
)
def test_exchanges_survive_json(exchanges: list[Exchange]) -> None:
    """
    `from_json` reads what `to_json` wrote, whatever valid values the fields have.
    """
    read = [Exchange.from_json(one.to_json()) for one in exchanges]

    assert read == exchanges


EXCHANGE = '{"method": "GET", "url": "https://example.org/", "status": 200, '
BODY = digest(b"")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        *[
            (f'{{"method": "GET", "url": "https://a.test/", "status": {status}}}', "the status of")
            for status in ("-5", "101", "199", "1" + "0" * 300, "true", "null", "2e2", '"200"')
        ],
        ('{"method": "GET", "url": "https://a.test/"}', "the status of this exchange is missing"),
        ("[]", "not an exchange"),
        ("", "this is not JSON"),
        ("\x00", "this is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "integer string conversion"),
        ('{"method": "get", "url": "https://a.test/", "status": 200}', "the method of"),
        ('{"method": "GET\\r\\nA: b", "url": "https://a.test/", "status": 200}', "the method of"),
        ('{"method": "GET", "url": "https://a.test/ x", "status": 200}', "the url of"),
        ('{"method": "GET", "url": "file:///etc/passwd", "status": 200}', "the url of"),
        (EXCHANGE + '"headers": [["a\\r\\nb", "c"]]}', "is not a valid header name"),
        (EXCHANGE + '"headers": [["a", "b\\r\\nc: d"]]}', "not a valid value of the header a"),
        (EXCHANGE + '"headers": [["a", "\\u0100"]]}', "not a valid value of the header a"),
        (EXCHANGE + '"headers": [["a", 1]]}', "not a valid value of the header a"),
        (EXCHANGE + '"headers": [["a"]]}', "the headers of"),
        (EXCHANGE + '"headers": {"a": "b"}}', "the headers of"),
        (EXCHANGE + '"headers": [["Transfer-Encoding", "chunked"]]}', "describes one transfer"),
        (EXCHANGE + '"headers": [["content-length", "5"]]}', "describes one transfer"),
        (EXCHANGE + '"match": {"Accept": "a/b"}}', "the match of"),
        (EXCHANGE + '"match": {"accept": "a\\nb"}}', "the match of"),
        (EXCHANGE + '"match": {"accept": true}}', "the match of"),
        (EXCHANGE + '"match": []}', "the match of"),
        (EXCHANGE + '"phase": "later"}', "the phase of"),
        (EXCHANGE + '"phase": ["test"]}', "the phase of"),
        (EXCHANGE + '"body": "abc"}', "the body of"),
        (EXCHANGE + '"content": "../../etc"}', "the content of"),
        (EXCHANGE + '"recorded": "yesterday"}', "the recorded of"),
        (EXCHANGE + '"recorded": 2026}', "the recorded of"),
        (EXCHANGE + '"answer": "x"}', "'answer' is not a field"),
        (EXCHANGE + f'"match": {{"a": "{"b" * (1 << 20)}"}}}}', "longer than the limit"),
        (f'{{"sha256": "{BODY}", "zlib": "a b"}}', "not in base64"),
        (f'{{"sha256": "{BODY}", "zlib": "abcd', "not in base64"),
        (f'{{"sha256": "{BODY}", "zlib": "abcd"}}{{}}', "not in base64"),
        (f'{{"sha256": "{BODY}", "text": "a", "zlib": "b"}}', "neither an exchange nor a body"),
        (f'{{"sha256": "{BODY}", "text": "a"', "this is not JSON"),
        (f'{{"sha256": "{BODY}", "text": ""}}\n{{"sha256": "{BODY}", "text": ""}}', "twice"),
    ],
)
def test_what_is_no_exchange_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    """
    The error has the line and the reason; nothing of the file is used.
    """
    file = tmp_path / "c"
    write(file, [exchange("/a")])
    file.write_text(file.read_text("utf-8") + line + "\n", "utf-8")

    with pytest.raises(InvalidCassette, match=r"^line [34]: .*" + reason):
        Cassette(file)


def test_a_body_may_be_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    """
    Only the line of an exchange has to fit in memory.
    """
    body = random.Random(1).randbytes(1_000_000)

    cassette = write(tmp_path / "c", [exchange(content=digest(body)), exchange("/b")], body)

    assert cassette.content(cassette.exchanges[0]) == body


def test_exchanges_that_cannot_be_read_again_are_not_valid() -> None:
    """
    The recorder asks before it sends an exchange to the host.
    """
    assert is_valid(exchange(headers=(("etag", '"\xe9"'),)))
    for broken in (
        exchange(status=199),
        exchange(method="X" * 33),
        exchange(match={"accept": "\x01"}),
        exchange(headers=(("a", "b" * (1 << 20)),)),
    ):
        assert not is_valid(broken)
    assert kept_headers([("A", "b"), ("c", "\x01"), ("d e", "f")]) == (("a", "b"),)


def test_the_nearest_of_many_is_found_without_comparing_all(tmp_path: Path) -> None:
    """
    A workspace can ask for the nearest of thousands of long URLs as often as it likes.
    """
    many = [exchange(f"/{number:04}/" + "x" * 3000) for number in range(1200, 1300)]
    cassette = write(tmp_path / "c", many)

    found = cassette.nearest("GET", f"https://example.org/1234-{'x' * 99}", "", {})

    assert "/1234/" in found or "/1233/" in found


def test_a_changed_or_missing_body_is_an_error(tmp_path: Path) -> None:
    """
    A body that does not have its digest is not replayed.
    """
    one = exchange(content=digest(b"right"))
    cassette = write(tmp_path / "c", [one], b"right")
    text = cassette.path.read_text()
    cassette.path.write_text(text.replace('"right"', '"wrong"'))

    with pytest.raises(InvalidCassette, match="was changed after it was recorded"):
        Cassette(cassette.path).content(one)
    cassette.path.write_text("\n".join(text.splitlines()[:2]))
    with pytest.raises(InvalidCassette, match="is missing"):
        Cassette(cassette.path)


def test_only_headers_about_the_resource_are_kept() -> None:
    """
    Headers about one user, one moment, or one transfer are dropped.
    """
    headers = [
        ("Content-Type", "text/html"),
        ("Set-Cookie", "a=b"),
        ("Date", "today"),
        ("X-Served-By", "cache-7"),
        ("ETag", '"1"'),
        ("Content-Length", "5"),
    ]

    assert kept_headers(headers) == (("content-type", "text/html"), ("etag", '"1"'))


@pytest.mark.parametrize(
    ("vary", "match"),
    [
        ("", {}),
        ("Accept", {"accept": "a/b"}),
        ("accept-encoding, ACCEPT , Cookie, Authorization, User-Agent", {"accept": "a/b"}),
        ("*", {}),
        ("X-Other", {}),
    ],
)
def test_requests_differ_by_the_headers_in_vary(vary: str, match: dict[str, str]) -> None:
    """
    The headers that the response varies by are matched, but never secrets.
    """
    request = {
        "accept": "a/b",
        "cookie": "hush",
        "authorization": "hush",
        "user-agent": "x",
        "accept-encoding": "gzip",
    }

    assert matched_headers({"vary": vary}, request) == match
    assert matched_headers({}, {"range": "bytes=0-1"}) == {"range": "bytes=0-1"}


def test_the_most_specific_exchange_is_found(tmp_path: Path) -> None:
    """
    Exchanges with the most matching headers are found, else the nearest is described.
    """
    html = exchange("/", match={"accept": "text/html"}, status=201)
    part = exchange("/", match={"accept": "text/html", "range": "bytes=0-1"}, status=206)
    json = exchange("/", match={"accept": "text/json"}, status=202)
    cassette = write(tmp_path / "c", [html, part, json])
    url = "https://example.org/"

    assert cassette.find("GET", url, "", {"accept": "text/html"}) == [html]
    assert cassette.find("GET", url, "", {"accept": "text/html", "range": "bytes=0-1"}) == [part]
    assert cassette.find("GET", url, "", {"accept": "other"}) == []
    assert "accept: 'text/html'" in cassette.nearest("GET", url, "", {})
    assert "a different URL" in cassette.nearest("GET", url + "x", "", {})
    assert "the method GET" in cassette.nearest("POST", url, "", {})
    assert cassette.nearest("GET", "ftp://elsewhere.test/", "", {}) == ""


def test_merging_replaces_repeated_requests() -> None:
    """
    A repeated request replaces the old exchanges; unchanged ones keep their date.
    """
    old = [exchange("/a", recorded="1"), exchange("/b", "0" * 64, recorded="1")]
    new = [
        exchange("/b", "1" * 64, recorded="2"),
        exchange("/b", "2" * 64, recorded="2"),
        exchange("/b", "1" * 64, recorded="2"),
        exchange("/a", recorded="2"),
    ]

    merged = merge(old, new)

    assert [(one.url[-2:], one.content[:1], one.recorded) for one in merged] == [
        ("/a", "", "1"),
        ("/b", "1", "2"),
        ("/b", "2", "2"),
    ]
    assert merge(merged, []) == merged


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_invalid_names_are_rejected(name: str) -> None:
    """
    The name of a cassette cannot lead out of its directory.
    """
    with pytest.raises(CassetteError, match="is not a valid cassette name"):
        path_of(Path("repo"), name)
