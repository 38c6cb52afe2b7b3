"""Debian's Chromium, driven by a test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from .skips import skip_outside_ci


@contextmanager
def chromium_or_skip() -> Iterator[webdriver.Chrome]:
    """
    Start a headless browser, or skip the test without one.
    """
    chromium, driver_program = programs_or_skip()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    # As root there is no sandbox; a container's /dev/shm is small.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with (
        short_directory() as short,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("NO_PROXY", "localhost,127.0.0.1")
        patch.setenv("TMPDIR", short)
        with webdriver.Chrome(options, Service(driver_program)) as driver:
            yield driver


def programs_or_skip() -> tuple[str, str]:
    """
    Return the paths of Chromium and its driver, or skip the test without them.
    """
    chromium, driver = (shutil.which(one) for one in ("chromium", "chromedriver"))
    if not chromium or not driver:
        skip_outside_ci(
            "chromium and chromedriver are not installed (Debian: chromium, chromium-driver)"
        )
    return chromium, driver


def short_directory() -> tempfile.TemporaryDirectory[str]:
    """
    Return a directory for Chromium's sockets, whose paths have to be short.
    """
    return tempfile.TemporaryDirectory("", "chromium-", "/tmp", ignore_cleanup_errors=True)
