"""The command `codex-workspace`."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
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
    for option in OPTIONS:
        if option.name in _RUN_OPTIONS:
            text = option.help + (f" (default: {option.default})" if option.default else "")
            run.add_argument(
                f"--{option.name}",
                dest=option.key,
                metavar=option.metavar,
                action="append" if option.repeatable else "store",
                help=text,
            )
    run.set_defaults(action=_run)

    clean = commands.add_parser(
        "clean", help="remove what ended runs left", description=_CLEAN, formatter_class=form
    )
    clean.add_argument("--engine", metavar="URL", default="auto", help="default: auto")
    clean.add_argument(
        "--images", action="store_true", help="remove every image of ours too, caches included"
    )
    clean.set_defaults(action=_clean)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from .output import Output
    from .session import Session

    config = Config.of(vars(arguments), spell="--{}")
    session = Session(config, Output(config.output, _print))
    try:
        return _chain(session, config)
    finally:
        session.close()


def _chain(session: Session, config: Config) -> int:
    from .layers import Order

    assert config.repo is not None  # noqa: S101 -- argparse has a default
    snapshot = session.repository(config.repo, config.rev)
    order = Order(
        snapshot,
        config.env,
        setup_policy=session.read_policy(config.network_setup),
        policy=session.read_policy(config.network),
    )
    workspace = session.workspace(order, "ready")
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
