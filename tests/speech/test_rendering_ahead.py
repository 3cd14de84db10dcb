"""What is rendered ahead is waited for with patience, but not for ever."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.engines import Tongue
from tests.speech.test_chains import in_time
from voiceagent.errors import VoiceFailed
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.speech.chain import SynthesizerChain
from voiceagent.testing.manual_clock import ManualClock


class Unable(Tongue):
    """An engine that renders nothing: it hangs, or raises what is not ours."""

    def __init__(self, failure: Exception | None) -> None:
        super().__init__()
        self.failure = failure

    async def render(self, text: str, audio: AudioFormat, *, voice: str | None, **manner: object) -> bytes:
        del text, audio, voice
        if self.failure is None:
            await asyncio.Event().wait()
        raise self.failure or AssertionError


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (None, "Unable has not rendered a sentence within 60000 ms"),
        (BrokenPipeError(32, "the worker is gone"), "BrokenPipeError"),
    ],
)
def test_an_engine_that_does_not_render_has_failed_and_the_next_one_is_asked(
    failure: Exception | None, said: str
) -> None:
    clock, works = ManualClock(), Tongue()
    alone = SynthesizerChain(Unable(failure), clock=clock)
    with pytest.raises(VoiceFailed, match=said):
        asyncio.run(in_time(alone.render("I am sorry.", MULAW_8K, voice=None), clock, every_ms=5_000))
    both = SynthesizerChain(Unable(failure), works, clock=clock)
    assert asyncio.run(in_time(both.render("I am sorry.", MULAW_8K, voice="anna"), clock, every_ms=5_000))
    assert works.rendered == ["I am sorry."]
