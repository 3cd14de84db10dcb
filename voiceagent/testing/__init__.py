"""Tools for testing agents: public, and used by this project's own tests."""

from voiceagent.testing.agent_voice import AgentVoice
from voiceagent.testing.arrivals import Arrivals, ArrivalsFailed, explore
from voiceagent.testing.call_file import CallFile, CallFiles
from voiceagent.testing.call_record import CallRecord
from voiceagent.testing.call_report import BargeIn, CallerTurn, CallReport
from voiceagent.testing.call_results import CallResult, Summary
from voiceagent.testing.call_script import (
    AfterPause,
    CallScript,
    CallTurn,
    Coughs,
    DuringAnswer,
    DuringFiller,
    Expect,
    ExpectedCall,
    HangsUp,
    HostSays,
    MakesNoise,
    Presses,
    Says,
    StaysSilent,
    Waits,
    WhenHeard,
    WhenToolStarts,
)
from voiceagent.testing.caller import ScriptedCaller, StepFailed
from voiceagent.testing.caller_script import CallerScript
from voiceagent.testing.caller_voice import CallerVoice
from voiceagent.testing.carrier import Caller, CarriedCall, Hearing, PressKey, PutDown, Say, TwilioCarrier
from voiceagent.testing.cassettes import CassetteModels, RecordingModels
from voiceagent.testing.expectations import Mismatch
from voiceagent.testing.exploring import Explored, as_test, explored, smallest
from voiceagent.testing.fault_lab import LabCall, play
from voiceagent.testing.fault_plan import Deed, Fault, FaultPlan, drawn
from voiceagent.testing.heard_invariants import HeardInvariants
from voiceagent.testing.invariants import Broken, Invariants
from voiceagent.testing.judge import JUDGE_FLOW, Verdict, judge
from voiceagent.testing.lateness import Lateness
from voiceagent.testing.live_models import CountedModels, LiveModels, Spent
from voiceagent.testing.persona import CALLER_FLOW, Persona, PersonaCaller, PersonaTurn
from voiceagent.testing.persona_playing import PersonaPlayer
from voiceagent.testing.placing import place_call
from voiceagent.testing.playing import CallFailure, CallOutcome, CallPlayer, Played
from voiceagent.testing.runtime_call import RuntimeCall
from voiceagent.testing.schedule import Schedule, Swap
from voiceagent.testing.scripted_call import ScriptedCall
from voiceagent.testing.scripted_model import ModelRule, RuledModel, ScriptedModel, ask_for, say
from voiceagent.testing.simulated_call import SimulatedCall
from voiceagent.testing.simulated_provider import ProviderFaults, ProviderTiming, SimulatedProvider
from voiceagent.testing.simulated_world import After, Faults, ScriptedTool, Timing
from voiceagent.testing.timeline import TimelineEvent
from voiceagent.testing.tool_answers import Range, ToolAnswer, ToolAnswers
from voiceagent.testing.twilio_stream import twilio_signature
from voiceagent.testing.utterance import Utterance, read_utterance
from voiceagent.testing.virtual_loop import (
    NothingToWaitFor,
    RealWorldTouched,
    TimeStandsStill,
    VirtualClock,
    VirtualLoop,
    run_virtual,
)

__all__ = [
    "CALLER_FLOW",
    "JUDGE_FLOW",
    "After",
    "AfterPause",
    "AgentVoice",
    "Arrivals",
    "ArrivalsFailed",
    "BargeIn",
    "Broken",
    "CallFailure",
    "CallFile",
    "CallFiles",
    "CallOutcome",
    "CallPlayer",
    "CallRecord",
    "CallReport",
    "CallResult",
    "CallScript",
    "CallTurn",
    "Caller",
    "CallerScript",
    "CallerTurn",
    "CallerVoice",
    "CarriedCall",
    "CassetteModels",
    "Coughs",
    "CountedModels",
    "Deed",
    "DuringAnswer",
    "DuringFiller",
    "Expect",
    "ExpectedCall",
    "Explored",
    "Fault",
    "FaultPlan",
    "Faults",
    "HangsUp",
    "HeardInvariants",
    "Hearing",
    "HostSays",
    "Invariants",
    "LabCall",
    "Lateness",
    "LiveModels",
    "MakesNoise",
    "Mismatch",
    "ModelRule",
    "NothingToWaitFor",
    "Persona",
    "PersonaCaller",
    "PersonaPlayer",
    "PersonaTurn",
    "Played",
    "PressKey",
    "Presses",
    "ProviderFaults",
    "ProviderTiming",
    "PutDown",
    "Range",
    "RealWorldTouched",
    "RecordingModels",
    "RuledModel",
    "RuntimeCall",
    "Say",
    "Says",
    "Schedule",
    "ScriptedCall",
    "ScriptedCaller",
    "ScriptedModel",
    "ScriptedTool",
    "SimulatedCall",
    "SimulatedProvider",
    "Spent",
    "StaysSilent",
    "StepFailed",
    "Summary",
    "Swap",
    "TimeStandsStill",
    "TimelineEvent",
    "Timing",
    "ToolAnswer",
    "ToolAnswers",
    "TwilioCarrier",
    "Utterance",
    "Verdict",
    "VirtualClock",
    "VirtualLoop",
    "Waits",
    "WhenHeard",
    "WhenToolStarts",
    "as_test",
    "ask_for",
    "drawn",
    "explore",
    "explored",
    "judge",
    "place_call",
    "play",
    "read_utterance",
    "run_virtual",
    "say",
    "smallest",
    "twilio_signature",
]
