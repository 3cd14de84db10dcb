"""Simulated speech: whatever is cut out of it says which words are in it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.errors import ScriptError
from voiceagent.ports import MULAW_8K, AudioFormat, SpeechOff, SpeechOn
from voiceagent.testing.simulated_speech import (
    SILENT_FRAME,
    SimulatedRecognizer,
    SimulatedSynthesizer,
    SimulatedVad,
    SpokenAudio,
)
from voiceagent.testing.virtual_loop import run_virtual

MS = MULAW_8K.bytes_per_ms
SENTENCE = "my number is four five one nine"


def test_a_whole_saying_has_all_its_words() -> None:
    speech = SpokenAudio()
    audio = speech.say(SENTENCE, 2_000)
    assert len(audio) == 2_000 * MS
    assert speech.words_in(SILENT_FRAME * 3 + audio + SILENT_FRAME) == SENTENCE


def test_what_is_cut_off_has_the_words_before_and_what_is_left_those_after() -> None:
    speech = SpokenAudio()
    audio = speech.say("one two six ten", 1_500)
    assert speech.words_in(audio[: 750 * MS]) == "one two"
    assert speech.words_in(audio[750 * MS :]) == "six ten"


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=9), st.floats(0, 1))
def test_no_word_is_lost_or_doubled_wherever_audio_is_cut(words: list[str], part: float) -> None:
    speech = SpokenAudio()
    audio = speech.say(" ".join(words), 65 * len(" ".join(words)))
    cut = int(part * len(audio)) // MS * MS
    both = f"{speech.words_in(audio[:cut])} {speech.words_in(audio[cut:])}"
    assert both.split() == words


def test_several_sayings_are_told_in_the_order_of_the_audio() -> None:
    speech = SpokenAudio()
    first, second = speech.say("first", 300), speech.say("second", 300)
    assert speech.words_in(second + SILENT_FRAME + first) == "second first"


def test_a_noise_is_heard_and_has_no_words() -> None:
    speech = SpokenAudio()
    noise = speech.say("", 200)
    assert speech.words_in(noise) == ""
    assert SimulatedVad().open(MULAW_8K).feed(noise) == [SpeechOn(0)]


def test_voice_is_noticed_where_it_begins_and_ends_however_the_audio_is_cut() -> None:
    audio = SILENT_FRAME * 10 + SpokenAudio().say(SENTENCE, 1_000) + SILENT_FRAME * 15
    for piece in (160, 1_000, 1_601, len(audio)):
        vad = SimulatedVad().open(MULAW_8K)
        changes = [change for begin in range(0, len(audio), piece) for change in vad.feed(audio[begin : begin + piece])]
        assert changes == [SpeechOn(200), SpeechOff(1_200)]


def test_the_recognizer_understands_after_its_while() -> None:
    speech = SpokenAudio()
    recognizer = SimulatedRecognizer(speech, transcript_ms=150).open(MULAW_8K, locale="en-US")

    async def understand() -> tuple[str, float]:
        heard = await recognizer.transcribe(speech.say(SENTENCE, 2_000))
        return heard.text, asyncio.get_running_loop().time()

    assert run_virtual(understand()) == (SENTENCE, 0.15)


def test_a_voice_gives_a_second_of_audio_at_a_time_and_at_once_what_was_rendered_ahead() -> None:
    speech = SpokenAudio()
    engine = SimulatedSynthesizer(speech, synthesis_ms=60)
    voice = engine.open(MULAW_8K, voice=None, locale="en-US")

    async def speak(text: str) -> tuple[list[int], float]:
        began = asyncio.get_running_loop().time()
        pieces = [piece async for piece in voice.speak(text) if isinstance(piece, bytes)]
        assert speech.words_in(b"".join(pieces)) == text
        return [len(piece) // MS for piece in pieces], asyncio.get_running_loop().time() - began

    async def ahead() -> tuple[list[int], float]:
        await engine.render(SENTENCE, MULAW_8K, voice=None)
        return await speak(SENTENCE)

    lengths, took = run_virtual(speak(SENTENCE))
    assert lengths == [1_000, 1_000, 15]
    assert took == pytest.approx(0.18)
    assert run_virtual(ahead()) == (lengths, 0.0)


def test_other_audio_than_a_telephones_is_refused() -> None:
    with pytest.raises(ScriptError, match="µ-law at 8 kHz"):
        SimulatedVad().open(AudioFormat("pcm16", 16_000))
