"""Findings about the scripts: how they ended, how long they took, and what they left."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ..checks.finding import Finding
from ..codex import RESUME, SETUP
from ..errors import SetupError
from ..services.daemons import Left, is_declared, is_helper, without_services
from ..text.phrases import counted, cut_middle, first_line, first_of
from ..text.printable import printable, without_colours
from ..text.questions import NOBODY_ANSWERS, question_in
from ..workspace.handle import Daemon
from .observation import Observation

__all__ = ["CODEX_LIMIT", "MEMORY", "last_words", "script_findings", "script_line"]

CODEX_LIMIT = 1200.0
"""Seconds that Codex gives to setup. It is not documented."""

_NEAR = 0.6
_SHOWN = 5
_LONG = 160
_LIMIT_UNVERIFIED = (
    "The whole setup step seems to be limited to about 1200 s (seen, not documented)"
)
MEMORY = "Codex's workspaces have 8 or 16 GiB of memory (documented for the current generation)"
_STARTS = re.compile(r"\bservice\b|\bstart\b|systemctl|daemon|nohup|setsid|init\.d|&\s*$|& *[;)]")
"""What is in a line that starts something in the background."""

_QUESTIONS = 60
_END = 20_000
_TAIL = 12
_MOST_WRAPPED = 4
_ERROR = re.compile(
    r"\b(?:error|fatal|failed|cannot|can't|could not|not found|no such|denied|refused)\b|^E: |"
    r"\b[1-9]\d* failures?\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"complete log of this run|npm notice|report this full log|^(?:npm error|\[ERROR\])$|"
    r"^\[ERROR\] (?:\[Help \d|To see the full|Re-run Maven|For more information|After correct)|"
    r"note: This error originates|^hint: |Remove the existing file and try|"
    r"with --force to overwrite|^Failed examples:$|^make(?:\[\d+\])?: \*\*\* \[|"
    r"^!{3,} |^(?:=+ )?\d+ (?:failed|passed|errors?|skipped|deselected|xfailed)\b.* in [\d.]+s\b"
)
"""What tools print behind the reason: where their log is, and where to read about errors."""

_CUT = re.compile(r"((?:ERROR|FAILED) \S+ - )(.+)\.\.\.")
"""A line of pytest's summary that it has cut to the width of its terminal."""

_OF_BASH = re.compile(r"^\S*[-_]script\.sh: line \d+: ")
"""What bash writes in front of an error in a script, which the finding has said."""


_MAY_PASS = {
    "plain-http": "plain-http",
    "websocket": "websocket",
    "port-not-allowed": "not-https",
    "upstream-error": "unreachable-host",
    "offline": "blocked-request",
    "host-not-allowed": "blocked-request",
    "method-not-allowed": "blocked-request",
}
"""Reasons in the network log for what Codex may let pass, and the findings that say so."""


def script_findings(seen: Observation) -> Iterator[Finding]:
    """
    Yield what the runs of both scripts show.
    """
    yield from _failed(seen)
    yield from _slow(seen)
    yield from _questions(seen)
    yield from _held(seen)
    yield from _lost(seen)
    yield from _repeated(seen)
    yield from _changed(seen)


def script_line(script: str, word: str) -> int | None:
    """
    Return the first line of a script that has a word outside of a comment; `None` if none has.
    """
    wanted = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")
    for number, line in enumerate(script.splitlines(), 1):
        if not line.lstrip().startswith("#") and wanted.search(line):
            return number
    return None


