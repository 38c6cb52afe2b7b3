"""Running a repository's setup scripts, as Codex runs them."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from .channel import Channel
from .errors import SetupError
from .network.log import Request

__all__ = ["RESUME", "SETUP", "ScriptRun", "run_script"]

SETUP = "codex-workspace-scripts/setup-script.sh"
RESUME = "codex-workspace-scripts/setup-from-cache-script.sh"

_OUTPUT_LIMIT = 1024 * 1024
_TAIL_LINES = 25
_REQUESTS = 1000

# Codex runs the text of a script in a login shell, so neither its run bit nor
# its first line matters. Carriage returns are left behind in a copy beside it,
# so that what the script finds relative to itself is still there.
_RUN = r"""exec 2>&1
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
    seconds, and what it requested.
    """

    output: str
    duration: float
    requests: tuple[Request, ...] = ()

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
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the record of a script's run: {error}") from None


def run_script(
    channel: Channel,
    script: str,
    *,
    project: str,
    timeout: float,
    log_path: Path,
    show: Callable[[str], None],
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

    Raises:
        SetupError: the script failed or ran longer than *timeout*.
        WorkspaceLost: the workspace ended under it.
    """
    started = time.monotonic()
    expired = threading.Event()
    kept: deque[str] = deque()
    size = 0
    process = channel.start(["bash", "-c", _RUN, "bash", script], cwd=project)

    def expire() -> None:
        expired.set()
        process.kill()

    timer = threading.Timer(timeout, expire)
    timer.daemon = True
    timer.start()
    try:
        log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log_path.open("w", encoding="utf-8") as log:
            for line in process.stdout:
                log.write(line)
                show(line.rstrip("\r\n"))
                kept.append(line)
                size += len(line)
                while size > _OUTPUT_LIMIT and len(kept) > 1:
                    size -= len(kept.popleft())
        code = process.wait().exit_code
    except BaseException:
        process.kill()
        raise
    finally:
        timer.cancel()
    duration = time.monotonic() - started
    output = "".join(kept)
    if code == 0 and not expired.is_set():
        return ScriptRun(output, duration)
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


def _indented(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines()) or "  | (nothing)"
