"""What a report costs: a page with 5,000 requests in Chromium, and the report of 500 tests.

`make bench` runs it.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.reports.page import render_page
from pytest_codex_workspace.reports.records import TestRecord, WorkspaceRecord, append_part
from pytest_codex_workspace.reports.report import write_report

from .bench import show

FLOWS = 5000
TESTS = 500
INTERACTIVE = """
const text = document.getElementById("filter-text");
text.value = "/4999";
text.dispatchEvent(new Event("input"));
return [performance.now(), document.querySelectorAll("#requests tr.row").length];
"""


def request(number: int) -> Request:
    """
    Return a request; each tenth was refused.
    """
    host = f"host{number % 50}.example"
    refused = ("blocked", "host-not-allowed", f"The host {host} is not among the hosts allowed.")
    return Request(
        *(number, 1e9 + number / 100, "test", "GET", "https", host, 443),
        *(f"/path/{number}", f"https://{host}/path/{number}", 200, 1000, 0.05),
        *(refused if number % 10 == 0 else ("allowed",)),
    )


def workspace(number: int, commands: int, requests: int) -> WorkspaceRecord:
    """
    Return a workspace with commands that have printed 2 KiB each.
    """
    command = {
        "text": "make test",
        "cwd": "/workspace/demo",
        "user": "",
        "began": 1e9,
        "state": "exited",
        "exit_code": 0,
        "duration": 0.1,
        "stderr": "",
        "stdout": "a line of output\n" * 120,
    }
    return WorkspaceRecord(
        *(f"test_it.py::test_it[{number}]", f"gw{number % 4}", "demo", "a" * 40, "slim"),
        *(f"{number:064}", "hit", "key", 1e9 + number, 1e9 + number + 1),
        commands=(command,) * commands,
        requests=tuple(request(number * requests + at) for at in range(requests)),
    )


def page(directory: Path) -> bool:
    """
    Measure how long a reader waits until the page with 5,000 requests has been filtered.
    """
    path = directory / "index.html"
    path.write_text(render_page([workspace(0, 5, FLOWS)], [], "1.0"))
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    with webdriver.Chrome(options, Service(str(shutil.which("chromedriver")))) as driver:
        taken = []
        for _ in range(3):
            driver.get(path.as_uri())
            milliseconds, rows = driver.execute_script(INTERACTIVE)
            assert rows == 1
            taken.append(milliseconds / 1000)
    return show(f"page with {FLOWS} requests: from navigation to filtered", min(taken), 2, " s")


def whole(directory: Path) -> bool:
    """
    Measure the time and the memory of writing the report of 500 tests.
    """
    for number in range(TESTS):
        append_part(directory, workspace(number, 10, 20))
        test = TestRecord(f"test_it.py::test_it[{number}]", f"gw{number % 4}", "passed", 1e9, 1.0)
        append_part(directory, test)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    write_report(directory)
    taken = time.perf_counter() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return all(
        (
            show(f"report of {TESTS} tests: seconds to write it", taken, 10, " s"),
            show(f"report of {TESTS} tests: memory to write it", memory, 200, " MB"),
        )
    )


def main() -> int:
    """
    Print all lines; 1 if a bound does not hold.
    """
    with tempfile.TemporaryDirectory() as directory:
        results = [whole(Path(directory, "whole")), page(Path(directory))]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
