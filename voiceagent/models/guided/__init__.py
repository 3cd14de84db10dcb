"""The guided model: runs a phase's guided dialogue, the same way every time, with no provider and no weights."""

from voiceagent.models.guided.model import GuidedModels

__all__ = ["GuidedModels"]
