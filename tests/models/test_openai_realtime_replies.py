"""OpenAI Realtime without a socket: what a reply comes to, how it is broken off, and where it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.ports import ModelInterrupted, ModelReplyAudio, ModelReplyBegan, ModelReplyEnded, ModelReplyText

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import ACTIVE, SECOND_OF_MULAW, Frame, audio, began, done, error, open_wire, words

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
