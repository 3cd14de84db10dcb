"""LiveKit Agents without its media server: an AgentSession whose sound comes from and goes to Twilio's socket."""

from __future__ import annotations

import asyncio
import audioop
import base64
import contextlib
import json
import logging
import time
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, stt, tts, vad
from livekit.agents.voice import io

from benchmarks.peers.fakes import LOUD_RMS, ONSET_MS, TOKENS, TRANSCRIPT, hum
from benchmarks.peers.peer import SILENCE_MS
from benchmarks.peers.servers.serving import serve

RATE_HZ = 8000
SOUND = hum(RATE_HZ)
WINDOW_BYTES = 512
"""32 ms, as long as Silero's windows, which LiveKit's own detector has."""
WINDOW_S = WINDOW_BYTES / 2 / RATE_HZ
PAUSE_S = 0.25
"""Silence after which LiveKit's own detector says that speech has ended; the endpointing waits for the rest."""


class FakeSTT(stt.STT):
    """Hears the same sentence when it is told that the caller pauses."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.paused = False

    async def _recognize_impl(self, buffer: Any, *, language: Any, conn_options: Any) -> stt.SpeechEvent:
        raise NotImplementedError("a session streams what can be streamed")

    def stream(self, *, language: Any = None, conn_options: Any = None) -> stt.RecognizeStream:
        return FakeSTTStream(stt=self, conn_options=conn_options)


class FakeSTTStream(stt.RecognizeStream):
    async def _run(self) -> None:
        async for _ in self._input_ch:
            if self._stt.paused:
                self._stt.paused = False
                self.hear()

    def hear(self) -> None:
        heard = stt.SpeechData(language="en", text=TRANSCRIPT, confidence=1.0)
        self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[heard]))


class FakeLLM(llm.LLM):
    """Streams the same reply to everything."""

    def chat(self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = None, **_: Any) -> llm.LLMStream:
        return FakeLLMStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class FakeLLMStream(llm.LLMStream):
    async def _run(self) -> None:
        for token in TOKENS:
            delta = llm.ChoiceDelta(role="assistant", content=token)
            self._event_ch.send_nowait(llm.ChatChunk(id="reply", delta=delta))


class FakeTTS(tts.TTS):
    """Has the audio of the reply ready when its first words come, at the rate of the telephone."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=RATE_HZ, num_channels=1)

    def synthesize(self, text: str, *, conn_options: Any = None) -> tts.ChunkedStream:
        raise NotImplementedError("a session streams what can be streamed")

    def stream(self, *, conn_options: Any = None) -> tts.SynthesizeStream:
        return FakeTTSStream(tts=self, conn_options=conn_options)


class FakeTTSStream(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id="reply", sample_rate=RATE_HZ, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id="reply")
        said = False
        async for text in self._input_ch:
            if isinstance(text, str) and not said:
                said = True
                self._mark_started()
                output_emitter.push(SOUND)
        output_emitter.end_segment()


class LoudnessVAD(vad.VAD):
    """Loud is voice. It tells the fake recognizer of pauses, which then needs no detector of its own."""

    def __init__(self, heard_by: FakeSTT) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=WINDOW_S))
        self.heard_by = heard_by

    def stream(self) -> vad.VADStream:
        return LoudnessVADStream(self)


class LoudnessVADStream(vad.VADStream):
    async def _main_task(self) -> None:
        unheard = bytearray()
        speaking = False
        loud_s = quiet_s = speech_s = 0.0
        samples = 0
        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                unheard.clear()
                speaking, loud_s, quiet_s, speech_s = False, 0.0, 0.0, 0.0
                continue
            unheard += frame.data.cast("B")
            while len(unheard) >= WINDOW_BYTES:
                loud = audioop.rms(unheard[:WINDOW_BYTES], 2) >= LOUD_RMS
                del unheard[:WINDOW_BYTES]
                samples += WINDOW_BYTES // 2
                loud_s, quiet_s = (loud_s + WINDOW_S, 0.0) if loud else (0.0, quiet_s + WINDOW_S)
                speech_s += WINDOW_S if speaking else 0.0
                self.tell(vad.VADEventType.INFERENCE_DONE, samples, speech_s, quiet_s, speaking, loud_s)
                if not speaking and loud_s >= ONSET_MS / 1000:
                    speaking, speech_s = True, loud_s
                    self.tell(vad.VADEventType.START_OF_SPEECH, samples, speech_s, 0.0, speaking, loud_s)
                elif speaking and quiet_s >= PAUSE_S:
                    speaking = False
                    self._vad.heard_by.paused = True
                    self.tell(vad.VADEventType.END_OF_SPEECH, samples, speech_s - quiet_s, quiet_s, speaking, loud_s)
                    speech_s = 0.0

    def tell(self, kind: Any, samples: int, speech_s: float, quiet_s: float, speaking: bool, loud_s: float) -> None:
        self._event_ch.send_nowait(
            vad.VADEvent(
                type=kind,
                samples_index=samples,
                timestamp=samples / RATE_HZ,
                speech_duration=speech_s,
                silence_duration=quiet_s,
                probability=float(loud_s > 0),
                speaking=speaking,
                raw_accumulated_speech=loud_s,
                raw_accumulated_silence=quiet_s,
            )
        )


