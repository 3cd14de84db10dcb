"""What a frame of 20 ms costs on the real telephone leg and its ears, and what a turn does: in counts."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from tests.cost.counting import OTHER_PYTHONS, function_calls
from tests.cost.counts import Counts
from tests.cost.served_calls import SILENCE, Served, served, speech

FRAMES = 500
Frame = Callable[[int], bytes]
KINDS: dict[str, Frame] = {"silence": lambda _: SILENCE, "speech": speech}
HEARD = pytest.mark.parametrize("kind", KINDS)


@contextmanager
def steady(kind: str, calls: int = 1) -> Generator[tuple[Served, Frame]]:
    """Serve calls whose callers have been silent, or have been talking on, for two seconds."""
    with served(calls) as server:
        server.pass_frames(100, KINDS[kind])
        talking = server.happened["CallerStartedSpeaking"] - server.happened["CallerPaused"]
        assert talking == (calls if kind == "speech" else 0)
        server.loop.counts.clear()
        server.events.clear()
        yield server, KINDS[kind]


@HEARD
def test_a_frame_makes_no_task_and_wakes_nobody_but_its_reader(kind: str, counts: Counts) -> None:
    with steady(kind) as (server, frame):
        server.pass_frames(FRAMES, frame)
        counted = dict(server.loop.counts)
        assert counted.get("tasks", 0) == 0
        assert server.events["events"] == 0, "somebody says something, and it is not the frames that are counted"
    counts.hold("frames", f"a thousand frames of {kind}", _per(1_000, counted, FRAMES))


def test_ten_calls_share_one_beat() -> None:
    timers: list[int] = []
    for calls in (1, 10):
        with steady("silence", calls) as (server, frame):
            server.pass_frames(FRAMES, frame)
            timers.append(server.loop.counts["timers"])
    assert timers[1] <= timers[0]


@HEARD
def test_frames_leave_no_more_behind_than_before(kind: str, counts: Counts) -> None:
    with steady(kind) as (server, frame):
        tracemalloc.start()
        try:
            server.pass_frames(100, frame)
            before = _blocks_kept()
            server.pass_frames(200, frame)
            grown = _blocks_kept() - before
        finally:
            tracemalloc.stop()
    # Of a sentence it is kept how loud each of its frames was, until it is over. A few are lent to and fro by lists of
    # free objects, so they are counted by fifties, and may be one more: what stays of every second frame is two more.
    counted = {"fifties_of_blocks": max(0, grown) // 50 + 1}
    counts.hold("frames", f"two hundred frames of {kind}, memory that they leave", counted, steps=1)


@HEARD
def test_a_frame_needs_no_more_memory_while_it_is_heard_than_before(kind: str, counts: Counts) -> None:
    with steady(kind) as (server, frame):
        tracemalloc.start()
        try:
            server.pass_frames(50, frame)
            needed: list[int] = []
            for message in [server.frames(1, frame) for _ in range(50)]:
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                server.take(message)
                needed.append(tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()
    counts.hold("frames", f"a frame of {kind}, memory", {"peak_bytes": sorted(needed)[25]}, spare=0.25)


@HEARD
def test_a_frame_is_no_more_work_than_before(kind: str, counts: Counts) -> None:
    with steady(kind) as (server, frame), steady(kind, calls=11) as (with_ten_more, _):
        few, many = server.frames(100, frame), with_ten_more.frames(100, frame)
        alone = function_calls(lambda: server.take(few))
        with_others = function_calls(lambda: with_ten_more.take(many))
    counted = {"function_calls": (with_others - alone) // 10}
    counts.hold("frames", f"a hundred frames of {kind} of one more call, work", counted, spare=OTHER_PYTHONS)


def test_a_turn_makes_no_more_of_anything_than_before(counts: Counts) -> None:
    turns = 5
    with served() as server:
        server.turn()
        server.loop.counts.clear()
        server.events.clear()
        for _ in range(turns):
            server.turn()
        counted = {**server.loop.counts, **server.events}
    counts.hold("turns", "ten turns with an answer each", _per(10, counted, turns))


def _per(of_these: int, counted: dict[str, int], of_those: int) -> dict[str, int]:
    names = ("tasks", "callbacks", "timers", "messages_out", "events", "effects")
    return {name: -(-counted[name] * of_these // of_those) for name in names if name in counted}


def _blocks_kept() -> int:
    """Return how many blocks of memory there are that were asked for since these are traced."""
    gc.collect()
    taken = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, tracemalloc.__file__)])
    return sum(statistic.count for statistic in taken.statistics("filename"))
