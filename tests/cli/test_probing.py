"""`voiceagent probe`: whether callers would be answered."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Run
from voiceagent.core.conversation import Conversation
from voiceagent.core.events import PhaseSwapped
from voiceagent.speech.null import _hum


@pytest.mark.usefixtures("shop")
def test_an_agent_that_greets_is_healthy(voiceagent: Run) -> None:
    code, said, complained = voiceagent("probe", "shop", "--engines", "null")
    assert (code, complained) == (0, "")
    assert said.startswith("healthy: the agent was heard after ")


@pytest.mark.usefixtures("shop")
def test_a_machine_is_told_the_same(voiceagent: Run) -> None:
    _, said, _ = voiceagent("probe", "shop", "--engines", "null", "--json")
    health = json.loads(said)
    assert health.pop("greeted_after_ms") >= 0
    assert health == {"healthy": True, "connected": True, "ended_well": True, "reason": None}


def test_a_server_that_is_not_there_is_not_healthy(voiceagent: Run) -> None:
    code, said, complained = voiceagent("probe", "ws://127.0.0.1:1/media/twilio/shop", "--json")
    assert code == 1
    assert json.loads(said)["connected"] is False
    assert complained == "voiceagent: not healthy: nobody listens at 127.0.0.1:1\n"


@pytest.mark.usefixtures("shop")
def test_an_agent_that_is_not_heard_is_not_healthy(voiceagent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiceagent.speech.null._HUM_PEAK", 0)
    _hum.cache_clear()
    code, _, complained = voiceagent("probe", "shop", "--engines", "null", "--within-s", "1")
    _hum.cache_clear()
    assert code == 1
    assert "not healthy: the agent was not heard" in complained


@pytest.mark.usefixtures("shop")
def test_an_agent_whose_call_breaks_is_not_healthy(voiceagent: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Conversation.handle

    def breaks(conversation: Conversation, event: object, now_ms: int) -> object:
        if isinstance(event, PhaseSwapped):
            raise ZeroDivisionError
        return handle(conversation, event, now_ms)  # pyright: ignore[reportArgumentType] - the method it stands for

    monkeypatch.setattr(Conversation, "handle", breaks)
    code, _, complained = voiceagent("probe", "shop", "--engines", "null")
    assert code == 1
    assert "not healthy: the call was closed by the agent" in complained


@pytest.mark.usefixtures("shop")
def test_several_workers_without_shared_state_cannot_share_tokens_and_say_so(voiceagent: Run) -> None:
    signed = ("--public-url", "https://voice.example.com", "--twilio-auth-token", "12345")
    code, _, complained = voiceagent("serve", "shop", "--engines", "null", "--workers", "2", *signed)
    assert code == 1
    assert "several workers have to share the tokens that let calls in: give --state" in complained
