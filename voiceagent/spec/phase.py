"""Phases: the segments of a call, each with its own short prompt and few tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator

from voiceagent.spec.declared import Declared
from voiceagent.spec.expects import Expects
from voiceagent.spec.filler import Filler
from voiceagent.spec.guards import When
from voiceagent.spec.guided import GuidedDialogue
from voiceagent.spec.hints import Hint
from voiceagent.spec.prefetch import Prefetch
from voiceagent.spec.tool import Tool

__all__ = [
    "SKILL_FILE",
    "Ask",
    "BeepHeard",
    "Carry",
    "HangUpAfter",
    "HostSignals",
    "LastMessages",
    "MachineAnswers",
    "NotUnderstood",
    "OnEnter",
    "PersonAnswers",
    "Phase",
    "Press",
    "Pressed",
    "Reprompts",
    "Requested",
    "Say",
    "Silent",
    "TimedOut",
    "ToolFails",
    "ToolSucceeds",
    "TransferFails",
    "TransferTo",
    "Transition",
    "Trigger",
    "TurnLimitReached",
    "VoiceFails",
    "Wait",
    "no_input",
    "no_match",
]

SKILL_FILE = "SKILL.md"
"""Name of the file that makes a folder a skill; it is the prompt of its phase."""

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,63}$")


# --- what tries a transition -----------------------------------------------------------------------------------------


class ToolSucceeds(Declared):
    """A tool of the phase has returned."""

    tool: Tool


class ToolFails(Declared):
    """A tool of the phase has failed or timed out."""

    tool: Tool


class Requested(Declared):
    """The model asks for the move, by a function that carries this name."""

    name: str = Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$")
    description: str
    """What the model reads: when to ask for it."""


class Pressed(Declared):
    """The caller presses exactly these keys while no digits are expected, or `expects` is satisfied by them."""

    digits: str = Field(pattern=r"^[0-9*#A-D]{1,32}$")


class Silent(Declared):
    """The caller has said nothing after the last reprompt of `no_input`."""


class NotUnderstood(Declared):
    """The caller was not understood after the last reprompt of `no_match`."""


class TimedOut(Declared):
    """The phase has lasted `timeout_ms`."""


class TurnLimitReached(Declared):
    """The caller has had `max_turns` turns in this entry of the phase, and takes another."""


class HostSignals(Declared):
    """The host application has sent a named event."""

    name: str


class VoiceFails(Declared):
    """The model or an engine has failed for good."""


class TransferFails(Declared):
    """Nobody takes the caller whom this phase transfers (`ends`): they are with the agent again."""


class MachineAnswers(Declared):
    """A call that we have placed is answered by a mailbox, a menu or another recording.

    As long as it is not known who has answered, a phase that waits for this says nothing. A fax machine is hung up on.
    """


class PersonAnswers(Declared):
    """Somebody speaks who was taken for a machine, or has picked up while it was talking."""


class BeepHeard(Declared):
    """The machine takes down a message from now on: its beep was heard, or it has been silent for `silence_ms`."""

    silence_ms: int = Field(default=3_000, ge=1_000, le=30_000)


Trigger = (
    ToolSucceeds
    | ToolFails
    | Requested
    | Pressed
    | Silent
    | NotUnderstood
    | TimedOut
    | TurnLimitReached
    | HostSignals
    | VoiceFails
    | TransferFails
    | MachineAnswers
    | PersonAnswers
    | BeepHeard
)


def _tool_means_success(value: object) -> object:
    return ToolSucceeds(tool=value) if isinstance(value, Tool) else value


class Transition(Declared):
    """An edge of the flow: what tries it, the guard that permits it, where it leads, and what it sets going."""

    on: Annotated[Trigger, BeforeValidator(_tool_means_success)]
    to: str
    when: When | None = None
    priority: int = 0
    """Of several transitions that may fire at once the highest wins; among equals the one declared first."""
    say: str | None = None
    """A sentence said on the way: it hides the swap. A template over facts, in the language and the voice of the phase
    that it leads to: the phase before is over by then."""
    prefetch: tuple[Prefetch, ...] = ()
    """What is fetched ahead the moment the transition is decided."""
    standby: bool = False
    """A speech model whose sessions cannot be changed has one ready for the target as long as this phase lasts: nobody
    hears the swap, and the provider may charge for the second session."""

    if TYPE_CHECKING:
        # What authors may write is wider than what is kept: a bare tool for its success, a dict for a guard.
        def __init__(
            self,
            *,
            on: Trigger | Tool,
            to: str,
            when: When | Mapping[str, object] | None = None,
            priority: int = 0,
            say: str | None = None,
            prefetch: tuple[Prefetch, ...] = (),
            standby: bool = False,
        ) -> None: ...


# --- what happens on entry and at the end ----------------------------------------------------------------------------


class Say(Declared):
    """Say a sentence of the framework's own: no model is asked. A template over facts."""

    text: str


class Ask(Declared):
    """Ask the model to speak; after a tool's success it answers with the result."""


class Wait(Declared):
    """Say nothing; the caller has the floor."""


