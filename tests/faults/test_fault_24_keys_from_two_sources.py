"""Fault 24: keys while the agent speaks, and the sound of the same keys in the audio: in order, each once."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import JsonValue

from voiceagent.core import events as ev
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import RuntimeCall

BANK = load_flow("bank")
NUMBER, PIN = "4519227", "1234"


def placed(seen: list[tuple[str, str]]) -> RuntimeCall:
    def verify(arguments: Mapping[str, JsonValue]) -> JsonValue:
        seen.append((str(arguments["account_number"]), str(arguments["pin"])))
        return {"verified": True, "customer_id": "C-1", "name": "Daniel", "attempts_left": 3}

    tools = {
        "verify_caller": verify,
        "get_accounts": {
            "accounts": [{"account_id": "C-1-checking", "kind": "checking", "balance": "12.00", "currency": "USD"}]
        },
        "recent_transactions": {"account": "checking", "transactions": []},
    }
    model = GuidedModels().open(BANK, locale="en-US", time_zone="UTC")
    return RuntimeCall(BANK, model=model, tools=tools).start()


@pytest.mark.parametrize("into_the_question", [False, True], ids=["after the question", "into the question"])
@pytest.mark.parametrize("audible", [False, True], ids=["silent keys", "keys that are heard as well"])
def test_keys_come_in_order_and_once(into_the_question: bool, audible: bool) -> None:
    seen: list[tuple[str, str]] = []
    with placed(seen) as call:
        call.says("What is my balance?", then_wait=not into_the_question)
        if into_the_question:
            call.until_speaking(400)
        for digits in (NUMBER, PIN):
            for key in digits:
                if audible:
                    call.begins_to_say("", lasting_ms=120)  # a tone: voice without words
                call.presses(key, then_wait=False)
            call.until_quiet()
        assert [pressed for entry in call.journal if isinstance(pressed := entry[1], ev.DigitsPressed)]
        assert seen == [(NUMBER, PIN)]
        assert call.phase == "account_inquiry"
