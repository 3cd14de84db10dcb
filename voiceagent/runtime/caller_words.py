"""The caller's words where a speech model hears them: they come late, in one piece for several utterances, or never."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from voiceagent.core import events as ev
from voiceagent.core.effects import Message
from voiceagent.core.ids import UtteranceId
from voiceagent.ports import CallerTranscribed, Clock
from voiceagent.runtime.call_tasks import within

__all__ = ["CallerWords"]

_WITHIN_MS = 1_500
"""After a pause. A speech model says nothing of a cough; what comes later still finds its place in the history."""

_LATE_WITHIN_MS = 800
"""A session that begins without the caller's last words cannot answer them: that is worth a short wait."""

_REMEMBERED = 16
"""Utterances of which news may come late."""


class CallerWords:
    """Knows which utterances the model may still have words for."""

    def __init__(
        self,
        clock: Clock,
        post: Callable[[ev.Event], None],
        overdue: Callable[[UtteranceId, Sequence[str]], None],
    ) -> None:
        """`overdue` is told of an utterance whose words have not come; somebody else may have to say them."""
        self._clock = clock
        self._post = post
        self._overdue = overdue
        self._latest: UtteranceId | None = None
        self._withheld: deque[UtteranceId] = deque(maxlen=_REMEMBERED)
        """The model has not heard them, or not to their end: what it makes of them does not count."""
        self._awaited: dict[UtteranceId, tuple[Sequence[str], Callable[[], None]]] = {}
        """With the phase's hints, and what stops the waiting."""
        self._missed: dict[UtteranceId, Sequence[str]] = {}
        """Those whose words have not come in time since some last came."""
        self._unnoticed = 0
        self._known: dict[UtteranceId, str] = {}
        """Words of the last utterances, none included: they are here before the conversation has heard of them."""
        self._elsewhere = 0
        """How many utterances somebody else is transcribing."""
        self._came = asyncio.Event()

    async def with_late(self, history: Sequence[Message]) -> list[Message]:
        """Return what was said, with the words that were not known when it was written down; they are waited for.

        A message stays empty where they do not come in time, or will never come.
        """
        awaited = {utterance for message in history for utterance in message.awaits}
        with suppress(TimeoutError):
            async with within(_LATE_WITHIN_MS, self._clock):
                while not awaited <= self._known.keys() and (self._awaited or self._missed or self._elsewhere):
                    self._came.clear()
                    await self._came.wait()
        return [self._filled(message) if message.awaits else message for message in history]

    def _filled(self, message: Message) -> Message:
        words = [message.text, *(self._known.get(utterance, "") for utterance in message.awaits)]
        return replace(message, text=" ".join(part for part in words if part), awaits=())

    def began(self, utterance: UtteranceId) -> None:
        """The caller's voice came on."""
        self._latest = utterance

    def withhold_latest(self) -> None:
        """The model does not get to hear what the caller is saying."""
        if self._latest is not None:
            self.withhold(self._latest)

    def withhold(self, utterance: UtteranceId) -> None:
        """The model does not get to hear this, or what it makes of it does not count."""
        self._withheld.append(utterance)

    def asked_elsewhere(self) -> None:
        """Somebody else is to say what the words of an utterance are."""
        self._elsewhere += 1

    def came_from_elsewhere(self, utterance: UtteranceId, text: str) -> None:
        """Somebody else has said them."""
        self._elsewhere -= 1
        self._are_known(utterance, text)

    def is_withheld(self, utterance: UtteranceId) -> bool:
        """Whether somebody else has to say what the words of this utterance are."""
        return utterance in self._withheld

    def wait_for(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """An utterance has paused: its words should come."""
        stop = self._clock.call_at(self._clock.now_ms() + _WITHIN_MS, lambda: self._none_came(utterance))
        self._awaited[utterance] = (hints, stop)

    def heard_only_now(self) -> None:
        """What has been kept from the model reaches it now: its words should come from now on."""
        for utterance, hints in self.give_up().items():
            self.wait_for(utterance, hints)

    def came(self, event: CallerTranscribed) -> None:
        """The model says what it has heard: all that was said since it last did."""
        if not (self._awaited or self._missed) and self._latest in self._withheld:
            return
        latest = self._latest or self._noticed_by_the_model_only()
        if not event.final:
            self._post(ev.TranscriptPartial(latest, event.text))
            return
        first, *others = [*self._awaited] or [*self._missed][-1:] or [latest]
        for utterance, words in ((first, event.text), *((utterance, "") for utterance in others)):
            self._are_known(utterance, words)
            self._post(ev.TranscriptFinal(utterance, words, in_audio=True))
        self.give_up()
        self._missed.clear()

    def _are_known(self, utterance: UtteranceId, words: str) -> None:
        self._known[utterance] = f"{self._known.get(utterance, '')} {words}".strip()
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._came.set()

    def give_up(self, unless: Callable[[UtteranceId], bool] = lambda _: False) -> dict[UtteranceId, Sequence[str]]:
        """Wait no longer; returns the utterances that were waited for, with their hints."""
        given_up: dict[UtteranceId, Sequence[str]] = {}
        for utterance, (hints, stop) in tuple(self._awaited.items()):
            if not unless(utterance):
                stop()
                del self._awaited[utterance]
                given_up[utterance] = hints
        self._came.set()
        return given_up

    def give_up_missed(self) -> dict[UtteranceId, Sequence[str]]:
        """Return the utterances whose words did not come in time, and now never will, with their hints."""
        missed = dict(self._missed)
        self._missed.clear()
        return missed

    def _none_came(self, utterance: UtteranceId) -> None:
        hints, _ = self._awaited.pop(utterance)
        self._missed[utterance] = hints
        self._overdue(utterance, hints)

    def _noticed_by_the_model_only(self) -> UtteranceId:
        self._unnoticed += 1
        return UtteranceId(f"m{self._unnoticed}")
