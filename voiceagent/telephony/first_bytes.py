"""First bytes: the head of a connection's first request, read until it is clear who is to speak with it.

Where there is a certificate, TLS is agreed on before that, in the same time and counted among the same connections.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Protocol, cast

from voiceagent.logs import log_failure
from voiceagent.ports import Clock
from voiceagent.telephony.certificate import Certificate

__all__ = ["HEAD_DEADLINE_MS", "MAX_HEAD_BYTES", "UNREAD_MS", "FirstBytes", "Knocking", "Undecided"]

_log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16_384
HEAD_DEADLINE_MS = 5_000
"""For the head of the first request, TLS included: whoever sends it byte by byte is cut off."""
_TLS_SHUTDOWN_S = 2
"""For the far side to say that it has seen the end."""

UNREAD_MS = 2_000
"""In a rush of connections, what one has sent may lie unread for so long: it is not to blame for being undecided."""
_MOST_UNREAD = 2
"""Times the number that may be undecided."""


class Knocking(Protocol):
    """A connection of which it is not clear yet who is to speak with it."""

    def cut_off(self) -> None:
        """Close without a word."""
        ...


def _nobody(_: bytes, __: str) -> None:
    return None


class Undecided:
    """The connections whose first words are being read.

    Nobody is turned away for what others leave unsaid: where there are too many, the oldest is closed; where there are
    too many from one address (half of all), the oldest of them. An address behind which everybody is has no share.
    """

    def __init__(
        self,
        protocol_for: Callable[[bytes, str], asyncio.Protocol | None] = _nobody,
        *,
        clock: Clock,
        most: int,
        is_proxy: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`protocol_for` is given a head and the address that it came from, and returns who speaks with the connection;
        None where there are too many."""
        self.protocol_for = protocol_for
        self.clock = clock
        self._most = most
        self._most_of_one = max(1, most // 2)
        self._is_proxy = is_proxy
        self._waiting: dict[Knocking, tuple[str, int]] = {}
        """With the address each came from and when, the oldest first."""

    def __len__(self) -> int:
        return len(self._waiting)

    def came(self, connection: Knocking, address: str) -> None:
        """Take note of a connection, and make room for it."""
        now_ms = self.clock.now_ms()
        if not self._is_proxy(address):
            of_one = [other for other, (its, _) in self._waiting.items() if its == address]
            self._make_room(of_one, most=self._most_of_one, now_ms=now_ms)
        self._make_room(list(self._waiting), most=self._most, now_ms=now_ms)
        self._waiting[connection] = (address, now_ms)

    def _make_room(self, waiting: list[Knocking], *, most: int, now_ms: int) -> None:
        """Cut off the oldest of these. What has only just come has had no chance to be read: there, more may wait."""
        for oldest in waiting[: max(0, len(waiting) - most + 1)]:
            _, came_ms = self._waiting[oldest]
            if now_ms - came_ms < UNREAD_MS and len(self._waiting) < _MOST_UNREAD * self._most:
                return
            oldest.cut_off()

    def decided(self, connection: Knocking) -> None:
        """Take note that a connection has gone, or has become a socket or a web request."""
        self._waiting.pop(connection, None)

    def cut_off(self) -> None:
        """Close all of them without a word."""
        for connection in list(self._waiting):
            connection.cut_off()


class FirstBytes(asyncio.Protocol):
    """Reads the head of the first request and hands the connection on."""

    def __init__(self, undecided: Undecided, certificate: Certificate | None = None) -> None:
        self._undecided = undecided
        self._certificate = certificate
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._is_securing = False
        self._cancel_deadline: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = cast("tuple[str, int] | None", transport.get_extra_info("peername"))
        self._address = peer[0] if peer else ""
        self._undecided.came(self, self._address)
        clock = self._undecided.clock
        self._cancel_deadline = clock.call_at(clock.now_ms() + HEAD_DEADLINE_MS, self._too_slow)
        if self._certificate is not None:
            self._secure(self._transport, self._certificate)

    def _secure(self, bare: asyncio.Transport, certificate: Certificate) -> None:
        """Agree on TLS with the far side."""
        bare.set_write_buffer_limits(high=0)  # what waits then waits above, where it is counted as not sent
        self._is_securing = True
        agreeing = asyncio.get_running_loop().start_tls(
            bare,
            self,
            certificate.context,
            server_side=True,
            ssl_handshake_timeout=HEAD_DEADLINE_MS / 1_000,
            ssl_shutdown_timeout=_TLS_SHUTDOWN_S,
        )
        self._agree(cast("Coroutine[asyncio.Future[None], None, asyncio.Transport | None]", agreeing))

    def _agree(self, agreeing: Coroutine[asyncio.Future[None], None, asyncio.Transport | None]) -> None:
        """Go on agreeing, up to where it waits; whoever does not speak TLS is cut off.

        No task does so: it would begin a turn of the loop later, and uvloop may have read here by then what is for TLS.
        To pause reading until then is of no use: uvloop begins to read when `connection_made` has returned, whatever
        was asked for in there. A task that begins at once (`eager_start`) would be the same thing; Python has it from
        3.12 on. `create_server(ssl=…)` and `connect_accepted_socket(ssl=…)` show nothing of the transport below, in
        whose buffer what is not sent would lie uncounted; the first also tells of nobody who has not agreed yet, so
        that handshakes without end would be nobody's to cut off.
        """
        try:
            waited_for = agreeing.send(None)
        except StopIteration as agreed:
            self._go_on(cast("asyncio.Transport | None", agreed.value))
        except OSError:  # no TLS, none that both can, or the connection broke: that is no fault of ours
            self.cut_off()
        except Exception as exc:  # noqa: BLE001 - the outermost frame of a connection that is none yet
            log_failure(_log, exc, "TLS could not be begun")
            self.cut_off()
        else:
            waited_for.add_done_callback(lambda _: self._agree(agreeing))

    def _go_on(self, secured: asyncio.Transport | None) -> None:
        """Read on behind TLS; there is nothing to read from where the connection was lost while it was agreed on."""
        if secured is None or secured.is_closing():
            self.cut_off()
            return
        self._transport, self._is_securing = secured, False
        self._look()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._head += data
        if not self._is_securing:  # else it came right behind the far side's last word of TLS, and is looked at next
            self._look()

    def _look(self) -> None:
        """See whether the head is complete."""
        end = self._head.find(b"\r\n\r\n")
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._head) > MAX_HEAD_BYTES):
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif end >= 0:
            self._hand_on(bytes(self._head[:end]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def _hand_on(self, head: bytes) -> None:
        protocol = self._undecided.protocol_for(head, self._address)
        transport = self._transport
        if protocol is None or transport is None:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._leave()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(bytes(self._head))

    def _too_slow(self) -> None:
        if not self._is_securing:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.cut_off()

    def _refuse(self, status: HTTPStatus) -> None:
        self._leave()
        if self._transport is not None and not self._transport.is_closing():
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            self._transport.write(head.encode("ascii"))
            self._transport.close()

    def _leave(self) -> None:
        self._undecided.decided(self)
        if self._cancel_deadline is not None:
            self._cancel_deadline()

    def cut_off(self) -> None:
        """Close without a word."""
        self._leave()
        if self._transport is not None:
            self._transport.abort()
