"""Results of commands: text, success, and what an error says."""

from __future__ import annotations

import pickle

import pytest

from pytest_codex_workspace.errors import ExecError, ExecTimeout
from pytest_codex_workspace.results import ExecResult, Lines, timed_out


def _lines(*pieces: bytes) -> Lines:
    left = list(pieces)
    return Lines(lambda: left.pop(0) if left else b"")


def test_text_is_decoded_with_replacement():
    """
    And the bytes are still there.
    """
    result = ExecResult(["x"], 0, b"\xffa", "é".encode())

    assert (result.stdout, result.stderr, result.stdout_bytes) == ("\ufffda", "é", b"\xffa")


def test_success_checks_to_itself():
    """
    So that `exec(...).check().stdout` reads well.
    """
    result = ExecResult("true", 0)

    assert result.ok
    assert result.check() is result


def test_a_failure_names_everything_one_asks_next():
    """
    The command, where, how it ended, and the end of what it said.
    """
    output = "".join(f"line {number}\n" for number in range(100)).encode()
    result = ExecResult(["make", "a b"], 2, stdout_bytes=output, duration=1.234, cwd="/workspace/x")

    with pytest.raises(ExecError) as caught:
        result.check()

    text = str(caught.value)
    assert text.startswith("command exited with 2, after 1.23 s: make 'a b'\nin /workspace/x\n")
    assert "  | line 99\n" in text
    assert "line 79\n" not in text
    assert text.endswith("nothing on its stderr")
    assert caught.value.result is result


def test_a_signal_is_named():
    """
    137 says nothing to most people.
    """
    with pytest.raises(ExecError, match=r"exited with 137 \(SIGKILL\)"):
        ExecResult("x", 137).check()


def test_long_output_does_not_make_long_errors():
    """
    Nor a long representation.
    """
    result = ExecResult("x", 1, b"x" * 10_000_000, truncated=True)

    assert len(repr(result)) < 1000
    assert "(10000000 bytes)" in repr(result)
    with pytest.raises(ExecError) as caught:
        result.check()
    assert len(str(caught.value)) < 10_000


def test_results_and_their_errors_survive_pickling():
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


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b"a\nb\n"], ["a\n", "b\n"]),
        ([b"a", b"b", b"\nc"], ["ab\n", "c"]),
        ([b"\xc3", b"\xa9\n"], ["é\n"]),
        ([b"\n\n"], ["\n", "\n"]),
        ([b"a\r\nb"], ["a\r\n", "b"]),
    ],
)
def test_lines_are_put_together(pieces, expected):
    """
    However the bytes arrive.
    """
    assert expected == list(_lines(*pieces))


def test_a_line_without_end_comes_in_pieces():
    """
    Memory does not grow with it.
    """
    pieces = [len(line) for line in _lines(*[b"x" * 700_000] * 3, b"\n")]

    assert pieces == [1 << 20, 1 << 20, 2_100_001 - (2 << 20)]


def test_the_rest_is_what_was_not_iterated():
    """
    A part of a line included.
    """
    lines = _lines(b"a\nb", b"c\n", b"d")
    next(lines)

    assert lines.rest() == b"bc\nd"
    assert list(lines) == []
