"""History: what the messages say about requests that were made, and about wishes that are still open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from pydantic import JsonValue

from voiceagent.core.effects import Message
from voiceagent.models.guided.understanding import Understanding
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import Intent
from voiceagent.spec.phase import HangUpAfter, Requested
from voiceagent.spec.tool import Tool

__all__ = ["arguments_in", "is_move", "name_of", "request_of", "unmet_wish", "without_covers"]


def name_of(intent: Intent) -> str | None:
    """Return the name of the tool or move that an intent asks for."""
    return intent.does.name if isinstance(intent.does, Tool) else intent.does


def is_move(flow: Flow, name: str | None) -> bool:
    """Whether a request of this name is for a move, in any phase of the flow."""
    return any(name in flow.requests_of(phase) for phase in flow.phases)


def request_of(result: Message, history: Sequence[Message]) -> Message | None:
    """Return the request that this is the result of."""
    return next((m for m in history if m.role == "tool_request" and m.request == result.request), None)


def arguments_in(request: Message | None) -> dict[str, JsonValue]:
    """Return the arguments of a request; none where another model wrote something else than an object."""
    try:
        parsed: object = json.loads(request.text) if request is not None else {}
    except ValueError:
        return {}
    return cast("dict[str, JsonValue]", parsed) if isinstance(parsed, dict) else {}


def without_covers(history: Sequence[Message], flow: Flow) -> Sequence[Message]:
    """Return what was said up to the last message that wants an answer.

    A filler, and the apology for a reply that has failed, cover a wait: they answer nothing, and ask for nothing.
    """
    fillers = [flow.filler_of(phase) for phase in flow.phases]
    fillers += [flow.filler_of(phase, tool) for phase in flow.phases for tool in flow.tools_of(phase) if tool.filler]
    wordings = [flow.wording_of(phase).phrases for phase in flow.phases]
    phrases = [text for said in wordings for text in (said.apology, said.resumed)]
    phrases += [text for filler in fillers for text in (*filler.phrases, *filler.later)]
    end = len(history)
    while end and history[end - 1].role == "agent" and any(p.startswith(history[end - 1].text) for p in phrases):
        end -= 1
    return history[:end] if end and history[end - 1].role != "agent" else history


def unmet_wish(understanding: Understanding, flow: Flow, earlier: Sequence[Message]) -> Message | None:
    """Return the newest words of an earlier phase that want something of this one, unless they have had their effect.

    A move uses no words up: it is only the way to where they can be acted upon. A yes or a no was the answer to a
    question of its own phase, and is no wish. Neither is a goodbye: who stayed on the line wants more.
    """
    for at in range(len(earlier) - 1, -1, -1):
        message, since = earlier[at], earlier[at + 1 :]
        intent = understanding.named_in(message.text) if message.role == "caller" else None
        if intent is None or intent.does is None or _hangs_up(flow, name_of(intent)):
            continue
        if _had_effect(intent, flow, since) or _is_overtaken(message, flow, since):
            return None
        return message
    return None


def _hangs_up(flow: Flow, name: str | None) -> bool:
    """Whether a request of this name leads, somewhere in the flow, to a phase that hangs up."""
    edges = [*flow.transitions, *(edge for phase in flow.phases for edge in phase.transitions)]
    targets = {edge.to for edge in edges if isinstance(edge.on, Requested) and edge.on.name == name}
    return any(isinstance(flow.by_name[target].ends, HangUpAfter) for target in targets)


def _had_effect(intent: Intent, flow: Flow, since: Sequence[Message]) -> bool:
    """Whether what is wanted was asked for since; for a move, also whether more was done than identify the caller."""
    requested = [message.tool for message in since if message.role == "tool_request"]
    if name_of(intent) in requested:
        return True
    if isinstance(intent.does, Tool):
        return False
    identifying = [tool.name for phase in flow.phases for tool in flow.tools_of(phase) if tool.grants]
    return any(name not in identifying and not is_move(flow, name) for name in requested)


def _is_overtaken(words: Message, flow: Flow, since: Sequence[Message]) -> bool:
    """Whether later words have led out of a later phase: "forget it"."""
    spoken_in = {message.epoch for message in since if message.role == "caller"} - {words.epoch}
    return any(m.role == "tool_request" and is_move(flow, m.tool) and m.epoch in spoken_in for m in since)