def _failed(seen: Observation) -> Iterator[Finding]:
    for error, script, check in (
        (seen.setup_error, SETUP, "setup-fails"),
        (seen.resume_error, RESUME, "resume-fails"),
    ):
        if error is None:
            continue
        if error.out_of_memory:
            yield _out_of_memory(error, script)
            continue
        if error.timed_out:
            yield _too_long(error, script, seen.time_limit)
            continue
        where = f", at {error.where}" if error.where else ""
        last = last_words(error.tail)
        yield Finding.of(
            check,
            f"{script} {_ended(error)}{where}{last}",
            (
                "The environment does not come up"
                if error is seen.setup_error
                else "A task that starts from the cache does not come up"
            )
            + _unless(seen, "setup" if error is seen.setup_error else "resume"),
            "Fix the script, and commit it."
            + (f" The full log is {error.log_path}." if error.log_path else ""),
            path=script,
            line=_number(error.where),
        )

    if seen.setup_memory and seen.setup_error is None:
        yield Finding.of(
            "out-of-memory",
            f"a process of {SETUP} was killed, because the workspace had reached its memory "
            "limit, and the script went on",
            MEMORY,
            "Let it use less memory, such as with fewer jobs at once, and end where a command "
            "fails (`set -e`).",
            path=SETUP,
        )


def _unless(seen: Observation, phase: str) -> str:
    """
    Return that a request may be why a script failed here only; empty if there was none.
    """
    requests = [one for one in seen.requests if one.phase == phase]
    found = sorted({_MAY_PASS[one.reason] for one in requests if one.reason in _MAY_PASS})
    if not found:
        return ""
    return f", unless it fails because of a request that may pass there: see {', '.join(found)}"


def _ended(error: SetupError) -> str:
    if error.exit_code is not None:
        return f"exits with {error.exit_code}"
    if error.timed_out:
        return "does not end within the time limit"
    return "is not in the commit"


def _out_of_memory(error: SetupError, script: str) -> Finding:
    return Finding.of(
        "out-of-memory",
        f"a process of {script} was killed, because the workspace had reached its memory limit",
        MEMORY,
        "Let it use less memory, such as with fewer jobs at once; "
        "or see with the option `memory` how much it needs.",
        path=script,
        line=_number(error.where),
    )


def _too_long(error: SetupError, script: str, limit: float) -> Finding:
    last = last_words(error.tail)
    waited = f"; its last line was{last}" if last else ""
    if error.waits:
        waited = f"; it seemed to wait for input: {error.waits}"
    return Finding.of(
        "prompt-unanswered" if error.waits else "time-limit",
        f"{script} did not end within {limit:g} s and was killed{waited}",
        _LIMIT_UNVERIFIED,
        NOBODY_ANSWERS
        if error.waits
        else "Install less, use packages that are built already, or find out what it waits for.",
        path=script,
        line=_number(error.where),
        level="error",
    )


def _slow(seen: Observation) -> Iterator[Finding]:
    for duration, script in ((seen.setup_duration, SETUP), (seen.resume_duration, RESUME)):
        if duration is not None and duration >= _NEAR * CODEX_LIMIT:
            share = duration / CODEX_LIMIT
            yield Finding.of(
                "time-limit",
                f"{script} took {duration:.0f} s here, {share:.0%} of the limit that Codex seems "
                "to have",
                f"{_LIMIT_UNVERIFIED}; its machines may be slower or faster than this one",
                "Install less, or use packages that are built already.",
                path=script,
                level="error" if share >= 1 else None,
            )


def _questions(seen: Observation) -> Iterator[Finding]:
    error_outputs = [
        (error.tail, script)
        for error, script in ((seen.setup_error, SETUP), (seen.resume_error, RESUME))
        if error is not None
    ]
    outputs = [(seen.setup_output, SETUP), (seen.resume_output, RESUME), *error_outputs]
    for output, script in outputs:
        if asked := _question(output):
            yield Finding.of(
                "prompt-unanswered",
                f"{script} asked {cut_middle(asked, _LONG)!r}",
                "What a setup script gets as standard input is not known; nobody answers in any "
                "case",
                f"In a workspace, {NOBODY_ANSWERS}.",
                path=script,
                level="error" if (output, script) in error_outputs else None,
            )


def _question(output: str) -> str:
    """
    Return a question of a script, wherever in its output.
    """
    lines = output.splitlines(keepends=True)[-_QUESTIONS * 50 :]
    for start in range(0, len(lines), 3):
        if found := question_in("".join(lines[start : start + 3]).rstrip("\n") + "\n"):
            return found
    return ""


