"""The cost of finding the process of a refusal: refusals with and without it, in turns in one run.

Run it with `make bench`, or alone from the repository's root with
`python -m benchmarks.refusals`. It needs an engine. A client in a workspace measures how long
each request takes on a new connection: one that is refused, and one that is allowed, for which
the proxy has a stub, so that no server's time counts.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.setup.spec import WorkspaceSpec
from pytest_codex_workspace.workspace.handle import Workspace
from tests.conftest import init_repo

ROUNDS = 12
BOUND = 20.0
"""Milliseconds that a refusal may take longer, in the median."""

CLIENT = """\
import http.client, json, os, ssl, sys, time
context = ssl.create_default_context(cafile=os.environ["CODEX_PROXY_CERT"])
found = {"refused": [], "allowed": []}
def refused():
    one = http.client.HTTPConnection("proxy", 8080)
    one.request("GET", "http://refused.example/")
    return one
def allowed():
    one = http.client.HTTPSConnection("proxy", 8080, context=context)
    one.set_tunnel("allowed.example", 443)
    one.request("GET", "/")
    return one
for _ in range(25):
    for name, ask, status in (("refused", refused, 403), ("allowed", allowed, 200)):
        began = time.perf_counter()
        one = ask()
        answer = one.getresponse()
        answer.read()
        found[name].append((time.perf_counter() - began) * 1000)
        assert answer.status == status, answer.status
        one.close()
        time.sleep(0.02)
print(json.dumps(found))
"""


def measure(workspace: Workspace) -> dict[str, float]:
    """
    Return the median of each kind of request in milliseconds, after the first of each.
    """
    found = json.loads(workspace.exec(["python3", "-c", CLIENT]).check().stdout)
    return {name: statistics.median(values[1:]) for name, values in found.items()}


def main() -> int:
    """
    Measure; 1 if the bound does not hold.
    """
    with tempfile.TemporaryDirectory() as name:
        repo = init_repo(Path(name) / "bench", {"README": "x"})
        session = Session(Config(image="slim", repo=str(repo)), Output("quiet", lambda _: None))
        try:
            spec = WorkspaceSpec(session.repository(repo))
            named, silent = (session._start(spec, "clean") for _ in range(2))
            for each in (named, silent):
                each.workspace.network.stub(host="allowed.example", text="x")
            # As for a host that cannot tell.
            running = silent.running
            proxy = running.holder.proxy
            proxy._finders.pop(running.container)
            proxy.register(running.holder.address, running.container, "test")
            pairs = []
            for number in range(ROUNDS):
                # Neither has always the better turn.
                turns = (named, silent) if number % 2 else (silent, named)
                found = {id(each): measure(each.workspace) for each in turns}
                pairs.append((found[id(named)], found[id(silent)]))
            known, unknown = (
                [one.process for one in each.workspace.network.blocked] for each in (named, silent)
            )
        finally:
            session.close()
    assert any(known), "nobody was named"
    assert not any(unknown)
    for kind in ("refused", "allowed"):
        with_names, without = (
            statistics.median(one[kind] for one in each) for each in zip(*pairs, strict=True)
        )
        print(f"{kind}: {with_names:.2f} ms with names, {without:.2f} ms without")
    print(f"named {sum(map(bool, known))} of {len(known)} refusals")
    cost = statistics.median(one["refused"] - other["refused"] for one, other in pairs)
    print(
        f"{'a refusal takes longer by, ms, median of rounds':<78} "
        f"{cost:8.3f} <= {BOUND:g} {'ok' if cost <= BOUND else 'TOO SLOW'}"
    )
    return 0 if cost <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
