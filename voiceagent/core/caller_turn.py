"""The caller's turn: from their first sound until the agent may answer, with as many pauses as they like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from voiceagent.core.endpointing import Patience
from voiceagent.core.ids import UtteranceId

__all__ = ["CallerTurn", "Utterance"]

PatienceAfter = Callable[[str, float | None], Patience]
"""How much silence after these words ends the turn, and why; they sound so much like the end of it.

It is asked for where it is needed: whose turn it is knows, and a turn that kept that would keep its owner.
"""
_REMEMBERED = 16
"""Utterances of earlier turns: news of them may come late or twice."""


@dataclass(slots=True)
class Utterance:
    """One stretch of the caller's voice."""

    id: UtteranceId
    started_ms: int
    over_speech: bool
    """The agent was audible when it began."""
    ended_ms: int | None = None
    text: str | None = None
    """None until the recognizer has answered."""
    in_audio: bool = False
    """The speech model that is there now has heard it."""
    done: float | None = None
    """How likely it is that nothing follows it, by its sound; None where nobody has judged it."""
    below_db: int | None = None
    """How much fainter than a usual one the voice is; None where it is not."""
    behind_until_ms: int | None = None
    """Until when a voice that began behind the agent's is one; None while the agent goes on."""

    @property
    def behind_speech(self) -> bool:
        """Whether the agent has spoken through as good as all of it."""
        until_ms = self.behind_until_ms
        return self.over_speech and (until_ms is None or self.ended_ms is None or self.ended_ms <= until_ms)


