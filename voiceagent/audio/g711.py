"""G.711: the one byte per sample that telephones speak, to 16-bit samples and back.

Bit-exact with the `audioop` module that Python had until 3.12: µ-law quantises 14 bits, A-law 13.
Decoding is two `bytes.translate` passes, for the low and the high bytes; encoding looks each sample
up in a table of 65,536 codes.
"""

from __future__ import annotations

import sys

__all__ = [
    "ALAW_SILENCE",
    "MULAW_SILENCE",
    "alaw_to_pcm16",
    "mulaw_energy",
    "mulaw_power",
    "mulaw_to_pcm16",
    "pcm16_to_alaw",
    "pcm16_to_mulaw",
]

MULAW_SILENCE = 0xFF
"""The µ-law code of sample value 0."""
ALAW_SILENCE = 0xD5
"""The A-law code nearest to sample value 0."""

_MULAW_BIAS = 33  # in 14-bit units, so that every segment starts at a power of two
_SAMPLE_COUNT = 1 << 16


# --- decoding -----------------------------------------------------------------------------------


def _mulaw_sample(code: int) -> int:
    inverted = ~code & 0xFF
    mantissa, segment = inverted & 0x0F, inverted >> 4 & 0x07
    magnitude = (((mantissa << 1) + _MULAW_BIAS) << segment) - _MULAW_BIAS
    return -magnitude * 4 if inverted & 0x80 else magnitude * 4


def _alaw_sample(code: int) -> int:
    toggled = code ^ 0x55
    mantissa, segment = toggled & 0x0F, toggled >> 4 & 0x07
    magnitude = (mantissa << 4) + 8
    if segment:
        magnitude = (magnitude + 0x100) << (segment - 1)
    return magnitude if toggled & 0x80 else -magnitude


_MULAW_SAMPLES = [_mulaw_sample(code) for code in range(256)]
_ALAW_SAMPLES = [_alaw_sample(code) for code in range(256)]
_MULAW_LEVELS_HIGH = bytes(abs(sample) >> 8 for sample in _MULAW_SAMPLES)
_MULAW_LEVELS_LOW = bytes(abs(sample) & 0xFF for sample in _MULAW_SAMPLES)
_MULAW_POWERS = [sample * sample for sample in _MULAW_SAMPLES]


def _byte_planes(samples: list[int]) -> tuple[bytes, bytes]:
    low = bytes(sample & 0xFF for sample in samples)
    high = bytes(sample >> 8 & 0xFF for sample in samples)
    return low, high


_MULAW_PLANES = _byte_planes(_MULAW_SAMPLES)
_ALAW_PLANES = _byte_planes(_ALAW_SAMPLES)


def _decode(codes: bytes, planes: tuple[bytes, bytes]) -> bytes:
    pcm = bytearray(2 * len(codes))
    pcm[0::2] = codes.translate(planes[0])
    pcm[1::2] = codes.translate(planes[1])
    return bytes(pcm)


def mulaw_to_pcm16(codes: bytes) -> bytes:
    """Return 16-bit little-endian samples, two bytes for each µ-law byte."""
    return _decode(codes, _MULAW_PLANES)


def alaw_to_pcm16(codes: bytes) -> bytes:
    """Return 16-bit little-endian samples, two bytes for each A-law byte."""
    return _decode(codes, _ALAW_PLANES)


# --- encoding -----------------------------------------------------------------------------------


def _mulaw_magnitudes() -> bytes:
    """Return the µ-law code (positive, inverted bits) of every 14-bit magnitude 0..8192."""
    codes = bytearray()
    for segment in range(8):
        for mantissa in range(16):
            codes += bytes([~(segment << 4 | mantissa) & 0xFF]) * (2 << segment)
    # The first segment begins at magnitude 32, but the bias already stands at 33.
    codes = codes[_MULAW_BIAS - 32 :]
    return bytes(codes).ljust(8193, codes[-1:])


def _mulaw_codes() -> bytes:
    magnitudes = _mulaw_magnitudes()
    positive = b"".join(bytes([code]) * 4 for code in magnitudes[:8192])
    negative = b"".join(bytes([code & 0x7F]) * 4 for code in magnitudes[:0:-1])
    return positive + negative


def _alaw_codes() -> bytes:
    magnitudes = bytearray()  # of every 13-bit magnitude 0..4095, in steps of 8 samples
    for segment in range(8):
        for mantissa in range(16):
            magnitudes += bytes([segment << 4 | mantissa]) * (2 << max(segment - 1, 0))
    positive = b"".join(bytes([code ^ 0xD5]) * 8 for code in magnitudes)
    negative = b"".join(bytes([code ^ 0x55]) * 8 for code in reversed(magnitudes))
    return positive + negative


def _native(codes: bytes) -> bytes:
    """Reorder a table so that samples read in this machine's byte order find their code."""
    if sys.byteorder == "little":
        return codes
    swapped = bytearray(_SAMPLE_COUNT)
    for sample, code in enumerate(codes):
        swapped[sample >> 8 | (sample & 0xFF) << 8] = code
    return bytes(swapped)


_MULAW_CODES = _native(_mulaw_codes())
_ALAW_CODES = _native(_alaw_codes())


def _encode(pcm: bytes, codes: bytes) -> bytes:
    if len(pcm) % 2:
        raise ValueError(f"16-bit audio has an even number of bytes, not {len(pcm)}")
    return bytes(map(codes.__getitem__, memoryview(pcm).cast("H")))


def pcm16_to_mulaw(pcm: bytes) -> bytes:
    """Return one µ-law byte for each 16-bit little-endian sample.

    Raises ValueError for an odd number of bytes.
    """
    return _encode(pcm, _MULAW_CODES)


def pcm16_to_alaw(pcm: bytes) -> bytes:
    """Return one A-law byte for each 16-bit little-endian sample.

    Raises ValueError for an odd number of bytes.
    """
    return _encode(pcm, _ALAW_CODES)


# --- level --------------------------------------------------------------------------------------


def mulaw_energy(frame: bytes) -> int:
    """Return the mean absolute sample value of a µ-law frame, 0..32124; 0 for an empty frame."""
    if not frame:
        return 0
    # By the two bytes of each level: half the price of looking the levels up one by one.
    return ((sum(frame.translate(_MULAW_LEVELS_HIGH)) << 8) + sum(frame.translate(_MULAW_LEVELS_LOW))) // len(frame)


def mulaw_power(codes: bytes) -> int:
    """Return the sum of the squared sample values, without decoding them."""
    return sum(map(_MULAW_POWERS.__getitem__, codes))
