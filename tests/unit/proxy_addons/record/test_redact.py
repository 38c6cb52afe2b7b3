"""No secrets in what is logged or recorded."""

from __future__ import annotations

import pytest

from proxy_addons.record.redact import safe_headers, safe_json, safe_path


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/a", "/a"),
        (b"/a?b=1", "/a?b=1"),
        (b"/a?access_token=x&b=1", "/a?access_token=REDACTED&b=1"),
        (b"/a?API-KEY=x;b=2", "/a?API-KEY=REDACTED;b=2"),
        *(
            (f"/a?{name}=x&page=2".encode(), f"/a?{name}=REDACTED&page=2")
            for name in (
                *("pass", "passcode", "pw", "PassWord", "user_pass", "bearer", "assertion", "pat"),
                *("client_assertion", "SAMLResponse", "ticket", "hmac", "pin", "cookie", "csrf"),
                *("oauth_verifier", "code_verifier", "pwd", "passwd", "passphrase", "password"),
            )
        ),
        (b"/cb#access_token=x", "/cb#access_token=REDACTED"),
        (b"/cb#?token=x", "/cb#?token=REDACTED"),
        (b"/a?x=1?token=x", "/a?x=1?token=REDACTED"),
        (b"/a;jsessionid=x?b=1", "/a;jsessionid=REDACTED?b=1"),
        (b"/a?u=https://h/?token=x", "/a?u=https://h/?token=REDACTED"),
        (
            b"/a?u=https%3A%2F%2Fh%2F%3Ftoken%3Dx&b=1",
            "/a?u=https%3A%2F%2Fh%2F%3Ftoken%3DREDACTED&b=1",
        ),
        (
            b"/a?u=%2F%3Fv%3D%252F%253Ftoken%253Dx",
            "/a?u=%2F%3Fv%3D%252F%253Ftoken%253DREDACTED",
        ),
        (b"/a?u=https%3a%2F%2Fh%2F%3Fb%3d1", "/a?u=https%3a%2F%2Fh%2F%3Fb%3d1"),
        (b"/token=x?b=1", "/token=x?b=1"),
        (b"/a?passage=1&compass=n&pinned=1&pattern=x", "/a?passage=1&compass=n&pinned=1&pattern=x"),
        (b"/a?X-Amz-Signature=x", "/a?X-Amz-Signature=REDACTED"),
        (b"/a?authToken=x&accessToken=y", "/a?authToken=REDACTED&accessToken=REDACTED"),
        (b"/a?%74oken=x", "/a?%74oken=REDACTED"),
        (b"/a?password=a=b", "/a?password=REDACTED"),
        (b"/a?token=", "/a?token="),
        (b"/a?keyboard=us&monkey=1&author=me", "/a?keyboard=us&monkey=1&author=me"),
        (b"/\xff\x00 \x1b", "/%FF%00%20%1B"),
    ],
)
def test_paths_are_printable_and_redacted(raw: bytes, text: str) -> None:
    """
    The value of a parameter whose name looks like that of a secret is replaced.
    """
    assert text == safe_path(raw)


def test_long_paths_are_cut() -> None:
    """
    A workspace cannot decide how much memory its log takes.
    """
    assert len(safe_path(b"/" + b"x" * 10_000_000)) == 4099


def test_recorded_headers_have_no_secrets() -> None:
    """
    A field is left out for its name; a URL in a field is redacted.
    """
    pairs = [
        ("x-auth-token", "hush"),
        ("location", "https://a.test/x?signature=hush&page=2"),
        ("etag", '"1"'),
    ]

    assert safe_headers(pairs) == (
        ("location", "https://a.test/x?signature=REDACTED&page=2"),
        ("etag", '"1"'),
    )


@pytest.mark.parametrize(
    ("body", "clean"),
    [
        (b'{"access_token": "a\\"b", "n": 1}', b'{"access_token": "REDACTED", "n": 1}'),
        (b'{"PASSWORD":"x"}', b'{"PASSWORD":"REDACTED"}'),
        (b'{"tokens": ["a"], "name": "token"}', b'{"tokens": ["a"], "name": "token"}'),
    ],
)
def test_recorded_json_has_no_credentials(body: bytes, clean: bytes) -> None:
    """
    The names stay, and the text is still JSON.
    """
    assert safe_json(body) == clean


@pytest.mark.parametrize(
    "raw", [b"/?" + b"pw=a;" * 830, b"/?u=" + b"%2525%3Fpw%3Da" * 290, b"/" + b"\xff" * 9000]
)
def test_a_path_is_short_whatever_replacing_makes_of_it(raw: bytes) -> None:
    """
    Replacing secrets can make a text longer.
    """
    assert len(safe_path(raw)) <= 4096 + len("...")