class Press(Declared):
    """Press keys towards the far side, at once, and say nothing; it has the floor. A template over facts."""

    digits: str = Field(pattern=r"^([0-9*#A-D]{1,32}|.*\{\{.+)$")


OnEnter = Say | Ask | Wait | Press


class HangUpAfter(Declared):
    """The call ends once everything that was said in this phase has been heard."""


class TransferTo(Declared):
    """The caller is transferred, once everything that was said in this phase has been heard."""

    target: str
    """A name that the server's settings map to a number, queue or extension."""
    announce: str | None = None
    """What whoever takes the call is told before they are connected, where the line can do that; the caller does not
    hear it. A template over facts."""


class Reprompts(Declared):
    """What is said when the caller stays silent or cannot be understood, one phrase per time, and what then."""

    after_ms: int = Field(default=6_000, ge=1_000, le=60_000)
    """Silence before each phrase (`no_input` only)."""
    hold_ms: int = Field(default=30_000, ge=1_000, le=120_000)
    """The same before the first phrase, where the caller has asked for a moment (`no_input` only)."""
    phrases: tuple[str, ...] = ()


def no_input() -> Reprompts:
    """Return what is said to a caller who is silent, where nobody says otherwise."""
    return Reprompts(phrases=("Are you still there?", "I cannot hear you. Are you there?"))


def no_match() -> Reprompts:
    """Return what is said to a caller who was not understood, where nobody says otherwise."""
    return Reprompts(phrases=("Sorry, could you say that again?", "I did not catch that. Once more, please?"))


class LastMessages(Declared):
    """Carry only the last messages of the earlier phases into this one."""

    count: int = Field(ge=1, le=200)


Carry = Literal["all", "facts_only"] | LastMessages
"""What a phase's model sees of the phases before: everything, only the late facts, or the last messages."""


class Phase(Declared):
    """One segment of a call. The model sees this prompt and these tools, and nothing else."""

    name: str
    prompt: str | None = None
    """File below `prompts/`, such as `bank/greeting.md`; None where no model speaks in this phase."""
    tools: tuple[Tool, ...] = ()
    transitions: tuple[Transition, ...] = ()
    on_enter: OnEnter = Field(default_factory=Ask)
    expects: tuple[Expects, ...] = ()
    """What the caller is about to say, in the order in which it is asked for; empty: free speech."""
    hints: tuple[Hint, ...] = ()
    """Names that the caller may say here: payees, products. What sounds like one of them is understood as it."""
    guided: GuidedDialogue | None = None
    filler: Filler | None = None
    """None: the flow's."""
    no_input: Reprompts = Field(default_factory=no_input)
    """Where it is not given, its words are those that are shipped for the phase's language."""
    no_match: Reprompts = Field(default_factory=no_match)
    """The same."""
    backchannels: tuple[str, ...] | Literal["usual"] = ()
    """What the agent says, softly, to show that it listens while the caller tells something long: short phrases, or
    `usual` for those of the language. Never where digits, a yes or another short answer is expected, nor where the
    phase is sensitive, nor where a speech model hears the caller: that one listens in its own way."""
    max_turns: int | None = Field(default=None, ge=1)
    timeout_ms: int | None = Field(default=None, ge=1_000)
    token_budget: int | None = Field(default=None, ge=1)
    """Tokens that this prompt and these tools may take, as estimated before a call; None: the flow's limit."""
    carry: Carry = "all"
    interruptible: bool = True
    """Whether the caller may cut the agent short; what they say meanwhile is kept either way."""
    sensitive: bool = False
    """Every digit spoken or pressed in this phase is sealed; where calls are recorded, the caller is silent in it."""
    record: bool = True
    """Where calls are recorded: whether anything is heard of this phase."""
    language: str | None = None
    """The language that is spoken and heard here, a locale such as `es-MX`; None: the flow's. It is in force from the
    moment at which a transition into this phase is decided, so a `say` on the way is in it already."""
    voice: str | None = None
    """Voice override of the synthesizer or, where one speaks, of the speech model: the engines behind it have their
    own."""
    speaking_rate: float | None = Field(default=None, ge=0.5, le=2.0)
    """Times as fast as the voice speaks by itself; None: as it does."""
    ends: HangUpAfter | TransferTo | None = None
    """How the call ends here; such a phase needs no transitions, but for one where a transfer fails."""

    @classmethod
    def from_skill(cls, folder: str, **declared: object) -> Self:
        """Return the phase of a skill: name, prompt and tools as its SKILL.md says, the rest as declared here.

        `folder` is seen from the agent's. Raises PhaseError for a skill that cannot be read.
        """
        from voiceagent.spec.skill import skill_of_author  # it reads YAML: nobody without skills waits for that

        return cls.model_validate(skill_of_author(folder).with_the_rest(declared))

    @property
    def has_model(self) -> bool:
        """Whether anybody can make replies here: a language model by the prompt, or the guided one by its dialogue."""
        return self.prompt is not None or self.guided is not None

    @property
    def heard_by_model(self) -> bool:
        """Whether a speech model may hear the caller: not where secrets are said, nor where nobody wants its answer."""
        return self.has_model and not self.sensitive

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("a phase name is lower case letters, digits and underscores, at most 64")
        return name
