"""WebSocket frames (RFC 6455, section 5) of a client that sends fifty a second for each of hundreds of callers.

A library's own objects and queues for each message cost a load generator more than the server under test may cost.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Literal

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform for which websockets has no compiled part
    from websockets.utils import apply_mask

__all__ = ["FrameReader", "Opcode", "accept_of", "client_frame"]

Opcode = Literal[1, 2, 8, 9, 10]
_CONTINUATION = 0
_FINAL = 0x80
_MASKED = 0x80
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SHORT, _MIDDLE, _LONG = 125, 126, 127


def accept_of(key: str) -> str:
    """Return what a server has to answer to this `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324 - the protocol's


def client_frame(opcode: Opcode, payload: bytes, mask: bytes) -> bytes:
    """Return a whole message in one frame, masked by these four bytes."""
    size = len(payload)
    if size <= _SHORT:
        head = bytes((_FINAL | opcode, _MASKED | size))
    elif size < 1 << 16:
        head = bytes((_FINAL | opcode, _MASKED | _MIDDLE, size >> 8, size & 0xFF))
    else:
        head = bytes((_FINAL | opcode, _MASKED | _LONG)) + size.to_bytes(8, "big")
    return head + mask + apply_mask(payload, mask)


class FrameReader:
    """Takes what a server sends, however it is cut, and gives whole messages."""

    def __init__(self) -> None:
        self._rest = b""
        self._opcode = 0
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (opcode, payload) of every message that is complete now; control messages as they come."""
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while size - at >= 2:
            first, length = data[at], data[at + 1] & 0x7F
            begin = at + 2
            if length >= _MIDDLE:
                wide = 2 if length == _MIDDLE else 8
                if size - begin < wide:
                    break
                length = int.from_bytes(data[begin : begin + wide], "big")
                begin += wide
            if size - begin < length:
                break
            at = begin + length
            yield from self._message(first, data[begin:at])
        self._rest = data[at:]

    def _message(self, first: int, payload: bytes) -> Iterator[tuple[int, bytes]]:
        opcode, final = first & 0x0F, first & _FINAL
        if final and opcode != _CONTINUATION:  # control messages always are
            yield opcode, payload
            return
        if opcode != _CONTINUATION:
            self._opcode, self._parts = opcode, []
        self._parts.append(payload)
        if final:
            yield self._opcode, b"".join(self._parts)
            self._parts = []
