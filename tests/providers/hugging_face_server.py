"""The protocol layer of Hugging Face's `speech-to-speech`, served: its own code but for ears, brain and mouth.

Run as a program, it prints the port it listens on. What would be models are rules here: sound that is not silence is
speech, an utterance is a question after the balance, and a reply says which prompt it was made under.
"""

from __future__ import annotations

import socket
import threading
from base64 import b64decode
from itertools import count
from queue import Queue
from typing import Any

import numpy as np
import uvicorn
from fastapi import Response
from openai.types.realtime import InputAudioBufferAppendEvent, RealtimeConversationItemFunctionCall
from openai.types.responses.response_function_tool_call import ResponseFunctionToolCall
from speech_to_speech.api.openai_realtime.pipeline_unit import PipelineUnit
from speech_to_speech.api.openai_realtime.service import RealtimeService
from speech_to_speech.api.openai_realtime.websocket_router import create_app
from speech_to_speech.pipeline.cancel_scope import CancelScope
from speech_to_speech.pipeline.control import is_control_message
from speech_to_speech.pipeline.events import (
    AssistantOutputEvent,
    AssistantResponseDoneEvent,
    SpeechStartedEvent,
    SpeechStoppedEvent,
    TokenUsageEvent,
    TranscriptionCompletedEvent,
)
from speech_to_speech.pipeline.history import ResponseHistory
from speech_to_speech.pipeline.messages import (
    AUDIO_RESPONSE_DONE,
    AssistantTextPart,
    AssistantToolCallPart,
    AudioOutput,
    GenerateResponseRequest,
)

SESSIONS = 4
"""That the server takes at a time."""
QUESTION = "What is my balance?"
_SILENT_CHUNKS = 10
_CHUNK_MS = 32
_REPLY_CHUNKS = 30
_NUMBERS = count(1)


class ListeningService(RealtimeService):
    """The service as it is, which also keeps what it is sent."""

    heard = bytearray()

    def handle_audio_append(self, conn_id: str, event: InputAudioBufferAppendEvent) -> list[bytes]:
        self.heard.extend(b64decode(event.audio))
        return super().handle_audio_append(conn_id, event)


def listen(unit: PipelineUnit) -> None:
    """Tell speech from silence, and take whatever was said for the same question."""
    speaking, silent, chunks, turn = False, 0, 0, ""
    while True:
        arrived = unit.input_queue.get()
        if is_control_message(arrived):
            speaking, silent = False, 0
            unit.output_queue.put(arrived)
            continue
        chunks += 1
        loud = bool(np.frombuffer(arrived[0], dtype="<i2").any())
        silent = 0 if loud else silent + 1
        if loud and not speaking:
            speaking, turn = True, f"turn_{next(_NUMBERS)}"
            unit.text_output_queue.put(
                SpeechStartedEvent(audio_start_ms=chunks * _CHUNK_MS, turn_id=turn, turn_revision=0)
            )
        elif speaking and silent >= _SILENT_CHUNKS:
            speaking = False
            for event in (
                SpeechStoppedEvent(audio_end_ms=chunks * _CHUNK_MS, duration_s=1.0, turn_id=turn, turn_revision=0),
                TranscriptionCompletedEvent(transcript=QUESTION, turn_id=turn, turn_revision=0),
            ):
                unit.text_output_queue.put(event)


def think(unit: PipelineUnit) -> None:
    """Ask for the balance where it may, and otherwise say the prompt and what came last."""
    while True:
        asked: GenerateResponseRequest = unit.text_prompt_queue.get()
        generation = unit.cancel_scope.generation
        tags: dict[str, Any] = {"response_key": asked.response_key, "cancel_generation": generation}
        turn: dict[str, Any] = {"turn_id": asked.turn_id, "turn_revision": asked.turn_revision}
        session, chat = asked.runtime_config.session, asked.runtime_config.chat
        last = chat.buffer[-1] if chat.buffer else None
        words = _words(last)
        may_ask = any(getattr(tool, "name", None) == "get_balance" for tool in session.tools or ())
        put = unit.output_queue.put
        put(TokenUsageEvent(input_tokens=50, output_tokens=5, **tags, **turn))
        if may_ask and words == QUESTION:
            call = ResponseFunctionToolCall(
                type="function_call",
                call_id=f"call_{next(_NUMBERS)}",
                name="get_balance",
                arguments='{"account":"7"}',
                status="completed",
            )
            item = RealtimeConversationItemFunctionCall(
                type="function_call", call_id=call.call_id, name=call.name, arguments=call.arguments
            )
            history = ResponseHistory.capture(
                chat, [item], after_item_id=last.id if last is not None else None, complete=True
            )
            put(AssistantOutputEvent(parts=[AssistantToolCallPart(tool=call)], history=history, **tags, **turn))
        else:
            said = f"{session.instructions} {words}"
            put(AssistantOutputEvent(parts=[AssistantTextPart(text=said)], **tags, **turn))
            for number in range(_REPLY_CHUNKS):
                if unit.cancel_scope.is_stale(generation):
                    break
                put(AudioOutput(audio=np.full(512, 1_000 + number, dtype="<i2"), **tags))
        put(AssistantResponseDoneEvent(**tags, **turn))
        put(AudioOutput(audio=AUDIO_RESPONSE_DONE, **tags))


def _words(item: object) -> str:
    if getattr(item, "type", None) == "function_call_output":
        return str(getattr(item, "output", ""))
    return " ".join(part.text or part.transcript or "" for part in getattr(item, "content", None) or ())


def pipeline(index: int) -> PipelineUnit:
    """Return what serves one session at a time, its threads running."""
    prompts: Queue[Any] = Queue()
    should_listen = threading.Event()
    unit = PipelineUnit(
        index=index,
        service=ListeningService(text_prompt_queue=prompts, should_listen=should_listen, chat_size=50),
        cancel_scope=CancelScope(),
        should_listen=should_listen,
        response_playing=threading.Event(),
        input_queue=Queue(),
        output_queue=Queue(),
        text_output_queue=Queue(),
        text_prompt_queue=prompts,
        handlers=[],
    )
    for work in (listen, think):
        threading.Thread(target=work, args=(unit,), daemon=True).start()
    return unit


def main() -> None:
    app = create_app(pool=[pipeline(index) for index in range(SESSIONS)], stop_event=threading.Event())

    @app.get("/heard")
    async def heard() -> Response:
        return Response(bytes(ListeningService.heard), media_type="application/octet-stream")

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(listening.getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads it
        uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


if __name__ == "__main__":
    main()
