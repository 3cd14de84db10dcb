"""The story of a call, line by line, as it happens: for whoever reads along, and for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import FetchId, ToolCallId

__all__ = ["Story", "Told"]

What = Literal[
    "agent",
    "caller",
    "keys",
    "phase",
    "asked",
    "tool",
    "result",
    "failed",
    "prefetch",
    "fetched",
    "served",
    "keys out",
    "transfer",
    "version",
    "problem",
    "ended",
]


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that has happened."""

    what: What
    at_ms: int
    """Since the call began."""
    about: Mapping[str, JsonValue]
    """Its parts, by name."""

    def plain(self) -> dict[str, JsonValue]:
        """Return it for machines."""
        return {"what": self.what, "at_ms": self.at_ms, **self.about}


@dataclass(slots=True)
class Story:
    """Turns events and effects into what is told of them; keeps what it takes to say how long something took."""

    _began_ms: int | None = None
    _running: dict[ToolCallId | FetchId, tuple[str, int]] = field(
        default_factory=dict[ToolCallId | FetchId, tuple[str, int]]
    )

    def happened(self, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> Iterator[Told]:
        """Yield what there is to tell, in the order in which it came about."""
        if self._began_ms is None:
            self._began_ms = now_ms
        at_ms = now_ms - self._began_ms
        effects = [out.effect for out in outgoing]
        for what, about in self._of_event(event, effects, now_ms):
            yield Told(what, at_ms, about)
        for effect in effects:
            for what, about in self._of_effect(effect, now_ms):
                yield Told(what, at_ms, about)

    def _of_event(
        self, event: ev.Event, effects: list[fx.Effect], now_ms: int
    ) -> Iterator[tuple[What, dict[str, JsonValue]]]:
        match event:
            case ev.TranscriptFinal(_, text):
                yield "caller", {"text": text}
            case ev.DigitsPressed(digits):
                yield "keys", {"keys": digits}
            case ev.ToolRequested(_, _, name, arguments):
                if not any(isinstance(effect, fx.StartTool | fx.ServeFromCache) for effect in effects):
                    yield "asked", {"name": name, "arguments": dict(arguments)}
            case ev.ToolFinished(call, result):
                yield "result", {**self._over(call, now_ms), "result": result}
            case ev.ToolFailed(call, kind, reason):
                yield "failed", {**self._over(call, now_ms), "kind": kind, "reason": reason}
            case ev.PrefetchFinished(fetch):
                yield "fetched", self._over(fetch, now_ms)
            case ev.PrefetchFailed(fetch, reason):
                yield "failed", {**self._over(fetch, now_ms), "kind": "prefetch", "reason": reason}
            case ev.ReplyFailed(_, reason):
                yield "problem", {"problem": "the model failed", "reason": reason}
            case ev.CallEnded(reason):
                yield "ended", {"reason": reason}
            case _:
                pass

    def _of_effect(self, effect: fx.Effect, now_ms: int) -> Iterator[tuple[What, dict[str, JsonValue]]]:
        match effect:
            case fx.Speak(utterance, clause, text, kind) if text:
                yield "agent", {"kind": kind, "text": text, "utterance": utterance, "clause": clause}
            case fx.SwapPhase():
                yield "phase", {"phase": effect.phase, "entry": effect.epoch}
            case fx.StartTool(call, tool, arguments):
                self._running[call] = (tool, now_ms)
                yield "tool", {"tool": tool, "id": call, "arguments": dict(arguments)}
            case fx.Fetch(fetch, tool, arguments):
                self._running[fetch] = (tool, now_ms)
                yield "prefetch", {"tool": tool, "id": fetch, "arguments": dict(arguments)}
            case fx.ServeFromCache(call, fetch, how, saved_ms):
                tool, _ = self._running.get(fetch, ("", 0))
                yield "served", {"tool": tool, "id": call, "how": how, "saved_ms": saved_ms}
            case fx.SendDigits(digits):
                yield "keys out", {"keys": digits}
            case fx.Transfer(target, announce, accept):
                yield "transfer", {"target": target, "announce": announce, "accept": accept}
            case fx.UseVersion(version, forgotten):
                yield "version", {"version": version, "forgotten": list(forgotten)}
            case fx.ReportProblem(what, reason):
                yield "problem", {"problem": what, "reason": reason}
            case _:
                pass

    def _over(self, key: ToolCallId | FetchId, now_ms: int) -> dict[str, JsonValue]:
        tool, since_ms = self._running.get(key, ("", now_ms))
        return {"tool": tool, "id": key, "took_ms": now_ms - since_ms}
