"""Questions about the responses of stubs, and their answers."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from proxy_addons.answer.stub_functions import StubFunctions
from proxy_addons.state.judgement import Judgement
from proxy_addons.state.limits import MAX_STUB_CALLS, MAX_STUB_REQUEST_BYTES
from proxy_addons.state.routes import ProxyRoute
from pytest_codex_workspace.network.rules.policy import Decision, RequestFacts
from tests.helpers.flows import AddonChain

ROUTE = ProxyRoute(3, "stub", asks=True)
ANSWER = {"status": 201, "headers": [["x", "y"]], "body": base64.b64encode(b"made").decode()}


class Asking:
    """
    One request to a stub with a function.
    """

    def __init__(self, seconds: float = 20.0) -> None:
        self.asked: list[dict[str, Any]] = []
        self.functions = StubFunctions(self.asked.append, seconds)
        self.chain = AddonChain()

    async def respond(self, body: bytes = b"body", field: bytes = b"") -> tuple[Any, Judgement]:
        flow = self.chain.flow(self.chain.connect(("example.org", 443)), method="POST")
        flow.request.headers.fields += ((b"x", field),)
        flow.request.raw_content = body
        facts = RequestFacts("example.org", method="POST")
        judgement = Judgement.attach(flow, self.chain.owner, facts, Decision("stubbed"))
        await self.functions.respond(flow, ROUTE, judgement, self.chain.owner)
        return flow.response, judgement

    async def until_asked(self, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while len(self.asked) < count:
                await asyncio.sleep(0)


def test_the_host_makes_the_response() -> None:
    """
    It gets the request with its body.
    """

    async def run() -> None:
        asking = Asking()
        waiting = asyncio.create_task(asking.respond())
        await asking.until_asked()
        [question] = asking.asked
        assert (question["event"], question["workspace"], question["route"]) == ("stub", "w1", 3)
        assert base64.b64decode(question["body"]) == b"body"
        assert question["host"] == "example.org"
        asking.functions.take({"call": question["call"] + 1, **ANSWER})
        asking.functions.take({"call": question["call"], **ANSWER})
        response, judgement = await waiting
        assert (response.status_code, response.raw_content) == (201, b"made")
        assert judgement.decision.verdict == "stubbed"
        # Late, and dropped.
        asking.functions.take({"call": question["call"], **ANSWER})

    asyncio.run(run())


@pytest.mark.parametrize(
    ("seconds", "sent", "answer", "why"),
    [
        (20.0, {}, {"error": "it raised KeyError"}, "it raised KeyError"),
        (0.01, {}, None, "it took longer than 0.01 s"),
        (20.0, {"body": bytes(MAX_STUB_REQUEST_BYTES)}, None, "the request is longer than 512 KiB"),
        (20.0, {"field": b"\xff" * 200_000}, None, "the request is longer than 512 KiB"),
    ],
)
def test_a_request_without_an_answer_has_failed(
    seconds: float, sent: dict[str, bytes], answer: dict[str, Any] | None, why: str
) -> None:
    """
    The log and the response say why.
    """

    async def run() -> None:
        asking = Asking(seconds)
        waiting = asyncio.create_task(asking.respond(**sent))
        if answer:
            await asking.until_asked()
            asking.functions.take({"call": asking.asked[0]["call"], **answer})
        response, judgement = await waiting
        assert judgement.decision.verdict == "failed"
        assert why in judgement.decision.explanation
        assert response.status_code == 502

    asyncio.run(run())


def test_a_workspace_has_a_limited_number_of_calls() -> None:
    """
    Others fail at once; when one has ended, there is room again.
    """

    async def run() -> None:
        asking = Asking()
        waiting = [asyncio.create_task(asking.respond()) for _ in range(MAX_STUB_CALLS)]
        await asking.until_asked(MAX_STUB_CALLS)
        _, judgement = await asking.respond()
        assert f"{MAX_STUB_CALLS} requests" in judgement.decision.explanation
        asking.functions.take({"call": asking.asked[0]["call"], **ANSWER})
        await waiting[0]
        last = asyncio.create_task(asking.respond())
        await asking.until_asked(MAX_STUB_CALLS + 1)
        for question in asking.asked[1:]:
            asking.functions.take({"call": question["call"], **ANSWER})
        assert all(response.status_code == 201 for response, _ in await asyncio.gather(*waiting))
        assert (await last)[0].status_code == 201

    asyncio.run(run())
