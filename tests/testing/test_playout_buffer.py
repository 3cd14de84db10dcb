"""The carrier's playout buffer plays everything once, in order, and tells when it was heard."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voiceagent.testing.playout import BUFFER_MS, FRAME_BYTES, PlayoutBuffer

SILENT = b"\xff" * FRAME_BYTES


def test_an_empty_buffer_plays_silence():
    assert PlayoutBuffer().play_frame() == (SILENT, [])


def test_a_piece_shorter_than_a_frame_is_filled_up_with_silence():
    playout = PlayoutBuffer()
    playout.append(b"\x10" * 100)
    assert playout.play_frame()[0] == b"\x10" * 100 + b"\xff" * 60
    assert playout.play_frame()[0] == SILENT


def test_a_mark_is_due_at_once_when_nothing_is_playing():
    assert PlayoutBuffer().set_mark("now")


def test_a_mark_is_due_when_the_frame_before_it_has_been_heard_not_when_it_began():
    playout = PlayoutBuffer()
    playout.append(b"\x10" * FRAME_BYTES)
    assert not playout.set_mark("end")
    assert playout.play_frame()[1] == []
    assert playout.play_frame()[1] == ["end"]


def test_a_mark_behind_the_frame_that_is_sounding_waits_for_its_end():
    playout = PlayoutBuffer()
    playout.append(b"\x10" * FRAME_BYTES)
    playout.play_frame()
    assert not playout.set_mark("end")
    assert playout.play_frame()[1] == ["end"]


def test_a_clear_returns_pending_marks_and_leaves_nothing_to_play():
    playout = PlayoutBuffer()
    playout.append(b"\x10" * FRAME_BYTES * 5)
    playout.set_mark("a")
    playout.set_mark("b")
    playout.play_frame()
    assert playout.waiting_ms == 80
    assert playout.clear() == ["a", "b"]
    assert playout.waiting_ms == 0
    assert playout.play_frame() == (SILENT, [])
    assert playout.set_mark("later")


def test_more_than_ten_minutes_are_not_taken():
    playout = PlayoutBuffer()
    assert playout.append(b"\x10" * BUFFER_MS * 8)
    assert not playout.append(b"\x10")
    assert playout.waiting_ms == BUFFER_MS


@given(st.lists(st.binary(min_size=1, max_size=900), max_size=12))
def test_audio_in_pieces_of_any_size_is_played_whole_and_each_mark_within_a_frame(pieces: list[bytes]):
    playout = PlayoutBuffer()
    ends: dict[str, int] = {}
    position = 0
    for number, piece in enumerate(pieces):
        playout.append(piece)
        position += len(piece)
        playout.set_mark(str(number))
        ends[str(number)] = position
    played, echoed = b"", dict[str, int]()
    for _ in range(position // FRAME_BYTES + 2):
        heard_bytes = len(played)
        frame, due = playout.play_frame()
        played += frame
        echoed |= dict.fromkeys(due, heard_bytes)
    assert played.startswith(b"".join(pieces))
    assert list(echoed) == list(ends)
    assert all(0 <= echoed[name] - end < FRAME_BYTES for name, end in ends.items())
