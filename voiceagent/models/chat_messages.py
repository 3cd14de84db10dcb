"""Tells a chat model what has happened on the call so far, in the shape that chat completions want.

A tool's result must stand right after the request for it (https://platform.openai.com/docs/guides/function-calling).
Only the first messages are of the system: templates of local models (Qwen, Gemma, Mistral) refuse one further down, or
two of one role in a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from voiceagent.core.effects import ModelRequest
from voiceagent.models.shown import Exchange, Offered, Shown, ToolUse, offered
from voiceagent.spec.flow import Flow

if TYPE_CHECKING:
    from openai.types.chat import (
        ChatCompletionFunctionToolParam,
        ChatCompletionMessageFunctionToolCallParam,
        ChatCompletionMessageParam,
    )

__all__ = ["functions_for", "functions_from", "messages_from"]


def messages_from(shown: Shown, *, one_system_message: bool) -> list[ChatCompletionMessageParam]:
    """Return the messages of one request: the prompt, the late facts, the conversation.

    With `one_system_message` the late facts stand in the prompt's message, below it.
    """
    system = [part for part in (shown.prompt, shown.late) if part]
    if one_system_message:
        system = ["\n\n".join(system)]
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": text} for text in system]
    for entry in shown.conversation:
        if isinstance(entry, Exchange):
            _add_exchange(messages, entry)
        elif entry.party == "user":
            messages.append({"role": "user", "content": entry.text})
        else:
            messages.append({"role": "assistant", "content": entry.text})
    return messages


def _add_exchange(messages: list[ChatCompletionMessageParam], exchange: Exchange) -> None:
    calls = [_call(use) for use in exchange.uses]
    before = messages[-1] if messages else None
    if before is not None and before["role"] == "assistant":
        before["tool_calls"] = calls
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
    for use in exchange.uses:
        text = f"Failed: {use.result}" if use.failed else use.result
        messages.append({"role": "tool", "tool_call_id": use.id, "content": text})


def _call(use: ToolUse) -> ChatCompletionMessageFunctionToolCallParam:
    return {"id": use.id, "type": "function", "function": {"name": use.tool, "arguments": use.arguments_text}}


def functions_for(flow: Flow, request: ModelRequest) -> list[ChatCompletionFunctionToolParam]:
    """Return the tools and moves that the request offers, in its order."""
    return functions_from(offered(flow, request))


def functions_from(tools: Iterable[Offered]) -> list[ChatCompletionFunctionToolParam]:
    """Return the functions of these tools and moves."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": {**tool.parameters}},
        }
        for tool in tools
    ]
