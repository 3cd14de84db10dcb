"""Timeline: who was heard when, and what the agent did meanwhile, as it can be drawn beside the sound of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from voiceagent.core import events as ev
from voiceagent.core.agent_speech import AgentSpeech
from voiceagent.core.ids import UtteranceId
from voiceagent.language import language_for
from voiceagent.runtime.journal_file import Entry, Journal, JournalHeader, decode_effect

__all__ = ["Drawing", "Point", "Span", "Stages", "Timeline", "drawing_of", "timeline_of"]

Track = Literal["phase", "caller", "agent", "filler", "tool", "prefetch"]
PointKind = Literal["mark", "key", "decision", "cache", "problem"]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted. Instants are ms since the call began."""

    track: Track
    from_ms: int
    until_ms: int
    text: str
    """A phase's name, words as they were heard, a tool's name."""
    note: str = ""
    """What was not heard, how a tool ended, what a phase offers."""


@dataclass(frozen=True, slots=True)
class Point:
    """Something that happened at one moment. `mark`: a clause of the agent's had been heard to its end."""

    kind: PointKind
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Stages:
    """Where the time of one turn went: instants from the caller's last sound to the agent's first; None: it was not."""

    ended_ms: int
    decided_ms: int | None = None
    """Their turn was taken to be over."""
    asked_ms: int | None = None
    """A model was asked for a reply."""
    first_words_ms: int | None = None
    """There were words to be said."""
    filler_ms: int | None = None
    """A filler was heard."""
    answered_ms: int | None = None
    """Words that were none were heard."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A call on the axis of its time."""

    duration_ms: int
    spans: tuple[Span, ...]
    """By where they begin; a phase before what happens in it."""
    points: tuple[Point, ...]
    turns: tuple[Stages, ...]


def timeline_of(journal: Journal) -> Timeline:
    """Return what a journal tells; one that breaks off is drawn as far as it goes."""
    drawing = drawing_of(journal.header, journal.entries[0].at_ms if journal.entries else 0)
    for entry in journal.entries:
        drawing.event(entry)
        for line in entry.effects:
            name, values = decode_effect(line)
            drawing.effect(entry.at_ms, name, values)
    return drawing.timeline()


def drawing_of(header: JournalHeader, zero_ms: int) -> Drawing:
    """Return a drawing with nothing on it, of a call whose first event was at `zero_ms`."""
    return Drawing(zero_ms, AgentSpeech(language_for(header.locale)))


@dataclass(slots=True)
class _Heard:
    """An utterance of the agent's that can be heard."""

    track: Track
    answers: bool = True
    """Whoever has waited for words hears them in it: "mm-hm" answers nothing."""
    from_ms: int | None = None
    until_ms: int | None = None


@dataclass(slots=True)
class _Said:
    """An utterance of the caller's."""

    from_ms: int
    until_ms: int | None = None
    text: str = ""
    final: bool = False
    """The words do not change any more."""


