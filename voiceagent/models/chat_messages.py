"""Tells a chat model what has happened on the call so far, in the shape that chat completions want.

The shape is stricter than a conversation is: a tool's result must stand right after the request for it, and every
request must have one (https://platform.openai.com/docs/guides/function-calling). A window of a call keeps neither
promise, so what does not fit is told in words, in brackets, as a message of the user. Only the first messages are of
the system: templates of local models (Qwen, Gemma, Mistral) refuse one further down, or two of one role in a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Literal

from voiceagent.core.arguments import parsed_arguments
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Requested
from voiceagent.spec.tool import Tool

if TYPE_CHECKING:
    from openai.types.chat import (
        ChatCompletionFunctionToolParam,
        ChatCompletionMessageFunctionToolCallParam,
        ChatCompletionMessageParam,
    )

__all__ = ["functions_for", "messages_for"]

_YOUR_TURN = "[It is your turn to speak.]"
_NO_PARAMETERS: dict[str, object] = {"type": "object", "properties": {}, "additionalProperties": False}


# --- messages --------------------------------------------------------------------------------------------------------


def messages_for(request: ModelRequest, *, today: date, one_system_message: bool) -> list[ChatCompletionMessageParam]:
    """Return the messages of one request: the prompt, the late facts, the conversation.

    The prompt comes first, byte for byte as it is, since providers cache what begins alike. `today` is the caller's
    date. With `one_system_message` the late facts stand in the prompt's message, below it.
    """
    late = "\n\n".join(part for part in (request.late_facts, f"Today is {today:%A}, {today.isoformat()}.") if part)
    system = [part for part in (request.prompt, late) if part]
    if one_system_message:
        system = ["\n\n".join(system)]
    shown: list[ChatCompletionMessageParam] = [{"role": "system", "content": text} for text in system]
    _Telling(shown, request.history, frozenset(request.tools)).tell()
    if shown[-1]["role"] in ("system", "assistant"):
        # Asked to go on after its own words a model may repeat them, and several templates refuse to.
        shown.append({"role": "user", "content": _YOUR_TURN})
    return shown


class _Telling:
    """Appends a conversation to the messages, entry by entry."""

    def __init__(
        self, shown: list[ChatCompletionMessageParam], history: Sequence[Message], offered: frozenset[str]
    ) -> None:
        self._shown = shown
        self._history = history
        self._offered = offered
        self._results = _results_of(history)
        self._exchanges: list[tuple[Message, Message]] = []
        """Requests that stand side by side, with their results: they came in one reply."""

    def tell(self) -> None:
        requests = {result: request for request, result in self._results.items()}
        for place, message in enumerate(self._history):
            if message.role == "tool_request" and place in self._results and message.tool in self._offered:
                self._exchanges.append((message, self._history[self._results[place]]))
                continue
            self._tell_exchanges()
            match message.role:
                case "caller" | "note":
                    self._say("user", message.text)
                case "agent":
                    self._say("assistant", message.text)
                case "tool_request":
                    if place not in self._results:
                        self._say("user", f"[You asked for {_called(message)}; there is no result yet.]")
                case "tool_result":
                    request = self._history[requests[place]] if place in requests else None
                    if request is None or request.tool not in self._offered:
                        self._say("user", _result_in_words(message, request))
        self._tell_exchanges()

    def _say(self, role: Literal["user", "assistant"], text: str) -> None:
        if not text.strip():
            return
        before = self._shown[-1] if self._shown else None
        if before is not None and before["role"] == role and "tool_calls" not in before:
            before["content"] = f"{before.get('content')}\n{text}"
        elif role == "user":
            self._shown.append({"role": "user", "content": text})
        else:
            self._shown.append({"role": "assistant", "content": text})

    def _tell_exchanges(self) -> None:
        if not self._exchanges:
            return
        calls = [_call(request) for request, _ in self._exchanges]
        before = self._shown[-1] if self._shown else None
        if before is not None and before["role"] == "assistant" and "tool_calls" not in before:
            before["tool_calls"] = calls
        else:
            self._shown.append({"role": "assistant", "content": None, "tool_calls": calls})
        for request, result in self._exchanges:
            text = f"Failed: {result.text}" if result.failed else result.text
            self._shown.append({"role": "tool", "tool_call_id": _wire_id(request), "content": text})
        self._exchanges.clear()


def _results_of(history: Sequence[Message]) -> dict[int, int]:
    """Return place of a request → place of its result, for the requests whose result is shown."""
    waiting: dict[str, int] = {}
    results: dict[int, int] = {}
    for place, message in enumerate(history):
        if message.request is None:
            continue
        if message.role == "tool_request":
            waiting[message.request] = place
        elif message.role == "tool_result" and message.request in waiting:
            results[waiting.pop(message.request)] = place
    return results


def _call(request: Message) -> ChatCompletionMessageFunctionToolCallParam:
    return {
        "id": _wire_id(request),
        "type": "function",
        "function": {"name": request.tool or "", "arguments": _arguments(request)},
    }


def _wire_id(request: Message) -> str:
    """Return an id that every provider takes: Mistral's are exactly nine letters or digits, OpenAI's at most forty.

    Ids of the guided model or of another provider are in the history too, so none is passed on.
    """
    return f"call{request.number:05d}"


def _arguments(request: Message) -> str:
    """Return the arguments as a JSON object: servers that read them refuse the whole request for anything else."""
    arguments, problem = parsed_arguments(request.text)
    return request.text if arguments and problem is None else "{}"


def _called(request: Message) -> str:
    return f"{request.tool}({_arguments(request)})"


def _result_in_words(result: Message, request: Message | None) -> str:
    what = _called(request) if request is not None else result.tool
    return f"[Earlier, {what} {'failed' if result.failed else 'returned'}: {result.text}]"


# --- functions -------------------------------------------------------------------------------------------------------


def functions_for(flow: Flow, request: ModelRequest) -> list[ChatCompletionFunctionToolParam]:
    """Return the tools and moves that the request offers, in its order; a move is a function without parameters."""
    phase = flow.by_name[request.phase]
    declared: Mapping[str, Tool | Requested] = {
        **flow.requests_of(phase),
        **{tool.name: tool for tool in flow.tools_of(phase)},
    }
    return [_function(declared[name]) for name in request.tools]


def _function(offered: Tool | Requested) -> ChatCompletionFunctionToolParam:
    parameters: dict[str, object] = {**offered.parameters} if isinstance(offered, Tool) else _NO_PARAMETERS
    return {
        "type": "function",
        "function": {"name": offered.name, "description": offered.description, "parameters": parameters},
    }
