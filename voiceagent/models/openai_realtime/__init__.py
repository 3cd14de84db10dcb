"""OpenAI Realtime hears and speaks: at OpenAI itself, at Azure, or at a server that speaks its protocol."""

from __future__ import annotations

from voiceagent.models.openai_realtime.endpoints import RealtimeEndpoint, azure_endpoint, openai_endpoint
from voiceagent.models.openai_realtime.engine import OpenAIRealtimeModels
from voiceagent.models.openai_realtime.setup import SemanticTurns, ServerTurns, Turns

__all__ = [
    "OpenAIRealtimeModels",
    "RealtimeEndpoint",
    "SemanticTurns",
    "ServerTurns",
    "Turns",
    "azure_endpoint",
    "openai_endpoint",
]
