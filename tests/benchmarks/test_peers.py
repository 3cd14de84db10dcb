"""The comparison with other frameworks: what is reckoned from the callers' reports, and how it stands in the table."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load_report import LoadReport
from benchmarks.peers.environment import PeerMissing, install
from benchmarks.peers.fakes import SPEECH_MS, TOKENS, hum
from benchmarks.peers.ladder import Capacity, Step, capacity_of, climb
from benchmarks.peers.peer import PEERS
from benchmarks.peers.process import PeerFailed
from benchmarks.peers.row import Round, Row, row_of
from benchmarks.peers.table import cells, write
from benchmarks.peers.voice import without_its_silence
from benchmarks.runs import Run
from benchmarks.watch import Sample

_S = 1_000_000_000
_SILENCE_MS = 500


def _report(**seen: Any) -> LoadReport:
    # 25 calls that all are there from the 10th second to the 30th: eight and a third call-minutes.
    steady = {"steady_from_ns": 10 * _S, "steady_until_ns": 30 * _S, "frames": 25 * 20 * 50}
    spoken = {"turns": 3, "answers_ms": [482.0, 483.0, 490.0], "clears_ms": [70.0]}
    return LoadReport(**{"calls": 25, "seconds": 20.0, **steady, **spoken, **seen})


def _samples(*, spent_s: float = 2.5, waited_s: float = 0.0) -> list[Sample]:
    rate, waited = spent_s / 20, waited_s / 20
    kib = {0: 102_400, 15: 151_600, 20: 153_600, 25: 155_600, 35: 122_880}
    return [
        Sample(at * _S, at * rate, threads=1, files=9, pss_kib=kib.get(at), waited_s=at * waited)
        for at in range(0, 40, 5)
    ]


_LOADED = Run(_report(), _samples())


def _step(calls: int, *answers_ms: float, **seen: Any) -> Step:
    return Step(calls, Run(replace(_report(), calls=calls, answers_ms=list(answers_ms), **seen), _samples()))


def _capacity(ladder: Sequence[Step]) -> Capacity:
    return capacity_of(ladder, silence_ms=_SILENCE_MS)


def _row(name: str, *served: Run, floor: Run = _LOADED) -> Row:
    return row_of(name, "1", [Round(floor, each) for each in served], silence_ms=_SILENCE_MS)


def test_a_call_minute_costs_what_was_spent_while_all_callers_were_there() -> None:
    assert _row("floor", _LOADED).cpu_s_per_call_minute == pytest.approx((0.3,))


def test_an_answer_is_counted_beyond_the_silence_of_which_one_frame_is_over_when_it_arrives() -> None:
    row = _row("floor", _LOADED)
    assert (row.answer_p50_ms, row.answer_p99_ms) == (3.0, 10.0)


def test_the_rest_of_a_sentence_that_was_not_stopped_is_no_answer() -> None:
    deaf = Run(_report(answers_ms=[4.0, 20.0, 485.0]), _samples())
    row = _row("deaf", deaf)
    assert row.talked_on == 2
    assert row.answer_p99_ms == 5.0


def test_memory_of_a_call_is_counted_while_all_are_there() -> None:
    row = _row("floor", _LOADED)
    assert (row.mib_before, row.mib_per_call, row.mib_after) == (100.0, 2.0, 120.0)


def test_the_capacity_is_the_last_step_whose_answers_are_as_quick_as_those_of_one_call() -> None:
    held = _capacity([_step(1, 485.0), _step(25, 534.0), _step(50, 536.0), _step(100, 485.0)])
    assert (held.text, held.then) == ("25", "answers 51 ms later (p99) than one call's (p50) at 50")


def test_one_late_answer_of_one_call_does_not_widen_the_bound_for_the_others() -> None:
    late_once = _step(1, 485.0, 484.0, 530.0)
    assert _capacity([late_once, _step(25, 540.0)]).text == "1"


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"underruns": 1}, "1 underruns at 25"),
        ({"dropped_frames": 4}, "0 connections broken, 4 frames not read at 25"),
        ({"broken": 3}, "3 connections broken, 0 frames not read at 25"),
    ],
)
def test_what_callers_cannot_hear_or_say_is_too_much(seen: dict[str, int], why: str) -> None:
    held = _capacity([_step(1, 485.0), _step(25, 485.0, **seen)])
    assert (held.text, held.then) == ("1", why)


def test_a_caller_without_an_answer_is_too_much() -> None:
    held = _capacity([_step(1, 485.0), _step(25, 485.0), _step(50, 485.0, unanswered=2)])
    assert (held.text, held.then) == ("25", "2 turns unanswered at 50")


def test_a_step_at_which_the_server_fails_is_the_last_and_loses_none_of_those_before() -> None:
    def place(calls: int, seconds: float) -> Run:
        placed.append(calls)
        if calls == 50:
            raise PeerFailed("ended while 50 callers were there")
        return Run(_report(calls=calls), _samples())

    placed: list[int] = []
    steps = climb(place, _SILENCE_MS, (1, 25, 50, 100))
    assert placed == [1, 25, 50]
    assert _capacity(steps) == Capacity(25, "ended while 50 callers were there at 50")


def test_a_step_that_was_too_much_is_tried_once_more() -> None:
    outcomes = {1: [0], 25: [1, 0], 50: [2, 1], 100: [0]}
    steps = climb(
        lambda calls, seconds: Run(_report(calls=calls, underruns=outcomes[calls].pop(0)), _samples()),
        _SILENCE_MS,
        tuple(outcomes),
    )
    assert _capacity(steps) == Capacity(25, "1 underruns at 50")


def test_a_server_that_answers_nobody_holds_no_call() -> None:
    assert _capacity([_step(1)]).text == "0"


def test_where_the_generator_gives_way_the_capacity_is_a_bound() -> None:
    held = _capacity([_step(1, 485.0), _step(25, 485.0), _step(50, 700.0, late_p99_ms=80.0)])
    assert (held.text, held.then) == ("≥ 25", "the generator was 80.0 ms late at p99, with 0% of its core at 50")
    assert _capacity([_step(1, 485.0), _step(25, 700.0, cpu_share=0.95)]).text == "≥ 1"


def test_where_something_else_has_the_servers_core_the_capacity_is_a_bound() -> None:
    slow = _report(calls=25, answers_ms=[700.0])
    held = _capacity([_step(1, 485.0), Step(25, Run(slow, _samples(waited_s=5.0)))])
    assert (held.text, held.then) == ("≥ 1", "for 25% of the time something else had the server's core at 25")
    by_its_own_threads = Step(25, Run(slow, _samples(spent_s=18.0, waited_s=5.0)))
    assert _capacity([_step(1, 485.0), by_its_own_threads]).text == "1"


def test_a_server_that_has_climbed_the_whole_ladder_may_hold_more() -> None:
    assert _capacity([_step(1, 485.0), _step(400, 490.0)]) == Capacity(400, is_bound=True)


def _cost(spent_s: float, **seen: Any) -> Run:
    return Run(_report(**seen), _samples(spent_s=spent_s))


def test_each_row_stands_beside_the_floor_of_its_own_round(tmp_path: Path) -> None:
    # The machine is half as fast in the second round: what a call costs doubles, by the floor it stays what it was.
    rounds = [Round(_cost(2.5), _cost(10.0)), Round(_cost(5.0), _cost(21.0))]
    rows = [_row("floor", _LOADED), row_of("dear", "1", rounds, silence_ms=_SILENCE_MS)]
    assert [row[:3] for row in cells(rows)] == [
        ("floor", "0.30", "1.00"),
        ("dear", "1.86 (1.20–2.52)", "4.10 (4.00–4.20)"),
    ]
    write("here", rows, {"gone": "no such wheel", "dear": "let nobody in"}, {"floor": {}}, folder=tmp_path)
    written = (tmp_path / "peers.md").read_text()
    assert "| dear | 1.86 (1.20–2.52) | 4.10 (4.00–4.20) |" in written
    assert "- gone: no figures, no such wheel" in written
    assert "- dear: no more figures, let nobody in" in written
    assert json.loads((tmp_path / "peers.json").read_text())["missing"]["gone"] == "no such wheel"


def test_a_round_that_was_spoiled_does_not_count_beside_one_that_was_not(tmp_path: Path) -> None:
    late = Round(_cost(2.5), _cost(25.0, late_p99_ms=80.0))
    floor_late = Round(_cost(2.5, late_p99_ms=80.0), _cost(25.0))
    good = Round(_cost(2.5), _cost(10.0))
    row = row_of("dear", "1", [late, good, floor_late], silence_ms=_SILENCE_MS)
    assert row.times_floor == pytest.approx((4.0,))
    write("here", [row], {}, {}, folder=tmp_path)
    why = "the generator was 80.0 ms late at p99, with 0% of its core"
    assert row.spoiled == (why, f"beside it, at the floor, {why}")
    assert f"- dear: in one round {why}" in (tmp_path / "peers.md").read_text()
    assert row_of("dear", "1", [late], silence_ms=_SILENCE_MS).times_floor == pytest.approx((10.0,))


def test_what_callers_saw_in_all_rounds_stands_in_one_row() -> None:
    first = Run(_report(answers_ms=[482.0], clears_ms=[60.0], missed_barge_ins=2, underruns=1), _samples())
    second = Run(_report(answers_ms=[492.0], clears_ms=[80.0], late_p99_ms=3.0), _samples())
    row = _row("both", first, second)
    assert (row.answer_p50_ms, row.answer_p99_ms, row.clear_p50_ms) == (7.0, 12.0, 70.0)
    assert (row.turns, row.underruns, row.generator_late_p99_ms) == (6, 1, 3.0)
    assert cells([row])[0][6] == "2 / 2", "barge-ins heard, and not"


def test_a_peer_that_cannot_be_installed_is_named_with_the_reason(tmp_path: Path) -> None:
    requirements = tmp_path / "gone.txt"
    requirements.write_text("./no-such-wheel-1.0-py3-none-any.whl\n")
    with pytest.raises(PeerMissing, match=r"cannot be installed: ERROR: .*no-such-wheel"):
        install(Path(sys.executable), requirements)


def test_a_callers_sentence_is_over_with_its_last_sound() -> None:
    loud, quiet = bytes([0x00]) * 160, bytes([0xFF]) * 160
    assert without_its_silence(loud + quiet + loud + quiet * 3) == loud + quiet + loud
    assert without_its_silence(quiet * 2) == b""


def test_every_peer_in_an_environment_of_its_own_pins_all_that_it_runs_on() -> None:
    folder = Path("benchmarks/peers/requirements")
    named = {peer.environment for peer in PEERS if peer.environment is not None}
    assert {f"{name}.txt" for name in named} == {file.name for file in folder.iterdir()}
    for file in folder.iterdir():
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        assert lines
        assert all("==" in line for line in lines), file.name


def test_the_fakes_say_what_the_comparison_promises() -> None:
    assert len(TOKENS) == 33
    assert len(hum(8_000)) == 8_000 * SPEECH_MS // 1000 * 2
