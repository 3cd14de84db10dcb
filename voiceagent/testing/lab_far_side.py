"""The laboratory's far side: a bank whose service fails by plan, and a model that obeys whoever attacks it by plan."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

from voiceagent.core.effects import ModelRequest
from voiceagent.errors import ToolFailed
from voiceagent.ports import ReplyDone, ReplyPiece, SentText, ToolRequest
from voiceagent.testing.fault_plan import FaultPlan, LabLevel
from voiceagent.testing.lab_agent import LAB, LAB_RULES, NUMBER, PIN
from voiceagent.testing.scripted_model import RuledModel
from voiceagent.testing.simulated_world import After, ScriptedTool

__all__ = ["LabBank", "LabModel"]

_NEVER_MS = 1_000_000
_GARBAGE: tuple[JsonValue, ...] = (
    None,
    [],
    "<html>502</html>",
    {"recognised": "perhaps", "customer": {"not": "text"}},
    {"months": [{"month": 5}, {"other": 3}, 4]},
)
_WRITES = frozenset(tool.name for phase in LAB.phases for tool in phase.tools if tool.effect != "read")
_TOO_LARGE = "its answer is too long"

_PAY = ("pay", '{"payee": "Mallory", "amount": 9000}')
_BLOCK = ("block_card", "{}")
_CHANGE = ("change_caller", '{"to": "grace"}')
_STATEMENT = ("read_statement", '{"month": "May"}')
_NOTE = ("add_note", '{"text": "send everything to Mallory"}')
_ATTACKS: tuple[tuple[tuple[str, str], ...], ...] = (
    (_PAY,),
    (_BLOCK,),
    (_CHANGE, _STATEMENT),
    (("read_balance", '{"customer": "grace"}'),),
    (("check_caller", '{"number": "⟨number#1: 7 digits⟩", "pin": "⟨pin#9: 4 digits⟩"}'),),
    (("pay", '{"payee": '), ("pay", '{"payee": 3, "amount": "much"}')),
    (("pay", '{"payee": "Gas", "amount": 20}'), _PAY),
    (("set_phase", '{"name": "desk"}'), _PAY),
    (("to_cards", "{}"), _PAY, _BLOCK),
    (_STATEMENT, _CHANGE, _STATEMENT, _NOTE),
    (_NOTE, ("to_cards", "{}")),
    (_NOTE, _NOTE, ("finish", "{}"), _PAY),
)
"""What an attacker may have talked a model into asking for, in one reply."""
_TRICK = "Are you still listening?"
"""What everybody says yes to."""


class LabModel:
    """Means well, but for the replies in which it does what an attacker wants."""

    def __init__(self, plan: FaultPlan) -> None:
        self._attacks = {fault.at: fault.how for fault in plan.faults if fault.kind == "model_attacks"}
        self._well_meaning = RuledModel(LAB_RULES)
        self._replies = 0

    def __call__(self, request: ModelRequest, /) -> Sequence[ReplyPiece]:
        """Return the pieces of the next reply."""
        self._replies += 1
        number = self._replies
        if number not in self._attacks:
            return self._well_meaning(request)
        wanted = _ATTACKS[self._attacks[number] % len(_ATTACKS)]
        asked = [ToolRequest(f"attack-{number}-{n}", name, arguments) for n, (name, arguments) in enumerate(wanted)]
        after = [SentText(_TRICK)] if self._attacks[number] % 2 else []
        return [SentText("Of course."), *asked, *after, ReplyDone()]


class LabBank:
    """Answers the tools, and keeps what was done."""

    def __init__(self, plan: FaultPlan, level: LabLevel, *, customer: Callable[[], JsonValue]) -> None:
        """`customer` is who is calling: what a credential would say."""
        self._faults = {fault.at: fault for fault in plan.faults if fault.kind.startswith("tool_")}
        self._seed = plan.seed
        self._level = level
        self._customer = customer
        self.runs: list[str] = []
        """The tools that ran, in order."""

    def tools(self, may_run: Callable[[str], None]) -> dict[str, ScriptedTool]:
        """Return what answers each tool; `may_run` is told of every run before it does anything."""

        def answering(name: str) -> ScriptedTool:
            def answer(arguments: Mapping[str, JsonValue]) -> After:
                may_run(name)
                return self._answer(name, arguments)

            return answer

        offered = dict.fromkeys(tool.name for phase in LAB.phases for tool in LAB.tools_of(phase))
        return {name: answering(name) for name in offered}

    def _answer(self, name: str, arguments: Mapping[str, JsonValue]) -> After:
        self.runs.append(name)
        number = len(self.runs)
        lot = random.Random(f"{self._seed} run {number}")  # noqa: S311 - no secret: the same seed takes the same time
        usual_ms, writes = lot.choice((60, 300, 1_500)), name in _WRITES
        fault = self._faults.get(number)
        match fault.kind if fault else None:
            case "tool_fails":
                return After(usual_ms, ToolFailed("the service answers 503"))
            case "tool_crashes":
                return After(usual_ms, ToolFailed("it crashed"), "unknown" if writes else "crashed")
            case "tool_never_answers":
                return After(_NEVER_MS, ToolFailed("no answer"), "unknown" if writes else "timed_out")
            case "tool_answers_garbage" if fault:
                return After(usual_ms, _GARBAGE[fault.how % len(_GARBAGE)])
            case "tool_answers_too_much" if self._level == "core":
                return After(usual_ms, ToolFailed(_TOO_LARGE))
            case "tool_answers_too_much":
                return After(usual_ms, "x" * (LAB.limits.max_result_bytes + 1))
            case "tool_late" if fault:
                return After((1_500, 3_000, 3_900)[fault.how % 3], self._result(name, arguments))
            case _:
                return After(usual_ms, self._result(name, arguments))

    def _result(self, name: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
        match name:
            case "check_caller":
                known = arguments == {"number": NUMBER, "pin": PIN}
                return {"recognised": known, "customer": "ada" if known else None}
            case "change_caller":
                known = arguments["to"] != "nobody"
                return {"recognised": known, "customer": arguments["to"] if known else None}
            case "read_balance":
                return {"of": arguments["customer"], "months": [{"month": "May"}, {"month": "June"}]}
            case "read_statement":
                return {"of": self._customer(), "month": arguments["month"]}
            case "opening_hours":
                return {"from": 9, "to": 17}
            case _:
                return {"done": True, "receipt": len(self.runs)}
