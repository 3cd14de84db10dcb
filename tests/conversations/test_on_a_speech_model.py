"""Every scripted conversation once more, with a speech model that hears and speaks instead of the cascade.

The provider is simulated, the runtime is the one that serves callers. The scripts do not know: they expect the same
phases, tools, words and times.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from voiceagent.testing import CallFiles, CallPlayer
from voiceagent.testing.call_results import failure_text
from voiceagent.testing.playing import not_for

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.rglob("*.call.yaml"))


@pytest.mark.parametrize("voice", ["in_place", "new_session"])
@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER)) for path in FILES])
def test_a_speech_model_takes_the_calls_of(path: Path, voice: Literal["in_place", "new_session"]) -> None:
    file = CallFiles().read(path)
    player = CallPlayer(file.flow, voice=voice)
    failures: list[str] = []
    for script in file.scripts:
        if script.persona is None and not_for(script, voice) is None:
            outcome = player.play(script)
            if outcome.failure is not None:
                failures.append(failure_text(outcome.failure, path=path, name=script.name))
    assert not failures, "\n\n".join(failures)


def test_few_conversations_are_for_a_cascade_only() -> None:
    scripts = [script for path in FILES for script in CallFiles().read(path).scripts]
    skipped = [script.name for script in scripts if not_for(script, "in_place") is not None]
    assert len(skipped) <= len(scripts) // 20, skipped
