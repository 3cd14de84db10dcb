"""Authoring: what a person who writes phases needs; nothing here opens a socket."""

from voiceagent.errors import AuthorError, OutcomeUnknown, PhaseError, ToolFailed, VoiceAgentError
from voiceagent.spec.attempts import Attempts
from voiceagent.spec.expects import Choice, Digits, Expects, FreeSpeech, SpokenAmount, SpokenDate, SpokenTime, YesNo
from voiceagent.spec.facts import Facts
from voiceagent.spec.filler import Filler
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Not
from voiceagent.spec.guided import Form, GuidedDialogue, Intent, Slot
from voiceagent.spec.hints import FromAnswer
from voiceagent.spec.phase import (
    Ask,
    BeepHeard,
    HangUpAfter,
    HostSignals,
    LastMessages,
    MachineAnswers,
    NotUnderstood,
    PersonAnswers,
    Phase,
    Press,
    Pressed,
    Reprompts,
    Requested,
    Say,
    Silent,
    TimedOut,
    ToolFails,
    ToolSucceeds,
    TransferFails,
    TransferTo,
    Transition,
    TurnLimitReached,
    VoiceFails,
    Wait,
)
from voiceagent.spec.prefetch import FromFact, FromItem, Prefetch
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Sealed, Tool, tool
from voiceagent.spec.wording import Phrases, Wording
from voiceagent.tools.context import ToolContext

__all__ = [
    "AllOf",
    "AnyOf",
    "Ask",
    "Attempts",
    "AuthorError",
    "BeepHeard",
    "Choice",
    "Compare",
    "Digits",
    "Expects",
    "Facts",
    "Filler",
    "Flow",
    "Form",
    "FreeSpeech",
    "FromAnswer",
    "FromFact",
    "FromItem",
    "GuidedDialogue",
    "HangUpAfter",
    "HostSignals",
    "Intent",
    "LastMessages",
    "Limits",
    "MachineAnswers",
    "Not",
    "NotUnderstood",
    "OutcomeUnknown",
    "PersonAnswers",
    "Phase",
    "PhaseError",
    "Phrases",
    "Prefetch",
    "Press",
    "Pressed",
    "Prompt",
    "Reprompts",
    "Requested",
    "Say",
    "Sealed",
    "Silent",
    "Slot",
    "SpokenAmount",
    "SpokenDate",
    "SpokenTime",
    "TimedOut",
    "Tool",
    "ToolContext",
    "ToolFailed",
    "ToolFails",
    "ToolSucceeds",
    "TransferFails",
    "TransferTo",
    "Transition",
    "TurnLimitReached",
    "VoiceAgentError",
    "VoiceFails",
    "Wait",
    "Wording",
    "YesNo",
    "tool",
]
