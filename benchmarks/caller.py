"""A caller under load: listens, speaks, listens again, and every third time cuts in while the agent is speaking."""

from __future__ import annotations

from benchmarks.ear import SENTENCE_GAP_MS, Ear
from benchmarks.load_report import LoadReport
from voiceagent.audio import FRAME_MS

__all__ = ["Caller"]

SPEAKS_MS = 1_200
_CUTS_IN_AFTER_MS = 700
_CUTS_IN_FOR_MS = 800
_EVERY_NTH_CUTS_IN = 3
_GIVES_UP_MS = 8_000


class Caller:
    """Decides of every frame whether it is voice, by what was heard. Time is an argument, in ns of one clock."""

    def __init__(self, name: str, report: LoadReport, *, speaks_ms: int = SPEAKS_MS) -> None:
        self.name = name
        self.ear = Ear()
        self._report = report
        self._speaks_ms = speaks_ms
        self._turn = 0
        self._frames_left = 0
        self._spoken = 0
        self._speaking = False
        self._spoke_at_ns: int | None = None
        self._cutting_in_since_ns: int | None = None
        self._voice_ended_ns: int | None = None
        """Since when an answer is waited for."""

    def took_audio(self, length_ns: int, now_ns: int) -> None:
        """Hear audio of the agent's."""
        if self._voice_ended_ns is not None:
            self._report.answers_ms.append((now_ns - self._voice_ended_ns) / 1e6)
            self._report.audio_at_ns.setdefault(self.name, []).append(now_ns)
            self._voice_ended_ns = None
        before = self.ear.underruns
        self.ear.hear(length_ns, now_ns)
        self._report.underruns += self.ear.underruns - before

    def took_clear(self, now_ns: int) -> None:
        """Hear the agent fall silent."""
        self._report.clear_at_ns.setdefault(self.name, []).append(now_ns)
        if self._cutting_in_since_ns is not None:
            self._report.clears_ms.append((now_ns - self._cutting_in_since_ns) / 1e6)
            self._cutting_in_since_ns = None
        self.ear.clear(now_ns)

    def voice_at(self, now_ns: int) -> int | None:
        """Return which frame of its voice the next one is, from 0; None for silence. Asked once for every frame."""
        if self._frames_left:
            return self._next_frame()
        if self._speaking:
            self._speaking = False
            self._voice_ended_ns = now_ns
            self.ear.listen_anew()
            return None
        if self._spoke_at_ns is None:
            self._spoke_at_ns = now_ns  # the greeting is waited for as an answer is
        heard_ns, quiet_ms = self.ear.heard_from_ns, self.ear.quiet_ms(now_ns)
        if heard_ns is not None and self._wants_to_cut_in and now_ns - heard_ns >= _CUTS_IN_AFTER_MS * 1_000_000:
            frame = self._speak(_CUTS_IN_FOR_MS, now_ns)
            self._cutting_in_since_ns = now_ns
            return frame
        if heard_ns is not None and quiet_ms >= SENTENCE_GAP_MS:
            return self._speak(self._speaks_ms, now_ns)
        if min((now_ns - self._spoke_at_ns) // 1_000_000, quiet_ms) >= _GIVES_UP_MS:
            self._report.unanswered += 1
            return self._speak(self._speaks_ms, now_ns)
        return None

    @property
    def _wants_to_cut_in(self) -> bool:
        return self._turn % _EVERY_NTH_CUTS_IN == _EVERY_NTH_CUTS_IN - 1

    def _speak(self, ms: int, now_ns: int) -> int:
        self._turn += 1
        self._report.turns += 1
        self._report.steady_turns += 1
        if self._cutting_in_since_ns is not None:
            # A clear that comes now is none for that voice: it would count as one of several seconds.
            self._report.missed_barge_ins += 1
            self._cutting_in_since_ns = None
        self._spoke_at_ns = now_ns
        self._frames_left = ms // FRAME_MS
        self._spoken = 0
        self._speaking = True
        self._voice_ended_ns = None
        self.ear.listen_anew()
        return self._next_frame()

    def _next_frame(self) -> int:
        self._frames_left -= 1
        self._spoken += 1
        return self._spoken - 1
