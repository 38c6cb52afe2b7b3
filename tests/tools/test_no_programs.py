"""Test of what `make unit` leaves out."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from ..helpers.no_programs import NoPrograms


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run(["true"], check=True),
        lambda: os.system("true"),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
    ],
    ids=["subprocess", "system", "spawn"],
)
def test_a_test_is_skipped_when_it_starts_a_program(start):
    """
    Before and afterwards, and in other threads, programs are started.
    """
    watcher = NoPrograms()
    start()

    with watcher.watch():
        with pytest.raises(pytest.skip.Exception, match="starts a program"):
            start()
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()

    start()
