"""Chains of recognizers and of synthesizers: who is asked, in which order, for how long, and what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from tests.faults.engines import Ear, Tongue
from voiceagent.audio import alaw_to_pcm16, level_dbfs, mulaw_to_pcm16
from voiceagent.errors import VoiceFailed
from voiceagent.ports import MULAW_8K, AudioFormat, Engines, WordsSpoken
from voiceagent.speech import EnergyVad, NullRecognizer, NullSynthesizer, with_fallbacks
from voiceagent.speech.canned import CannedPhrases
from voiceagent.speech.chain import RecognizerChain, SynthesizerChain
from voiceagent.testing.manual_clock import ManualClock

BROKEN = VoiceFailed("broken")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def in_time(work: Coroutine[Any, Any, Any], clock: ManualClock, *, every_ms: int = 100) -> Any:
    """Let the clock go on until it is done."""
    task = asyncio.ensure_future(work)
    while not task.done():
        for _ in range(8):
            await asyncio.sleep(0)
        clock.advance(every_ms)
    return await task


async def audio_of(handle: Any, text: str) -> bytes:
    return b"".join([piece async for piece in handle.speak(text)])


# --- ears ------------------------------------------------------------------------------------------------------------


def test_all_recognizers_have_been_asked_before_the_core_gives_the_utterance_up() -> None:
    clock = ManualClock()
    ears = Ear(None), Ear(None)
    handle = RecognizerChain(*ears, clock=clock).open(MULAW_8K, locale="en-US")
    began_ms = clock.now_ms()
    with pytest.raises(VoiceFailed, match="no transcript within 1750 ms; no transcript within 1750 ms"):
        run(in_time(handle.transcribe(b""), clock))
    assert clock.now_ms() - began_ms < 4_000
    assert [ear.opened for ear in ears] == [2, 2]


def test_a_recognizer_that_is_down_is_not_waited_for_by_other_calls_until_it_has_rested() -> None:
    clock = ManualClock()
    down, works = Ear(BROKEN), Ear("hello")
    chain = RecognizerChain(down, works, clock=clock)

    async def heard() -> str:
        return (await chain.open(MULAW_8K, locale="en-US").transcribe(b"")).text

    async def main() -> None:
        for _ in range(9):
            assert await heard() == "hello"
        assert down.asked == 5
        clock.advance(5_000)
        assert await heard() == "hello"
        assert await heard() == "hello"
        assert down.asked == 6, "one probe"

    run(main())


def test_a_recognizer_is_reopened_once_in_a_call() -> None:
    ear = Ear(BROKEN)
    handle = RecognizerChain(ear, clock=ManualClock()).open(MULAW_8K, locale="en-US")

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(VoiceFailed, match="broken"):
                await handle.transcribe(b"")

    run(main())
    assert (ear.opened, ear.closed) == (2, 1)


def test_it_is_healthy_while_one_of_them_is() -> None:
    first, second = Ear("a"), Ear("b")
    chain = RecognizerChain(first, second, clock=ManualClock())
    first.healthy = False
    assert chain.healthy
    second.healthy = False
    assert not chain.healthy


class Shut(Ear):
    """A recognizer that takes no calls."""

    def open(self, audio: Any, *, locale: str) -> Ear:
        raise RuntimeError("shut")


def test_a_recognizer_that_cannot_be_opened_is_left_out_wherever_it_stands() -> None:
    for ears in ((Ear("hello"), Shut("")), (Shut(""), Ear("hello"))):
        handle = RecognizerChain(*ears, clock=ManualClock()).open(MULAW_8K, locale="en-US")
        assert run(handle.transcribe(b"")).text == "hello"


def test_where_no_recognizer_can_be_opened_no_utterance_has_words() -> None:
    handle = RecognizerChain(Shut(""), clock=ManualClock()).open(MULAW_8K, locale="en-US")
    with pytest.raises(VoiceFailed, match="Shut cannot be opened"):
        run(handle.transcribe(b""))
    handle.close()


# --- mouth -----------------------------------------------------------------------------------------------------------


def test_the_second_voice_goes_on_and_stays_for_the_rest_of_the_call() -> None:
    first, second = Tongue(lambda text: "fifty" in text, dies_after_ms=700), Tongue(sound=b"\x2a")
    handle = SynthesizerChain(first, second, clock=ManualClock()).open(MULAW_8K, voice="anna", locale="en-US")
    said = run(audio_of(handle, "You have fifty dollars."))
    assert said == b"\x55" * 5_600 + b"\x2a" * len("fifty dollars.") * 65 * 8
    assert run(audio_of(handle, "Goodbye.")) == b"\x2a" * 8 * 65 * 8
    assert (first.voices[0], second.voices) == ("anna", [None]), "the flow's voice is the first engine's"


def test_a_voice_that_hangs_is_waited_for_a_second_and_a_half() -> None:
    clock = ManualClock()
    handle = SynthesizerChain(Tongue(lambda _: True, hangs=True), Tongue(), clock=clock).open(
        MULAW_8K, voice=None, locale="en-US"
    )
    began_ms = clock.now_ms()
    assert run(in_time(audio_of(handle, "Hello."), clock))
    assert 1_500 <= clock.now_ms() - began_ms <= 1_800


def test_without_a_voice_the_reasons_are_told() -> None:
    handle = SynthesizerChain(Tongue(lambda _: True), Tongue(lambda _: True), clock=ManualClock()).open(
        MULAW_8K, voice=None, locale="en-US"
    )
    with pytest.raises(VoiceFailed, match="the voice is dead; the voice is dead"):
        run(audio_of(handle, "Hello."))


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_what_was_rendered_ahead_needs_no_engine() -> None:
    tongue = Tongue(lambda _: True)
    canned = CannedPhrases(tongue)
    rendered = run(canned.render("I am sorry.", MULAW_8K, voice=None))
    handle = canned.open(MULAW_8K, voice=None, locale="en-US")
    assert run(audio_of(handle, "I am sorry.")) == rendered
    assert tongue.asked == []
    with pytest.raises(VoiceFailed):
        run(audio_of(handle, "Something else."))
    with pytest.raises(VoiceFailed):
        run(audio_of(canned.open(MULAW_8K, voice="anna", locale="en-US"), "I am sorry."))


def test_a_phrase_is_rendered_once_and_what_calls_say_is_not_kept() -> None:
    tongue = Tongue()
    canned = CannedPhrases(tongue)
    for _ in range(2):
        run(canned.render("I am sorry.", MULAW_8K, voice=None))
    assert tongue.rendered == ["I am sorry."]
    handle = canned.open(MULAW_8K, voice=None, locale="en-US")
    for _ in range(2):
        run(audio_of(handle, "You have fifty dollars."))
    assert len(tongue.asked) == 2


def test_e9_no_engine_is_given_markup() -> None:
    tongue = Tongue()
    engines = with_fallbacks(Engines(EnergyVad(), NullRecognizer(), tongue), clock=ManualClock())
    handle = engines.synthesizer.open(MULAW_8K, voice=None, locale="en-US")
    run(audio_of(handle, "<speak>**Hello** there.</speak>"))
    run(audio_of(handle, "<break/>"))
    assert tongue.asked == ["Hello there."]


# --- whether calls are taken -----------------------------------------------------------------------------------------


def test_while_the_only_voice_rests_no_call_would_be_spoken_to() -> None:
    clock = ManualClock()
    engines = with_fallbacks(Engines(EnergyVad(), NullRecognizer(), Tongue(lambda _: True)), clock=clock)

    async def says() -> None:
        with pytest.raises(VoiceFailed):
            await audio_of(engines.synthesizer.open(MULAW_8K, voice=None, locale="en-US"), "Hello.")

    for _ in range(4):
        run(says())
    assert engines.healthy, "so much may be chance"
    run(says())
    assert not engines.healthy
    clock.advance(5_000)
    assert engines.healthy, "the next call tries it"
    run(says())
    assert not engines.healthy


def test_while_the_only_recognizer_rests_no_call_would_be_heard() -> None:
    clock = ManualClock()
    chain = RecognizerChain(Ear(BROKEN), clock=clock)
    for _ in range(5):
        assert chain.healthy
        with pytest.raises(VoiceFailed):
            run(chain.open(MULAW_8K, locale="en-US").transcribe(b""))
    assert not chain.healthy


def test_a_voice_that_rests_keeps_no_call_out_while_another_one_speaks() -> None:
    dead, works = Tongue(lambda _: True), Tongue()
    chain = SynthesizerChain(dead, works, clock=ManualClock())
    for _ in range(9):
        run(audio_of(chain.open(MULAW_8K, voice=None, locale="en-US"), "Hello."))
    assert chain.healthy
    works.healthy = False
    assert not chain.healthy


# --- how loud, how fast, in which language ---------------------------------------------------------------------------


@pytest.mark.parametrize("audio_format", [MULAW_8K, AudioFormat("alaw", 8_000), AudioFormat("pcm16", 16_000)])
def test_what_is_said_softly_is_half_as_loud(audio_format: AudioFormat):
    canned = CannedPhrases(NullSynthesizer())
    run(canned.render("Mm-hm.", audio_format, voice=None, locale="en-US"))
    handle = canned.open(audio_format, voice=None, locale="en-US")

    async def said(text: str, *, softly: bool) -> float:
        audio = b"".join([piece async for piece in handle.speak(text, softly=softly)])
        as_pcm = {"mulaw": mulaw_to_pcm16, "alaw": alaw_to_pcm16, "pcm16": bytes}[audio_format.encoding]
        return level_dbfs(as_pcm(audio))

    for text in ("Mm-hm.", "I see."):  # rendered ahead, and not
        assert run(said(text, softly=False)) - run(said(text, softly=True)) == pytest.approx(6, abs=0.5)


def test_what_is_kept_is_kept_for_one_language_voice_and_pace():
    works = Tongue()
    canned = CannedPhrases(works)
    run(canned.render("Un momento.", MULAW_8K, voice="lucia", locale="es", speaking_rate=0.8))
    for manner in (
        {"voice": "lucia", "locale": "es", "speaking_rate": None},
        {"voice": "lucia", "locale": "en", "speaking_rate": 0.8},
        {"voice": None, "locale": "es", "speaking_rate": 0.8},
    ):
        run(audio_of(canned.open(MULAW_8K, **manner), "Un momento."))
    assert works.asked == ["Un momento."] * 3
    run(audio_of(canned.open(MULAW_8K, voice="lucia", locale="es", speaking_rate=0.8), "Un momento."))
    assert works.asked == ["Un momento."] * 3


def test_a_hum_is_as_fast_as_it_is_told():
    usual, fast = (
        run(NullSynthesizer().render("Hello there.", MULAW_8K, voice=None, speaking_rate=rate)) for rate in (None, 2.0)
    )
    assert len(usual) == 2 * len(fast)


def test_a_chain_has_the_languages_of_all_its_engines():
    first, second = Tongue(), Tongue()
    first.languages, second.languages = ("en",), ("es", "en")
    assert SynthesizerChain(first, second, clock=ManualClock()).languages == ("en", "es")


def test_beside_a_speech_model_nobody_asks_an_engine_for_that_models_voice():
    tongue = Tongue()
    given = Engines(EnergyVad(), NullRecognizer(), tongue)
    engines = with_fallbacks(given, clock=ManualClock(), beside_model=True)
    run(engines.synthesizer.render("Hello.", MULAW_8K, voice="marin", locale="en-US"))
    handle = engines.synthesizer.open(MULAW_8K, voice="cedar", locale="en-US")
    run(audio_of(handle, "Hello."))
    run(audio_of(handle, "Goodbye."))
    assert tongue.voices == [None]
    assert tongue.asked == ["Goodbye."]


# --- when words end --------------------------------------------------------------------------------------------------


class Knows:
    """A synthesizer that knows when what it says is over; fulfils engine and handle."""

    healthy = True
    languages = ("en",)

    def open(self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None) -> Knows:
        del audio, voice, locale, speaking_rate
        return self

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes | WordsSpoken]:
        del softly
        yield b"\x20" * 640
        yield WordsSpoken((text,), (70,))

    async def render(self, text: str, audio: AudioFormat, **manner: object) -> bytes:
        raise AssertionError("nothing is rendered ahead")

    def close(self) -> None:
        """Nothing is held."""


def test_when_words_end_is_counted_from_where_the_first_engine_began() -> None:
    dies = Tongue(lambda _: True, dies_after_ms=100)

    async def words() -> list[WordsSpoken]:
        handle = SynthesizerChain(dies, Knows(), clock=ManualClock()).open(MULAW_8K, voice=None, locale="en-US")
        return [piece async for piece in handle.speak("one two three") if isinstance(piece, WordsSpoken)]

    assert run(words()) == [WordsSpoken(("one two three",), (170,))]
