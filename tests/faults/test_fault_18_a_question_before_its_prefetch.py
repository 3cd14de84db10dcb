"""Fault 18: a question that comes before what was fetched ahead waits for that very fetch, under a filler."""

from __future__ import annotations

from pathlib import Path

import pytest

from voiceagent.core import effects as fx
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import After, RuntimeCall

BANK = load_flow(Path(__file__).parents[2] / "phases" / "bank")
ENTRY = {"date": "2025-11-20", "merchant": "Metro", "amount": "-12.00", "currency": "USD"}
ACCOUNT = {"account_id": "C-1-checking", "kind": "checking", "balance": "1234.50", "currency": "USD"}


def known_caller(*, history_takes_ms: int) -> RuntimeCall:
    """Place a call to the bank by somebody who has just been recognised, up to what they hear then."""
    tools = {
        "verify_caller": {"verified": True, "customer_id": "C-1", "name": "Daniel Harris", "attempts_left": 5},
        "get_accounts": {"accounts": [ACCOUNT]},
        "recent_transactions": After(history_takes_ms, {"account": "checking", "transactions": [ENTRY]}),
    }
    call = RuntimeCall(BANK, model=GuidedModels().open(BANK, locale="en-US", time_zone="UTC"), tools=tools)
    call.start().says("Hi, I'd like to check the balance on my account please.")
    call.says("My account number is four five one nine, two two seven.")
    return call.says("The pin is one two three four.", then_wait=False).until(fx.ServeFromCache)


@pytest.mark.parametrize("slow_ms", [6_000, 8_000])
def test_the_question_waits_for_the_fetch_that_is_under_way(slow_ms: int) -> None:
    with known_caller(history_takes_ms=slow_ms) as call:
        call.says("Can you tell me about the last three transactions?", then_wait=False)
        asked = len(call.journal)
        call.until_quiet()
        assert call.ran("recent_transactions") == 1, "no second request"
        served = call.record.effects(fx.ServeFromCache)[-1]
        assert served.how == "joined"
        assert served.saved_ms > 0
        assert not [start for start in call.record.effects(fx.StartTool) if start.tool == "recent_transactions"]
        assert "Metro" in call.heard[-1]
        later = [out.effect for _, _, outgoing in call.journal[asked:] for out in outgoing]
        assert any(isinstance(effect, fx.Speak) and effect.kind == "filler" for effect in later)


def test_a_fetch_that_is_quicker_than_the_question_is_not_waited_for() -> None:
    with known_caller(history_takes_ms=300) as call:
        call.until_quiet().says("Can you tell me about the last three transactions?")
        assert call.ran("recent_transactions") == 1
        assert call.record.effects(fx.ServeFromCache)[-1].how == "hit"
        assert call.record.fillers == []
