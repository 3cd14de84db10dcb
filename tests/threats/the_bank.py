"""The bank of the demo under attack: a model that obeys whoever speaks, and what has really been run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bank_api import CUSTOMERS, BankApi, BankSettings
from pydantic import JsonValue

from voiceagent import Flow, Tool
from voiceagent.core import effects as fx
from voiceagent.core.authority import Authority
from voiceagent.core.confirmations import digest_of
from voiceagent.core.ids import CallId, Epoch, ToolCallId
from voiceagent.ports import ReplyDone, ReplyPiece, SentText, ToolRequest
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import RuntimeCall, ScriptedModel, ScriptedTool, ask_for, say
from voiceagent.tools.credentials import OAuthClientCredentials
from voiceagent.tools.executor import CallTools, ToolExecutor
from voiceagent.tools.service import ConnectionPool
from voiceagent.tools.vault import Vault

BANK = load_flow(Path(__file__).parents[2] / "phases" / "bank")
ANN, BOB = CUSTOMERS[:2]
TOOLS: dict[str, dict[str, JsonValue]] = {
    "verify_caller": {"account_number": "⟨account_number#1: 7 digits⟩", "pin": "⟨pin#2: 4 digits⟩"},
    "get_accounts": {},
    "recent_transactions": {"account": "checking"},
    "find_charge": {"amount": "49.99"},
    "block_card": {"reason": "stolen"},
    "transfer": {"amount": "1000", "to_account": "savings"},
    "wire_everything": {"to": "Mallory"},
    "set_phase": {"phase": "account_inquiry"},
}
"""Every tool of the bank and two that it does not have, with arguments that fit."""
PHASES = tuple(phase.name for phase in BANK.phases if phase.has_model)
ANSWERS: dict[str, ScriptedTool] = {
    "verify_caller": {"verified": True, "customer_id": ANN.customer_id, "name": ANN.name, "attempts_left": 3},
    "get_accounts": {"accounts": [{"kind": "checking", "balance": "2540.75", "currency": "USD"}]},
    "recent_transactions": {"account": "checking", "transactions": []},
    "find_charge": {"amount": "49.99", "found": []},
    "block_card": {"blocked": True},
    "transfer": {"transfer_id": "X-1", "amount": "1000.00"},
}
LINES: dict[str, list[list[ReplyPiece]]] = {
    "greeting": [ask_for("begin_authentication")],
    "authentication": [
        say("Your account number?"),
        say("And your PIN?"),
        ask_for("verify_caller", '{"account_number": "⟨account_number⟩", "pin": "⟨pin⟩"}'),
    ],
    "account_inquiry": [say("What can I do for you?"), ask_for("begin_transfer")],
    "transfer_money": [say("How much, and where to?"), ask_for("cancel_transfer")],
    "wrap_up": [say("Anything else?")],
}
"""A model that takes a caller through all phases, one after the other."""
JOURNEY = (
    "I have a question about my account",
    "four five one nine two two seven",
    "one two three four",
    "I want to move some money",
    "No, leave it",
)
"""What the caller says on the way; after each of the last three another phase is in force."""


def offered(phase: str) -> frozenset[str]:
    """Names of the tools that a phase offers."""
    return frozenset(tool.name for tool in BANK.tools_of(BANK.by_name[phase]))


def asks_for_all(names: Sequence[str], *first: ReplyPiece) -> list[ReplyPiece]:
    """A reply that asks for all of these, one beside the other."""
    import json

    wanted = [ToolRequest(f"{name}-wanted", name, json.dumps(TOOLS[name], ensure_ascii=False)) for name in names]
    return [SentText("Of course."), *first, *wanted, ReplyDone()]


def call_to_the_bank(lines: dict[str, list[list[ReplyPiece]]], **tools: ScriptedTool) -> RuntimeCall:
    """A call through the whole runtime, whose tools are really run by the executor and answer at once."""
    model = ScriptedModel({**LINES, **lines})
    return RuntimeCall(BANK, model=model, tools={**ANSWERS, **tools})


def out_of_phase(call: RuntimeCall) -> list[str]:
    """What was run although the phase that was in force did not offer it."""
    phase_of = {effect.epoch: effect.phase for effect in call.record.effects(fx.SwapPhase)}
    started = [
        (out.effect.tool, phase_of[out.epoch])
        for _, _, outgoing in call.journal
        for out in outgoing
        if isinstance(out.effect, fx.StartTool)
    ]
    fetched = [effect.tool for effect in call.record.effects(fx.Fetch)]
    beyond = [f"{tool} in {phase}" for tool, phase in started if tool not in offered(phase) and call.ran(tool)]
    # What ran was started or fetched by the conversation, and nothing else was run at the executor.
    unaccounted = [tool for tool, _ in call.tool_runs]
    for tool in [*(tool for tool, _ in started), *fetched]:
        if tool in unaccounted:
            unaccounted.remove(tool)
    return [*beyond, *unaccounted]


# --- with the bank's own computer ------------------------------------------------------------------------------------


@contextmanager
def bank_open(**settings: Any) -> Iterator[BankApi]:
    """The bank's service on this machine; it answers at once."""
    with BankApi(BankSettings(**{"seed": 7, "latencies": {}, **settings})) as bank:
        yield bank


@asynccontextmanager
async def tools_at(bank: BankApi, flow: Flow, *, phase: str, **held: Any) -> AsyncIterator[CallTools]:
    """The tools of a call in which Ann is known, in this phase, run by a process of its own."""
    clock = SystemClock()
    pool = ConnectionPool(internal=[bank.url])
    broker = OAuthClientCredentials(
        pool,
        clock,
        token_url=f"{bank.url}/oauth/token",
        client_id=bank.settings.client_id,
        client_secret=bank.settings.client_secret,
    )
    executor = ToolExecutor(clock=clock, broker=broker, pool=pool, service_url=bank.url)
    facts: dict[str, JsonValue] = {"customer_id": ANN.customer_id, "verified": True}
    authority = Authority(
        phase=phase,
        epoch=Epoch(4),
        swapping=False,
        grants=("account_access",),
        known_facts=tuple(facts),
        tool_calls=1,
        ended=False,
    )
    yield CallTools(
        executor,
        call=CallId("call-1"),
        flow=lambda: flow,
        vault=held.pop("vault", None) or Vault(),
        authority=lambda: replace(authority, **held),
        facts=lambda: facts,
    )
    await executor.close()
    await pool.close()


def confirmed(tool: str, arguments: dict[str, JsonValue], key: str = "call-1:1") -> fx.StartTool:
    """The caller has said yes to exactly this."""
    return fx.StartTool(ToolCallId("t1"), tool, arguments, key, digest_of(tool, arguments))


def with_tool(name: str, **changes: Any) -> Flow:
    """The bank, one of whose tools is declared otherwise."""

    def changed(tool: Tool) -> Tool:
        return replace(tool, **changes) if tool.name == name else tool

    phases = tuple(
        phase.model_copy(update={"tools": tuple(map(changed, phase.tools))}) if phase.tools else phase
        for phase in BANK.phases
    )
    parts = {field: getattr(BANK, field) for field in Flow.model_fields}
    return Flow.model_construct(**{**parts, "phases": phases})
