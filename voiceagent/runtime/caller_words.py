"""The caller's words where a speech model hears them: they come late, in one piece for several utterances, or never."""

from __future__ import annotations

import asyncio
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

_KNOWN = 16
"""Utterances whose words are remembered: the conversation hears of them a moment later."""


class CallerWords:
    """Knows which utterances the model may still have words for."""

    def __init__(self, clock: Clock, post: Callable[[ev.Event], None]) -> None:
        self._clock = clock
        self._post = post
        self._latest: UtteranceId | None = None
        self._awaited: dict[UtteranceId, tuple[Sequence[str], Callable[[], None]]] = {}
        """With the phase's hints, and what stops the waiting."""
        self._unnoticed = 0
        self._known: dict[UtteranceId, str] = {}
        """Words of the last utterances, none included: they are here before the conversation has heard of them."""
        self._came = asyncio.Event()

    async def with_late(self, history: Sequence[Message]) -> list[Message]:
        """Return what was said, with the words that were not known when it was written down; they are waited for."""
        awaited = {utterance for message in history for utterance in message.awaits}
        with suppress(TimeoutError):
            async with within(_LATE_WITHIN_MS, self._clock):
                while not awaited <= self._known.keys():
                    self._came.clear()
                    await self._came.wait()
        filled = [self._filled(message) if message.awaits else message for message in history]
        return [message for message in filled if message.text or message.role != "caller"]

    def _filled(self, message: Message) -> Message:
        words = [message.text, *(self._known.get(utterance, "") for utterance in message.awaits)]
        return replace(message, text=" ".join(part for part in words if part), awaits=())

    def began(self, utterance: UtteranceId) -> None:
        """The caller's voice came on."""
        self._latest = utterance

    def wait_for(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """An utterance has paused: its words should come."""
        stop = self._clock.call_at(self._clock.now_ms() + _WITHIN_MS, lambda: self._none_came(utterance))
        self._awaited[utterance] = (hints, stop)

    def came(self, event: CallerTranscribed) -> None:
        """The model says what it has heard: all that was said since it last did."""
        first, *others = [*self._awaited] or [self._latest or self._noticed_by_the_model_only()]
        if not event.final:
            self._post(ev.TranscriptPartial(self._latest or first, event.text))
            return
        self._tell(first, event.text)
        for utterance in others:
            self._tell(utterance, "")
        self.give_up()

    def _tell(self, utterance: UtteranceId, words: str) -> None:
        self._known[utterance] = f"{self._known.get(utterance, '')} {words}".strip()
        while len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]
        self._came.set()
        self._post(ev.TranscriptFinal(utterance, words))

    def give_up(self) -> dict[UtteranceId, Sequence[str]]:
        """Wait no longer; returns the utterances that were waited for, with their hints."""
        awaited = {utterance: hints for utterance, (hints, _) in self._awaited.items()}
        for _, stop in self._awaited.values():
            stop()
        self._awaited.clear()
        return awaited

    def _none_came(self, utterance: UtteranceId) -> None:
        if self._awaited.pop(utterance, None) is not None:
            self._tell(utterance, "")

    def _noticed_by_the_model_only(self) -> UtteranceId:
        self._unnoticed += 1
        return UtteranceId(f"m{self._unnoticed}")
