"""A PIN is never anywhere but in the call's vault."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceagent.core import effects as fx
from voiceagent.errors import ToolFailed
from voiceagent.testing import ScriptedCall, say

Place = Callable[..., ScriptedCall]


def seen_by_the_core(call: ScriptedCall) -> str:
    """Everything that could be logged, journalled or shown to a model."""
    return call.record.timeline() + repr(call.conversation.transcript.messages()) + repr(call.tool_runs)


def test_a_spoken_pin_is_a_handle_before_it_is_an_event(authenticated: Place) -> None:
    call = authenticated([say("How can I help?")])
    seen = seen_by_the_core(call)
    assert "⟨pin#2: 4 digits⟩" in seen
    for secret in ("1234", "one two three four", "4519227", "four five one nine"):
        assert secret not in seen


def test_a_tool_receives_the_digits_themselves(place_call: Place) -> None:
    received: list[object] = []

    def verify(arguments: object) -> object:
        received.append(arguments)
        return {"verified": True, "customer_id": "c", "attempts_left": 3}

    call = place_call(
        {"inquiry": [say("How can I help?")]},
        tools={"verify": verify},
    )
    call.says("My balance").says("four five one nine two two seven").says("the pin is one two three four")
    assert received == [{"account": "4519227", "pin": "1234"}]


def test_a_pin_can_be_pressed(place_call: Place) -> None:
    received: list[object] = []

    def verify(arguments: object) -> object:
        received.append(arguments)
        return {"verified": True, "customer_id": "c", "attempts_left": 3}

    call = place_call({"inquiry": [say("How can I help?")]}, tools={"verify": verify})
    call.says("My balance").presses("4519227").presses("1234")
    assert received == [{"account": "4519227", "pin": "1234"}]
    assert "1234" not in seen_by_the_core(call)


def test_secrets_die_with_their_phase(authenticated: Place) -> None:
    call = authenticated([say("How can I help?")])
    assert call.record.effects(fx.ForgetSealed) == [fx.ForgetSealed(("account#1", "pin#2"))]
    with pytest.raises(ToolFailed, match="no longer there"):
        call.vault.resolve("⟨pin#2: 4 digits⟩")
