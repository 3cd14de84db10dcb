"""Words from audio, on this machine, one utterance after the other, each to its own call."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from voiceagent.errors import OperatorError, VoiceFailed, WeightsError
from voiceagent.language import language_for
from voiceagent.ports import MULAW_8K, AudioFormat, RecognizerEngine, RecognizerHandle

pytestmark = pytest.mark.engines


def hear(engine: RecognizerEngine, audio: bytes, audio_format: AudioFormat = MULAW_8K) -> str:
    async def call() -> str:
        handle = engine.open(audio_format, locale="en-US")
        heard = await handle.transcribe(audio)
        handle.close()
        return heard.text

    return asyncio.run(call())


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


PLAIN = ["01", "02", "06", "09", "10", "12", "13", "15", "16", "17", "20"]


@pytest.mark.parametrize("number", PLAIN)
def test_a_recorded_caller_is_understood(number: str, moonshine, utterance, texts: dict[str, str]):
    assert words(hear(moonshine, utterance(number))) == words(texts[number])


@pytest.mark.parametrize(("number", "digits"), [("03", "4519227"), ("04", "1234"), ("18", "55501987642")])
def test_spoken_digits_arrive(number: str, digits: str, moonshine, utterance):
    assert language_for("en-US").digits(hear(moonshine, utterance(number))) == digits


def test_microphone_audio_is_understood(moonshine, utterance, texts: dict[str, str]):
    microphone = AudioFormat("pcm16", 16000)
    assert words(hear(moonshine, utterance("16", microphone), microphone)) == words(texts["16"])


@pytest.mark.parametrize(
    "audio",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff" * 8000, id="a second of silence"),
        pytest.param(b"\xff" * 4000 + b"\x20" * 400 + b"\xff" * 4000, id="a knock of 50 ms"),
    ],
)
def test_what_is_too_short_for_a_word_is_noise(audio: bytes, moonshine):
    assert hear(moonshine, audio) == ""


def test_hiss_never_becomes_a_sentence(moonshine):
    import numpy as np

    from voiceagent.speech.samples import to_bytes

    hiss = np.random.default_rng(7).normal(0, 0.05, 16000).astype(np.float32)
    assert hear(moonshine, to_bytes(hiss, MULAW_8K)) == ""


def test_calls_at_the_same_time_get_their_own_words(moonshine, utterance, texts: dict[str, str]):
    said = {number: utterance(number) for number in ("02", "06", "13", "16")}

    async def caller(audio: bytes) -> list[str]:
        handle = moonshine.open(MULAW_8K, locale="en-US")
        return [(await handle.transcribe(audio)).text for _ in range(3)]

    async def all_callers() -> list[list[str]]:
        return await asyncio.gather(*(caller(audio) for audio in said.values()))

    for number, heard in zip(said, asyncio.run(all_callers()), strict=True):
        assert [words(text) for text in heard] == [words(texts[number])] * 3


async def started(handle: RecognizerHandle, audio: bytes) -> asyncio.Task[str]:
    """Return a transcription that has reached the worker's queue."""

    async def text() -> str:
        return (await handle.transcribe(audio)).text

    task = asyncio.create_task(text())
    await asyncio.sleep(0)
    return task


def test_a_call_that_ends_gets_no_words_and_no_error(moonshine, utterance):
    audio = utterance("06")

    async def call() -> list[str]:
        handle = moonshine.open(MULAW_8K, locale="en-US")
        under_way = [await started(handle, audio) for _ in range(3)]
        handle.close()
        return await asyncio.gather(*under_way)

    assert asyncio.run(call()) == ["", "", ""]


def test_an_abandoned_transcription_does_not_disturb_the_next(moonshine, utterance, texts: dict[str, str]):
    first, second = utterance("16"), utterance("06")

    async def call() -> str:
        handle = moonshine.open(MULAW_8K, locale="en-US")
        abandoned = await started(handle, first)
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        return (await handle.transcribe(second)).text

    assert words(asyncio.run(call())) == words(texts["06"])


def test_more_calls_than_can_be_served_are_told_so(moonshine):
    async def crowd() -> list[object]:
        handle = moonshine.open(MULAW_8K, locale="en-US")
        waiting = (handle.transcribe(b"\xff" * 160) for _ in range(40))
        return await asyncio.gather(*waiting, return_exceptions=True)

    refused = [outcome for outcome in asyncio.run(crowd()) if isinstance(outcome, VoiceFailed)]
    assert len(refused) == 8
    assert "32 utterances wait" in str(refused[0])
    assert hear(moonshine, b"\xff" * 160) == ""


