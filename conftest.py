"""Shared by the tests and the examples of this repository."""

from __future__ import annotations

from tests.helpers.shares import SHARES

pytest_plugins = ["pytester"]


def pytest_addoption(parser):
    """
    What only this repository's own tests take.
    """
    parser.addoption(
        "--write-toolchains",
        action="store_true",
        help="write what tests/integration/test_toolchains.py finds into docs/toolchains.md",
    )
    parser.addoption(
        "--no-programs",
        action="store_true",
        help="skip a test when it starts a program",
    )
    parser.addoption(
        "--share",
        choices=SHARES,
        help="run the tests of this engine: tests/helpers/shares.py",
    )
    parser.addoption(
        "--write-golden",
        action="store_true",
        help="write the texts of tests/integration/test_golden.py into its folder golden",
    )
