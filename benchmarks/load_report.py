"""What the callers of a load test saw, and how late and how busy the generator itself was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Lateness", "LoadReport", "merged"]

_BUCKETS_PER_MS = 10
_MOST_MS = 1_000


class Lateness:
    """How late frames were, as counts in steps of 0.1 ms up to a second: as large after ten minutes as after one."""

    def __init__(self) -> None:
        self._counts = [0] * (_MOST_MS * _BUCKETS_PER_MS + 1)
        self._total = 0
        self.max_ms = 0.0

    def add(self, late_ns: int) -> None:
        """Count a frame; one that was early was in time."""
        late_ms = max(0.0, late_ns / 1e6)
        self._counts[min(int(late_ms * _BUCKETS_PER_MS), _MOST_MS * _BUCKETS_PER_MS)] += 1
        self._total += 1
        self.max_ms = max(self.max_ms, late_ms)

    def percentile_ms(self, share: float) -> float:
        """Return the lower edge of the step in which this share of the frames is reached; 0 where there are none."""
        before = 0
        for bucket, count in enumerate(self._counts):
            before += count
            if count and before > self._total * share:
                return bucket / _BUCKETS_PER_MS
        return self.max_ms


@dataclass(slots=True)
class LoadReport:
    """What the callers saw."""

    calls: int
    seconds: float
    turns: int = 0
    steady_turns: int = 0
    """Those that began between `steady_from_ns` and `steady_until_ns`; what is beside them is of the ramp, too."""
    answers_ms: list[float] = field(default_factory=list[float])
    """From the end of the caller's voice to the arrival of the answer's first audio: what is waited for included."""
    clears_ms: list[float] = field(default_factory=list[float])
    """From the first sound of a caller who cuts in to the arrival of `clear`."""
    missed_barge_ins: int = 0
    """Times that a caller cut in and no `clear` had come when they spoke next."""
    clear_at_ns: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Call → when each `clear` came, on the system's monotonic clock."""
    audio_at_ns: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Call → when the first audio of each answer came, on the same clock."""
    underruns: int = 0
    """Times a caller's ear ran dry in the middle of a sentence, with 40 ms of audio as its buffer."""
    unanswered: int = 0
    broken: int = 0
    """Connections that were refused or ended before the caller hung up, and messages that are none of the dialect."""
    dropped_frames: int = 0
    """Frames that were not sent since the server had not read some four seconds of those before."""
    frames: int = 0
    """Frames sent between `steady_from_ns` and `steady_until_ns`."""
    sent_bytes: int = 0
    """What went out in that time, WebSocket frames with their heads: not what TCP, IP and TLS add."""
    received_bytes: int = 0
    received_messages: int = 0
    steady_from_ns: int = 0
    """When all callers were connected, on the same clock."""
    steady_until_ns: int = 0
    """When the first hung up."""
    late_p50_ms: float = 0.0
    """The generator's own lateness: from when a frame was due to when it was written."""
    late_p99_ms: float = 0.0
    late_max_ms: float = 0.0
    cpu_s: float = 0.0
    """What the generator spent between `steady_from_ns` and `steady_until_ns`."""
    cpu_share: float = 0.0
    """The same as a share of one core: of the busiest process, where there are several."""

    def begin_steady(self, now_ns: int) -> None:
        """Count anew what is told of the time in which all callers are there."""
        self.frames = self.sent_bytes = self.received_bytes = self.received_messages = self.steady_turns = 0
        self.steady_from_ns = now_ns

    @property
    def turns_per_call_minute(self) -> float:
        """How often a caller spoke in a minute in which all of them were there."""
        return self.steady_turns / self.call_minutes

    @property
    def call_minutes(self) -> float:
        """What the callers have sent between `steady_from_ns` and `steady_until_ns`."""
        return self.frames * 0.02 / 60


def merged(reports: Sequence[LoadReport]) -> LoadReport:
    """Return what several generators saw together; of lateness and core share, the worst of them."""
    return LoadReport(
        calls=sum(each.calls for each in reports),
        seconds=max(each.seconds for each in reports),
        turns=sum(each.turns for each in reports),
        steady_turns=sum(each.steady_turns for each in reports),
        answers_ms=[ms for each in reports for ms in each.answers_ms],
        clears_ms=[ms for each in reports for ms in each.clears_ms],
        missed_barge_ins=sum(each.missed_barge_ins for each in reports),
        clear_at_ns={call: at for each in reports for call, at in each.clear_at_ns.items()},
        audio_at_ns={call: at for each in reports for call, at in each.audio_at_ns.items()},
        underruns=sum(each.underruns for each in reports),
        unanswered=sum(each.unanswered for each in reports),
        broken=sum(each.broken for each in reports),
        dropped_frames=sum(each.dropped_frames for each in reports),
        frames=sum(each.frames for each in reports),
        sent_bytes=sum(each.sent_bytes for each in reports),
        received_bytes=sum(each.received_bytes for each in reports),
        received_messages=sum(each.received_messages for each in reports),
        steady_from_ns=max(each.steady_from_ns for each in reports),
        steady_until_ns=min(each.steady_until_ns for each in reports),
        late_p50_ms=max(each.late_p50_ms for each in reports),
        late_p99_ms=max(each.late_p99_ms for each in reports),
        late_max_ms=max(each.late_max_ms for each in reports),
        cpu_s=sum(each.cpu_s for each in reports),
        cpu_share=max(each.cpu_share for each in reports),
    )
