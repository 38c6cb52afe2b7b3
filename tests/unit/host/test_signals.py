"""Signals that end a process: what they raise, which are left alone, and how the process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from pytest_codex_workspace.host.signals import EndingSignals, Interrupted

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _usual_handlers():
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_raises_once_and_is_remembered(number):
    """
    The first one raises; the clean-up is not disturbed by the others.
    """
    with EndingSignals() as signals:
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), number)
        for other in (signal.SIGTERM, signal.SIGHUP, number):
            os.kill(os.getpid(), other)

    assert (number, number) == (caught.value.number, signals.received)
    assert all(signal.getsignal(one) == signal.SIG_DFL for one in ENDING)


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_what_others_have_decided_stays(number, handler):
    """
    A signal that `nohup` or a shell has ignored, or that somebody handles, is not ours.
    """
    signal.signal(number, handler)

    with EndingSignals() as signals:
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) is handler
    assert signals.received is None
    assert signal.getsignal(number) is handler


class Deleted:
    """
    An object whose end is a signal.
    """

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


def is_raised_after_a_deletion():
    """
    Check that a signal is raised that arrives while an object is deleted.
    """
    over = threading.Event()
    with EndingSignals() as signals:
        one = Deleted()
        with pytest.raises(Interrupted):  # noqa: PT012
            del one
            over.wait(10)
    assert signals.received == signal.SIGTERM


def test_a_signal_while_an_object_is_deleted_is_raised_later():
    """
    An exception that is raised there is printed and lost.
    """
    hook = sys.unraisablehook

    is_raised_after_a_deletion()

    assert sys.unraisablehook is hook


def test_a_signal_that_comes_again_too_early_is_raised_later_still(monkeypatch):
    """
    While it is noticed that the one before was lost, on a machine that is busy.
    """
    later, sent = EndingSignals._send_later, []

    def send(number):
        sent.append(number)
        if len(sent) == 1:
            os.kill(os.getpid(), number)
        else:
            later(number)

    monkeypatch.setattr(EndingSignals, "_send_later", staticmethod(send))

    is_raised_after_a_deletion()

    assert len(sent) == 2


def test_a_handler_that_came_later_stays():
    """
    Only our own handlers are taken back.
    """

    def later(*_):
        return None

    with EndingSignals():
        signal.signal(signal.SIGTERM, later)
    assert signal.getsignal(signal.SIGTERM) is later


@pytest.mark.parametrize(
    ("seconds", "first", "second", "dies"),
    [
        (0.1, signal.SIGINT, signal.SIGINT, False),
        (3, signal.SIGINT, signal.SIGINT, True),
        (3, signal.SIGTERM, signal.SIGINT, True),
        (3, signal.SIGTERM, signal.SIGTERM, False),
        (3, signal.SIGINT, signal.SIGHUP, False),
    ],
)
def test_a_second_ctrl_c_ends_the_clean_up(seconds, first, second, dies, capfd):
    """
    One that follows at once is the same key: both a shell and `timeout` send it.
    """
    now = [100.0]
    died = []
    with EndingSignals(clock=lambda: now[0], die=died.append):
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), first)
        now[0] += seconds
        os.kill(os.getpid(), second)

    assert died == ([second] if dies else [])
    assert ("codex-workspace clean" in capfd.readouterr().err) == dies


@pytest.mark.parametrize("number", [*ENDING, signal.SIGPIPE])
@pytest.mark.slow
def test_a_process_dies_by_its_signal(number):
    """
    The parent sees the signal, even if the process ignored or blocked it.
    """
    code = (
        "import signal; from pytest_codex_workspace.host.signals import die_by\n"
        f"signal.signal({number:d}, signal.SIG_IGN)\n"
        f"signal.pthread_sigmask(signal.SIG_BLOCK, {{{number:d}}})\n"
        f"die_by({number:d})"
    )
    assert -number == subprocess.run([sys.executable, "-c", code], check=False).returncode
