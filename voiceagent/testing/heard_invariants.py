"""Invariants of what is heard: nobody waits in silence, nobody is talked over, and what was said is what is known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import pairwise

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing.agent_voice import MS_PER_CHARACTER, SpokenClause
from voiceagent.testing.invariants import Broken
from voiceagent.testing.observed_call import ObservedCall
from voiceagent.testing.promises import history_as_heard

__all__ = ["HeardInvariants"]

_LONGEST_SILENCE_MS = 5_000
"""Of a caller who waits for something."""
_NOTICED_WITHIN_MS = 200
"""What a voice detector, a carrier's marks and a schedule may be late together."""
_GIVES_WAY_WITHIN_MS = 900 + 2 * _NOTICED_WITHIN_MS
"""From the first sound of somebody who cuts in: without words of theirs, so long decides that it is no "uh-huh"."""
_FLOOR_TAKEN_MS = 1_000
"""Of a voice for which an agent has to give way."""
_NEVER_MS = 1_000_000_000
_WORD = re.compile(r"[a-z']+")


class HeardInvariants:
    """Looks on at what is heard in one call; what nobody could notice the agent cannot answer for."""

    def __init__(self, call: ObservedCall, *, unnoticed: Collection[int] = ()) -> None:
        """`unnoticed` are the caller's utterances, from 1, that the voice detector misses or notices late."""
        self.broken: list[Broken] = []
        self._call = call
        self._unnoticed = unnoticed
        self._owed_since_ms: int | None = None
        self._tried_ms = 0
        """When something was to be said, and could not be."""
        self._last_words_ms: int | None = None
        self._asked = False
        """The caller is asked for a yes: whoever waits is not them."""
        self._away: list[tuple[int, int]] = []
        """From when to when the line was broken."""
        self._looked_at = 0

    # --- after every step --------------------------------------------------------------------------------------------

    def happened(self, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        """Look at one step."""
        self._learn(now_ms, event)
        for out in outgoing:
            match out.effect:
                case fx.Speak(kind="read_back"):
                    self._asked = True
                case fx.AskModel() | fx.StartTool() | fx.SwapPhase():
                    self._asked = False
                case _:
                    pass
        conversation = self._call.conversation
        state = conversation.state
        if self._owed_since_ms is not None:
            silent_since_ms = max(self._owed_since_ms, self._last_sound_ms(now_ms))
            if now_ms - silent_since_ms > _LONGEST_SILENCE_MS + _NOTICED_WITHIN_MS:
                self._break("no silence for those who wait", f"{now_ms - silent_since_ms} ms", now_ms)
        waits = conversation.is_working and not self._asked
        if state.ended or state.closing or state.suspended or not state.started or not waits:
            self._owed_since_ms = None
        elif self._owed_since_ms is None:
            self._owed_since_ms = now_ms
        if self._last_words_ms is None and (state.closing or state.phase.ends is not None):
            self._last_words_ms = now_ms

    def _learn(self, now_ms: int, event: ev.Event) -> None:
        match event:
            case ev.SpeechFailed():
                self._tried_ms = now_ms
            case ev.PlayoutReached() if not self._was_heard(event, now_ms):
                self._break("only what was heard counts as heard", str(event), now_ms)
            case ev.LegLost() if self._call.conversation.state.suspended:
                self._away.append((now_ms, _NEVER_MS))
            case ev.LegAttached() if self._away:
                self._away[-1] = (self._away[-1][0], now_ms)
            case _:
                pass

    def _last_sound_ms(self, now_ms: int) -> int:
        caller = self._call.caller
        heard_ms = next((c.ends_ms for c in reversed(self._call.voice.said) if c.starts_ms <= now_ms), 0)
        said_ms = next((ends_ms for begins_ms, ends_ms in reversed(caller.spells) if begins_ms <= now_ms), 0)
        return min(now_ms, max(heard_ms, said_ms, caller.ends_ms, self._tried_ms))

    def _was_heard(self, reached: ev.PlayoutReached, now_ms: int) -> bool:
        """Whether a clause, if it was begun, was heard to its end."""
        for clause in reversed(self._call.voice.said):
            if (clause.utterance, clause.clause) == (reached.utterance, reached.clause):
                whole_ms = len(clause.text) * MS_PER_CHARACTER if clause.takes_ms is None else clause.takes_ms
                return min(now_ms - clause.starts_ms, clause.length_ms) + _NOTICED_WITHIN_MS >= whole_ms
        return True

    def _break(self, invariant: str, what: str, at_ms: int) -> None:
        self.broken.append(Broken(invariant, what, at_ms))

    # --- when nothing is under way -----------------------------------------------------------------------------------

    def quiet(self, *, within_ms: int) -> None:
        """Everything has been said and heard: compare what the model is going to be told with what was heard."""
        for mismatch in history_as_heard(self._call, from_entry=self._looked_at, within_ms=within_ms):
            self._break("the history is what was heard", str(mismatch), self._call.now_ms)
        self._looked_at = len(self._call.journal)

    def over(self, said: str) -> None:
        """The call is over; `said` is all that its caller has said."""
        now_ms = self._call.now_ms
        for what in self._fillers():
            self._break("fillers are polite", what, now_ms)
        for what in (*self._at_once(), *self._over_the_caller(), *self._not_giving_way()):
            self._break("one speaker at a time", what, now_ms)
        written = Counter(_words(m.text for m in self._call.conversation.transcript.messages() if m.role == "caller"))
        if more := written - Counter(_words([said])):
            self._break("the caller's words once", f"written down too often: {' '.join(more.elements())!r}", now_ms)

    def _fillers(self) -> Iterator[str]:
        """Never the same twice in a row, and never over the caller."""
        asked = [speak for speak in self._call.record.effects(fx.Speak) if speak.kind == "filler" and speak.text]
        for before, after in pairwise(speak for speak in asked if not speak.clause):
            if before.text == after.text:
                yield f"{after.text!r} twice in a row"
        for clause in self._call.voice.said:
            if clause.kind == "filler" and (since_ms := self._begun_over(clause)) is not None:
                yield f"{clause.text!r} is begun at {clause.starts_ms} ms over the caller, who speaks since {since_ms}"

    @property
    def _noticed(self) -> list[tuple[int, int]]:
        spells = enumerate(self._call.caller.spells, 1)
        return [spell for number, spell in spells if number not in self._unnoticed and not self._is_away(*spell)]

    def _is_away(self, begins_ms: int, ends_ms: int) -> bool:
        """Whether it was said, or a part of it, while the line was broken."""
        return any(begins_ms < back_ms and ends_ms > lost_ms for lost_ms, back_ms in self._away)

    def _at_once(self) -> Iterator[str]:
        for before, after in pairwise(self._call.voice.said):
            if after.starts_ms < before.ends_ms:
                yield f"{after.text!r} begins before {before.text!r} has ended"

    def _over_the_caller(self) -> Iterator[str]:
        """What begins although the caller has been speaking for a while."""
        for before, clause in pairwise(self._call.voice.said):
            since_ms = self._begun_over(clause)
            goes_on = clause.utterance == before.utterance or clause.starts_ms - before.ends_ms < _NOTICED_WITHIN_MS
            if since_ms is None or goes_on or clause.kind != "reply" or self._is_last_words(clause.starts_ms):
                continue
            yield f"{clause.text!r} begins at {clause.starts_ms} ms, the caller speaks since {since_ms} ms"

    def _begun_over(self, clause: SpokenClause) -> int | None:
        """Since when the caller was speaking when this began."""
        for begins_ms, ends_ms in self._noticed:
            if begins_ms + _NOTICED_WITHIN_MS < clause.starts_ms < ends_ms - _NOTICED_WITHIN_MS:
                return begins_ms
        return None

    def _not_giving_way(self) -> Iterator[str]:
        """What goes on although the caller has cut in."""
        for begins_ms, ends_ms in self._noticed:
            if ends_ms - begins_ms < _FLOOR_TAKEN_MS or self._is_last_words(begins_ms):
                continue
            late_ms = begins_ms + _GIVES_WAY_WITHIN_MS
            for clause in self._call.voice.said:
                if clause.starts_ms < begins_ms and clause.ends_ms > late_ms and not self._is_last_words(late_ms):
                    yield f"{clause.text!r} goes on until {clause.ends_ms} ms, the caller speaks since {begins_ms} ms"

    def _is_last_words(self, at_ms: int) -> bool:
        """Whether the agent is saying goodbye, which nobody interrupts."""
        return self._last_words_ms is not None and at_ms >= self._last_words_ms


def _words(texts: Iterator[str] | list[str]) -> list[str]:
    return [word for text in texts for word in _WORD.findall(re.sub("⟨[^⟩]*⟩", "", text.casefold()))]
