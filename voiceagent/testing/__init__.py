"""Tools for testing agents: public, and used by this project's own tests."""

from voiceagent.testing.scripted_call import After, ScriptedCall, ScriptedModel, ScriptedTool, Timing, ask_for, say

__all__ = ["After", "ScriptedCall", "ScriptedModel", "ScriptedTool", "Timing", "ask_for", "say"]
