"""Running setup scripts, as Codex runs the texts of its settings."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..codex import INSIDE
from ..errors import CodexWorkspaceError, ExecTimeout, SetupError, WorkspaceLost
from ..host.bounded_log import BoundedLog
from ..host.dirs import cache_dir
from ..network.matching import Phase
from ..network.problems import describe_problems, is_problem, list_problems, problems_of
from ..network.rules.request import Request
from ..options.config import Config
from ..reporting.output import Output
from ..secrets.search import NOTHING_FOUND, Search, search_workspace
from ..secrets.secrets import NO_SECRETS, Secrets
from ..services.daemons import daemon_warnings, list_daemons, without_services
from ..text.option_names import spell_option
from ..text.phrases import counted, cut_middle, first_of
from ..text.questions import NOBODY_ANSWERS, question_in
from ..unpatched import clock
from ..workspace.channel import Channel
from ..workspace.handle import Daemon
from ..workspace.launcher import Launcher, Running
from ..workspace.result import out_of_memory
from .failed_command import LastFailure, advice_on
from .spec import SetupScript, WorkspaceSpec

__all__ = ["RUN", "ScriptRun", "ScriptRunner", "log_path_of", "run_script"]

_STORED_IN = "/tmp"  # noqa: S108 -- of the workspace
_OUTPUT_LIMIT = 1024 * 1024
_TAIL_LINES = 25
_WIDTH = 200
_ERROR_LINES = 26
"""Lines of an error, which is shown with some more around it, and fits a screen."""

_LEAST_OUTPUT = 4
"""Lines of output that are shown however much went wrong on the network."""

_PROBLEMS = 5
_PROBLEM_LINES = 14
"""Lines about the network in an error; the end of the script's output needs the others."""

_REQUESTS = 500
_LEFT = 5
"""Places of secrets that a warning names."""

_LINE_LIMIT = 4096
_LINES_A_SECOND = 500
_IDLE = 60.0
_UNFINISHED = 2.0
"""Seconds after which a line is shown although it has not ended, as that of a question."""

_TICK = 0.5
_KILL_PATIENCE = 5.0
"""Seconds until the end of a killed script is not waited for any more."""

_LINES = 20_000
"""Lines that are shown of one run."""


# Codex runs the text of a script in a login shell, so neither its run bit nor
# its first line matters. Carriage returns are left behind in a copy beside it,
# so that what the script finds relative to itself is still there. Nobody answers
# what it asks, so its input has ended.
RUN = r"""exec 2>&1 </dev/null
[ -z "${2-}" ] || [ -n "${BASH_ENV-}" ] || export BASH_ENV=$2
if grep -q $'\r$' "$1"; then
  copy=${1%/*}/.${1##*/}.lf
  trap 'rm -f "$copy"' EXIT
  sed 's/\r$//' "$1" >"$copy"
  bash --login "$copy"
else
  exec bash --login "$1"
fi
"""


@dataclass(frozen=True, slots=True)
class ScriptRun:
    """
    A run of a script that succeeded.

    Attributes:
        output: what the script printed, the last MiB.
        duration: seconds.
        requests: what it requested.
        log_path: everything that it printed, if it ran on this machine.
        daemons: what was alive when it ended, servers first.
        ports: further ports on which somebody listened then.
        secrets: where it left secrets on the disk.
    """

    output: str
    duration: float
    requests: tuple[Request, ...] = ()
    log_path: Path | None = None
    daemons: tuple[Daemon, ...] = ()
    ports: tuple[int, ...] = ()
    secrets: Search = NOTHING_FOUND


