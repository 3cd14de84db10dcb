"""Pipecat: its FastAPI transport, its Twilio serializer, and the pipeline of its own example with fake services."""

from __future__ import annotations

import argparse
import audioop
import sys
from collections.abc import AsyncGenerator
from dataclasses import fields

from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams
from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMRunFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy, TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

from benchmarks.peers.fakes import LOUD_RMS, ONSET_MS, TOKENS, TRANSCRIPT, hum
from benchmarks.peers.peer import SILENCE_MS
from benchmarks.peers.servers.serving import serve

RATE_HZ = 8000
STOP_S = 0.2
"""Pipecat's default, which it warns about when changed; the rest of the silence is the turn strategy's."""
SOUND = hum(RATE_HZ)


class LoudnessVAD(VADAnalyzer):
    """Loud is voice. In windows as long as Silero's at this rate."""

    def num_frames_required(self) -> int:
        return 256

    def voice_confidence(self, buffer: bytes) -> float:
        return float(audioop.rms(buffer, 2) >= LOUD_RMS)


class FakeSTT(STTService):
    """Hears the same sentence whenever the caller pauses, at once and for good."""

    def __init__(self) -> None:
        super().__init__(ttfs_p99_latency=0.0, settings=STTSettings(model=None, language=None))

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            await self.push_frame(TranscriptionFrame(TRANSCRIPT, "", time_now_iso8601(), finalized=True))


class FakeLLM(LLMService):
    """Streams the same reply to everything."""

    def __init__(self) -> None:
        unset = dict.fromkeys(each.name for each in fields(LLMSettings) if each.name != "extra")
        super().__init__(settings=LLMSettings(**unset))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        for token in TOKENS:
            await self._push_llm_text(token)
        await self.push_frame(LLMFullResponseEndFrame())


class FakeTTS(TTSService):
    """Has the audio of the reply ready, in one piece, at the rate of the telephone."""

    def __init__(self) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model=None, voice=None, language=None),
        )

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        yield TTSAudioRawFrame(SOUND, RATE_HZ, 1, context_id=context_id)


def vad(kind: str) -> VADAnalyzer:
    if kind == "silero":
        return SileroVADAnalyzer(params=VADParams(stop_secs=STOP_S))
    # The gate on volume would make a second, slower judge of loudness out of it.
    return LoudnessVAD(params=VADParams(start_secs=ONSET_MS / 1000, stop_secs=STOP_S, min_volume=0.0))


def strategies(*, smart_turn: bool) -> UserTurnStrategies:
    if smart_turn:
        return UserTurnStrategies(stop=[TurnAnalyzerUserTurnStopStrategy(turn_analyzer=LocalSmartTurnAnalyzerV3())])
    rest_s = SILENCE_MS / 1000 - STOP_S
    return UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=rest_s)])


async def talk(websocket: WebSocket, options: argparse.Namespace) -> None:
    _, call = await parse_telephony_websocket(websocket)
    serializer = TwilioFrameSerializer(
        stream_sid=call["stream_id"],
        call_sid=call["call_id"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),  # there is no Twilio to ask
    )
    transport = FastAPIWebsocketTransport(
        websocket=websocket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, add_wav_header=False, serializer=serializer
        ),
    )
    aggregators = LLMContextAggregatorPair(
        LLMContext([{"role": "user", "content": "Please introduce yourself to the user."}]),
        user_params=LLMUserAggregatorParams(
            vad_analyzer=vad(options.vad), user_turn_strategies=strategies(smart_turn=options.smart_turn)
        ),
    )
    pipeline = Pipeline(
        [
            transport.input(),
            FakeSTT(),
            aggregators.user(),
            FakeLLM(),
            FakeTTS(),
            transport.output(),
            aggregators.assistant(),
        ]
    )
    worker = PipelineWorker(
        pipeline, params=PipelineParams(audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ)
    )

    @transport.event_handler("on_client_connected")
    async def greet(_transport: object, _client: object) -> None:
        await worker.queue_frames([LLMRunFrame()])

    @transport.event_handler("on_client_disconnected")
    async def hang_up(_transport: object, _client: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


def main() -> None:
    """Serve until standard input is closed; the port is the first line printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vad", choices=("loudness", "silero"), default="loudness")
    parser.add_argument("--smart-turn", action="store_true")
    options = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    app = FastAPI()

    @app.websocket("/media/twilio/loadtest")
    async def media(websocket: WebSocket) -> None:
        await websocket.accept()
        await talk(websocket, options)

    serve(app)


if __name__ == "__main__":
    main()
