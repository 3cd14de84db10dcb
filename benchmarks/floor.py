"""The floor: the least that a server for these calls could do, as a yardstick. No core, no tools, no journal.

It reads every frame, listens for loudness, and after half a second of silence sends two seconds of ready audio, in
pieces of 100 ms with 400 ms of lead and a mark at the end, as the real server does; a caller who cuts in gets a clear.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from voiceagent.audio import FRAME_MS, mulaw_energy
from voiceagent.telephony.pacing import BURST_MS

__all__ = ["main"]

_SPEECH_MS = 2_000
_LEAD_MS = 400
_ONSET_FRAMES = 3
_PATIENCE_FRAMES = 500 // FRAME_MS
_LOUD = 500
_PIECE = base64.b64encode(bytes(range(0x60, 0xC4)) * 8).decode()  # 800 bytes: 100 ms of a sound nobody listens to


class _Call:
    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._stream = ""
        self._loud = 0
        self._quiet = 0
        self._spoke = True  # the greeting is owed
        self._left_ms = 0
        self._playing_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        try:
            async for message in self._connection:
                read = json.loads(message)
                match read["event"]:
                    case "media":
                        self._frame(base64.b64decode(read["media"]["payload"]))
                    case "start":
                        self._stream = read["streamSid"]
                        self._answer()
                    case _:
                        pass
        except ConnectionClosed:
            pass
        finally:
            self._stop()

    def _frame(self, audio: bytes) -> None:
        if mulaw_energy(audio) >= _LOUD:
            self._loud += 1
            self._quiet = 0
            if self._loud == _ONSET_FRAMES:
                self._spoke = True
                if asyncio.get_running_loop().time() < self._playing_until:
                    self._stop()
                    self._send({"event": "clear", "streamSid": self._stream})
            return
        self._loud = 0
        self._quiet += 1
        if self._spoke and self._quiet == _PATIENCE_FRAMES:
            self._answer()

    def _answer(self) -> None:
        self._spoke = False
        self._left_ms = _SPEECH_MS
        self._playing_until = asyncio.get_running_loop().time() + _SPEECH_MS / 1000
        for _ in range(_LEAD_MS // BURST_MS):
            self._piece()
        self._arm()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(BURST_MS / 1000, self._next)

    def _next(self) -> None:
        self._piece()
        if self._left_ms:
            self._arm()
        else:
            self._send({"event": "mark", "streamSid": self._stream, "mark": {"name": "end"}})

    def _piece(self) -> None:
        self._left_ms -= BURST_MS
        self._send({"event": "media", "streamSid": self._stream, "media": {"payload": _PIECE}})

    def _send(self, message: dict[str, object]) -> None:
        broadcast((self._connection,), json.dumps(message))

    def _stop(self) -> None:
        self._playing_until = 0.0
        if self._timer is not None:
            self._timer.cancel()


async def _serve() -> None:
    async def take(connection: ServerConnection) -> None:
        await _Call(connection).run()

    async with serve(take, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it is done


def main() -> None:
    """Serve until standard input is closed; the port is the first line printed."""
    uvloop.run(_serve())


if __name__ == "__main__":
    main()
