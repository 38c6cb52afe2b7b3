"""The command `codex-workspace`."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .config import OPTIONS, Config, ConfigError
from .errors import CodexWorkspaceError, SetupError

if TYPE_CHECKING:
    from .session import Session

__all__ = ["main"]

_RUN_OPTIONS = (
    "rev",
    "image",
    "env",
    "cache",
    "network",
    "network-setup",
    "cassette",
    "engine",
    "output",
    "setup-timeout",
    "upstream-proxy",
)

_RUN = """\
Bring a repository up as Codex would: build the workspace image if it is
missing, start the proxy, project the commit, run
codex-workspace-scripts/setup-script.sh, keep the result as an image, start a
second workspace from it and run setup-from-cache-script.sh there.

The exit code is that of the script that failed, 0 if all went well, 2 if
something else is wrong.
"""

_LIST = """\
Print each exchange of a cassette: phase, status, method, URL and day.
"""

_REFRESH = """\
Bring the repository up and record what its scripts request, in place of what
they requested when the cassette was made. What tests request is recorded
again by: pytest --codex-cassette=record
"""

_PRUNE = """\
Remove the exchanges that no run with --codex-cassette=replay on this machine
has used since the cassette was written.
"""

_CLEAN = """\
Remove the containers, networks and temporary images that ended runs left
behind. Running sessions and caches are not touched.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command and return its exit code.
    """
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code: int = arguments.action(arguments)
    except SetupError as error:
        _complain(error)
        return error.exit_code or 1
    except (CodexWorkspaceError, ConfigError) as error:
        _complain(error)
        return 2
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("codex-workspace: interrupted", file=sys.stderr)  # noqa: T201
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codex-workspace", description="Bring repositories up as OpenAI Codex would."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    form: Any = argparse.RawDescriptionHelpFormatter

    run = commands.add_parser(
        "run", help="the whole chain for a repository", description=_RUN, formatter_class=form
    )
    run.add_argument("repo", nargs="?", default=".", metavar="REPO", help="default: here")
    _add_options(run, _RUN_OPTIONS)
    run.set_defaults(action=_run)

    clean = commands.add_parser(
        "clean", help="remove what ended runs left", description=_CLEAN, formatter_class=form
    )
    clean.add_argument("--engine", metavar="URL", default="auto", help="default: auto")
    clean.add_argument(
        "--images", action="store_true", help="remove every image of ours too, caches included"
    )
    clean.set_defaults(action=_clean)

    cassette = commands.add_parser("cassette", help="recorded network exchanges")
    cassette_commands = cassette.add_subparsers(metavar="COMMAND", required=True)
    for name, summary, description, action in (
        ("list", "what a cassette has", _LIST, _cassette_list),
        ("refresh", "record what the scripts request anew", _REFRESH, _cassette_refresh),
        ("prune", "remove what no replay has used", _PRUNE, _cassette_prune),
    ):
        one = cassette_commands.add_parser(
            name, help=summary, description=description, formatter_class=form
        )
        one.add_argument("repo", nargs="?", default=".", metavar="REPO", help="default: here")
        if name == "refresh":
            _add_options(one, tuple(set(_RUN_OPTIONS) - {"cache", "cassette"}))
        else:
            one.add_argument("--name", default="default", help="of the cassette; default: default")
        one.set_defaults(action=action)
    return parser


def _add_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    for option in OPTIONS:
        if option.name in names:
            text = option.help + (f" (default: {option.default})" if option.default else "")
            parser.add_argument(
                f"--{option.name}",
                dest=option.key,
                metavar=option.metavar,
                action="append" if option.repeatable else "store",
                help=text,
            )


def _run(arguments: argparse.Namespace) -> int:
    config = Config.of(vars(arguments), spell="--{}")
    return _bring_up(config)


def _bring_up(config: Config) -> int:
    from .output import Output
    from .session import Session

    session = Session(config, Output(config.output, _print))
    try:
        return _chain(session, config)
    finally:
        session.close()


def _cassette_list(arguments: argparse.Namespace) -> int:
    from .cassettes import open_cassette, path_of

    cassette = open_cassette(path_of(Path(arguments.repo), arguments.name))
    for one in cassette.exchanges:
        _print(f"{one.phase:6} {one.status} {one.method} {one.url}  {one.recorded}")
    _print(f"{len(cassette.exchanges)} exchanges in {cassette.path}")
    return 0


def _cassette_refresh(arguments: argparse.Namespace) -> int:
    config = Config.of({**vars(arguments), "cassette": "record"}, spell="--{}")
    return _bring_up(replace(config, renew_cassette=True))


def _cassette_prune(arguments: argparse.Namespace) -> int:
    from .cassettes import path_of, prune

    path = path_of(Path(arguments.repo), arguments.name)
    _print(f"removed {prune(path)} exchanges from {path}")
    return 0


def _chain(session: Session, config: Config) -> int:
    assert config.repo is not None  # noqa: S101 -- argparse has a default
    snapshot = session.repository(config.repo, config.rev)
    workspace = session.workspace(session.order(snapshot, config.env), "ready")
    setup = workspace.setup
    told = {
        "hit": "the cached setup was used",
        "miss": "setup ran and is cached now",
        "off": "setup ran; the cache is off",
        "none": "there is no codex-workspace-scripts/, so nothing to set up",
    }
    session.output.note(f"{workspace.project} at {workspace.head[:12]} is up: {told[setup.cache]}")
    for request in workspace.network.blocked:
        session.output.note(f"blocked: {request}")
    session.stop(workspace)
    return 0


def _clean(arguments: argparse.Namespace) -> int:
    from . import labels
    from .engine.find import find_engine
    from .sweep import remove_images, sweep

    engine = find_engine(arguments.engine)
    try:
        removed = sweep(engine)
        if arguments.images:
            removed += remove_images(engine, {labels.KIND: None})
    finally:
        engine.close()
    for line in removed:
        _print(f"removed {line}")
    _print(f"removed {len(removed)} objects" if removed else "nothing was left behind")
    return 0


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _complain(error: Exception) -> None:
    print(f"codex-workspace: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


def _interrupt(signum: int, frame: object) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
