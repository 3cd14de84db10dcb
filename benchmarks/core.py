"""The core alone: what one event costs, what a phase swap costs, and how fast a simulated call goes by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter, perf_counter_ns

from pydantic import JsonValue

from benchmarks.figures import Figure, percentile
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Flow
from voiceagent.testing import After, ScriptedCall, ScriptedTool

__all__ = ["bank_call", "core_figures"]

_AGENT = Path("phases/bank")
_LINES = (
    "Hi, I'd like to check the balance on my account please.",
    "My account number is four five one nine, two two seven.",
    "The pin is one two three four.",
    "Can you tell me about the last three transactions?",
    "There is a charge of forty nine ninety nine that I don't recognize.",
    "I want to transfer two hundred and fifty dollars to my savings account.",
    "Yes, that's correct.",
    "Okay, thank you very much, goodbye.",
)


def core_figures(rounds: int = 30) -> Iterator[Figure]:
    """Measure the core on a whole call to the bank."""
    flow = load_flow(_AGENT)
    began = perf_counter()
    calls = [bank_call(flow) for _ in range(rounds)]
    seconds = perf_counter() - began
    simulated = sum(call.now_ms for call in calls) / 1000
    yield Figure(
        "a scripted call on the core",
        simulated / seconds,
        "simulated s per s",
        1_000,
        at_least=True,
        how=f"{rounds} calls to the bank of {simulated / rounds:.0f} s, guided model included",
    )
    spent_us = [us for call in calls for us in _handled_us(flow, call)]
    yield Figure(
        "Conversation.handle",
        percentile(spent_us, 0.5),
        "µs",
        25,
        spread=f"p95 {percentile(spent_us, 0.95):.0f}, max {max(spent_us):.0f}",
        how=f"median of {len(spent_us)} events of those calls, handled by fresh conversations",
    )
    swaps_ms = [ms for call in calls for ms in _swapped_ms(flow, call)]
    yield Figure(
        "a phase swap in the cascade",
        percentile(swaps_ms, 0.5),
        "ms",
        0.3,
        spread=f"p95 {percentile(swaps_ms, 0.95):.2f}",
        how=f"median of {len(swaps_ms)}: the event that decides it and PhaseSwapped, both handled",
    )


def bank_call(flow: Flow) -> ScriptedCall:
    """Return a whole call to the bank, over and journalled."""
    model = GuidedModels().open(flow, locale="en-US", time_zone="UTC")
    call = ScriptedCall(flow, model=model, tools=_TOOLS)
    call.start()
    for line in _LINES:
        call.says(line)
    call.until_quiet()
    if not call.ended:
        raise AssertionError(call.record.timeline())
    return call


def _handled_us(flow: Flow, call: ScriptedCall) -> Iterator[float]:
    again = Conversation(flow, call.inherited)
    for now_ms, event, _ in call.journal:
        began = perf_counter_ns()
        again.handle(event, now_ms)
        yield (perf_counter_ns() - began) / 1000


def _swapped_ms(flow: Flow, call: ScriptedCall) -> Iterator[float]:
    again = Conversation(flow, call.inherited)
    deciding_ns = 0
    for now_ms, event, outgoing in call.journal:
        began = perf_counter_ns()
        again.handle(event, now_ms)
        spent_ns = perf_counter_ns() - began
        if isinstance(event, ev.PhaseSwapped):
            yield (deciding_ns + spent_ns) / 1e6
        if any(isinstance(out.effect, fx.SwapPhase) for out in outgoing):
            deciding_ns = spent_ns


def _transactions(arguments: Mapping[str, JsonValue]) -> JsonValue:
    entry: JsonValue = {"date": "2025-11-20", "merchant": "Maple Hardware", "amount": "-12.00", "currency": "USD"}
    return {"account": arguments["account"], "transactions": [entry, entry, entry]}


_TOOLS: dict[str, ScriptedTool] = {
    "verify_caller": {"verified": True, "customer_id": "C-1", "name": "Daniel Harris", "attempts_left": 5},
    "get_accounts": After(
        1_500,
        {
            "accounts": [
                {"account_id": "C-1-checking", "kind": "checking", "balance": "1234.50", "currency": "USD"},
                {"account_id": "C-1-savings", "kind": "savings", "balance": "800.00", "currency": "USD"},
            ]
        },
    ),
    "recent_transactions": _transactions,
    "find_charge": After(2_500, {"amount": "49.99", "found": []}),
    "transfer": After(500, {"transfer_id": "X-1", "amount": "250.00", "currency": "USD"}),
}
