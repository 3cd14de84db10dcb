"""Read-backs: whether the caller knows what is about to be done, and wants it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.agent_speech import Clause
from voiceagent.core.hearing import OVERLAP_MS
from voiceagent.core.ids import Epoch, UtteranceId
from voiceagent.language import language_for
from voiceagent.spec.flow import Flow
from voiceagent.spec.prompt import render
from voiceagent.spec.tool import Tool

__all__ = ["ReadBacks"]

_YES_KEY = "1"


@dataclass(slots=True)
class _ReadBack:
    """What was read back to the caller."""

    utterance: UtteranceId
    text: str
    epoch: Epoch
    clause: Clause
    started_ms: int | None = None
    heard_ms: int | None = None
    yes: bool = False
    overlaid: bool = False
    """Something else was said after it that may be answered with yes."""

    def nearly_heard(self, now_ms: int) -> bool:
        """Whether its last syllable is being said: whoever answers now knows the question."""
        return self.started_ms is not None and now_ms >= self.started_ms + self.clause.expected_ms - OVERLAP_MS


class ReadBacks:
    """Follows the questions of one call that what cannot be undone waits for."""

    def __init__(self, flow: Flow) -> None:
        self._locales = tuple(dict.fromkeys(flow.language_of(phase) for phase in flow.phases))
        """A question is asked, and answered, in the language of its phase."""
        self._flow = flow
        self._language = language_for(flow.locale)
        """Of the phase that the call is in."""
        wordings = [flow.wording_of(phase) for phase in flow.phases]
        self._reprompts = frozenset(phrase for wording in wordings for phrase in wording.no_input.phrases)
        self._asked: _ReadBack | None = None
        self._early_yes_ms: int | None = None
        """When the caller began to say yes to what they had not heard to its end."""
        self._began_ms: dict[UtteranceId, int] = {}
        self._intents: dict[str, str] = {}
        """What each digest of a yes stands for."""

    @property
    def utterance(self) -> UtteranceId | None:
        """The question that is open, if there is one."""
        return self._asked.utterance if self._asked else None

    # --- what has happened -------------------------------------------------------------------------------------------

    def happened(self, event: ev.Event, now_ms: int) -> None:
        """Learn what the caller has heard, and what they have answered."""
        asked = self._asked
        match event:
            case ev.CallResumed():
                self._asked = None  # who was to answer may not have heard it
            case ev.CallerStartedSpeaking(utterance, at_ms):
                self._began_ms[utterance] = at_ms
            case ev.TranscriptFinal(utterance, text) if self._is_yes(text):
                began_ms = self._early_yes_ms = self._began_ms.get(utterance, now_ms)
                if asked is not None and asked.heard_ms is not None:
                    asked.yes = asked.yes or began_ms >= asked.heard_ms - OVERLAP_MS
            case _ if asked is not None:
                self._hears(asked, event, now_ms)
            case _:
                pass

    def _hears(self, asked: _ReadBack, event: ev.Event, now_ms: int) -> None:
        match event:
            case ev.PlayoutStarted(asked.utterance, at_ms):
                asked.started_ms = at_ms
            case ev.SpeechQueued(asked.utterance, _, duration_ms):
                asked.clause.duration_ms = duration_ms
            case ev.SpeechFailed(asked.utterance):
                asked.clause.duration_ms = 0
            case ev.PlayoutReached(asked.utterance, finished=True):
                self._heard(asked, now_ms)
            case ev.PlayoutStopped(asked.utterance, heard_ms):
                if heard_ms and heard_ms >= asked.clause.expected_ms - OVERLAP_MS:
                    self._heard(asked, now_ms)
            case ev.DigitsPressed(digits) if digits == _YES_KEY:
                if asked.heard_ms is None and asked.nearly_heard(now_ms):
                    asked.heard_ms = now_ms
                asked.yes = asked.yes or asked.heard_ms is not None
            case _:
                pass

    def _is_yes(self, text: str) -> bool:
        return any(language_for(locale).yes_no(text) is True for locale in self._locales)

    def _heard(self, asked: _ReadBack, now_ms: int) -> None:
        asked.heard_ms = now_ms
        early_ms = self._early_yes_ms
        asked.yes = asked.yes or (early_ms is not None and early_ms >= now_ms - OVERLAP_MS)

    def enters(self, phase: str) -> None:
        """The call is in this phase from here on."""
        self._language = language_for(self._flow.language_of(self._flow.phase(phase)))

    # --- what is asked for -------------------------------------------------------------------------------------------

    def said(self, speak: fx.Speak | fx.PlayReply, epoch: Epoch) -> None:
        """Something is going to be said: a question, or what may take a question's yes."""
        match speak:
            case fx.Speak(kind="read_back", utterance=utterance, text=text):
                self._asked = _ReadBack(utterance, text, epoch, Clause(text, self._language))
            case fx.Speak(kind="reply", text=text) if not text:
                pass
            case fx.Speak(kind="filler" | "said", text=text) if text not in self._reprompts:
                pass
            case _ if self._asked is not None:
                self._asked.overlaid = True  # a yes answers what was heard last
            case _:
                pass

    def not_wanted(
        self, tool: Tool, start: fx.StartTool, *, epoch: Epoch, facts: Mapping[str, JsonValue]
    ) -> Iterator[str]:
        """Yield why this is not exactly what was read back in this phase, heard, and answered with yes."""
        asked, self._asked = self._asked, None
        if asked is None:
            yield f"{tool.name} was not read back"
            return
        known = {**facts, **start.arguments}
        words = [render(tool.confirm or "", known, source=None, locale=locale) for locale in self._locales]
        if asked.text not in words:
            yield f"{words[0]!r} is done, {asked.text!r} was read back"
        intent = f"{tool.name} {json.dumps(start.arguments, sort_keys=True)}"
        if start.confirmed is None or self._intents.setdefault(start.confirmed, intent) != intent:
            yield f"{intent} is done under the yes to something else"
        if asked.epoch != epoch:
            yield f"{tool.name} was confirmed in another phase"
        if asked.heard_ms is None:
            yield f"{tool.name} was done before its read-back was heard"
        if asked.overlaid:
            yield f"the yes to {tool.name} may have been one to what was said after its read-back"
        if not asked.yes:
            yield f"nobody has said yes to {tool.name}"