@dataclass(slots=True)
class Drawing:
    """Goes through a journal once, from front to back; `timeline` may be asked for at any moment."""

    zero_ms: int
    speech: AgentSpeech
    last_ms: int = 0
    over: bool = False
    callers: dict[str, _Said] = field(default_factory=dict[str, _Said])
    heard: dict[UtteranceId, _Heard] = field(default_factory=dict[UtteranceId, _Heard])
    own_words: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Reply → its words so far: a speech model says them itself."""
    own_speech: dict[str, UtteranceId] = field(default_factory=dict[str, UtteranceId])
    running: dict[str, Span] = field(default_factory=dict[str, Span])
    done: list[Span] = field(default_factory=list[Span])
    phase: Span | None = None
    points: list[Point] = field(default_factory=list[Point])
    turns: list[Stages] = field(default_factory=list[Stages])
    turn: Stages | None = None
    """The one that has not been answered yet."""

    # --- events ---

    def event(self, entry: Entry) -> None:
        """Take note of what has happened, before its effects."""
        at_ms = entry.at_ms - self.zero_ms
        if not self.over:  # what a write that outlived the call came to is no part of its length
            self.last_ms = at_ms
        match entry.event:
            case ev.CallerStartedSpeaking(utterance, began_ms):
                self.callers[utterance] = _Said(began_ms - self.zero_ms)
            case ev.CallerPaused(utterance, ended_ms) if utterance in self.callers:
                self.callers[utterance].until_ms = ended_ms - self.zero_ms
                self._turn_begins(ended_ms - self.zero_ms)
            case ev.TranscriptPartial(utterance, text) if utterance in self.callers:
                said = self.callers[utterance]
                said.text = said.text if said.final else text
            case ev.TranscriptFinal(utterance, text) if utterance in self.callers:
                self.callers[utterance].text = text
                self.callers[utterance].final = True
            case ev.DigitsPressed(digits):
                self.points.append(Point("key", at_ms, digits))
                self._turn_begins(at_ms)
            case ev.ToolFinished(call) | ev.PrefetchFinished(call):
                self._ended(str(call), at_ms, "finished")
            case ev.ToolFailed(call, kind, reason):
                self._ended(str(call), at_ms, f"{kind}: {reason}")
            case ev.PrefetchFailed(fetch, reason):
                self._ended(str(fetch), at_ms, f"failed: {reason}")
            case ev.ReplyText(reply, text):
                self._words(reply, text, at_ms)
            case ev.CallEnded():
                self.over = True
            case _:
                self._playout(entry.event, at_ms)

    def _turn_begins(self, ended_ms: int) -> None:
        """A caller who goes on moves the end of their turn; one who is being answered begins another."""
        if self.turn is None or self.turn.filler_ms is None:
            self.turn = Stages(ended_ms)

    def _words(self, reply: str, text: str, at_ms: int) -> None:
        self.own_words.setdefault(reply, []).append(text)
        if self.turn is not None and self.turn.first_words_ms is None and self.turn.asked_ms is not None:
            self.turn = replace(self.turn, first_words_ms=at_ms)
        if reply in self.own_speech:
            self._says_itself(reply, text)

    def _playout(self, event: ev.Event, at_ms: int) -> None:
        match event:
            case ev.SpeechQueued(utterance, clause, duration_ms, word_ends_ms):
                self.speech.queued(utterance, clause, duration_ms, word_ends_ms)
            case ev.PlayoutStarted(utterance, began_ms):
                heard = self.heard.get(utterance)
                if heard is not None and heard.from_ms is None:
                    heard.from_ms = began_ms - self.zero_ms
                    self._answered(heard)
            case ev.PlayoutReached(utterance, clause, heard_ms, finished):
                self._mark(utterance, clause, at_ms)
                if self.speech.reached(utterance, clause, heard_ms, finished=finished):
                    self._silent(utterance, at_ms)
            case ev.PlayoutStopped(utterance, heard_ms):
                if self.speech.stopped(utterance, heard_ms) is not None:
                    self._silent(utterance, at_ms)
            case _:
                pass

    def _mark(self, utterance: UtteranceId, clause: int, at_ms: int) -> None:
        spoken = self.speech.get(utterance)
        if spoken is not None and clause < len(spoken.clauses) and spoken.clauses[clause].text:
            self.points.append(Point("mark", at_ms, f"{utterance}, clause {clause + 1}"))

    def _answered(self, heard: _Heard) -> None:
        if self.turn is None or not heard.answers:
            return
        if heard.track == "filler":
            self.turn = replace(self.turn, filler_ms=heard.from_ms)
            return
        self.turns.append(replace(self.turn, answered_ms=heard.from_ms))
        self.turn = None

    def _silent(self, utterance: UtteranceId, at_ms: int) -> None:
        heard = self.heard.get(utterance)
        if heard is not None:
            heard.until_ms = at_ms

    # --- effects ---

    def effect(self, at_ms: int, name: str, values: Mapping[str, Any]) -> None:
        """Take note of what the last event made necessary."""
        at_ms -= self.zero_ms
        match name:
            case "Speak":
                self._speak(values)
            case "PlayReply":
                reply, utterance = values["reply"], UtteranceId(values["utterance"])
                self.own_speech[reply] = utterance
                self.heard[utterance] = _Heard("agent")
                self.speech.begin("reply", interruptible=True, utterance=utterance)
                for text in self.own_words.get(reply, []):
                    self._says_itself(reply, text)
            case "SwapPhase":
                self._enter_phase(at_ms, values)
            case "StartTool" | "Reconcile":
                self.running[values["call"]] = Span("tool", at_ms, at_ms, values["tool"])
            case "Fetch":
                self.running[values["fetch"]] = Span("prefetch", at_ms, at_ms, values["tool"])
            case "ServeFromCache":
                self.points.append(Point("cache", at_ms, f"{values['how']}: {values['saved_ms']} ms saved"))
            case "AskModel":
                if self.turn is not None and self.turn.asked_ms is None and not values.get("ahead"):
                    self.turn = replace(self.turn, asked_ms=at_ms)
            case "NoteDecision":
                self._decided(at_ms, values)
            case "ReportProblem":
                self.points.append(Point("problem", at_ms, f"{values['what']}: {values['reason']}"))
            case _:
                pass

    def _decided(self, at_ms: int, values: Mapping[str, Any]) -> None:
        decided = f"{values['what']} after {values['waited_ms']} ms: {values['reason']}"
        self.points.append(Point("decision", at_ms, decided))
        if values["what"] == "turn over" and self.turn is not None:
            self.turn = replace(self.turn, decided_ms=at_ms)

    def _speak(self, values: Mapping[str, Any]) -> None:
        utterance = UtteranceId(values["utterance"])
        spoken = self.speech.get(utterance)
        if spoken is None:
            spoken = self.speech.begin(values["kind"], interruptible=True, utterance=utterance)
            track = "filler" if values["kind"] in ("filler", "backchannel") else "agent"
            self.heard[utterance] = _Heard(track, answers=values["kind"] != "backchannel")
        self.speech.add(spoken, values["text"], last=values["last"])

    def _says_itself(self, reply: str, text: str) -> None:
        spoken = self.speech.get(self.own_speech[reply])
        if spoken is not None:
            self.speech.add(spoken, text, last=False)

    def _ended(self, key: str, at_ms: int, how: str) -> None:
        began = self.running.pop(key, None)
        if began is not None:
            self.done.append(replace(began, until_ms=at_ms, note=how))

    def _enter_phase(self, at_ms: int, values: Mapping[str, Any]) -> None:
        self._leave_phase(at_ms)
        self.phase = Span("phase", at_ms, at_ms, values["phase"], ", ".join(values["tools"]))
        if language := values.get("language"):
            self.speech.language = language_for(language)

    def _leave_phase(self, at_ms: int) -> None:
        if self.phase is not None:
            self.done.append(replace(self.phase, until_ms=at_ms))

    # --- the whole ---

    def timeline(self) -> Timeline:
        """Return what there is so far; it may go on afterwards."""
        spans = [*self.done]
        if self.phase is not None:
            spans.append(replace(self.phase, until_ms=self.last_ms))
        spans += [replace(span, until_ms=self.last_ms, note="open") for span in self.running.values()]
        for said in self.callers.values():
            spans.append(Span("caller", said.from_ms, self._until(said.until_ms), said.text))
        for utterance, heard in self.heard.items():
            spoken = self.speech.get(utterance)
            if spoken is None or heard.from_ms is None:
                continue
            if heard.until_ms is None and not self.over:  # it is being said: so much of it has been heard by now
                text, rest = spoken.heard_by(max(spoken.heard_ms, self.last_ms - heard.from_ms))
                note = f"to be heard: {rest}" if rest else ""
            else:
                text, rest = spoken.heard_text, spoken.unheard_text
                note = f"not heard: {rest}" if rest else ""
            spans.append(Span(heard.track, heard.from_ms, self._until(heard.until_ms), text, note))
        spans.sort(key=lambda span: (span.from_ms, span.track != "phase", span.until_ms))
        turns = [*self.turns, *([self.turn] if self.turn is not None else ())]
        return Timeline(self.last_ms, tuple(spans), tuple(self.points), tuple(turns))

    def _until(self, until_ms: int | None) -> int:
        return self.last_ms if until_ms is None else until_ms
