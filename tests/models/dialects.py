"""The protocols in which models are asked: what a server says in each, and what it has been asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import pytest
from pydantic import TypeAdapter

from tests.models.provider_server import Body, Frame, frame
from voiceagent.models.asking import Patience
from voiceagent.ports import ReplyModelEngine

pytest.importorskip("openai", reason="needs the extra 'openai'")
pytest.importorskip("anthropic", reason="needs the extra 'anthropic'")

from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from voiceagent.models.anthropic_messages import AnthropicModels
from voiceagent.models.openai_chat import OpenAIChatModels
from voiceagent.models.openai_responses import OpenAIResponsesModels

CHUNK = TypeAdapter[ChatCompletionChunk](ChatCompletionChunk)
RESPONSE_EVENT = TypeAdapter[ResponseStreamEvent](ResponseStreamEvent)
MESSAGE_EVENT = TypeAdapter[RawMessageStreamEvent](RawMessageStreamEvent)

READ, WRITTEN, CACHED = 90, 7, 64
"""The tokens that every whole reply has cost."""


@dataclass(frozen=True, slots=True)
class Asks:
    """A tool request of the model's, streamed in these crumbs of JSON."""

    id: str
    tool: str
    crumbs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What a server was asked, whatever the protocol."""

    prompt: str
    tools: tuple[str, ...]
    newest: str
    """The caller's words or a tool's result."""
    is_result: bool
    results: tuple[str, ...]
    """All results that are shown, in their order."""
    words: str
    """All that the caller has said."""


class Engine(Protocol):
    def __call__(
        self, model: str, *, base_url: str | None = None, api_key: str | None = None, patience: Patience = ...
    ) -> ReplyModelEngine: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol."""

    name: str
    engine: Engine
    path: str
    """What follows the server's address."""
    opening: Sequence[Frame]
    """What comes before any word."""
    parts: Callable[[Sequence[str | Asks]], list[Frame]]
    """Words and requests."""
    ending: Callable[[Sequence[str | Asks]], list[Frame]]
    """How a reply of these parts ends, with its tokens."""
    failing: Callable[[str], list[Frame]]
    """A stream that says with this code that it has failed."""
    trouble: str
    """The code of trouble on the server's side."""
    asked: Callable[[Body], Question]

    def begins(self, *parts: str | Asks) -> list[Frame]:
        """Return a reply that does not end."""
        return [*self.opening, *self.parts(parts)]

    def says(self, *parts: str | Asks) -> list[Frame]:
        """Return a whole reply."""
        return [*self.begins(*parts), *self.ending(parts)]

    def fails(self, code: str, *parts: str | Asks) -> list[Frame]:
        return [*self.begins(*parts), *self.failing(code)]

    def __str__(self) -> str:
        return self.name


# --- chat completions ------------------------------------------------------------------------------------------------


def chunk(delta: Mapping[str, Any] | None = None, *, finish: str | None = None, **more: object) -> Frame:
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    data = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": choices, **more}
    return frame(data)


