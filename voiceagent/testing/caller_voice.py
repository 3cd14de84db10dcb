"""The caller's voice in a simulated call: how long words take, where they pause for breath, and when it is on."""

from __future__ import annotations

from dataclasses import dataclass

from voiceagent.testing.agent_voice import MS_PER_CHARACTER

__all__ = ["BREATH_MS", "NOTICED_AFTER_MS", "OVER_AFTER_MS", "Breath", "CallerVoice"]

BREATH_MS = 600
"""An ellipsis: long enough for a pause, too short for the end of a turn."""
NOTICED_AFTER_MS, OVER_AFTER_MS = 60, 200
"""What the energy detector waits for until a voice is on, and until it has paused."""

_ELLIPSIS = "…"
_SHORTEST_MS = 300


@dataclass(frozen=True, slots=True)
class Breath:
    """Words said in one go."""

    words: str
    begins_ms: int
    ends_ms: int

    @property
    def lasting_ms(self) -> int:
        """How long they take."""
        return self.ends_ms - self.begins_ms


class CallerVoice:
    """When the caller's voice was on in one call."""

    def __init__(self) -> None:
        self.spells: list[tuple[int, int]] = []
        """From when to when, in order."""
        self.ends_ms = 0
        """When the caller last stops speaking, or has pressed a key."""

    def says(self, text: str, now_ms: int, *, lasting_ms: int | None = None) -> list[Breath]:
        """Say this from now on, breath by breath; an ellipsis (…) is the pause between two of them.

        `lasting_ms` is the time of all breaths together; None: what their letters take.
        """
        parts = text.split(_ELLIPSIS)
        breaths: list[Breath] = []
        for part in parts:
            words = part.strip()
            takes_ms = max(_SHORTEST_MS, len(words) * MS_PER_CHARACTER)
            if lasting_ms is not None:
                takes_ms = lasting_ms // len(parts)
            breaths.append(Breath(words, now_ms, now_ms + takes_ms))
            now_ms += takes_ms + BREATH_MS
        self.spells += [(breath.begins_ms, breath.ends_ms) for breath in breaths]
        self.ends_ms = breaths[-1].ends_ms
        return breaths

    def pressed(self, now_ms: int) -> None:
        """A key was pressed."""
        self.ends_ms = now_ms
