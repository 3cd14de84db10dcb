"""Reads what a Gemini Live model sends: server messages as they come, without trust."""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from collections.abc import Mapping
from typing import NoReturn, cast

__all__ = ["audio_of", "duration_ms", "flag", "mapping", "mappings", "message_of", "text_of", "whole"]

_SECONDS = re.compile(r"(\d{1,6})(\.\d{1,9})?s")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # NaN and Infinity are not JSON


def message_of(message: str | bytes) -> Mapping[str, object] | None:
    """Return a server message, which comes as text or, from the real service, as bytes; None where it is not JSON."""
    try:
        return mapping(_DECODER.decode(message if isinstance(message, str) else message.decode()))
    except (ValueError, RecursionError):  # brackets 10^5 deep end in the second
        return None


def audio_of(data: object) -> bytes | None:
    """Return the bytes of a blob. Protocol buffers may be written in either alphabet of base64, padded or not."""
    if not isinstance(data, str) or not data.isascii():
        return None
    text = data.encode().translate(_URL_SAFE)
    try:
        return a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        return None


def duration_ms(value: object) -> int | None:
    """Return a duration of protocol buffers, e.g. `9.500s`, in milliseconds."""
    match = _SECONDS.fullmatch(value) if isinstance(value, str) else None
    return None if match is None else int(float(f"{match[1]}{match[2] or ''}") * 1_000)


def mapping(value: object) -> Mapping[str, object] | None:
    """Return a JSON object, or None."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def mappings(value: object) -> list[Mapping[str, object]] | None:
    """Return a JSON array of objects; None where it is anything else. An array left out is empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        return None
    found = [mapping(part) for part in cast("list[object]", value)]
    return [part for part in found if part is not None] if None not in found else None


def text_of(value: object) -> str:
    """Return the text of a transcription; empty where there is none."""
    text = (mapping(value) or {}).get("text")
    return text if isinstance(text, str) else ""


def flag(fields: Mapping[str, object], name: str) -> bool:
    """Return whether a flag is set; what is left out is not."""
    return fields.get(name) is True


def whole(fields: Mapping[str, object], *names: str) -> int:
    """Return the sum of counts, of which any may be left out."""
    values = (fields.get(name) for name in names)
    return sum(value for value in values if isinstance(value, int) and not isinstance(value, bool) and value > 0)
