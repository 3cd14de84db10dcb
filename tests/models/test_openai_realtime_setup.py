"""OpenAI Realtime without a socket: what a session is set up with, and how prompt and tools are swapped in it."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest

from voiceagent.core.ids import Epoch
from voiceagent.ports import (
    MULAW_8K,
    AudioFormat,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    SessionLost,
    SetupInForce,
)

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import (
    ACTIVE,
    ALAW_8K,
    GET_BALANCE,
    NOTE,
    PCM_24K,
    Wire,
    audio,
    began,
    done,
    error,
    open_wire,
    session_created,
    session_updated,
    setup,
)
from voiceagent.models.openai_realtime.setup import SemanticTurns, ServerTurns, capabilities_of

# --- what it can do --------------------------------------------------------------------------------------------------


def test_r1_the_row_says_what_the_provider_can_do():
    row = capabilities_of("openai_realtime", transcribes=True, turns=ServerTurns(silence_ms=700))

    assert row.swap == "in_place"
    assert set(row.audio_in) == set(row.audio_out) == {MULAW_8K, ALAW_8K, PCM_24K}
    assert row.transcribes
    assert (row.session_limit_ms, row.idle_limit_ms) == (3_600_000, None)
    assert row.turn_ends_after_ms == 700
    semantic = capabilities_of("azure_realtime", transcribes=False, turns=SemanticTurns())
    assert not semantic.transcribes
    assert semantic.turn_ends_after_ms is None  # nobody knows when it takes a sentence for complete


# --- setting up ------------------------------------------------------------------------------------------------------


def test_the_first_update_says_all_that_we_depend_on():
    wire = open_wire(setup(prompt="Be brief.", late_facts="It is Monday."), language="de")

    assert wire.sent[0]["session"] == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be brief.\n\nIt is Monday.",
        "tools": [
            {
                "type": "function",
                "name": "get_balance",
                "description": "Look up a balance.",
                "parameters": GET_BALANCE.parameters,
            }
        ],
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "turn_detection": {
                    "type": "server_vad",
                    "silence_duration_ms": 500,
                    "threshold": 0.5,
                    "create_response": True,
                    "interrupt_response": False,
                },
                "transcription": {"model": "gpt-realtime-whisper", "language": "de"},
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
        },
    }


def test_the_model_never_breaks_off_by_itself_however_it_tells_turns():
    detection = open_wire(turns=SemanticTurns("high")).sent[0]["session"]["audio"]["input"]["turn_detection"]

    assert detection == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": True,
        "interrupt_response": False,
    }


@pytest.mark.parametrize(
    ("spoken", "on_the_wire"),
    [
        (MULAW_8K, {"type": "audio/pcmu"}),
        (ALAW_8K, {"type": "audio/pcma"}),
        (PCM_24K, {"type": "audio/pcm", "rate": 24_000}),
    ],
)
def test_audio_passes_as_it_is(spoken: AudioFormat, on_the_wire: dict[str, Any]):
    wire = open_wire(setup(audio=spoken))
    sound = bytes(range(256))

    [heard_frame] = wire.send(wire.protocol.hear(sound))
    events = wire.receive(began("resp_1"), audio("resp_1", sound))

    configured = wire.sent[0]["session"]["audio"]
    assert (configured["input"]["format"], configured["output"]["format"]) == (on_the_wire, on_the_wire)
    assert b64decode(heard_frame["audio"]) == sound
    assert events[1] == ModelReplyAudio("resp_1", sound)


def test_an_endpoint_that_does_not_transcribe_is_not_asked_to():
    assert open_wire(transcription=None).sent[0]["session"]["audio"]["input"]["transcription"] is None


def test_the_pace_and_the_language_of_a_phase_stand_in_its_first_update():
    wire = open_wire(replace(setup(), language="es-MX", speaking_rate=1.2), language="de")

    configured = wire.sent[0]["session"]["audio"]
    assert configured["output"]["speed"] == 1.2
    assert configured["input"]["transcription"]["language"] == "es"


def test_what_the_provider_cannot_speed_up_to_is_as_fast_as_it_can():
    wire = open_wire(replace(setup(), speaking_rate=2.0))

    assert wire.sent[0]["session"]["audio"]["output"]["speed"] == 1.5


# --- swapping in place -----------------------------------------------------------------------------------------------


def test_p1_a_swap_is_confirmed_before_anything_is_told_under_it():
    wire = open_wire()

    wire.send(wire.protocol.update(setup(epoch=2, prompt="You know the caller.", tools=())))
    events = wire.receive(session_updated())
    wire.send(wire.protocol.tell([NOTE]))
    wire.send(wire.protocol.ask())

    assert events == [SetupInForce(Epoch(2))]
    assert [frame["type"] for frame in wire.sent[1:]] == [
        "session.update",
        "conversation.item.create",
        "response.create",
    ]


def test_an_update_replaces_prompt_and_tools_and_nothing_else():
    wire = open_wire()

    [frame] = wire.send(wire.protocol.update(setup(epoch=2, prompt="Say goodbye.", tools=())))

    assert frame["session"] == {"type": "realtime", "instructions": "Say goodbye.", "tools": []}


def test_updates_in_flight_are_confirmed_in_their_order():
    wire = open_wire()
    for epoch in (2, 3):
        wire.send(wire.protocol.update(setup(epoch=epoch)))

    assert wire.receive(session_updated()) == [SetupInForce(Epoch(2))]
    assert wire.receive(session_updated()) == [SetupInForce(Epoch(3))]
    assert wire.receive(session_updated()) == []


def test_a_voice_changes_only_before_the_model_has_spoken():
    wire = open_wire()
    [before] = wire.send(wire.protocol.update(setup(epoch=2, voice="cedar")))
    [again] = wire.send(wire.protocol.update(setup(epoch=3, voice="cedar")))
    wire.receive(session_updated(), session_updated(), began("resp_1"), audio("resp_1", b"hello"), done("resp_1"))
    [after] = wire.send(wire.protocol.update(setup(epoch=4, voice="marin")))

    assert before["session"]["audio"] == {"output": {"voice": "cedar"}}
    assert "audio" not in again["session"]
    assert "audio" not in after["session"]


def test_audio_that_nobody_wanted_has_settled_the_voice_too():
    wire = open_wire()
    wire.receive(began("resp_1"))
    wire.send(wire.protocol.cancel())
    wire.receive(audio("resp_1", b"hello"), done("resp_1", "cancelled"))

    [frame] = wire.send(wire.protocol.update(setup(epoch=2, voice="cedar")))

    assert "audio" not in frame["session"]


@pytest.mark.parametrize(("kind", "permanent"), [("invalid_request_error", True), ("server_error", False)])
def test_an_update_that_is_refused_ends_the_session(kind: str, permanent: bool):
    wire = open_wire()
    [frame] = wire.send(wire.protocol.update(setup(epoch=2)))

    events = wire.receive(error("invalid_value", about=frame["event_id"], kind=kind))

    assert events == [SessionLost("a model refused the new setup (invalid_value)", permanent=permanent)]
    assert wire.receive(session_updated(), began("resp_1")) == []


def test_the_refusal_is_of_the_update_it_names_and_those_before_it_hold():
    wire = open_wire()
    wire.send(wire.protocol.update(setup(epoch=2)))
    [second] = wire.send(wire.protocol.update(setup(epoch=3)))

    assert wire.receive(session_updated()) == [SetupInForce(Epoch(2))]
    [lost] = wire.receive(error("invalid_value", about=second["event_id"]))
    assert isinstance(lost, SessionLost)


def test_an_update_is_refused_without_its_id_where_the_error_is_about_the_session():
    wire = open_wire()
    wire.send(wire.protocol.update(setup(epoch=2)))

    [lost] = wire.receive(error("invalid_value", param="session.tools[0].name"))

    assert isinstance(lost, SessionLost)


def test_a_session_that_is_refused_from_the_start_is_lost_with_the_reason():
    wire = Wire()

    assert wire.receive(session_created(), error("invalid_model")) == [
        SessionLost("a model refused the session (invalid_model)", permanent=True)
    ]
    assert not wire.protocol.ready


# --- what swaps and replies by itself --------------------------------------------------------------------------------


def test_p18_a_reply_that_begins_before_the_swap_holds_is_seen_to_be_of_the_old_phase():
    wire = open_wire()
    wire.send(wire.protocol.update(setup(epoch=2)))

    events = wire.receive(began("resp_old"), session_updated(), done("resp_old"), began("resp_new"))

    assert [type(event) for event in events] == [ModelReplyBegan, SetupInForce, ModelReplyEnded, ModelReplyBegan]


def test_p18_a_reply_of_the_old_phase_does_not_count_as_the_one_asked_for():
    wire = open_wire()
    wire.send(wire.protocol.update(setup(epoch=2)))
    [ask] = wire.send(wire.protocol.ask())

    wire.receive(began("resp_old"), session_updated(), error(ACTIVE, about=ask["event_id"]), done("resp_old"))

    assert wire.asks == 2


def test_a_swap_says_which_pace_and_language_have_changed_and_nothing_else():
    english = replace(setup(), language="en-US")
    wire = open_wire(english)

    [spanish] = wire.send(wire.protocol.update(replace(setup(epoch=2), language="es", speaking_rate=0.8)))
    [same] = wire.send(wire.protocol.update(replace(setup(epoch=3), language="es-MX", speaking_rate=0.8)))
    [back] = wire.send(wire.protocol.update(replace(english, epoch=4)))

    assert spanish["session"]["audio"] == {
        "input": {"transcription": {"model": "gpt-realtime-whisper", "language": "es"}},
        "output": {"speed": 0.8},
    }
    assert "audio" not in same["session"]
    assert back["session"]["audio"]["output"] == {"speed": 1.0}
    assert back["session"]["audio"]["input"]["transcription"]["language"] == "en"
