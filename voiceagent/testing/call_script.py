"""Scripted conversations as values: what a caller does turn by turn, how the world answers, what is expected of it.

A `*.call.yaml` file is read into these; a test in Python can build them itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from voiceagent.errors import Source
from voiceagent.ports import ReplyModel, ReplyModelEngine
from voiceagent.testing.persona import Persona
from voiceagent.testing.scripted_call import STARTS_UNIX_MS
from voiceagent.testing.scripted_model import ModelOfScript
from voiceagent.testing.simulated_world import Faults, ScriptedTool, Timing
from voiceagent.testing.tool_answers import Range, ToolAnswers

__all__ = [
    "AfterPause",
    "At",
    "CallScript",
    "CallTurn",
    "CallerAct",
    "Coughs",
    "DuringAnswer",
    "DuringFiller",
    "Expect",
    "ExpectedCall",
    "HangsUp",
    "HostSays",
    "MakesNoise",
    "Presses",
    "Says",
    "StaysSilent",
    "Waits",
    "WhenHeard",
    "WhenToolStarts",
]


# --- what the caller does --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Says:
    """Words; an ellipsis (…) in them is a pause to breathe."""

    text: str
    lasting_ms: int | None = None

    def __str__(self) -> str:
        return f"says {self.text!r}"


@dataclass(frozen=True, slots=True)
class Presses:
    """Keys, one after the other."""

    keys: str

    def __str__(self) -> str:
        return f"presses {self.keys}"


@dataclass(frozen=True, slots=True)
class StaysSilent:
    """Nothing, for so long."""

    ms: int

    def __str__(self) -> str:
        return f"stays silent for {self.ms} ms"


@dataclass(frozen=True, slots=True)
class Coughs:
    """A short noise without words."""

    def __str__(self) -> str:
        return "coughs"


@dataclass(frozen=True, slots=True)
class MakesNoise:
    """A sound in which nobody would understand a word."""

    ms: int

    def __str__(self) -> str:
        return f"makes noise for {self.ms} ms"


@dataclass(frozen=True, slots=True)
class HangsUp:
    """The line is dead from one moment to the next."""

    def __str__(self) -> str:
        return "hangs up"


@dataclass(frozen=True, slots=True)
class HostSays:
    """Not the caller but the host application does something: it sends a named event."""

    event: str

    def __str__(self) -> str:
        return f"host event {self.event!r}"


@dataclass(frozen=True, slots=True)
class Waits:
    """Nothing but waiting until the agent has spoken and nothing is under way."""

    def __str__(self) -> str:
        return "waits"


CallerAct = Says | Presses | StaysSilent | Coughs | MakesNoise | HangsUp | HostSays | Waits


# --- when they do it -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WhenHeard:
    """The moment at which the last sound of these words of the agent has been heard."""

    words: str

    def __str__(self) -> str:
        return f"once {self.words!r} was heard"


@dataclass(frozen=True, slots=True)
class DuringAnswer:
    """So long after the agent's next words, fillers aside, can be heard."""

    ms: int

    def __str__(self) -> str:
        return f"{self.ms} ms into the answer"


@dataclass(frozen=True, slots=True)
class DuringFiller:
    """So long after the agent's next filler can be heard."""

    ms: int

    def __str__(self) -> str:
        return f"{self.ms} ms into the filler"


@dataclass(frozen=True, slots=True)
class WhenToolStarts:
    """The moment at which this tool begins to work."""

    tool: str

    def __str__(self) -> str:
        return f"when {self.tool} starts"


@dataclass(frozen=True, slots=True)
class AfterPause:
    """So long after the turn before, whatever is under way."""

    ms: int

    def __str__(self) -> str:
        return f"after {self.ms} ms"


At = WhenHeard | DuringAnswer | DuringFiller | WhenToolStarts | AfterPause


# --- what is expected ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A tool that the model gets, from the tool itself or from what was fetched ahead."""

    tool: str
    arguments: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """Those that matter."""

    def __str__(self) -> str:
        return f"{self.tool}({', '.join(f'{name}={value}' for name, value in self.arguments.items())})"


@dataclass(frozen=True, slots=True)
class Expect:
    """What is expected of a turn once it is over: the next begins, or nothing is under way. None: it does not matter.

    Durations are counted from the last sound of the caller's words, or their last key.
    """

    phase: str | None = None
    phases: tuple[str, ...] | None = None
    """Exactly the phases that were entered in the turn, in order."""
    hears: tuple[str, ...] = ()
    """Heard by the caller in this turn, capitals and punctuation aside."""
    hears_not: tuple[str, ...] = ()
    hears_matching: tuple[str, ...] = ()
    """Regular expressions."""
    calls: tuple[ExpectedCall, ...] = ()
    """Among the tools that the model gets in this turn."""
    calls_not: tuple[str, ...] = ()
    facts: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    fillers: Range | None = None
    """How many begin in the turn."""
    filler_after_ms: Range | None = None
    """When the first filler is heard."""
    within_ms: int | None = None
    """How soon the answer, fillers aside, is heard."""
    longest_silence_ms: int | None = None
    """The longest stretch in which the waiting caller hears nothing."""
    interrupts_caller: bool | None = None
    """Whether the agent begins to speak while the caller's voice is on."""
    prefetch_hits: Range | None = None
    prefetch_joins: Range | None = None
    tokens_at_most: int | None = None
    """What the model is shown for one reply, estimated as a quarter of its characters."""
    history: tuple[str, ...] = ()
    """Stands in the model's history, in one entry: `agent: Your balance`."""
    history_not: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    """Tools and moves among those that the model could ask for when it was last asked."""
    offered_not: tuple[str, ...] = ()
    presses: str | None = None
    """Exactly the keys that the agent pressed in the turn, in order."""
    ended: bool | None = None
    transferred_to: str | None = None
    source: Source | None = None
    lines: Mapping[str, Source] = field(default_factory=dict[str, Source])
    """Where each expectation stands."""


@dataclass(frozen=True, slots=True)
class CallTurn:
    """One thing the caller does, and what is to come of it."""

    act: CallerAct
    at: At | None = None
    """When; None: once the agent has spoken and nothing is under way."""
    expect: Expect = field(default_factory=Expect)
    source: Source | None = None

    def __str__(self) -> str:
        return f"{self.act} {self.at}" if self.at else str(self.act)


# --- the whole -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallScript:
    """One scripted conversation."""

    name: str
    turns: tuple[CallTurn, ...]
    """None where a persona calls."""
    model: Callable[[], ModelOfScript | ReplyModel] | ReplyModelEngine | None = None
    """Makes the model of one call; None: the guided model."""
    tools: Mapping[str, ToolAnswers | ScriptedTool] = field(default_factory=dict[str, ToolAnswers | ScriptedTool])
    in_the_end: Expect = field(default_factory=Expect)
    """What is expected of the whole call."""
    timing: Timing = field(default_factory=Timing)
    faults: Faults = field(default_factory=Faults)
    fault_lines: Mapping[str, Source] = field(default_factory=dict[str, Source])
    """Where each kind of fault stands."""
    caller_number: str = "+15550100"
    time_zone: str = "UTC"
    unix_ms: int = STARTS_UNIX_MS
    seed: int = 0
    """Of the first schedule it is played under."""
    persona: Persona | None = None
    """Who calls instead of turns; a model plays them."""
    xfail: str | None = None
    """Why it is known to fail: a defect that is not mended yet."""
    cascade_only: str | None = None
    """Why it does not apply where a speech model hears and speaks."""
    source: Source | None = None
