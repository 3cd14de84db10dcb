"""A voice on this machine: sentence by sentence, each rendered once."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from voiceagent.audio import mulaw_energy, mulaw_to_pcm16
from voiceagent.errors import OperatorError, VoiceFailed, WeightsError
from voiceagent.language import language_for
from voiceagent.ports import MULAW_8K, AudioFormat, SynthesizerEngine, WordsSpoken

pytestmark = pytest.mark.engines


def spoken(engine: SynthesizerEngine, text: str, audio_format: AudioFormat = MULAW_8K) -> list[bytes]:
    async def call() -> list[bytes]:
        handle = engine.open(audio_format, voice=None, locale="en-US")
        pieces = [piece async for piece in handle.speak(text) if isinstance(piece, bytes)]
        handle.close()
        return pieces

    return asyncio.run(call())


def words_of(engine: SynthesizerEngine, text: str) -> list[tuple[str, int]]:
    """Each word of a text and when it ends."""

    async def call() -> list[tuple[str, int]]:
        handle = engine.open(MULAW_8K, voice=None, locale="en-US")
        told = [piece async for piece in handle.speak(text) if isinstance(piece, WordsSpoken)]
        handle.close()
        return [word for piece in told for word in zip(piece.words, piece.ends_ms, strict=True)]

    return asyncio.run(call())


def understood(recognizer, audio: bytes) -> str:
    async def call() -> str:
        return (await recognizer.open(MULAW_8K, locale="en-US").transcribe(audio)).text

    return asyncio.run(call())


@pytest.mark.parametrize(
    "text",
    [
        "Your balance is ready to be read.",
        "Thank you for waiting, I have found your account.",
        "Would you like to hear the last three transactions?",
    ],
)
def test_what_it_says_can_be_understood(text: str, hibari, moonshine):
    heard = understood(moonshine, b"".join(spoken(hibari, text)))
    said = re.findall(r"[a-z]+", text.lower().replace("three", ""))
    assert [word for word in said if word not in heard.lower()] == []


def test_an_account_number_is_said_digit_by_digit(hibari, moonshine):
    heard = understood(moonshine, b"".join(spoken(hibari, "The account ends in 4519.")))
    assert language_for("en-US").digits(heard) == "4519"


def test_every_sentence_is_a_piece(hibari):
    pieces = spoken(hibari, "One moment. I am looking. Here it is.")
    assert len(pieces) == 3
    assert all(500 < len(piece) // MULAW_8K.bytes_per_ms < 3000 for piece in pieces)


def test_a_piece_begins_and_ends_in_silence_so_that_joins_do_not_click(hibari):
    from voiceagent.speech.samples import from_bytes

    for piece in spoken(hibari, "One moment. I am looking."):
        samples = from_bytes(piece, MULAW_8K)
        assert abs(samples[:8]).max() < 0.02
        assert abs(samples[-8:]).max() < 0.02


@pytest.mark.parametrize(("text", "pause_ms"), [("It is done.", 250), ("No problem,", 100), ("Is it?", 250)])
def test_the_caller_waits_for_no_silence_of_the_voice_and_for_no_more_than_a_pause_after_it(
    text: str, pause_ms: int, hibari
):
    import numpy as np

    from voiceagent.speech.samples import from_bytes

    (piece,) = spoken(hibari, text)
    heard = np.flatnonzero(np.abs(from_bytes(piece, MULAW_8K)) > 0.01) / 8
    assert heard[0] < 60
    silent_ms = len(piece) / MULAW_8K.bytes_per_ms - heard[-1]
    assert pause_ms <= silent_ms < pause_ms + 200


@pytest.mark.parametrize("text", ["", " ", "…"])
def test_nothing_to_say_is_no_audio(text: str, hibari):
    assert spoken(hibari, text) == []


@pytest.mark.parametrize("audio_format", [AudioFormat("pcm16", 16000), AudioFormat("alaw", 8000)])
def test_other_formats_last_as_long(audio_format: AudioFormat, hibari):
    telephone_ms = len(b"".join(spoken(hibari, "One moment."))) / MULAW_8K.bytes_per_ms
    other_ms = len(b"".join(spoken(hibari, "One moment.", audio_format))) / audio_format.bytes_per_ms
    assert other_ms == pytest.approx(telephone_ms, abs=1)


def test_a_sentence_of_a_call_is_kept_for_nobody(hibari):
    first, again = spoken(hibari, "You have three dollars."), spoken(hibari, "You have three dollars.")
    assert again == first
    assert again[0] is not first[0]


def test_a_sentence_rendered_ahead_comes_from_the_cache(hibari):
    asyncio.run(hibari.render("Let me check that. One moment.", MULAW_8K, voice=None))
    first, again = (spoken(hibari, "Let me check that. One moment.") for _ in range(2))
    assert [piece is other for piece, other in zip(first, again, strict=True)] == [True, True]


def test_a_filler_rendered_ahead_is_there_when_it_is_said(hibari):
    ahead = asyncio.run(hibari.render("Still looking, bear with me.", MULAW_8K, voice=None))
    assert spoken(hibari, "Still looking, bear with me.")[0] == ahead


def test_two_calls_that_say_the_same_share_the_work(hibari):
    async def both() -> list[bytes]:
        rendering = (hibari.render("Welcome to the bank of examples.", MULAW_8K, voice=None) for _ in range(2))
        return await asyncio.gather(*rendering)

    first, second = asyncio.run(both())
    assert first is second


def test_a_caller_who_hangs_up_does_not_take_the_sentence_from_another(hibari):
    text = "Your request has been passed on to a colleague."

    async def two_calls() -> bytes:
        gone = asyncio.create_task(hibari.render(text, MULAW_8K, voice=None))
        stays = asyncio.create_task(hibari.render(text, MULAW_8K, voice=None))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert len(asyncio.run(two_calls())) > 1000 * MULAW_8K.bytes_per_ms


def test_two_calls_never_get_each_others_words(hibari, moonshine):
    sentences = ["I have blocked your card.", "The transfer is done.", "Goodbye for now.", "Please hold the line."]

    async def all_calls() -> list[bytes]:
        return await asyncio.gather(*(hibari.render(text, MULAW_8K, voice=None) for text in sentences))

    for text, audio in zip(sentences, asyncio.run(all_calls()), strict=True):
        assert understood(moonshine, audio).lower().strip(".!") == text.lower().strip(".")


def test_a_closed_call_falls_silent(hibari):
    async def call() -> list[bytes]:
        handle = hibari.open(MULAW_8K, voice=None, locale="en-US")
        pieces: list[bytes] = []
        async for piece in handle.speak("This is heard. This is not. Nor is this."):
            pieces.append(piece)
            handle.close()
        return pieces

    assert len(asyncio.run(call())) == 1


def test_a_call_closed_while_a_sentence_is_rendered_does_not_get_it(hibari):
    async def call() -> list[bytes]:
        handle = hibari.open(MULAW_8K, voice=None, locale="en-US")

        async def pieces() -> list[bytes]:
            return [piece async for piece in handle.speak("Nobody has asked for this before.")]

        rendering = asyncio.create_task(pieces())
        await asyncio.sleep(0)
        handle.close()
        return await rendering

    assert asyncio.run(call()) == []


def test_the_cache_is_bounded_and_a_forgotten_sentence_sounds_the_same_again():
    from voiceagent.speech.hibari import HibariSynthesizer

    engine = HibariSynthesizer(workers=1, cache_bytes=10_000)
    first, _, again = (
        asyncio.run(engine.render(text, MULAW_8K, voice=None))
        for text in ("One moment.", "Another moment.", "One moment.")
    )
    engine.close()
    assert again is not first
    assert again == first


def test_a_closed_engine_says_so():
    from voiceagent.speech.hibari import HibariSynthesizer

    engine = HibariSynthesizer()
    engine.close()
    with pytest.raises(VoiceFailed, match="closed"):
        spoken(engine, "Hello?")


def test_an_unknown_voice_or_language_is_refused_at_once(hibari):
    with pytest.raises(OperatorError, match="'heart' only, not 'bella'"):
        hibari.open(MULAW_8K, voice="bella", locale="en-US")
    with pytest.raises(OperatorError, match="speaks English, not 'fr'"):
        hibari.open(MULAW_8K, voice=None, locale="fr")


def test_a_tampered_voice_is_refused(tmp_path: Path):
    import hibari

    from voiceagent.speech.hibari import HibariSynthesizer

    copy = Path(shutil.copy(Path(hibari.__file__).parent / "assets" / "hibari.onnx", tmp_path))
    with copy.open("r+b") as file:
        file.seek(100_000)
        file.write(b"tampered")
    with pytest.raises(WeightsError, match=r"hibari\.onnx has sha256"):
        HibariSynthesizer(weights_dir=tmp_path)


# --- how fast it speaks ----------------------------------------------------------------------------------------------

TOLD = "Thank you for waiting, I have found your account."


def told_at(engine: SynthesizerEngine, rate: float | None) -> bytes:
    return asyncio.run(engine.render(TOLD, MULAW_8K, voice=None, speaking_rate=rate))


@pytest.mark.parametrize("rate", [0.7, 0.85, 1.25, 1.6])
def test_it_speaks_as_fast_as_it_is_told(rate: float, hibari):
    usual = told_at(hibari, None)
    assert len(usual) / len(told_at(hibari, rate)) == pytest.approx(rate, rel=0.12)


@pytest.mark.parametrize("rate", [0.7, 1.5])
def test_another_pace_is_the_same_voice_at_the_same_pitch(rate: float, hibari):
    usual, other = (pitch_hz(told_at(hibari, at)) for at in (None, rate))
    assert other == pytest.approx(usual, rel=0.12)


def test_what_it_says_slowly_and_fast_can_be_understood(hibari, moonshine):
    for rate in (0.7, 1.4):
        assert "found your account" in understood(moonshine, told_at(hibari, rate)).lower()


def test_the_pace_is_part_of_what_is_kept(hibari):
    slow = told_at(hibari, 0.8)
    assert told_at(hibari, None) != slow
    assert told_at(hibari, 0.8) == slow


def pitch_hz(audio: bytes) -> float:
    """Return the median pitch of a voice, by autocorrelation of its loud stretches."""
    numpy = pytest.importorskip("numpy")
    samples = numpy.frombuffer(mulaw_to_pcm16(audio), dtype="<i2").astype("float64")
    found = []
    for begin in range(0, len(samples) - 400, 200):
        window = samples[begin : begin + 400]
        if numpy.abs(window).mean() < 1_500:
            continue
        same = numpy.correlate(window - window.mean(), window - window.mean(), "full")[399:]
        lag = int(numpy.argmax(same[20:114])) + 20  # 70 to 400 Hz
        if same[lag] > 0.5 * same[0]:
            found.append(8_000 / lag)
    return float(numpy.median(found))


# --- when words end --------------------------------------------------------------------------------------------------


def loud_ms(audio: bytes) -> list[bool]:
    """Whether each 10 ms of µ-law is heard."""
    return [mulaw_energy(audio[at : at + 80]) > 60 for at in range(0, len(audio) - 79, 80)]


@pytest.mark.parametrize(
    "text",
    [
        "Hello there, your balance is twenty-five dollars.",
        "Your appointment, Mister Miller, is on Thursday. Please bring your card, and your letter.",
        "There are 1,250 people in room 12B, and 37 of them wait since 3:30 pm.",
    ],
)
def test_every_word_is_told_and_ends_in_order(text: str, hibari):
    words = words_of(hibari, text)
    assert [word for word, _ in words] == text.split()
    ends_ms = [end_ms for _, end_ms in words]
    assert ends_ms == sorted(ends_ms)
    assert ends_ms[0] > 0


def test_a_word_before_a_pause_ends_where_the_pause_begins(hibari):
    text = "I found your account; it is ready."
    loud = loud_ms(b"".join(spoken(hibari, text)))
    ends = dict(words_of(hibari, text))
    pauses = [at for at in range(5, len(loud) - 4) if loud[at - 1] and not any(loud[at : at + 4])]
    assert min(abs(ends["account;"] - at * 10) for at in pauses) <= 60
    assert min(abs(ends["ready."] - at * 10) for at in pauses) <= 60


def test_audio_up_to_a_word_s_end_has_this_word_and_not_the_next(hibari, moonshine):
    text = "Your appointment with the doctor is on Thursday morning at the hospital."
    audio, ends = b"".join(spoken(hibari, text)), dict(words_of(hibari, text))
    heard = understood(moonshine, audio[: ends["doctor"] * MULAW_8K.bytes_per_ms] + b"\xff" * 4_000).lower()
    assert "doctor" in heard
    assert "thursday" not in heard


def test_what_was_rendered_ahead_has_its_words_as_well(hibari):
    asyncio.run(hibari.render("We are looking it up.", MULAW_8K, voice=None))
    assert [word for word, _ in words_of(hibari, "We are looking it up.")] == ["We", "are", "looking", "it", "up."]
