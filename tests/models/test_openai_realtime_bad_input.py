"""OpenAI Realtime without a socket: whatever is received, nothing raises, and the conversation goes on or is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.ports import ModelReplyBegan, ModelReplyEnded, ModelReplyText, SessionLost

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import (
    ACTIVE,
    NOTE,
    Frame,
    Wire,
    audio,
    began,
    done,
    error,
    function_call,
    heard,
    heard_all,
    item_added,
    item_began,
    item_done,
    not_heard,
    open_wire,
    result,
    session_updated,
    setup,
    words,
)


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
