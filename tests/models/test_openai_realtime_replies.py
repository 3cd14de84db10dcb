"""OpenAI Realtime without a socket: what is sent when, and what comes of what is received."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.ports import (
    MULAW_8K,
    AudioFormat,
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    SessionLost,
    SetupInForce,
    SpeechModelEvent,
)

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import (
    GET_BALANCE,
    Frame,
    Wire,
    audio,
    began,
    done,
    error,
    event,
    function_call,
    heard,
    heard_all,
    item_added,
    item_began,
    item_done,
    not_heard,
    open_wire,
    session_created,
    session_updated,
    setup,
    words,
)
from voiceagent.models.openai_realtime.protocol import CANCELLED, NO_RESULT_YET
from voiceagent.models.openai_realtime.setup import SemanticTurns, capabilities_of

PCM_24K = AudioFormat("pcm16", 24_000)
ALAW_8K = AudioFormat("alaw", 8_000)
NOTE = Message(7, "note", "The caller is verified.", Epoch(2))
SECOND_OF_MULAW = bytes(8_000)
ACTIVE = "conversation_already_has_active_response"


def result(request: str, text: str = '{"balance": 12}', *, failed: bool = False, epoch: int = 1) -> Message:
    return Message(5, "tool_result", text, Epoch(epoch), request=request, tool="get_balance", failed=failed)


def requested(wire: Wire, request: str, *, reply: str = "resp_1") -> None:
    """Have a whole reply go by that asks for a tool."""
    wire.receive(began(reply), item_done(reply, function_call(request)), done(reply))


# --- what it can do --------------------------------------------------------------------------------------------------


def test_r1_the_row_says_what_the_provider_can_do():
    row = capabilities_of("openai_realtime", transcribes=True)

    assert row.swap == "in_place"
    assert set(row.audio_in) == set(row.audio_out) == {MULAW_8K, ALAW_8K, PCM_24K}
    assert row.transcribes
    assert (row.session_limit_ms, row.idle_limit_ms) == (3_600_000, None)
    assert not capabilities_of("azure_realtime", transcribes=False).transcribes


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


# --- asking ----------------------------------------------------------------------------------------------------------


def test_p3_a_reply_is_never_asked_for_while_one_is_being_made():
    wire = open_wire()
    wire.receive(began("resp_1"))
    wire.send(wire.protocol.tell([NOTE]))
    wire.send(wire.protocol.ask())
    assert wire.asks == 0

    wire.receive(done("resp_1"))
    assert wire.asks == 1


def test_an_ask_while_one_is_under_way_is_the_same_unless_more_was_told():
    wire = open_wire()
    wire.send(wire.protocol.tell([NOTE]))
    wire.send(wire.protocol.ask())
    wire.send(wire.protocol.ask())
    wire.receive(began("resp_1"), done("resp_1"))  # from a server that confirms nothing of what it is told
    assert wire.asks == 1

    wire.send(wire.protocol.ask())
    wire.send(wire.protocol.tell([NOTE]))
    wire.send(wire.protocol.ask())
    assert wire.asks == 2
    wire.receive(began("resp_2"))
    wire.confirm_told()
    wire.receive(done("resp_2"))
    assert wire.asks == 3


def test_a_reply_of_its_own_accord_that_knows_all_counts_as_the_one_asked_for():
    wire = open_wire()
    wire.receive(began("resp_1"))
    wire.send(wire.protocol.tell([NOTE]))
    wire.send(wire.protocol.ask())
    wire.confirm_told()
    wire.receive(done("resp_1"))
    [ask] = wire.sent_kind("response.create")

    # The caller had spoken meanwhile: the provider began this one before our ask came in.
    wire.receive(began("resp_2"), error(ACTIVE, about=ask["event_id"]), done("resp_2"))

    assert wire.asks == 1


def test_an_ask_that_waits_is_met_by_a_reply_of_its_own_accord_that_knows_all():
    wire = open_wire()
    wire.send(wire.protocol.tell([NOTE]))
    wire.confirm_told()
    [ask] = wire.send(wire.protocol.ask())
    wire.receive(error(ACTIVE, about=ask["event_id"]))
    assert wire.protocol.waits_to_ask

    wire.receive(began("resp_1"), done("resp_1"))

    assert wire.asks == 1
    assert not wire.protocol.waits_to_ask


def test_p3_an_ask_that_crosses_a_reply_is_repeated_after_it_where_the_reply_could_not_know():
    wire = open_wire()
    wire.send(wire.protocol.tell([NOTE]))
    [ask] = wire.send(wire.protocol.ask())

    wire.receive(began("resp_1"))
    wire.confirm_told()
    wire.receive(error(ACTIVE, about=ask["event_id"]))
    assert wire.asks == 1
    wire.receive(done("resp_1"))
    assert wire.asks == 2


def test_p3_the_refusal_may_come_after_the_crossing_reply_is_over():
    wire = open_wire()
    wire.send(wire.protocol.tell([NOTE]))
    [ask] = wire.send(wire.protocol.ask())

    wire.receive(began("resp_1"), done("resp_1"), error(ACTIVE, about=ask["event_id"]))

    assert wire.asks == 2


def test_p3_an_ask_refused_for_a_reply_that_has_not_begun_is_repeated():
    wire = open_wire()
    [ask] = wire.send(wire.protocol.ask())

    assert wire.receive(error(None, about=ask["event_id"], kind=ACTIVE)) == []
    assert wire.protocol.waits_to_ask
    wire.send(wire.protocol.ask_again())
    assert wire.asks == 2
    assert not wire.protocol.waits_to_ask


def test_p3_a_provider_that_goes_on_refusing_is_given_up():
    wire = open_wire()
    wire.send(wire.protocol.ask())
    events: list[SpeechModelEvent] = []
    while not events and wire.asks < 100:
        events = wire.receive(error(ACTIVE, about=wire.sent[-1]["event_id"]))
        wire.send(wire.protocol.ask_again())

    assert events == [SessionLost(f"a model did not reply ({ACTIVE})", permanent=False)]
    assert not wire.protocol.waits_to_ask


def test_an_ask_refused_for_another_reason_ends_the_session_since_nobody_would_speak():
    wire = open_wire()
    [ask] = wire.send(wire.protocol.ask())

    assert wire.receive(error("rate_limit_exceeded", about=ask["event_id"])) == [
        SessionLost("a model did not reply (rate_limit_exceeded)", permanent=False)
    ]


def test_a_failure_of_the_servers_own_while_a_reply_is_due_ends_the_session():
    wire = open_wire()
    assert wire.receive(error(None, kind="server_error")) == []
    wire.send(wire.protocol.ask())

    assert wire.receive(error(None, kind="server_error")) == [
        SessionLost("a model did not reply (server_error)", permanent=False)
    ]


def test_p6_nothing_that_is_told_makes_the_model_speak():
    wire = open_wire()
    requested(wire, "call_1")

    wire.send(wire.protocol.tell([Message(1, "caller", "Hello", Epoch(1)), NOTE, result("call_1")]))
    wire.confirm_told()

    assert wire.asks == 0


# --- tools -----------------------------------------------------------------------------------------------------------


def test_a_request_is_passed_on_whole_and_once():
    wire = open_wire()
    call = function_call("call_1", arguments='{"account": "7"}')

    events = wire.receive(
        began("resp_1"),
        item_began("resp_1", call),
        event(
            "response.function_call_arguments.done",
            response_id="resp_1",
            item_id="item_call_1",
            output_index=0,
            call_id="call_1",
            name="get_balance",
            arguments='{"account": "7"}',
        ),
        item_done("resp_1", call),
        item_done("resp_1", call),
        done("resp_1", output=[call]),
    )

    assert [event for event in events if isinstance(event, ModelToolRequested)] == [
        ModelToolRequested("resp_1", "call_1", "get_balance", '{"account": "7"}')
    ]


def test_a_request_that_only_the_end_of_a_reply_names_is_passed_on():
    wire = open_wire()

    events = wire.receive(began("resp_1"), done("resp_1", output=[function_call("call_1")]))

    assert events[1] == ModelToolRequested("resp_1", "call_1", "get_balance", "{}")


@pytest.mark.parametrize(
    ("told", "output"),
    [
        (result("call_1", '{"a": 1}'), '{"a": 1}'),
        (result("call_1", "No such account", failed=True), "Failed: No such account"),
    ],
)
def test_a_result_answers_the_request_it_belongs_to(told: Message, output: str):
    wire = open_wire()
    requested(wire, "call_1")

    [frame] = wire.send(wire.protocol.tell([told]))

    assert frame["item"] == {
        "id": frame["event_id"],
        "type": "function_call_output",
        "call_id": "call_1",
        "output": output,
    }


def test_p2_a_request_without_a_result_is_answered_before_a_reply_is_asked_for():
    wire = open_wire()
    requested(wire, "call_1")
    requested(wire, "call_2", reply="resp_2")

    wire.send(wire.protocol.tell([result("call_2")]))
    wire.send(wire.protocol.ask())

    assert wire.answers == {"call_1": NO_RESULT_YET, "call_2": '{"balance": 12}'}
    assert wire.sent[-1]["type"] == "response.create"


def test_p2_the_result_that_comes_later_is_told_in_words():
    wire = open_wire()
    requested(wire, "call_1")
    wire.send(wire.protocol.ask())

    [frame] = wire.send(wire.protocol.tell([result("call_1")]))

    assert frame["item"]["role"] == "user"
    assert frame["item"]["content"] == [
        {"type": "input_text", "text": '[Earlier, get_balance returned: {"balance": 12}]'}
    ]


def test_p2_a_queued_ask_leaves_a_request_open_until_it_is_sent():
    wire = open_wire()
    requested(wire, "call_1")
    wire.receive(began("resp_2"))
    wire.send(wire.protocol.ask())
    wire.send(wire.protocol.tell([result("call_1")]))
    wire.receive(done("resp_2"))

    assert wire.answers == {"call_1": '{"balance": 12}'}
    assert wire.asks == 1


def test_p2_requests_of_a_cancelled_reply_that_were_not_passed_on_are_answered():
    wire = open_wire()
    wire.receive(began("resp_1"), item_done("resp_1", function_call("call_1")))
    wire.send(wire.protocol.cancel())

    events = wire.receive(
        item_began("resp_1", function_call("call_2")),
        item_done("resp_1", function_call("call_3")),
        done("resp_1", "cancelled", output=[function_call("call_4", status="incomplete")]),
    )

    assert not any(isinstance(event, ModelToolRequested) for event in events)
    assert wire.answers == {"call_2": CANCELLED, "call_3": CANCELLED, "call_4": CANCELLED}
    # The first is running: its result may still come, and is answered at the latest when a reply is asked for.
    wire.send(wire.protocol.ask())
    assert wire.answers["call_1"] == NO_RESULT_YET


def test_a_request_that_broke_off_is_not_passed_on_and_is_answered():
    wire = open_wire()

    events = wire.receive(
        began("resp_1"),
        item_done("resp_1", function_call("call_1", arguments='{"acc', status="incomplete")),
        done("resp_1", "incomplete", details={"type": "incomplete", "reason": "max_output_tokens"}),
    )

    assert not any(isinstance(event, ModelToolRequested) for event in events)
    assert wire.answers == {"call_1": CANCELLED}


def test_p8_a_result_of_another_session_is_told_in_words():
    wire = open_wire()
    request = Message(3, "tool_request", '{"account":"7"}', Epoch(1), request="call_of_another", tool="get_balance")

    [frame] = wire.send(wire.protocol.tell([request, result("call_of_another")]))

    assert frame["item"]["content"][0]["text"] == ('[Earlier, get_balance({"account":"7"}) returned: {"balance": 12}]')


def test_p9_a_result_whose_request_the_provider_has_forgotten_is_told_in_words():
    wire = open_wire()
    requested(wire, "call_1")
    [frame] = wire.send(wire.protocol.tell([result("call_1")]))

    assert wire.receive(error("invalid_tool_call_id", about=frame["event_id"])) == []

    assert wire.sent[-1]["item"]["content"][0]["text"] == '[Earlier, get_balance returned: {"balance": 12}]'


def test_p9_what_was_told_in_words_and_refused_is_not_told_for_ever():
    wire = open_wire()
    [frame] = wire.send(wire.protocol.tell([NOTE]))

    wire.receive(error("item_create_failed", about=frame["event_id"]))

    assert wire.sent[-1] is frame


def test_p16_what_stands_in_for_a_result_is_terse_and_bracketed():
    for text in (NO_RESULT_YET, CANCELLED):
        assert text.startswith("[")
        assert text.endswith("]")
        assert len(text) < 20


# --- replies ---------------------------------------------------------------------------------------------------------


def test_a_reply_is_begun_heard_and_ended_with_its_tokens():
    wire = open_wire()

    events = wire.receive(
        began("resp_1"),
        words("resp_1", "Your balance"),
        audio("resp_1", b"abc"),
        words("resp_1", " is twelve."),
        done("resp_1", tokens=(300, 20), cached=256),
    )

    assert events == [
        ModelReplyBegan("resp_1"),
        ModelReplyText("resp_1", "Your balance"),
        ModelReplyAudio("resp_1", b"abc"),
        ModelReplyText("resp_1", " is twelve."),
        ModelReplyEnded("resp_1", "complete", input_tokens=300, output_tokens=20, cached_tokens=256),
    ]


def test_a_preamble_and_the_answer_are_one_reply_with_a_space_between():
    wire = open_wire()

    events = wire.receive(
        began("resp_1"), words("resp_1", "One moment.", item="a"), words("resp_1", "Twelve.", item="b")
    )

    assert events[1:] == [ModelReplyText("resp_1", "One moment."), ModelReplyText("resp_1", " Twelve.")]


@pytest.mark.parametrize(
    ("status", "details", "ended"),
    [
        (
            "incomplete",
            {"type": "incomplete", "reason": "content_filter"},
            ModelReplyEnded("resp_1", "failed", "it broke off (content_filter)", 120, 40),
        ),
        (
            "failed",
            {"type": "failed", "error": {"type": "server_error", "code": "rate_limit_exceeded"}},
            ModelReplyEnded("resp_1", "failed", "it failed (rate_limit_exceeded)", 120, 40),
        ),
        ("failed", None, ModelReplyEnded("resp_1", "failed", "it failed (unnamed)", 120, 40)),
    ],
)
def test_a_reply_that_comes_to_nothing_says_why(status: str, details: Frame | None, ended: ModelReplyEnded):
    wire = open_wire()

    assert wire.receive(began("resp_1"), done("resp_1", status, details=details))[-1] == ended


def test_a_reply_that_the_provider_breaks_off_was_interrupted():
    wire = open_wire()
    details = {"type": "cancelled", "reason": "turn_detected"}

    events = wire.receive(began("resp_1"), done("resp_1", "cancelled", details=details))

    assert events[1:] == [
        ModelInterrupted("resp_1"),
        ModelReplyEnded("resp_1", "cancelled", input_tokens=120, output_tokens=40),
    ]


def test_a_reply_whose_end_got_lost_ends_when_the_next_begins():
    wire = open_wire()

    events = wire.receive(began("resp_1"), began("resp_2"), done("resp_1"))

    assert events == [
        ModelReplyBegan("resp_1"),
        ModelReplyEnded("resp_1", "failed", "another reply took its place"),
        ModelReplyBegan("resp_2"),
    ]


# --- breaking off ----------------------------------------------------------------------------------------------------


def test_nothing_of_a_cancelled_reply_is_heard_any_more():
    wire = open_wire()
    wire.receive(began("resp_1"), audio("resp_1", b"abc"))

    [frame] = wire.send(wire.protocol.cancel())
    late = wire.receive(audio("resp_1", b"def"), words("resp_1", "def"), done("resp_1"))

    assert (frame["type"], frame["response_id"]) == ("response.cancel", "resp_1")
    assert late == [ModelReplyEnded("resp_1", "cancelled", input_tokens=120, output_tokens=40)]
    assert wire.receive(audio("resp_1", b"ghi"), done("resp_1", "cancelled")) == []
    assert wire.protocol.counts["late response.output_audio.delta"] == 2


def test_nothing_of_another_reply_is_heard_in_the_one_being_made():
    wire = open_wire()
    wire.receive(began("resp_1"), done("resp_1"), began("resp_2"))

    assert wire.receive(audio("resp_1", b"abc"), words("resp_1", "abc"), done("resp_1")) == []


def test_a_reply_is_cancelled_once():
    wire = open_wire()
    wire.receive(began("resp_1"))
    wire.send(wire.protocol.cancel())

    assert wire.send(wire.protocol.cancel()) == []


def test_cancelling_forgets_an_ask_that_waits():
    wire = open_wire()
    wire.receive(began("resp_1"))
    wire.send(wire.protocol.ask())
    wire.send(wire.protocol.cancel())
    wire.receive(done("resp_1", "cancelled"))

    assert wire.asks == 0


def test_a_reply_cancelled_before_it_has_begun_is_broken_off_when_it_does():
    wire = open_wire()
    wire.send(wire.protocol.ask())
    assert wire.send(wire.protocol.cancel()) == []

    events = wire.receive(began("resp_1"), audio("resp_1", b"abc"), done("resp_1", "cancelled"))

    assert wire.sent_kind("response.cancel")[0]["response_id"] == "resp_1"
    assert events == [
        ModelReplyBegan("resp_1"),
        ModelReplyEnded("resp_1", "cancelled", input_tokens=120, output_tokens=40),
    ]


def test_an_ask_after_a_cancelled_one_waits_for_the_reply_that_nobody_wants():
    wire = open_wire()
    wire.send(wire.protocol.ask())
    wire.send(wire.protocol.cancel())
    wire.send(wire.protocol.ask())
    assert wire.asks == 1

    wire.receive(began("resp_1"))
    wire.send(wire.protocol.ask())
    wire.receive(done("resp_1", "cancelled"))
    assert wire.asks == 2


def test_a_cancelled_ask_that_is_refused_makes_room_for_the_next():
    wire = open_wire()
    [ask] = wire.send(wire.protocol.ask())
    wire.send(wire.protocol.cancel())
    wire.send(wire.protocol.ask())

    wire.receive(error(ACTIVE, about=ask["event_id"]))

    assert wire.asks == 2


def test_cancelling_nothing_sends_nothing():
    assert open_wire().protocol.cancel() == ()


@pytest.mark.parametrize("code", ["response_cancel_not_active", "invalid_value"])
def test_errors_about_a_cut_that_crossed_are_counted_and_no_more(code: str):
    wire = open_wire()

    assert wire.receive(error(code, about="cancel_9"), error(code, about="truncate_9"), error(code)) == []
    assert wire.protocol.counts[f"error {code}"] == 3


# --- truncating ------------------------------------------------------------------------------------------------------


def test_a_reply_is_cut_to_what_was_played_of_it():
    wire = open_wire()
    wire.receive(began("resp_1"), audio("resp_1", SECOND_OF_MULAW), audio("resp_1", SECOND_OF_MULAW), done("resp_1"))

    [frame] = wire.send(wire.protocol.truncate("resp_1", 1_250))

    assert (frame["item_id"], frame["content_index"], frame["audio_end_ms"]) == ("item_1", 0, 1_250)


def test_p5_nothing_is_cut_at_zero():
    wire = open_wire()
    wire.receive(began("resp_1"))
    assert wire.send(wire.protocol.truncate("resp_1", 0)) == []

    wire.receive(audio("resp_1", SECOND_OF_MULAW))
    assert wire.send(wire.protocol.truncate("resp_1", 0)) == []


def test_p5_nothing_is_cut_of_a_reply_without_audio_or_that_is_not_known():
    wire = open_wire()
    wire.receive(began("resp_1"), words("resp_1", "Hello"), done("resp_1"))

    assert wire.send(wire.protocol.truncate("resp_1", 500)) == []
    assert wire.send(wire.protocol.truncate("resp_9", 500)) == []


def test_a_cut_goes_no_further_than_the_audio_that_came():
    wire = open_wire()
    wire.receive(began("resp_1"), audio("resp_1", SECOND_OF_MULAW))
    wire.send(wire.protocol.cancel())

    [frame] = wire.send(wire.protocol.truncate("resp_1", 1_007))

    assert frame["audio_end_ms"] == 1_000


def test_a_reply_that_was_heard_whole_is_not_cut():
    wire = open_wire()
    wire.receive(began("resp_1"), audio("resp_1", SECOND_OF_MULAW), done("resp_1"))

    assert wire.send(wire.protocol.truncate("resp_1", 1_000)) == []


def test_of_two_items_the_one_where_hearing_ended_is_cut_and_what_follows_deleted():
    wire = open_wire()
    wire.receive(
        began("resp_1"),
        audio("resp_1", SECOND_OF_MULAW, item="commentary"),
        audio("resp_1", SECOND_OF_MULAW, item="answer", index=1),
        audio("resp_1", SECOND_OF_MULAW, item="afterthought"),
        done("resp_1"),
    )

    cut, deleted = wire.send(wire.protocol.truncate("resp_1", 1_400))

    assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("answer", 1, 400)
    assert (deleted["type"], deleted["item_id"]) == ("conversation.item.delete", "afterthought")


@given(
    lengths_ms=st.lists(st.integers(1, 3_000), min_size=1, max_size=4),
    heard_ms=st.integers(0, 10_000),
    complete=st.booleans(),
)
def test_what_is_left_of_a_reply_is_what_was_heard(lengths_ms: list[int], heard_ms: int, complete: bool):
    wire = open_wire()
    wire.receive(began("resp_1"))
    for place, length_ms in enumerate(lengths_ms):
        wire.receive(audio("resp_1", bytes(8 * length_ms), item=f"item_{place}"))
    wire.receive(done("resp_1", "completed" if complete else "failed"))

    left = {f"item_{place}": length_ms for place, length_ms in enumerate(lengths_ms)}
    for frame in wire.send(wire.protocol.truncate("resp_1", heard_ms)):
        if frame["type"] == "conversation.item.delete":
            del left[frame["item_id"]]
        else:
            assert 0 < frame["audio_end_ms"] <= left[frame["item_id"]]
            left[frame["item_id"]] = frame["audio_end_ms"]

    assert sum(left.values()) == (min(heard_ms, sum(lengths_ms)) or sum(lengths_ms))


# --- the caller ------------------------------------------------------------------------------------------------------


def test_the_callers_words_come_bit_by_bit_and_then_for_good():
    wire = open_wire()

    events = wire.receive(
        heard("item_1", "I would"), heard("item_1", " like"), heard_all("item_1", "I would like to pay.")
    )

    assert events == [
        CallerTranscribed("I would", final=False),
        CallerTranscribed("I would like", final=False),
        CallerTranscribed("I would like to pay.", final=True),
    ]


def test_p14_empty_transcripts_are_not_events():
    wire = open_wire()

    assert wire.receive(heard("item_1", ""), heard("item_1", " "), heard_all("item_1", " \n")) == []


def test_a_final_is_said_once_and_ends_its_partials():
    wire = open_wire()

    events = wire.receive(heard_all("item_1", "Yes"), heard("item_1", "Yes"), heard_all("item_1", "Yes"))

    assert events == [CallerTranscribed("Yes", final=True)]


def test_a_transcription_that_fails_leaves_what_had_come_of_it():
    wire = open_wire()

    assert wire.receive(heard("item_1", "My number"), not_heard("item_1"), not_heard("item_2")) == [
        CallerTranscribed("My number", final=False),
        CallerTranscribed("My number", final=True),
    ]


def test_two_utterances_are_transcribed_side_by_side():
    wire = open_wire()

    events = wire.receive(heard("a", "One"), heard("b", "Two"), heard_all("a", "One."), heard_all("b", "Two."))

    assert [(event.text, event.final) for event in events if isinstance(event, CallerTranscribed)] == [
        ("One", False),
        ("Two", False),
        ("One.", True),
        ("Two.", True),
    ]


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


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["session_expired", "insufficient_quota"])
def test_an_error_that_ends_sessions_ends_this_one(code: str):
    wire = open_wire()

    assert wire.receive(error(code)) == [
        SessionLost(f"a model ended the session ({code})", permanent=code == "insufficient_quota")
    ]


def test_no_word_of_the_provider_is_passed_on():
    wire = open_wire()
    [ask] = wire.send(wire.protocol.ask())

    [lost] = wire.receive(error("My key is sk-123", about=ask["event_id"], kind="And I am Maria"))

    assert lost == SessionLost("a model did not reply (unnamed)", permanent=False)


def test_unknown_frames_are_counted_by_kind_and_their_kinds_are_bounded():
    protocol = open_wire().protocol
    for number in range(1_000):
        protocol.receive(json.dumps({"type": f"future.event_{number}"}))
    protocol.receive(json.dumps({"type": "what the caller said"}))

    unknown = {kind: count for kind, count in protocol.counts.items() if kind.startswith("unknown")}
    assert sum(unknown.values()) == 1_001
    assert len(unknown) <= 65


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        b"\xff\xfe",
        "{}",
        '{"type": 7}',
        '{"type": "response.created"}',
        '{"type": "response.created", "response": {"id": 5}}',
        '{"type": "response.output_audio.delta", "delta": "not base64!", "item_id": "a"}',
        '{"type": "response.output_audio.delta", "delta": "AAAA", "item_id": "a", "content_index": "0"}',
        '{"type": "response.output_audio_transcript.delta"}',
        '{"type": "response.output_item.added"}',
        '{"type": "response.output_item.done", "item": []}',
        '{"type": "conversation.item.added"}',
        '{"type": "conversation.item.input_audio_transcription.delta"}',
        '{"type": "error", "error": "?"}',
    ],
)
def test_a_malformed_frame_is_counted_and_comes_to_nothing(frame: str | bytes):
    protocol = open_wire().protocol
    protocol.receive(json.dumps(began("resp_1")))

    received = protocol.receive(frame)

    assert (received.events, received.frames) == ((), ())
    assert sum(count for kind, count in protocol.counts.items() if kind.startswith("malformed")) == 1


def test_text_that_cannot_be_encoded_is_mended():
    wire = open_wire()
    wire.protocol.receive(json.dumps(began("resp_1")))

    [spoken] = wire.protocol.receive(json.dumps(words("resp_1", "caf\ud800"))).events

    assert spoken == ModelReplyText("resp_1", "caf?")


KINDS = [
    session_updated(),
    began("resp_1"),
    began("resp_2"),
    audio("resp_1", b"abc"),
    words("resp_2", "Hello"),
    item_began("resp_1", function_call("call_1")),
    item_done("resp_1", function_call("call_1")),
    done("resp_1", "cancelled"),
    done("resp_2", output=[function_call("call_2")]),
    heard("item_1", "I"),
    heard_all("item_1", "I am"),
    not_heard("item_1"),
    error("session_oops"),
    error(ACTIVE, about="create_2"),
    error("invalid_value", about="told_3"),
    item_added({"id": "told_2", "type": "message", "role": "user", "content": []}),
]
CALLS = ["hear", "update", "tell", "answer", "ask", "cancel", "truncate", "ask_again"]


@given(steps=st.lists(st.one_of(st.sampled_from(KINDS), st.sampled_from(CALLS)), max_size=40))
def test_whatever_happens_one_reply_at_most_is_asked_for_and_each_request_answered_once(steps: list[Frame | str]):
    wire = open_wire()
    being_made = False
    for step in steps:
        before = len(wire.sent)
        if isinstance(step, str):
            _call(wire, step)
        else:
            for seen in wire.receive(step):
                being_made = (being_made or isinstance(seen, ModelReplyBegan)) and not isinstance(seen, ModelReplyEnded)
        asks = [frame for frame in wire.sent[before:] if frame["type"] == "response.create"]
        assert len(asks) <= (0 if being_made else 1)
    outputs = [frame["item"] for frame in wire.sent_kind("conversation.item.create")]
    answered = [item["call_id"] for item in outputs if item["type"] == "function_call_output"]
    assert len(answered) == len(set(answered))


def _call(wire: Wire, step: str) -> None:
    protocol = wire.protocol
    if protocol.lost:
        return
    frames = {
        "hear": lambda: protocol.hear(b"abc"),
        "update": lambda: protocol.update(setup(epoch=2)),
        "tell": lambda: protocol.tell([NOTE]),
        "answer": lambda: protocol.tell([result("call_1"), result("call_2")]),
        "ask": protocol.ask,
        "cancel": protocol.cancel,
        "truncate": lambda: protocol.truncate("resp_1", 100),
        "ask_again": protocol.ask_again,
    }[step]()
    wire.send(frames)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["type", "response", "id", "item", "delta", "error", "event_id", "output", "status"]),
                inner,
            )
        ),
    )
)
def test_no_frame_raises(value: object):
    protocol = open_wire().protocol
    protocol.receive(json.dumps(began("resp_1")))
    for kind in protocol._readers:
        protocol.receive(json.dumps({**(value if isinstance(value, dict) else {"delta": value}), "type": kind}))
