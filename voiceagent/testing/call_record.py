"""What has come of a simulated call, read off its record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import UtteranceId

__all__ = ["CallRecord", "RecordEntry", "Watch", "has", "starts"]

_EffectT = TypeVar("_EffectT")

RecordEntry = tuple[int, ev.Event, tuple[fx.Outgoing, ...]]
"""An instant, what happened at it, and what was done about it."""
Watch = Callable[[int, ev.Event, tuple[fx.Outgoing, ...]], None]
"""Whoever is told of every entry."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """Everything that has happened, in order, and what can be asked about it."""

    entries: list[RecordEntry] = field(default_factory=list[RecordEntry])

    @property
    def phases(self) -> list[str]:
        """Every phase entered, in order."""
        return [swap.phase for swap in self.effects(fx.SwapPhase)]

    @property
    def fillers(self) -> list[str]:
        """The filler phrases, whole."""
        clauses: dict[UtteranceId, list[str]] = {}
        for speak in self.effects(fx.Speak):
            if speak.kind == "filler" and speak.text:
                clauses.setdefault(speak.utterance, []).append(speak.text)
        return [" ".join(parts) for parts in clauses.values()]

    @property
    def shown(self) -> list[fx.ModelRequest]:
        """Everything the model was shown."""
        return [ask.request for ask in self.effects(fx.AskModel)]

    def effects(self, kind: type[_EffectT]) -> list[_EffectT]:
        """Every effect of one class, in order."""
        return [out.effect for _, _, outgoing in self.entries for out in outgoing if isinstance(out.effect, kind)]

    def at(self, kind: type[ev.Event | fx.Effect]) -> list[int]:
        """The instants of every event or effect of one class."""
        return [now for now, event, outgoing in self.entries if has((now, event, outgoing), kind)]

    def tool_started_since(self, entry: int, tool: str) -> int | None:
        """Return when this tool was started for the model, from this entry of the record on; None: not yet."""
        return next((now for now, _, outgoing in self.entries[entry:] if starts(outgoing, tool)), None)

    def timeline(self) -> str:
        """Everything that happened, one line each."""
        lines: list[str] = []
        for now, event, outgoing in self.entries:
            lines.append(f"{now:>8} {event}")
            lines += [f"{'':>8}   → {out.effect}" for out in outgoing]
        return "\n".join(lines)


def has(entry: RecordEntry, kind: type[ev.Event | fx.Effect]) -> bool:
    """Whether an entry is an event of this class, or made an effect of this class necessary."""
    _, event, outgoing = entry
    return isinstance(event, kind) or any(isinstance(out.effect, kind) for out in outgoing)


def starts(outgoing: Iterable[fx.Outgoing], tool: str) -> bool:
    """Whether this tool is among what is started for the model."""
    return any(isinstance(out.effect, fx.StartTool) and out.effect.tool == tool for out in outgoing)
