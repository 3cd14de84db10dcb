"""What a journal tells of a call: how long the caller sat in silence, and what they heard of each sentence."""

from __future__ import annotations

from pathlib import Path

from voiceagent.core.codec import encode_event, encode_outgoing
from voiceagent.core.effects import Effect, ModelRequest, NoteDecision, Outgoing, Speak, SpeechKind, SwapPhase
from voiceagent.core.events import (
    CallerPaused,
    CallerStartedSpeaking,
    CallStarted,
    Event,
    PlayoutReached,
    PlayoutStarted,
    PlayoutStopped,
    SpeechQueued,
    TimePassed,
    TranscriptFinal,
)
from voiceagent.core.ids import CallId, Epoch, TurnId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.runtime.call_summary import FloorSeen
from voiceagent.runtime.inspection import CallSummary, inspect_journal
from voiceagent.runtime.journal_file import Journal, encode_header, header_of, read_journal
from voiceagent.spec.flow import Flow
from voiceagent.spec.manner import Manner
from voiceagent.spec.phase import HangUpAfter, Phase, Say

_FLOW = Flow(
    name="shop",
    initial="bye",
    phases=(Phase(name="bye", on_enter=Say(text="Bye."), ends=HangUpAfter()),),
)


class Recorded:
    """A journal in the making: what is said and heard, at which moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        header = header_of(_FLOW, Inherited(CallId("c")), time_zone="UTC", unix_ms=0)
        self._lines = [encode_header(header)]
        self._sequence = 0
        self.happens(0, CallStarted("en-US", "UTC", 0))

    def happens(self, at_ms: int, event: Event, *effects: Effect) -> None:
        self._lines.append(encode_event(event, at_ms))
        for effect in effects:
            self._sequence += 1
            self._lines.append(encode_outgoing(Outgoing(self._sequence, Epoch(1), TurnId(1), effect)))

    def caller_speaks(self, from_ms: int, until_ms: int, words: str = "Hello?") -> None:
        utterance = UtteranceId(f"c{from_ms}")
        self.happens(from_ms, CallerStartedSpeaking(utterance, from_ms))
        self.happens(until_ms, CallerPaused(utterance, until_ms))
        self.happens(until_ms, TranscriptFinal(utterance, words))

    def agent_begins(self, name: str, at_ms: int, length_ms: int, words: str, kind: SpeechKind = "reply") -> None:
        utterance = UtteranceId(name)
        self.happens(at_ms, TimePassed(), Speak(utterance, 0, words, kind, last=True))
        self.happens(at_ms, SpeechQueued(utterance, 0, length_ms))
        self.happens(at_ms, PlayoutStarted(utterance, at_ms))

    def agent_speaks(
        self, name: str, from_ms: int, until_ms: int, words: str = "Yes.", kind: SpeechKind = "reply"
    ) -> None:
        self.agent_begins(name, from_ms, until_ms - from_ms, words, kind)
        self.happens(until_ms, PlayoutReached(UtteranceId(name), 0, until_ms - from_ms, finished=True))

    def enters_spanish_phase(self, at_ms: int) -> None:
        request = ModelRequest("envios", Epoch(2), "", "", (), (), {}, unix_ms=at_ms)
        self.happens(at_ms, TimePassed(), SwapPhase(request, Manner("es-ES")))

    def journal(self) -> Journal:
        self._path.write_bytes(b"\n".join([*self._lines, b""]))
        return read_journal(self._path)

    def summary(self) -> CallSummary:
        return inspect_journal(self.journal())


def test_dead_air_is_silence_in_which_the_caller_waits_for_the_agent(tmp_path: Path) -> None:
    call = Recorded(tmp_path / "c.jsonl")
    call.caller_speaks(1_000, 2_000)
    call.agent_speaks("a1", 2_700, 4_000)
    assert call.summary().longest_dead_air_ms == 700


def test_a_pause_of_the_callers_own_is_no_dead_air(tmp_path: Path) -> None:
    call = Recorded(tmp_path / "c.jsonl")
    call.agent_speaks("a1", 0, 1_000)
    call.caller_speaks(9_000, 10_000)
    call.caller_speaks(16_000, 17_000)
    call.agent_speaks("a2", 17_500, 18_000)
    assert call.summary().longest_dead_air_ms == 500


def test_an_agent_that_asks_a_silent_caller_whether_they_are_there_has_kept_nobody_waiting(tmp_path: Path) -> None:
    call = Recorded(tmp_path / "c.jsonl")
    call.agent_speaks("a1", 0, 1_000)
    call.agent_speaks("a2", 9_000, 10_000, "Are you still there?")
    assert call.summary().longest_dead_air_ms == 0


def test_what_follows_a_filler_is_waited_for_as_well(tmp_path: Path) -> None:
    call = Recorded(tmp_path / "c.jsonl")
    call.caller_speaks(1_000, 2_000)
    call.agent_speaks("a1", 2_900, 3_500, "One moment.", "filler")
    call.agent_speaks("a2", 5_600, 6_000)
    assert call.summary().longest_dead_air_ms == 2_100


def cut_off(tmp_path: Path, heard_ms: int, kind: SpeechKind = "reply") -> str:
    call = Recorded(tmp_path / "c.jsonl")
    call.agent_begins("a1", 0, 1_000, "Good morning.", kind)
    call.happens(heard_ms, PlayoutStopped(UtteranceId("a1"), heard_ms, exact=True))
    return call.summary().transcript[-1][1]


def test_a_transcript_says_what_was_not_heard(tmp_path: Path) -> None:
    assert cut_off(tmp_path, 500) == "Good — [not heard: morning.]"


def test_a_sentence_that_was_cut_off_before_its_first_word_was_not_heard(tmp_path: Path) -> None:
    assert cut_off(tmp_path, 100) == "— [not heard: Good morning.]"
    assert cut_off(tmp_path, 100, "filler") == "— [not heard: Good morning.]"


def test_a_sentence_that_was_cut_off_behind_its_last_word_lacks_nothing(tmp_path: Path) -> None:
    assert cut_off(tmp_path, 1_000) == "Good morning. —"


def test_what_was_heard_is_measured_in_the_language_of_the_phase(tmp_path: Path) -> None:
    call = Recorded(tmp_path / "c.jsonl")
    call.enters_spanish_phase(0)
    call.agent_begins("a1", 0, 3_000, "Usted debe 1999 euros.")
    call.happens(2_200, PlayoutStopped(UtteranceId("a1"), 2_200, exact=True))
    assert call.summary().transcript[-1][1] == "Usted debe — [not heard: 1999 euros.]"


def test_why_a_turn_was_taken_to_be_over_is_told(tmp_path: Path) -> None:
    call = Recorded(tmp_path / "call.jsonl")
    call.caller_speaks(1_000, 2_000)
    call.happens(2_500, TimePassed(), NoteDecision("turn over", "the sentence is complete", 500))
    assert call.summary().floor == [FloorSeen(2_500, "turn over", "the sentence is complete", 500)]
