"""Tools for testing agents: public, and used by this project's own tests."""

from voiceagent.testing.agent_voice import AgentVoice
from voiceagent.testing.call_report import BargeIn, CallerTurn, CallReport
from voiceagent.testing.caller import ScriptedCaller, StepFailed
from voiceagent.testing.caller_script import CallerScript
from voiceagent.testing.carrier import Caller, CarriedCall, Hearing, PressKey, PutDown, Say, TwilioCarrier
from voiceagent.testing.cassettes import CassetteModels, RecordingModels
from voiceagent.testing.lateness import Lateness
from voiceagent.testing.placing import place_call
from voiceagent.testing.schedule import Schedule, Swap
from voiceagent.testing.scripted_call import ScriptedCall
from voiceagent.testing.scripted_model import ModelRule, RuledModel, ScriptedModel, ask_for, say
from voiceagent.testing.simulated_world import After, Faults, ScriptedTool, Timing
from voiceagent.testing.timeline import TimelineEvent
from voiceagent.testing.twilio_stream import twilio_signature
from voiceagent.testing.utterance import Utterance, read_utterance

__all__ = [
    "After",
    "AgentVoice",
    "BargeIn",
    "CallReport",
    "Caller",
    "CallerScript",
    "CallerTurn",
    "CarriedCall",
    "CassetteModels",
    "Faults",
    "Hearing",
    "Lateness",
    "ModelRule",
    "PressKey",
    "PutDown",
    "RecordingModels",
    "RuledModel",
    "Say",
    "Schedule",
    "ScriptedCall",
    "ScriptedCaller",
    "ScriptedModel",
    "ScriptedTool",
    "StepFailed",
    "Swap",
    "TimelineEvent",
    "Timing",
    "TwilioCarrier",
    "Utterance",
    "ask_for",
    "place_call",
    "read_utterance",
    "say",
    "twilio_signature",
]