class ScriptRunner:
    """
    Runs the scripts of a specification.

    Args:
        launcher: knows what a container has requested.
        config: the time limit.
        output: shows what scripts print.
    """

    def __init__(self, launcher: Launcher, config: Config, output: Output) -> None:
        self._launcher = launcher
        self._config = config
        self._output = output

    def run(
        self, running: Running, phase: Phase, spec: WorkspaceSpec, *, again: bool = False
    ) -> ScriptRun:
        """
        Run the script of *phase*: `setup` or `resume`.

        Args:
            running: the workspace.
            phase: the phase.
            spec: has the script.
            again: whether it has run there before, so that what it leaves is known.

        Raises:
            SetupError: the script failed.
            SecretError: a secret that it needs is not set.
        """
        script, started = spec.script(phase), clock.monotonic()
        assert script is not None  # noqa: S101 -- who runs a script knows that there is one
        if spec.secrets.names:
            self._output.note(f"{script.name} gets the secrets {', '.join(spec.secrets.names)}")
        with self._output.step(f"running {script.name}") as step:

            def latest(line: str) -> None:
                step.latest = line

            try:
                run = run_script(
                    running.channel,
                    script,
                    project=spec.project,
                    timeout=self._config.setup_timeout,
                    log_path=log_path_of(spec, f"{running.container[:12]}-{phase}"),
                    show=self._output.script,
                    latest=latest,
                    secrets=spec.secrets,
                    requests=lambda: self._requests(running, phase),
                )
            except SetupError as error:
                error.shown = error.shown and self._output.mode != "quiet"
                raise
        if again:
            return run
        run = self._with_daemons(running, script.name, phase, run, spec)
        search = self._search_left(running.channel, script.name, spec, started)
        return replace(run, secrets=search)

    def _with_daemons(
        self, running: Running, script: str, phase: Phase, run: ScriptRun, spec: WorkspaceSpec
    ) -> ScriptRun:
        """
        Return *run* with what it left running, and warn of servers that tests will miss.
        """
        left = list_daemons(running.channel, spec.secrets.redaction)
        servers = without_services(left.daemons, spec.services)
        resume = phase == "resume"
        for warning in daemon_warnings(script, left.daemons, servers, resume=resume):
            self._output.note(f"warning: {warning}")
        return replace(run, daemons=left.daemons, ports=left.ports)

    def _search_left(
        self, channel: Channel, script: str, spec: WorkspaceSpec, started: float
    ) -> Search:
        """
        Return which secrets a script has left on the disk since it *started*, and warn of them:
        images are copied and shared.
        """
        if not spec.secrets.names:
            return NOTHING_FOUND

        def run(argv: list[str], data: bytes, timeout: float) -> bytes:
            return channel.run(argv, cwd="/", input=data, timeout=timeout).stdout_bytes

        try:
            with self._output.step(f"searching for secrets that {script} left", announced=False):
                search = search_workspace(run, spec.secrets, clock.monotonic() - started)
        except (ExecTimeout, OSError) as error:
            if isinstance(error, WorkspaceLost):
                raise
            search = Search(incomplete=str(error).splitlines()[0])
        if search.found:
            places = first_of([str(one) for one in search.found], _LEFT)
            self._output.note(
                f"warning: {script} left secrets on the disk, and so in the cached image and its "
                f"copies: {places}; let the script remove them at its end"
            )
        if search.incomplete:
            self._output.note(
                f"warning: whether {script} left secrets on the disk is not known: "
                f"{search.incomplete}"
            )
        return search

    def _requests(self, running: Running, phase: Phase) -> list[Request]:
        return [one for one in self._launcher.requests(running) if one.phase == phase]


def log_path_of(spec: WorkspaceSpec, what: str) -> Path:
    """
    Return the path of a log file on this machine.
    """
    return cache_dir() / "logs" / f"{spec.snapshot.name}-{what}.log"


@contextmanager
def _lost_with(script: str, secrets: Secrets) -> Iterator[None]:
    """
    Let the error of a lost workspace say what ran. Remove secrets from it: its text has the last
    output of the agent, and a script can write there.
    """
    try:
        yield
    except WorkspaceLost as error:
        text = secrets.redaction.text(str(error))
        raise WorkspaceLost(f"{script} was running: {text}") from None


