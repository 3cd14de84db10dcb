"""The door for AudioSocket: each agent has a port, and a connection says by its id which call it is.

The id is all that a connection shows of itself. It is one that the dial plan has asked us for, good for one call, or
one of those that the operator has given out; either is a secret and no name of the call.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID, uuid4

from voiceagent.errors import StateUnavailable
from voiceagent.logs import log_failure
from voiceagent.ports import Clock
from voiceagent.telephony.admission import Admission
from voiceagent.telephony.audiosocket import ID_PACKET_BYTES, AudioSocketDialect, id_of
from voiceagent.telephony.call_tokens import CallTokens
from voiceagent.telephony.first_bytes import HEAD_DEADLINE_MS, Undecided
from voiceagent.telephony.packets import PacketSocket
from voiceagent.telephony.port import port_errors
from voiceagent.telephony.settings import AudioSocketLine, TelephonySettings

__all__ = ["MAX_UNDECIDED", "AudioSocketPort", "admit_audiosocket"]

_log = logging.getLogger(__name__)

MAX_UNDECIDED = 64
"""Connections that have not sent their id yet; Asterisk sends it with its first breath, so that those who wait are
others: they make room for it."""
_SHUTDOWN_S = 5


async def admit_audiosocket(
    identity: UUID, *, agent: str, settings: TelephonySettings, tokens: CallTokens
) -> Admission | None:
    """Decide by the id alone; None: not let in. One that was asked for is used up. Raises StateUnavailable."""
    known = settings.audiosocket_ids
    if sum(hmac.compare_digest(identity.bytes, one.bytes) for one in known):  # all of them, whatever it is
        return Admission(agent, AudioSocketDialect(str(uuid4())), None)
    grant = await tokens.redeem(str(identity), agent=agent, dialect="audiosocket")
    if grant is not None:
        return Admission(agent, AudioSocketDialect(grant.call or str(uuid4())), grant)
    if settings.insecure and not known:
        return Admission(agent, AudioSocketDialect(str(identity)), None, proven=False)
    return None


class _Knocking:
    """A connection that has not said its id yet."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def cut_off(self) -> None:
        self._writer.transport.abort()


class AudioSocketPort:
    """Listens for one agent's calls; `serve` owns a connection that was let in.

    `takes` says whether an agent takes a call now: where it does not, an id is good for another try.
    """

    def __init__(
        self,
        line: AudioSocketLine,
        *,
        settings: TelephonySettings,
        tokens: CallTokens,
        takes: Callable[[str], bool],
        serve: Callable[[PacketSocket, Admission], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._line = line
        self._settings = settings
        self._tokens = tokens
        self._takes = takes
        self._serve = serve
        self._clock = clock
        self._undecided = Undecided(clock=clock, most=MAX_UNDECIDED)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def open(self) -> int:
        """Listen and return the port bound. Raises OperatorError where that is not possible."""
        line = self._line
        shared = self._settings.listening_fd is not None  # workers have this port in common as well
        with port_errors(line.host, line.port):
            self._listener = await asyncio.start_server(
                self._connected, line.host, line.port, reuse_port=shared or None
            )
        port = int(self._listener.sockets[0].getsockname()[1])
        _log.info("listening for AudioSocket on %s:%d, for %s", line.host, port, line.agent)
        return port

    async def close(self) -> None:
        """Take no more connections, and wait for those there are, in bounded time."""
        if self._listener is not None:
            self._listener.close()
        self._undecided.cut_off()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_SHUTDOWN_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            admitted = await self._admitted(reader, writer)
            if admitted is not None:
                await self._serve(PacketSocket(reader, writer, clock=self._clock), admitted)
        except Exception as exc:  # noqa: BLE001 - the outermost frame of a connection
            log_failure(_log, exc, "an AudioSocket connection failed")
        finally:
            writer.transport.abort()

    async def _admitted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Admission | None:
        knocking = _Knocking(writer)
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        self._undecided.came(knocking, peer)
        cut_off = self._clock.call_at(self._clock.now_ms() + HEAD_DEADLINE_MS, knocking.cut_off)
        try:
            with suppress(asyncio.IncompleteReadError, OSError):
                return await self._let_in(await reader.readexactly(ID_PACKET_BYTES))
        finally:
            cut_off()
            self._undecided.decided(knocking)
        return _refused("no id")

    async def _let_in(self, packet: bytes) -> Admission | None:
        identity = id_of(packet)
        if identity is None:
            return _refused("no id")
        if not self._takes(self._line.agent):
            return None
        try:
            admitted = await admit_audiosocket(
                identity, agent=self._line.agent, settings=self._settings, tokens=self._tokens
            )
        except StateUnavailable as exc:
            return _refused(f"nobody knows whether its id is good: {exc}")
        return admitted or _refused("id unknown, used or too old")


def _refused(why: str) -> None:
    """Say so in our log; the far side is told nothing."""
    _log.warning("refused an AudioSocket connection: %s", why)
