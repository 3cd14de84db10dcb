"""The caller's audio on its way to whoever hears it next."""

from __future__ import annotations

from voiceagent.audio import MULAW_SILENCE
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.runtime.uplink import Uplink

PCM_16K = AudioFormat("pcm16", 16_000)


def of(audio: AudioFormat) -> Uplink:
    silence = b"\0" if audio.encoding == "pcm16" else bytes([MULAW_SILENCE])
    uplink = Uplink(audio.bytes_per_ms, silence, sample_bytes=audio.sample_bytes)
    uplink.held = False
    return uplink


def test_another_session_begins_at_a_whole_sample_wherever_a_piece_has_ended() -> None:
    uplink = of(PCM_16K)
    uplink.arrived(bytes(range(7)))
    assert uplink.due() == bytes(range(7))
    uplink.rewind(uplink.sent)
    uplink.arrived(bytes(range(7, 10)))
    assert uplink.due() == bytes(range(6, 10))


def test_what_is_forgotten_is_forgotten_by_whole_samples() -> None:
    uplink = of(PCM_16K)
    for _ in range(40):
        uplink.arrived(b"\1\2" * 16_000 + b"\1")
        uplink.arrived(b"\2")
    uplink.arrived(b"\1" * 3)
    uplink.rewind(0)
    assert uplink.due()[:4] == b"\1\2\1\2"


def test_what_is_withheld_is_silence_in_its_place() -> None:
    uplink = of(MULAW_8K)
    uplink.held = True
    uplink.arrived(b"\1" * 80)
    uplink.withhold(2, 4)
    uplink.held = False
    assert uplink.due() == b"\1" * 16 + bytes([MULAW_SILENCE]) * 16 + b"\1" * 48