def run_script(
    channel: Channel,
    script: SetupScript,
    *,
    project: str,
    timeout: float,
    log_path: Path,
    show: Callable[[str], None],
    latest: Callable[[str], object] = lambda _: None,
    secrets: Secrets = NO_SECRETS,
    requests: Callable[[], Sequence[Request]] = tuple,
    inside: str = INSIDE,
) -> ScriptRun:
    """
    Run *script* in the project directory with a bash login shell.

    Args:
        channel: the workspace to run it in.
        script: the script.
        project: the project directory.
        timeout: limit in seconds.
        log_path: file for everything that the script prints.
        show: called with each line as it comes.
        latest: called with the last line, also while it has no end, as that of a progress bar.
        secrets: further variables of the script; their values are removed from
            what is shown, logged and returned.
        requests: returns what the script has requested.
        inside: a directory of the workspace for files of ours.

    Raises:
        SetupError: the script failed or ran longer than *timeout*.
        SecretError: a secret is not set.
        WorkspaceLost: the workspace ended while the script ran.
    """
    started = clock.monotonic()
    expired, over = threading.Event(), threading.Event()
    waited: list[str] = []
    kept = bytearray()
    shown = _Shown(show, log_path, latest)
    env = secrets.values
    hidden = secrets.redaction.stream()
    name = script.name
    with _lost_with(name, secrets):
        path = _store(channel, script)
        last_failure = LastFailure(channel, inside, secrets.redaction.text)
        last_failure.prepare()
        argv = ["bash", "-c", RUN, "bash", path, last_failure.bash_env]
        process = channel.start(argv, cwd=project, env=env, stdin=False)

    def expire() -> None:
        expired.set()
        with suppress(OSError):
            waited.append(channel.inspect(process.pid)[0])
            process.kill()
            if not over.wait(_KILL_PATIENCE):
                process.abandon()

    timer = threading.Timer(timeout, expire)
    timer.daemon = True
    timer.start()
    idle = _Idle(
        channel, process.pid, lambda text: show(secrets.redaction.text(text)), shown.unfinished
    )
    idle.start()
    try:
        with _lost_with(name, secrets):
            with BoundedLog(log_path, show) as log:

                def take(piece: bytes) -> None:
                    idle.printed()
                    log.write(piece)
                    kept.extend(piece)
                    del kept[: max(0, len(kept) - _OUTPUT_LIMIT)]
                    shown.feed(piece)

                while piece := process.stdout.piece():
                    take(hidden.feed(piece))
                take(hidden.end())
            shown.end()
            ended = process.wait()
            code = ended.exit_code
    except WorkspaceLost:
        raise
    except BaseException:
        process.kill()
        raise
    finally:
        over.set()
        timer.cancel()
        idle.end()
    duration = clock.monotonic() - started
    output = kept.decode("utf-8", "replace")
    where = last_failure.take(code, project)
    if code == 0 and not expired.is_set():
        return ScriptRun(output, duration, tuple(requests()), log_path=log_path)
    what = (
        f"ran longer than {timeout:g} s and was killed ({spell_option('setup-timeout')} sets the "
        "limit)"
        if expired.is_set()
        else f"exited with {code} after {duration:.1f} s" + (f", at {where}" if where else "")
    )
    if ended.out_of_memory:
        what += f": {out_of_memory()}"
    waits = secrets.redaction.text("".join(waited))
    if waits:
        what += f"; it seemed to wait for input: {waits}"
    raise _failure(
        name,
        what,
        output,
        exit_code=None if expired.is_set() else code,
        waits=waits,
        out_of_memory=ended.out_of_memory,
        where=where,
        log_path=log_path,
        requests=requests,
        show=show,
        shown=not shown.missed,
    )


def _store(channel: Channel, script: SetupScript) -> str:
    """
    Return the path at which bash reads a script, once it is there.

    Codex stores the text of its settings in a file of its own. There, six characters are random;
    here, they depend on the text, so that equal scripts leave equal workspaces.
    """
    if script.text is None:
        return script.name
    text = script.text.text
    path = f"{_STORED_IN}/{hashlib.sha256(text).hexdigest()[:6]}-{script.stored_as}"
    # What is there, such as a link, may be of an earlier script.
    with suppress(OSError):
        channel.unlink(path)
    channel.write_file(path, text)
    return path


