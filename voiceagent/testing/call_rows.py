"""Rows of a `*.call.yaml`: every key that an author may write, and what its value must look like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from voiceagent.testing.agent_voice import plain_words
from voiceagent.testing.tool_answers import Range

__all__ = [
    "ACTS",
    "ActRow",
    "AtRow",
    "CoughsRow",
    "ExpectRow",
    "FaultsRow",
    "FileRow",
    "HangsUpRow",
    "HostEventRow",
    "MakesNoiseRow",
    "ModelRow",
    "PersonaRow",
    "PressesRow",
    "ReplyRow",
    "RuleRow",
    "SaysRow",
    "ScriptRow",
    "SettingsRow",
    "StaysSilentRow",
    "ToolAnswerRow",
    "WaitsRow",
    "WorldRow",
]

_MOST_MS = 600_000
_FIRST_YEAR, _LAST_YEAR = 1980, 2200
_RANGE = re.compile(r"([0-9]{1,6})(?:\.\.([0-9]{1,6}))?")


def _range(value: object) -> Range:
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) > int(match[2] or match[1]):
        raise ValueError("a number such as 300, or a range such as 300..900, is expected here")
    return Range(int(match[1]), int(match[2] or match[1]))


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _numbers(value: object) -> object:
    """Take `2`, `1..3` or a list of numbers."""
    if not isinstance(value, str):
        return value
    listed = _range(value)
    return tuple(range(listed.low, listed.high + 1))


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as exc:
        raise ValueError(f"not a regular expression: {exc}") from exc
    return value


def _spoken(value: str) -> str:
    if not plain_words(value):
        raise ValueError("there is no word in this that could be heard")
    return value


def _in_our_time(value: datetime) -> datetime:
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise ValueError(f"a year from {_FIRST_YEAR} to {_LAST_YEAR} is expected here")
    return value


_Ms = Annotated[int, Field(ge=0, le=_MOST_MS)]
_Text = Annotated[str, Field(min_length=1)]
_Texts = Annotated[tuple[_Text, ...], BeforeValidator(_listed, json_schema_input_type=_Text | tuple[_Text, ...])]
_Words = Annotated[_Text, AfterValidator(_spoken)]
_Keys = Annotated[str, Field(pattern=r"^[0-9*#A-D]{1,64}$")]
_Phrases = Annotated[tuple[_Words, ...], BeforeValidator(_listed, json_schema_input_type=_Words | tuple[_Words, ...])]
_Pattern = Annotated[_Text, AfterValidator(_pattern)]
_Patterns = Annotated[tuple[_Pattern, ...], BeforeValidator(_listed, json_schema_input_type=_Text | tuple[_Text, ...])]
_Ranged = Annotated[str, Field(pattern=rf"^{_RANGE.pattern}$")] | Annotated[int, Field(ge=0)]
_Range = Annotated[Range, BeforeValidator(_range, json_schema_input_type=_Ranged)]
_Number = Annotated[int, Field(ge=1)]
_Numbers = Annotated[
    tuple[_Number, ...], BeforeValidator(_numbers, json_schema_input_type=_Ranged | tuple[_Number, ...])
]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# --- the file --------------------------------------------------------------------------------------------------------


class WorldRow(_Row):
    """How the world answers: in a file for all its conversations, in a conversation for itself."""

    settings: JsonValue = None
    model: JsonValue = None
    tools: dict[str, JsonValue] = {}
    faults: JsonValue = None


class ScriptRow(WorldRow):
    """One conversation."""

    name: _Text
    xfail: _Text | None = None
    cascade_only: _Text | None = None
    call: list[JsonValue] = []
    persona: JsonValue = None
    in_the_end: JsonValue = None


class FileRow(WorldRow):
    """A file: one conversation, with its name and call, or several, or for others to include."""

    agent: _Text | None = None
    include: _Texts = ()
    conversations: list[JsonValue] = []
    name: _Text | None = None
    xfail: _Text | None = None
    cascade_only: _Text | None = None
    call: list[JsonValue] = []
    persona: JsonValue = None
    in_the_end: JsonValue = None


class PersonaRow(_Row):
    """A caller whom a model plays."""

    who: _Text
    goal: _Text
    intent: _Text
    at_most_turns: int | None = Field(default=None, ge=1, le=100)


class SettingsRow(_Row):
    """What else a call depends on."""

    seed: int | None = Field(default=None, ge=0)
    caller_number: _Text | None = None
    time_zone: _Text | None = None
    starts_at: Annotated[datetime, AfterValidator(_in_our_time)] | None = None
    transcript_ms: _Ms | None = None
    partial_ms: _Ms | None = None
    first_token_ms: _Ms | None = None
    token_ms: _Ms | None = None
    synthesis_ms: _Ms | None = None
    swap_ms: _Ms | None = None


# --- the world -------------------------------------------------------------------------------------------------------


class ModelRow(_Row):
    """A scripted model: its lines per phase, or rules, or what a live one said when it was recorded."""

    lines: dict[str, JsonValue] | None = None
    rules: list[JsonValue] | None = None
    cassette: _Text | None = None


class ReplyRow(_Row):
    """A reply of the model: words, a request for a tool or a move, or both."""

    says: str = ""
    calls: _Text | None = None
    arguments: JsonValue = None


class RuleRow(ReplyRow):
    """A reply and when it is made."""

    phase: _Text | None = None
    caller_says: _Pattern | None = None
    after_tool: _Text | None = None


class ToolAnswerRow(_Row):
    """What a tool answers."""

    given: JsonValue = None
    run: int | None = Field(default=None, ge=1)
    result: JsonValue = None
    fails: _Text | None = None
    times_out: Literal["", "true", "yes"] | None = None
    crashes: Literal["", "true", "yes"] | None = None
    takes_ms: _Range | None = None


class FaultsRow(_Row):
    """What goes wrong, by number from 1."""

    model_fails: _Numbers = ()
    model_breaks_off: _Numbers = ()
    model_stalls: _Numbers = ()
    transcript_fails: _Numbers = ()
    transcript_stalls: _Numbers = ()
    synthesis_fails: _Numbers = ()
    swap_fails: _Numbers = ()


# --- turns -----------------------------------------------------------------------------------------------------------


class _ActRow(_Row):
    at: JsonValue = None
    expect: JsonValue = None


class SaysRow(_ActRow):
    """The caller says something."""

    says: _Text
    lasting_ms: _Ms | None = None


class PressesRow(_ActRow):
    """The caller presses keys."""

    presses: _Keys


class StaysSilentRow(_ActRow):
    """The caller says nothing for so long."""

    stays_silent_ms: _Ms


class CoughsRow(_ActRow):
    """The caller coughs."""

    coughs: Literal[""]


class MakesNoiseRow(_ActRow):
    """The caller is loud for so long, without words."""

    makes_noise_ms: _Ms


class HangsUpRow(_ActRow):
    """The caller puts the telephone down."""

    hangs_up: Literal[""]


class HostEventRow(_ActRow):
    """The host application sends an event."""

    host_event: _Text


class WaitsRow(_ActRow):
    """The caller waits for the agent."""

    waits: Literal[""]


ActRow = SaysRow | PressesRow | StaysSilentRow | CoughsRow | MakesNoiseRow | HangsUpRow | HostEventRow | WaitsRow

ACTS: Mapping[str, type[ActRow]] = {
    "says": SaysRow,
    "presses": PressesRow,
    "stays_silent_ms": StaysSilentRow,
    "coughs": CoughsRow,
    "makes_noise_ms": MakesNoiseRow,
    "hangs_up": HangsUpRow,
    "host_event": HostEventRow,
    "waits": WaitsRow,
}


class AtRow(_Row):
    """The moment of an act; exactly one of these."""

    heard: _Words | None = None
    answer_ms: _Ms | None = None
    filler_ms: _Ms | None = None
    tool_starts: _Text | None = None
    after_ms: _Ms | None = None


class ExpectRow(_Row):
    """What is expected of a turn, or of the whole call."""

    phase: _Text | None = None
    phases: _Texts | None = None
    hears: _Phrases = ()
    hears_not: _Phrases = ()
    hears_matching: _Patterns = ()
    calls: JsonValue = None
    calls_not: _Texts = ()
    facts: dict[str, JsonValue] = {}
    fillers: _Range | None = None
    filler_after_ms: _Range | None = None
    within_ms: _Ms | None = None
    longest_silence_ms: _Ms | None = None
    interrupts_caller: bool | None = None
    prefetch_hits: _Range | None = None
    prefetch_joins: _Range | None = None
    tokens_at_most: int | None = Field(default=None, ge=1)
    history: _Phrases = ()
    history_not: _Phrases = ()
    offered: _Texts = ()
    offered_not: _Texts = ()
    presses: _Keys | None = None
    ended: bool | None = None
    transferred_to: _Text | None = None
