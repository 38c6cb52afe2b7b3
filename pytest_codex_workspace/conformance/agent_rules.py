"""Findings about the agent phase: the project's tests, and what the commands there miss."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..checks.finding import Finding
from ..codex import CONFIG_FILE, SETUP
from ..text.phrases import cut_middle, first_of
from ..text.printable import printable
from ..text.questions import NOBODY_ANSWERS
from .observation import Observation, TestRun
from .script_rules import MEMORY, last_words

__all__ = ["agent_findings"]

_LONG = 200
_SHOWN = 5
_BUILD_ONLY = frozenset(
    [
        "PATH",
        "VIRTUAL_ENV",
        "HOME",
        "USER",
        "SHELL",
        "TERM",
        "LANG",
        "TMPDIR",
        "PS1",
        "MAKEFLAGS",
        "CC",
        "CXX",
        "CFLAGS",
        "CXXFLAGS",
        "LDFLAGS",
        "CPPFLAGS",
        "LD_LIBRARY_PATH",
        "PKG_CONFIG_PATH",
        "PYTHONPATH",
        "NODE_PATH",
        "JAVA_HOME",
        "GOPATH",
        "GOFLAGS",
    ]
)
"""Variables that any file may mention: whether tests need them shows when they fail."""

_MISSING = re.compile(r"No such file or directory|ENOENT|FileNotFound|Cannot find module '[./]")


def agent_findings(seen: Observation) -> Iterator[Finding]:
    """
    Yield what the agent phase shows.
    """
    yield from _variables(seen)
    yield from _tests(seen)
    yield from _shell(seen)
    yield from _secrets(seen)


def _variables(seen: Observation) -> Iterator[Finding]:
    proven = seen.with_exports is not None and seen.with_exports.ok
    names = list(seen.missing) if proven else [one for one in seen.used if one not in _BUILD_ONLY]
    names = [name for name in names if name != "CI"]
    if proven:
        names = names or list(seen.exports)
    if not names:
        return
    shown = first_of(names, _SHOWN)
    what = (
        f"the tests pass only with {shown}, which {SETUP} exports"
        if proven
        else f"{SETUP} exports {shown}, which the agent phase does not have and files of the "
        "repository mention"
    )
    yield Finding.of(
        "variable-lost",
        what,
        "The script runs in a shell of its own, so what it exports ends with it (documented)",
        "Write it to ~/.bashrc above the line that ends for shells without a terminal, or to "
        "~/.profile (`echo 'export NAME=value' >>~/.profile`); or set it as a variable of the "
        "environment (`env:` here); name programs by their path, such as .venv/bin/pytest.",
        path=SETUP,
        line=seen.exports.get(names[0]),
        level="error" if proven else None,
    )


def _tests(seen: Observation) -> Iterator[Finding]:
    if seen.service_error is not None:
        first, _, printed = seen.service_error.message.partition("\n")
        yield Finding.of(
            "service-fails",
            f"a service does not start: {cut_middle(first, _LONG)}{last_words(printed)}",
            "Codex starts no services: whoever needs it there starts it by the same command",
            seen.service_error.remedy or f"See {CONFIG_FILE}, and what setup has installed.",
            path=CONFIG_FILE,
        )
        return
    if seen.setup_error is not None or seen.resume_error is not None:
        return
    if seen.tests is None:
        yield Finding.of(
            "tests-unknown",
            "no command for the project's tests was found, so none was run",
            "An agent looks for one in AGENTS.md and in the files of the project",
            f"Name it in {CONFIG_FILE}: `check: {{test: make check}}`.",
        )
        return
    run = seen.test_run
    if run is None or run.ok:
        return
    if run.out_of_memory:
        yield Finding.of(
            "out-of-memory",
            f"a process of `{run.command}` was killed, because the workspace had reached its "
            "memory limit",
            MEMORY,
            "Run fewer tests at once; or see with the option `memory` how much they need.",
        )
    elif run.waits:
        yield Finding.of(
            "prompt-unanswered",
            f"`{run.command}` seemed to wait for input: {printable(run.waits)}",
            "Nobody answers there",
            f"In a workspace, {NOBODY_ANSWERS}.",
            level="error",
        )
    yield Finding.of(
        "tests-fail",
        f"{_ended(run)} in the agent phase{last_words(run.output)}",
        "An agent that runs this command sees the same, and cannot tell what it has broken itself",
        _remedy(seen, run),
    )


def _ended(run: TestRun) -> str:
    command = cut_middle(run.command, _LONG)
    if run.exit_code is None:
        return f"`{command}` did not end within {run.duration:.0f} s"
    if run.exit_code == 127:
        return f"`{command}` is not found (exit code 127)"
    return f"`{command}` exits with {run.exit_code}"


def _remedy(seen: Observation, run: TestRun) -> str:
    assert seen.tests is not None  # noqa: S101 -- they ran
    configured = seen.tests.source == CONFIG_FILE
    other = "" if configured else f" If it is not this one (it is from {seen.tests.source}): "
    name = "" if configured else f"{other}`check: {{test: COMMAND}}` in {CONFIG_FILE} names it."
    if run.exit_code == 127:
        return f"Let setup install it where a login shell finds it.{name}"
    by_hand = "`codex-workspace exec` runs it by hand"
    log = f"its output is in {run.log_path}, and {by_hand}" if run.log_path else by_hand
    cause = "See the other findings for causes"
    if _MISSING.search(last_words(run.output)):
        cause = (
            "A file that is here and not there is not committed: `git status --short --ignored` "
            "names it"
        )
    return f"{cause}; {log}.{name}"


def _shell(seen: Observation) -> Iterator[Finding]:
    names = seen.only_in_login_shell
    if names and seen.test_run is not None:
        yield Finding.of(
            "login-shell",
            f"`{seen.test_run.command}` works in a login shell only: another shell does not find "
            f"{first_of(list(names), _SHOWN)}",
            "Commands of the agent seem to run in a login shell; hooks of git, cron and editors "
            "do not",
            "Put it into a directory that is on PATH in any shell, such as /usr/local/bin: "
            "`ln -s PROGRAM /usr/local/bin/`.",
        )


def _secrets(seen: Observation) -> Iterator[Finding]:
    for name, path in seen.secrets:
        yield Finding.of(
            "secret-on-disk",
            f"the secret {name} is in {path} after setup",
            "Secrets are gone in the agent phase, but files stay: the agent can read this one, and "
            "so can whoever gets the cached state",
            "Let setup read the secret from its variable, and remove what it writes before it "
            "ends.",
            path=SETUP,
        )
