"""The command as a process: its signals, its standard streams and the way in which it ends."""

# Without `signal`, which imports more modules, and before any other import.
import _signal  # type: ignore[import-not-found]

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # As long as there is nothing to clean up, Ctrl-C ends the process without a word.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import sys
from typing import Any, NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """
    Run the command, and end this process: by the signal that interrupted the command, or with an
    exit code.
    """
    from .streams import open_standard_streams

    open_standard_streams()

    import threading

    from ..host.signals import die_by
    from .main import execute, flushed

    threading.excepthook = _thread_failed
    try:
        code, number = execute(sys.argv[1:])
    except SystemExit as exit_:
        # From the parser, which has printed its help or an error.
        code, number = int(exit_.code or 0), None
    except KeyboardInterrupt as interrupt:
        # It came when the command had already ended.
        code, number = 0, getattr(interrupt, "number", _signal.SIGINT)
    code = flushed(code)
    if number is not None:
        die_by(number)
    sys.exit(code)


def _thread_failed(failure: Any) -> None:
    import threading

    from ..host.signals import EndingSignals
    from .streams import OutputError

    if EndingSignals.ending:
        return
    # The next line of the main thread reports that nobody reads the output.
    if not isinstance(failure.exc_value, (BrokenPipeError, OutputError)):
        threading.__excepthook__(failure)
