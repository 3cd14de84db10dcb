"""A3: a recorded upgrade is refused by every worker, and so is a token that nobody used for a minute."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.stores.redis_server import redis_server
from voiceagent.ports import IncomingCall, SharedStore
from voiceagent.runtime.clock import SystemClock
from voiceagent.stores import open_store
from voiceagent.telephony.admission import media_path
from voiceagent.telephony.call_tokens import TOKEN_LIFETIME_MS, CallGrant, CallTokens
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import sign
from voiceagent.telephony.transfers import Transfers

_SECRET = "12345"
_SETTINGS = TelephonySettings(
    agents=frozenset({"bank"}), public_url="https://voice.example.com", twilio_auth_token=_SECRET, port=0
)


class LaterClock(SystemClock):
    """The clock of workers that went on for a while."""

    later_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.later_ms

    def unix_ms(self) -> int:
        return super().unix_ms() + self.later_ms


class Worker:
    """A worker's lines, on the state that it shares with others."""

    def __init__(self, state: SharedStore, clock: SystemClock) -> None:
        self.tokens = CallTokens(state)
        self.calls = 0
        self.media = MediaServer(
            _SETTINGS,
            handler=self._take,
            clock=clock,
            tokens=self.tokens,
            transfers=Transfers({}, clock, state),
            limits=CallLimits(_SETTINGS, state=state, clock=clock),
            detections=Detections(state, clock),
        )

    async def _take(self, _: IncomingCall) -> None:
        self.calls += 1

    async def answer(self, call: str) -> str:
        """Return the path that the webhook's answer names."""
        return media_path("twilio", "bank", await self.tokens.mint(CallGrant("bank", call)))


async def upgrade(port: int, path: str) -> int:
    """Open a media socket as the carrier does, and return the status of the answer."""
    signature = {"X-Twilio-Signature": sign(_SECRET, "wss://voice.example.com" + path)}
    try:
        async with connect(f"ws://127.0.0.1:{port}{path}", additional_headers=signature):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize("where", ["sqlite", "redis"])
def test_a3_a_replayed_upgrade_is_refused_by_both_workers(where: str, tmp_path: Path) -> None:
    if where == "redis":
        with redis_server(tmp_path) as server:
            asyncio.run(_replayed(server.url))
    else:
        asyncio.run(_replayed(f"sqlite:///{tmp_path}/state.db"))


async def _replayed(state: str) -> None:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        stores = [await open_store(state, clock=clock) for _ in range(2)]
        for store in stores:
            stack.push_async_callback(store.close)
        one, other = (Worker(store, clock) for store in stores)
        one_port = await stack.enter_async_context(one.media.serving(Starlette()))
        other_port = await stack.enter_async_context(other.media.serving(Starlette()))

        path = await one.answer("CA0")
        assert await upgrade(other_port, path) == 101, "the carrier comes to whichever worker"
        assert await upgrade(other_port, path) == 403
        assert await upgrade(one_port, path) == 403

        path = await one.answer("CA1")
        at_once = await asyncio.gather(*(upgrade(port, path) for port in (one_port, other_port) * 10))
        assert sorted(at_once) == [101] + [403] * 19


def test_a3_a_token_is_refused_after_a_minute(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = LaterClock()
        store = await open_store(f"sqlite:///{tmp_path}/state.db", clock=clock)
        worker = Worker(store, clock)
        async with worker.media.serving(Starlette()) as port:
            path = await worker.answer("CA0")
            clock.later_ms = TOKEN_LIFETIME_MS
            assert await upgrade(port, path) == 403
        await store.close()

    asyncio.run(scenario())


def test_a3_nobody_is_let_in_while_nobody_knows_what_was_used(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:

        async def scenario() -> None:
            clock = SystemClock()
            store = await open_store(server.url, clock=clock)
            worker = Worker(store, clock)
            async with worker.media.serving(Starlette()) as port:
                path = await worker.answer("CA0")
                server.freeze()
                assert await upgrade(port, path) == 503
                server.thaw()
                assert await upgrade(port, await worker.answer("CA1") + "_") == 403
            await store.close()

        asyncio.run(scenario())
