"""Rows: what a server cost its machine and its callers, beside the floor of the same round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import percentile
from benchmarks.peers.ladder import Capacity, Step, answers_ms, capacity_of
from benchmarks.runs import Run
from voiceagent.audio import FRAME_MS

__all__ = ["Round", "Row", "row_of"]


@dataclass(frozen=True, slots=True)
class Round:
    """The floor, and after it at once a server, with the same callers."""

    floor: Run
    served: Run

    @property
    def times_floor(self) -> float:
        """What a call-minute costs, as a multiple of the floor's."""
        return self.served.cpu_s_per_call_minute / self.floor.cpu_s_per_call_minute

    @property
    def spoiled(self) -> str:
        """Why one of the two says nothing; empty where both do."""
        return self.served.spoiled or (self.floor.spoiled and f"beside it, at the floor, {self.floor.spoiled}")


@dataclass(frozen=True, slots=True)
class Row:
    """One server under the main load: of several rounds what counts is the median, of all callers together the rest."""

    peer: str
    version: str
    cpu_s_per_call_minute: tuple[float, ...]
    """Round by round."""
    times_floor: tuple[float, ...]
    """The same, by the floor of the same round: of rounds that were not spoiled, where there are any."""
    spoiled: tuple[str, ...]
    """What spoiled a round, for each that was."""
    answer_p50_ms: float
    """First audio of an answer, beyond the silence that the server is told to wait."""
    answer_p99_ms: float
    clear_p50_ms: float
    """From the first sound of a caller who cuts in."""
    clear_p99_ms: float
    clears: int
    missed_barge_ins: int
    turns: int
    talked_on: int
    """Sentences that went on when a caller who had cut in was silent again; none of them counts as an answer."""
    underruns: int
    unanswered: int
    broken: int
    dropped_frames: int
    mib_before: float
    mib_after: float
    mib_per_call: float
    """From before the load to its steady part."""
    generator_late_p99_ms: float
    """Of the worst round, as is the next."""
    waited_share: float
    """Of the time: its event loop could have run, and its core had something else to do."""
    capacity: Capacity | None = None


def row_of(peer: str, version: str, rounds: Sequence[Round], ladder: Sequence[Step] = (), *, silence_ms: int) -> Row:
    """Return the row of a server's main loads, and of its ladder where it climbed one."""
    runs = [each.served for each in rounds]
    reports = [each.report for each in runs]
    waited_ms = [ms for each in runs for ms in answers_ms(each, silence_ms)]
    clears_ms = [ms for each in reports for ms in each.clears_ms]
    # The first silent frame is sent when the voice is over, and is itself a frame of silence when it arrives.
    silent_ms = silence_ms - FRAME_MS
    undisturbed = [each for each in rounds if not each.spoiled] or rounds
    return Row(
        peer=peer,
        version=version,
        cpu_s_per_call_minute=tuple(each.cpu_s_per_call_minute for each in runs),
        times_floor=tuple(each.times_floor for each in undisturbed),
        spoiled=tuple(each.spoiled for each in rounds if each.spoiled),
        answer_p50_ms=percentile(waited_ms, 0.5) - silent_ms,
        answer_p99_ms=percentile(waited_ms, 0.99) - silent_ms,
        clear_p50_ms=percentile(clears_ms, 0.5),
        clear_p99_ms=percentile(clears_ms, 0.99),
        clears=len(clears_ms),
        missed_barge_ins=sum(each.missed_barge_ins for each in reports),
        turns=sum(each.turns for each in reports),
        talked_on=sum(len(each.answers_ms) for each in reports) - len(waited_ms),
        underruns=sum(each.underruns for each in reports),
        unanswered=sum(each.unanswered for each in reports),
        broken=sum(each.broken for each in reports),
        dropped_frames=sum(each.dropped_frames for each in reports),
        mib_before=median(each.kib_before for each in runs) / 1024,
        mib_after=median(each.kib_after for each in runs) / 1024,
        mib_per_call=median((median(each.pss_kib) - each.kib_before) / each.report.calls for each in runs) / 1024,
        generator_late_p99_ms=max(each.late_p99_ms for each in reports),
        waited_share=max(each.waited_share for each in runs),
        capacity=capacity_of(ladder, silence_ms=silence_ms) if ladder else None,
    )
