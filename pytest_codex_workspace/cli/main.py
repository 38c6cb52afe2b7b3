"""The command line as a whole: the parser, errors and exit codes."""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import CodexWorkspaceError, ConfigError, SetupError
from ..host.signals import EndingSignals
from ..text.option_names import spelled
from ..text.printable import printable
from . import (
    bug_report,
    build,
    ca,
    cache,
    cassette,
    check,
    clean,
    completion,
    compose,
    config,
    doctor,
    exec_,
    init,
    policy,
    report,
    run,
    shell,
    smoke,
    trust,
)
from .exit_codes import BROKEN_PIPE, FAILED, exit_code_of
from .parsing import CommandParser
from .printing import print_event, print_requests, show, show_message, shown_on_stderr, table
from .streams import OutputError, discard_output

if TYPE_CHECKING:
    from ..options.config import Config

__all__ = ["command_parser", "execute", "flushed", "main"]

_GROUPS = {
    "Start a workspace": (run, shell, exec_),
    "Inspect": (doctor, check, smoke, report, config, trust, policy),
    "Images and cache": (build, cache, cassette, ca, clean),
    "Other": (init, compose, completion, bug_report),
}

_DESCRIPTION = """\
Run repositories in workspaces like those of OpenAI Codex: a container made from
HEAD, a setup script, a cached image, and a proxy as the only connection to the
outside.

In a repository, start with `codex-workspace doctor`, which reports problems of
this machine, and then `codex-workspace run`. The first run builds images, which
takes minutes. --image=slim does not need a container registry.
"""

_OPTIONS = (
    ("-h, --help", "show this help message and exit"),
    ("--version", "print the version and exit"),
)

_EPILOG = "`codex-workspace COMMAND --help` shows the options of a command, and examples.\n"


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command in this process and return its exit code.
    """
    return execute(sys.argv[1:] if argv is None else argv)[0]


def execute(argv: Sequence[str]) -> tuple[int, int | None]:
    """
    Run the command.

    Args:
        argv: the words after the name of the command.

    Returns:
        The exit code, and the signal that ended the command, if one did.
    """
    with spelled("--{}"):
        words, command = exec_.split_arguments(argv)
        parser = command_parser(words[0] if words else None)
        if not words:
            parser.print_help(sys.stderr)
            return FAILED, None
        parser.misplaced(words[0])
        try:
            arguments = parser.parse_args(words, argparse.Namespace(command=command))
        except (BrokenPipeError, OutputError) as error:  # --version
            return _output_failed(error), None
        return _act(arguments, words[0])


def _act(arguments: argparse.Namespace, word: str) -> tuple[int, int | None]:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    with EndingSignals() as signals:
        try:
            _check_directory()
            with _logged(arguments, word):
                code = flushed(arguments.action(arguments))
            if signals.received is None:
                return code, None
            return _interrupted(arguments, signals.received), signals.received
        except BaseException as error:
            if isinstance(error, SystemExit):
                raise
            if isinstance(error, KeyboardInterrupt) or signals.received is not None:
                number: int = signals.received or signal.SIGINT
                return _interrupted(arguments, number), number
            return _fail(arguments, error), None


@contextmanager
def _logged(arguments: argparse.Namespace, word: str) -> Iterator[None]:
    """
    Write a debug log of the command, if `--debug` or the environment asks for one.
    """
    given = getattr(arguments, "debug", None)
    path = os.environ.get("CODEX_WORKSPACE_DEBUG") if given is None else given
    if not path or not getattr(arguments, "writes_debug_log", True):
        yield
        return
    from ..debugging.run import debug_log
    from ..options.sources import ResolvedOptions

    def resolve() -> Config:
        return ResolvedOptions.of(vars(arguments), spell="--{}").config

    # Of what starts a workspace, and not again by each of many processes.
    examines = (
        hasattr(arguments, "debug")
        and not getattr(arguments, "worker", None)
        and not getattr(arguments, "reads_only", False)
    )
    with debug_log(Path(path), f"codex-workspace {word}", resolve, examines=examines):
        yield


def _check_directory() -> None:
    """
    Check that the current directory exists: neither git nor a relative path works without one.
    """
    try:
        os.getcwd()  # noqa: PTH109 -- Path.cwd is the same
    except OSError as error:
        raise ConfigError(
            f"the current directory cannot be used: {error.strerror}",
            remedy="It was probably removed; change to another one.",
        ) from None


def flushed(code: int) -> int:
    """
    Write what is left of standard output. Return *code*, or that of the failure to write.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return _output_failed(error)
    return code


