"""Tokens: how much a model has to read in each phase before the first word of the conversation.

The estimate is one token for every four bytes of UTF-8: the rule of thumb for English text and JSON in the byte-pair
vocabularies in use, and more rather than less for other languages. It needs no provider's tokenizer, and is meant to
find a prompt of three pages, not to compute a bill.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache

from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.ways import Ways

__all__ = ["budgets", "tokens_of"]

_BYTES_PER_TOKEN = 4


def tokens_of(flow: Flow, phase: Phase) -> int:
    """Return the estimated tokens of a phase's prompt, tools and moves; late facts count as their template."""
    return _tokens(flow, phase, _bytes_of)


def budgets(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look for phases whose prompt and tools are larger than they may be."""
    bytes_of = cache(_bytes_of)  # a tool that many phases offer is described once
    for phase in ways.reached:
        budget = phase.token_budget or flow.limits.token_budget
        tokens = _tokens(flow, phase, bytes_of)
        if tokens > budget:
            message = f"phase {phase.name!r}: prompt and tools are about {tokens} tokens, {budget} are allowed"
            yield error("over-budget", message, phase.source)


def _tokens(flow: Flow, phase: Phase, bytes_of: Callable[[Tool], int]) -> int:
    prompt = flow.prompts.get(phase.prompt or "")
    total = len(prompt.text.encode()) if prompt is not None else 0
    total += sum(bytes_of(tool) for tool in flow.tools_of(phase))
    total += sum(_length([move.name, move.description]) for move in flow.requests_of(phase).values())
    return -(-total // _BYTES_PER_TOKEN)


def _bytes_of(tool: Tool) -> int:
    return _length([tool.name, tool.description, tool.parameters])


def _length(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
