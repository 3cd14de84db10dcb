"""What a speech model has heard of the caller: when it says what the words were, whose words they are.

A model tells no utterance of ours from another, and ends the caller's turns where it likes: its words are those of one
utterance, of several, or of a part of one. Some providers say from when to when of the audio they are. Of the others it
is known that they say things in order, and that they take about as long each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from voiceagent.core.ids import UtteranceId
from voiceagent.ports import CallerTranscribed

__all__ = ["Heard", "HeardByModel", "Match"]

_USUALLY_MS = 900
"""From our noticing a pause to the words, as long as nothing is known of the model that is there."""
_AT_FIRST_DOUBT_MS, _DOUBT_MS = 10_000, 1_000
"""Words that are so much later or sooner are as unlikely as ones for which there was no time at all."""
_LATEST_MS = 6_000
"""Words that come so late are taken for those of something said later."""
_SAME_TURN_MS = 900
"""Silence in which few models take the caller's turn for over."""
_SOONER_MS = 250
"""Words come later or sooner than usual by less than that."""
_MS_PER_CHARACTER = 65
"""Some 150 words a minute."""
_DETECTED_WITHIN_MS = 300
"""What our detector and the model's may make of the ends of an utterance."""
_ABOUT_AS_LIKE = 0.3
_RATHER_KEPT = 0.3
"""Where it could be either, words are kept and not dropped."""
_QUITE_UNLIKE = 0.65
"""Even somebody who speaks twice as fast as others is more like it."""
_REMEMBERED = 16


@dataclass(slots=True)
class Heard:
    """One utterance that a model has heard, or the beginning of it."""

    hints: Sequence[str]
    since_ms: int
    """When it had heard it, or its end was noticed here."""
    from_ms: int
    """Audio time."""
    to_ms: int
    """Audio time."""
    counts: bool = True
    """False where somebody else says the words, all of them."""
    silenced: bool = False
    """No other session would hear it."""
    stop: Callable[[], None] | None = None
    """Ends the waiting for the words, where they are still waited for."""
    open: bool = True
    """Its words have not come."""

    def stop_waiting(self) -> None:
        """Its words have come, or nobody waits for them any more."""
        if self.stop is not None:
            self.stop()
            self.stop = None


@dataclass(frozen=True, slots=True)
class Match:
    """Whose words have come."""

    utterance: UtteranceId | None
    """None where they do not count."""
    said_with_it: Sequence[UtteranceId] = ()
    """Utterances whose words are among them."""
    nothing_in: Sequence[UtteranceId] = ()
    """Earlier ones, of which no words will come any more."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Words that may be those of other utterances than they were taken for."""

    late_ms: int
    """As they were taken."""
    perhaps_of: Sequence[UtteranceId]


