"""Results of conversations in real audio, and what has to be known to read them."""

from __future__ import annotations

import shlex
from pathlib import Path

from voiceagent.testing.audio_plan import LATER_MS, NOT_COMPARED, left_out
from voiceagent.testing.audio_player import AudioOutcome
from voiceagent.testing.call_results import CallResult, failure_lines
from voiceagent.testing.playing import Played

__all__ = ["READING_NOTES", "audio_result"]

READING_NOTES = (
    f"times: {LATER_MS} ms more than written are allowed, since real ears and mouths are slower",
    "words of the agent: as it was to say them, as far as their audio was heard",
    "lasting_ms and settings: only the model's times and the date are followed, since voices and ears are real",
    *(f"{key}: not compared, because {why}" for key, why in NOT_COMPARED.items()),
)
"""What holds for every conversation in audio."""


def audio_result(outcome: AudioOutcome, path: Path) -> CallResult:
    """Sum up an outcome."""
    script, failure = outcome.script, outcome.failure
    omitted = left_out(script)
    text = f"not compared: {', '.join(omitted)}" if omitted else ""
    if outcome.skipped is not None:
        text = outcome.skipped
    elif failure is not None:
        again = shlex.join(["voiceagent", "test", str(path), "-k", f'"{script.name}"', "--audio"])
        text = "\n".join([*failure_lines(failure), f"  again: {again}"])
    return CallResult(
        file=str(path),
        line=script.source.line if script.source else 0,
        name=script.name,
        status="skipped" if outcome.skipped is not None else "passed" if failure is None else "failed",
        text=text,
        core=Played(),
        runtime=Played(0 if outcome.skipped is not None else 1, outcome.lasted_ms, outcome.took_s),
        level=None,
        seed=None,
    )
