"""What the proxy imports when it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from proxy_addons.mitm.imports import skip_default_addons
assert not any(name.startswith("mitmproxy") for name in sys.modules), "imported too early"
skip_default_addons()
import proxy_addons.judge.addresses
import proxy_addons.service
print(*sys.modules)
"""


@pytest.mark.slow
def test_the_proxy_starts_without_the_addons_that_it_does_not_use() -> None:
    """
    Neither mitmproxy's web interface nor its other addons are imported: they would take a third
    of the start-up time.
    """
    argv = [sys.executable, "-I", "-c", _PROGRAM, str(ROOT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())

    addons = {name.split(".")[2] for name in imported if name.startswith("mitmproxy.addons.")}
    assert addons == {"proxyserver", "termlog", "tlsconfig"}
    assert imported.isdisjoint({"flask", "tornado", "urwid", "mitmproxy.tools"})