def command_parser(word: str | None = None) -> CommandParser:
    """
    Return the parser of the command with all its subcommands. If *word* is one of them, the others
    are left out, because their hundreds of options take time.
    """
    parser = _MainParser(prog="codex-workspace", usage="%(prog)s [-h] [--version] COMMAND ...")
    parser.add_argument("--version", action=_Version, help=_OPTIONS[1][1])
    commands = parser.add_subparsers(
        prog=parser.prog,
        metavar="COMMAND",
        required=True,
        parser_class=CommandParser,
    )
    modules = [module for group in _GROUPS.values() for module in group]
    for module in [one for one in modules if _name(one) == word] or modules:
        module.register(commands)
    return parser


class _MainParser(CommandParser):
    """
    A parser whose help has the commands in groups, which argparse does not support.
    """

    def format_help(self) -> str:
        return "\n".join([self.format_usage(), _DESCRIPTION, *_help_groups(), _EPILOG])


def _help_groups() -> Iterator[str]:
    commands = [
        (_name(module), module.SUMMARY) for modules in _GROUPS.values() for module in modules
    ]
    lines = dict(zip(commands, table(commands, indent=2), strict=True))
    for title, modules in _GROUPS.items():
        listed = [lines[_name(module), module.SUMMARY] for module in modules]
        yield "\n".join([f"{title}:", *listed, ""])
    yield "\n".join(["Options:", *table(_OPTIONS, indent=2), ""])


def _name(module: ModuleType) -> str:
    """
    Return the command of a module, which has the same name.
    """
    return module.__name__.rpartition(".")[2].rstrip("_").replace("_", "-")


class _Version(argparse.Action):
    """
    Print the version, which is only looked up on demand because that is slow.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        show(f"codex-workspace {version('pytest-codex-workspace')}")
        parser.exit()


def _fail(arguments: argparse.Namespace, error: BaseException) -> int:
    """
    Report an error, and return the exit code.
    """
    if isinstance(error, BrokenPipeError | OutputError):
        return _output_failed(error)
    code = exit_code_of(error)
    kind, text = type(error).__name__, str(error)
    fields = {}
    if isinstance(error, SetupError):
        text = error.without_tail if shown_on_stderr(arguments, error) else text
        fields = _fields_of(error)
    elif isinstance(error, OSError) and not isinstance(error, CodexWorkspaceError):
        text = _words(error)
    elif not isinstance(error, CodexWorkspaceError):
        kind, text = "internal error", _report_bug(error)
    show_message(f"codex-workspace: {kind}: {text}")
    with suppress(OSError):
        message = text
        if isinstance(error, SetupError):
            message = error.without_tail
            print_requests(arguments, [*error.passed, *error.requests])
        print_event(arguments, "error", type=kind, message=message, exit_code=code, **fields)
        return flushed(code)
    discard_output()
    return code


def _fields_of(error: SetupError) -> dict[str, Any]:
    from ..network.problems import problems_of

    names = ("script", "log_path", "tail", "where")
    problems = [one.to_dict() for one in problems_of(error.requests)]
    return {name: getattr(error, name) for name in names} | {"problems": problems}


def _output_failed(error: OSError) -> int:
    discard_output()
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    text = str(error) if isinstance(error, OutputError) else _words(error)
    show_message(f"codex-workspace: {type(error).__name__}: {text}")
    return FAILED


def _interrupted(arguments: argparse.Namespace, number: int) -> int:
    code = 128 + number
    with suppress(OSError):  # The terminal may have hung up.
        name = signal.Signals(number).name
        show_message(f"codex-workspace: interrupted ({name})")
        print_event(arguments, "error", type="Interrupted", message="interrupted", exit_code=code)
    discard_output()
    return code


def _words(error: OSError) -> str:
    """
    Return an error of the system in words: what it concerns, and what happened.
    """
    text = error.strerror or str(error)
    if isinstance(error.filename, str | bytes):
        text = f"{os.fsdecode(error.filename)}: {text}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        text += ". Free some space there, or set XDG_CACHE_HOME and TMPDIR to other directories"
    return printable(text)


def _report_bug(error: BaseException) -> str:
    """
    Return the text for an error that nobody has thought of, and keep its traceback.
    """
    import tempfile
    import traceback

    trace = "".join(traceback.format_exception(error))
    text = f"{type(error).__name__}: {printable(str(error))}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="codex-workspace-", suffix=".log", delete=False, errors="replace"
        ) as file:
            file.write(trace)
    except OSError:
        return f"{text}\n{trace}"
    return f"{text}. This is a mistake in codex-workspace; please report it with {file.name}"
