"""Inspection: what a journal tells of a call, in figures and in words, without the flow that made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from voiceagent.core import events as ev
from voiceagent.core.agent_speech import AgentSpeech, Spoken
from voiceagent.core.ids import UtteranceId
from voiceagent.language import Language, language_for
from voiceagent.runtime.call_summary import (
    BargeInSeen,
    CallSummary,
    FillerSeen,
    FloorSeen,
    PhaseSeen,
    PhaseTokens,
    ServedSeen,
    StandbySeen,
    ToolSeen,
    TurnSeen,
)
from voiceagent.runtime.journal_file import Entry, Journal, decode_effect
from voiceagent.runtime.recording import STOPPED

__all__ = ["CallSummary", "inspect_journal"]


def inspect_journal(journal: Journal) -> CallSummary:
    """Return what the journal tells."""
    language = language_for(journal.header.locale)
    reading = _Reading(journal.entries[0].at_ms if journal.entries else 0, language)
    for entry in journal.entries:
        reading.event(entry)
        for line in entry.effects:
            name, values = decode_effect(line)
            reading.effect(entry.at_ms, name, values)
    return reading.summary(journal)


@dataclass(slots=True)
class _Speech:
    kind: str
    at_ms: int | None = None
    awaited: bool = False
    """The caller was waiting for it."""


@dataclass(frozen=True, slots=True, order=True)
class _Voice:
    """A stretch in which somebody was heard."""

    from_ms: int
    until_ms: int
    awaited: bool


class _Reading:
    """Goes through a journal once, from front to back."""

    def __init__(self, zero_ms: int, language: Language) -> None:
        self._zero_ms = zero_ms
        self._phases: list[PhaseSeen] = []
        self._turns: list[TurnSeen] = []
        self._tools: dict[str, ToolSeen] = {}
        self._served: list[ServedSeen] = []
        self._fillers: list[FillerSeen] = []
        self._barge_ins: list[BargeInSeen] = []
        self._floor: list[FloorSeen] = []
        self._problems: list[str] = []
        self._transcript: list[tuple[str, str | UtteranceId]] = []
        self._speech = AgentSpeech(language)
        self._spoken: dict[UtteranceId, _Speech] = {}
        self._voices: list[_Voice] = []
        self._unanswered = False
        """The caller has said something, and no word but a filler has been heard since."""
        self._waiting_since_ms: int | None = None
        self._caller_ended_ms = 0
        self._words: list[str] = []
        self._phase_of: dict[str, str] = {}
        """Reply → the phase that it was made in."""
        self._tokens: dict[str, PhaseTokens] = {}
        self._standbys: list[StandbySeen] = []
        self._renewals = 0
        self._own_words: dict[str, list[str]] = {}
        """Reply → its words so far, for those that a speech model may turn out to say itself."""
        self._said_by_itself: dict[str, UtteranceId] = {}
        """Reply of a speech model → what it is heard as."""
        self._ended: str | None = None
        self._last_ms = zero_ms

    # --- events ---

    def event(self, entry: Entry) -> None:
        if self._ended is None:  # what a write that outlived the call came to is no part of its length
            self._last_ms = entry.at_ms
        match entry.event:
            case ev.CallerStartedSpeaking(_, at_ms):
                self._waiting_since_ms = None
                self._caller_ended_ms = at_ms
            case ev.CallerPaused(_, at_ms):
                self._voices.append(_Voice(self._caller_ended_ms, at_ms, awaited=False))
                self._caller_ended_ms = at_ms
                self._unanswered = True
            case ev.TranscriptFinal(_, text) if text:
                self._words.append(text)
                self._transcript.append(("caller", text))
            case ev.DigitsPressed(digits):
                self._caller_ended_ms = entry.at_ms
                self._unanswered = True
                self._words.append(f"[{digits}]")
                self._transcript.append(("caller", f"[{digits}]"))
            case ev.CallEnded(reason):
                self._ended = reason
            case ev.StandbyClosed(phase, open_ms, used):
                self._standbys.append(StandbySeen(phase, open_ms, used))
            case ev.ReplyStarted() | ev.ReplyText() | ev.ReplyFinished():
                self._reply_goes_on(entry.event)
            case ev.ToolFinished() | ev.ToolFailed() | ev.PrefetchFinished() | ev.PrefetchFailed():
                self._tool_ended(entry.at_ms, entry.event)
            case ev.HostEvent(name, payload) if name == STOPPED:
                self._problems.append(f"recording stopped: {(payload or {}).get('reason')}")
            case _:
                self._playout(entry)

    def _reply_goes_on(self, event: ev.ReplyStarted | ev.ReplyText | ev.ReplyFinished) -> None:
        match event:
            case ev.ReplyStarted(reply, epoch):
                if 0 < epoch <= len(self._phases):
                    self._phase_of.setdefault(reply, self._phases[epoch - 1].phase)
            case ev.ReplyText(reply, text):
                self._own_words.setdefault(reply, []).append(text)
                if reply in self._said_by_itself:
                    self._says_itself(reply, [text])
            case ev.ReplyFinished(reply):
                phase = self._phase_of.get(reply, "")
                seen = self._tokens.get(phase, PhaseTokens(phase))
                self._tokens[phase] = PhaseTokens(
                    phase,
                    replies=seen.replies + 1,
                    input=seen.input + event.input_tokens,
                    cached=seen.cached + event.cached_tokens,
                    output=seen.output + event.output_tokens,
                )

    def _tool_ended(
        self, at_ms: int, event: ev.ToolFinished | ev.ToolFailed | ev.PrefetchFinished | ev.PrefetchFailed
    ) -> None:
        match event:
            case ev.ToolFinished(call):
                key, outcome, reason = str(call), "finished", None
            case ev.ToolFailed(call, kind, reason):
                key, outcome = str(call), str(kind)
            case ev.PrefetchFinished(fetch):
                key, outcome, reason = str(fetch), "finished", None
            case ev.PrefetchFailed(fetch, reason):
                key, outcome = str(fetch), "failed"
        began = self._tools.get(key)
        if began is not None and began.took_ms is None:
            took_ms = at_ms - self._zero_ms - began.at_ms
            self._tools[key] = replace(began, took_ms=took_ms, outcome=outcome, reason=reason)

    def _playout(self, entry: Entry) -> None:
        match entry.event:
            case ev.SpeechQueued(utterance, clause, duration_ms, word_ends_ms):
                self._speech.queued(utterance, clause, duration_ms, word_ends_ms)
            case ev.PlayoutStarted(utterance, at_ms):
                self._heard_first(utterance, at_ms)
            case ev.PlayoutReached(utterance, clause, heard_ms, finished):
                if self._speech.reached(utterance, clause, heard_ms, finished=finished):
                    self._silent(utterance, entry.at_ms)
            case ev.PlayoutStopped(utterance, heard_ms, exact):
                spoken = self._speech.stopped(utterance, heard_ms)
                if spoken is not None:
                    self._silent(utterance, entry.at_ms)
                    cut = (spoken.heard_text, spoken.unheard_text)
                    self._barge_ins.append(BargeInSeen(self._since(entry.at_ms), utterance, heard_ms, exact, *cut))
            case _:
                pass

    def _heard_first(self, utterance: UtteranceId, at_ms: int) -> None:
        speech = self._spoken.get(utterance)
        if speech is None or speech.at_ms is not None:
            return
        if speech.kind == "backchannel":
            return  # it answers nothing, and nobody has waited for it
        speech.at_ms = at_ms
        speech.awaited = self._unanswered or self._waiting_since_ms is not None
        self._turn_answered(at_ms, filler=speech.kind == "filler")
        if speech.kind == "filler":
            since_ms = self._waiting_since_ms if self._waiting_since_ms is not None else at_ms
            spoken = self._speech.get(utterance)
            text = spoken.text if spoken else ""
            self._fillers.append(FillerSeen(text, self._since(at_ms), at_ms - since_ms))
        else:
            self._waiting_since_ms = None
            self._unanswered = False

    def _turn_answered(self, at_ms: int, *, filler: bool) -> None:
        if self._words:
            self._turns.append(TurnSeen(" ".join(self._words), self._since(self._caller_ended_ms), None, None))
            self._words.clear()
        if not self._turns:
            return
        turn = self._turns[-1]
        after_ms = self._since(at_ms) - turn.ended_ms
        first_ms = turn.first_sound_after_ms if turn.first_sound_after_ms is not None else after_ms
        answer_ms = turn.answer_after_ms
        if answer_ms is None and not filler:
            answer_ms = after_ms
        self._turns[-1] = TurnSeen(turn.said, turn.ended_ms, first_ms, answer_ms)

    def _silent(self, utterance: UtteranceId, at_ms: int) -> None:
        speech = self._spoken.get(utterance)
        if speech is not None and speech.at_ms is not None:
            self._voices.append(_Voice(speech.at_ms, at_ms, speech.awaited))

    # --- effects ---

    def effect(self, at_ms: int, name: str, values: Mapping[str, Any]) -> None:  # noqa: C901 - a row per effect
        match name:
            case "Speak":
                self._speak(values)
            case "SwapPhase":
                if language := values.get("language"):
                    self._speech.language = language_for(language)
                self._phases.append(PhaseSeen(values["phase"], self._since(at_ms), list(values["tools"])))
                self._transcript.append(("phase", values["phase"]))
            case "StartTool":
                self._begin_tool(values["call"], values["tool"], at_ms, prefetch=False)
                self._waits(at_ms)
            case "Fetch":
                self._begin_tool(values["fetch"], values["tool"], at_ms, prefetch=True)
            case "ServeFromCache":
                self._served.append(ServedSeen(self._since(at_ms), values["how"], values["saved_ms"]))
            case "NoteDecision":
                what, reason, waited_ms = values["what"], values["reason"], values["waited_ms"]
                sure = values.get("confidence")
                self._floor.append(FloorSeen(self._since(at_ms), what, reason, waited_ms, sure))
            case "ReportProblem":
                self._problems.append(f"{values['what']}: {values['reason']}")
            case "SendDigits":
                self._transcript.append(("agent", f"[{values['digits']}]"))
            case "AskModel":
                self._phase_of[values["reply"]] = values["phase"]
                if not values.get("ahead"):
                    self._waits(at_ms)
            case "PlayReply":
                self._play(values["reply"], UtteranceId(values["utterance"]))
            case "RenewVoice":
                self._renewals += 1
            case _:
                pass

    def _begin_tool(self, key: str, tool: str, at_ms: int, *, prefetch: bool) -> None:
        self._tools[key] = ToolSeen(tool, self._since(at_ms), None, "open", None, prefetch)

    def _speak(self, values: Mapping[str, Any]) -> None:
        utterance = UtteranceId(values["utterance"])
        spoken = self._speech.get(utterance)
        if spoken is None:
            spoken = self._speech.begin(values["kind"], interruptible=True, utterance=utterance)
            self._spoken[utterance] = _Speech(values["kind"])
            self._transcript.append(("agent", utterance))
        self._speech.add(spoken, values["text"], last=values["last"])

    def _play(self, reply: str, utterance: UtteranceId) -> None:
        """A speech model is heard: from the beginning of its reply, or from where a noise had cut it off."""
        before = self._speech.get(self._said_by_itself[reply]) if reply in self._said_by_itself else None
        self._said_by_itself[reply] = utterance
        self._speech.begin("reply", interruptible=True, utterance=utterance)
        self._spoken[utterance] = _Speech("reply")
        self._transcript.append(("agent", utterance))
        self._says_itself(reply, self._own_words.get(reply, []) if before is None else [before.unheard_text])

    def _says_itself(self, reply: str, texts: list[str]) -> None:
        spoken = self._speech.get(self._said_by_itself[reply])
        for text in texts:
            if spoken is not None:
                self._speech.add(spoken, text, last=False)

    def _waits(self, at_ms: int) -> None:
        if self._waiting_since_ms is None:
            self._waiting_since_ms = at_ms

    def _since(self, at_ms: int) -> int:
        return at_ms - self._zero_ms

    # --- the whole ---

    def summary(self, journal: Journal) -> CallSummary:
        first_sounds = [turn.first_sound_after_ms for turn in self._turns if turn.first_sound_after_ms is not None]
        return CallSummary(
            call=str(journal.header.call),
            flow=journal.header.flow,
            flow_sha256=journal.header.flow_sha256,
            duration_ms=self._since(self._last_ms),
            ended=self._ended,
            phases=self._phases,
            turns=self._turns,
            tools=list(self._tools.values()),
            served=self._served,
            fillers=self._fillers,
            barge_ins=self._barge_ins,
            floor=self._floor,
            problems=self._problems,
            longest_dead_air_ms=_longest_dead_air_ms(self._voices),
            response_ms=_percentiles(first_sounds),
            tokens=list(self._tokens.values()),
            standbys=self._standbys,
            renewals=self._renewals,
            transcript=list(self._words_heard()),
        )

    def _words_heard(self) -> Iterator[tuple[str, str]]:
        for who, what in self._transcript:
            spoken = self._speech.get(UtteranceId(what)) if who == "agent" else None
            if spoken is None:
                yield who, what
            else:
                yield who, _as_heard(spoken)


def _as_heard(spoken: Spoken) -> str:
    """Return what was heard of an utterance, what fills a pause in round brackets, and in square ones what was not."""
    aside = spoken.kind in ("filler", "backchannel")
    heard = f"({spoken.heard_text})" if aside and spoken.heard_text else spoken.heard_text
    if not spoken.stopped:
        return heard
    unheard = f"[not heard: {spoken.unheard_text}]" if spoken.unheard_text else ""
    return " ".join(part for part in (heard, "—", unheard) if part)


def _longest_dead_air_ms(voices: list[_Voice]) -> int:
    """Return the longest silence that ended with words of the agent's that the caller had been waiting for."""
    longest_ms = 0
    heard_until_ms: int | None = None
    for voice in sorted(voices):
        if heard_until_ms is not None and voice.awaited:
            longest_ms = max(longest_ms, voice.from_ms - heard_until_ms)
        heard_until_ms = max(voice.until_ms, heard_until_ms or voice.until_ms)
    return longest_ms


def _percentiles(values: list[int]) -> dict[str, int]:
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "p50": int(median(ordered)),
        "p95": ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))],
        "max": ordered[-1],
    }
