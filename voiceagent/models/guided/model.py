"""The guided model as one call sees it: no state of its own, every reply follows from what it is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime

from voiceagent.core.effects import ModelRequest
from voiceagent.errors import VoiceFailed
from voiceagent.language import language_for
from voiceagent.models.guided.answering import Answering
from voiceagent.models.guided.understanding import Understanding
from voiceagent.ports import ReplyPiece
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import GuidedDialogue
from voiceagent.spec.phase import Phase
from voiceagent.zones import zone_of

__all__ = ["GuidedModel", "GuidedModels"]


class GuidedModels:
    """The engine: what it has learned of a phase's examples is kept for all calls of the process."""

    def __init__(self) -> None:
        self._understood: dict[tuple[str, str, str], Understanding] = {}

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> GuidedModel:
        """Return a handle for one call of this flow."""
        del locale  # each phase has its own
        return GuidedModel(flow, time_zone, self._understood)

    async def close(self) -> None:
        """Nothing is held."""


class GuidedModel:
    """Runs guided dialogues. Every reply is a function of the request alone."""

    def __init__(self, flow: Flow, time_zone: str, understood: dict[tuple[str, str, str], Understanding]) -> None:
        self._flow = flow
        self._time_zone = time_zone
        self._understood = understood

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        """Yield the words, then a tool request where there is one. VoiceFailed where the phase has no dialogue."""
        phase = self._flow.by_name[request.phase]
        if phase.guided is None:
            raise VoiceFailed(f"phase {phase.name!r} has no guided dialogue")
        understanding = self._understanding(phase, phase.guided)
        for piece in Answering(self._flow, phase.guided, request, understanding, self._today(request)).pieces():
            yield piece

    async def close(self) -> None:
        """Nothing is held."""

    def _understanding(self, phase: Phase, dialogue: GuidedDialogue) -> Understanding:
        language = language_for(self._flow.language_of(phase))
        key = (self._flow.sha256, phase.name, language.locale)
        if key not in self._understood:
            self._understood[key] = Understanding(dialogue, language)
        return self._understood[key]

    def _today(self, request: ModelRequest) -> date:
        return datetime.fromtimestamp(request.unix_ms / 1_000, zone_of(self._time_zone)).date()
