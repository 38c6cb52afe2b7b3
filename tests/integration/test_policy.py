"""S10: what may leave is what the policy says, at every moment of a test."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.errors import WorkspaceLost


@pytest.mark.promise("S10")
def test_another_policy_from_now_on(plain, pip_index):
    """
    S10: `use` takes effect with the next request.
    """
    url = f"curl -sS -o /dev/null -w '%{{http_code}}' {pip_index}/simple/six/"

    plain.network.use("offline")
    refused = plain.exec(url)
    plain.network.use("https-only")
    passed = plain.exec(url)

    assert "403" in refused.stderr
    assert passed.stdout == "200"
    plain.network.assert_blocked(reason="offline")
    assert len(plain.network.blocked) == 1


def test_a_workspace_that_has_ended(codex_workspace_factory, plain_repo, request):
    """
    Its log can be read, its network not be changed.
    """
    ws = codex_workspace_factory(repo=plain_repo)
    ws.exec("curl -s http://example.com/")
    request.getfixturevalue("_codex_session").stop(ws)

    assert len(ws.network) == 1
    with pytest.raises(WorkspaceLost, match="has ended"):
        ws.network.use("offline")
