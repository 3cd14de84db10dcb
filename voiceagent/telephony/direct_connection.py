"""A carrier's connection whose messages are taken where they come in: no queue, and no task that is woken for each.

Nearly all that a carrier sends is a small frame that is a message by itself. Such a one is cut out of the bytes and
handed over at once, as long as nothing that came before it still waits. Everything else is left to the `websockets`
library: fragments, control frames, what comes in pieces and what is wrong. It alone judges what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.frames import Opcode
from websockets.protocol import State

try:
    from websockets.speedups import apply_mask
except ImportError:  # a build of the library without its C code
    from websockets.utils import apply_mask

__all__ = ["DirectConnection"]

_FIN, _MASKED = 0x80, 0x80
_TEXT, _BINARY = _FIN | Opcode.TEXT, _FIN | Opcode.BINARY
"""First byte of a frame that is a whole message and has no reserved bit set (RFC 6455, 5.2)."""
_SHORTEST_BYTES = 6
"""A head and its mask."""
_IN_TWO_BYTES, _IN_EIGHT_BYTES = 126, 127
"""Instead of a length, where it stands in so many bytes behind."""


class DirectConnection(ServerConnection):
    """A connection of the library's, without extensions, that can be read and written in a shorter way."""

    _receive: Callable[[str | bytes], None] | None = None

    def hand_to(self, receive: Callable[[str | bytes], None] | None) -> None:
        """Give messages to `receive`, which never raises, where they come in; None: no longer.

        The others are given by `recv` as ever: somebody has to wait there. The order is kept.
        """
        self._receive = receive

    def data_received(self, data: bytes) -> None:
        """Take what has come in."""
        if self._receive is not None and self._nothing_waits():
            data = self._hand_over(data)
        if data:
            super().data_received(data)

    def _nothing_waits(self) -> bool:
        """Whether the library keeps neither a part of a message nor one that has not been read."""
        protocol = self.protocol
        return (
            protocol.state is State.OPEN
            and not protocol.reader.buffer
            and protocol.current_size is None
            and not self.recv_messages.frames
        )

    def _hand_over(self, data: bytes) -> bytes:
        """Hand over the messages with which this begins; return what is left."""
        at, end, most_bytes = 0, len(data), self.protocol.max_message_size
        while end - at >= _SHORTEST_BYTES and self._receive is not None:
            kind, length, mask_at = data[at], data[at + 1] - _MASKED, at + 2
            if length == _IN_TWO_BYTES:
                length, mask_at = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif length < 0 or length == _IN_EIGHT_BYTES:
                break
            begin = mask_at + 4
            stop = begin + length
            if stop > end or (most_bytes is not None and length > most_bytes):
                break
            message: str | bytes = apply_mask(data[begin:stop], data[mask_at:begin])
            if kind == _TEXT:
                try:
                    message = message.decode()
                except UnicodeDecodeError:
                    break
            elif kind != _BINARY:
                break
            at = stop
            self._receive(message)
        return data[at:] if at else data

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
