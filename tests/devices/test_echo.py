"""An echo is found in a noisy room and nowhere else, and an agent that takes turns does not hear itself."""

from __future__ import annotations

import pytest

from voiceagent.audio import level_dbfs
from voiceagent.devices.echo import HalfDuplex, echo_heard, probe_sound

np = pytest.importorskip("numpy")

RATE_HZ = 16_000
BLOCK = b"\x01\x02" * (RATE_HZ // 50)
QUIET = bytes(len(BLOCK))


def noise(dbfs: float, ms: int, *, seed: int) -> bytes:
    drawn = np.random.default_rng(seed).standard_normal(RATE_HZ * ms // 1_000)
    return (drawn * 32_768 * 10 ** (dbfs / 20)).clip(-32_768, 32_767).astype("<i2").tobytes()


def room(sound: bytes, *, after_ms: int, echo_db: float, noise_dbfs: float, seed: int = 1) -> bytes:
    heard = np.frombuffer(noise(noise_dbfs, 1_200, seed=seed), "<i2").astype(float)
    at = RATE_HZ * after_ms // 1_000
    echo = np.frombuffer(sound, "<i2") * 10 ** (echo_db / 20)
    heard[at : at + len(echo)] += echo[: len(heard) - at]
    return heard.clip(-32_768, 32_767).astype("<i2").tobytes()


@pytest.mark.parametrize(("after_ms", "echo_db", "noise_dbfs"), [(45, -3, -60), (310, -20, -50), (700, -25, -45)])
def test_an_echo_is_found_with_its_delay_and_level(after_ms: int, echo_db: float, noise_dbfs: float) -> None:
    sound = probe_sound(RATE_HZ)
    echo = echo_heard(sound, room(sound, after_ms=after_ms, echo_db=echo_db, noise_dbfs=noise_dbfs), rate_hz=RATE_HZ)
    assert echo is not None
    assert abs(echo.after_ms - after_ms) <= 2
    assert abs(echo.level_db - echo_db) < 3


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_no_echo(seed: int) -> None:
    loud = noise(-50 + 5 * seed, 1_200, seed=seed)
    assert echo_heard(probe_sound(RATE_HZ), loud, rate_hz=RATE_HZ) is None


def test_silence_and_too_little_to_tell_are_no_echo() -> None:
    sound = probe_sound(RATE_HZ)
    assert echo_heard(sound, bytes(2 * len(sound)), rate_hz=RATE_HZ) is None
    assert echo_heard(sound, sound[:-2], rate_hz=RATE_HZ) is None


def test_an_echo_that_nobody_could_hear_is_none() -> None:
    sound = probe_sound(RATE_HZ)
    heard = room(sound, after_ms=50, echo_db=-60, noise_dbfs=-90)
    assert echo_heard(sound, heard, rate_hz=RATE_HZ) is None


def test_the_sound_is_as_loud_as_speech() -> None:
    assert -20 < level_dbfs(probe_sound(RATE_HZ)) < -15


def test_the_caller_is_not_heard_while_the_agent_speaks_nor_until_the_room_is_silent() -> None:
    turns = HalfDuplex(tail_ms=40, bytes_per_ms=32)
    assert turns.hear(BLOCK) == BLOCK
    for _ in range(3):
        turns.play(BLOCK)
        assert turns.hear(BLOCK) == QUIET
    heard = []
    for _ in range(4):
        turns.play(QUIET)
        heard.append(turns.hear(BLOCK))
    assert heard == [QUIET, QUIET, BLOCK, BLOCK]
