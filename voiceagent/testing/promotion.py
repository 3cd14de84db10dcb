"""Promotion: a call that took place becomes a scripted conversation, with the caller's data replaced.

What the caller did is read off the journal turn by turn, what tools answered is replayed, and what is expected is what
the flow decided: phases, tools, the end. Words of the agent are not expected: they say the data that was replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

from voiceagent.core import events as ev
from voiceagent.core.ids import FetchId, ToolCallId, UtteranceId
from voiceagent.core.sealing import Handle, handle_text, handles_in
from voiceagent.errors import JournalError
from voiceagent.runtime.journal_file import Entry, Journal, decode_effect
from voiceagent.runtime.replay import changes_of_agent
from voiceagent.spec.expects import Choice
from voiceagent.spec.flow import Flow
from voiceagent.testing.pseudonyms import Pseudonyms

__all__ = ["promoted"]

_DIGIT_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SHORTEST_NOISE_MS = 200
_ANSWERED_MS = 400
"""The caller began to speak so shortly before the agent had finished: that is answering, not interrupting."""

Row = dict[str, Any]


def promoted(journal: Journal, flow: Flow, *, agent: str) -> str:
    """Return the text of a `*.call.yaml` in which the call of this journal takes place once more.

    `agent` is how the file names the flow. Caller's names, dates, amounts and numbers that tools have told are
    replaced, secrets are made up, the caller's number is left out; what callers say of themselves in other words stays.

    Raises JournalError for a call whose agent was changed in it: a scripted conversation has one.
    """
    for number, changed in changes_of_agent(journal):
        raise JournalError(
            f"the agent was changed in this call, by event {number}, to version {changed.version}: "
            "a scripted conversation is one with an agent that stays as it is"
        )
    reading = _Reading(Pseudonyms(seed=str(journal.header.call), kept=_words_of(flow)))
    for entry in journal.entries:
        reading.take(entry)
    zone_start = datetime.fromtimestamp(journal.header.unix_ms / 1_000, UTC).replace(microsecond=0, tzinfo=None)
    script: Row = {
        "agent": agent,
        "name": f"a call of {zone_start:%Y-%m-%d}",
        "settings": {"time_zone": journal.header.time_zone, "starts_at": f"{zone_start:%Y-%m-%dT%H:%M:%S}Z"},
        "tools": reading.tools(),
        "call": reading.turns(),
        "in_the_end": reading.in_the_end(),
    }
    if reading.model_lines:
        script["model"] = {"lines": reading.model_lines}
    kept = {key: value for key, value in script.items() if value not in ({}, [])}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=110)


def _words_of(flow: Flow) -> Iterator[str]:
    """Yield the flow's own words: what a tool answers in them decides something, and tells nothing of a person."""
    for phase in flow.phases:
        yield phase.name
        options = [expected.options for expected in phase.expects if isinstance(expected, Choice)]
        if phase.guided is not None:
            slots = [slot.expects for intent in phase.guided.intents for slot in intent.slots]
            options += [expected.options for expected in slots if isinstance(expected, Choice)]
            yield from phase.guided.replies.values()
        for choice in options:
            yield from choice
            for forms in choice.values():
                yield from forms
        for tool in flow.tools_of(phase):
            yield tool.description
    yield from ("USD", "EUR", "GBP", "CHF")


@dataclass(slots=True)
class _Turn:
    row: Row
    at_ms: int
    phases: list[str] = field(default_factory=list[str])
    tools: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Run:
    tool: str
    began_ms: int
    answer: Row | None = None


