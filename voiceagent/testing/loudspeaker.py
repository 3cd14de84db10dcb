"""The loudspeaker of a scripted call: it plays what the agent says, clause by clause, as long as its letters take."""

from __future__ import annotations

from voiceagent.core.effects import Speak
from voiceagent.core.ids import UtteranceId
from voiceagent.testing.agent_voice import MS_PER_CHARACTER, AgentVoice, SpokenClause

__all__ = ["Loudspeaker"]


class Loudspeaker:
    """What is heard now, and what after it."""

    def __init__(self) -> None:
        self.voice = AgentVoice()
        self._queue: list[SpokenClause] = []
        self._free_ms = 0
        self._length_ms: dict[UtteranceId, int] = {}

    @property
    def is_busy(self) -> bool:
        """Whether something is heard or queued."""
        return bool(self._queue)

    def is_playing(self, utterance: UtteranceId) -> bool:
        """Whether anything of an utterance is heard or queued."""
        return any(clause.utterance == utterance for clause in self._queue)

    def left_to_hear_ms(self, now_ms: int) -> int:
        """How long what is queued goes on."""
        return max(0, self._free_ms - now_ms)

    def queue(self, speak: Speak, text: str, first_ms: int) -> SpokenClause:
        """Say a clause after everything that is queued, not before `first_ms`."""
        length_ms = len(text) * MS_PER_CHARACTER
        before_ms = self._length_ms.get(speak.utterance, 0)
        starts_ms = max(first_ms, self._free_ms)
        self._free_ms = starts_ms + length_ms
        self._length_ms[speak.utterance] = before_ms + length_ms
        clause = SpokenClause(
            speak.utterance, speak.clause, text, speak.kind, starts_ms, starts_ms + length_ms, before_ms
        )
        self._queue.append(clause)
        if text:
            self.voice.said.append(clause)
        return clause

    def is_queued(self, utterance: UtteranceId, clause: int) -> bool:
        """Whether this clause has not been heard to its end yet and was not dropped."""
        return any((queued.utterance, queued.clause) == (utterance, clause) for queued in self._queue)

    def reached(self, utterance: UtteranceId, clause: int) -> None:
        """A clause was heard to its end."""
        self._queue = [queued for queued in self._queue if (queued.utterance, queued.clause) != (utterance, clause)]

    def stop(self, now_ms: int) -> dict[UtteranceId, int]:
        """Be silent now; returns how much of each unfinished utterance has been heard."""
        heard_ms: dict[UtteranceId, int] = {}
        for clause in self._queue:
            heard_ms.setdefault(
                clause.utterance, clause.before_ms + min(max(0, now_ms - clause.starts_ms), clause.length_ms)
            )
        self.voice.cut(now_ms)
        self._queue.clear()
        self._free_ms = now_ms
        return heard_ms
