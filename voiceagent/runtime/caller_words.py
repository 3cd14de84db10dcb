"""The caller's words where a speech model hears them: they come late, in one piece for several utterances, or never."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import dropwhile

from voiceagent.core import events as ev
from voiceagent.core.effects import Message
from voiceagent.core.ids import UtteranceId
from voiceagent.in_time import within
from voiceagent.ports import CallerTranscribed, Clock
from voiceagent.runtime.heard_by_model import Heard, HeardByModel

__all__ = ["CallerWords"]

_WITHIN_MS = 1_500
"""After a pause. A speech model says nothing of a cough; what comes later still finds its place in the history."""

_LATE_WITHIN_MS = 800
"""A session that begins without the caller's last words cannot answer them: that is worth a short wait."""

_REMEMBERED = 16
"""Utterances of which news may come late."""

_ABOUT_ALL = 0.7
"""Of the words in which two recognizers understand the same sentence."""

_LAST_SOUND_MS = 100
"""The voice detector's doubt about when a voice was off: no word is that short."""


class CallerWords:
    """Knows which utterances the model may still have words for."""

    def __init__(
        self,
        clock: Clock,
        post: Callable[[ev.Event], None],
        overdue: Callable[[UtteranceId, Sequence[str]], None],
        lasted: Callable[[UtteranceId], tuple[int, int] | None],
    ) -> None:
        """`overdue` is told of an utterance whose words have not come; somebody else may have to say them.

        `lasted` says from when to when of audio time an utterance lasted that has paused.
        """
        self._clock = clock
        self._post = post
        self._overdue = overdue
        self._lasted = lasted
        self._latest: UtteranceId | None = None
        self._withheld: deque[UtteranceId] = deque(maxlen=_REMEMBERED)
        """The model has not heard them, or not to their end: what it makes of them does not count."""
        self._said_at_once: UtteranceId | None = None
        """Its words came before its end was noticed."""
        self._heard = HeardByModel()
        self._unnoticed = 0
        self._known: dict[UtteranceId, str] = {}
        """Words of the last utterances, none included: they are here before the conversation has heard of them."""
        self._elsewhere: dict[UtteranceId, None] = {}
        """Utterances that somebody else is transcribing."""
        self._doubtful: dict[UtteranceId, str] = {}
        """Those of them whose words may be among these, which were taken for another's."""
        self._came = asyncio.Event()

    # --- what another session is told --------------------------------------------------------------------------------

    async def with_late(self, history: Sequence[Message]) -> list[Message]:
        """Return what was said, with the words that were not known when it was written down; they are waited for.

        A message stays empty where they do not come in time, or will never come.
        """
        awaited = {utterance: None for message in history for utterance in message.awaits}
        with suppress(TimeoutError):
            async with within(_LATE_WITHIN_MS, self._clock):
                while any(self._may_come(utterance) for utterance in awaited):
                    self._came.clear()
                    await self._came.wait()
        return [self._filled(message) if message.awaits else message for message in history]

    def _may_come(self, utterance: UtteranceId) -> bool:
        return utterance not in self._known and (utterance in self._elsewhere or self._heard.is_open(utterance))

    def _filled(self, message: Message) -> Message:
        words = [message.text, *(self._known.get(utterance, "") for utterance in message.awaits)]
        return replace(message, text=" ".join(part for part in words if part), awaits=())

    # --- what the model does not hear --------------------------------------------------------------------------------

    def began(self, utterance: UtteranceId) -> None:
        """The caller's voice came on."""
        self._latest = utterance

    def withhold_latest(self) -> None:
        """The model does not get to hear what the caller is saying."""
        if self._latest is not None:
            self.withhold(self._latest)

    def cut_short_latest(self, from_ms: int, to_ms: int) -> None:
        """Of what the caller is saying the model has heard this part of the audio, and hears no more."""
        if self._latest is not None:
            self.withhold(self._latest)
            self._heard.add(self._latest, Heard((), self._clock.now_ms(), from_ms, to_ms, counts=False))

    def withhold(self, utterance: UtteranceId) -> None:
        """The model does not get to hear this, or what it makes of it does not count."""
        self._withheld.append(utterance)

    def is_withheld(self, utterance: UtteranceId) -> bool:
        """Whether somebody else has to say what the words of this utterance are."""
        if utterance not in self._withheld:
            return False
        cut, lasted = self._heard.cut_short(utterance), self._lasted(utterance)
        if cut is None or lasted is None or lasted[1] > cut.to_ms + _LAST_SOUND_MS:
            return True
        self._withheld.remove(utterance)  # it was over when the model stopped listening, and nobody knew yet
        return False

    def asked_elsewhere(self, utterance: UtteranceId, heard_to_ms: int) -> None:
        """Somebody else is to say what the words of an utterance are: the model hears no more than it has so far."""
        self._heard.asked_elsewhere(utterance, heard_to_ms)
        self._elsewhere[utterance] = None

    def came_from_elsewhere(self, utterance: UtteranceId, text: str) -> str:
        """Somebody else has said them; returns those that count."""
        self._elsewhere.pop(utterance, None)
        if _are_among(text, self._doubtful.pop(utterance, "")):
            text = ""
        self._are_known(utterance, text)
        return text

    # --- what the model hears ----------------------------------------------------------------------------------------

    def session_began(self, from_ms: int) -> None:
        """Another session hears the caller from this moment of the audio on."""
        self._heard.from_ms = from_ms

    def wait_for(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """An utterance has paused: its words should come."""
        now_ms = self._clock.now_ms()
        from_ms, to_ms = self._lasted(utterance) or (now_ms, now_ms)
        heard = Heard(hints, now_ms, from_ms, to_ms, open=utterance != self._said_at_once)
        self._heard.add(utterance, heard)
        if heard.open:
            self._await(utterance, heard)

    def _await(self, utterance: UtteranceId, heard: Heard) -> None:
        heard.stop_waiting()
        heard.stop = self._clock.call_at(self._clock.now_ms() + _WITHIN_MS, lambda: self._none_came(utterance, heard))

    def heard_only_now(self, from_ms: int) -> None:
        """The model is given now what was said after this moment of the audio: its words should come from now on."""
        for utterance, heard in self._heard.still_to_come(from_ms):
            heard.since_ms = self._clock.now_ms()
            if heard.stop is not None:
                self._await(utterance, heard)

    def came(self, event: CallerTranscribed) -> None:
        """The model says what it has heard: all that was said since it last did."""
        if not event.final:
            if self._latest not in self._withheld or self._heard.any_open:
                self._post(ev.TranscriptPartial(self._latest_or_new(), event.text))
            return
        match = self._heard.match(event, self._clock.now_ms(), speaking=self._speaking)
        if match is None:
            # What is withheld the model has not heard: somebody else was noticed by nobody but it.
            self._said_at_once = self._new() if self._latest in self._withheld else self._latest_or_new()
            self._is_said(self._said_at_once, event.text)
            return
        for utterance in match.nothing_in:
            self._is_said(utterance, "")
        if match.utterance is not None:
            self._is_said(match.utterance, event.text)
        for utterance in match.said_with_it:
            self._is_said(utterance, "")

    def _is_said(self, utterance: UtteranceId, words: str) -> None:
        self._are_known(utterance, words)
        self._post(ev.TranscriptFinal(utterance, words, in_audio=True))

    def _are_known(self, utterance: UtteranceId, words: str) -> None:
        self._known[utterance] = f"{self._known.get(utterance, '')} {words}".strip()
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._came.set()

    def _none_came(self, utterance: UtteranceId, heard: Heard) -> None:
        heard.stop = None
        self._overdue(utterance, heard.hints)

    @property
    def _speaking(self) -> bool:
        """Whether the model hears something whose end has not been noticed."""
        latest = self._latest
        return latest is not None and latest not in self._withheld and self._lasted(latest) is None

    def _latest_or_new(self) -> UtteranceId:
        return self._new() if self._latest is None else self._latest

    def _new(self) -> UtteranceId:
        """Return a name for what the model has noticed and nobody else has."""
        self._unnoticed += 1
        return UtteranceId(f"m{self._unnoticed}")

    # --- the model is gone -------------------------------------------------------------------------------------------

    def give_up(self, next_from_ms: int | None = None) -> dict[UtteranceId, Sequence[str]]:
        """The session says no more; returns the utterances whose words never came, or perhaps not, with their hints.

        Of what another one hears from that moment of the audio on the words come from there.
        """
        given_up = self._heard.give_up(next_from_ms)
        doubtful = [utterance for utterance in self._known if utterance in given_up]
        # Once words were taken for a later utterance's, those that came after them may have been as well.
        since = dropwhile(lambda known: known[0] not in given_up, self._known.items())
        words = " ".join(text for _, text in since)
        self._doubtful.update((utterance, words) for utterance in doubtful)
        self._came.set()
        return given_up


def _are_among(words: str, known: str) -> bool:
    """Whether these words are known, but for what two recognizers make of one sentence."""
    ours, theirs = _plain(words), _plain(known)
    common = sum(block.size for block in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks())
    return common > _ABOUT_ALL * len(ours)


def _plain(words: str) -> list[str]:
    return re.findall(r"\w+", words.casefold())
