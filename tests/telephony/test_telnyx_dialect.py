"""Telnyx: two codecs in one call, and audio that comes in any order."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.telephony.wire_examples import telnyx_media, telnyx_start
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.telephony.codec import (
    ClearAudio,
    Digit,
    Ignored,
    Media,
    PlayAudio,
    Refused,
    SendDigits,
    SetMark,
    Started,
    Stopped,
)
from voiceagent.telephony.reordering import MAX_HELD, Reordering
from voiceagent.telephony.telnyx import TelnyxDialect

ALAW_8K = AudioFormat("alaw", 8000)


def started(audio_out=MULAW_8K, **start):
    dialect = TelnyxDialect(audio_out)
    dialect.receive(telnyx_start(**start))
    return dialect


def frame(number, **changes):
    payload = base64.b64encode(bytes([number]) * 160).decode()
    return telnyx_media(payload, **({"chunk": str(number), "timestamp": str(number * 20)} | changes))


def heard(dialect, messages):
    events = [event for message in messages for event in dialect.receive(message)]
    return [event.audio[0] for event in events if isinstance(event, Media)]


def test_what_comes_in_is_as_the_network_has_it_and_what_goes_out_as_we_asked():
    dialect = TelnyxDialect(AudioFormat("pcm16", 16_000))
    assert dialect.receive(telnyx_start("PCMA")) == (
        Started("S1", "v3:c", "+1", "+2", {"tenant": "t1"}, ALAW_8K, AudioFormat("pcm16", 16_000)),
    )


@pytest.mark.parametrize(
    ("encoding", "rate"),
    [("G722", 8000), ("OPUS", 48000), ("AMR-WB", 16000), ("PCMU", 16000), ("L16", 22050), ("L16", None), (7, 8000)],
)
def test_audio_that_is_not_spoken_here_ends_the_connection(encoding, rate):
    assert TelnyxDialect().receive(telnyx_start(encoding, rate)) == (Refused("audio format not agreed", fatal=True),)


@pytest.mark.parametrize("call", ["", "v3 c", "../x\n", None, 7, "x" * 300])
def test_a_call_without_a_name_ends_the_connection(call):
    assert TelnyxDialect().receive(telnyx_start(call_control_id=call)) == (Refused("start without ids", fatal=True),)


def test_frames_that_overtook_each_other_are_heard_in_order_and_each_once():
    assert heard(started(), [frame(n) for n in (1, 3, 2, 2, 4, 6, 7, 5, 3, 8)]) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_without_chunks_their_time_puts_them_in_order():
    assert heard(started(), [frame(n, chunk=None) for n in (1, 3, 2, 4)]) == [1, 2, 3, 4]


def test_without_either_they_are_heard_as_they_come():
    assert heard(started(), [frame(n, chunk=None, timestamp=None) for n in (1, 3, 2)]) == [1, 3, 2]


def test_a_lost_frame_is_waited_for_briefly():
    dialect = started()
    assert heard(dialect, [frame(1), frame(3), frame(4)]) == [1]
    assert heard(dialect, [frame(5), frame(6)]) == [3, 4, 5, 6]
    assert dialect.receive(frame(2)) == (Ignored("audio twice or too late"),)


def test_what_still_waits_is_heard_before_the_end():
    dialect = started()
    dialect.receive(frame(1))
    dialect.receive(frame(3))
    assert dialect.receive('{"event":"stop","stream_id":"S1"}') == (
        Media(bytes([3]) * 160, 60),
        Stopped("caller hung up"),
    )


@pytest.mark.parametrize("wild", ["999999999", "0"])
def test_numbers_that_jump_cost_ten_frames_at_most(wild):
    dialect = started()
    dialect.receive(frame(100))
    dialect.receive(frame(101, chunk=wild))
    assert heard(dialect, [frame(n) for n in range(101, 120)]) == list(range(101, 120))
    again = [frame(n) for n in range(1, 30)]
    assert len(heard(dialect, again)) >= 20


@given(st.permutations(range(1, 9)), st.sets(st.integers(1, 8), max_size=3))
def test_any_order_gives_a_rising_one_and_keeps_little(order, lost):
    pieces = Reordering()
    out = []
    for number in (0, *order):
        if number in lost:
            continue
        out += pieces.take(number, number) or []
        assert len(pieces._held) < MAX_HELD
    out += pieces.rest()
    assert out == sorted(set(out))


@given(st.lists(st.integers(0, 10**15), max_size=60))
def test_any_numbers_are_taken_each_once_and_never_kept_for_long(numbers):
    pieces = Reordering()
    out = []
    for at, number in enumerate(numbers):
        out += pieces.take(number, at) or []
        assert len(pieces._held) < MAX_HELD
    assert len(out) == len(set(out))


def test_commands_carry_no_ids_and_a_short_tail_is_filled_up():
    dialect = started(ALAW_8K)
    sent = [json.loads(m) for c in (PlayAudio(b"\x11" * 250), SetMark("0.1"), ClearAudio()) for m in dialect.send(c)]
    assert base64.b64decode(sent[0]["media"]["payload"]) == b"\x11" * 250 + b"\xd5" * 70
    assert sent[0] == {"event": "media", "media": {"payload": sent[0]["media"]["payload"]}}
    assert sent[1:] == [{"event": "mark", "mark": {"name": "0.1"}}, {"event": "clear"}]
    assert dialect.send(SendDigits("1")) == ()


def test_sixteen_bit_audio_goes_out_in_the_networks_order():
    dialect = started(AudioFormat("pcm16", 8_000))
    (message,) = dialect.send(PlayAudio(b"\x01\x02" * 160))
    assert base64.b64decode(json.loads(message)["media"]["payload"]) == b"\x02\x01" * 160


def test_another_stream_is_refused_and_an_error_is_passed_over():
    dialect = started()
    assert dialect.receive(telnyx_media().replace("S1", "S2")) == (Refused("another stream"),)
    assert dialect.receive('{"event":"error","payload":{"code":7}}') == (Ignored("error of the carrier's"),)
    assert dialect.receive('{"event":"dtmf","stream_id":"S1","dtmf":{"digit":"1"}}') == (Digit("1"),)
