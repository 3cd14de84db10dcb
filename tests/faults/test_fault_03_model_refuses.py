"""Fault 3: a provider answers 429, 500 or 401: waited for, asked once more, or given up; the caller is answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from tests.models.calls import FLOW, asked
from tests.models.dialects import DIALECTS, Dialect
from tests.models.provider_server import Answer, ProviderServer, provider_server, refuses, streams
from voiceagent.models.asking import Patience
from voiceagent.models.fallback import FallbackModels
from voiceagent.ports import SentText
from voiceagent.runtime.clock import SystemClock

pytestmark = pytest.mark.parametrize("dialect", DIALECTS, ids=str)


def chain_of(dialect: Dialect, *servers: Sequence[Answer], replies: int = 1) -> tuple[list[str], list[int], float]:
    """Ask a chain of models at servers of their own: (what was said, how often each was asked, seconds it took)."""

    async def run() -> tuple[list[str], list[int], float]:
        async with AsyncExitStack() as closing:
            here: list[ProviderServer] = [
                await closing.enter_async_context(provider_server(*answers)) for answers in servers
            ]
            engines = [
                await asyncio.to_thread(
                    dialect.engine, "m", base_url=server.url + dialect.path, api_key="k", patience=Patience()
                )
                for server in here
            ]
            models = FallbackModels(engines[0], *engines[1:], clock=SystemClock())
            closing.push_async_callback(models.close)
            model = models.open(FLOW, locale="en-US", time_zone="UTC")
            began = time.monotonic()
            said = [
                "".join([piece.text async for piece in model.reply(asked()) if isinstance(piece, SentText)])
                for _ in range(replies)
            ]
            return said, [len(server.bodies) for server in here], time.monotonic() - began

    return asyncio.run(run())


def works(dialect: Dialect, words: str = "Hello.") -> list[Answer]:
    return [streams(dialect.says(words))]


def test_429_is_waited_for_where_the_caller_has_the_patience(dialect: Dialect) -> None:
    busy = refuses(429, header="retry-after: 0.4")
    said, asks, took_s = chain_of(dialect, [busy, *works(dialect)], works(dialect, "Instead."))
    assert (said, asks) == (["Hello."], [2, 0])
    assert took_s >= 0.4


def test_429_for_longer_is_answered_by_the_next_model_at_once(dialect: Dialect) -> None:
    busy = refuses(429, header="retry-after: 20")
    said, asks, took_s = chain_of(dialect, [busy], works(dialect, "Instead."), replies=2)
    assert said == ["Instead."] * 2
    assert asks == [1, 2], "and is left alone for as long as it has asked for"
    assert took_s < 3


def test_500_is_asked_once_more_after_a_short_pause(dialect: Dialect) -> None:
    said, asks, took_s = chain_of(dialect, [refuses(500), *works(dialect)], works(dialect, "Instead."))
    assert (said, asks) == (["Hello."], [2, 0])
    assert took_s >= 0.1
    said, asks, _ = chain_of(dialect, [refuses(500)], works(dialect, "Instead."))
    assert (said, asks) == (["Instead."], [2, 1])


def test_401_is_not_asked_again_and_the_operator_is_told(dialect: Dialect, caplog: pytest.LogCaptureFixture) -> None:
    said, asks, _ = chain_of(dialect, [refuses(401)], works(dialect, "Instead."), replies=2)
    assert said == ["Instead."] * 2
    assert asks == [1, 2]
    (page,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert page.getMessage() == "a model did not answer: m answered HTTP 401"
