"""
Run tests of workspaces on two engines, and compare what they found: tools/same_results.py [TESTS].

Compared are the outcome of each test, the exit code and the lines of output of each of its
commands, and what its workspaces requested. The engines are Docker or Podman and the one without a
daemon. In texts, numbers and ids stand for any, and lines have no order, as those of `env`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pytest_codex_workspace.engine.docker.find import find_engine

ROOT = Path(__file__).resolve().parent.parent
TESTS = tuple(
    f"tests/integration/test_{name}.py"
    for name in ("handle", "snapshots", "diff", "shared_workspaces", "ports", "stubs", "network")
)
"""The tests of the handle: `handle` and `network` of docs/engines.md."""

_ANY = re.compile(r"[0-9a-f]{7,}|[0-9]+")
_RESET = (55, 56)
_WITHOUT_LINES = ("env -#",)
"""Commands that separate what they print by NUL, which the report leaves out. Only characters are
compared: the order of variables means nothing."""

_LONGEST = 300
_SECONDS = 3600

Story = Mapping[str, Any]


def main(arguments: Sequence[str]) -> int:
    """
    Run the tests on both, and print the differences.

    Args:
        arguments: tests, or other arguments of pytest; by default the tests of the handle.

    Returns:
        The exit code: 1 if something differs.
    """
    native = f"native://{os.environ['XDG_CACHE_HOME']}/codex-workspace/native"
    with closing(find_engine("auto")) as engine:
        if engine.url.startswith("native:"):
            sys.exit("there is no Docker or Podman to compare with: start one with tools/engine")
    found = [read_stories(run_tests(one, arguments or TESTS)) for one in ("auto", native)]
    differing = list(differences(*found))
    for one in differing:
        print(one)
    stories = found[1].values()
    commands = sum(len(one["commands"]) for one in stories)
    requests = sum(sum(one["requests"].values()) for one in stories)
    outcomes = Counter(one["outcome"] for each in found for one in each.values() if one["outcome"])
    print(
        f"== on both engines: {dict(outcomes)}, {commands} commands and {requests} requests on "
        f"each; {len(differing) or 'no'} differences"
    )
    return int(bool(differing) or not commands or set(outcomes) != {"passed"})


def run_tests(engine: str, arguments: Sequence[str]) -> Mapping[str, Any]:
    """
    Run the tests on an engine, and return the report.
    """
    print(f"== on {engine}", flush=True)
    environment = {**os.environ, "CODEX_WORKSPACE_ENGINE": engine}
    with tempfile.TemporaryDirectory(prefix="codex-same-") as directory:
        command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:randomly"]
        options = ["-p", "no:cacheprovider", f"--codex-report={directory}/report"]
        done = subprocess.run(
            [*command, *options, *arguments],
            cwd=ROOT,
            env=environment,
            check=False,
            timeout=_SECONDS,
        )
        if done.returncode not in (0, 1):
            sys.exit(f"pytest ended with exit code {done.returncode}")
        report: Mapping[str, Any] = json.loads(Path(directory, "report/report.json").read_text())
        return report


def read_stories(report: Mapping[str, Any]) -> dict[str, Story]:
    """
    Return the stories of a report, by test: its outcome, its commands, its requests. Workspaces of
    a fixture with a wider scope have a story of their own, without an outcome.
    """
    found: dict[str, dict[str, Any]] = {
        one["test"]: {"outcome": one["outcome"], "commands": [], "requests": Counter()}
        for one in report["tests"]
    }
    for workspace in report["workspaces"]:
        nothing = {"outcome": "", "commands": [], "requests": Counter()}
        story = found.setdefault(workspace["test"], nothing)
        story["commands"].extend(
            {"text": _general(one["text"])}
            | {"state": one.get("state"), "exit_code": _exit_code(one)}
            | {name: _parts(one.get(name), one["text"]) for name in ("stdout", "stderr")}
            for one in workspace.get("commands", ())
        )
        story["requests"].update(
            " ".join(str(one[name]) for name in ("phase", "method", "host", "verdict", "status"))
            for one in workspace.get("requests", ())
        )
    return found


def _exit_code(command: Mapping[str, Any]) -> object:
    """
    Return the exit code of a command. curl has one for a reset that it notices while it sends, and
    another while it receives, which is a matter of microseconds.
    """
    code = command.get("exit_code")
    return _RESET if code in _RESET and command["text"].startswith("curl ") else code


def _general(text: str) -> str:
    return _ANY.sub("#", text)


def _parts(output: str | None, command: str) -> list[str]:
    text = _general(output or "")
    return sorted(text if _general(command) in _WITHOUT_LINES else text.split("\n"))


def differences(one: Mapping[str, Story], other: Mapping[str, Story]) -> Iterator[str]:
    """
    Yield what differs between the stories of two runs, a line each.
    """
    for test in sorted({*one, *other}):
        if test not in one or test not in other:
            yield f"{test}: run on one engine only"
            continue
        mine, theirs = one[test], other[test]
        for name in ("outcome", "requests"):
            if mine[name] != theirs[name]:
                yield f"{test}: {name}: {_short(mine[name])} and {_short(theirs[name])}"
        if len(mine["commands"]) != len(theirs["commands"]):
            counts = f"{len(mine['commands'])} and {len(theirs['commands'])}"
            yield f"{test}: number of commands: {counts}"
            continue
        for each, another in zip(mine["commands"], theirs["commands"], strict=True):
            for name, value in each.items():
                if value != another[name]:
                    yield (
                        f"{test}: {name} of {each['text'][:_LONGEST]!r}: "
                        f"{_short(value)} and {_short(another[name])}"
                    )


def _short(value: object) -> str:
    text = repr(dict(value) if isinstance(value, Counter) else value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
