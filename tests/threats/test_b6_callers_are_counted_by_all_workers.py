"""B6: one number that calls twenty times a minute is refused, whichever workers its calls come to."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.stores.redis_server import redis_server
from voiceagent.errors import StateUnavailable
from voiceagent.runtime.clock import SystemClock
from voiceagent.stores import open_store
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.settings import TelephonySettings

SETTINGS = TelephonySettings(agents=frozenset({"bank"}), max_caller_calls_per_minute=10, max_calls_per_caller=3)
CALLER, OTHER = "+15550100", "+15550101"


async def _called(state: str) -> None:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        stores = [await open_store(state, clock=clock) for _ in range(3)]
        for store in stores:
            stack.push_async_callback(store.close)
        workers = [CallLimits(SETTINGS, state=store, clock=clock) for store in stores]

        async def begun(number: int) -> str | None:
            """Begin a call and end it at once."""
            worker = workers[number % len(workers)]
            over = await worker.caller_is_over(f"CA{number}", CALLER)
            if over is None:
                async with worker.going_on(f"CA{number}", CALLER):
                    pass
            return over

        refused = [over for over in [await begun(number) for number in range(20)] if over is not None]
        assert refused == ["its caller has begun 10 calls within a minute"] * 10
        at_once = await asyncio.gather(
            *(worker.caller_is_over(f"CB{number}", OTHER) for number, worker in enumerate(workers * 5))
        )
        assert at_once.count(None) == 3
        assert set(at_once) == {None, "its caller has 3 calls already"}


@pytest.mark.parametrize("where", ["sqlite", "redis"])
def test_a_number_is_counted_by_all_workers(where: str, tmp_path: Path) -> None:
    if where == "redis":
        with redis_server(tmp_path) as server:
            asyncio.run(_called(server.url))
    else:
        asyncio.run(_called(f"sqlite:///{tmp_path}/state.db"))


def test_nobody_is_let_in_while_nobody_can_count(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:

        async def scenario() -> None:
            clock = SystemClock()
            store = await open_store(server.url, clock=clock)
            limits = CallLimits(SETTINGS, state=store, clock=clock)
            server.freeze()
            with pytest.raises(StateUnavailable):
                await limits.caller_is_over("CA0", CALLER)
            server.thaw()
            await store.close()

        asyncio.run(scenario())
