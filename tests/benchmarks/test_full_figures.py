"""The figures of the whole benchmark: what counts as too many calls, and what is made of what was watched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.figures import Figure
from benchmarks.full.capacity import Limit, capacity_of, climb, limit_of
from benchmarks.full.cost import ratio_of
from benchmarks.full.flame import shares_of
from benchmarks.full.growth import long_flow
from benchmarks.full.local import late_answers_of
from benchmarks.full.table import LeftOut, keep
from benchmarks.load_report import LoadReport
from benchmarks.pinned import on_cores, placement, threads_in
from benchmarks.runs import NotServed, Run, delays_ms
from benchmarks.watch import Sample, Watch, cpu_between_s
from voiceagent.spec.verify import verify

S = 1_000_000_000


def watched(*cpu_s: float) -> list[Sample]:
    return [Sample(second * S, spent_s, 1, 1, None) for second, spent_s in enumerate(cpu_s)]


def measured(*, answer_ms: Sequence[int] = (1,), core: float = 0.5, **seen: object) -> Run:
    report = LoadReport(
        1,
        2,
        frames=3_000,
        steady_from_ns=S,
        steady_until_ns=3 * S,
        audio_at_ns={"CA1": [S + number * 1_000_000_000 + ms * 1_000_000 for number, ms in enumerate(answer_ms)]},
    )
    inside = {"turn_over_at_ns": {"CA1": [S + number * 1_000_000_000 for number in range(len(answer_ms))]}}
    return Run(replace(report, **seen), watched(0, core, 2 * core, 3 * core, 4 * core), inside)


def test_cpu_is_counted_between_two_instants_that_lie_between_samples() -> None:
    assert cpu_between_s(watched(0, 1, 3, 3), S // 2, 2 * S + S // 2) == 2.5
    with pytest.raises(ValueError, match="not watched"):
        cpu_between_s(watched(0, 1), 0, 2 * S)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_process_is_watched_with_its_children() -> None:
    waiting = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # noqa: S603 - our own command
        assert child.stdout is not None
        child.stdout.readline()
        its = Watch(child.pid).stop()[-1]
        ours = Watch(os.getpid()).stop()[-1]
        alone = Path("/proc/self/smaps_rollup").read_text()
        child.communicate(b"\n")
    assert its.threads == 1
    assert its.files >= 3
    assert its.pss_kib is not None
    assert its.pss_kib > 1_000
    assert ours.pss_kib is not None
    assert ours.pss_kib > int(alone.partition("\nPss:")[2].split()[0]) + its.pss_kib // 2
    assert ours.cpu_s >= its.cpu_s


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_process_that_ends_under_its_watch_is_known_to_have_ended() -> None:
    waiting = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # noqa: S603 - our own command
        assert child.stdout is not None
        child.stdout.readline()
        watch, lasting = Watch(child.pid), Watch(os.getpid())
        child.kill()
        child.stdout.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        watch.stop()
        lasting.stop()
    assert (watch.has_ended, lasting.has_ended) == (True, False)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system cannot do that")
def test_a_command_runs_on_its_cores_alone() -> None:
    core = max(os.sched_getaffinity(0))
    command = on_cores([core], [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"])
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
    assert done.stdout == f"{{{core}}}\n"
    assert on_cores([], ["true"]) == ["true"]


def test_cores_that_are_threads_of_one_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("0-1\n")
    (tmp_path / "2").write_text("2,6\n")
    told = f"{tmp_path}/{{}}"
    assert placement([0], [1], told) == (
        "the server has core 0, the generator 1; 0 and 1 are threads of ONE core, so that each slows the other"
    )
    assert placement([2], [3, 4, 5], told) == "the server has core 2, the generator 3, 4, 5"
    assert placement([2], [5, 6], told).endswith("2 and 6 are threads of ONE core, so that each slows the other")
    assert placement([7], [8], told).endswith("whether they are threads of one core the system does not tell")
    assert placement([], []) == "nothing has a core of its own"
    assert threads_in("0-2,8,10-11\n") == {0, 1, 2, 8, 10, 11}


def test_a_call_minute_costs_what_was_spent_while_all_callers_were_there() -> None:
    run = measured(core=0.25)
    assert run.core_share == pytest.approx(0.25)
    assert run.cpu_s_per_call_minute == pytest.approx(0.5)


def test_a_delay_is_from_the_last_decision_before_it() -> None:
    decided = {"CA1": [1_000_000, 5_000_000], "CA2": [9_000_000]}
    assert delays_ms(decided, {"CA1": [3_000_000, 6_000_000], "CA2": [8_000_000], "CA3": [1]}) == [2.0, 1.0]


def test_calls_that_are_served_well_are_not_too_many() -> None:
    assert limit_of(measured()) is None


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"underruns": 1}, "1 underruns at a jitter buffer of 40 ms"),
        ({"broken": 2}, "2 connections broken, 0 frames not read"),
        ({"dropped_frames": 7}, "0 connections broken, 7 frames not read"),
        ({"unanswered": 3}, "3 turns unanswered"),
        ({"answer_ms": [1, 51]}, "framework latency p99 51 ms"),
        ({"core": 0.96}, "the server's core is full (96%)"),
    ],
)
def test_too_many_calls_are_told_by_what_goes_wrong(seen: dict[str, object], why: str) -> None:
    limit = limit_of(measured(**seen))  # type: ignore[arg-type]
    assert limit is not None
    assert limit.why == why
    assert not limit.of_the_run


@pytest.mark.parametrize("seen", [{"late_p99_ms": 10.5}, {"cpu_share": 0.91}])
def test_a_generator_that_was_too_slow_says_nothing_of_the_server(seen: dict[str, object]) -> None:
    limit = limit_of(measured(underruns=5, **seen))  # type: ignore[arg-type]
    assert limit is not None
    assert limit.of_the_run


def test_a_server_whose_core_something_else_had_is_not_judged() -> None:
    run = measured(core=0.3)
    held_up = [replace(sample, waited_s=sample.at_ns / S / 4) for sample in run.samples]
    limit = limit_of(replace(run, samples=held_up))
    assert limit is not None
    assert limit.why == "for 25% of the time something else had the server's core"
    assert limit.of_the_run
    assert (
        limit_of(
            replace(
                measured(core=0.8),
                samples=[replace(s, waited_s=s.at_ns / S / 4, cpu_s=0.8 * s.at_ns / S) for s in held_up],
            )
        )
        is None
    )


def test_calls_are_added_until_they_are_too_many_twice() -> None:
    bad = {"underruns": 1}
    outcomes = {25: [{}], 50: [bad, {}], 100: [bad, {"unanswered": 2}], 150: [{}]}
    climbed = climb(lambda calls: measured(**outcomes[calls].pop(0)), list(outcomes))  # type: ignore[arg-type]
    assert climbed.limit == Limit("2 turns unanswered")
    assert list(climbed.runs) == [25, 50, 100]
    row = capacity_of("energy", climbed, goal=50)
    assert isinstance(row, Figure)
    assert (row.value, row.reached) == (50, True)
    assert row.how == "at 100, twice: 2 turns unanswered"


@pytest.mark.parametrize(
    ("died", "why", "of_the_run"),
    [
        (NotServed("ours has ended with -9"), "ours has ended with -9", False),
        (subprocess.TimeoutExpired("load", 170), "no end within 170 s", False),
        (subprocess.CalledProcessError(1, "load"), "the generator has ended with 1", True),
    ],
)
def test_a_rung_that_comes_to_no_end_twice_is_the_limit_and_loses_none_of_those_before(
    died: Exception, why: str, of_the_run: bool
) -> None:
    def measure(calls: int) -> Run:
        if calls == 50 and not tries:
            tries.append(calls)
            raise died
        if calls > 50:
            raise died
        return measured()

    tries: list[int] = []
    climbed = climb(measure, [25, 50, 100, 150])
    assert climbed.limit == Limit(why, of_the_run=of_the_run)
    assert (list(climbed.runs), climbed.carried, climbed.limit_at) == ([25, 50], 50, 100)
    row = capacity_of("energy", climbed, goal=50)
    assert isinstance(row, Figure)
    assert (row.value, row.how) == (50, f"at 100, twice: {why}")


def test_a_server_that_serves_nobody_carries_none() -> None:
    def measure(calls: int) -> Run:
        raise NotServed(f"nobody of {calls} was let in")

    row = capacity_of("energy", climb(measure, [1, 25]), goal=50)
    assert isinstance(row, Figure)
    assert (row.value, row.how) == (0, "at 1, twice: nobody of 1 was let in")


def test_a_capacity_that_the_generator_has_bounded_is_none() -> None:
    late = {"late_p99_ms": 50.0}
    climbed = climb(lambda calls: measured(**(late if calls > 25 else {})), [25, 50, 100])  # type: ignore[arg-type]
    why = "25 at least: at 50 the generator was 50.0 ms late at p99, with 0% of its core"
    for row in (capacity_of("energy", climbed, goal=50), capacity_of("local engines", climbed, goal=None)):
        assert isinstance(row, LeftOut)
        assert row.why == why
    assert isinstance(capacity_of("energy", climbed, goal=20), Figure)


@pytest.mark.parametrize(
    ("seen", "limit"),
    [
        ({"answers_ms": [1_499.0]}, None),
        ({"answers_ms": [900.0, 1_501.0]}, Limit("p95 1501 ms")),
        ({"underruns": 2}, Limit("2 underruns at a jitter buffer of 40 ms")),
        ({"unanswered": 1}, Limit("1 turns unanswered")),
        (
            {"answers_ms": [1_501.0], "late_p99_ms": 80.0},
            Limit("the generator was 80.0 ms late at p99, with 0% of its core", of_the_run=True),
        ),
    ],
)
def test_too_many_calls_for_the_local_engines_are_told_by_late_answers_too(
    seen: dict[str, object], limit: Limit | None
) -> None:
    assert late_answers_of(measured(**seen)) == limit  # type: ignore[arg-type]


def test_rounds_in_which_the_generator_was_too_slow_do_not_count() -> None:
    ours = [measured(core=0.4), measured(core=0.9, late_p99_ms=99.0), measured(core=0.6)]
    floor = [measured(core=0.2)] * 3
    row = ratio_of("ours / floor", ours, floor, 1.5)
    assert isinstance(row, Figure)
    assert row.value == pytest.approx(2.5)
    assert row.how == "median of 2 rounds of 3"
    assert isinstance(ratio_of("ours / floor", ours[1:2], floor[1:2], 1.5), LeftOut)


def test_a_part_that_is_measured_again_takes_its_own_place_in_the_table(tmp_path: Path) -> None:
    keep("cost", [Figure("ours / floor", 1.7, "×", 1.5, spread="1.6–1.8")], tmp_path, quick=True)
    keep("local", [LeftOut("calls", "no engines")], tmp_path, quick=False)
    keep("cost", [Figure("ours / floor", 1.2, "×", 1.5, how="median")], tmp_path, quick=False)
    kept = json.loads((tmp_path / "bench-full.json").read_text())
    assert [figure["value"] for figure in kept["cost"]["figures"]] == [1.2]
    assert kept["cost"]["figures"][0]["reached"] is True
    table = (tmp_path / "bench-full.md").read_text()
    assert "| ours / floor | 1.2 × | ≤ 1.5 × | yes |  | median |" in table
    assert "| calls | left out | | | | no engines |" in table
    assert "1.6–1.8" not in table


def test_a_profile_is_told_by_the_package_of_the_innermost_frame() -> None:
    folded = "\n".join(
        [
            "main (benchmarks/served.py:1);run (asyncio/runners.py:118);take (voiceagent/telephony/driver.py:9) 6",
            "main (benchmarks/served.py:1);run (asyncio/runners.py:118);read (websockets/asyncio/messages.py:3) 3",
            "main (benchmarks/served.py:1);run (uvloop/__init__.py:92);run (asyncio/runners.py:118) 1",
            "_bootstrap (threading.py:1002);run (threading.py:982);_write (voiceagent/runtime/journal_disk.py:2) 90",
        ]
    )
    shares = shares_of(folded)
    assert shares["voiceagent.telephony"] == pytest.approx(0.6)
    assert shares["websockets"] == pytest.approx(0.3)
    assert shares["the event loop and the kernel"] == pytest.approx(0.1)
    assert "voiceagent.runtime" not in shares, "another thread's"


def test_the_flow_whose_proof_is_timed_is_proved_to_its_end() -> None:
    assert [finding for finding in verify(long_flow(5)) if finding.severity == "error"] == []
