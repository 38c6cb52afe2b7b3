"""Running a repository as Codex would: two workspaces, looked at from the outside and inside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import resources
from typing import Any

from ..cache.store import Layer
from ..codex import RESUME, SETUP
from ..errors import CodexWorkspaceError, ExecTimeout, ServiceError, SetupError, WorkspaceLost
from ..host.bounded_log import BoundedLog
from ..network.matching import Phase
from ..network.rules.request import Request
from ..reporting.output import Output
from ..services.daemons import Left, list_daemons
from ..session import Session
from ..setup.scripts import ScriptRun, log_path_of
from ..setup.spec import WorkspaceSpec
from ..text.bash_commands import ShellCommand, parse_script
from ..text.phrases import cut_middle
from ..unpatched import clock
from ..workspace.channel import Channel
from ..workspace.handle import Workspace
from ..workspace.launcher import Running
from ..workspace.result import ExecResult
from .newer_commit import newer_commit
from .observation import Observation, TestRun
from .project_tests import ProjectTests

__all__ = ["exported_by", "observe"]

_SECONDS = 120.0
_SCRIPT_LIMIT = 1 << 20
_OUTPUT = 200_000
_MEMORY = "/dev/shm/codex-workspace-files.json"  # noqa: S108 -- gone with the container
_STATUS = (
    *("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"),
    *("status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=dirty"),
)
_PATHS = 200
_ANSWER = 2 << 20
_WORD = 4096
_NOT_CODE = tuple(
    f":!{path}"
    for path in ("codex-workspace-scripts", "*.md", "*.rst", "docs", "doc", ".github", ".gitlab*")
)
"""Where a variable can be mentioned and nobody needs it."""

_OF_INSTALLERS = ("DEBIAN_", "NEEDRESTART_", "PIP_", "UV_", "POETRY_", "npm_config_", "LC_", "UCF_")
"""How the names of variables begin that nobody misses after an installation."""

_MORE_LOOKS = 3
_BETWEEN_LOOKS = 0.7
_LONGEST_TITLE = 60
_LONGEST_REPEATED = 300.0
"""Seconds of a run of tests beyond which they are not run again to find out why they failed."""


def observe(
    session: Session,
    spec: WorkspaceSpec,
    *,
    tests: ProjectTests | None,
    time_limit: float,
    environ: Mapping[str, str],
) -> Observation:
    """
    Set the repository up in a clean workspace, and again on the result; resume from that at a
    newer commit in another workspace, and run the project's tests there in the agent phase.

    Args:
        session: runs the workspaces.
        spec: what they are made of; its `policy` is that of the agent phase.
        tests: how the project's tests are run.
        time_limit: of the tests, in seconds.
        environ: the environment for git.

    Raises:
        CodexWorkspaceError: a workspace could not be started, or ended early.
    """
    seen = Observation(
        time_limit=time_limit,
        tests=tests,
        policy=spec.policy,
        label=f"check {spec.snapshot.path}",
        services=spec.services,
        redact=lambda text: spec.secrets.redaction.text(text),
    )
    with newer_commit(spec.snapshot, environ) as newer:
        later = replace(spec, snapshot=newer)
        session.prepare(spec, "clean")
        if not spec.runs_scripts("setup"):
            _test_unprepared(session, later, seen)
            return seen
        try:
            session.builder.setup_key(spec)
        except SetupError as error:  # The script is not in the commit.
            seen.setup_error = error
            return seen
        layer = _set_up(session, spec, seen)
        if layer is None:
            return seen
        try:
            _resume_and_test(session, later, layer, seen)
        finally:
            if layer.single_use:
                session.launcher.wait_for_cleanup()
                session.store.discard([layer])
    return seen


def _set_up(session: Session, spec: WorkspaceSpec, seen: Observation) -> Layer | None:
    """
    Run setup twice in a clean workspace. Return the layer of the first run; `None` if it failed.
    """
    running = session.starter.launch_clean(spec)
    try:
        channel = running.channel
        seen.setup_script = _script(channel, spec, "setup", SETUP, seen)
        seen.resume_script = _script(channel, spec, "resume", RESUME, seen)
        began = channel.stat("/etc/resolv.conf").st_mtime  # Written as the container started.
        try:
            run = session.runner.run(running, "setup", spec)
        except SetupError as error:
            seen.setup_error = error
            seen.requests = _requests(session, running)
            session.tell_failed_setup(spec, seen.label, error)
            return None
        seen.setup_duration, seen.setup_output = run.duration, run.output
        # Asked as for a command that failed: a script can go on after that.
        seen.setup_memory = channel.explained(ExecResult("", 1)).out_of_memory
        seen.left = _with_late_servers(channel, spec, run)
        session.builder.settle(running, spec)
        seen.setup_status = _status(channel, spec)
        seen.secrets = [(one.secret, one.path) for one in run.secrets.found[:_PATHS]]
        layer = session.store.rebuild(session.builder.setup_from(running, spec, run))
        seen.requests = _requests(session, running)
        _look(channel, "remember", str(began), _MEMORY)
        name = seen.names.get(SETUP, SETUP)
        session.output.note(f"running {name} once more, on its own result")
        try:
            session.runner.run(running, "setup", spec, again=True)
        except SetupError as error:
            seen.again_error = error
            return layer
        channel.kill_all()
        changes = _look(channel, "compare", str(began), _MEMORY)
        seen.again_changes = _pairs(changes.get("changes"))
        return layer
    finally:
        session.launcher.stop(running)


def _resume_and_test(
    session: Session, spec: WorkspaceSpec, layer: Layer, seen: Observation
) -> None:
    def ended(running: Running, run: ScriptRun | None) -> None:
        if run is not None:
            seen.resume_left = _with_late_servers(running.channel, spec, run)
            seen.resume_status = _status(running.channel, spec)
        seen.requests = [*seen.requests, *_requests(session, running)]

    try:
        started = session.starter.resume(spec, layer, ended)
    except SetupError as error:
        seen.resume_error = error
        session.tell_failed_setup(spec, seen.label, error)
        return
    except ServiceError as error:
        seen.service_error = error
        return
    session.adopt(started, seen.label)
    try:
        setup = started.workspace.setup
        if spec.resumes:
            seen.resume_duration, seen.resume_output = setup.duration, setup.output
        _test(started.workspace, spec, seen, session.output)
        seen.requests = [*seen.requests, *started.workspace.network.requests(phase="test")]
    finally:
        session.stop(started.workspace)


def _test_unprepared(session: Session, spec: WorkspaceSpec, seen: Observation) -> None:
    """
    Run the tests of a repository that has no scripts.
    """
    try:
        workspace = session.workspace(spec, "clean", label=seen.label)
    except ServiceError as error:
        seen.service_error = error
        return
    try:
        _test(workspace, spec, seen, session.output)
        seen.requests = workspace.network.requests(phase="test")
    finally:
        session.stop(workspace)


def _test(workspace: Workspace, spec: WorkspaceSpec, seen: Observation, output: Output) -> None:
    exports = exported_by(seen.setup_script)
    seen.exports = {name: line for name, (line, _) in exports.items()}
    if exports:
        _look_for_exports(workspace, seen)
    if seen.tests is None:
        return
    command = seen.tests.command_in(lambda path: workspace.path(path).exists())
    with output.step(f"running {cut_middle(command, _LONGEST_TITLE)}"):
        seen.test_run = run = _run(workspace, command, seen)
    if run.ok:
        seen.only_in_login_shell = _only_in_login_shell(workspace, command)
        return
    path = log_path_of(spec, f"{spec.snapshot.head[:12]}-tests")
    with BoundedLog(path, output.note) as log:
        log.write(run.output.encode())
    seen.test_run = run = replace(run, log_path=path)
    lines = dict.fromkeys(text for _, text in exports.values())
    if lines and run.exit_code is not None and run.duration <= _LONGEST_REPEATED:
        first = "\n".join([*lines, command])
        with output.step("running the tests again, with what setup exports"):
            seen.with_exports = _run(workspace, first, seen)


def _run(workspace: Workspace, command: str, seen: Observation) -> TestRun:
    try:
        result = workspace.exec(f"{command}\n", timeout=seen.time_limit)
    except ExecTimeout as error:
        result = error.result
        return TestRun(command, None, result.duration, _end(result, seen), error.waits)
    return TestRun(
        command,
        result.exit_code,
        result.duration,
        _end(result, seen),
        out_of_memory=result.out_of_memory,
    )


def _end(result: ExecResult, seen: Observation) -> str:
    """
    Return the end of the output, the stream last whose last line says most.
    """
    streams = [result.stderr, result.stdout]
    if result.exit_code in (126, 127):
        streams.reverse()
    return "\n".join(seen.redact(one)[-_OUTPUT:] for one in streams if one.strip())


def exported_by(script: str) -> dict[str, tuple[int, str]]:
    """
    Return what a script gives to the rest of its shell, at its top level: by name, the line and its
    text. The name is that of a variable, or of a file that is sourced; of a virtual environment it
    is `VIRTUAL_ENV`. Variables for installers are left out: tests do not read them.
    """
    found: dict[str, tuple[int, str]] = {}
    lines = script.splitlines()
    for command in _top_level(script):
        words = command.plain
        text = lines[command.line - 1].strip() if command.line <= len(lines) else ""
        if words[:1] in (["source"], ["."]) and len(words) > 1:
            name = "VIRTUAL_ENV" if words[1].endswith("/activate") else words[1]
            found[name or "a file"] = command.line, text
        elif words[:1] == ["eval"] or words[:2] in (["set", "-a"], ["set", "+a"]):
            found[text] = command.line, text
        elif (words[:1] == ["export"] and "-n" not in words) or words[:2] == ["declare", "-x"]:
            for word in words[1:]:
                name = word.partition("=")[0]
                if _is_name(name) and not name.startswith(_OF_INSTALLERS):
                    found[name] = command.line, text
    return found


def _is_name(word: str) -> bool:
    return word.isidentifier() and word.isascii()


def _top_level(script: str) -> Iterator[ShellCommand]:
    for pipeline in parse_script(script):
        if len(pipeline.commands) == 1 and not pipeline.commands[0].is_group:
            yield pipeline.commands[0]


def _look_for_exports(workspace: Workspace, seen: Observation) -> None:
    """
    Find out which variables are not there in the agent phase, and which the project's files name.
    """
    there = _variables(workspace)
    missing = [
        name
        for name in seen.exports
        if _is_name(name)
        and (name not in there or (name == "PATH" and there[name] == _plain_path(workspace)))
    ]
    seen.missing = missing
    if missing:
        asked = [part for name in missing for part in ("-e", name)]
        found = workspace.exec(
            ["git", "grep", "-I", "-h", "-w", "-o", *asked, "--", *_NOT_CODE],
            timeout=_SECONDS,
        )
        words = set(found.stdout.split())
        seen.used = [name for name in missing if name in words]


def _variables(workspace: Workspace) -> dict[str, str]:
    said = workspace.exec("env -0", timeout=_SECONDS).stdout
    return dict(one.partition("=")[::2] for one in said.split("\0") if "=" in one)


def _plain_path(workspace: Workspace) -> str:
    """
    Return the PATH of a login shell without the files of the user.
    """
    shell = "HOME=/nonexistent bash -lc 'echo \"$PATH\"'"
    plain = workspace.exec(["bash", "-c", shell], timeout=_SECONDS).stdout.strip()
    return plain.replace("/nonexistent/", "/root/")


def _only_in_login_shell(workspace: Workspace, command: str) -> list[str]:
    names = dict.fromkeys(one.name for one in _top_level(command) if one.name)
    look = 'for name; do type -P "$name" >/dev/null && echo "$name"; done; true'
    found = [
        workspace.exec(["bash", option, look, "bash", *names], timeout=_SECONDS).stdout.split()
        for option in ("-lc", "-c")
    ]
    return [name for name in found[0] if name not in found[1]]


def _with_late_servers(channel: Channel, spec: WorkspaceSpec, run: ScriptRun) -> Left:
    """
    Return what a run left. A server that the script has just started is given a moment to listen.
    """
    left = Left(run.daemons, run.ports)
    for _ in range(_MORE_LOOKS):
        if not left.daemons or left.has_servers:
            break
        clock.sleep(_BETWEEN_LOOKS)
        left = list_daemons(channel, spec.secrets.redaction)
    return left


@contextmanager
def _not_known() -> Iterator[None]:
    """
    Go on behind this block if a script has changed the workspace so that it cannot be asked, but
    not if the workspace is gone.
    """
    try:
        yield
    except WorkspaceLost:
        raise
    except (ExecTimeout, OSError):
        pass


def _look(channel: Channel, *words: str) -> dict[str, Any]:
    """
    Return what the program inside says. What it cannot say, because a script has replaced the
    workspace's Python, is not known.
    """
    with _not_known(), suppress(ValueError, RecursionError):
        program = resources.files("pytest_codex_workspace.in_container") / "compare_files.py"
        argv = ["python3", "-I", "-c", program.read_text("utf-8"), *words]
        result = channel.run(argv, cwd="/", timeout=_SECONDS, limit=_ANSWER)
        found = json.loads(result.stdout)
        if isinstance(found, dict):
            return found
    return {}


def _pairs(values: object) -> list[tuple[str, str]]:
    listed = values[:_PATHS] if isinstance(values, list) else []
    found = [one for one in listed if isinstance(one, list) and len(one) == 2]
    return [(str(one[0])[:_WORD], str(one[1])[:_WORD]) for one in found]


def _status(channel: Channel, spec: WorkspaceSpec) -> dict[str, str]:
    """
    Return what git says of the files of the project, by path.
    """
    with _not_known():
        said = channel.run(_STATUS, cwd=spec.project, timeout=_SECONDS, limit=_ANSWER)
        return _parse_status(said.stdout) if said.ok else {}
    return {}


def _parse_status(said: str) -> dict[str, str]:
    found: dict[str, str] = {}
    parts = iter(said.split("\0"))
    for part in parts:
        if len(found) >= _PATHS:
            break
        if len(part) > 3:
            found[part[3:]] = part[:2]
            if part[0] in "RC":
                next(parts, None)
    return found


def _requests(session: Session, running: Running) -> list[Request]:
    try:
        return session.launcher.requests(running)
    except CodexWorkspaceError as error:
        session.output.note(f"warning: what was requested is not known: {error.message}")
        return []


def _script(
    channel: Channel, spec: WorkspaceSpec, phase: Phase, path: str, seen: Observation
) -> str:
    """
    Return the text of a script, and note what it is called if it is not in the repository.
    """
    script = spec.script(phase)
    if script is None:
        return ""
    if script.name != path:
        seen.names = {**seen.names, path: script.name}
    if script.text is not None:
        return script.text.text.decode("utf-8", "replace")
    return _text(channel, f"{spec.project}/{path}")


def _text(channel: Channel, path: str) -> str:
    try:
        return channel.read_file(path, limit=_SCRIPT_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""
