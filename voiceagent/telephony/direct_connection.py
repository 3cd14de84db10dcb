"""A carrier's connection whose messages are taken where they come in: no queue, and no task that is woken for each.

Nearly all that a carrier sends is a small frame that is a message by itself. What comes in is cut into whole frames
here; such a one is handed over at once, as long as nothing that came before it still waits. Every other frame is given
to the `websockets` library, whole, so that it is never in the middle of one. It alone judges what is allowed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sized
from functools import cache
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import Opcode
from websockets.protocol import State

from voiceagent.telephony.freed import FreedConnection

if TYPE_CHECKING:
    from websockets.utils import apply_mask
else:
    try:
        from websockets.speedups import apply_mask
    except ImportError:  # a build of the library without its C code
        from websockets.utils import apply_mask

__all__ = ["HANDED_OVER_AT_ONCE", "DirectConnection"]

_log = logging.getLogger(__name__)

HANDED_OVER_AT_ONCE = 64
"""Messages of one read: more than a second of audio. The rest goes by the library's queue, behind which it stops
reading: nobody is to have the loop for long by sending much."""
_FIN, _RESERVED, _OPCODE, _MASKED = 0x80, 0x70, 0x0F, 0x80
_TEXT, _BINARY = _FIN | Opcode.TEXT, _FIN | Opcode.BINARY
"""First byte of a frame that is a whole message (RFC 6455, 5.2)."""
_DATA = frozenset({Opcode.CONT, Opcode.TEXT, Opcode.BINARY})
_CONTROL = frozenset({_FIN | Opcode.CLOSE, _FIN | Opcode.PING, _FIN | Opcode.PONG})
_MOST_CONTROL_BYTES = 125
_MASK_BYTES = 4
_JUDGED_BYTES = 2
_SHORTEST_BYTES = _JUDGED_BYTES + _MASK_BYTES
_IN_TWO_BYTES, _IN_EIGHT_BYTES = 126, 127
"""Instead of a length, where it stands in so many bytes behind."""
_END_OF_HEAD = b"\r\n\r\n"


class DirectConnection(FreedConnection, ServerConnection):
    """A connection of the library's, without extensions, that can be read and written in a shorter way."""

    __slots__ = (
        "_begins_in_step",
        "_in_fragments",
        "_in_step",
        "_kept",
        "_most_bytes",
        "_receive",
        "_unread",
        "_wanted_bytes",
    )

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take what the library gives a connection of its own."""
        super().__init__(*arguments, **named)
        self._receive: Callable[[str | bytes], None] | None = None
        self._unread: Sized = ()
        """Frames that the library keeps for `recv`."""
        self._most_bytes = 0
        """Length of a message that the library refuses beyond."""
        self._begins_in_step: bool | None = None
        """Whether nothing came behind the request's head; None before that."""
        self._in_step: bool | None = None
        """Whether the library stands between two frames; None before the first of them."""
        self._in_fragments = False
        """A message has begun and is not complete."""
        self._kept: bytearray | None = None
        """The beginning of a frame, until there is as much of it as is needed to go on."""
        self._wanted_bytes = 0

    def hand_to(self, receive: Callable[[str | bytes], None] | None) -> None:
        """Give messages to `receive`, which never raises, where they come in; None: no longer.

        The others are given by `recv` as ever: somebody has to wait there. The order is kept.
        """
        self._receive = receive

    # --- in ----------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take what has come in."""
        if self._in_step is None:
            self._see_where_it_begins(data)
        if not self._in_step:
            super().data_received(data)
            return
        if self._kept is not None:
            self._kept += data
            if len(self._kept) < self._wanted_bytes:
                return
            data, self._kept = bytes(self._kept), None
        self._cut(data)

    def eof_received(self) -> None:
        """Nothing more comes: the library is told what there is of a frame that is not whole."""
        self._leave_to_library(b"")
        super().eof_received()

    def _see_where_it_begins(self, data: bytes) -> None:
        """The request's head comes in one piece; where something came right behind it, nobody knows how far it goes."""
        if self.protocol.state is State.CONNECTING:
            self._begins_in_step = self._begins_in_step is None and data.endswith(_END_OF_HEAD)
        else:
            self._in_step = bool(self._begins_in_step) and self._looks_familiar()

    def _looks_familiar(self) -> bool:
        """Whether the library has what is looked at here and is not documented; without it, it serves by itself."""
        unread = getattr(getattr(self, "recv_messages", None), "frames", None)
        most_bytes = getattr(self.protocol, "max_message_size", None)
        if not isinstance(unread, Sized) or not isinstance(most_bytes, int):
            _tell_unfamiliar()
            return False
        self._unread, self._most_bytes = unread, most_bytes
        return True

    def _leave_to_library(self, data: bytes) -> None:
        """Let the library read by itself from here on: something is wrong, or the connection is over."""
        self._in_step = False
        kept, self._kept = self._kept or b"", None
        if kept or data:
            super().data_received(bytes(kept) + data)

    def _cut(self, data: bytes) -> None:
        """Cut whole frames off, and see that each gets to whoever reads it."""
        at, end, most_bytes = 0, len(data), self._most_bytes
        handed_over = 0
        while at < end:
            # The frame that nearly all are, without a call: it is cut off and handed over where nothing is in its way.
            kind = data[at]
            if kind in (_TEXT, _BINARY) and end - at >= _SHORTEST_BYTES and self._may_hand_over(handed_over):
                length, begin = data[at + 1] - _MASKED, at + 2 + _MASK_BYTES
                if length == _IN_TWO_BYTES:
                    length, begin = int.from_bytes(data[at + 2 : at + 4], "big"), begin + 2
                elif length == _IN_EIGHT_BYTES:
                    length = -1
                stop = begin + length
                if 0 <= length <= most_bytes and stop <= end:
                    message = _message(kind, apply_mask(data[begin:stop], data[begin - _MASK_BYTES : begin]))
                    if message is not None and self._receive is not None:
                        self._receive(message)
                        handed_over += 1
                        at = stop
                        continue
            stop = self._end_of_frame(data, at)
            if stop is None:
                return
            if kind & _OPCODE in _DATA:
                self._in_fragments = not kind & _FIN
            super().data_received(data[at:stop])
            at = stop

    def _may_hand_over(self, handed_over: int) -> bool:
        return (
            self._receive is not None
            and handed_over < HANDED_OVER_AT_ONCE
            and not self._in_fragments
            and not self._unread
            and self.protocol.state is State.OPEN
        )

    def _end_of_frame(self, data: bytes, at: int) -> int | None:
        """Return where the frame at `at` ends; None where it does not end in here, or the library has all the rest."""
        have, needed = len(data) - at, _head_bytes(data, at)
        if have >= _JUDGED_BYTES:
            # The library judges a head as soon as this much of it is there: what came before may be read later.
            length = _body_bytes(data, at)
            if self.protocol.state is not State.OPEN or not self._is_expected(data[at], length):
                self._leave_to_library(data[at:])
                return None
            needed += length
        if have < needed:
            self._kept, self._wanted_bytes = bytearray(data[at:]), needed
            return None
        return at + needed

    def _is_expected(self, kind: int, length: int) -> bool:
        """Whether the library may wait for the whole of such a frame, and not fail the connection before."""
        if kind & _RESERVED or length < 0:
            return False
        if kind & _OPCODE in _DATA:
            return length <= self._most_bytes
        return kind in _CONTROL and length <= _MOST_CONTROL_BYTES

    # --- out ---------------------------------------------------------------------------------------------------------

    def write_message(self, message: str | bytes) -> None:
        """Write a message at once, in one frame; nothing where the connection is not open."""
        if self.protocol.state is not State.OPEN or self.transport.is_closing():
            return
        kind, body = (_TEXT, message.encode()) if isinstance(message, str) else (_BINARY, message)
        length = len(body)
        if length < _IN_TWO_BYTES:
            head = bytes((kind, length))
        elif length < 1 << 16:
            head = bytes((kind, _IN_TWO_BYTES)) + length.to_bytes(2, "big")
        else:
            head = bytes((kind, _IN_EIGHT_BYTES)) + length.to_bytes(8, "big")
        self.transport.write(head + body)


