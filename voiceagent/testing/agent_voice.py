"""The agent's voice in a simulated call: which word the caller hears at which millisecond.

Speech takes its time by the letters, as the core itself counts where no audio is known; so a caller who interrupts at a
word interrupts exactly there, and what is left in the history can be told to the word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from voiceagent.core.effects import SpeechKind
from voiceagent.core.ids import UtteranceId

__all__ = ["MS_PER_CHARACTER", "AgentVoice", "SpokenClause", "ends_by_letters", "plain_words"]

_ASIDES = ("filler", "backchannel")
MS_PER_CHARACTER = 65
"""15 characters a second, a usual speaking rate; callers speak as fast."""


@dataclass(slots=True)
class SpokenClause:
    """One clause, as it is heard or will be."""

    utterance: UtteranceId
    clause: int
    text: str
    kind: SpeechKind
    starts_ms: int
    ends_ms: int
    """Where it is heard to its end, or was cut off."""
    before_ms: int
    """How much of its utterance comes before it."""
    takes_ms: int | None = None
    """How long all of it takes, where that is known of its audio; None: what its letters take."""

    @property
    def length_ms(self) -> int:
        """How long it is to be heard."""
        return self.ends_ms - self.starts_ms

    def words(self) -> Iterator[tuple[str, int]]:
        """Yield each word that was heard whole and the instant of its last sound."""
        return ((word, ends_ms) for word, ends_ms in self.all_words() if ends_ms <= self.ends_ms)

    def all_words(self) -> Iterator[tuple[str, int]]:
        """Yield each word and the instant of its last sound, where it had been heard."""
        whole_ms = len(self.text) * MS_PER_CHARACTER if self.takes_ms is None else self.takes_ms
        for word, end_ms in zip(self.text.split(" "), ends_by_letters(self.text, whole_ms), strict=True):
            if word:
                yield word, self.starts_ms + end_ms


def ends_by_letters(text: str, whole_ms: int) -> tuple[int, ...]:
    """Return when each word of a text is over that takes so long, as it stands between spaces."""
    ends: list[int] = []
    at = 0
    for word in text.split(" "):
        at += len(word)
        ends.append(at * whole_ms // (len(text) or 1))
        at += 1
    return tuple(ends)


class AgentVoice:
    """Everything the agent says in one call, in the order in which it is heard."""

    def __init__(self) -> None:
        self.said: list[SpokenClause] = []
        """What was heard, is heard or is on its way; what was dropped before it was heard is not there."""

    def cut(self, now_ms: int) -> None:
        """Nothing more is heard of what is said by now."""
        for clause in self.said:
            clause.ends_ms = min(clause.ends_ms, max(now_ms, clause.starts_ms))
        self.said = [clause for clause in self.said if clause.starts_ms < now_ms]

    # --- what can be heard ---

    def heard(self, from_ms: int, until_ms: int, *, fillers: bool = True) -> str:
        """Return the words whose last sound was heard after `from_ms` and by `until_ms`."""
        return " ".join(
            word
            for clause in self.said
            if clause.ends_ms > from_ms and clause.starts_ms < until_ms and (fillers or clause.kind not in _ASIDES)
            for word, ends_ms in clause.words()
            if from_ms < ends_ms <= until_ms
        )

    def end_of(self, phrase: str, from_ms: int) -> int | None:
        """Return when the last sound of a phrase will have been heard after `from_ms`; None while it is not queued."""
        wanted = plain_words(phrase)
        spoken = [
            (part, ends_ms)
            for clause in self.said
            if clause.ends_ms > from_ms
            for word, ends_ms in clause.words()
            if ends_ms > from_ms
            for part in plain_words(word)
        ]
        for number in range(len(spoken) - len(wanted) + 1):
            if [word for word, _ in spoken[number : number + len(wanted)]] == wanted:
                return spoken[number + len(wanted) - 1][1]
        return None

    def begins(self, from_ms: int, *, filler: bool) -> int | None:
        """Return when the first sound of a filler, or of anything else, is heard from `from_ms` on; None: not yet."""
        return next(
            (
                clause.starts_ms
                for clause in self.said
                if clause.starts_ms >= from_ms and (clause.kind == "filler") == filler and clause.kind != "backchannel"
            ),
            None,
        )

    def heard_for(self, ms: int, from_ms: int, *, filler: bool) -> int | None:
        """Return when a filler, or anything else, that begins from `from_ms` on is heard for so long; None: not yet."""
        begins_ms = self.begins(from_ms, filler=filler)
        return None if begins_ms is None else begins_ms + ms


def plain_words(text: str) -> list[str]:
    """Return the words of a text without what cannot be heard: capitals and punctuation."""
    words = (
        "".join(letter for letter in word if letter.isalnum() or letter == "'") for word in text.casefold().split()
    )
    return [word for word in words if word]
