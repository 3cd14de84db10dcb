"""The answerer: whether a person or a machine has answered a call that we have placed, told by how they begin.

A person says "Hello?" and waits; a machine talks on. Words decide where there are any, then tones, the carrier's own
detection, and time. The figures are those that carriers set by default: 2.4 s of speech, 1.2 s of silence after it
(Twilio, "Answering Machine Detection": `MachineDetectionSpeechThreshold`, `MachineDetectionSpeechEndThreshold`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from voiceagent.core.events import CarrierDetected, ToneHeard
from voiceagent.language import Greeting

__all__ = ["Answerer", "Verdict", "Who", "is_beep"]

Who = Literal["person", "machine", "fax"]

_LISTEN_AFTER_MS = 2_000
"""Voice for so long is transcribed while it goes on."""
_SHORT_MS = 2_400
"""A person who answers says less than this before they wait."""
_TALKS_ON_MS = 3_000
"""A voice that goes on for so long, without a word that only a person says, reads something out."""
_TALKS_ON_IN_PERSON_MS = 8_000
"""The same for one that has said such a word."""
_GREETED_MS, _WAITED_MS, _WORDLESS_MS = 700, 1_000, 1_300
"""Silence after which it is a person: after a "Hello?", after anything short, and where its words are still to come."""
_NOBODY_MS = 3_500
"""Where nothing at all is said for so long, somebody waits for us."""
_GOES_ON_MS = 1_500
"""A recording does not wait until we have said who we are: what begins later than this and speaks of messages is a
person who does ("she is not available")."""
_BEEP_LATE_MS = 30_000
"""After this, and after a second answer, a beep is a person's microwave."""

_BEEP_MS = 120
_LONGEST_BEEP_MS = 1_500
_CED_HZ, _CNG_HZ, _WITHIN_HZ = 2_100, 1_100, 40
_CNG_MS = (400, 600)
"""ITU-T T.30: a fax machine that is called answers with 2,100 Hz for 2.6 to 4 s, one that calls sends 1,100 Hz for half
a second every three."""

_WORDS_OF_CARRIERS: dict[str, tuple[Who | None, bool]] = {
    "human": ("person", False),
    "human_residence": ("person", False),
    "human_business": ("person", False),
    "machine": ("machine", False),
    "machine_start": ("machine", False),
    "machine_end_beep": ("machine", True),
    "machine_end_silence": ("machine", True),
    "machine_end_other": ("machine", True),
    "beep_detected": ("machine", True),
    "prompt_ended": ("machine", True),
    "ended": ("machine", True),
    "fax": ("fax", False),
    "fax_detected": ("fax", False),
}
"""Twilio's and SignalWire's `AnsweredBy`, Telnyx' `result` of a detection and of the end of a greeting → who, and
whether a message is taken down from now on. Others (`unknown`, `not_sure`, `silence`, `no_beep_detected`) say
nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who it is, why, and how sure that is: 0..1."""

    who: Who
    reason: str
    confidence: float


def is_beep(tone: ToneHeard) -> bool:
    """Whether a tone is as long as a machine's beep; one that goes on is a line's or a fax machine's."""
    return _BEEP_MS <= tone.lasted_ms < _LONGEST_BEEP_MS


