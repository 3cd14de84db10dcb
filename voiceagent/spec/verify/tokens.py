"""Tokens: how much a model has to read in each phase before the first word of the conversation.

The estimate is one token for every four bytes of UTF-8: the rule of thumb for English text and JSON in the byte-pair
vocabularies in use, and more rather than less for other languages. It needs no provider's tokenizer, and is meant to
find a prompt of three pages, not to compute a bill.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.ways import Ways

__all__ = ["budgets", "tokens_of"]

_BYTES_PER_TOKEN = 4


def tokens_of(flow: Flow, phase: Phase) -> int:
    """Return the estimated tokens of a phase's prompt, tools and moves; late facts count as their template."""
    prompt = flow.prompts.get(phase.prompt or "")
    texts = [prompt.text if prompt is not None else ""]
    texts += [json.dumps([t.name, t.description, t.parameters], ensure_ascii=False) for t in flow.tools_of(phase)]
    texts += [json.dumps([r.name, r.description], ensure_ascii=False) for r in flow.requests_of(phase).values()]
    return -(-sum(len(text.encode()) for text in texts) // _BYTES_PER_TOKEN)


def budgets(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look for phases whose prompt and tools are larger than they may be."""
    for phase in ways.reached:
        budget = phase.token_budget or flow.limits.token_budget
        tokens = tokens_of(flow, phase)
        if tokens > budget:
            message = f"phase {phase.name!r}: prompt and tools are about {tokens} tokens, {budget} are allowed"
            yield error("over-budget", message, phase.source)
