"""Vocode: its telephone conversation on Twilio's socket, with a fake transcriber, agent and synthesizer."""

from __future__ import annotations

import audioop
import contextlib
import sys
from collections.abc import AsyncGenerator
from types import ModuleType
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from loguru import logger

try:
    import sounddevice  # noqa: F401 - to see whether it can be
except OSError:
    # Its module of telephone output devices imports that of loudspeakers, which a server has not got PortAudio for.
    sys.modules["sounddevice"] = ModuleType("sounddevice")

from vocode.streaming.agent.abstract_factory import AbstractAgentFactory
from vocode.streaming.agent.base_agent import GeneratedResponse, RespondAgent
from vocode.streaming.agent.streaming_utils import collate_response_async
from vocode.streaming.models.agent import AgentConfig
from vocode.streaming.models.message import BaseMessage
from vocode.streaming.models.synthesizer import SynthesizerConfig
from vocode.streaming.models.telephony import TwilioConfig
from vocode.streaming.models.transcriber import TimeEndpointingConfig, TranscriberConfig, Transcription
from vocode.streaming.synthesizer.abstract_factory import AbstractSynthesizerFactory
from vocode.streaming.synthesizer.base_synthesizer import BaseSynthesizer, SynthesisResult
from vocode.streaming.telephony.config_manager.in_memory_config_manager import InMemoryConfigManager
from vocode.streaming.telephony.conversation.twilio_phone_conversation import TwilioPhoneConversation
from vocode.streaming.transcriber.abstract_factory import AbstractTranscriberFactory
from vocode.streaming.transcriber.base_transcriber import BaseAsyncTranscriber

from benchmarks.peers.fakes import LOUD_RMS, ONSET_MS, TOKENS, TRANSCRIPT, hum
from benchmarks.peers.peer import SILENCE_MS
from benchmarks.peers.servers.serving import serve

RATE_HZ = 8000
SOUND = audioop.lin2ulaw(hum(RATE_HZ), 2)


class FakeTranscriber(BaseAsyncTranscriber[TranscriberConfig]):
    """Hears words as soon as somebody is loud, as interim results do, and the whole sentence after the silence."""

    async def _run_loop(self) -> None:
        loud_ms = quiet_ms = 0
        speaking = False
        while True:
            chunk = await self.input_queue.get()
            length_ms = len(chunk) * 1000 // RATE_HZ
            if audioop.rms(audioop.ulaw2lin(chunk, 2), 2) >= LOUD_RMS:
                loud_ms += length_ms
                quiet_ms = 0
                if loud_ms >= ONSET_MS and not speaking:
                    speaking = True
                    self.produce_nonblocking(Transcription(message=TRANSCRIPT, confidence=1.0, is_final=False))
                continue
            loud_ms = 0
            quiet_ms += length_ms
            if speaking and quiet_ms >= SILENCE_MS:
                speaking = False
                self.produce_nonblocking(
                    Transcription(message=TRANSCRIPT, confidence=1.0, is_final=True, duration_seconds=1.2)
                )


class FakeAgent(RespondAgent[AgentConfig]):
    """Streams the same reply to everything, put together into sentences as vocode's own agents do it."""

    async def generate_response(
        self,
        human_input: str,
        conversation_id: str,
        is_interrupt: bool = False,
        bot_was_in_medias_res: bool = False,
    ) -> AsyncGenerator[GeneratedResponse, None]:
        async for sentence in collate_response_async(conversation_id=conversation_id, gen=self._tokens()):
            yield GeneratedResponse(message=BaseMessage(text=sentence), is_interruptible=True)

    async def _tokens(self) -> AsyncGenerator[str, None]:
        for token in TOKENS:
            yield token


class FakeSynthesizer(BaseSynthesizer[SynthesizerConfig]):
    """Has the audio of the reply ready, in µ-law."""

    @classmethod
    def get_voice_identifier(cls, synthesizer_config: SynthesizerConfig) -> str:
        return "hum"

    async def create_speech_uncached(
        self,
        message: BaseMessage,
        chunk_size: int,
        is_first_text_chunk: bool = False,
        is_sole_text_chunk: bool = False,
    ) -> SynthesisResult:
        async def chunks() -> AsyncGenerator[SynthesisResult.ChunkResult, None]:
            for at in range(0, len(SOUND), chunk_size):
                last = at + chunk_size >= len(SOUND)
                yield SynthesisResult.ChunkResult(SOUND[at : at + chunk_size], last)

        def said(seconds: float) -> str:
            return self.get_message_cutoff_from_total_response_length(
                self.synthesizer_config, message, seconds, len(SOUND)
            )

        return SynthesisResult(chunks(), said)


class Factory(AbstractTranscriberFactory, AbstractAgentFactory, AbstractSynthesizerFactory):
    def create_transcriber(self, transcriber_config: TranscriberConfig) -> Any:
        return FakeTranscriber(transcriber_config)

    def create_agent(self, agent_config: AgentConfig) -> Any:
        return FakeAgent(agent_config)

    def create_synthesizer(self, synthesizer_config: SynthesizerConfig) -> Any:
        return FakeSynthesizer(synthesizer_config)


def conversation(configs: InMemoryConfigManager) -> TwilioPhoneConversation:
    factory = Factory()
    return TwilioPhoneConversation(
        direction="inbound",
        from_phone="+15550100",
        to_phone="+15550101",
        base_url="127.0.0.1",
        config_manager=configs,
        agent_config=AgentConfig(initial_message=BaseMessage(text="".join(TOKENS)), interrupt_sensitivity="high"),
        transcriber_config=TranscriberConfig.from_telephone_input_device(
            endpointing_config=TimeEndpointingConfig(time_cutoff_seconds=SILENCE_MS / 1000)
        ),
        synthesizer_config=SynthesizerConfig.from_telephone_output_device(),
        twilio_sid="CA0",
        agent_factory=factory,
        transcriber_factory=factory,
        synthesizer_factory=factory,
        twilio_config=TwilioConfig(account_sid="AC0", auth_token="none"),  # noqa: S106 - there is no Twilio
    )


def main() -> None:
    """Serve until standard input is closed; the port is the first line printed."""
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    configs = InMemoryConfigManager()
    app = FastAPI()

    @app.websocket("/media/twilio/loadtest")
    async def media(carrier: WebSocket) -> None:
        await carrier.accept()
        call = conversation(configs)
        with contextlib.suppress(WebSocketDisconnect):
            await call.attach_ws_and_start(carrier)
        await call.terminate()

    serve(app)


if __name__ == "__main__":
    main()
