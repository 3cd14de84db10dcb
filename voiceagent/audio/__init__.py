"""Audio as bytes: telephone codes, levels, frames and wave files, in pure functions."""

from __future__ import annotations

from voiceagent.audio.encodings import Encoding, from_pcm16, to_pcm16
from voiceagent.audio.frames import FRAME_MS, cut_frames
from voiceagent.audio.g711 import (
    ALAW_SILENCE,
    MULAW_SILENCE,
    alaw_to_pcm16,
    mulaw_energy,
    mulaw_to_pcm16,
    pcm16_to_alaw,
    pcm16_to_mulaw,
)
from voiceagent.audio.pcm import (
    SILENCE_DBFS,
    duration_ms,
    half_as_loud,
    interleave,
    level_dbfs,
    mulaw_level_dbfs,
    pad_to_multiple,
    split_channels,
)
from voiceagent.audio.ringing import RingingTone, ringing_tone_of
from voiceagent.audio.tones import Tone, ToneFinder
from voiceagent.audio.wav import read_stereo_wav, read_wav, wav_bytes, write_stereo_wav, write_wav

__all__ = [
    "ALAW_SILENCE",
    "FRAME_MS",
    "MULAW_SILENCE",
    "SILENCE_DBFS",
    "Encoding",
    "RingingTone",
    "Tone",
    "ToneFinder",
    "alaw_to_pcm16",
    "cut_frames",
    "duration_ms",
    "from_pcm16",
    "half_as_loud",
    "interleave",
    "level_dbfs",
    "mulaw_energy",
    "mulaw_level_dbfs",
    "mulaw_to_pcm16",
    "pad_to_multiple",
    "pcm16_to_alaw",
    "pcm16_to_mulaw",
    "read_stereo_wav",
    "read_wav",
    "ringing_tone_of",
    "split_channels",
    "to_pcm16",
    "wav_bytes",
    "write_stereo_wav",
    "write_wav",
]
