"""Gemini Live without a connection: requests and results, and what else is told without making it speak."""

from __future__ import annotations

import pytest

from tests.models.gemini_live_codec import BLOCKING, GENERATIONS, begun, named, receive, sent, turns, with_request
from tests.models.gemini_live_server import TURN_COMPLETE, audio, calls, cancels, heard, message, result
from voiceagent.models.gemini_live import LIVE_2, LIVE_3_8, LIVE_3_8_THINKING, Generation
from voiceagent.ports import (
    CallerTranscribed,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelToolRequested,
    RequestsWithdrawn,
)

# --- tools -----------------------------------------------------------------------------------------------------------


def test_a_request_ends_its_reply_and_comes_after_the_callers_words() -> None:
    call = calls(("c1", "verify_caller", {"pin": "ü1"}), ("c2", "get_balance", {}))
    assert receive(begun(), heard(" My pin"), call) == [
        CallerTranscribed("My pin", final=False),
        CallerTranscribed("My pin", final=True),
        ModelReplyBegan("g1"),
        ModelToolRequested("g1", "c1", "verify_caller", '{"pin": "ü1"}'),
        ModelToolRequested("g1", "c2", "get_balance", "{}"),
        ModelReplyEnded("g1", "complete"),
    ]


def test_a_request_without_an_id_is_answered_without_one() -> None:
    protocol = begun()
    events = receive(protocol, calls((None, "say_goodbye", {}), (None, "say_goodbye", {})))
    first, second = [event.request for event in events if isinstance(event, ModelToolRequested)]
    assert first != second
    protocol.tell([result(first, "1"), result(second, "2")])
    protocol.ask()
    assert sent(protocol) == [
        {
            "toolResponse": {
                "functionResponses": [
                    {"name": "say_goodbye", "response": {"output": 1}},
                    {"name": "say_goodbye", "response": {"output": 2}},
                ]
            }
        }
    ]


@pytest.mark.parametrize("generation", BLOCKING, ids=named)
def test_a_result_is_not_sent_before_the_reply_to_it_is_asked_for(generation: Generation) -> None:
    protocol = with_request(generation)
    protocol.tell([result("c1", '{"verified": true}')])
    assert sent(protocol) == []  # it would make the model speak
    protocol.ask()
    response = {"name": "verify_caller", "response": {"output": {"verified": True}}, "id": "c1"}
    assert sent(protocol) == [{"toolResponse": {"functionResponses": [response]}}]


def test_a_model_that_does_not_wait_is_asked_and_told_while_a_tool_runs() -> None:
    protocol = with_request(LIVE_3_8_THINKING)
    protocol.tell([message("note", "[A letter came.]")])
    protocol.ask()
    assert sent(protocol) == [turns(("user", "[A letter came.]"), complete=False), turns(complete=True)]
    receive(protocol, audio(b"\1\0"), TURN_COMPLETE)
    protocol.tell([result("c1", "no JSON", failed=True)])
    assert sent(protocol) == []  # its result makes it speak too
    protocol.ask()
    response = {"name": "verify_caller", "response": {"error": "no JSON"}, "id": "c1"}
    assert sent(protocol) == [{"toolResponse": {"functionResponses": [response]}}]


def test_a_model_that_thinks_on_after_its_turn_is_not_disturbed() -> None:
    protocol = begun(LIVE_3_8_THINKING)
    thinks_on = {"serverContent": {"turnComplete": True, "interactionStatus": "IN_PROGRESS"}}
    assert receive(protocol, audio(b"\1\0"), thinks_on)[-1] == ModelReplyEnded("g1", "complete")
    protocol.ask()
    assert receive(protocol, thinks_on) == []
    assert sent(protocol) == []
    receive(protocol, {"serverContent": {"turnComplete": True, "interactionStatus": "IDLE"}})
    assert sent(protocol) == [turns(complete=True)]


@pytest.mark.parametrize("generation", BLOCKING, ids=named)
def test_p2_a_reply_waits_until_every_request_has_its_result(generation: Generation) -> None:
    protocol = begun(generation)
    protocol.hear(b"\0\0")
    receive(protocol, calls(("c1", "verify_caller", {}), ("c2", "get_balance", {})))
    protocol.outgoing()
    protocol.tell([result("c2", "2")])
    protocol.ask()
    assert sent(protocol) == []
    protocol.tell([result("c1", "1")])
    (frame,) = sent(protocol)
    assert [response["id"] for response in frame["toolResponse"]["functionResponses"]] == ["c2", "c1"]


