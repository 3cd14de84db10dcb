"""Ours on virtual time: no machine is in it, so what is left beyond the provider's time is the framework's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.swap.desk import desk
from benchmarks.swap.provider import GO_ON, TIMING
from benchmarks.swap.rows import Spread
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import UtteranceId
from voiceagent.models.guided import GuidedModels
from voiceagent.testing import ProviderTiming, RuntimeCall, SimulatedProvider
from voiceagent.testing.call_record import RecordEntry, has
from voiceagent.testing.scripted_model import ModelRule, RuledModel, ask_for, say

__all__ = ["Exact", "exact_rows", "gaps_ms"]

_CHANGES = 30
_SENTENCE = "All right, one moment please."
_LATE_WORDS_MS = 200
"""The caller's words come so long after the request for the change, which leaves without them."""


@dataclass(frozen=True, slots=True)
class Exact:
    """One way to change the phase, in one situation."""

    name: str
    situation: str
    provider_ms: int
    """What the provider takes for a change and for the first sound."""
    gap: Spread
    """From the last of the old voice, or from the request where it said nothing, to the first of the new."""
    net: Spread
    """The same without the provider's time."""


def exact_rows() -> Iterator[Exact]:
    """Measure every way in every situation."""
    ways: tuple[tuple[str, Literal["in_place", "new_session"], bool, int], ...] = (
        ("ours, in place", "in_place", False, TIMING.update_ms),
        ("ours, new session, standby", "new_session", True, 0),
        ("ours, new session, cold", "new_session", False, TIMING.connect_ms),
    )
    for name, swap, standby, change_ms in ways:
        provider_ms = change_ms + TIMING.first_audio_ms
        for situation, words, transcript_ms in (
            ("behind a sentence", _SENTENCE, TIMING.transcript_ms),
            ("nothing said before", "", 0),
            (f"the same, caller's words {_LATE_WORDS_MS} ms late", "", TIMING.first_audio_ms + _LATE_WORDS_MS),
        ):
            gaps = _gaps_ms(swap, standby=standby, words=words, transcript_ms=transcript_ms)
            net = [float(gap - provider_ms) if gap else 0.0 for gap in gaps]
            yield Exact(name, situation, provider_ms, Spread.of([float(gap) for gap in gaps]), Spread.of(net))


def _gaps_ms(
    swap: Literal["in_place", "new_session"], *, standby: bool, words: str, transcript_ms: int
) -> Sequence[int]:
    flow = desk(standby=standby)
    model = RuledModel([
        ModelRule(tuple(ask_for(GO_ON, words=words)), caller_says="go on"),
        ModelRule(tuple(say("Here we are."))),
    ])  # fmt: skip
    timing = ProviderTiming(
        connect_ms=TIMING.connect_ms,
        update_ms=TIMING.update_ms,
        turn_ends_after_ms=TIMING.turn_ends_after_ms,
        transcript_ms=transcript_ms,
        first_audio_ms=TIMING.first_audio_ms,
    )
    provider = SimulatedProvider(flow, model, swap=swap, timing=timing)
    guided = GuidedModels().open(flow, locale=flow.locale, time_zone="UTC")
    call = RuntimeCall(flow, model=guided, provider=provider)
    with call:
        call.start()
        for _ in range(_CHANGES):
            call.says("I would like to go on.")
    return gaps_ms(call.record.entries)


def gaps_ms(entries: Sequence[RecordEntry]) -> list[int]:
    """Return for every change of phase how long the caller heard nothing in it, by the leg's ledger."""
    changes = [at for at, entry in enumerate(entries) if has(entry, fx.SwapPhase)]
    return [_gap_ms(entries, at) for at in changes[1:]]  # the first one begins the call


def _gap_ms(entries: Sequence[RecordEntry], change: int) -> int:
    sounding = _sounding(entries[:change])
    after = entries[change:]
    began_ms = next(
        (
            event.at_ms
            for _, event, _ in after
            if isinstance(event, ev.PlayoutStarted) and event.utterance not in sounding
        ),
        None,
    )
    assert began_ms is not None, "nobody spoke after a change of phase"
    ended_ms = max(
        (now_ms for now_ms, event, _ in after if isinstance(event, ev.PlayoutReached) and event.utterance in sounding),
        default=entries[change][0],
    )
    return max(0, began_ms - ended_ms)


def _sounding(entries: Sequence[RecordEntry]) -> set[UtteranceId]:
    """Return what is being heard, or is about to be."""
    begun = {event.utterance for _, event, _ in entries if isinstance(event, ev.PlayoutStarted)}
    over = {event.utterance for _, event, _ in entries if isinstance(event, ev.PlayoutReached) and event.finished}
    return begun - over
