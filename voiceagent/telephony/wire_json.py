"""JSON messages of strangers: read strictly, field by field, and never a reason to raise."""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from collections.abc import Mapping
from typing import NoReturn, cast

from voiceagent.telephony.byte_order import ByteOrder
from voiceagent.telephony.codec import Refused

__all__ = [
    "DIGITS",
    "MAX_MESSAGE_CHARS",
    "as_mapping",
    "as_number",
    "as_parameters",
    "as_text",
    "decoded",
    "is_id",
    "read_object",
    "read_payload",
    "read_samples",
]

MAX_MESSAGE_CHARS = 65_536
"""A longer message is refused unread; a frame of the caller's takes about 300."""
DIGITS = frozenset("0123456789*#ABCD")

_MAX_PARAMETERS = 64
_MAX_PARAMETER_CHARS = 1_024
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # NaN and Infinity are not JSON


def read_object(message: str) -> Mapping[str, object] | Refused:
    """Return the fields of a message, or why there are none."""
    if len(message) > MAX_MESSAGE_CHARS:
        return Refused("message too long")
    try:
        parsed: object = _DECODER.decode(message)
    except (ValueError, RecursionError):  # brackets 10^5 deep end in the second
        return Refused("not JSON")
    fields = as_mapping(parsed)
    return Refused("not an object") if fields is None else fields


def read_payload(media: Mapping[str, object], *, most_bytes: int) -> bytes | Refused:
    """Return the audio of a media message."""
    payload = media.get("payload")
    return decoded(payload, most_bytes=most_bytes) if isinstance(payload, str) else Refused("media without payload")


def decoded(payload: str, *, most_bytes: int) -> bytes | Refused:
    """Return the audio of a payload."""
    try:
        audio = a2b_base64(payload, strict_mode=True)
    except ValueError:
        return Refused("payload is not base64")
    if not audio:
        return Refused("payload is empty")
    return Refused("payload too long") if len(audio) > most_bytes else audio


def read_samples(audio: bytes, order: ByteOrder) -> bytes | Refused:
    """Return 16-bit samples as we have them."""
    if len(audio) % 2:
        return Refused("half a sample")
    samples = order.incoming(audio)
    return Refused("audio sounds like the other byte order") if samples is None else samples


# --- fields of unknown type ------------------------------------------------------------------------------------------


def as_mapping(value: object) -> Mapping[str, object] | None:
    """Return a JSON object; anything else is None."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def as_number(value: object) -> int | None:
    """Return a number that came as one or as a string of digits; anything else is None."""
    if isinstance(value, str) and len(value) <= 15 and value.isascii() and value.isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value
    return None


def as_text(value: object) -> str | None:
    """Return text that can be encoded again: a lone surrogate cannot, and would break whoever stores it."""
    if not isinstance(value, str) or not value or len(value) > _MAX_PARAMETER_CHARS:
        return None
    return value.encode("utf-8", "replace").decode("utf-8")


def as_parameters(given: object) -> Mapping[str, str]:
    """Return what of an object can be passed on to a call."""
    parameters: dict[str, str] = {}
    for name, value in list((as_mapping(given) or {}).items())[:_MAX_PARAMETERS]:
        readable_name, readable = as_text(name), as_text(value)
        if readable_name is not None and readable is not None:
            parameters[readable_name] = readable
    return parameters


def is_id(value: object) -> bool:
    """Return whether a value can be the id of a stream or a call, and stand in JSON and in a path as it is."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None
