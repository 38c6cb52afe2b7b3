"""Tests of what a failed test shows of its workspace."""

from __future__ import annotations

from typing import Any

from pytest_codex_workspace.errors import ProxyError
from pytest_codex_workspace.network.log import NetworkLog
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.reports.section import failure_section
from pytest_codex_workspace.workspace.command_log import CommandLog
from pytest_codex_workspace.workspace.handle import Daemon, SetupResult, Workspace
from pytest_codex_workspace.workspace.paths import bind
from pytest_codex_workspace.workspace.result import ExecResult


def blocked(phase: str = "test", host: str = "a.example") -> Request:
    """
    Return a request that was blocked.
    """
    return Request(
        *(1, 1.0, phase, "GET", "http", host, 80, "/", f"http://{host}/", 403, 5, 0.1),
        *("blocked", "plain-http", f"Plain HTTP is not allowed. Use https://{host} instead."),
    )


def workspace(
    commands: CommandLog, requests: Any = list, setup: Any = None, services: Any = None
) -> Workspace:
    """
    Return a workspace without a container.
    """
    none: Any = None
    return Workspace(
        *(none, "c" * 64, none),
        project="/workspace/demo",
        paths=bind(none, "/workspace/demo"),
        head="a" * 40,
        env={},
        setup=setup or SetupResult("hit"),
        network=NetworkLog(requests),
        commands=commands,
        services=services,
    )


def ran(log: CommandLog, text: str, code: int = 0, out: str = "", err: str = "") -> None:
    """
    Add a command to the log.
    """
    with log.record(text, "/workspace/demo") as finished:
        finished(ExecResult(text, code, out.encode(), err.encode(), duration=0.25), "exited")


def test_the_last_command_and_the_end_of_its_output_are_shown() -> None:
    """
    What failed before is named, what succeeded is counted, and the reason is at the end.
    """
    log = CommandLog()
    ran(log, "true")
    ran(log, "make lint", 2)
    ran(log, "true")
    build = "".join(f"line {number}\n" for number in range(400)) + "E: the real reason\n"
    ran(log, "make\nall", 1, out=build)

    text = failure_section(workspace(log), "codex-workspace shell")

    assert text.splitlines() == [
        "<Workspace /workspace/demo at aaaaaaaaaaaa in cccccccccccc>, cache hit",
        "... 2 earlier commands",
        "exit code 2 after 0.2 s: make lint",
        "exit code 1 after 0.2 s: make ...",
        "  stdout (its end):",
        *(f"    | line {number}" for number in range(393, 400)),
        "    | E: the real reason",
        "network: 0 requests, none blocked or failed",
        "by hand: codex-workspace shell",
    ]


def test_the_network_of_test_and_setup_is_shown() -> None:
    """
    A blocked request is named with what to do, and so is one of a setup that was cached.
    """
    setup = SetupResult("hit", requests=(blocked("setup", "s.example"),))
    text = failure_section(workspace(CommandLog(), lambda: [blocked()] * 3, setup), "x")

    assert "network: 3 requests, 3 blocked or failed\n" in text
    assert "  blocked: [test] GET http://a.example/ (plain-http), 3 times\n" in text
    assert "Use https://a.example instead." in text
    assert "    http: allow" in text
    assert "network:\n  blocked: [setup]" in text
    assert "setup-script.sh succeeded, when its result was cached, but this went wrong" in text


def test_the_requests_of_a_setup_are_shown_once() -> None:
    """
    Where setup ran for this workspace, its network log has the requests of the setup, too.
    """
    made = blocked("setup", "s.example")
    setup = SetupResult("miss", requests=(made,))
    text = failure_section(workspace(CommandLog(), lambda: [made, blocked()], setup), "x")

    assert "network: 1 request, 1 blocked or failed\n" in text
    assert 1 == text.count("s.example/")


def test_a_section_fits_a_screen() -> None:
    """
    However much went wrong, the section has at most 30 lines with the text of the error above it,
    and only the entry to paste and explanations may be long.
    """
    log = CommandLog()
    for number in range(50):
        ran(log, f"{number} " + "x" * 900, 1, out="o\n" * 99, err="e" * 3000 + "\ne" * 99)
    requests = [blocked(host=f"{number}.{'h' * 300}.example") for number in range(50)]
    ran_before = tuple(blocked("setup", f"s{one.host}") for one in requests)
    setup = SetupResult("hit", requests=ran_before)

    own = workspace(log, lambda: requests, setup)
    lines = failure_section(own, "x").splitlines()

    assert 25 < len(lines) <= 30
    assert max(len(line) for line in lines if line.lstrip().startswith(("exit", "|"))) < 200
    assert lines[1] == "network: 50 requests, 50 blocked or failed"
    assert "Plain HTTP is not allowed" in lines[3]
    assert lines[-1] == "by hand: x"
    said = "\n".join(map(str, range(15)))
    assert len(failure_section(own, "x", said=said).splitlines()) <= 17


def test_output_of_the_error_is_not_repeated() -> None:
    """
    It is right above.
    """
    log = CommandLog()
    ran(log, "make", 1, out="the reason\n")

    text = failure_section(workspace(log), "x", said="command exited\n  | the reason")

    assert "exit code 1 after 0.2 s: make\n" in text
    assert "the reason" not in text


def test_a_lost_workspace_and_proxy_are_said() -> None:
    """
    The section is written in any case.
    """

    def lost() -> list[Request]:
        raise ProxyError("The proxy has ended.")

    log = CommandLog()
    log.lost = "The container was removed."
    text = failure_section(workspace(log, lost), "x")
    assert "lost: The container was removed.\n" in text
    assert "no network log: The proxy has ended.\n" in text


class EndedService:
    """
    A service that has ended, if *code* is given.
    """

    def __init__(self, code: int | None = None) -> None:
        self.code = code

    def describe_end(self, lines: int) -> list[str]:
        if self.code is None:
            return []
        output = [f"  | line {number}" for number in range(9)][-lines:]
        return [
            f"the service db ended with exit code {self.code}",
            "the end of its output:",
            *output,
        ]


def test_a_service_that_has_ended_is_named_with_its_last_lines() -> None:
    """
    One that runs is not.
    """
    log = CommandLog()
    ran(log, "make test", 1)

    found = failure_section(
        workspace(log, services={"web": EndedService(), "db": EndedService(139)}), "by hand"
    )

    assert found.splitlines()[:9] == [
        "<Workspace /workspace/demo at aaaaaaaaaaaa in cccccccccccc>, cache hit",
        "the service db ended with exit code 139",
        "the end of its output:",
        *(f"  | line {number}" for number in range(4, 9)),
        "exit code 1 after 0.2 s: make test",
    ]


def test_a_server_of_setup_that_a_command_misses_is_named() -> None:
    """
    Only if a command failed, and for that reason.
    """
    redis = Daemon("redis-server", "redis-server", (6379,))
    setup = SetupResult("hit", daemons=(redis,), missing=(redis,))
    refused = "connect ECONNREFUSED 127.0.0.1:6379"
    words = "redis-server (port 6379), which the scripts had started, is gone"
    for code, err, explained in ((1, refused, True), (0, refused, False), (1, "E: no", False)):
        log = CommandLog()
        ran(log, "npm test", code, err=err)

        text = failure_section(workspace(log, setup=setup), "by hand")

        assert explained == (words in text)
        assert explained == ("services: {redis-server:" in text)
