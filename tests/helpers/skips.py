"""What a test does that cannot run on this machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

__all__ = ["skip_outside_ci"]


def skip_outside_ci(reason: str) -> NoReturn:
    """
    Skip the test, or fail it in CI, whose machine must have everything.
    """
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
