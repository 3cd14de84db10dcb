"""A machine's beep is found in a line's audio, and nothing else that is heard there is taken for one."""

from __future__ import annotations

import math
import random
from array import array
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceagent.audio import Tone, ToneFinder, mulaw_to_pcm16, pcm16_to_mulaw, read_wav

RATE_HZ = 8_000
SPEECH = sorted((Path(__file__).parents[2] / "demo" / "speech").glob("*.wav"))


def sine(hz: float, ms: int, *, db: float = -12, noise_db: float | None = None, seed: int = 1) -> list[float]:
    """A tone at a level below full scale, on a line with or without noise."""
    draw, level = random.Random(seed), 10 ** (db / 20)  # noqa: S311 - the same noise every time
    noise = 0.0 if noise_db is None else 10 ** (noise_db / 20)
    count = ms * RATE_HZ // 1_000
    return [
        level * math.sin(math.tau * hz * at / RATE_HZ) * min(1, at / 40, (count - 1 - at) / 40) + draw.gauss(0, noise)
        for at in range(count)
    ]


def together(*parts: list[float]) -> list[float]:
    return [sum(at) for at in zip(*parts, strict=True)]


def silence(ms: int) -> list[float]:
    return [0.0] * (ms * RATE_HZ // 1_000)


def found(sound: list[float], *, piece: int = 320) -> list[Tone]:
    """What is found in a sound that has come over a µ-law line, in pieces of so many bytes."""
    whole = [*silence(300), *sound, *silence(400)]
    pcm = array("h", [round(32_767 * max(-1.0, min(1.0, sample))) for sample in whole]).tobytes()
    pcm = mulaw_to_pcm16(pcm16_to_mulaw(pcm))
    finder = ToneFinder(RATE_HZ)
    return [tone for at in range(0, len(pcm), piece) for tone in finder.feed(pcm[at : at + piece])]


# --- beeps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hz", [400, 440, 480, 620, 850, 1_000, 1_400, 1_800, 2_100])
@pytest.mark.parametrize(("ms", "db"), [(120, -20), (200, -30), (500, -3), (1_000, -12)])
def test_a_beep_is_found_where_it_is_and_as_long_as_it_is(hz: int, ms: int, db: int) -> None:
    (tone,) = found(sine(hz, ms, db=db))
    assert abs(tone.hz - hz) <= 5
    assert abs(tone.began_ms - 300) <= 40
    assert abs(tone.lasted_ms - ms) <= 60


def test_a_beep_on_a_noisy_line_is_found() -> None:
    beeps = [sine(hz, 300, db=-20, noise_db=-35) for hz in range(400, 2_101, 100)]
    assert [len(found(beep)) for beep in beeps] == [1] * len(beeps)


@given(hz=st.floats(440, 2_100), ms=st.integers(140, 1_400), db=st.integers(-30, -3), piece=st.integers(1, 1_000))
@settings(max_examples=25, deadline=None)
def test_any_beep_is_found_however_the_audio_is_cut(hz: float, ms: int, db: int, piece: int) -> None:
    (tone,) = found(sine(hz, ms, db=db), piece=piece)
    assert abs(tone.hz - hz) <= 8


def test_a_fax_machine_s_tone_is_told_of_while_it_lasts_although_it_turns_over() -> None:
    turned = [-sample for sample in sine(2_100, 450)]
    (tone,) = found([*sine(2_100, 450), *turned, *sine(2_100, 450), *turned, *sine(2_100, 450)])
    assert (abs(tone.hz - 2_100) <= 5, 1_480 <= tone.lasted_ms <= 1_540) == (True, True)


# --- what is none ----------------------------------------------------------------------------------------------------

_KEYS = {"1": (697, 1_209), "5": (770, 1_336), "9": (852, 1_477), "0": (941, 1_336), "D": (941, 1_633)}
_NETWORK = {
    "dial tone": together(sine(350, 2_000), sine(440, 2_000)),
    "ringing": together(sine(440, 2_000), sine(480, 2_000)),
    "busy": [*together(sine(480, 500), sine(620, 500)), *silence(500)] * 3,
    "ringing in Britain": [*together(sine(400, 400), sine(450, 400)), *silence(200)] * 2,
    "ringing in Europe": [*sine(425, 1_000), *silence(500)] * 2,
    "information": [*sine(985, 380), *sine(1_428, 380), *sine(1_777, 380)],
    "information with gaps": [*sine(914, 274), *silence(20), *sine(1_371, 274), *silence(20), *sine(1_777, 274)],
    "hum": sine(100, 2_000),
    "a quiet tone": sine(1_000, 400, db=-50),
    "a click": sine(1_000, 60),
    "hiss": sine(1_000, 2_000, db=-90, noise_db=-20),
    **{f"key {key}": together(sine(low, 200), sine(high, 200)) for key, (low, high) in _KEYS.items()},
}


@pytest.mark.parametrize("name", _NETWORK)
def test_what_the_network_and_keys_sound_like_is_no_beep(name: str) -> None:
    assert found(_NETWORK[name]) == []


def test_music_is_no_beep() -> None:
    draw = random.Random(7)  # noqa: S311 - the same tunes every time
    chords = [(262, 330, 392), (440, 554, 659), (523, 659), (880, 1_320), (587, 740, 880, 1_175)]
    for chord in chords:
        assert found(together(*(sine(hz, 800, db=-18) for hz in chord))) == []
    for _ in range(8):
        notes = [(draw.choice([440, 494, 587, 659, 784, 880, 988]), draw.choice([150, 250, 400])) for _ in range(6)]
        melody = [
            sample
            for hz, ms in notes
            for sample in together(sine(hz, ms, db=-12), sine(2 * hz, ms, db=-22), sine(3 * hz, ms, db=-28))
        ]
        assert found(melody) == []


def test_a_melody_of_pure_tones_is_no_beep() -> None:
    tune = [sample for hz, ms in product((660, 880, 990), (200, 300)) for sample in sine(hz, ms)]
    assert found(tune) == []


@pytest.mark.parametrize("clip", SPEECH, ids=lambda clip: clip.stem)
def test_nobody_s_voice_is_a_beep(clip: Path) -> None:
    pcm, rate_hz = read_wav(clip)
    finder = ToneFinder(rate_hz)
    assert [tone for at in range(0, len(pcm), 640) for tone in finder.feed(pcm[at : at + 640])] == []
