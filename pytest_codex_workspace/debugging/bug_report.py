"""An archive of what somebody needs who looks into a bug: no secrets, nothing of a repository."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import ConfigError, PolicyError
from ..options.config import Config
from ..secrets.redaction import Redaction
from ..text.credentials import mask_credentials
from ..unpatched import clock
from .debug_file import LIMIT, is_debug_log
from .facts import doctor_results, engine_facts, resolved_options, secrets_of, versions

__all__ = ["logs_beside", "write_bug_report"]

_MOST_LOGS = 16
"""Logs of workers that are packed, besides the one that is named."""

_README = """\
A bug report of codex-workspace.

  versions.json   this package, Python, pytest, the system, the container engine
  doctor.json     what `codex-workspace doctor` finds on this machine
  options.json    the options: of variables and scripts, only their names
  *.log           the debug log of a run, and those of its workers

Look through all of it before you send it to anybody. Values of secrets that are
known, and what has the form of a credential, were removed. What is left has
paths of this machine, names of repositories, branches and hosts. It has no file
of a repository, and no environment.
"""


def write_bug_report(
    path: Path,
    config: Config,
    logs: list[Path],
    problem: ConfigError | PolicyError | None = None,
) -> dict[str, int]:
    """
    Write the archive, and return the size of each file in it by name.

    Args:
        path: the archive, which must not exist.
        config: the options.
        logs: the debug logs.
        problem: the error in the options, if there is one.

    Raises:
        ConfigError: the archive cannot be written, or a file is not a debug log.
    """
    for log in logs:
        _check_log(log)
    secrets = secrets_of(os.environ, config)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", remedy="Give another file with -o."
        ) from None
    try:
        with os.fdopen(file, "wb") as target, tarfile.open(fileobj=target, mode="w:gz") as archive:
            return {
                name: _add(archive, name, secrets, text)
                for name, text in _files(config, logs, problem)
            }
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def logs_beside(log: Path) -> list[Path]:
    """
    Return a debug log, and those that other processes of its run have written beside it.

    Raises:
        ConfigError: *log* is not a debug log.
    """
    _check_log(log)
    found = [log]
    with suppress(OSError):
        beside = [one for one in log.parent.iterdir() if one.name.startswith(f"{log.name}.")]
        for one in sorted(beside):
            with suppress(OSError):
                if one.stat().st_mtime >= _began(log) and is_debug_log(one):
                    found.append(one)
    return found[: 1 + _MOST_LOGS]


def _began(log: Path) -> float:
    """
    Return when the run of a debug log began: what is older is of another run.
    """
    with log.open("rb") as file:
        found = re.search(rb"^began: .* \((\d+)\)$", file.read(4096), re.MULTILINE)
    return float(found[1]) if found else 0.0


def _check_log(log: Path) -> None:
    try:
        if is_debug_log(log):
            return
    except OSError as error:
        raise ConfigError(
            f"the debug log {log} cannot be read: {error.strerror}",
            remedy="Run again with CODEX_WORKSPACE_DEBUG=FILE, or name a log with --log.",
        ) from None
    raise ConfigError(
        f"{log} is not a debug log, so it is not packed",
        remedy="Name the file that the run was given for its debug log.",
    )


def _files(
    config: Config, logs: list[Path], problem: ConfigError | PolicyError | None
) -> Iterator[tuple[str, str]]:
    yield "README.txt", _README
    yield "versions.json", _json({**versions(), "engine": engine_facts(config.engine)})
    yield "doctor.json", _json([one.to_dict() for one in doctor_results(config, problem)])
    yield "options.json", _json(resolved_options(config) | {"problem": problem and str(problem)})
    for log in logs:
        with log.open("rb") as file:
            yield log.name, file.read(2 * LIMIT).decode("utf-8", "replace")


def _add(archive: tarfile.TarFile, name: str, secrets: Redaction, text: str) -> int:
    # Again: what is secret now may not have been when a log was written.
    data = mask_credentials(secrets.text(text)).encode("utf-8", "backslashreplace")
    member = tarfile.TarInfo(f"codex-workspace-bug-report/{name}")
    member.size, member.mode, member.mtime = len(data), 0o600, int(clock.wall_time())
    archive.addfile(member, io.BytesIO(data))
    return len(data)


def _json(value: Mapping[str, Any] | list[Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=True, default=str) + "\n"