@dataclass(slots=True)
class CallerTurn:
    """Everything the caller has said since the agent last had the floor."""

    recognizer_timeout_ms: int
    longest_ms: int
    """How long one utterance may go on."""
    utterances: dict[UtteranceId, Utterance] = field(default_factory=dict[UtteranceId, Utterance])
    _taken: list[UtteranceId] = field(default_factory=list[UtteranceId])

    @property
    def open(self) -> bool:
        """Whether the caller has said something that is not answered yet."""
        return bool(self.utterances)

    @property
    def speaking(self) -> bool:
        """Whether the caller's voice is on."""
        return any(utterance.ended_ms is None for utterance in self.utterances.values())

    @property
    def unheard(self) -> bool:
        """Whether words are being said, or were said and are still being transcribed."""
        return any(utterance.text is None for utterance in self.utterances.values())

    def waits_for(self, utterance: UtteranceId) -> bool:
        """Whether the words of this utterance belong to the turn and have not come."""
        known = self.utterances.get(utterance)
        return known is not None and known.text is None

    @property
    def text(self) -> str:
        """The words so far."""
        return " ".join(utterance.text for utterance in self.utterances.values() if utterance.text)

    @property
    def spoken_ms(self) -> int:
        """How long the voice was on in all."""
        return sum((u.ended_ms or u.started_ms) - u.started_ms for u in self.utterances.values())

    @property
    def over_speech(self) -> bool:
        """Whether all of it was said while the agent was audible."""
        return all(utterance.over_speech for utterance in self.utterances.values())

    @property
    def below_db(self) -> int | None:
        """How much fainter than a usual one the voice is; None where any of it is not, or the agent was silent."""
        faint = [u.below_db for u in self.utterances.values() if u.behind_speech and u.below_db is not None]
        return min(faint) if faint and len(faint) == len(self.utterances) else None

    @property
    def in_audio(self) -> bool:
        """Whether the speech model that is there now has heard all of the words."""
        return all(u.in_audio for u in self.utterances.values() if u.text)

    def heard_by_nobody(self) -> None:
        """The speech model that has heard what is known by now is not there any more."""
        for utterance in self.utterances.values():
            utterance.in_audio = False

    @property
    def text_after_speech(self) -> str:
        """The words that were said when the agent was silent."""
        return " ".join(u.text for u in self.utterances.values() if u.text and not u.over_speech)

    @property
    def ended_ms(self) -> int:
        """The last moment of voice."""
        return max((u.ended_ms or u.started_ms for u in self.utterances.values()), default=0)

    def started(self, utterance: UtteranceId, at_ms: int, *, over_speech: bool) -> None:
        """The voice came on; an utterance of an earlier turn does not begin again."""
        if utterance not in self.utterances and utterance not in self._taken:
            self.utterances[utterance] = Utterance(utterance, at_ms, over_speech)

    def agent_finished(self, since_ms: int) -> None:
        """The agent has finished: what began after this moment does not count as said into its words."""
        for utterance in self.utterances.values():
            if utterance.started_ms >= since_ms:
                utterance.over_speech = False

    def agent_is_silent(self, until_ms: int) -> None:
        """Nothing of the agent's is heard any more: a voice that is on after this moment is none behind its words."""
        for utterance in self.utterances.values():
            if utterance.ended_ms is None and utterance.behind_until_ms is None:
                utterance.behind_until_ms = until_ms

    def on_since_ms(self, utterance: UtteranceId) -> int | None:
        """Return when the voice of this utterance came on; None where it is off, or not of this turn."""
        known = self.utterances.get(utterance)
        return None if known is None or known.ended_ms is not None else known.started_ms

    def overdue_ms(self) -> int | None:
        """When a voice will have been on for too long; None while there is none."""
        began_ms = [u.started_ms for u in self.utterances.values() if u.ended_ms is None]
        return min(began_ms) + self.longest_ms if began_ms else None

    def overdue(self, now_ms: int) -> list[UtteranceId]:
        """Return the utterances whose voice has been on for too long."""
        on = [u for u in self.utterances.values() if u.ended_ms is None]
        return [u.id for u in on if now_ms >= u.started_ms + self.longest_ms]

    def paused(self, utterance: UtteranceId, at_ms: int) -> bool:
        """The voice went off; False where that was known already or the utterance is not of this turn."""
        known = self.utterances.get(utterance)
        if known is None or known.ended_ms is not None:
            return False
        known.ended_ms = max(at_ms, known.started_ms)
        return True

    def transcribed(self, utterance: UtteranceId, text: str, *, in_audio: bool = False) -> bool:
        """The words of an utterance came; False where they are late, double or unknown."""
        known = self.utterances.get(utterance)
        if known is None or (known.text is not None and not text):
            return False
        if known.text and not in_audio:
            return False
        # A speech model may go on with what it has said, or say something after all.
        known.text = f"{known.text or ''} {text}".strip()
        known.in_audio = in_audio
        return True

    def deadline_ms(self, patience: PatienceAfter) -> int | None:
        """When the turn is over if nothing else happens; None while the voice is on or nothing was said."""
        if not self.utterances or self.speaking:
            return None
        if self.unheard:
            return self.ended_ms + self.recognizer_timeout_ms
        return self.ended_ms + self._after_what_was_said(patience).ms

    def judged(self, utterance: UtteranceId, done: float) -> None:
        """It is known how it sounds, unless the caller has gone on since, or the turn is another one."""
        if utterance in self.utterances and utterance == next(reversed(self.utterances)) and not self.speaking:
            self.utterances[utterance].done = done

    def found_faint(self, utterance: UtteranceId, below_db: int) -> None:
        """It is known how much fainter than a usual one this voice is."""
        if utterance in self.utterances:
            self.utterances[utterance].below_db = below_db

    def is_the_callers(self, utterance: UtteranceId) -> None:
        """It is known whose voice it is, however faint."""
        if utterance in self.utterances:
            self.utterances[utterance].below_db = None

    def _after_what_was_said(self, patience: PatienceAfter) -> Patience:
        latest = next(reversed(self.utterances.values()), None)
        return patience(self.text, None if latest is None else latest.done)

    def reason(self, patience: PatienceAfter) -> str:
        """Why the turn is over at its deadline."""
        return "the words did not come in time" if self.unheard else self._after_what_was_said(patience).reason

    def holds(self, patience: PatienceAfter) -> bool:
        """Whether what was asked for is still to come, as far as the words are known."""
        return not self.unheard and bool(self.text) and self._after_what_was_said(patience).holds

    def pauses(self) -> list[tuple[str, int]]:
        """Return what had been said at each pause within the turn, and how long that pause was, in milliseconds."""
        said = list(self.utterances.values())
        texts = [utterance.text or "" for utterance in said]
        return [
            (" ".join(filter(None, texts[: at + 1])), after.started_ms - before.ended_ms)
            for at, (before, after) in enumerate(pairwise(said))
            if before.ended_ms is not None
        ]

    def take(self) -> list[Utterance]:
        """End the turn and return what was said in it; utterances still without words count as empty."""
        taken = list(self.utterances.values())
        self.utterances.clear()
        self._taken = [*self._taken, *(utterance.id for utterance in taken)][-_REMEMBERED:]
        return taken

    def take_paused(self, now_ms: int) -> list[Utterance]:
        """End the turn, except for a voice that is still on: from now on it speaks into the answer."""
        on = [utterance for utterance in self.utterances.values() if utterance.ended_ms is None]
        for utterance in on:
            del self.utterances[utterance.id]
        taken = self.take()
        for utterance in on:
            again = Utterance(utterance.id, now_ms, over_speech=True, below_db=utterance.below_db)
            self.utterances[utterance.id] = again
        return taken
