"""Gemini Live without a connection: whatever a server sends, nothing raises and no reply is cut off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.gemini_live_codec import GENERATIONS, begun, receive, sent, turns
from tests.models.gemini_live_server import (
    INTERRUPTED,
    SETUP_COMPLETE,
    TURN_COMPLETE,
    audio,
    calls,
    cancels,
    heard,
    message,
    result,
    said,
)
from voiceagent.models.gemini_live import Generation
from voiceagent.models.gemini_live.replies import MOST_AHEAD_CHARS
from voiceagent.ports import ModelReplyAudio, ModelReplyBegan, ModelReplyEnded, ModelReplyText, ModelToolRequested


def test_the_same_frame_twice_does_nothing_twice() -> None:
    call = calls(("c1", "verify_caller", {}))
    protocol = begun()
    assert len(receive(protocol, call, call)) == 3
    protocol.tell([result("c1", "1")])
    protocol.ask()
    protocol.outgoing()
    events = receive(protocol, audio(b"\1\0"), TURN_COMPLETE, TURN_COMPLETE, SETUP_COMPLETE, call)
    assert [type(event) for event in events] == [ModelReplyBegan, ModelReplyAudio, ModelReplyEnded]
    assert sent(protocol) == []
    assert protocol.counts == {"duplicate functionCall": 2}


@pytest.mark.parametrize(
    ("frame", "count"),
    [
        ("{", "malformed message"),
        ("[]", "malformed message"),
        ('{"usageMetadata": {"promptTokenCount": NaN}}', "malformed message"),
        (b"\xff\xfe", "malformed message"),
        ("[" * 100_000, "malformed message"),
        ({"serverContent": []}, "malformed serverContent"),
        ({"serverContent": {"modelTurn": {"parts": "x"}}}, "malformed modelTurn"),
        ({"serverContent": {"modelTurn": None}}, "malformed modelTurn"),
        ({"serverContent": {"modelTurn": {"parts": [1]}}}, "malformed modelTurn"),
        ({"serverContent": {"modelTurn": {"parts": [{"fileData": {}}]}}}, "unknown part"),
        ({"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm"}}]}}}, "malformed audio"),
        (audio(b"\1\0", kind="audio/pcm;rate=48000"), "audio of another format"),
        (audio(b"\1\0", kind="image/png"), "audio of another format"),
        ({"toolCall": {"functionCalls": 1}}, "malformed toolCall"),
        (calls(("c1", "", {})), "malformed functionCall"),
        ({"toolCall": {"functionCalls": [{"id": 1, "name": "x"}]}}, "malformed functionCall"),
        ({"toolCallCancellation": {}}, "malformed toolCallCancellation"),
        ({"voiceActivity": {"voiceActivityType": "ACTIVITY_START"}}, "unknown voiceActivity"),
        ({"serverContent": {"newThing": 1}}, "unknown newThing"),
        ({"my pin is 1234": 1}, "unknown kind"),
        ({"error": {"message": "no"}}, "unknown error"),
    ],
)
def test_what_means_nothing_is_counted_and_posts_nothing(frame: Any, count: str) -> None:
    protocol = begun()
    assert receive(protocol, frame) == []
    assert protocol.counts == {count: 1}
    protocol.ask()
    assert sent(protocol) == [turns(complete=True)]


def test_however_many_kinds_are_unknown_they_take_no_memory() -> None:
    protocol = begun()
    receive(protocol, *({f"kind{number}": 1} for number in range(1_000)))
    assert len(protocol.counts) <= 65
    assert sum(protocol.counts.values()) == 1_000


def test_words_of_a_reply_that_does_not_begin_take_no_memory() -> None:
    protocol = begun()
    for number in range(3_000):
        assert receive(protocol, said(f" {number}")) == []
    words = next(event for event in receive(protocol, audio(b"\1\0")) if isinstance(event, ModelReplyText))
    assert len(words.text) == MOST_AHEAD_CHARS
    assert words.text.endswith(" 2998 2999")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "serverContent",
        "modelTurn",
        "parts",
        "inlineData",
        "data",
        "mimeType",
        "toolCall",
        "functionCalls",
        "id",
        "name",
        "args",
        "toolCallCancellation",
        "ids",
        "goAway",
        "timeLeft",
        "usageMetadata",
        "inputTranscription",
        "outputTranscription",
        "text",
        "interrupted",
        "turnComplete",
        "turnCompleteReason",
        "sessionResumptionUpdate",
        "newHandle",
    ]
)
FRAMES = st.recursive(
    JSON | st.just(True),
    lambda inner: st.dictionaries(FIELDS, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=20,
)


@settings(max_examples=300)
@given(st.lists(FRAMES, max_size=6))
def test_nothing_that_a_server_sends_raises(frames: list[Any]) -> None:
    protocol = begun()
    for frame in frames:
        protocol.receive(json.dumps(frame))
        protocol.ask()
        protocol.cancel()


class Exchange:
    """Any course of things, watched."""

    def __init__(self, generation: Generation) -> None:
        self.protocol = begun(generation)
        self.protocol.hear(b"\0\0")
        self.protocol.outgoing()
        self.requests = 0
        self.making = False
        self.began: list[str] = []
        self.ended: list[str] = []

    def move(self, move: str) -> None:
        ours: dict[str, Any] = {
            "ask": self.protocol.ask,
            "cancel": self.protocol.cancel,
            "tell": lambda: self.protocol.tell([message("note", "[News.]")]),
            "result": lambda: self.protocol.tell([result(f"c{self.requests}", "1")]),
            "hear": lambda: self.protocol.hear(b"\0\0"),
        }
        self.requests += move == "call"
        theirs = {
            "audio": audio(b"\1\0"),
            "words": heard("Hm"),
            "call": calls((f"c{self.requests}", "verify_caller", {})),
            "end": TURN_COMPLETE,
            "cut in": INTERRUPTED,
            "withdraw": cancels(f"c{self.requests}"),
        }
        if move in ours:
            ours[move]()
        else:
            self.protocol.receive(json.dumps(theirs[move]))
        self.making = move == "audio" or (self.making and move not in ("call", "end"))
        for frame in sent(self.protocol):
            cuts_off = "clientContent" in frame or "text" in frame.get("realtimeInput", {})
            assert not (self.making and cuts_off)
        for event in self.protocol.events():
            self.watch(event)

    def watch(self, event: Any) -> None:
        match event:
            case ModelReplyBegan(reply):
                assert self.began == self.ended, "another one is being made"
                assert reply not in self.began
                self.began.append(reply)
            case ModelReplyEnded(reply):
                self.ended.append(reply)
                assert self.ended == self.began
            case ModelReplyAudio(reply) | ModelReplyText(reply) | ModelToolRequested(reply):
                assert reply == self.began[-1]
                assert reply not in self.ended
            case _:
                pass


MOVES = [
    *("ask", "cancel", "tell", "result", "hear"),
    *("audio", "words", "call", "end", "cut in", "withdraw"),
]


@settings(max_examples=300)
@given(st.sampled_from(GENERATIONS), st.lists(st.sampled_from(MOVES), max_size=30))
def test_whatever_happens_replies_begin_and_end_in_order_and_none_is_cut_off(
    generation: Generation, moves: list[str]
) -> None:
    exchange = Exchange(generation)
    for move in moves:
        exchange.move(move)
