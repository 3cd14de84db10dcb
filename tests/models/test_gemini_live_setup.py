"""Gemini Live without a connection: what a session is set up with, how it is swapped in place, and that it will end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.models.gemini_live_codec import begun, receive, sent, with_request
from tests.models.gemini_live_server import BALANCE, GOODBYE, WHAT, WHO, calls, go_away, message, phase, result
from voiceagent.core.ids import Epoch
from voiceagent.models.gemini_live import LIVE_2, LIVE_3_1, LIVE_3_8, LIVE_3_8_THINKING, Generation, generation_of
from voiceagent.models.gemini_live.frames import setup_frame
from voiceagent.models.gemini_live.generations import PCM_16K, PCM_24K, capabilities_of
from voiceagent.ports import SessionEnding, SetupInForce, SpeechCapabilities

# --- the row ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "swap"), [(LIVE_2, "new_session"), (LIVE_3_1, "new_session"), (LIVE_3_8, "in_place")]
)
def test_the_row_says_what_the_facts_say(generation: Generation, swap: Any) -> None:
    assert capabilities_of(generation) == SpeechCapabilities(
        name="gemini_live",
        swap=swap,
        audio_in=(PCM_16K,),
        audio_out=(PCM_24K,),
        transcribes=True,
        session_limit_ms=600_000,
        idle_limit_ms=None,
    )


@pytest.mark.parametrize(
    ("model", "generation"),
    [
        ("gemini-2.0-flash-live-001", LIVE_2),
        ("models/gemini-2.5-flash-native-audio-preview-12-2025", LIVE_2),
        ("gemini-live-2.5-flash-native-audio", LIVE_2),
        ("gemini-3.1-flash-live-preview", LIVE_3_1),
        ("gemini-3.8-live", LIVE_3_8),
        ("gemini-3.10-live", LIVE_3_8),
        ("gemini-3.8-live-extended-thinking", LIVE_3_8_THINKING),
        ("my-tuned-model", LIVE_2),
    ],
)
def test_a_models_name_says_how_it_is_swapped(model: str, generation: Generation) -> None:
    assert generation_of(model) == generation


# --- the setup -------------------------------------------------------------------------------------------------------


def setup_of(generation: Generation, setup: Any = WHO, **options: Any) -> Any:
    return json.loads(setup_frame("gemini-3.8-live", setup, generation, **options))["setup"]


def test_the_setup_has_prompt_and_late_facts_as_two_paragraphs_and_the_voice() -> None:
    setup = setup_of(LIVE_2, phase(1, "Static.", late_facts="Late.", voice="Kore"))
    assert setup["systemInstruction"] == {"role": "user", "parts": [{"text": "Static."}, {"text": "Late."}]}
    assert setup["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }
    assert setup["model"] == "models/gemini-3.8-live"


def test_the_setup_asks_for_all_that_is_off_by_default() -> None:
    setup = setup_of(LIVE_3_8, end_of_speech_ms=600)
    assert setup["inputAudioTranscription"] == setup["outputAudioTranscription"] == {}
    assert setup["contextWindowCompression"] == {"slidingWindow": {}}
    assert setup["realtimeInputConfig"] == {
        "automaticActivityDetection": {"silenceDurationMs": 600},
        "activityHandling": "START_OF_ACTIVITY_INTERRUPTS",
    }


def test_no_session_is_resumed_so_no_handle_is_asked_for() -> None:
    assert "sessionResumption" not in setup_of(LIVE_3_8)


def test_only_the_phases_tools_are_in_the_setup_and_a_phase_without_tools_has_no_list() -> None:
    (tool,) = setup_of(LIVE_2)["tools"]
    assert [function["name"] for function in tool["functionDeclarations"]] == ["verify_caller", "say_goodbye"]
    assert "tools" not in setup_of(LIVE_2, phase(1, "Listen."))


@pytest.mark.parametrize(
    ("generation", "behavior"),
    [(LIVE_2, None), (LIVE_3_1, None), (LIVE_3_8, "BLOCKING"), (LIVE_3_8_THINKING, "NON_BLOCKING")],
)
def test_a_model_that_would_not_wait_for_tools_is_told_to(generation: Generation, behavior: str | None) -> None:
    (tool,) = setup_of(generation)["tools"]
    assert {function.get("behavior") for function in tool["functionDeclarations"]} == {behavior}


def test_a_move_is_declared_without_parameters() -> None:
    (tool,) = setup_of(LIVE_2, phase(1, "Listen.", GOODBYE))["tools"]
    assert tool["functionDeclarations"] == [{"name": "say_goodbye", "description": "The caller is done."}]


# --- swapping in place -----------------------------------------------------------------------------------------------


def test_an_update_changes_what_differs_and_is_in_force_when_it_has_been_sent() -> None:
    protocol = begun()
    protocol.update(WHAT)
    update, in_force = sent(protocol)
    assert update == {
        "contextUpdate": {
            "systemInstruction": {
                "role": "user",
                "parts": [{"text": "Help with the account."}, {"text": "The caller is Ada."}],
            },
            "tools": {
                "tools": [
                    {
                        "functionDeclarations": [
                            {
                                "name": "get_balance",
                                "description": "Look up the balance.",
                                "parameters": {
                                    "type": "OBJECT",
                                    "properties": {
                                        "account": {
                                            "type": "STRING",
                                            "enum": ["checking", "savings"],
                                            "format": "enum",
                                        }
                                    },
                                },
                                "behavior": "BLOCKING",
                            },
                            {"name": "say_goodbye", "description": "The caller is done.", "behavior": "BLOCKING"},
                        ]
                    }
                ]
            },
        }
    }
    assert in_force == SetupInForce(Epoch(2))


def test_an_update_sends_nothing_that_stays_and_clears_tools_that_go() -> None:
    protocol = begun(setup=phase(1, "Same.", BALANCE))
    protocol.update(phase(2, "Same.", BALANCE))
    assert sent(protocol) == [SetupInForce(Epoch(2))]
    protocol.update(phase(3, "Same."))
    assert sent(protocol) == [{"contextUpdate": {"tools": {"tools": []}}}, SetupInForce(Epoch(3))]
    protocol.update(phase(4, "Other."))
    update, _ = sent(protocol)
    assert list(update["contextUpdate"]) == ["systemInstruction"]


def test_p1_the_swap_comes_before_the_result_of_the_tool_that_led_to_it() -> None:
    protocol = with_request()
    protocol.update(WHAT)
    protocol.tell([result("c1", "true")])
    protocol.ask()
    update, in_force, response = sent(protocol)
    assert (list(update), in_force, list(response)) == (["contextUpdate"], SetupInForce(Epoch(2)), ["toolResponse"])


def test_p18_nothing_is_sent_that_would_be_answered_under_the_prompt_that_is_about_to_go() -> None:
    """A result told too early, even one that is asked for too early but not all of what is owed, sets off no reply."""
    protocol = begun()
    receive(protocol, calls(("c1", "verify_caller", {}), ("c2", "get_balance", {})))
    protocol.tell([result("c1", "true"), message("note", "[A letter came.]")])
    protocol.ask()
    assert sent(protocol) == []
    protocol.update(WHAT)
    protocol.tell([result("c2", "1")])
    assert [list(out) if isinstance(out, dict) else out for out in sent(protocol)] == [
        ["contextUpdate"],
        SetupInForce(Epoch(2)),
        ["toolResponse"],
    ]


# --- the end is near -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "left_ms"), [("50s", 50_000), ("9.500s", 9_500), ("0s", 0), ("soon", 0), ("", 0)])
def test_the_end_of_the_connection_is_announced_once(left: str, left_ms: int) -> None:
    assert receive(begun(), go_away(left), go_away(left)) == [SessionEnding(left_ms)]


def test_the_end_may_be_announced_while_a_tool_runs() -> None:
    protocol = with_request()
    assert receive(protocol, go_away("60s")) == [SessionEnding(60_000)]
    protocol.tell([result("c1", "1")])
    protocol.ask()
    assert [list(frame) for frame in sent(protocol)] == [["toolResponse"]]
