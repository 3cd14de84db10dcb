"""Whether a caller has finished, by how they say it: what the network is given, and what it says of recorded callers.

The network is the operator's own file: VOICEAGENT_END_OF_TURN, or where `make bench-turns` has put it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from voiceagent.errors import VoiceFailed, WeightsError
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.speech import open_engines
from voiceagent.speech.smart_turn import SmartTurn, log_mel

pytestmark = pytest.mark.engines
FETCHED = "voiceagent-speech/pipecat-ai==1.14.0/pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
NETWORK = Path(os.environ.get("VOICEAGENT_END_OF_TURN") or Path.home() / ".cache" / FETCHED)
SHA256 = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"


@pytest.fixture(scope="module")
def smart_turn() -> Iterator[SmartTurn]:
    pytest.importorskip("onnxruntime", reason="needs the extra 'local'")
    if not NETWORK.is_file():
        pytest.skip("no Smart Turn v3: set VOICEAGENT_END_OF_TURN, or run `make bench-turns` once")
    engine = SmartTurn(NETWORK, sha256=SHA256)
    yield engine
    engine.close()


@pytest.mark.parametrize(("hz", "band"), [(300, 7), (1_000, 26), (3_000, 54)])
def test_a_tone_is_heard_in_the_band_that_is_in_its_place_on_whispers_scale(hz: int, band: int):
    np = pytest.importorskip("numpy", reason="needs the extra 'local'")
    tone = np.sin(np.arange(16_000) * (2 * np.pi * hz / 16_000)).astype(np.float32)
    heard = log_mel(tone)
    assert heard.shape == (80, 800)
    assert abs(int(heard[:, 750].argmax()) - band) <= 1
    assert heard[:, :690].max() < heard[:, 750].max() - 1  # seven seconds of silence stand before it


def test_of_what_was_said_the_last_eight_seconds_count():
    np = pytest.importorskip("numpy", reason="needs the extra 'local'")
    noise = np.random.default_rng(1).standard_normal(12 * 16_000).astype(np.float32)
    assert np.array_equal(log_mel(noise), log_mel(noise[-8 * 16_000 :]))


@pytest.mark.parametrize("number", ["01", "02", "16"])
def test_a_sentence_sounds_finished_and_the_first_half_of_it_does_not(number: str, smart_turn, utterance):
    audio = utterance(number)
    assert smart_turn.judge(audio, MULAW_8K) > 0.5
    assert smart_turn.judge(audio[: len(audio) * 55 // 100], MULAW_8K) < 0.5


def test_it_answers_while_the_loop_goes_on_and_not_once_it_is_closed(utterance):
    if not NETWORK.is_file():
        pytest.skip("no Smart Turn v3: set VOICEAGENT_END_OF_TURN, or run `make bench-turns` once")
    engine = SmartTurn(NETWORK)
    pcm = AudioFormat("pcm16", 16_000)
    assert 0 <= asyncio.run(engine.done(utterance("01", pcm), pcm)) <= 1
    engine.close()
    with pytest.raises(VoiceFailed, match="closed"):
        asyncio.run(engine.done(b"", pcm))


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"no model file at .*none.onnx"):
        open_engines("null", end_of_turn=tmp_path / "none.onnx")


def test_another_file_than_the_one_that_was_meant_is_not_loaded(tmp_path: Path):
    (tmp_path / "some.onnx").write_bytes(b"anything")
    with pytest.raises(WeightsError, match=r"has sha256 ee0874170b7f6f32…, expected aaaaaaaaaaaaaaaa…"):
        open_engines("null", end_of_turn=tmp_path / "some.onnx", end_of_turn_sha256="a" * 64)


def test_a_file_that_is_no_network_is_told_so(tmp_path: Path):
    pytest.importorskip("onnxruntime", reason="needs the extra 'local'")
    (tmp_path / "some.onnx").write_bytes(b"anything")
    with pytest.raises(WeightsError, match="no network that onnxruntime can load"):
        open_engines("null", end_of_turn=tmp_path / "some.onnx")