def _held(seen: Observation) -> Iterator[Finding]:
    for left, script, text in _scripts(seen):
        holding = [one for one in left.daemons if one.held_output]
        if holding:
            yield Finding.of(
                "output-held",
                f"{_named(holding)} {'keep' if len(holding) > 1 else 'keeps'} the output of "
                f"{script} open after its end",
                "Codex waits for the end of the output, so the step hangs until its time limit "
                "(seen with setup; with the maintenance script it is not known)",
                "Start it with its output redirected: `COMMAND >/tmp/COMMAND.log 2>&1 &`. If tests "
                "need it, declare it as a service.",
                path=script,
                line=_line(text, holding),
            )


def _lost(seen: Observation) -> Iterator[Finding]:
    for left, script, text in _scripts(seen):
        servers = without_services(left.daemons, seen.services)
        names = {one.name for one in servers}
        others = [
            one
            for one in left.daemons
            if not one.listens
            and not one.held_output
            and one.name not in names
            and not is_helper(one)
            and not is_declared(one, seen.services)
        ]
        ports = left.ports if script == SETUP else ()
        fate = (
            "Files that setup writes stay, its processes do not"
            if script == SETUP
            else "Whether what the maintenance script starts is alive for the agent is not known; "
            "here it is not"
        )
        if servers or (ports and not left.daemons):
            what = _named(servers) if servers else "a process"
            listed = sorted({port for one in servers for port in one.ports} | set(ports))
            where = _ports(listed) if listed else first_of(list(servers[0].sockets), _SHOWN)
            failed = ", and the tests failed" if seen.tests_failed else ""
            yield Finding.of(
                "server-lost",
                f"{what}, which {script} started, listens on {where} and is gone in the "
                f"agent phase{failed}",
                fate,
                "Declare it under `services:` in .codex-workspace.yaml, which starts it in each "
                "workspace, and let the tests or AGENTS.md start it in Codex.",
                path=script,
                line=_line(text, servers),
                level="error" if seen.tests_failed else None,
            )
        if others:
            yield Finding.of(
                "process-lost",
                f"{_named(others)}, which {script} started, is gone in the agent phase",
                fate,
                "If something needs it, start it there; otherwise do not start it in the script.",
                path=script,
                line=_line(text, others),
            )


def _repeated(seen: Observation) -> Iterator[Finding]:
    again = seen.again_error
    if again is not None:
        where = f", at {again.where}" if again.where else ""
        yield Finding.of(
            "setup-repeat",
            f"{SETUP} {_ended(again)} when it runs on its own result{where}"
            f"{last_words(again.tail)}",
            "Codex runs it once in a fresh container; whoever repairs an environment by hand runs "
            "it again",
            "Let it check what is there: `mkdir -p`, `ln -sfn`, `createdb ... || true`.",
            path=SETUP,
            line=_number(again.where),
        )
    longer = [path for what, path in seen.again_changes if what == "longer"]
    other = [f"{what} {path}" for what, path in seen.again_changes if what != "longer"]
    if longer:
        yield Finding.of(
            "setup-differs",
            f"each run of {SETUP} adds to {_some(longer)}",
            "Codex runs it once in a fresh container, so this shows only where it runs again",
            "Write the file as a whole, or look whether the line is there already.",
            path=SETUP,
            line=next((at for one in longer if (at := _mentions(seen.setup_script, one))), None),
        )
    if other:
        yield Finding.of(
            "setup-differs",
            f"a second run of {SETUP} has another result: {_some(other)}",
            "Codex runs it once in a fresh container, so this shows only where it runs again",
            "If that matters, let the script write the same each time.",
            path=SETUP,
        )


def _mentions(script: str, path: str) -> int | None:
    return script_line(script, path.rpartition("/")[2])


