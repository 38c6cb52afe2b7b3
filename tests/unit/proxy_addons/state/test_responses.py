"""The responses that the proxy itself gives."""

from __future__ import annotations

import pytest

from proxy_addons.state.responses import (
    REASON_HEADER,
    blocked_response,
    failed_response,
    use_refusal,
)
from pytest_codex_workspace.network.rules.policy import Decision


@pytest.mark.parametrize(
    ("make", "decision", "status", "reason"),
    [
        (blocked_response, Decision("blocked", "offline", "No network."), 403, "offline"),
        (failed_response, Decision("failed", "upstream-error", "It broke."), 502, "upstream-error"),
        (failed_response, Decision("failed", None, "Too much."), 502, "failed"),
    ],
)
def test_a_response_names_the_reason_and_explains_it(make, decision, status, reason) -> None:
    """
    The reason is in a header for programs and in the body for people; the connection ends.
    """
    response = make(decision)

    assert response.status_code == status
    assert response.headers[REASON_HEADER] == reason
    assert response.headers["connection"] == "close"
    first, explanation = response.text.split("\n\n")
    assert first.endswith(f"by the codex-workspace proxy: {reason}")
    assert explanation == f"{decision.explanation}\n"


def test_an_explanation_that_is_no_text_does_not_break_the_response() -> None:
    """
    Surrogates come from hostile input; the body is valid UTF-8 all the same.
    """
    response = blocked_response(Decision("blocked", "not-tls", "a\udcff"))

    assert response.content.decode("utf-8").endswith("a?\n")


@pytest.fixture
def _real_body():
    use_refusal("Domain forbidden")
    yield
    use_refusal("")


@pytest.mark.usefixtures("_real_body")
def test_a_refused_host_gets_the_body_of_real_workspaces() -> None:
    """
    It was seen for hosts. Other refusals are explained, because theirs is not known.
    """
    for reason in ("offline", "host-not-allowed"):
        response = blocked_response(Decision("blocked", reason, "Allow the host."))
        assert (response.status_code, response.text) == (403, "Domain forbidden")
        assert REASON_HEADER not in response.headers
        assert "x-proxy-error" not in response.headers
    method = blocked_response(Decision("blocked", "method-not-allowed", "Not POST."))
    assert "Not POST." in method.text
    assert failed_response(Decision("failed", None, "It broke.")).status_code == 502
