"""An agent that does what a test tells it, behind the real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from tests.peers.phone import now_ms, tone
from voiceagent.console.lines import open_lines
from voiceagent.core.events import Event, LegLost, PlayoutReached, PlayoutStopped
from voiceagent.ports import IncomingCall
from voiceagent.runtime.clock import SystemClock
from voiceagent.speech.samples import encoded
from voiceagent.telephony.audiosocket import HEAD_BYTES
from voiceagent.telephony.call_control import CallControl
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["Desk", "DeskCall", "Relay", "open_desk"]


class DeskCall:
    """One connection to a caller, and everything that was heard and told on it."""

    def __init__(self, incoming: IncomingCall) -> None:
        self.incoming = incoming
        self.leg = incoming.leg
        self.audio = bytearray()
        self.told: list[tuple[float, Event]] = []
        self._news = asyncio.Event()
        self.leg.attach(self)

    def audio_arrived(self, audio: bytes) -> None:
        self.audio += audio
        self._news.set()

    def post(self, event: Event) -> None:
        self.told.append((now_ms(), event))
        self._news.set()

    def say(self, utterance: str, pitch: int, length_ms: int, *, clause: int = 0, last: bool = True) -> None:
        """Say a tone, and that the clause ends with it."""
        audio = self.leg.audio_out
        self.play(utterance, encoded(tone(pitch, length_ms, audio.rate_hz), audio), clause=clause, last=last)

    def play(self, utterance: str, audio: bytes, *, clause: int = 0, last: bool = True) -> None:
        """Say what is in the leg's own format, and that the clause ends with it."""
        self.leg.play(utterance, audio)
        self.leg.end_clause(utterance, clause, last=last)

    def note_audio_written(self) -> list[tuple[float, float]]:
        """Return a list in which, from now on, every write to the connection is noted: when, and how much, in ms."""
        socket, written = self.leg._socket, []
        write, a_ms = socket.write, self.leg.audio_out.bytes_per_ms
        head_bytes = HEAD_BYTES if self.leg.features.dialect == "audiosocket" else 0

        def noted(message: str | bytes) -> None:
            write(message)
            if isinstance(message, bytes):
                written.append((now_ms(), (len(message) - head_bytes) / a_ms))

        socket.write = noted
        return written

    async def until(self, what: Callable[[], object], within_s: float = 10) -> None:
        """Wait until something holds, at the latest until nothing more is to be expected."""
        async with asyncio.timeout(within_s):
            while not what():
                self._news.clear()
                await self._news.wait()

    def times_of(self, kind: type[Event]) -> list[float]:
        return [at_ms for at_ms, event in self.told if isinstance(event, kind)]

    def reached(self, utterance: str) -> float | None:
        """When an utterance was told to have been heard to its end."""
        ends = [at for at, e in self.told if isinstance(e, PlayoutReached) and e.utterance == utterance and e.finished]
        return ends[0] if ends else None

    @property
    def stopped(self) -> list[PlayoutStopped]:
        return [event for _, event in self.told if isinstance(event, PlayoutStopped)]


class Desk:
    """Takes every call and hands it to the test."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[DeskCall] = asyncio.Queue()
        self._latest: DeskCall | None = None
        self._taken = 0

    async def may_go_on(self, agent: str, call: str) -> bool:
        """A call goes on once, unless somebody has hung up."""
        latest = self._latest
        if latest is None or (agent, call) != ("desk", latest.incoming.call) or self._taken > 1:
            return False
        lost = [event for _, event in latest.told if isinstance(event, LegLost)]
        return lost[0].may_return if lost else not latest.leg._state.hanging_up

    async def __call__(self, incoming: IncomingCall) -> None:
        call = DeskCall(incoming)
        self._latest, self._taken = call, self._taken + 1
        self.calls.put_nowait(call)
        await call.until(lambda: any(type(event).__name__ == "LegLost" for _, event in call.told), within_s=180)


@asynccontextmanager
async def open_desk(
    port: int, *, controls: Mapping[str, CallControl] | None = None, **settings: object
) -> AsyncGenerator[Desk]:
    desk = Desk()
    telephony = TelephonySettings(agents=frozenset({"desk"}), asterisk_password="s3cret", port=port, **settings)  # type: ignore[arg-type] - pydantic looks at it
    async with open_lines(
        telephony,
        handler=desk,
        healthy=lambda: True,
        clock=SystemClock(),
        may_go_on=desk.may_go_on,
        controls=controls,
    ):
        yield desk


class Relay:
    """Stands between two ends of a connection: cuts it, or notes when what came through."""

    def __init__(self, to_port: int, *, withholds: Sequence[bytes] = (), away_ms: int = 0) -> None:
        """`withholds`: what is kept from the near end where the far end sends it; `away_ms`: how far that end is."""
        self._to_port = to_port
        self._withheld = withholds
        self._away_ms = away_ms
        self._connections: set[asyncio.Task[None]] = set()
        self.passed: list[tuple[float, bytes]] = []
        """What came back from the far end, and when."""

    @asynccontextmanager
    async def between(self, port: int) -> AsyncGenerator[None]:
        with socket.create_server(("127.0.0.1", port)) as listening:
            listening.setblocking(False)
            accepting = asyncio.create_task(self._accept(listening))
            try:
                yield
            finally:
                accepting.cancel()
                self.cut()
                await asyncio.gather(accepting, *self._connections, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            near, _ = await asyncio.get_running_loop().sock_accept(listening)
            connection = asyncio.create_task(self._connect(near))
            self._connections.add(connection)
            connection.add_done_callback(self._connections.discard)

    async def _connect(self, near: socket.socket) -> None:
        with near, socket.socket() as far:
            far.setblocking(False)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.sleep(self._away_ms / 1000)
            await asyncio.get_running_loop().sock_connect(far, ("127.0.0.1", self._to_port))
            await asyncio.gather(self._pass(near, far), self._pass(far, near, noted=True))

    async def _pass(self, of: socket.socket, to: socket.socket, *, noted: bool = False) -> None:
        """Pass on all that one end sends, and that it has ended: whoever listens no more may have said goodbye before.

        So these are no streams: one that cannot be written to forgets what has come and was not read.
        """
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while data := await loop.sock_recv(of, 65_536):
                if noted:
                    self.passed.append((now_ms(), data))
                    for withheld in self._withheld:
                        data = data.replace(withheld, b"")
                with suppress(ConnectionError):
                    await loop.sock_sendall(to, data)
        with suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Break every connection off without a word."""
        for connection in self._connections:
            connection.cancel()
