"""Test of what `make unit` leaves out."""

from __future__ import annotations

import subprocess

import pytest

from ..helpers.no_programs import NoPrograms


@pytest.fixture
def outcomes(pytester):
    """
    Return a function that runs tests with the plugin and returns how many ended in which way.
    """

    def run(code):
        pytester.makepyfile(f"import os, subprocess, threading, pytest\n{code}")
        result = pytester.runpytest_inprocess("-p", "no:randomly", plugins=[NoPrograms()])
        return result.parseoutcomes()

    return run


STARTS = {
    "subprocess": "subprocess.run(['true'])",
    "system": "os.system('true')",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_test_is_skipped_when_it_starts_a_program(outcomes, start):
    """
    The next test is not.
    """
    code = f"def test_one():\n    {start}\n    assert False\ndef test_two():\n    pass\n"

    assert {"skipped": 1, "passed": 1} == outcomes(code)


CATCHES = {
    "and passes": """
        with pytest.raises(BaseException):
            os.system('true')
    """,
    "and raises": """
        try:
            os.system('true')
        finally:
            raise ValueError
    """,
    "and fails": """
        try:
            os.system('true')
        finally:
            pytest.fail()
    """,
}


@pytest.mark.parametrize("where", ["test", "fixture"])
@pytest.mark.parametrize("caught", CATCHES.values(), ids=CATCHES)
def test_a_test_that_catches_the_skip_is_skipped(outcomes, where, caught):
    """
    What it makes of the refusal says nothing about what it tests.
    """
    if where == "test":
        code = f"def test_it():{caught}"
    else:
        code = f"@pytest.fixture\ndef it():{caught}\ndef test_it(it):\n    pass\n"

    assert {"skipped": 1} == outcomes(code)


def test_other_failures_and_threads_are_left_alone(outcomes):
    """
    Programs are started by other threads, and when no test runs.
    """
    found = outcomes("""
def test_thread():
    codes = []
    one = threading.Thread(target=lambda: codes.append(os.system('true')))
    one.start()
    one.join()
    assert codes == [0]

def test_fails():
    raise ValueError
""")

    assert {"passed": 1, "failed": 1} == found
    subprocess.run(["true"], check=True)