class Heard(io.AudioInput):
    """The caller's voice, frame by frame as it comes."""

    def __init__(self) -> None:
        super().__init__(label="twilio")
        self.frames: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue()

    async def __anext__(self) -> rtc.AudioFrame:
        frame = await self.frames.get()
        if frame is None:
            raise StopAsyncIteration
        return frame


class Said(io.AudioOutput):
    """What the agent says, sent at once: the carrier plays it out, and echoes a mark when it has."""

    def __init__(self, carrier: WebSocket, stream: str) -> None:
        super().__init__(label="twilio", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=RATE_HZ)
        self.carrier = carrier
        self.stream = stream
        self.unsent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.segment = 0
        self.length_s = 0.0
        self.began_s = 0.0
        self.finished = True

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self.finished:
            self.segment += 1
            self.finished, self.length_s, self.began_s = False, 0.0, time.time()
            self.on_playback_started(created_at=self.began_s)
        self.length_s += frame.duration
        payload = base64.b64encode(audioop.lin2ulaw(frame.data.cast("B"), 2)).decode()
        self.unsent.put_nowait({"event": "media", "media": {"payload": payload}})

    def flush(self) -> None:
        super().flush()
        if not self.finished:
            self.unsent.put_nowait({"event": "mark", "mark": {"name": str(self.segment)}})

    def clear_buffer(self) -> None:
        if not self.finished:
            self.unsent.put_nowait({"event": "clear"})
            self.finish(min(time.time() - self.began_s, self.length_s), interrupted=True)

    def played(self, mark: str) -> None:
        if mark == str(self.segment) and not self.finished:
            self.finish(self.length_s, interrupted=False)

    def finish(self, position_s: float, *, interrupted: bool) -> None:
        self.finished = True
        self.on_playback_finished(playback_position=position_s, interrupted=interrupted)

    async def send(self) -> None:
        while True:
            message = await self.unsent.get()
            await self.carrier.send_text(json.dumps({**message, "streamSid": self.stream}))


class Greeter(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Be brief: this is a telephone call.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the caller.")


def session_of() -> AgentSession:
    ears = FakeSTT()
    return AgentSession(
        stt=ears,
        vad=LoudnessVAD(ears),
        llm=FakeLLM(),
        tts=FakeTTS(),
        turn_handling={
            "turn_detection": "vad",
            "endpointing": {"min_delay": SILENCE_MS / 1000},
            "interruption": {"mode": "vad", "min_duration": ONSET_MS / 1000},
        },
    )


async def talk(carrier: WebSocket) -> None:
    stream = ""
    while not stream:
        message = json.loads(await carrier.receive_text())
        stream = message.get("streamSid", "")
    heard, said = Heard(), Said(carrier, stream)
    session = session_of()
    session.input.audio, session.output.audio = heard, said
    sending = asyncio.create_task(said.send())
    await session.start(Greeter())
    try:
        while True:
            message = json.loads(await carrier.receive_text())
            match message["event"]:
                case "media":
                    pcm = audioop.ulaw2lin(base64.b64decode(message["media"]["payload"]), 2)
                    heard.frames.put_nowait(rtc.AudioFrame(pcm, RATE_HZ, 1, len(pcm) // 2))
                case "mark":
                    said.played(message["mark"]["name"])
                case _:
                    pass
    finally:
        heard.frames.put_nowait(None)
        sending.cancel()
        await session.aclose()


def main() -> None:
    """Serve until standard input is closed; the port is the first line printed."""
    logging.basicConfig(level=logging.WARNING)
    app = FastAPI()

    @app.websocket("/media/twilio/loadtest")
    async def media(carrier: WebSocket) -> None:
        await carrier.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await talk(carrier)

    serve(app)


if __name__ == "__main__":
    main()
