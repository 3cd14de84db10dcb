"""The protocol layer of Hugging Face's `speech-to-speech`, served: its own code but for ears, brain and mouth.

Run as a program, it prints the port it listens on. What would be models are rules here: sound that is not silence is
speech, an utterance is a question after the balance, and a reply says which prompt it was made under. With the name of
a mind (`bank` or `desk`) it knows the caller's sentences by their sound, and does what that mind decides.
"""

from __future__ import annotations

import socket
import sys
import threading
from base64 import b64decode
from collections.abc import Callable
from itertools import count
from pathlib import Path
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

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.providers.minds import (
    Knows,
    Mind,
    arguments_of,
    bank_mind,
    desk_mind,
    desk_sentences,
    usual_sentences,
)

SESSIONS = 4
"""That the server takes at a time."""
QUESTION = "What is my balance?"
_SILENT_CHUNKS = 10
_CHUNK_MS = 32
_REPLY_CHUNKS = 30
_NUMBERS = count(1)
_RATE_HZ = 16_000
"""At which the pipeline hears and speaks."""

Understand = Callable[[bytes], str]
"""What was said in the sound of an utterance."""
Decide = Callable[[Any, Any], str | tuple[str, str]]
"""What is said, or which tool is asked for with which arguments, in this session after this conversation."""


class ListeningService(RealtimeService):
    """The service as it is, which also keeps what it is sent."""

    heard = bytearray()

    def handle_audio_append(self, conn_id: str, event: InputAudioBufferAppendEvent) -> list[bytes]:
        self.heard.extend(b64decode(event.audio))
        return super().handle_audio_append(conn_id, event)


def listen(unit: PipelineUnit, understand: Understand) -> None:
    """Tell speech from silence."""
    speaking, silent, chunks, turn = False, 0, 0, ""
    utterance = b""
    while True:
        arrived = unit.input_queue.get()
        if is_control_message(arrived):
            speaking, silent, chunks, utterance = False, 0, 0, b""
            unit.output_queue.put(arrived)
            continue
        chunks += 1
        loud = bool(np.frombuffer(arrived[0], dtype="<i2").any())
        silent = 0 if loud else silent + 1
        utterance = utterance + bytes(arrived[0]) if loud or speaking else b""
        if loud and not speaking:
            speaking, turn = True, f"turn_{next(_NUMBERS)}"
            unit.text_output_queue.put(
                SpeechStartedEvent(audio_start_ms=chunks * _CHUNK_MS, turn_id=turn, turn_revision=0)
            )
        elif speaking and silent >= _SILENT_CHUNKS:
            speaking = False
            for event in (
                SpeechStoppedEvent(audio_end_ms=chunks * _CHUNK_MS, duration_s=1.0, turn_id=turn, turn_revision=0),
                TranscriptionCompletedEvent(transcript=understand(utterance), turn_id=turn, turn_revision=0),
            ):
                unit.text_output_queue.put(event)


def think(unit: PipelineUnit, decide: Decide) -> None:
    """Say what is decided, or ask for a tool."""
    while True:
        asked: GenerateResponseRequest = unit.text_prompt_queue.get()
        generation = unit.cancel_scope.generation
        tags: dict[str, Any] = {"response_key": asked.response_key, "cancel_generation": generation}
        turn: dict[str, Any] = {"turn_id": asked.turn_id, "turn_revision": asked.turn_revision}
        session, chat = asked.runtime_config.session, asked.runtime_config.chat
        last = chat.buffer[-1] if chat.buffer else None
        decided = decide(session, chat)
        put = unit.output_queue.put
        put(TokenUsageEvent(input_tokens=50, output_tokens=5, **tags, **turn))
        if not isinstance(decided, str):
            name, arguments = decided
            call = ResponseFunctionToolCall(
                type="function_call",
                call_id=f"call_{next(_NUMBERS)}",
                name=name,
                arguments=arguments,
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
            put(AssistantOutputEvent(parts=[AssistantTextPart(text=decided)], **tags, **turn))
            for number in range(_REPLY_CHUNKS):
                if unit.cancel_scope.is_stale(generation):
                    break
                put(AudioOutput(audio=np.full(512, 1_000 + number, dtype="<i2"), **tags))
        put(AssistantResponseDoneEvent(**tags, **turn))
        put(AudioOutput(audio=AUDIO_RESPONSE_DONE, **tags))


def ask_for_the_balance(session: Any, chat: Any) -> str | tuple[str, str]:
    """Ask for the balance where it may be asked for, and otherwise say the prompt and what came last."""
    words = _words(chat.buffer[-1] if chat.buffer else None)
    if "get_balance" in _tools(session) and words == QUESTION:
        return "get_balance", '{"account":"7"}'
    return f"{session.instructions} {words}"


def as_a_mind_decides(mind: Mind) -> Decide:
    """Decide by what came last, which only the conversation says."""

    def decide(session: Any, chat: Any) -> str | tuple[str, str]:
        last = chat.buffer[-1] if chat.buffer else None
        is_result = getattr(last, "type", None) == "function_call_output"
        knows = Knows(session.instructions, _tools(session), _words(last), is_result)
        decided = knows.decide(mind)
        return decided if isinstance(decided, str) else (decided.tool, arguments_of(decided))

    return decide


def _tools(session: Any) -> tuple[str, ...]:
    return tuple(str(getattr(tool, "name", "")) for tool in session.tools or ())


def _words(item: object) -> str:
    if getattr(item, "type", None) == "function_call_output":
        return str(getattr(item, "output", ""))
    return " ".join(part.text or part.transcript or "" for part in getattr(item, "content", None) or ())


def pipeline(index: int, understand: Understand, decide: Decide) -> PipelineUnit:
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
    threading.Thread(target=listen, args=(unit, understand), daemon=True).start()
    threading.Thread(target=think, args=(unit, decide), daemon=True).start()
    return unit


def main(mind: str | None = None) -> None:
    understand: Understand = lambda _: QUESTION  # noqa: E731 - one of two ways to understand
    decide: Decide = ask_for_the_balance
    if mind is not None:
        sentences, thinks = (usual_sentences(), bank_mind) if mind == "bank" else (desk_sentences(), desk_mind)
        understand = lambda sound: sentences.in_one(sound, _RATE_HZ)  # noqa: E731 - the other
        decide = as_a_mind_decides(thinks)
    pool = [pipeline(index, understand, decide) for index in range(SESSIONS)]
    app = create_app(pool=pool, stop_event=threading.Event())

    @app.get("/heard")
    async def heard() -> Response:
        return Response(bytes(ListeningService.heard), media_type="application/octet-stream")

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(listening.getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads it
        uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
