"""Recorded callers as a telephone carries them, and engines that are loaded once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from voiceagent.audio import read_wav
from voiceagent.ports import MULAW_8K, AudioFormat

CALLERS = Path(__file__).parents[2] / "demo" / "speech"

Utterance = Callable[..., bytes]


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """What is said in each recording, by the number that its name begins with."""
    if not CALLERS.is_dir():
        pytest.skip("the recordings in demo/speech are not here")
    manifest = json.loads((CALLERS / "manifest.json").read_text())
    return {entry["file"][:2]: entry["text"] for entry in manifest}


@pytest.fixture(scope="session")
def utterance(texts: dict[str, str]) -> Utterance:
    """Return a recording, by number, in a format, with silence before and after it."""
    pytest.importorskip("numpy", reason="needs the extra 'local'")
    pytest.importorskip("soxr", reason="needs the extra 'local'")
    from voiceagent.speech.samples import from_bytes, resample, to_bytes

    def recording(number: str, audio: AudioFormat = MULAW_8K, *, quiet_ms: int = 0) -> bytes:
        assert number in texts
        pcm, rate_hz = read_wav(next(CALLERS.glob(f"{number}_*.wav")))
        samples = from_bytes(pcm, AudioFormat("pcm16", rate_hz))
        voice = to_bytes(resample(samples, from_hz=rate_hz, to_hz=audio.rate_hz), audio)
        quiet = {"mulaw": b"\xff", "alaw": b"\xd5", "pcm16": b"\0"}[audio.encoding]
        silence = quiet * (audio.bytes_per_ms * quiet_ms)
        return silence + voice + silence

    return recording


@pytest.fixture(scope="session")
def silero() -> Iterator[object]:
    pytest.importorskip("onnxruntime", reason="needs the extra 'local'")
    from voiceagent.speech.silero import SileroVad

    engine = SileroVad()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def moonshine() -> Iterator[object]:
    pytest.importorskip("moonshine_voice", reason="needs the extra 'local'")
    from voiceagent.speech.moonshine import MoonshineRecognizer

    engine = MoonshineRecognizer(deadline_ms=30_000)  # a busy test machine is no fault of the engine
    engine.warm_up()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def hibari() -> Iterator[object]:
    pytest.importorskip("hibari", reason="needs the extra 'local'")
    from voiceagent.speech.hibari import HibariSynthesizer

    engine = HibariSynthesizer()
    engine.warm_up()
    yield engine
    engine.close()