def _failure(
    script: str,
    what: str,
    output: str,
    *,
    exit_code: int | None,
    waits: str,
    out_of_memory: bool,
    where: str,
    log_path: Path,
    requests: Callable[[], Sequence[Request]],
    show: Callable[[str], None],
    shown: bool,
) -> SetupError:
    """
    Return the error for a script that failed, and show its reason behind the script's output.

    Args:
        script: its name.
        what: how it ended.
        output: what it printed.
        exit_code: its exit code; `None` if it was killed at the time limit.
        waits: what it seemed to wait for then.
        out_of_memory: whether the engine killed a process for its memory.
        where: line and command at which it ended; empty if it is not known.
        log_path: file with everything that it printed.
        requests: returns what it has requested.
        show: called with each line.
        shown: whether all of its output was shown.
    """
    tail = "".join(output.splitlines(keepends=True)[-_TAIL_LINES:])
    advice = advice_on(tail)
    wrong, refused, passed = _network_problems(requests)
    # Beside the output, as its reader looks for the reason there. The error has what to do.
    seen = list_problems(problems_of(refused), shown=_PROBLEMS)
    for line in [f"it {what}", *advice, *seen]:
        show(line if line.startswith("... ") else f"... {line}")
    # Behind a full stop, the command would seem to end with it.
    stop = "" if where and exit_code is not None else "."
    happened = [f"{script} {what}{stop}", *advice, *wrong]
    todo = [
        f"Full log: {log_path}",
        "The cache was not changed. Fix the script, commit it (a workspace contains only what is "
        "committed) and run again.",
    ]
    room = max(_LEAST_OUTPUT, _ERROR_LINES - len(happened) - len(todo) - 1)
    return SetupError(
        "\n".join([*happened, "Last lines of its output:", *_indented(tail, room), *todo]),
        script=script,
        exit_code=exit_code,
        log_path=log_path,
        tail=tail,
        without_tail="\n".join([*happened, *todo]),
        shown=shown,
        where=where,
        requests=refused,
        passed=passed,
        timed_out=exit_code is None,
        waits=waits,
        out_of_memory=out_of_memory,
    )


def _network_problems(
    requests: Callable[[], Sequence[Request]],
) -> tuple[list[str], tuple[Request, ...], tuple[Request, ...]]:
    """
    Return what went wrong on the network while a script ran, as lines and as the last
    requests that had no good end; and of the others, the first of each kind.
    """
    try:
        found = list(requests())
    except CodexWorkspaceError as error:
        return [f"what it requested is not known: {error.message}"], (), ()
    wrong = [one for one in found if is_problem(one)]
    kinds: dict[tuple[object, ...], Request] = {}
    for one in found:
        if not is_problem(one) and len(kinds) < _REQUESTS:
            kinds.setdefault((one.method, one.scheme, one.host, one.port), one)
    passed = tuple(kinds.values())
    if not wrong:
        return [], (), passed
    problems = problems_of(wrong)
    for shown in range(_PROBLEMS, 0, -1):
        lines = describe_problems(problems, shown=shown)
        if len(lines) <= _PROBLEM_LINES:
            break
    title = "this went wrong on the network while it ran:"
    return [title, *(f"  {line}" for line in lines)], tuple(wrong[-_REQUESTS:]), passed


