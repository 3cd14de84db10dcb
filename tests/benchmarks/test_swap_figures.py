"""The arithmetic of `make bench-swap`: what is lost, what is the provider's time, what the caller heard."""

from __future__ import annotations

from typing import Any

from benchmarks.swap.baselines import aws_sleeps_s
from benchmarks.swap.caller import Round
from benchmarks.swap.exact import gaps_ms
from benchmarks.swap.moments import BACKGROUND, BARE, INTO, Run, audio_of, runs_in, serial_of, tag_of
from benchmarks.swap.rows import Spread, gap_of, lost_and_twice, waited_ms
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import Epoch, TurnId, UtteranceId
from voiceagent.spec.manner import Manner
from voiceagent.testing.call_record import RecordEntry

MS = 1_000_000


def heard(*runs: tuple[int, int, int]) -> dict[str, Any]:
    return {"heard": list(runs)}


def lost(*sessions: dict[str, Any], spoken: list[tuple[int, int, int]]) -> list[tuple[bool, int, int]]:
    return list(lost_and_twice([*spoken, (BACKGROUND, 10_000, 19_999)], sessions, from_ms=0))[: len(spoken)]


def test_audio_says_whose_it_is_and_where_it_was_cut() -> None:
    audio = audio_of(BACKGROUND, 0, 40) + audio_of(INTO, 40, 20) + audio_of(INTO, 80, 20)
    assert list(runs_in(audio)) == [Run(BACKGROUND, 0, 39), Run(INTO, 40, 59), Run(INTO, 80, 99)]
    assert serial_of(tag_of(2, 1_000)) == (2, 1_000)


def test_what_no_session_has_taken_in_is_lost() -> None:
    spoken = [(BACKGROUND, 0, 99), (INTO, 100, 699)]
    assert lost(heard((BACKGROUND, 0, 99), (INTO, 150, 699)), spoken=spoken) == [(False, 0, 0), (True, 50, 0)]


def test_what_a_second_session_takes_up_is_neither_lost_nor_twice() -> None:
    assert lost(heard((INTO, 0, 299)), heard((INTO, 300, 599)), spoken=[(INTO, 0, 599)]) == [(True, 0, 0)]


def test_what_two_sessions_were_given_is_twice() -> None:
    assert lost(heard((INTO, 0, 299)), heard((INTO, 200, 599)), spoken=[(INTO, 0, 599)]) == [(True, 0, 100)]


def test_what_was_under_way_when_the_caller_hung_up_is_not_lost() -> None:
    assert list(lost_and_twice([(BACKGROUND, 0, 499)], [], from_ms=0)) == [(False, 0, 0)]


def test_only_waiting_between_request_and_answer_is_the_providers_and_none_of_it_counts_twice() -> None:
    busy = [(0, 10 * MS), (15 * MS, 40 * MS), (30 * MS, 60 * MS), (90 * MS, 130 * MS)]
    assert waited_ms(busy, 20 * MS, 100 * MS) == 50


def replies(*, called_ms: int, first_audio_ms: int, busy_ms: list[tuple[int, int]]) -> list[dict[str, Any]]:
    old = {"serial": 1, "called_ns": called_ms * MS, "first_audio_ns": 0}
    new = {"serial": 2, "called_ns": None, "first_audio_ns": first_audio_ms * MS}
    busy = [(begin * MS, end * MS) for begin, end in busy_ms]
    return [{"busy": [(0, 500 * MS)], "replies": [old]}, {"busy": busy, "replies": [new]}]


def test_of_a_gap_the_answering_sessions_time_is_taken_off() -> None:
    sessions = replies(called_ms=100, first_audio_ms=460, busy_ms=[(102, 152), (155, 455)])
    over = Round(BARE, 1, old_ended_ns=101 * MS, new_serial=2, new_began_ns=461 * MS, silent_ns=360 * MS)
    gap = gap_of(over, sessions)
    assert (gap.raw_ms, gap.net_ms, gap.added_ms) == (360, 10, 11)


def test_of_silence_that_speech_has_covered_nothing_is_taken_off() -> None:
    sessions = replies(called_ms=100, first_audio_ms=460, busy_ms=[(110, 460)])
    over = Round(BARE, 1, old_ended_ns=900 * MS, new_serial=2, new_began_ns=900 * MS, silent_ns=0)
    assert gap_of(over, sessions).net_ms == 0


def test_a_spread_of_nothing_says_so() -> None:
    assert Spread.of([]) == Spread(0, 0, 0, 0)
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2, 3, 3, 3)


def test_the_sample_sleeps_as_its_source_says() -> None:
    assert round(aws_sleeps_s(0), 3) == 1.9
    assert round(aws_sleeps_s(10), 3) == 4.9


# --- on virtual time -------------------------------------------------------------------------------------------------

OLD, NEW = UtteranceId("u1"), UtteranceId("r1")


def swap() -> tuple[fx.Outgoing, ...]:
    request = fx.ModelRequest("visits", Epoch(2), "", "", (), (), {}, 0)
    return (fx.Outgoing(1, Epoch(2), TurnId(1), fx.SwapPhase(request, Manner("en-US"))),)


def change(*events: tuple[int, ev.Event]) -> list[RecordEntry]:
    first: RecordEntry = (0, ev.TimePassed(), swap())
    before: RecordEntry = (1_000, ev.PlayoutStarted(OLD, 1_000), ())
    asked: RecordEntry = (1_100, ev.TimePassed(), swap())
    return [first, before, asked, *((now_ms, event, ()) for now_ms, event in events)]


def test_silence_is_from_the_last_of_the_old_voice_to_the_first_of_the_new() -> None:
    entries = change(
        (1_300, ev.PlayoutReached(OLD, 1, 300, finished=True)),
        (1_450, ev.PlayoutStarted(NEW, 1_450)),
    )
    assert gaps_ms(entries) == [150]


def test_there_is_no_silence_where_the_end_of_the_old_voice_is_told_after_the_beginning_of_the_new() -> None:
    entries = change(
        (1_300, ev.PlayoutStarted(NEW, 1_300)),
        (1_302, ev.PlayoutReached(OLD, 1, 300, finished=True)),
    )
    assert gaps_ms(entries) == [0]
