"""Call summary: a call in figures and words, as it is printed, kept as JSON and proved from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

__all__ = [
    "BargeInSeen",
    "CallSummary",
    "FillerSeen",
    "FloorSeen",
    "PhaseSeen",
    "PhaseTokens",
    "ServedSeen",
    "StandbySeen",
    "ToolSeen",
    "TurnSeen",
    "VersionSeen",
]


@dataclass(frozen=True, slots=True)
class PhaseSeen:
    """One entry into a phase, and what its model could ask for. Instants are ms since the call began."""

    phase: str
    at_ms: int
    tools: list[str]


@dataclass(frozen=True, slots=True)
class ToolSeen:
    """One tool that ran, or a fetch of one."""

    tool: str
    at_ms: int
    took_ms: int | None
    outcome: str
    """`finished`, or the kind of failure; `open` where the journal ends before its result."""
    reason: str | None
    """Why it failed."""
    prefetch: bool


@dataclass(frozen=True, slots=True)
class ServedSeen:
    """A tool call that a prefetch answered."""

    at_ms: int
    how: str
    saved_ms: int


@dataclass(frozen=True, slots=True)
class FillerSeen:
    """A filler, and how long the caller had been waiting when it was heard."""

    text: str
    at_ms: int
    onset_ms: int


@dataclass(frozen=True, slots=True)
class TurnSeen:
    """From the end of the caller's voice to the first sound of the agent, filler or not."""

    said: str
    ended_ms: int
    first_sound_after_ms: int | None
    answer_after_ms: int | None
    """Fillers left out."""


@dataclass(frozen=True, slots=True)
class BargeInSeen:
    """The caller cut in: what had been heard of the sentence."""

    at_ms: int
    utterance: str
    heard_ms: int
    exact: bool
    heard: str
    unheard: str


@dataclass(frozen=True, slots=True)
class FloorSeen:
    """A decision about who has the floor, or about who has answered."""

    at_ms: int
    what: str
    """As in `NoteDecision`: `turn over`, `a machine answers`…"""
    reason: str
    waited_ms: int
    """Since the caller's last sound, since their voice came on, or since they have answered."""
    confidence: float | None = None
    """0..1: how sure it is who has answered."""


@dataclass(frozen=True, slots=True)
class PhaseTokens:
    """What a phase's replies took; a model that counts none, such as the guided one, is shown with zeros."""

    phase: str
    replies: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    """Of the input: what the provider had in its prompt cache."""


@dataclass(frozen=True, slots=True)
class StandbySeen:
    """A model session that was kept ready for a phase: what it has cost, and whether it was needed."""

    phase: str
    open_ms: int
    used: bool


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """A version of the agent to which its author has changed it in mid-call."""

    version: str
    at_ms: int
    changes: list[str]
    used_ms: int | None
    """When the call entered a phase with it; None where it never did."""
    forgotten: list[str]
    """Facts and grants that the version did not know."""


@dataclass(frozen=True, slots=True)
class CallSummary:
    """A call in figures. Everything can be read off the journal."""

    call: str
    flow: str
    flow_sha256: str
    duration_ms: int
    ended: str | None
    """Why the call ended; None where the journal breaks off."""
    phases: list[PhaseSeen]
    turns: list[TurnSeen]
    tools: list[ToolSeen]
    served: list[ServedSeen]
    fillers: list[FillerSeen]
    barge_ins: list[BargeInSeen]
    floor: list[FloorSeen]
    problems: list[str]
    longest_dead_air_ms: int
    """The longest time in which nobody was heard while the caller was waiting for the agent; a pause that the caller
    makes is none."""
    response_ms: dict[str, int]
    """`p50`, `p95` and `max` of the turns' first sounds."""
    tokens: list[PhaseTokens]
    """Phase by phase, in the order in which they were entered first; phases in which no model spoke are left out."""
    standbys: list[StandbySeen] = field(default_factory=list[StandbySeen])
    renewals: int = 0
    """How often a model session was replaced by another one in the middle of a phase."""
    versions: list[VersionSeen] = field(default_factory=list[VersionSeen])
    transcript: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(who, what was heard), in order; fillers in round brackets."""

    def to_json(self) -> str:
        """Return the summary for machines."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)

    def to_text(self) -> str:
        """Return the transcript for people."""
        return "\n".join(f"{who:>7}: {words}" for who, words in self.transcript) + "\n"
