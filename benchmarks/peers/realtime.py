"""A Realtime provider on this machine: answers half a second after the caller's voice, with all of it at once.

As much of OpenAI's Realtime protocol as a relay between it and a carrier uses. µ-law both ways, voice activity
detected on this side, which tells of a caller who cuts in and considers its reply cancelled, as the provider does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Iterator
from itertools import count

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.peers.fakes import ONSET_MS, SPEECH_MS, TOKENS, TRANSCRIPT, hum
from benchmarks.peers.peer import SILENCE_MS
from voiceagent.audio import FRAME_MS, mulaw_energy, pcm16_to_mulaw

__all__ = ["main"]

_RATE_HZ = 8000
_FRAME_BYTES = _RATE_HZ * FRAME_MS // 1000
_LOUD = 500
_PIECE_MS = 100
_SPEECH = pcm16_to_mulaw(hum(_RATE_HZ))
_PIECES = tuple(
    base64.b64encode(_SPEECH[at : at + _RATE_HZ * _PIECE_MS // 1000]).decode()
    for at in range(0, len(_SPEECH), _RATE_HZ * _PIECE_MS // 1000)
)
_SESSION = {"type": "realtime", "model": "gpt-realtime", "object": "realtime.session", "id": "sess_1"}


class _Conversation:
    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._numbers = count(1)
        self._unheard = bytearray()
        self._at_ms = 0
        self._loud_ms = 0
        self._quiet_ms = 0
        self._item = ""
        """What the caller is saying; empty while the caller is silent."""
        self._greeted = False

    async def run(self) -> None:
        self._send("session.created", session=_SESSION)
        try:
            async for message in self._connection:
                read = json.loads(message)
                match read["type"]:
                    case "input_audio_buffer.append":
                        self._listen(base64.b64decode(read["audio"]))
                    case "session.update":
                        self._send("session.updated", session=_SESSION)
                    case "conversation.item.truncate":
                        self._send(
                            "conversation.item.truncated",
                            item_id=read["item_id"],
                            content_index=read["content_index"],
                            audio_end_ms=read["audio_end_ms"],
                        )
                    case _:
                        pass  # nothing that the caller would hear
        except ConnectionClosed:
            pass

    def _listen(self, audio: bytes) -> None:
        if not self._greeted:
            self._greeted = True
            self._reply()
        self._unheard += audio
        whole = len(self._unheard) - len(self._unheard) % _FRAME_BYTES
        for at in range(0, whole, _FRAME_BYTES):
            self._frame(bytes(self._unheard[at : at + _FRAME_BYTES]))
        del self._unheard[:whole]

    def _frame(self, audio: bytes) -> None:
        self._at_ms += FRAME_MS
        if mulaw_energy(audio) >= _LOUD:
            self._quiet_ms = 0
            self._loud_ms += FRAME_MS
            if self._loud_ms == ONSET_MS and not self._item:
                self._item = self._id("item")
                began_ms = self._at_ms - ONSET_MS
                self._send("input_audio_buffer.speech_started", audio_start_ms=began_ms, item_id=self._item)
            return
        self._loud_ms = 0
        self._quiet_ms += FRAME_MS
        if self._item and self._quiet_ms == SILENCE_MS:
            self._heard(self._item)
            self._item = ""
            self._reply()

    def _heard(self, item: str) -> None:
        said = {"type": "input_audio", "transcript": TRANSCRIPT}
        kept = {"id": item, "type": "message", "role": "user", "status": "completed", "content": [said]}
        self._send("input_audio_buffer.speech_stopped", audio_end_ms=self._at_ms - SILENCE_MS, item_id=item)
        self._send("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        self._send("conversation.item.added", item=kept, previous_item_id=None)
        self._send(
            "conversation.item.input_audio_transcription.completed",
            item_id=item,
            content_index=0,
            transcript=TRANSCRIPT,
            usage={"type": "duration", "seconds": 1.2},
        )

    def _reply(self) -> None:
        response, item = self._id("resp"), self._id("item")
        where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        part = {"type": "audio", "transcript": ""}
        message = {
            "id": item,
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": list[object](),
        }
        self._send(
            "response.created", response={"id": response, "object": "realtime.response", "status": "in_progress"}
        )
        self._send("response.output_item.added", response_id=response, output_index=0, item=message)
        self._send("conversation.item.added", item=message, previous_item_id=None)
        self._send("response.content_part.added", **where, part=part)
        for kind, delta in _deltas():
            self._send(kind, **where, delta=delta)
        whole = "".join(TOKENS)
        said = {"type": "output_audio", "transcript": whole}
        done = {**message, "status": "completed", "content": [said]}
        self._send("response.output_audio.done", **where)
        self._send("response.output_audio_transcript.done", **where, transcript=whole)
        self._send("response.content_part.done", **where, part={"type": "audio", "transcript": whole})
        self._send("response.output_item.done", response_id=response, output_index=0, item=done)
        ended = {"id": response, "object": "realtime.response", "status": "completed", "output": [done]}
        self._send("response.done", response=ended)

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def _send(self, kind: str, **fields: object) -> None:
        message = {"type": kind, "event_id": self._id("event"), **fields}
        broadcast((self._connection,), json.dumps(message))


def _deltas() -> Iterator[tuple[str, str]]:
    """Yield the pieces of a reply as they are sent: words and sound in turn, until the sound ends."""
    for number, token in enumerate(TOKENS):
        if number < len(_PIECES):
            yield "response.output_audio.delta", _PIECES[number]
        yield "response.output_audio_transcript.delta", token
    assert len(_PIECES) * _PIECE_MS == SPEECH_MS
    assert len(_PIECES) <= len(TOKENS)


async def _serve() -> None:
    async def take(connection: ServerConnection) -> None:
        await _Conversation(connection).run()

    async with serve(take, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it is done


def main() -> None:
    """Serve until standard input is closed; the port is the first line printed."""
    uvloop.run(_serve())


if __name__ == "__main__":
    main()
