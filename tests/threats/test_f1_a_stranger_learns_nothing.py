"""F1: health, metrics and records, asked for by somebody who cannot show who they are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.threats.served import RawCarrier, serving, signature

CALL, CALLER = "CA5ecret", "+15550142"


async def answers(port: int, paths: list[str], method: str = "GET") -> dict[str, httpx.Response]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as stranger:
        return {path: await stranger.request(method, path) for path in paths}


def test_health_says_whether_and_nothing_of_the_call_that_goes_on(tmp_path: Path) -> None:
    async def scenario() -> dict[str, httpx.Response]:
        async with serving(tmp_path) as server:
            carrier = await RawCarrier.asks(server.port, signed=signature())
            carrier.starts(CALL, caller=CALLER)
            await anext(carrier.events())
            return await answers(server.port, ["/healthz", "/readyz"])

    found = asyncio.run(scenario())
    assert {path: (answer.status_code, answer.text) for path, answer in found.items()} == {
        "/healthz": (200, "alive\n"),
        "/readyz": (200, "ready\n"),
    }
    for answer in found.values():
        assert not {"server", "x-powered-by"} & set(answer.headers)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_records_and_metrics_are_not_there_for_strangers(tmp_path: Path, method: str) -> None:
    asked = [
        "/metrics",
        "/records",
        f"/records/{CALL}",
        "/journals",
        f"/journals/{CALL}.jsonl",
        f"/../{CALL}.jsonl",
        "/calls",
        "/docs",
        "/openapi.json",
        "/",
    ]

    async def scenario() -> dict[str, httpx.Response]:
        async with serving(tmp_path) as server:
            carrier = await RawCarrier.asks(server.port, signed=signature())
            carrier.starts(CALL, caller=CALLER)
            await anext(carrier.events())
            return await answers(server.port, asked, method)

    for path, answer in asyncio.run(scenario()).items():
        assert answer.status_code in {401, 403, 404}, path
        assert CALL not in answer.text
        assert CALLER not in answer.text


def test_a_webhook_is_not_answered_to_a_stranger(tmp_path: Path) -> None:
    async def scenario() -> dict[str, httpx.Response]:
        async with serving(tmp_path) as server:
            return await answers(server.port, [f"/twilio/desk/{verb}?CallSid={CALL}" for verb in ("answer", "after")])

    assert {answer.status_code for answer in asyncio.run(scenario()).values()} == {403}