def test_each_request_is_answered_once() -> None:
    protocol = with_request()
    protocol.tell([result("c1", "1")])
    protocol.ask()
    receive(protocol, audio(b"\1\0"), TURN_COMPLETE)
    protocol.outgoing()
    protocol.tell([result("c1", "2")])
    assert sent(protocol) == [turns(("user", "[Earlier, verify_caller returned: 2]"), complete=False)]


def test_what_is_told_beside_a_result_goes_with_it() -> None:
    """A reply that a result sets off takes no notice of `clientContent` beside it."""
    protocol = with_request()
    protocol.tell(
        [
            message("agent", "One moment."),
            message("note", "[A letter came.]"),
            result("c1", "true"),
            message("note", " "),
        ]
    )
    protocol.ask()
    (frame,) = sent(protocol)
    (response,) = frame["toolResponse"]["functionResponses"]
    notes = ["[You said: One moment.]", "[A letter came.]"]
    assert response["response"] == {"output": {"result": True, "notes": notes}}


def test_the_models_own_request_is_not_told_back_to_it() -> None:
    protocol = with_request()
    protocol.tell([message("tool_request", "{}", request="c1", tool="verify_caller"), result("c1", "1")])
    protocol.ask()
    (frame,) = sent(protocol)
    assert frame["toolResponse"]["functionResponses"][0]["response"] == {"output": 1}


def test_p8_a_pair_of_an_earlier_session_is_told_in_words() -> None:
    protocol = begun()
    protocol.tell([message("tool_request", '{"pin": "1"}', request="old", tool="verify_caller"), result("old", "true")])
    told = '[Earlier, verify_caller({"pin": "1"}) returned: true]'
    assert sent(protocol) == [turns(("user", told), complete=False)]


def test_requests_that_the_model_gives_up_are_withdrawn_once_and_the_next_ask_goes_out() -> None:
    protocol = with_request()
    protocol.ask()
    assert receive(protocol, cancels("c1", "unknown"), cancels("c1")) == [RequestsWithdrawn(("c1",))]
    assert sent(protocol) == [turns(complete=True)]


def test_a_result_whose_request_is_withdrawn_before_it_was_sent_is_told_in_words() -> None:
    protocol = with_request()
    protocol.tell([result("c1", "true")])
    assert receive(protocol, cancels("c1")) == []
    assert sent(protocol) == [turns(("user", "[Earlier, verify_caller returned: true]"), complete=False)]


def test_the_end_of_a_tool_turn_may_come_late_and_is_not_the_end_of_the_reply_to_its_result() -> None:
    protocol = with_request()
    protocol.tell([result("c1", "1")])
    protocol.ask()
    assert receive(protocol, TURN_COMPLETE) == []
    assert receive(protocol, audio(b"\1\0"), TURN_COMPLETE) == [
        ModelReplyBegan("g2"),
        ModelReplyAudio("g2", b"\1\0"),
        ModelReplyEnded("g2", "complete"),
    ]


# --- telling ---------------------------------------------------------------------------------------------------------


def test_history_is_told_before_the_first_audio_and_sets_off_no_reply() -> None:
    protocol = begun(LIVE_3_8)
    protocol.tell([message("agent", "Hello."), message("caller", "Hi."), message("caller", "It's me.")])
    protocol.hear(b"\1\0")
    history, first_audio = sent(protocol)
    assert history == turns(
        ("user", "[The call begins.]"), ("model", "Hello."), ("user", "Hi.\nIt's me."), complete=False
    )
    assert "audio" in first_audio["realtimeInput"]


def test_p12_a_history_for_a_2_5_model_ends_with_the_caller() -> None:
    protocol = begun(LIVE_2)
    protocol.tell([message("caller", "Hi."), message("agent", "Hello.")])
    assert sent(protocol) == [
        turns(("user", "Hi."), ("model", "Hello."), ("user", "[The call goes on from here.]"), complete=False)
    ]
    protocol.tell([message("agent", "One moment.")])
    assert sent(protocol) == [turns(("model", "One moment."), complete=False)]


@pytest.mark.parametrize("generation", GENERATIONS, ids=named)
def test_words_are_not_told_while_the_model_speaks_since_they_would_cut_it_off(generation: Generation) -> None:
    protocol = begun(generation)
    receive(protocol, audio(b"\1\0"))
    protocol.tell([message("note", "[A letter came.]")])
    assert sent(protocol) == []
    receive(protocol, TURN_COMPLETE)
    assert [list(frame) for frame in sent(protocol)] == [["clientContent"]]


def test_nothing_worth_telling_is_not_told() -> None:
    protocol = begun()
    protocol.tell([])
    protocol.tell([message("caller", "  ")])
    assert sent(protocol) == []
