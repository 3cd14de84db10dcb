"""OpenAI's agents SDK: a relay between Twilio's socket and a Realtime provider, as its own example has it."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import logging
from itertools import count

from agents import set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimePlaybackTracker, RealtimeRunner, RealtimeSession
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from benchmarks.peers.servers.serving import serve

CHUNK_BYTES = 400
"""50 ms of µ-law both ways, as in the example."""
FLUSHES_AFTER_S = 0.05

agent = RealtimeAgent(name="agent", instructions="Be brief: this is a telephone call.")


class Relay:
    """One call. What an agent says is buffered into chunks, each with marks that tell the SDK what was heard."""

    def __init__(self, carrier: WebSocket, provider_port: int) -> None:
        self.carrier = carrier
        self.provider_port = provider_port
        self.tracker = RealtimePlaybackTracker()
        self.stream = ""
        self.heard = bytearray()
        self.said = bytearray()
        self.numbers = count(1)
        self.sounds: dict[str, tuple[str, int, int]] = {}
        """Mark → the item, its part and the bytes that it stands behind."""
        self.unmarked: list[str] = []

    async def run(self) -> None:
        runner = RealtimeRunner(agent)
        session = await runner.run(
            model_config={
                "api_key": "none",
                "url": f"ws://127.0.0.1:{self.provider_port}/",
                "playback_tracker": self.tracker,
                "initial_model_settings": {
                    "input_audio_format": "g711_ulaw",
                    "output_audio_format": "g711_ulaw",
                    "turn_detection": {"type": "server_vad", "interrupt_response": True, "create_response": True},
                },
            }
        )
        async with session:
            await self.carrier.accept()
            tasks = [asyncio.create_task(self.say(session)), asyncio.create_task(self.flush_stale(session))]
            try:
                await self.listen(session)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def listen(self, session: RealtimeSession) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = json.loads(await self.carrier.receive_text())
                match message["event"]:
                    case "media":
                        self.heard += base64.b64decode(message["media"]["payload"])
                        if len(self.heard) >= CHUNK_BYTES:
                            await self.pass_on(session)
                    case "mark":
                        self.played(message["mark"]["name"])
                    case "start":
                        self.stream = message["streamSid"]
                    case _:
                        pass

    async def pass_on(self, session: RealtimeSession) -> None:
        audio, self.heard = bytes(self.heard), bytearray()
        await session.send_audio(audio)

    def played(self, mark: str) -> None:
        if mark in self.sounds:
            item, part, size = self.sounds.pop(mark)
            self.tracker.on_play_bytes(item, part, bytes(size))

    async def say(self, session: RealtimeSession) -> None:
        async for event in session:
            match event.type:
                case "audio":
                    self.said += event.audio.data
                    mark = str(next(self.numbers))
                    self.sounds[mark] = (event.audio.item_id, event.audio.content_index, len(event.audio.data))
                    self.unmarked.append(mark)
                    if len(self.said) >= CHUNK_BYTES:
                        await self.flush()
                case "audio_interrupted":
                    self.said.clear()
                    self.unmarked.clear()
                    await self.send({"event": "clear", "streamSid": self.stream})
                case "audio_end":
                    await self.flush()
                case _:
                    pass

    async def flush(self) -> None:
        if not self.said:
            return
        payload, self.said = base64.b64encode(self.said).decode(), bytearray()
        marks, self.unmarked = self.unmarked, []
        await self.send({"event": "media", "streamSid": self.stream, "media": {"payload": payload}})
        for mark in marks:
            await self.send({"event": "mark", "streamSid": self.stream, "mark": {"name": mark}})

    async def flush_stale(self, session: RealtimeSession) -> None:
        while True:
            await asyncio.sleep(FLUSHES_AFTER_S)
            if self.said:
                await self.flush()

    async def send(self, message: dict[str, object]) -> None:
        await self.carrier.send_text(json.dumps(message))


def main() -> None:
    """Serve until standard input is closed; the port is the first line printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--companion", type=int, required=True, help="the port of the Realtime provider")
    provider_port = parser.parse_args().companion
    logging.basicConfig(level=logging.WARNING)
    set_tracing_disabled(disabled=True)
    app = FastAPI()

    @app.websocket("/media/twilio/loadtest")
    async def media(carrier: WebSocket) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            await Relay(carrier, provider_port).run()

    serve(app)


if __name__ == "__main__":
    main()