# --- frames ----------------------------------------------------------------------------------------------------------


@cache
def _tell_unfamiliar() -> None:
    _log.warning("this version of websockets is not known here: messages take the library's longer way")


def _head_bytes(data: bytes, at: int) -> int:
    """Return how long the head of a frame is, its mask included, as far as can be told by what there is of it."""
    if at + 1 >= len(data):
        return 2
    size = data[at + 1] & ~_MASKED
    more = {_IN_TWO_BYTES: 2, _IN_EIGHT_BYTES: 8}.get(size, 0)
    return 2 + more + (_MASK_BYTES if data[at + 1] & _MASKED else 0)


def _body_bytes(data: bytes, at: int) -> int:
    """Return the length that a head tells, 0 before that is there; -1 if it is not masked, as every client's is."""
    if not data[at + 1] & _MASKED:
        return -1
    size = data[at + 1] & ~_MASKED
    more = {_IN_TWO_BYTES: 2, _IN_EIGHT_BYTES: 8}.get(size, 0)
    told = data[at + 2 : at + 2 + more]
    if len(told) < more:
        return 0
    return int.from_bytes(told, "big") if more else size


def _message(kind: int, body: bytes) -> str | bytes | None:
    """Return what a frame says; None for a text that is none."""
    if kind == _BINARY:
        return body
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
