"""Debian's Chromium, driven by a test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service


@contextmanager
def chromium_or_skip() -> Iterator[webdriver.Chrome]:
    """
    Start a headless browser, or skip the test without one.
    """
    programs = [shutil.which(one) for one in ("chromium", "chromedriver")]
    if None in programs:
        text = "chromium and chromedriver are not installed (Debian: chromium, chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    # As root there is no sandbox; a container's /dev/shm is small.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with (
        # Chromium makes a socket there, whose path has to be short.
        tempfile.TemporaryDirectory("", "chromium-", "/tmp", ignore_cleanup_errors=True) as short,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("NO_PROXY", "localhost,127.0.0.1")
        patch.setenv("TMPDIR", short)
        with webdriver.Chrome(options, Service(str(programs[1]))) as driver:
            yield driver
