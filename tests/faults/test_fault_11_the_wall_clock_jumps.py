"""Fault 11: the wall clock is set by an hour, or summer time ends: no call, and no token of one, notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from voiceagent.core import events as ev
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import SharedStore
from voiceagent.runtime.loader import load_flow
from voiceagent.stores.memory import MemoryStore
from voiceagent.stores.sqlite import SqliteStore
from voiceagent.telephony.call_tokens import TOKEN_LIFETIME_MS, CallGrant, CallTokens
from voiceagent.testing import After, RuntimeCall
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.attempts import InProcessLimits

BANK = load_flow(Path(__file__).parents[2] / "phases" / "bank")
HOUR_MS = 3_600_000
JUMPS = {"an hour ahead": HOUR_MS, "an hour back": -HOUR_MS, "a leap second": -1_000}
BEFORE_WINTER = int(datetime(2025, 11, 2, 5, 59, 50, tzinfo=UTC).timestamp() * 1_000)
"""Ten seconds before clocks in New York are set back from two to one."""
SAYINGS = (
    "Hi, I'd like to check the balance on my account please.",
    "My account number is four five one nine, two two seven.",
    "The pin is one two three four.",
    "Can you tell me about the last three transactions?",
    "I want to transfer two hundred and fifty dollars to my savings account.",
    "Yes, that's correct.",
)


def placed() -> RuntimeCall:
    accounts = [{"account_id": "C-1-checking", "kind": "checking", "balance": "1234.50", "currency": "USD"}]
    entry = {"date": "2025-11-20", "merchant": "Metro", "amount": "-12.00", "currency": "USD"}
    tools = {
        "verify_caller": {"verified": True, "customer_id": "C-1", "name": "Daniel Harris", "attempts_left": 5},
        "get_accounts": {"accounts": accounts},
        "recent_transactions": After(1_500, {"account": "checking", "transactions": [entry]}),
        "transfer": After(900, {"transfer_id": "X-1", "amount": "250", "currency": "USD"}),
    }
    return RuntimeCall(BANK, model=GuidedModels().open(BANK, locale="en-US", time_zone="UTC"), tools=tools)


def set_by(call: RuntimeCall, ms: int) -> None:
    call._server._clock.began_unix_ms += ms


def played(
    *, time_zone: str = "UTC", unix_ms: int = BEFORE_WINTER, before_each: Callable[[RuntimeCall], None] = lambda _: None
) -> list[tuple[int, ev.Event]]:
    """Play the call; `before_each` is done before the caller says anything. Returns all that happened, and when."""
    with placed() as call:
        call.start(time_zone=time_zone, unix_ms=unix_ms)
        for saying in SAYINGS:
            before_each(call)
            call.says(saying)
        assert call.ran("transfer") == 1
        assert call.phase == "wrap_up"
        return [(at_ms, event) for at_ms, event, _ in call.journal if not isinstance(event, ev.CallStarted)]


@pytest.mark.parametrize("jump_ms", JUMPS.values(), ids=JUMPS)
def test_a_call_is_the_same_to_the_millisecond_while_clocks_are_set(jump_ms: int) -> None:
    assert played(before_each=lambda call: set_by(call, jump_ms)) == played()


@pytest.mark.parametrize("time_zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])
def test_a_call_through_the_end_of_summer_time_is_like_any_other(time_zone: str) -> None:
    assert played(time_zone=time_zone) == played(time_zone="UTC")


def test_a_call_that_was_broken_off_goes_on_though_the_clock_was_set_back() -> None:
    with placed() as call:
        call.start()
        for saying in SAYINGS[:3]:
            call.says(saying)
        call.loses_connection()
        set_by(call, -HOUR_MS)
        call.run_ms(2_000).connects_again()
        assert [event.gap_ms for _, event, _ in call.journal if isinstance(event, ev.CallResumed)] == [0]
        assert call.phase == "account_inquiry"
        call.says(SAYINGS[3])
        assert "Metro" in call.heard[-1]


class SetClock(ManualClock):
    """A clock whose wall clock can be set."""

    def __init__(self) -> None:
        super().__init__()
        self.set_ms = 0

    def unix_ms(self) -> int:
        return super().unix_ms() + self.set_ms


@pytest.mark.parametrize("jump_ms", JUMPS.values(), ids=JUMPS)
@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_a_token_is_good_for_a_minute_whatever_the_wall_clock_says(where: str, jump_ms: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = SetClock()
        store: SharedStore = (
            MemoryStore(clock) if where == "memory" else SqliteStore(tmp_path / "state.db", clock=clock)
        )
        tokens = CallTokens(store)
        grant = CallGrant("desk", "CA0")
        early, late = await tokens.mint(grant), await tokens.mint(grant)
        clock.set_ms += jump_ms
        clock.advance(TOKEN_LIFETIME_MS - 1)
        assert await tokens.redeem(early, agent="desk") == grant
        clock.set_ms -= jump_ms
        clock.advance(1)
        assert await tokens.redeem(late, agent="desk") is None
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("jump_ms", JUMPS.values(), ids=JUMPS)
def test_workers_that_live_are_not_taken_for_dead_and_lockouts_last(jump_ms: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = SetClock()
        store, other = (SqliteStore(tmp_path / "state.db", clock=clock) for _ in range(2))
        lease = await store.begin("CA0")
        assert lease is not None
        await other.count("attempts of somebody", window_ms=HOUR_MS)
        in_memory = InProcessLimits(clock)
        await in_memory.count("somebody", window_ms=HOUR_MS)
        clock.set_ms += jump_ms
        clock.advance(5_000)
        assert await other.interrupted() == ()
        assert await other.take_over("CA0") is None
        assert await store.append(lease, 0, [b"{}"]) == 1
        assert await other.count("attempts of somebody", window_ms=HOUR_MS) == 2
        assert await in_memory.count("somebody", window_ms=HOUR_MS) == 2
        await store.close()
        await other.close()

    asyncio.run(scenario())
