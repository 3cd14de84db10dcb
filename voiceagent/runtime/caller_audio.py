"""Who hears the caller: a speech model or nobody outside, this session or the next; and who says what they said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from voiceagent.core import events as ev
from voiceagent.core.effects import Message
from voiceagent.core.ids import UtteranceId
from voiceagent.ports import AudioFormat, CallerTranscribed, Clock
from voiceagent.runtime.caller_words import CallerWords
from voiceagent.runtime.cascade import CascadeVoice
from voiceagent.runtime.ears import Ears
from voiceagent.runtime.model_session import SILENCE
from voiceagent.runtime.uplink import Uplink
from voiceagent.runtime.weakly import weakly

__all__ = ["CallerAudio"]

_UNNOTICED_MS = 200
"""A voice that is on is noticed by then, whatever the line hums. No model answers what was said so shortly before:
it waits for a pause."""


class CallerAudio:
    """The caller's audio of one call, and their words, where a speech model is to hear them and a cascade hears all."""

    def __init__(
        self,
        audio: AudioFormat,
        *,
        cascade: CascadeVoice,
        ears: Ears,
        transcribes: bool,
        clock: Clock,
        post: Callable[[ev.Event], None],
        send: Callable[[bytes], None],
    ) -> None:
        """`transcribes` is whether the model sends words of what it hears; `send` lets the live session hear audio."""
        self._cascade = cascade
        self._ears = ears
        self._transcribes = transcribes
        self._post = post
        self._send = send
        self._silence = SILENCE[audio.encoding]
        self._uplink = Uplink(audio.bytes_per_ms, self._silence, sample_bytes=audio.sample_bytes)
        self._words = CallerWords(clock, post, weakly(self._no_words_came), ears.lasted)
        self._left_to_cascade = False
        """No model hears the caller any more."""
        self._withheld = False
        """The caller says secrets: what is kept of them is silence."""
        self._withheld_to_the_end = False
        """The phase of secrets is over, and what is still being said may be one."""
        self._secrets_over_ms = 0
        """Audio time at which it was."""
        self._cut: int | None = None
        """While the caller's audio is held: position from which another session would hear it."""
        self._answered_to = 0
        """Position up to which the caller's audio has been answered."""

    # --- hearing -----------------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio."""
        # Judged as it is said, not as it is sent: a session that begins later hears from an earlier moment on.
        self._uplink.arrived(self._silence * len(audio) if self._withheld else audio)
        self._cascade.hear(audio)
        if self._withheld_to_the_end and not (self._ears.speaking or self._may_have_begun):
            self._withheld = self._withheld_to_the_end = False
        self._send_up()

    def _send_up(self) -> None:
        if audio := self._uplink.due():
            self._send(audio)

    def began(self, utterance: UtteranceId) -> bool:
        """The caller's voice came on; returns whether a model may hear it."""
        self._words.began(utterance)
        if self._withheld:
            self._words.withhold_latest()
        return not self._withheld

    @property
    def is_heard(self) -> bool:
        """Whether a model may hear what the caller says."""
        return not (self._withheld or self._left_to_cascade)

    def phase_begins(self, *, heard_by_model: bool) -> None:
        """Withhold what the caller says from now on, or let it be heard once they have ended what they are saying."""
        if heard_by_model:
            self._withheld_to_the_end = self._withheld
            self._secrets_over_ms = self._uplink.time_of(self._uplink.end)
            return
        heard_so_far, self._withheld, self._withheld_to_the_end = not self._withheld, True, False
        if self._ears.speaking and heard_so_far:
            # The model hears no more than the beginning of it.
            self._words.cut_short_latest(self._ears.began_ms or 0, self._uplink.time_of(self._uplink.end))

    def answered(self) -> None:
        """A reply begins: to all that was said, but not to what is being said, since no model answers mid-sentence."""
        if self._ears.began_ms is None or self._ears.audible_since_ms is None:
            self._answered_to = self._unnoticed_from()
        else:
            self._answered_to = min(self._uplink.position_of(self._ears.began_ms), self._uplink.sent)

    # --- words -------------------------------------------------------------------------------------------------------

    def transcribe(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """Have the words of an utterance: the model sends them by itself, unless it could not hear them."""
        if self._left_to_cascade or self._words.is_withheld(utterance):
            self._cascade.transcribe(utterance, hints)
        elif not self._transcribes:
            self._cascade.transcribe(utterance, hints, in_audio=True)
        else:
            self._words.wait_for(utterance, hints)

    def words_came(self, event: CallerTranscribed) -> None:
        """The live session says what it has heard."""
        self._words.came(event)

    async def with_late_words(self, history: Sequence[Message]) -> list[Message]:
        """Return what was said, with the words that were not known when it was written down; they are waited for."""
        return await self._words.with_late(history)

    def _no_words_came(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        if self._uplink.held and self._is_kept(utterance):
            self._hear_ourselves({utterance: hints})  # no session has heard it so far, and the caller has waited enough
        else:
            self._post(ev.TranscriptFinal(utterance, "", in_audio=True))

    def _is_kept(self, utterance: UtteranceId) -> bool:
        """Whether an utterance that has paused, or its end, is still to be heard by a session."""
        lasted = self._ears.lasted(utterance)
        return lasted is not None and self._uplink.position_of(lasted[1]) > self._next_heard

    def _hear_ourselves(self, utterances: Mapping[UtteranceId, Sequence[str]]) -> None:
        """Have the words of these from the cascade's recognizer, and from nobody else: no session hears them again."""
        for utterance, hints in utterances.items():
            self._words.withhold(utterance)
            lasted = self._ears.lasted(utterance)
            if lasted is not None:
                self._uplink.withhold(*lasted)
            self._words.asked_elsewhere(utterance, self._uplink.time_of(self._uplink.sent))
            self._cascade.transcribe(utterance, hints, counts=partial(self._words.came_from_elsewhere, utterance))

    # --- from one session to the next --------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether no session hears the caller for the moment."""
        return self._uplink.held

    def hold(self) -> None:
        """Keep what the caller says for whoever hears it next.

        Another session begins to hear at the sentence that is being said or may have just begun. That is decided once:
        before anybody hears the rest of the sentence it may be over.
        """
        self._uplink.held = True
        if self._cut is None:
            began_ms = self._ears.began_ms
            began = self._unnoticed_from() if began_ms is None else self._uplink.position_of(began_ms)
            self._cut = min(max(began, self._answered_to), self._uplink.sent)

    def go_on(self) -> None:
        """Let the live session hear the caller again, what was kept first."""
        self._uplink.held = False
        self._cut = None
        from_ms = self._uplink.time_of(self._uplink.sent)
        self._send_up()
        self._words.heard_only_now(from_ms)

    def another_session_begins(self) -> None:
        """Another session hears the caller from here on, or from before, as it was decided when they were held."""
        self.session_is_over()
        self._uplink.rewind(self._next_heard)
        self._words.session_began(self._uplink.time_of(self._uplink.sent))

    def session_is_over(self) -> None:
        """Of what it has heard, and nobody will hear again, the words come from elsewhere, or never."""
        next_from_ms = None if self._left_to_cascade else self._uplink.time_of(self._next_heard)
        self._hear_ourselves(self._words.give_up(next_from_ms))

    def leave_to_cascade(self) -> None:
        """No model hears the caller from here on; `session_is_over` is still to come."""
        self._left_to_cascade = self._uplink.held = True

    def close(self) -> None:
        """The call is over: nobody waits for words any more."""
        self._left_to_cascade = True
        self._words.give_up()

    @property
    def _next_heard(self) -> int:
        """Position from which the next session hears the caller, or this one where it goes on."""
        return self._uplink.sent if self._cut is None else self._cut

    @property
    def _may_have_begun(self) -> bool:
        """Whether a sentence may have begun in the phase of secrets that nobody has noticed yet.

        On a line that hums it may have begun at any time before the phase was over: it is noticed this much later.
        """
        since_ms = self._uplink.time_of(self._uplink.end) - self._secrets_over_ms
        return self._ears.audible_since_ms is not None and since_ms < _UNNOTICED_MS

    def _unnoticed_from(self) -> int:
        """Return where a sentence may have begun that nobody has noticed yet, let alone answered."""
        audible_since_ms = self._ears.audible_since_ms
        if audible_since_ms is None:
            return self._uplink.sent
        earliest = self._uplink.sent - self._uplink.position_of(_UNNOTICED_MS)
        return min(max(0, earliest, self._uplink.position_of(audible_since_ms)), self._uplink.sent)