class HeardByModel:
    """The last utterances that a model has heard, in their order."""

    def __init__(self) -> None:
        self._heard: dict[UtteranceId, Heard] = {}
        self._usually_ms: int | None = None
        """From our noticing a pause to the words."""
        self._perhaps_ms: list[int] = []
        """The same as it may be, as long as that is not known."""
        self._doubts: deque[_Doubt] = deque(maxlen=_REMEMBERED)
        self.from_ms = 0
        """Audio time from which the session hears the caller."""

    def add(self, utterance: UtteranceId, heard: Heard) -> None:
        """An utterance has paused, or the model hears no more of it."""
        self._heard[utterance] = heard
        while len(self._heard) > _REMEMBERED:
            self._heard.pop(next(iter(self._heard))).stop_waiting()

    def asked_elsewhere(self, utterance: UtteranceId, heard_to_ms: int) -> None:
        """Nothing that the model has heard of this one counts, up to this moment of the audio, and it hears no more."""
        heard = self._heard.get(utterance)
        if heard is None:
            return
        heard.stop_waiting()
        heard.silenced = True
        heard.counts, heard.to_ms = False, min(heard.to_ms, heard_to_ms)
        if heard.to_ms <= heard.from_ms:
            del self._heard[utterance]

    def cut_short(self, utterance: UtteranceId) -> Heard | None:
        """Return what was heard of one of which the model did not hear the end, if its words have not come either."""
        heard = self._heard.get(utterance)
        return heard if heard is not None and heard.open and not heard.counts else None

    def still_to_come(self, from_ms: int) -> list[tuple[UtteranceId, Heard]]:
        """Return those of which something was said after this moment of the audio, and whose words have not come."""
        return [(u, heard) for u, heard in self._heard.items() if heard.open and heard.to_ms > from_ms]

    def is_open(self, utterance: UtteranceId) -> bool:
        """Whether the words of this one have not come."""
        return utterance in self._heard and self._heard[utterance].open

    @property
    def any_open(self) -> bool:
        """Whether words are still to come."""
        return any(heard.open for heard in self._heard.values())

    def give_up(self, next_from_ms: int | None) -> dict[UtteranceId, Sequence[str]]:
        """Forget what the session has heard; returns those whose words, perhaps, have not come, with their hints.

        What another session hears from that moment of the audio on is not forgotten: it has words for it too.
        """
        doubtful = dict.fromkeys(utterance for doubt in self._doubts for utterance in doubt.perhaps_of)
        self._doubts.clear()
        given_up: dict[UtteranceId, Sequence[str]] = {}
        for utterance, heard in tuple(self._heard.items()):
            if next_from_ms is not None and heard.to_ms > next_from_ms and not heard.silenced:
                heard.counts = heard.counts and heard.open  # words that are known need not come again
                heard.open, heard.from_ms = True, max(heard.from_ms, next_from_ms)
                continue
            heard.stop_waiting()
            del self._heard[utterance]
            if heard.counts and (heard.open or utterance in doubtful):
                given_up[utterance] = heard.hints
        return given_up

    def match(self, event: CallerTranscribed, now_ms: int, *, speaking: bool) -> Match | None:
        """Take the words for those of some of these; None where they are none of them.

        `speaking`: the model hears something besides them, and its end has not been noticed.
        """
        covered = [] if event.heard_ms is None else list(self._within(*event.heard_ms))
        if covered:
            return self._taken(covered)
        open_ = [u for u, heard in self._heard.items() if heard.open]
        turns = [turn for turn in self._turns(open_) if now_ms - self._heard[turn[-1]].since_ms <= _LATEST_MS]
        unlike = {turn: self._unlike(turn, event.text) for turn in turns}
        if not turns or (speaking and min(unlike.values()) > _QUITE_UNLIKE):
            return None if speaking else self._much_later(open_, now_ms)
        late_ms = {turn: now_ms - self._heard[turn[-1]].since_ms for turn in turns}
        likely = min(turns, key=lambda turn: unlike[turn] + self._unusual(late_ms[turn]))
        as_like = [turn for turn in turns if unlike[turn] <= unlike[likely] + _ABOUT_AS_LIKE]
        if self._usually_ms is None and len(as_like) > 1:
            self._doubts.append(_Doubt(late_ms[likely], tuple(u for turn in as_like for u in turn)))
        self._learn([late_ms[turn] for turn in as_like])
        return self._taken(likely, before=open_[: open_.index(likely[0])])

    def _much_later(self, open_: Sequence[UtteranceId], now_ms: int) -> Match | None:
        """Words that are too late for everything that waits for some, and nothing else is being said."""
        if said := [u for u, heard in self._heard.items() if now_ms - heard.since_ms <= _LATEST_MS]:
            # A model that was thought to have said it all in one goes on.
            return Match(said[-1] if self._heard[said[-1]].counts else None)
        if counting := [u for u in open_ if self._heard[u].counts]:
            return self._taken(counting[-1:])
        return None

    def _turns(self, open_: Sequence[UtteranceId]) -> Iterator[tuple[UtteranceId, ...]]:
        """Yield whatever of these the model may have taken for one turn of the caller's."""
        for first in range(len(open_)):
            for last in range(first, len(open_)):
                if last > first and not self._same_turn(*open_[last - 1 : last + 1]):
                    break
                yield tuple(open_[first : last + 1])

    def _unlike(self, turn: Sequence[UtteranceId], text: str) -> float:
        """How badly the length of what was said fits these words: 0 is well."""
        lasted_ms = sum(self._heard[u].to_ms - self._heard[u].from_ms for u in turn)
        takes_ms = len(text) * _MS_PER_CHARACTER
        unlike = abs(lasted_ms - takes_ms) / (takes_ms + _DETECTED_WITHIN_MS)
        return unlike if any(self._heard[u].counts for u in turn) else unlike + _RATHER_KEPT

    def _unusual(self, late_ms: int) -> float:
        """How far that is from how late words usually are, as far as it is known: 0 is not at all."""
        if self._usually_ms is not None:
            return abs(late_ms - self._usually_ms) / _DOUBT_MS
        if self._perhaps_ms:
            return min(abs(late_ms - perhaps_ms) for perhaps_ms in self._perhaps_ms) / _DOUBT_MS
        return abs(late_ms - _USUALLY_MS) / _AT_FIRST_DOUBT_MS

    def _learn(self, late_ms: list[int]) -> None:
        """See how late words are: each time by one of these."""
        if self._usually_ms is None and self._perhaps_ms:
            common = [ms for ms in late_ms if any(abs(ms - other) < _SOONER_MS for other in self._perhaps_ms)]
            late_ms = common or late_ms
        self._perhaps_ms = late_ms
        if max(late_ms) - min(late_ms) < _SOONER_MS:
            self._usually_ms = late_ms[0]
            sure = [doubt for doubt in self._doubts if abs(doubt.late_ms - late_ms[0]) < _SOONER_MS]
            for doubt in sure:
                self._doubts.remove(doubt)

    def _within(self, from_ms: int, to_ms: int) -> Iterator[UtteranceId]:
        """Yield what lies in this part of the session's audio: a provider adds some of what is before and after."""
        for utterance, heard in self._heard.items():
            common_ms = min(heard.to_ms, self.from_ms + to_ms) - max(heard.from_ms, self.from_ms + from_ms)
            if common_ms > 0 and 2 * common_ms >= min(heard.to_ms - heard.from_ms, to_ms - from_ms):
                yield utterance

    def _same_turn(self, one: UtteranceId, other: UtteranceId) -> bool:
        return self._heard[other].from_ms - self._heard[one].to_ms < _SAME_TURN_MS

    def _taken(self, covered: Sequence[UtteranceId], before: Sequence[UtteranceId] = ()) -> Match:
        fresh = [u for u in covered if self._heard[u].open] or covered[:1]
        nothing_in = tuple(u for u in before if self._heard[u].counts)
        for utterance in (*before, *fresh):
            self._heard[utterance].open = False
            self._heard[utterance].stop_waiting()
        counting = [u for u in fresh if self._heard[u].counts]
        if not counting:
            return Match(None, nothing_in=nothing_in)
        return Match(counting[0], tuple(counting[1:]), nothing_in)
