"""What becomes of a scripted conversation in real audio: sounds, tolerances, and what cannot be played."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from voiceagent.testing.call_script import (
    CallerAct,
    CallScript,
    Coughs,
    Expect,
    HangsUp,
    HostSays,
    MakesNoise,
    Presses,
    Says,
    StaysSilent,
    Waits,
)
from voiceagent.testing.simulated_world import Faults
from voiceagent.testing.tool_answers import Range

__all__ = [
    "LATER_MS",
    "NOT_COMPARED",
    "Noise",
    "Pause",
    "Sound",
    "Words",
    "in_audio",
    "left_out",
    "sounds_of",
    "why_not",
]

LATER_MS = 800
"""Real ears and mouths are slower than simulated ones: a pause is noticed after 200 ms, and recognizer and synthesizer
share this computer with everything else."""
_COUGH_MS = 300
_BREATH_MS = 600

NOT_COMPARED = {
    "history": "the caller's words stand there as they were recognised, the agent's as far as marks tell",
    "history_not": "the caller's words stand there as they were recognised, the agent's as far as marks tell",
    "interrupts_caller": "a real voice is noticed only after its first sounds, and who begins in them cannot know",
}
"""Expectations that real speech cannot meet exactly, and why."""


# --- what the caller's telephone sends -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Words:
    """Words, in the caller's voice and at its pace."""

    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing, for so long."""

    ms: int


@dataclass(frozen=True, slots=True)
class Noise:
    """A burst of noise in the band of a telephone."""

    ms: int


Sound = Words | Pause | Noise


def sounds_of(act: CallerAct) -> tuple[Sound, ...]:
    """Return what is to be heard of an act; nothing, where it has no sound."""
    match act:
        case Says(text):
            breaths = [Words(part.strip()) for part in text.split("…") if part.strip()]
            sounds: list[Sound] = list(breaths[:1])
            for breath in breaths[1:]:
                sounds += [Pause(_BREATH_MS), breath]
            return tuple(sounds)
        case Coughs():
            return (Noise(_COUGH_MS),)
        case MakesNoise(ms):
            return (Noise(ms),)
        case Presses() | StaysSilent() | HangsUp() | HostSays() | Waits():
            return ()
        case _:
            assert_never(act)


# --- what is expected ------------------------------------------------------------------------------------------------


def in_audio(expect: Expect) -> Expect:
    """Return what is expected of a spoken call: times with a tolerance, and nothing of `NOT_COMPARED`."""
    onset_ms = expect.filler_after_ms
    return replace(
        expect,
        within_ms=None if expect.within_ms is None else expect.within_ms + LATER_MS,
        filler_after_ms=onset_ms and Range(onset_ms.low, onset_ms.high + LATER_MS),
        longest_silence_ms=None if expect.longest_silence_ms is None else expect.longest_silence_ms + LATER_MS,
        history=(),
        history_not=(),
        interrupts_caller=None,
    )


def left_out(script: CallScript) -> tuple[str, ...]:
    """Return the keys of those expectations of a conversation that are not compared."""
    expected = [*(turn.expect for turn in script.turns), script.in_the_end]
    return tuple(key for key in NOT_COMPARED if any(getattr(expect, key) not in ((), None) for expect in expected))


def why_not(script: CallScript, *, locale: str) -> str | None:
    """Return why a conversation cannot be played in audio; None where it can."""
    if script.persona is not None:
        return "a persona calls, and no model plays it here"
    if script.faults != Faults():
        return "its faults are simulated: real engines do not fail when they are told to"
    if script.xfail is not None:
        return f"it is known to fail: {script.xfail}"
    if not locale.lower().startswith("en"):
        return f"the local engines speak and understand English, not {locale}"
    return None
