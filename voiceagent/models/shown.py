"""What a language model is shown of a call, before its provider gives it a shape: prompt, tools, conversation.

Providers are stricter than a conversation is: two parties speak in turn, and a tool's result stands right after the
request for it, of which every one has a result. A window of a call keeps neither promise, so what does not fit is told
in words, in brackets, as something the user says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from pydantic import JsonValue

from voiceagent.core.arguments import parsed_arguments
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Requested
from voiceagent.spec.tool import Tool

__all__ = ["Exchange", "Offered", "Said", "Shown", "ToolUse", "offered", "shown", "told"]

_YOUR_TURN = "[It is your turn to speak.]"
_NO_PARAMETERS: Mapping[str, object] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool or a move that the model may ask for; a move is a function without parameters."""

    name: str
    description: str
    parameters: Mapping[str, object]
    """JSON Schema of an object."""


@dataclass(frozen=True, slots=True)
class Said:
    """Words of one party, never blank; the framework's notes are the user's."""

    party: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One tool request with its result."""

    id: str
    """Nine letters or digits, which every provider takes: Mistral's must be, OpenAI's are at most forty.

    Ids of the guided model or of another provider are in the history too, so none is passed on.
    """
    tool: str
    arguments: Mapping[str, JsonValue]
    """Empty where the model wrote no JSON object: servers refuse the whole request for anything else."""
    arguments_text: str
    """The same as JSON, in the model's own writing."""
    result: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """Tool requests that stand side by side, since they came in one reply."""

    uses: tuple[ToolUse, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One request, in no provider's shape yet."""

    cache: str
    """A name for all that begins alike: the flow's and the phase's, at most 64 characters."""
    prompt: str
    """The same for every call, byte for byte: providers cache what begins alike."""
    late: str
    """What day it is for the caller."""
    tools: tuple[Offered, ...]
    conversation: tuple[Said | Exchange, ...]
    """Begins with what is known about this call, which tools have returned: it is told as data, and not by the system.

    Never two entries of one party in a row but a word and the requests that follow it; the model's is never last.
    """


def shown(flow: Flow, request: ModelRequest, *, today: date) -> Shown:
    """Return what a request shows. `today` is the caller's date."""
    known = [Message(0, "note", request.known, request.epoch)] if request.known else []
    return Shown(
        cache=f"{flow.name}:{request.phase}"[:64],
        prompt=request.prompt,
        late=f"Today is {today:%A}, {today.isoformat()}.",
        tools=offered(flow, request),
        conversation=told([*known, *request.history], offered=request.tools),
    )


def offered(flow: Flow, request: ModelRequest) -> tuple[Offered, ...]:
    """Return the tools and moves that the request offers, in its order."""
    phase = flow.by_name[request.phase]
    declared: Mapping[str, Tool | Requested] = {
        **flow.requests_of(phase),
        **{tool.name: tool for tool in flow.tools_of(phase)},
    }
    return tuple(_offered(declared[name]) for name in request.tools)


def _offered(entry: Tool | Requested) -> Offered:
    return Offered(entry.name, entry.description, entry.parameters if isinstance(entry, Tool) else _NO_PARAMETERS)


# --- the conversation ------------------------------------------------------------------------------------------------


def told(history: Sequence[Message], *, offered: Iterable[str]) -> tuple[Said | Exchange, ...]:
    """Return the conversation; requests for tools that are not offered any more are told in words."""
    return _Telling(history, frozenset(offered)).told()


class _Telling:
    """Tells a conversation, entry by entry."""

    def __init__(self, history: Sequence[Message], offered: frozenset[str]) -> None:
        self._history = history
        self._offered = offered
        self._results = _results_of(history)
        self._told: list[Said | Exchange] = []
        self._uses: list[ToolUse] = []
        """Requests that stand side by side, until something else does."""

    def told(self) -> tuple[Said | Exchange, ...]:
        requests = {result: request for request, result in self._results.items()}
        for place, message in enumerate(self._history):
            if message.role == "tool_request" and place in self._results and message.tool in self._offered:
                self._uses.append(_use(message, self._history[self._results[place]]))
                continue
            self._end_exchange()
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
        self._end_exchange()
        if not self._told or (isinstance(last := self._told[-1], Said) and last.party == "assistant"):
            # Asked to go on after its own words a model may repeat them; several servers and templates refuse to.
            self._say("user", _YOUR_TURN)
        return tuple(self._told)

    def _say(self, party: Literal["user", "assistant"], text: str) -> None:
        if not text.strip():
            return
        before = self._told[-1] if self._told else None
        if isinstance(before, Said) and before.party == party:
            self._told[-1] = replace(before, text=f"{before.text}\n{text}")
        else:
            self._told.append(Said(party, text))

    def _end_exchange(self) -> None:
        if self._uses:
            self._told.append(Exchange(tuple(self._uses)))
            self._uses.clear()


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


def _use(request: Message, result: Message) -> ToolUse:
    arguments, text = _arguments(request)
    return ToolUse(f"call{request.number:05d}", request.tool or "", arguments, text, result.text, result.failed)


def _arguments(request: Message) -> tuple[Mapping[str, JsonValue], str]:
    arguments, problem = parsed_arguments(request.text)
    return arguments, request.text if arguments and problem is None else "{}"


def _called(request: Message) -> str:
    return f"{request.tool}({_arguments(request)[1]})"


def _result_in_words(result: Message, request: Message | None) -> str:
    what = _called(request) if request is not None else result.tool
    return f"[Earlier, {what} {'failed' if result.failed else 'returned'}: {result.text}]"
