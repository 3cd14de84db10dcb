"""The agent's voice as it comes out of the caller's telephone: which clause of which utterance is heard when."""

from __future__ import annotations

from collections import deque

from voiceagent.core import effects as fx
from voiceagent.core.ids import UtteranceId
from voiceagent.testing.agent_voice import AgentVoice, SpokenClause
from voiceagent.testing.simulated_speech import SpokenAudio

__all__ = ["HeardSpeech"]


class HeardSpeech:
    """Follows what the core wants said through the synthesizer and the line to the caller's ear."""

    def __init__(self, speech: SpokenAudio) -> None:
        """`speech` has the words that stand behind the audio."""
        self.voice = AgentVoice()
        self._speech = speech
        self._numbers = 0
        self._asked: deque[tuple[int, fx.Speak]] = deque()
        """Clauses that wait for the synthesizer, with their number in the call."""
        self._spoken: dict[int, fx.Speak] = {}
        """Which clause a saying is."""
        self._heard: dict[int, SpokenClause] = {}
        self._length_ms: dict[UtteranceId, int] = {}

    def asked(self, effect: fx.Effect) -> None:
        """Note what the core wants said, and what it does not want said any more."""
        match effect:
            case fx.Speak(text=text) if text:
                self._numbers += 1
                self._asked.append((self._numbers, effect))
            case fx.StopPlayout():
                self._asked.clear()
            case _:
                pass

    def begins(self, text: str, saying: int) -> int:
        """The synthesizer begins with a text; returns which clause of the call it is, from 1, or 0 for none of them."""
        while self._asked:
            number, speak = self._asked.popleft()
            if speak.text == text:
                self._spoken[saying] = speak
                return number
        return 0

    def model_says(self, reply: str, clause: int, saying: int, text: str) -> None:
        """A speech model says a clause itself: no effect has asked for it."""
        self._spoken[saying] = fx.Speak(UtteranceId(reply), clause, text, "reply", last=False)

    # --- the line ----------------------------------------------------------------------------------------------------

    def played(self, audio: bytes, at_ms: int) -> None:
        """Audio is to be heard from this instant on."""
        for saying, lasting_ms in self._speech.parts_of(audio):
            if saying is not None:
                self._heard_more(saying, at_ms, lasting_ms)
            at_ms += lasting_ms

    def cut(self, now_ms: int) -> None:
        """Of what was to be heard after this instant nothing is."""
        self.voice.cut(now_ms)

    def _heard_more(self, saying: int, at_ms: int, lasting_ms: int) -> None:
        clause = self._heard.get(saying)
        if clause is None and saying in self._spoken:
            clause = self._clause(saying, self._spoken[saying], at_ms)
        if clause is not None:
            clause.ends_ms = at_ms + lasting_ms

    def _clause(self, saying: int, speak: fx.Speak, at_ms: int) -> SpokenClause:
        before_ms = self._length_ms.get(speak.utterance, 0)
        self._length_ms[speak.utterance] = before_ms + self._speech.length_ms(saying)
        clause = SpokenClause(speak.utterance, speak.clause, speak.text, speak.kind, at_ms, at_ms, before_ms)
        self._heard[saying] = clause
        self.voice.said.append(clause)
        return clause
