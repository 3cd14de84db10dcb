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
from benchmarks.peers.peer import PEERS
from benchmarks.peers.row import Capacity, capacity_of, row_of
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


def _step(calls: int, *answers_ms: float, **seen: Any) -> Run:
    return Run(replace(_report(), calls=calls, answers_ms=list(answers_ms), **seen), _samples())


def _capacity(ladder: Sequence[Run]) -> Capacity:
    return capacity_of(ladder, silence_ms=_SILENCE_MS)


def test_a_call_minute_costs_what_was_spent_while_all_callers_were_there() -> None:
    assert row_of("floor", "1", _LOADED, silence_ms=_SILENCE_MS).cpu_s_per_call_minute == pytest.approx(0.3)


def test_an_answer_is_counted_beyond_the_silence_of_which_one_frame_is_over_when_it_arrives() -> None:
    row = row_of("floor", "1", _LOADED, silence_ms=_SILENCE_MS)
    assert (row.answer_p50_ms, row.answer_p99_ms) == (3.0, 10.0)


def test_the_rest_of_a_sentence_that_was_not_stopped_is_no_answer() -> None:
    deaf = Run(_report(answers_ms=[4.0, 20.0, 485.0]), _samples())
    row = row_of("deaf", "1", deaf, silence_ms=_SILENCE_MS)
    assert row.talked_on == 2
    assert row.answer_p99_ms == 5.0


def test_memory_of_a_call_is_counted_while_all_are_there() -> None:
    row = row_of("floor", "1", _LOADED, silence_ms=_SILENCE_MS)
    assert (row.mib_before, row.mib_per_call, row.mib_after) == (100.0, 2.0, 120.0)


def test_the_capacity_is_the_last_step_whose_answers_are_as_quick_as_those_of_one_call() -> None:
    held = _capacity([_step(1, 485.0), _step(25, 534.0), _step(50, 536.0), _step(100, 485.0)])
    assert (held.text, held.then) == ("25", "answers 51 ms later than those of one call (p99) at 50")


def test_a_caller_without_an_answer_is_too_much() -> None:
    held = _capacity([_step(1, 485.0), _step(25, 485.0), _step(50, 485.0, unanswered=2)])
    assert (held.text, held.then) == ("25", "2 turns unanswered at 50")


def test_a_caller_who_is_not_let_in_is_too_much() -> None:
    assert _capacity([_step(1, 485.0), _step(25, 485.0, broken=3)]).then == "3 connections broken at 25"


def test_a_server_that_answers_nobody_holds_no_call() -> None:
    assert _capacity([_step(1)]).text == "0"


def test_where_the_generator_gives_way_the_capacity_is_a_bound() -> None:
    held = _capacity([_step(1, 485.0), _step(25, 485.0), _step(50, 700.0, late_p99_ms=80.0)])
    assert (held.text, held.then) == ("≥ 25", "the generator was 80.0 ms late at p99, with 0% of its core at 50")
    assert _capacity([_step(1, 485.0), _step(25, 700.0, cpu_share=0.95)]).text == "≥ 1"


def test_where_something_else_has_the_servers_core_the_capacity_is_a_bound() -> None:
    slow = _report(calls=25, answers_ms=[700.0])
    held = _capacity([_step(1, 485.0), Run(slow, _samples(waited_s=5.0))])
    assert (held.text, held.then) == ("≥ 1", "for 25% of the time something else had the server's core at 25")
    by_its_own_threads = Run(slow, _samples(spent_s=18.0, waited_s=5.0))
    assert _capacity([_step(1, 485.0), by_its_own_threads]).text == "1"


def test_a_server_that_has_climbed_the_whole_ladder_may_hold_more() -> None:
    assert _capacity([_step(1, 485.0), _step(400, 490.0)]) == Capacity(400, is_bound=True)


def test_each_row_stands_beside_the_floor_of_its_own_run(tmp_path: Path) -> None:
    dear = Run(_report(), _samples(spent_s=20.0))
    rows = [row_of(name, "1", each, silence_ms=_SILENCE_MS) for name, each in (("floor", _LOADED), ("dear", dear))]
    assert [row[:3] for row in cells(rows)] == [("floor", "0.30", "1.0"), ("dear", "2.40", "8.0")]
    assert cells(rows[1:])[0][2] == "", "without a floor there is no ratio"
    write("here", rows, {"gone": "cannot be installed: no such wheel"}, {"floor": {}}, folder=tmp_path)
    written = (tmp_path / "peers.md").read_text()
    assert "| dear | 2.40 | 8.0 |" in written
    assert "- gone: no figures, cannot be installed: no such wheel" in written
    assert json.loads((tmp_path / "peers.json").read_text())["missing"] == {
        "gone": "cannot be installed: no such wheel"
    }


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
