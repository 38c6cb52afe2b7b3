"""`codex-workspace policy`: checking a policy, explaining a request, and suggesting one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.network.describe import describe_policy
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY, OPEN, Policy
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.reporting.events import event_line, facts_of

from ...helpers.events import read_events


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", ["hosts       any", "ports       443", "plain HTTP  blocked"]),
        ("offline: true", ["network  nothing may be reached"]),
        (
            "allow: [a.example]\ndeny: [b.example]\nmethods: [GET]\nports: [443, 8443]",
            [
                "hosts       a.example; no others",
                "denied      b.example; this takes precedence",
                "methods     GET",
                "ports       443, 8443",
            ],
        ),
        ("http: allow\nwebsocket: allow", ["443, and 80 for plain HTTP", "WebSocket   allowed"]),
        ("private: [10.1.0.0/16]", ["blocked, except 10.1.0.0/16"]),
        (
            "extends: codex-package-managers",
            ["crates.io", "the registries of pip, npm and apt in the image"],
        ),
    ],
)
def test_check_prints_the_policy_of_a_file(tmp_path, capsys, text, words):
    """
    Each field is printed, including registries that only an image knows.
    """
    path = tmp_path / "strict.yaml"
    path.write_text(text)

    assert 0 == main(["policy", "check", str(path)])

    printed = capsys.readouterr().out
    assert "policy strict\n" in printed
    for word in words:
        assert word in printed


def test_an_invalid_file_is_an_error_with_its_line(tmp_path, capsys):
    """
    A missing file is an error too.
    """
    path = tmp_path / "wrong.yaml"
    path.write_text("http: allow\nprots: [443]\n")

    assert 125 == main(["policy", "check", str(path)])
    assert f"PolicyError: {path}, line 2: unknown field prots" in capsys.readouterr().err
    assert 125 == main(["policy", "check", str(tmp_path / "none.yaml")])
    assert "none.yaml cannot be read" in capsys.readouterr().err


def test_further_hosts_are_only_mentioned_after_a_list():
    """
    A policy for any host includes them; `open` allows everything except private addresses.
    """
    assert ("hosts", "any") == describe_policy(HTTPS_ONLY)[0]
    assert ("hosts", "a.example, more; no others") == describe_policy(
        Policy(allow=("a.example",)), "more"
    )[0]
    assert {"ports": "any", "methods": "any", "plain HTTP": "allowed"}.items() <= dict(
        describe_policy(OPEN)
    ).items()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["https://example.com/a?b"], 0, "allowed by the policy 'https-only'"),
        (["https://192.0.2.1/"], 0, "allowed"),
        (["http://example.com"], 1, "blocked: plain-http\nPlain HTTP is not allowed."),
        (["http://example.com", "--policy=open"], 0, "allowed"),
        (["http://example.com:8080", "--policy=open"], 0, "allowed"),
        (["ws://example.com"], 1, "blocked: websocket"),
        (["wss://example.com"], 1, "blocked: websocket"),
        (["wss://example.com", "--policy=open"], 0, "allowed"),
        (["https://example.com:8443"], 1, "blocked: port-not-allowed"),
        (["https://example.com", "--policy=offline"], 1, "blocked: offline"),
        (["https://10.0.0.1/", "--policy=open"], 1, "blocked: private-address"),
        (["https://[::1]/"], 1, "blocked: private-address"),
        (["https://github.com", "--policy=codex-package-managers"], 0, "allowed"),
        (
            ["https://example.com", "--policy=codex-package-managers"],
            1,
            "host-not-allowed\nThe host example.com is not among the hosts allowed by the policy "
            "'codex-package-managers'. Allow the host in the policy, or avoid the request.\n"
            "The policy also allows the registries of pip, npm and apt in the image",
        ),
        (["https://example.com", "--policy={file}"], 1, "blocked: host-not-allowed"),
        (["https://a.example", "--policy={file}", "--method=get"], 0, "by the policy 'mine'"),
        (["https://a.example", "--policy={file}", "--method=post"], 1, "method-not-allowed"),
    ],
)
def test_explain_prints_verdict_and_reason(tmp_path, capsys, arguments, code, words):
    """
    The exit code tells whether the request is allowed.
    """
    path = tmp_path / "mine.yaml"
    path.write_text("allow: [a.example]\nmethods: [GET]\n")

    assert code == main(["policy", "explain", *(one.format(file=path) for one in arguments)])

    assert words in capsys.readouterr().out


def test_a_method_is_one_word(capsys):
    """
    No request can have another one.
    """
    assert 125 == main(["policy", "explain", "https://example.com", "--method=G T"])
    assert "'G T' is not a method" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["ssh://git@example.com", "example.com", "https://", "https://[x"])
def test_a_url_with_another_scheme_is_an_error(capsys, url):
    """
    The error names the accepted schemes.
    """
    assert 125 == main(["policy", "explain", url])
    assert "PolicyError" in (printed := capsys.readouterr().err)
    assert url in printed


def test_an_unknown_policy_is_an_error(capsys):
    """
    The most similar name is suggested.
    """
    assert 125 == main(["policy", "explain", "https://example.com", "--policy=ofline"])
    assert "did you mean 'offline'?" in capsys.readouterr().err


def test_a_policy_is_suggested_for_events(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    The events of a run on standard input become a policy file, which `policy check` accepts.
    """
    blocked = Request(
        *(1, 1.0, "setup", "GET", "http", "plain.example", 80, "/", "http://plain.example/"),
        *(403, None, None, "blocked", "plain-http", "Plain HTTP is not allowed."),
    )
    events = tmp_path / "events"
    events.write_text(event_line("request", **facts_of(blocked)))
    expected = {
        "extends": "offline",
        "allow": ["plain.example"],
        "methods": ["GET"],
        "http": "allow",
    }

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(events.read_bytes())))
    assert main(["policy", "suggest"]) == 0
    policy = capsys.readouterr().out
    assert yaml.safe_load(policy) == expected
    assert "# Nothing is blocked of 1 request in standard input" in policy

    (tmp_path / "p.yaml").write_text(policy)
    assert main(["policy", "check", str(tmp_path / "p.yaml")]) == 0
    assert "plain.example; no others" in capsys.readouterr().out

    assert main(["policy", "suggest", str(events), "--json"]) == 0
    result = read_events([capsys.readouterr().out])[0]
    assert (result["policy"], result["yaml"]) == (
        expected,
        policy.replace("standard input", str(events)),
    )
    assert [one["field"] for one in result["entries"]] == ["allow", "methods", "http"]

    assert main(["policy", "suggest", str(events), "--phase=tests"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"extends": "offline"}
    assert main(["policy", "suggest", str(events), "--base=open"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"extends": "open"}
    assert main(["policy", "suggest", str(tmp_path)]) == 125
    assert "ReportError" in capsys.readouterr().err