def _changed(seen: Observation) -> Iterator[Finding]:
    for status, script in ((seen.setup_status, SETUP), (seen.resume_status, RESUME)):
        mine = {
            path: code
            for path, code in status.items()
            if script == SETUP or path not in seen.setup_status
        }
        if script == SETUP and ".nvmrc" in mine and not re.search(r"\bnvm", seen.setup_script):
            yield _by_nvm(mine.pop(".nvmrc"))
        tracked = [path for path, code in mine.items() if code != "??"]
        new = [path for path, code in mine.items() if code == "??"]
        if tracked:
            yield Finding.of(
                "tracked-changes",
                f"{script} changes {_some(tracked)}, which the repository tracks",
                "They stay changed and are part of the agent's diff; a commit that changes them, "
                "too, cannot be switched to (inferred from logs)",
                "Install without changing them (npm ci, uv sync --locked, poetry install, bundle "
                "config set frozen true), or commit the result.",
                path=script,
            )
        if new:
            yield Finding.of(
                "untracked-files",
                f"{script} leaves {_some(new)}, which git does not ignore",
                "They stay, and can become part of the agent's diff",
                "Add them to .gitignore, or remove them at the end of the script.",
                path=script,
            )


def _by_nvm(code: str) -> Finding:
    """
    Return the finding for the file that codex-universal's selection of a Node writes.
    """
    new = code == "??"
    return Finding.of(
        "untracked-files" if new else "tracked-changes",
        "the selection of Node writes .nvmrc, which "
        + ("git does not ignore" if new else "the repository tracks"),
        "nvm use --save does, where the selected Node is not the image's own (read)",
        "Add it to .gitignore, or commit it with the selected version.",
        path=".nvmrc",
    )


def _scripts(seen: Observation) -> Iterable[tuple[Left, str, str]]:
    yield seen.left, SETUP, seen.setup_script
    yield seen.resume_left, RESUME, seen.resume_script


def _named(daemons: Sequence[Daemon]) -> str:
    named = list(dict.fromkeys(first_line(one.command, _LONG) or "a process" for one in daemons))
    more = len(named) - 2
    shown = " and ".join(f"`{one}`" for one in named[:2])
    return f"{shown} and {counted(more, 'other process', 'other processes')}" if more > 0 else shown


def _line(text: str, daemons: Sequence[Daemon]) -> int | None:
    """
    Return the line of a script that seems to have started one of the processes.
    """
    for daemon in daemons:
        starts = re.compile(rf"(?<![\w-]){re.escape(daemon.name)}")
        for number, line in enumerate(text.splitlines(), 1):
            if starts.search(line) and _STARTS.search(line) and not line.lstrip().startswith("#"):
                return number
        words = daemon.command.split()[1:]
        for word in (*words[-1:], *words[:1], daemon.name):
            if (name := word.rpartition("/")[2]) and (found := script_line(text, name)):
                return found
    return None


def _ports(ports: Sequence[int]) -> str:
    return f"port{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports[:_SHOWN]))}"


def _some(paths: Sequence[str]) -> str:
    return first_of([cut_middle(one, _LONG) for one in paths], _SHOWN)


def last_words(output: str) -> str:
    """
    Return the last line of some output that speaks of an error, otherwise the last one, to be put
    behind a sentence; empty without output.
    """
    lines = printable(without_colours(output[-_END:])).splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    end = lines[-_TAIL:]
    said = [at for at, line in enumerate(end) if _ERROR.search(line) and not _ASIDE.search(line)]
    last = _unwrapped(end[said[-1] :]) if said else (lines or [""])[-1]
    last = _whole(_OF_BASH.sub("", last), lines)
    return f": {cut_middle(last, _LONG).rstrip('.')}" if last else ""


def _whole(line: str, lines: Sequence[str]) -> str:
    """
    Return a line of pytest's summary with all of the error, which stands above it.
    """
    cut = _CUT.fullmatch(line)
    errors = (one[1:].strip() for one in lines if one.startswith("E "))
    return (
        next((f"{cut[1]}{one}" for one in errors if one.startswith(cut[2])), line) if cut else line
    )


def _unwrapped(lines: Sequence[str]) -> str:
    """
    Return the first of some lines, with those behind it that end its bracket: a tool has wrapped
    its text.
    """
    text = lines[0]
    for line in lines[1:_MOST_WRAPPED]:
        if not re.search(r"<[^<>]*$|\([^()]*$", text):
            break
        text = f"{text} {line}"
    return text


def _number(where: str) -> int | None:
    found = re.match(r"line (\d{1,6})\b", where)
    return int(found[1]) if found else None