class Answerer:
    """Weighs what is heard of them. A verdict may be followed by another one."""

    def __init__(self, greeting: Callable[[str], Greeting], answered_ms: int) -> None:
        self.verdict: Verdict | None = None
        self._greeting = greeting
        self._answered_ms = answered_ms
        self._since_ms: int | None = None
        """Since when they have been talking, with pauses that are too short to answer in."""
        self._silent_ms: int | None = None
        """Since when they have been silent; None while the voice is on, or none was heard."""
        self._words: dict[str, str] = {}
        """Utterance → its words as far as they are known, of the same stretch."""
        self._awaited: dict[str, None] = {}
        """Utterances of it whose words are still to come."""
        self._heard_voice = False
        self._early = True
        """What they are saying began before we can have said anything that it would answer."""
        self._decided_ms = answered_ms
        self._told_person = False
        """The carrier says that it is one."""
        self._turns = 0
        """How often they have spoken and waited since they were taken for a person."""

    @property
    def who(self) -> Who | None:
        """Whom it is taken for; None as long as nobody knows."""
        return self.verdict.who if self.verdict is not None else None

    @property
    def silent_since_ms(self) -> int | None:
        """Since when they have been silent; None while they speak."""
        return self._silent_ms if self._since_ms is not None or self._heard_voice else self._answered_ms

    # --- what is heard ---

    def voice_on(self, utterance: str, at_ms: int) -> Verdict | None:
        """They have begun to speak, or go on."""
        verdict = self.due(at_ms)  # the pause may have been long enough, and nobody has asked
        if self._silent_ms is not None and at_ms - self._silent_ms >= _WAITED_MS:
            self._turns += self.who == "person"
            self._new_stretch()
        if self._since_ms is None:
            self._since_ms = at_ms
            first = self.who is None or not self._heard_voice
            self._early = first or at_ms - self._decided_ms <= _GOES_ON_MS
        self._silent_ms = None
        self._heard_voice = True
        self._awaited[utterance] = None
        return verdict

    def voice_off(self, at_ms: int) -> None:
        """They pause."""
        if self._since_ms is not None:
            self._silent_ms = max(at_ms, self._since_ms)

    def words(self, utterance: str, text: str, now_ms: int, *, final: bool) -> Verdict | None:
        """Words of theirs are known, or changed."""
        if final:
            self._awaited.pop(utterance, None)
        self._words[utterance] = text
        if self.who in (None, "person") and self._early and self._said is Greeting.RECORDED:
            return self._decide("machine", "a recording's words", 0.95, now_ms)
        return self.due(now_ms)

    def tone(self, tone: ToneHeard) -> Verdict | None:
        """A tone has come over the line."""
        if self._is_fax(tone):
            return self._decide("fax", f"a tone of {tone.hz} Hz", 0.95, tone.at_ms)
        late = self.who == "person" and (self._turns > 1 or tone.at_ms - self._answered_ms > _BEEP_LATE_MS)
        if is_beep(tone) and self.who != "machine" and not late:
            return self._decide("machine", f"a beep of {tone.hz} Hz", 0.9, tone.at_ms)
        return None

    def _is_fax(self, tone: ToneHeard) -> bool:
        answers = abs(tone.hz - _CED_HZ) <= _WITHIN_HZ and tone.lasted_ms >= _LONGEST_BEEP_MS
        calls = abs(tone.hz - _CNG_HZ) <= _WITHIN_HZ and _CNG_MS[0] <= tone.lasted_ms <= _CNG_MS[1]
        return answers or (calls and not self._heard_voice)

    def carrier(self, detected: CarrierDetected, now_ms: int) -> tuple[Verdict | None, bool]:
        """The carrier says who it is; returns what follows, and whether a message is taken down from now on."""
        who, ready = _WORDS_OF_CARRIERS.get(detected.answered_by, (None, False))
        if who is None or who == self.who:
            return None, ready
        if who == "person" and self.who is None and self._since_ms is not None and self._silent_ms is None:
            self._told_person = True  # they are let finish, and what they say may still be a recording's
            return None, False
        if who == "person" and self.who == "machine" and self._said is Greeting.RECORDED:
            return None, False  # we have heard it say so
        return self._decide(who, f"the carrier says {detected.answered_by}", 0.85, now_ms), ready

    def acts(self, reason: str, now_ms: int) -> Verdict | None:
        """They have done what no recording does."""
        return self._decide("person", reason, 0.9, now_ms) if self.who != "person" else None

    # --- time ---

    def deadline_ms(self) -> int | None:
        """When time alone decides, if nothing else happens."""
        since_ms, silent_ms = self._since_ms, self._silent_ms
        if self.who == "machine":
            corrects = silent_ms is not None and self._said is Greeting.LIVE and not self._awaited
            return silent_ms + _WAITED_MS if silent_ms is not None and corrects else None
        if self.who is not None:
            return None
        if since_ms is None:
            return self._answered_ms + _NOBODY_MS
        return since_ms + self._longest_ms if silent_ms is None else silent_ms + self._patience_ms

    def due(self, now_ms: int) -> Verdict | None:
        """Return what follows from the time that has passed."""
        deadline_ms = self.deadline_ms()
        if deadline_ms is None or now_ms < deadline_ms:
            return None
        if self.who == "machine":
            return self._decide("person", "they say what no recording does, and wait", 0.8, now_ms)
        if self._since_ms is None:
            return self._decide("person", "nobody says anything", 0.4, now_ms)
        if self._silent_ms is None:
            return self._decide("machine", "a voice that talks on", 0.7, now_ms)
        if self._said is Greeting.LIVE:
            return self._decide("person", "a greeting, and they wait", 0.9, now_ms)
        short = self._silent_ms - self._since_ms <= _SHORT_MS
        return self._decide("person", "they have spoken, and wait", 0.8 if short else 0.6, now_ms)

    @property
    def listen_at_ms(self) -> int | None:
        """When to have a voice transcribed that talks on; None where it pauses."""
        if self.who is not None or self._since_ms is None or self._silent_ms is not None:
            return None
        return self._since_ms + _LISTEN_AFTER_MS

    @property
    def _longest_ms(self) -> int:
        in_person = self._told_person or self._said is Greeting.LIVE
        return _TALKS_ON_IN_PERSON_MS if in_person else _TALKS_ON_MS

    @property
    def _patience_ms(self) -> int:
        if self._told_person:
            return _GREETED_MS
        if self._awaited:
            return _WORDLESS_MS
        return _GREETED_MS if self._said is Greeting.LIVE else _WAITED_MS

    @property
    def _said(self) -> Greeting:
        return self._greeting(" ".join(self._words.values()))

    def _new_stretch(self) -> None:
        self._since_ms = None
        self._words.clear()
        self._awaited.clear()

    def _decide(self, who: Who, reason: str, confidence: float, now_ms: int) -> Verdict:
        self._turns = 0
        self._decided_ms = now_ms
        self.verdict = Verdict(who, reason, confidence)
        return self.verdict
