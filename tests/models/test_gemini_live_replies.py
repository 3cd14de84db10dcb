"""Gemini Live without a connection: what is heard, what a reply comes to, and how it is asked for and given up."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.gemini_live_codec import GENERATIONS, begun, named, receive, sent, turns
from tests.models.gemini_live_server import (
    GENERATED,
    INTERRUPTED,
    THOUGHT,
    TURN_COMPLETE,
    Frame,
    audio,
    calls,
    done,
    heard,
    said,
)
from voiceagent.models.gemini_live import LIVE_2, LIVE_3_1, LIVE_3_8, LIVE_3_8_THINKING, Generation
from voiceagent.models.gemini_live.protocol import MOST_AUDIO_MS
from voiceagent.ports import (
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
)

# --- caller audio ----------------------------------------------------------------------------------------------------


def bytes_in(frames: Sequence[Any]) -> bytes:
    return b"".join(base64.b64decode(frame["realtimeInput"]["audio"]["data"]) for frame in frames)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 20_000), max_size=8), st.integers(0, 2**32))
def test_audio_of_any_length_arrives_whole_and_in_whole_samples(lengths: list[int], seed: int) -> None:
    luck = random.Random(seed)  # noqa: S311 - any noise will do
    protocol = begun()
    pieces = [luck.randbytes(length) for length in lengths]
    for piece in pieces:
        protocol.hear(piece)
    frames = sent(protocol)
    said_bytes = b"".join(pieces)
    assert bytes_in(frames) == said_bytes[: len(said_bytes) // 2 * 2]
    for frame in frames:
        size = len(bytes_in([frame]))
        assert 0 < size <= MOST_AUDIO_MS * 32
        assert size % 2 == 0


def test_a_pause_of_the_audio_is_told_once() -> None:
    protocol = begun()
    protocol.pause()
    assert sent(protocol) == []
    protocol.hear(b"\1\0")
    assert protocol.hearing
    protocol.pause()
    protocol.pause()
    assert sent(protocol)[1:] == [{"realtimeInput": {"audioStreamEnd": True}}]
    assert not protocol.hearing


# --- a reply ---------------------------------------------------------------------------------------------------------


def test_a_reply_comes_with_its_words_its_audio_and_its_tokens() -> None:
    events = receive(
        begun(), THOUGHT, said("Hello"), audio(b"\1\0"), said(" Ada."), audio(b"\2\0"), GENERATED, done(1197, 37, 28)
    )
    assert events == [
        ModelReplyBegan("g1"),
        ModelReplyText("g1", "Hello"),
        ModelReplyAudio("g1", b"\1\0"),
        ModelReplyText("g1", " Ada."),
        ModelReplyAudio("g1", b"\2\0"),
        ModelReplyEnded("g1", "complete", "", 1197, 65),
    ]


def test_tokens_of_the_prompt_that_were_cached_are_counted_by_reply() -> None:
    events = receive(begun(), audio(b"\1\0"), done(1197, 37, cached=1024), audio(b"\2\0"), done(1300, 5))
    ends = [event for event in events if isinstance(event, ModelReplyEnded)]
    assert [(end.input_tokens, end.cached_tokens) for end in ends] == [(1197, 1024), (1300, 0)]


def test_words_that_come_before_any_audio_belong_to_the_reply_that_begins() -> None:
    assert receive(begun(), said("Hello"), said(" Ada."), audio(b"\1\0")) == [
        ModelReplyBegan("g1"),
        ModelReplyText("g1", "Hello Ada."),
        ModelReplyAudio("g1", b"\1\0"),
    ]


def test_words_that_come_after_the_turn_begin_no_reply_that_would_never_end() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"), TURN_COMPLETE)
    assert receive(protocol, said("late")) == []
    protocol.ask()
    assert sent(protocol) == [turns(complete=True)]


def test_one_message_may_carry_everything_at_once() -> None:
    content = {
        "inputTranscription": {"text": "Hi"},
        **audio(b"\1\0")["serverContent"],
        "outputTranscription": {"text": "Hello"},
        "generationComplete": True,
        "turnComplete": True,
    }
    assert receive(begun(), {"serverContent": content, "usageMetadata": {"promptTokenCount": 3}}) == [
        CallerTranscribed("Hi", final=False),
        CallerTranscribed("Hi", final=True),
        ModelReplyBegan("g1"),
        ModelReplyAudio("g1", b"\1\0"),
        ModelReplyText("g1", "Hello"),
        ModelReplyEnded("g1", "complete", "", 3, 0),
    ]


def test_audio_in_either_alphabet_of_base64_is_the_same_audio() -> None:
    blob = {"mimeType": "audio/pcm;rate=24000", "data": "-_8"}
    frame = {"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}}
    assert ModelReplyAudio("g1", b"\xfb\xff") in receive(begun(), frame)


def test_samples_that_are_cut_in_two_are_put_together() -> None:
    assert receive(begun(), audio(b"\1"), audio(b"\2\3\4\5"), TURN_COMPLETE, audio(b"\6\7")) == [
        ModelReplyBegan("g1"),
        ModelReplyAudio("g1", b"\1\2\3\4"),
        ModelReplyEnded("g1", "complete"),
        ModelReplyBegan("g2"),
        ModelReplyAudio("g2", b"\6\7"),
    ]


def test_a_turn_that_the_model_gave_up_is_a_reply_that_failed() -> None:
    gave_up = {"serverContent": {"turnComplete": True, "turnCompleteReason": "MALFORMED_FUNCTION_CALL"}}
    assert receive(begun(), gave_up) == [
        ModelReplyBegan("g1"),
        ModelReplyEnded("g1", "failed", "the model gave up: MALFORMED_FUNCTION_CALL"),
    ]
    waits = {"serverContent": {"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT"}}
    assert receive(begun(), waits) == []


def test_a_reply_that_was_asked_for_and_is_empty_has_failed() -> None:
    protocol = begun()
    protocol.ask()
    assert receive(protocol, TURN_COMPLETE) == [
        ModelReplyBegan("g1"),
        ModelReplyEnded("g1", "failed", "the model said nothing"),
    ]
    assert receive(begun(), TURN_COMPLETE) == []  # nobody had asked


def test_the_caller_cuts_in() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"))
    assert receive(protocol, heard(" Stop"), INTERRUPTED) == [
        CallerTranscribed("Stop", final=False),
        CallerTranscribed("Stop", final=True),
        ModelInterrupted("g1"),
    ]
    assert receive(protocol, done(5)) == [ModelReplyEnded("g1", "cancelled", "", 5, 0)]


def test_the_caller_cuts_in_on_what_has_been_made_and_is_still_being_heard() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"), TURN_COMPLETE)
    assert receive(protocol, INTERRUPTED, INTERRUPTED) == [ModelInterrupted("g1")]


def test_what_comes_after_an_interruption_is_another_reply() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"), INTERRUPTED)
    assert receive(protocol, audio(b"\2\0")) == [
        ModelReplyEnded("g1", "cancelled"),
        ModelReplyBegan("g2"),
        ModelReplyAudio("g2", b"\2\0"),
    ]


# --- asking and cancelling -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "frames"),
    [
        (LIVE_2, [turns(("user", "[It is your turn to speak.]"), complete=True)]),
        (LIVE_3_1, [turns(complete=True)]),
        (LIVE_3_8, [turns(complete=True)]),
        (LIVE_3_8_THINKING, [turns(complete=True)]),
    ],
    ids=map(named, GENERATIONS),
)
def test_a_reply_is_asked_for_in_a_way_that_the_model_takes(generation: Generation, frames: list[Frame]) -> None:
    protocol = begun(generation)
    protocol.ask()
    assert sent(protocol) == frames


@pytest.mark.parametrize("generation", GENERATIONS, ids=named)
def test_p3_a_reply_is_never_asked_for_while_one_is_being_made(generation: Generation) -> None:
    protocol = begun(generation)
    protocol.hear(b"\0\0")
    receive(protocol, audio(b"\1\0"))
    protocol.outgoing()
    protocol.ask()
    receive(protocol, audio(b"\1\0"), GENERATED)
    assert sent(protocol) == []
    receive(protocol, TURN_COMPLETE)
    assert len(sent(protocol)) == 1
    protocol.ask()  # and this one waits for the reply that has been asked for
    assert sent(protocol) == []


def test_a_cancelled_reply_ends_at_once_and_what_comes_of_it_is_swallowed() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"))
    protocol.cancel()
    assert protocol.events() == [ModelReplyEnded("g1", "cancelled")]
    assert sent(protocol) == []
    assert receive(protocol, audio(b"\2\0"), said("and"), INTERRUPTED, done(5, 7)) == []
    assert receive(protocol, audio(b"\3\0"), done(1, 1)) == [
        ModelReplyBegan("g2"),
        ModelReplyAudio("g2", b"\3\0"),
        ModelReplyEnded("g2", "complete", "", 6, 8),  # what the swallowed one took has been paid for too
    ]


def test_cancelling_twice_or_nothing_ends_nothing_twice() -> None:
    protocol = begun()
    protocol.cancel()
    receive(protocol, audio(b"\1\0"))
    protocol.cancel()
    protocol.cancel()
    assert protocol.events() == [ModelReplyEnded("g1", "cancelled")]


def test_cancelling_forgets_an_ask_that_has_not_been_sent() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"))
    protocol.ask()
    protocol.cancel()
    receive(protocol, TURN_COMPLETE)
    assert sent(protocol) == []


def test_a_reply_that_was_asked_for_and_cancelled_before_it_began_is_not_heard() -> None:
    protocol = begun()
    protocol.ask()
    protocol.cancel()
    assert receive(protocol, audio(b"\1\0"), TURN_COMPLETE) == []


def test_a_caller_who_cuts_in_before_the_reply_that_was_asked_for_is_answered_instead() -> None:
    protocol = begun()
    protocol.ask()
    protocol.outgoing()
    assert receive(protocol, INTERRUPTED, TURN_COMPLETE) == []
    protocol.ask()
    assert sent(protocol) == [turns(complete=True)]


def test_a_caller_who_speaks_after_a_cancelled_ask_is_answered() -> None:
    protocol = begun()
    protocol.ask()
    protocol.cancel()
    assert ModelReplyBegan("g1") in receive(protocol, heard("What?"), audio(b"\1\0"))


def test_a_tool_that_a_swallowed_reply_asks_for_is_not_run_and_does_not_hold_up_the_next_reply() -> None:
    protocol = begun()
    receive(protocol, audio(b"\1\0"))
    protocol.cancel()
    protocol.events()
    assert receive(protocol, calls(("c1", "verify_caller", {}))) == []
    protocol.ask()
    (frame,) = sent(protocol)
    (response,) = frame["toolResponse"]["functionResponses"]
    assert (response["id"], list(response["response"])) == ("c1", ["error"])


# --- the caller's words ----------------------------------------------------------------------------------------------


def test_pieces_of_the_callers_words_are_a_whole_when_the_reply_begins() -> None:
    assert receive(begun(), heard(" Hello"), heard(","), heard(" my name"), THOUGHT, heard(" is"), TURN_COMPLETE) == [
        CallerTranscribed("Hello", final=False),
        CallerTranscribed("Hello,", final=False),
        CallerTranscribed("Hello, my name", final=False),
        CallerTranscribed("Hello, my name", final=True),
        ModelReplyBegan("g1"),
        CallerTranscribed("is", final=False),
        CallerTranscribed("is", final=True),
        ModelReplyEnded("g1", "complete"),
    ]


def test_words_that_the_model_calls_finished_are_final() -> None:
    assert receive(begun(), heard("Yes", finished=True), TURN_COMPLETE) == [
        CallerTranscribed("Yes", final=False),
        CallerTranscribed("Yes", final=True),
    ]


def test_words_in_the_making_are_a_partial() -> None:
    interim = {"serverContent": {"interimInputTranscription": {"text": "Ye"}}}
    assert receive(begun(), interim) == [CallerTranscribed("Ye", final=False)]


def test_p14_words_that_are_none_are_not_the_callers() -> None:
    assert receive(begun(), heard(""), heard("  "), heard("\n", finished=True), TURN_COMPLETE) == []
