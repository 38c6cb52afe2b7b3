"""Running a repository's setup scripts, as Codex runs them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from .channel import Channel
from .codex import RESUME, SETUP
from .errors import SetupError, WorkspaceLost
from .network.request import Request
from .secret import NO_SECRETS, Secrets

__all__ = ["RESUME", "RUN", "SETUP", "ScriptRun", "run_script"]

_OUTPUT_LIMIT = 1024 * 1024
_TAIL_LINES = 25
_REQUESTS = 1000
_LOG_AGE = 7 * 24 * 3600.0
_LINE_LIMIT = 4096
_LINES_A_SECOND = 500

# Codex runs the text of a script in a login shell, so neither its run bit nor
# its first line matters. Carriage returns are left behind in a copy beside it,
# so that what the script finds relative to itself is still there.
RUN = r"""exec 2>&1
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
    A script that succeeded: its output (the last MiB), its duration in
    seconds, what it requested, and the log of a run on this machine.
    """

    output: str
    duration: float
    requests: tuple[Request, ...] = ()
    log_path: Path | None = None

    def to_json(self) -> str:
        """
        The run as text, to travel inside the image it led to.
        """
        kept = [asdict(request) for request in self.requests[:_REQUESTS]]
        return json.dumps({"output": self.output, "duration": self.duration, "requests": kept})

    @classmethod
    def from_json(cls, text: str) -> ScriptRun:
        """
        The run that `to_json` wrote.

        Raises:
            ValueError: *text* is something else.
        """
        try:
            values = json.loads(text)
            return cls(
                output=str(values["output"]),
                duration=float(values["duration"]),
                requests=tuple(Request(**request) for request in values["requests"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not the record of a script's run: {error}") from None


def run_script(
    channel: Channel,
    script: str,
    *,
    project: str,
    timeout: float,
    log_path: Path,
    show: Callable[[str], None],
    secrets: Secrets = NO_SECRETS,
) -> ScriptRun:
    """
    Run *script* in the project directory with a bash login shell.

    Args:
        channel: the workspace to run it in.
        script: path in the repository.
        project: the project directory.
        timeout: limit in seconds.
        log_path: file that gets everything the script prints.
        show: gets each line as it comes.
        secrets: further variables of the script; their values are in nothing
            that is shown, logged or returned.

    Raises:
        SetupError: the script failed or ran longer than *timeout*.
        SecretError: a secret is not set.
        WorkspaceLost: the workspace ended under it.
    """
    started = time.monotonic()
    expired = threading.Event()
    kept = bytearray()
    shown = _Shown(show, log_path)
    env = secrets.values
    hidden = secrets.redaction.stream()
    process = channel.start(["bash", "-c", RUN, "bash", script], cwd=project, env=env)

    def expire() -> None:
        expired.set()
        process.kill()

    timer = threading.Timer(timeout, expire)
    timer.daemon = True
    timer.start()
    try:
        with _Log(log_path, show) as log:

            def take(piece: bytes) -> None:
                log.write(piece)
                kept.extend(piece)
                del kept[: max(0, len(kept) - _OUTPUT_LIMIT)]
                shown.feed(piece)

            while piece := process.stdout.piece():
                take(hidden.feed(piece))
            take(hidden.end())
        shown.end()
        code = process.wait().exit_code
    except WorkspaceLost as error:
        # Its text has what the agent said last, and a script can write there.
        raise WorkspaceLost(secrets.redaction.text(str(error))) from None
    except BaseException:
        process.kill()
        raise
    finally:
        timer.cancel()
    duration = time.monotonic() - started
    output = kept.decode("utf-8", "replace")
    if code == 0 and not expired.is_set():
        return ScriptRun(output, duration, log_path=log_path)
    tail = "".join(output.splitlines(keepends=True)[-_TAIL_LINES:])
    what = (
        f"ran longer than {timeout:g} s and was ended (--codex-setup-timeout sets the limit)"
        if expired.is_set()
        else f"exited with {code} after {duration:.1f} s"
    )
    raise SetupError(
        f"{script} {what}.\nIts last lines:\n{_indented(tail)}\nEverything it printed: {log_path}\n"
        "The cache is as it was. Mend the script, commit it (a workspace holds only what is "
        "committed) and run again.",
        script=script,
        exit_code=code,
        log_path=log_path,
        tail=tail,
    )


class _Log:
    """
    A file that gets everything, and does without if there is no room for it.
    """

    def __init__(self, path: Path, show: Callable[[str], None]) -> None:
        self._path = path
        self._show = show
        self._file: BinaryIO | None = None

    def __enter__(self) -> _Log:
        with self._without():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _prune(self._path.parent)
            self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, piece: bytes) -> None:
        with self._without():
            if self._file is not None:
                self._file.write(piece)

    @contextmanager
    def _without(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._show(f"... from here on nothing is logged: {self._path}: {error.strerror}")
            if self._file is not None:
                self._file.close()
            self._file = None


def _prune(directory: Path) -> None:
    for path in directory.glob("*.log"):
        # Another process may be pruning, too.
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _LOG_AGE:
                path.unlink()


class _Shown:
    """
    Cuts output into lines to show. A script that prints faster than anybody
    reads is not shown whole; its log is.
    """

    def __init__(self, show: Callable[[str], None], log_path: Path) -> None:
        self._show = show
        self._log_path = log_path
        self._rest = b""
        self._second = 0.0
        self._room = 0
        self._skipped = 0

    def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._rest = self._rest[-_LINE_LIMIT:]
        if time.monotonic() - self._second > 1:
            self._tell_skipped()
            self._second, self._room = time.monotonic(), _LINES_A_SECOND
        for line in lines[: self._room]:
            self._show(line[:_LINE_LIMIT].decode("utf-8", "replace").rstrip("\r"))
        self._skipped += max(0, len(lines) - self._room)
        self._room = max(0, self._room - len(lines))

    def end(self) -> None:
        self._tell_skipped()
        if self._rest:
            self._show(self._rest.decode("utf-8", "replace"))

    def _tell_skipped(self) -> None:
        if self._skipped:
            self._show(f"... {self._skipped} lines are not shown; {self._log_path} has them")
        self._skipped = 0


def _indented(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines()) or "  | (nothing)"
