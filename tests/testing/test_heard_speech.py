"""What comes out of the caller's telephone is known to the word, whatever is dropped on its way."""

from __future__ import annotations

from voiceagent.core import effects as fx
from voiceagent.core.ids import UtteranceId
from voiceagent.testing.heard_speech import HeardSpeech
from voiceagent.testing.simulated_speech import SILENT_FRAME, SpokenAudio


class Telephone:
    """A caller's ear and, before it, what the core, the synthesizer and the line do."""

    def __init__(self) -> None:
        self.speech = SpokenAudio()
        self.heard = HeardSpeech(self.speech)

    def asks(self, text: str, utterance: str = "u1", clause: int = 0, kind: fx.SpeechKind = "reply") -> None:
        self.heard.asked(fx.Speak(UtteranceId(utterance), clause, text, kind, last=False))

    def spoken(self, text: str) -> tuple[int, bytes]:
        number = self.heard.begins(text, self.speech.sayings)
        return number, self.speech.say(text, len(text) * 65)


def test_a_word_is_heard_when_its_last_sound_is() -> None:
    phone = Telephone()
    phone.asks("one two")
    _, audio = phone.spoken("one two")
    phone.heard.played(audio, 1_000)
    assert phone.heard.voice.heard(0, 1_000 + 3 * 65) == "one"
    assert phone.heard.voice.end_of("two", 0) == 1_000 + 7 * 65


def test_audio_in_frames_is_one_clause_and_silence_is_none() -> None:
    phone = Telephone()
    phone.asks("one two")
    _, audio = phone.spoken("one two")
    for number, frame in enumerate((SILENT_FRAME, audio[:1_600], audio[1_600:] + SILENT_FRAME)):
        phone.heard.played(frame, (0, 20, 220)[number])
    (clause,) = phone.heard.voice.said
    assert (clause.text, clause.starts_ms, clause.ends_ms) == ("one two", 20, 20 + 7 * 65)


def test_what_is_cut_was_not_heard() -> None:
    phone = Telephone()
    phone.asks("one two three")
    phone.asks("four", clause=1)
    for text in ("one two three", "four"):
        phone.heard.played(phone.spoken(text)[1], 0 if text != "four" else 13 * 65)
    phone.heard.cut(8 * 65)
    assert phone.heard.voice.heard(0, 9_999) == "one two"


def test_a_clause_that_was_dropped_before_it_was_spoken_still_counts() -> None:
    phone = Telephone()
    phone.asks("One moment.", "u1", kind="filler")
    phone.heard.asked(fx.StopPlayout())
    phone.asks("One moment.", "u2")
    number, audio = phone.spoken("One moment.")
    phone.heard.played(audio, 0)
    assert number == 2
    assert [(clause.utterance, clause.kind) for clause in phone.heard.voice.said] == [("u2", "reply")]


def test_what_nobody_asked_for_is_no_clause() -> None:
    phone = Telephone()
    number, audio = phone.spoken("rendered ahead")
    phone.heard.played(audio, 0)
    assert number == 0
    assert phone.heard.voice.said == []