class _Reading:
    """Goes through a journal once, from front to back."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self._turns: list[_Turn] = []
        self._runs: dict[str, _Run] = {}
        self._phases: list[str] = []
        self._said: list[str] = []
        self._began: dict[UtteranceId, int] = {}
        self._first_ms: int | None = None
        """When the caller began what they are saying or pressing."""
        self._keys = ""
        self._last_ms = 0
        """When the caller's last act was over."""
        self._audible: dict[str, int] = {}
        """Utterances of the agent that are being heard, and since when."""
        self._quiet_since_ms = 0
        self._interrupts_after_ms: int | None = None
        self._turn = 0
        self._finished: dict[str, tuple[str, Row]] = {}
        """Reply → its phase and its line."""
        self._phase_of_reply: dict[str, str] = {}
        self._reply: list[Row] = []
        self._has_tokens = False
        self._lines: dict[str, list[Row]] = {}
        self._ended: ev.CallEnded | None = None
        self._let_go = False
        """The agent has hung up, or handed the caller over."""

    def take(self, entry: Entry) -> None:
        """Read one event and its effects."""
        self._event(entry)
        for line in entry.effects:
            name, values = decode_effect(line)
            self._effect(name, values, entry.at_ms)

    # --- events ---

    def _event(self, entry: Entry) -> None:
        match entry.event:
            case ev.CallerStartedSpeaking(utterance, at_ms):
                self._begin(at_ms)
                self._began[utterance] = at_ms
            case ev.CallerPaused(_, at_ms):
                self._last_ms = max(self._last_ms, at_ms)
            case ev.TranscriptFinal(utterance, text):
                self._heard(utterance, text)
            case ev.DigitsPressed(digits):
                self._begin(entry.at_ms)
                self._keys += digits.replace("•", "1")
                self._last_ms = entry.at_ms
            case ev.PlayoutStarted(utterance, at_ms):
                self._audible[utterance] = at_ms
            case ev.PlayoutReached(utterance, finished=True) | ev.PlayoutStopped(utterance):
                self._audible.pop(utterance, None)
                self._quiet_since_ms = entry.at_ms
            case ev.HostEvent(name):
                self._close({"host_event": name}, entry.at_ms)
            case ev.LegLost() if not self._let_go:
                self._break_off(entry.at_ms)
                self._close({"hangs_up": ""}, entry.at_ms)
            case ev.CallEnded():
                self._ended = self._ended or entry.event
            case _:
                self._outcome(entry)

    def _outcome(self, entry: Entry) -> None:
        match entry.event:
            case ev.ToolFinished(call, result):
                self._answered(call, entry.at_ms, {"result": self._pseudonyms.of(result)})
            case ev.ToolFailed(call, kind, reason):
                outcome = {"timed_out": {"times_out": True}, "crashed": {"crashes": True}}.get(kind, {"fails": reason})
                self._answered(call, entry.at_ms, dict(outcome))
            case ev.PrefetchFinished(fetch, result):
                self._answered(fetch, entry.at_ms, {"result": self._pseudonyms.of(result)})
            case ev.PrefetchFailed(fetch, reason):
                self._answered(fetch, entry.at_ms, {"fails": reason})
            case ev.ReplyStarted(reply, epoch) if 0 < epoch <= len(self._phases):
                self._phase_of_reply.setdefault(reply, self._phases[epoch - 1])
            case ev.ReplyText(_, text):
                self._reply.append({"says": text})
            case ev.ToolRequested(_, _, name, arguments):
                self._reply.append({"calls": name, **({"arguments": dict(arguments)} if arguments else {})})
            case ev.ReplyFinished(reply, input_tokens=tokens):
                self._has_tokens = self._has_tokens or tokens > 0
                phase, line = self._phase_of_reply.get(reply, ""), _one_reply(self._reply)
                self._lines.setdefault(phase, []).append(line)
                self._finished[reply] = (phase, line)
                self._reply = []
            case _:
                pass

    def _answered(self, which: ToolCallId | FetchId, at_ms: int, answer: Row) -> None:
        run = self._runs.get(which)
        if run is not None and run.answer is None:
            run.answer = {**answer, "takes_ms": str(max(1, at_ms - run.began_ms))}

    def _begin(self, at_ms: int) -> None:
        if self._first_ms is None:
            self._first_ms = at_ms
            heard_ms = [at_ms - since_ms for since_ms in self._audible.values()]
            self._interrupts_after_ms = max(heard_ms, default=None)

    def _heard(self, utterance: UtteranceId, text: str) -> None:
        if text:
            self._said.append(_with_made_up_digits(self._pseudonyms.spoken(text)))
        elif not self._said and not self._keys:
            began_ms = self._began.get(utterance, self._last_ms)
            self._close({"makes_noise_ms": max(_SHORTEST_NOISE_MS, self._last_ms - began_ms)}, began_ms)

    def _break_off(self, at_ms: int) -> None:
        """The line is dead: what the caller was saying is a voice without words."""
        self._acted()
        if self._first_ms is not None:
            began_ms, self._last_ms = self._first_ms, at_ms
            self._close({"makes_noise_ms": max(_SHORTEST_NOISE_MS, at_ms - began_ms)}, began_ms)

    # --- effects ---

    def _effect(self, name: str, values: Any, at_ms: int) -> None:
        match name:
            case "AskModel":
                self._phase_of_reply[values["reply"]] = values["phase"]
                if not values.get("ahead"):
                    self._acted()
            case "PlayReply":
                self._acted()
            case "CancelReply":
                self._reply = []  # what nobody wanted is no line of the model's
                phase, line = self._finished.pop(values["reply"], ("", None))
                if line is not None:  # it was made ahead, and the caller went on
                    self._lines[phase] = [other for other in self._lines[phase] if other is not line]
            case "SwapPhase":
                self._acted()
                self._phases.append(values["phase"])
                if self._turns:
                    self._turns[-1].phases.append(values["phase"])
            case "StartTool" | "Fetch":
                self._acted()
                self._runs[values.get("call") or values["fetch"]] = _Run(values["tool"], at_ms)
                if name == "StartTool" and self._turns:
                    self._turns[-1].tools.append(values["tool"])
            case "HangUp" | "Transfer":
                self._let_go = True
            case _:
                pass

    def _acted(self) -> None:
        """Something was decided: what the caller has said or pressed up to now was one turn."""
        if self._said:
            self._close({"says": " … ".join(self._said)}, self._first_ms)
        if self._keys:
            self._close({"presses": self._keys}, self._first_ms)

    def _close(self, row: Row, began_ms: int | None) -> None:
        began_ms = self._last_ms if began_ms is None else began_ms
        interrupts_ms = self._interrupts_after_ms
        if "hangs_up" in row or "host_event" in row:
            row = {**row, "at": {"after_ms": max(0, began_ms - self._last_ms)}}
        elif interrupts_ms is not None and interrupts_ms > _ANSWERED_MS and self._turns:
            row = {**row, "at": {"answer_ms": interrupts_ms}}
        self._turns.append(_Turn(row, began_ms))
        self._said.clear()
        self._keys = ""
        self._first_ms = None
        self._interrupts_after_ms = None

    # --- the script ---

    def tools(self) -> dict[str, list[Row]]:
        """Return what every tool answered, run by run."""
        answers: dict[str, list[Row]] = {}
        for run in self._runs.values():
            told = answers.setdefault(run.tool, [])
            told.append({"run": len(told) + 1, **(run.answer or {"times_out": True})})
        for told in answers.values():
            del told[-1]["run"]  # whatever comes after the last is answered like it
        return answers

    def turns(self) -> list[Row]:
        """Return what the caller did, and what was decided on it."""
        self._acted()
        rows: list[Row] = []
        for turn in self._turns:
            expect: Row = {}
            if turn.phases:
                expect["phase"] = turn.phases[-1]
            if turn.tools:
                expect["calls"] = {tool: {} for tool in dict.fromkeys(turn.tools)}
            rows.append({**turn.row, **({"expect": expect} if expect else {})})
        return rows or [{"waits": ""}]

    def in_the_end(self) -> Row:
        """Return what became of the call as a whole."""
        expect: Row = {"phases": self._phases} if self._phases else {}
        if self._ended is not None:
            expect["ended"] = True
        return expect

    @property
    def model_lines(self) -> dict[str, list[Row]]:
        """What the model said, phase by phase; empty where the guided model spoke, which says it again by itself."""
        return {phase: lines for phase, lines in self._lines.items() if phase} if self._has_tokens else {}


def _one_reply(parts: list[Row]) -> Row:
    """Return a reply as a script writes it: its words, and the first of its requests."""
    words = " ".join(part["says"] for part in parts if "says" in part)
    requests = [part for part in parts if "calls" in part]
    return {**({"says": words} if words else {}), **(requests[0] if requests else {})}


def _with_made_up_digits(words: str) -> str:
    """Return a caller's words with digits in place of the secrets that were taken out of them."""
    for handle in handles_in(words):
        words = words.replace(_as_written(handle), _made_up(handle), 1)
    return words


def _as_written(handle: Handle) -> str:
    return handle_text(handle.handle, handle.count)


def _made_up(handle: Handle) -> str:
    start = sum(handle.slot.encode())
    return " ".join(_DIGIT_WORDS[(start + n) % len(_DIGIT_WORDS)] for n in range(handle.count))