def called(index: int | None, *, id: str | None = None, name: str | None = None, arguments: str = "") -> Frame:  # noqa: A002 - the protocol's name
    """A delta of one tool call; what is None is left out."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    numbered = {} if index is None else {"index": index}
    named = {} if id is None else {"id": id, "type": "function"}
    return chunk({"tool_calls": [{"function": function, **numbered, **named}]})


DONE = frame("[DONE]")


def _chat_parts(parts: Sequence[str | Asks]) -> list[Frame]:
    frames: list[Frame] = []
    calls = 0
    for part in parts:
        if isinstance(part, str):
            frames.append(chunk({"content": part}))
        else:
            frames.append(called(calls, id=part.id, name=part.tool))
            frames += (called(calls, arguments=crumb) for crumb in part.crumbs)
            calls += 1
    return frames


def _chat_ending(parts: Sequence[str | Asks]) -> list[Frame]:
    usage = {
        "prompt_tokens": READ,
        "completion_tokens": WRITTEN,
        "total_tokens": READ + WRITTEN,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    }
    asks = any(isinstance(part, Asks) for part in parts)
    return [chunk(finish="tool_calls" if asks else "stop"), chunk(choices=[], usage=usage), DONE]


def _chat_asked(body: Body) -> Question:
    newest = body["messages"][-1]
    return Question(
        prompt=body["messages"][0]["content"],
        tools=tuple(tool["function"]["name"] for tool in body.get("tools", ())),
        newest=newest["content"],
        is_result=newest["role"] == "tool",
        results=tuple(message["content"] for message in body["messages"] if message["role"] == "tool"),
        words="\n".join(message["content"] for message in body["messages"] if message["role"] == "user"),
    )


CHAT = Dialect(
    name="chat",
    engine=OpenAIChatModels,
    path="/v1",
    opening=[chunk({"role": "assistant", "content": ""})],
    parts=_chat_parts,
    ending=_chat_ending,
    failing=lambda code: [frame({"error": {"message": "you said 1234", "code": code}})],
    trouble="server_error",
    asked=_chat_asked,
)


# --- responses -------------------------------------------------------------------------------------------------------


def response_event(kind: str, **data: object) -> Frame:
    return frame({"type": kind, "sequence_number": 0, **data}, event=kind)


def _response(status: str, **more: object) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "model": "m",
        "status": status,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **more,
    }


def response_words(text: str, *, place: int = 0) -> Frame:
    return response_event(
        "response.output_text.delta", item_id="msg_1", output_index=place, content_index=0, delta=text, logprobs=[]
    )


def _function_call(ask: Asks, arguments: str, status: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{ask.id}",
        "call_id": ask.id,
        "name": ask.tool,
        "arguments": arguments,
        "status": status,
    }


def _response_parts(parts: Sequence[str | Asks]) -> list[Frame]:
    frames: list[Frame] = []
    for place, part in enumerate(parts):
        if isinstance(part, str):
            frames.append(response_words(part, place=place))
            continue
        begun = _function_call(part, "", "in_progress")
        frames.append(response_event("response.output_item.added", output_index=place, item=begun))
        frames += (
            response_event(
                "response.function_call_arguments.delta", item_id=f"fc_{part.id}", output_index=place, delta=crumb
            )
            for crumb in part.crumbs
        )
    return frames


def _response_ending(parts: Sequence[str | Asks]) -> list[Frame]:
    done = [
        response_event(
            "response.output_item.done",
            output_index=place,
            item=_function_call(part, "".join(part.crumbs), "completed"),
        )
        for place, part in enumerate(parts)
        if isinstance(part, Asks)
    ]
    usage = {
        "input_tokens": READ,
        "input_tokens_details": {"cached_tokens": CACHED, "cache_write_tokens": 0},
        "output_tokens": WRITTEN,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": READ + WRITTEN,
    }
    return [*done, response_event("response.completed", response=_response("completed", usage=usage))]


def response_failed(code: str) -> list[Frame]:
    error = {"code": code, "message": "you said 1234"}
    return [response_event("response.failed", response=_response("failed", error=error))]


def response_ended_early(*parts: str | Asks, why: str) -> list[Frame]:
    ended = _response("incomplete", incomplete_details={"reason": why})
    return [*RESPONSES.begins(*parts), response_event("response.incomplete", response=ended)]


def _responses_asked(body: Body) -> Question:
    newest = body["input"][-1]
    return Question(
        prompt=body["instructions"],
        tools=tuple(tool["name"] for tool in body.get("tools", ())),
        newest=newest.get("output", newest.get("content")),
        is_result=newest["type"] == "function_call_output",
        results=tuple(item["output"] for item in body["input"] if item["type"] == "function_call_output"),
        words="\n".join(item["content"] for item in body["input"] if item.get("role") == "user"),
    )


RESPONSES = Dialect(
    name="responses",
    engine=OpenAIResponsesModels,
    path="/v1",
    opening=[
        response_event("response.created", response=_response("in_progress")),
        response_event("response.in_progress", response=_response("in_progress")),
    ],
    parts=_response_parts,
    ending=_response_ending,
    failing=response_failed,
    trouble="server_error",
    asked=_responses_asked,
)


# --- messages --------------------------------------------------------------------------------------------------------


def message_event(kind: str, **data: object) -> Frame:
    return frame({"type": kind, **data}, event=kind)


MESSAGE_START = message_event(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 20,
            "cache_creation_input_tokens": READ - CACHED - 20,
            "cache_read_input_tokens": CACHED,
            "output_tokens": 1,
        },
    },
)


def message_end(reason: str) -> list[Frame]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [
        message_event("message_delta", delta=delta, usage={"output_tokens": WRITTEN}),
        message_event("message_stop"),
    ]


def _block(place: int, block: dict[str, Any], deltas: Sequence[dict[str, Any]]) -> list[Frame]:
    return [
        message_event("content_block_start", index=place, content_block=block),
        *(message_event("content_block_delta", index=place, delta=delta) for delta in deltas),
        message_event("content_block_stop", index=place),
    ]


def _message_part(place: int, part: str | Asks) -> list[Frame]:
    if isinstance(part, str):
        return _block(place, {"type": "text", "text": ""}, [{"type": "text_delta", "text": part}])
    block = {"type": "tool_use", "id": part.id, "name": part.tool, "input": {}}
    return _block(place, block, [{"type": "input_json_delta", "partial_json": crumb} for crumb in part.crumbs])


def _messages_ending(parts: Sequence[str | Asks]) -> list[Frame]:
    return message_end("tool_use" if any(isinstance(part, Asks) for part in parts) else "end_turn")


def _messages_asked(body: Body) -> Question:
    blocks = [block for message in body["messages"] if message["role"] == "user" for block in message["content"]]
    newest = blocks[-1]
    return Question(
        prompt=body["system"][0]["text"],
        tools=tuple(tool["name"] for tool in body.get("tools", ())),
        newest=newest.get("content", newest.get("text")),
        is_result=newest["type"] == "tool_result",
        results=tuple(block["content"] for block in blocks if block["type"] == "tool_result"),
        words="\n".join(block["text"] for block in blocks if block["type"] == "text"),
    )


MESSAGES = Dialect(
    name="messages",
    engine=AnthropicModels,
    path="",
    opening=[MESSAGE_START, message_event("ping")],
    parts=lambda parts: list(chain.from_iterable(_message_part(place, part) for place, part in enumerate(parts))),
    ending=_messages_ending,
    failing=lambda code: [message_event("error", error={"type": code, "message": "you said 1234"})],
    trouble="api_error",
    asked=_messages_asked,
)

DIALECTS = [CHAT, RESPONSES, MESSAGES]
"""Every protocol: what holds for one must hold for all."""


def events_of(dialect: Dialect, frames: Sequence[Frame]) -> list[Any]:
    """Return the frames as the SDK's own types validate them."""
    adapter: TypeAdapter[Any] = {"chat": CHUNK, "responses": RESPONSE_EVENT, "messages": MESSAGE_EVENT}[dialect.name]
    data = [frame.split("data: ", 1)[1].strip() for frame in frames]
    return [adapter.validate_python(json.loads(one)) for one in data if one != "[DONE]" and '"ping"' not in one]
