"""What tools answer in a scripted conversation: by run, by argument, after a while that the seed decides."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, cast

from pydantic import JsonValue

from voiceagent.errors import ScriptError, ToolFailed
from voiceagent.spec.prompt import render
from voiceagent.testing.simulated_world import After, ScriptedTool

__all__ = ["Range", "ToolAnswer", "ToolAnswers", "same_value"]

_AMOUNT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Range:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}..{self.high}"


_USUAL = Range(100, 100)


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """One answer of a tool, for the runs it is meant for."""

    result: JsonValue | ToolFailed = None
    """Texts in it may have holes for the arguments: `{{ amount }}`."""
    takes_ms: Range = _USUAL
    """Drawn by the seed."""
    given: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """The arguments it is meant for, those that matter; secrets as the caller said them."""
    run: int | None = None
    """The run it is meant for, from 1; None: every run."""
    failure: Literal["failed", "timed_out", "crashed", "unknown"] = "failed"
    """What kind of failure it is, where it is one."""

    def fits(self, run: int, arguments: Mapping[str, JsonValue]) -> bool:
        """Whether it is meant for this run."""
        return self.run in (None, run) and same_value(self.given, arguments)


@dataclass(frozen=True, slots=True)
class ToolAnswers:
    """All answers of one tool: the first that fits is given."""

    tool: str
    answers: tuple[ToolAnswer, ...]

    def for_call(self, seed: int) -> ScriptedTool:
        """Return the tool as one call meets it, its runs counted from 1."""
        runs = 0

        def answer(arguments: Mapping[str, JsonValue]) -> After:
            nonlocal runs
            runs += 1
            for known in self.answers:
                if known.fits(runs, arguments):
                    return self._after(known, arguments, runs, seed)
            given = ", ".join(f"{name}={value}" for name, value in arguments.items())
            raise ScriptError(f"the script has no answer for run {runs} of {self.tool}({given})")

        return answer

    def _after(self, answer: ToolAnswer, arguments: Mapping[str, JsonValue], run: int, seed: int) -> After:
        draw = random.Random(f"{self.tool} {run} {seed}")  # noqa: S311 - no secret: the same seed gives the same time
        ms = draw.randint(answer.takes_ms.low, answer.takes_ms.high)
        if isinstance(answer.result, ToolFailed):
            return After(ms, answer.result, answer.failure)
        return After(ms, _filled(answer.result, arguments))


def same_value(expected: object, got: object) -> bool:
    """Whether `got` is what was expected: of a mapping only the keys named; 250 is "250" and "250.00", not "0250"."""
    match expected:
        case Mapping():
            named = cast("Mapping[object, object]", expected)
            if not isinstance(got, Mapping):
                return False
            known = cast("Mapping[object, object]", got)
            return all(key in known and same_value(value, known[key]) for key, value in named.items())
        case list():
            items = cast("list[object]", expected)
            if not isinstance(got, list):
                return False
            there = cast("list[object]", got)
            return len(items) == len(there) and all(map(same_value, items, there))
        case bool() | None:
            return expected is got
        case _:
            return expected == got or (_number(expected) is not None and _number(expected) == _number(got))


def _number(value: object) -> Decimal | None:
    """Return an amount; an account number with its zeros in front is a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return Decimal(str(value)) if _AMOUNT.fullmatch(str(value)) else None


def _filled(value: JsonValue, arguments: Mapping[str, JsonValue]) -> JsonValue:
    match value:
        case str():
            return render(value, arguments)
        case list():
            return [_filled(item, arguments) for item in value]
        case dict():
            return {key: _filled(item, arguments) for key, item in value.items()}
        case _:
            return value
