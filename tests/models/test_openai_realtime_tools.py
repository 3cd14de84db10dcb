"""OpenAI Realtime without a socket: requests for tools are passed on once, and every one of them is answered."""

from __future__ import annotations

import pytest

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.ports import ModelToolRequested

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import (
    NOTE,
    began,
    done,
    error,
    event,
    function_call,
    item_began,
    item_done,
    open_wire,
    requested,
    result,
)
from voiceagent.models.openai_realtime.protocol import CANCELLED, NO_RESULT_YET


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
