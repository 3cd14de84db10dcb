"""What has been handed to the sound card is heard, and nothing else is."""

from __future__ import annotations

from voiceagent.core.ids import UtteranceId
from voiceagent.devices.loudspeaker import Block, Passed, PlayoutQueue

A, B = UtteranceId("a"), UtteranceId("b")
BLOCK = 20 * 32
"""20 ms of 16-bit samples at 16 kHz."""


def sound(ms: int) -> bytes:
    return b"\x01\x02" * (16 * ms)


def queue() -> PlayoutQueue:
    return PlayoutQueue(bytes_per_ms=32)


def test_there_is_silence_where_nothing_is_said() -> None:
    assert queue().take(BLOCK) == Block(bytes(BLOCK))


def test_an_utterance_begins_and_ends_where_its_samples_do() -> None:
    said = queue()
    said.add(A, sound(15))
    said.end_clause(A, 0, last=False)
    said.add(A, sound(10))
    said.end_clause(A, 1, last=True)
    first, second = said.take(BLOCK), said.take(BLOCK)
    assert first == Block(sound(20), (Passed(A, 0, 0, None), Passed(A, 15, 15, 0, last=False)))
    assert second == Block(sound(5) + bytes(15 * 32), (Passed(A, 5, 25, 1, last=True),))


def test_a_clause_that_fills_a_block_ends_with_it() -> None:
    said = queue()
    said.add(A, sound(20))
    said.end_clause(A, 0, last=True)
    said.add(B, sound(20))
    assert said.take(BLOCK).passed[-1] == Passed(A, 20, 20, 0, last=True)
    assert said.take(BLOCK).passed == (Passed(B, 0, 0, None),)


def test_a_clause_without_sound_is_over_at_once() -> None:
    said = queue()
    said.end_clause(A, 0, last=True)
    assert said.take(BLOCK) == Block(bytes(BLOCK), (Passed(A, 0, 0, 0, last=True),))


def test_what_is_cut_off_was_heard_as_far_as_it_was_taken() -> None:
    said = queue()
    said.add(A, sound(100))
    said.add(B, sound(100))
    said.take(BLOCK)
    assert said.clear() == {A: 20, B: 0}
    assert said.take(BLOCK) == Block(bytes(BLOCK))
    assert not said.speaks(A)


def test_what_was_taken_is_not_heard_before_somebody_says_so() -> None:
    said = queue()
    said.add(A, sound(20))
    said.end_clause(A, 0, last=True)
    said.take(BLOCK)
    assert not said.silent
    said.finished(A)
    assert said.silent
