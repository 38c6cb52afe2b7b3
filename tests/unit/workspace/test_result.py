"""Tests of the results of commands, and of their errors."""

from __future__ import annotations

import pickle

import pytest

from pytest_codex_workspace.errors import ExecError, ExecTimeout
from pytest_codex_workspace.workspace.result import ExecResult, timed_out


def test_output_is_decoded_with_replacement():
    """
    The bytes are kept as well.
    """
    result = ExecResult(["x"], 0, b"\xffa", "é".encode())

    assert (result.stdout, result.stderr, result.stdout_bytes) == ("\ufffda", "é", b"\xffa")


def test_check_returns_the_result_of_a_success():
    """
    So `exec(...).check().stdout` is possible.
    """
    result = ExecResult("true", 0)

    assert result.ok
    assert result.check() is result


@pytest.mark.parametrize("code", [0, 3])
def test_a_result_is_neither_true_nor_false(code):
    """
    `assert ws.exec(...)` would pass, or be taken for a check.
    """
    with pytest.raises(TypeError, match=rf"use `\.ok`, or `\.check\(\)` .*exit_code={code}"):
        bool(ExecResult("true", code))


def test_the_error_of_a_failure_has_all_details():
    """
    It has the command, the directory, the exit code and the end of the output.
    """
    output = "".join(f"line {number}\n" for number in range(100)).encode()
    result = ExecResult(["make", "a b"], 2, stdout_bytes=output, duration=1.234, cwd="/workspace/x")

    with pytest.raises(ExecError) as caught:
        result.check()

    text = str(caught.value)
    assert text.startswith("command exited with 2, after 1.23 s: make 'a b'\nin /workspace/x\n")
    assert "  | line 99\n" in text
    assert "line 88\n" in text
    assert "line 87\n" not in text
    assert text.endswith("nothing on its stderr")
    assert caught.value.result is result


def test_the_error_names_the_signal():
    """
    Few people know what 137 means.
    """
    with pytest.raises(ExecError, match=r"exited with 137 \(SIGKILL\)"):
        ExecResult("x", 137).check()


def test_the_error_says_that_memory_was_short():
    """
    So does the `repr`.
    """
    result = ExecResult("x", 137, out_of_memory=True)

    with pytest.raises(ExecError, match="reached its memory limit; --codex-memory"):
        result.check()
    assert "out_of_memory=True" in repr(result)


def test_long_output_does_not_make_long_errors():
    """
    The `repr` is short, too.
    """
    result = ExecResult("x", 1, b"x" * 10_000_000, truncated=True)

    assert len(repr(result)) < 1000
    assert "(10000000 bytes)" in repr(result)
    with pytest.raises(ExecError) as caught:
        result.check()
    assert len(str(caught.value)) < 10_000


def test_an_error_fits_a_screen():
    """
    Both streams share the room, and the middle of a long line is cut.
    """
    output = b"".join(b"line %d %s !\n" % (number, b"x" * 999) for number in range(100))
    result = ExecResult("x", 1, output, output, cwd="/", out_of_memory=True)

    lines = result.describe("it failed").splitlines()

    assert len(lines) == 17
    assert max(map(len, lines)) < 210
    assert all(line.endswith("x !") and " ... " in line for line in lines if "line 9" in line)


@pytest.mark.parametrize("stream", ["stdout_bytes", "stderr_bytes"])
def test_a_question_is_named(stream):
    """
    The program may have ended, or wait for an answer until its timeout.
    """
    asked = b"Reading lists\nDo you want to continue? [Y/n] "
    result = ExecResult("apt-get install x", 1, **{stream: asked})
    words = "it asked 'Do you want to continue? [Y/n]', and nobody answers in a workspace: give the"

    assert words in str(timed_out(result, 1.0))
    with pytest.raises(ExecError) as caught:
        result.check()
    assert words in str(caught.value)


def test_results_and_their_errors_can_be_pickled():
    """
    pytest-xdist sends them between processes.
    """
    result = ExecResult(["x"], 1, b"out", b"err", 0.5, truncated=True, cwd="/")
    error = ExecError("it failed", result=result)
    late = timed_out(result, 2.5)

    assert result == pickle.loads(pickle.dumps(result))
    again = pickle.loads(pickle.dumps(error))
    assert (str(error), result) == (str(again), again.result)
    again = pickle.loads(pickle.dumps(late))
    assert isinstance(again, ExecTimeout)
    assert (str(late), 2.5, "out", "err") == (
        str(again),
        again.timeout,
        again.stdout,
        again.stderr,
    )


@pytest.mark.parametrize("stream", ["stdout_bytes", "stderr_bytes"])
def test_an_assertion_shows_the_end_of_the_output(stream):
    """
    pytest shows both ends of a long `repr`, and the reason of a failure is mostly at the end.
    """
    output = b"line of the build\n" * 400 + b"E: the real reason\n"
    result = ExecResult("for i in $(seq 400); do make; done; " * 20, 1, **{stream: output})

    assert repr(result).startswith("ExecResult(exit_code=1, ")
    assert "E: the real reason" in repr(result)[-118:]