def test_only_english_is_heard(moonshine):
    with pytest.raises(OperatorError, match="hears English, not 'de-DE'"):
        moonshine.open(MULAW_8K, locale="de-DE")


def test_a_transcription_that_takes_too_long_fails_and_so_does_one_after_closing(utterance):
    from voiceagent.speech.moonshine import MoonshineRecognizer

    engine = MoonshineRecognizer(deadline_ms=0)
    with pytest.raises(VoiceFailed, match="no transcript after 0 ms"):
        hear(engine, utterance("06"))
    engine.close()
    with pytest.raises(VoiceFailed, match="closed"):
        hear(engine, utterance("06"))


class _Stuck:
    """A model that does not come to the end of an utterance until it is let."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def transcribe_without_streaming(self, audio: list[float], rate_hz: int) -> object:
        del audio, rate_hz
        self.go_on.wait()
        raise RuntimeError("nobody wants it any more")

    def close(self) -> None:
        """Nothing is held."""


async def expire(engine: RecognizerEngine, audio: bytes, count: int) -> None:
    handle = engine.open(MULAW_8K, locale="en-US")
    for _ in range(count):
        with pytest.raises(VoiceFailed, match="no transcript after"):
            await handle.transcribe(audio)


def test_a_model_that_is_stuck_is_reported_and_replaced(utterance, texts: dict[str, str]):
    from voiceagent.speech.moonshine import MoonshineRecognizer

    engine = MoonshineRecognizer(deadline_ms=50)
    stuck = engine._decoder._model = _Stuck()
    audio = utterance("06")

    async def call() -> str:
        await expire(engine, audio, 2)
        assert engine.healthy, "so much may be chance"
        await expire(engine, audio, 1)
        assert not engine.healthy
        async with asyncio.timeout(20):
            while not engine.healthy:  # noqa: ASYNC110  it says nothing when it is
                await asyncio.sleep(0.05)
        engine._deadline_ms = 5_000
        return (await engine.open(MULAW_8K, locale="en-US").transcribe(audio)).text

    assert words(asyncio.run(call())) == words(texts["06"])
    stuck.go_on.set()
    engine.close()


def test_a_crowd_that_a_working_model_cannot_serve_in_time_does_not_count_as_stuck(utterance):
    from voiceagent.speech.moonshine import MoonshineRecognizer

    engine = MoonshineRecognizer(deadline_ms=1_000)
    engine.warm_up()
    audio = utterance("16")

    async def crowd() -> list[object]:
        handle = engine.open(MULAW_8K, locale="en-US")
        return await asyncio.gather(*(handle.transcribe(audio) for _ in range(30)), return_exceptions=True)

    late = [outcome for outcome in asyncio.run(crowd()) if isinstance(outcome, VoiceFailed)]
    assert len(late) > 3
    assert engine.healthy
    engine.close()


def test_a_decode_that_never_ends_does_not_keep_the_process_from_ending():
    program = """
import asyncio, threading
from voiceagent.errors import VoiceFailed
from voiceagent.ports import MULAW_8K
from voiceagent.speech.moonshine import MoonshineRecognizer
engine = MoonshineRecognizer(deadline_ms=50)
engine._decoder._model.transcribe_without_streaming = lambda *_: threading.Event().wait()
async def call():
    try:
        await engine.open(MULAW_8K, locale="en-US").transcribe(b"\\x20" * 8000)
    except VoiceFailed:
        await asyncio.to_thread(engine.close)
        print("closed")
asyncio.run(call())
"""
    ended = subprocess.run(  # noqa: S603 - our own program, in our own interpreter
        [sys.executable, "-c", program], timeout=40, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "closed\n"
    assert "its thread is left behind" in ended.stderr


@pytest.mark.parametrize("name", ["encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"])
def test_tampered_weights_are_refused(name: str, tmp_path: Path):
    import moonshine_voice

    from voiceagent.speech.moonshine import MoonshineRecognizer

    genuine = Path(moonshine_voice.__file__).parent / "assets" / "tiny-en"
    copy = Path(shutil.copytree(genuine, tmp_path / "tiny-en"))
    with (copy / name).open("r+b") as file:
        file.seek(5000)
        file.write(b"tampered")
    with pytest.raises(WeightsError, match=re.escape(name)):
        MoonshineRecognizer(weights_dir=copy)