class _Idle:
    """
    Tells when a script prints nothing and uses no processor time, and shows a line without an end.
    """

    def __init__(
        self,
        channel: Channel,
        pid: int,
        show: Callable[[str], None],
        unfinished: Callable[[], str],
    ) -> None:
        self._channel = channel
        self._unfinished = unfinished
        self._pid = pid
        self._show = show
        self._over = threading.Event()
        self._printed = clock.monotonic()
        self._thread = threading.Thread(
            target=self._watch, name="codex-workspace-idle", daemon=True
        )

    def start(self) -> None:
        """
        Start to watch the script.
        """
        self._thread.start()

    def printed(self) -> None:
        """
        Note that the script has printed something.
        """
        self._printed = clock.monotonic()

    def end(self) -> None:
        """
        Stop watching, without waiting for an answer of the workspace.
        """
        self._over.set()

    def _watch(self) -> None:
        told, before, looked = 0.0, -1, clock.monotonic()
        with suppress(OSError, ValueError):
            while not self._over.wait(min(_TICK, _UNFINISHED, _IDLE / 2)):
                quiet = clock.monotonic() - self._printed
                if quiet >= _UNFINISHED and question_in(self._unfinished()):
                    self._show(f"... it seems to wait for an answer, and {NOBODY_ANSWERS}")
                if clock.monotonic() - looked < _IDLE / 2:
                    continue
                looked = clock.monotonic()
                if quiet < _IDLE / 2 or told == self._printed:
                    before = -1
                    continue
                waits, ticks = self._channel.inspect(self._pid)
                if ticks == before and quiet >= _IDLE and not self._over.is_set():
                    told = self._printed
                    self._show(_idle(quiet, waits))
                before = ticks


def _idle(seconds: float, waits: str) -> str:
    reason = f"it seems to wait for input: {waits}" if waits else "it seems to wait"
    return f"... no output and no processor time for {seconds:.0f} s: {reason}"


class _Shown:
    """
    Cuts output into lines and shows them, up to a limit a second and a limit for a
    script. The log has more of them.
    """

    def __init__(
        self, show: Callable[[str], None], log_path: Path, latest: Callable[[str], object]
    ) -> None:
        self._show = show
        self._latest = latest
        self._log_path = log_path
        self._rest = b""
        self._second = 0.0
        self._left = 0
        self._total = _LINES
        self._skipped = 0
        self.missed = False
        """Whether lines were left out."""
        self._lock = threading.Lock()

    def feed(self, piece: bytes) -> None:
        """
        Take output, and show its complete lines.
        """
        with self._lock:
            self._feed(piece)

    def unfinished(self) -> str:
        """
        Show the last line, which has no end yet, and return it; what follows is shown as another.
        """
        with self._lock:
            text = self._rest.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
            if text.strip() and self._total > 0:
                self._rest = b""
                self._total -= 1
                self._show(text)
                return text
            return ""

    def _feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._rest = self._rest[-_LINE_LIMIT:]
        if clock.monotonic() - self._second > 1:
            self._show_skipped()
            self._second, self._left = clock.monotonic(), _LINES_A_SECOND
        # Where output goes to a file, it must not fill the disk either.
        self._left = min(self._left, self._total)
        for line in lines[: self._left]:
            self._show(line[:_LINE_LIMIT].decode("utf-8", "replace").rstrip("\r"))
        self._skipped += max(0, len(lines) - self._left)
        self._total -= min(self._left, len(lines))
        self._left = max(0, self._left - len(lines))
        last = self._rest.rstrip(b"\r").rpartition(b"\r")[2].strip()
        last = last or next((one for one in reversed(lines[-_TAIL_LINES:]) if one.strip()), b"")
        if last:
            self._latest(last[:_LINE_LIMIT].decode("utf-8", "replace"))

    def end(self) -> None:
        """
        Show what is left.
        """
        self._show_skipped()
        if self._rest:
            self._show(self._rest.decode("utf-8", "replace"))

    def _show_skipped(self) -> None:
        if self._skipped:
            self.missed = True
            skipped = counted(self._skipped, "line")
            self._show(f"... {skipped} not shown; the full log is {self._log_path}")
        self._skipped = 0


def _indented(text: str, room: int) -> list[str]:
    lines = text.splitlines()[-room:]
    return [f"  | {cut_middle(line, _WIDTH)}" for line in lines] or ["  | (nothing)"]
