"""A caller who is listened to out loud: the line's echo of that is not their voice, and it does not come too late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tests.runtime.desk_calls import GREETING, Never, greeted, lines
from voiceagent import Flow, HangUpAfter, Phase, Prompt, Requested, Say, Transition
from voiceagent.core import events as ev
from voiceagent.core.effects import Speak, StopPlayout
from voiceagent.speech import NullSynthesizer
from voiceagent.testing import say

ASIDE = "Mm-hm, mm-hm, mm-hm."


def listening_with(aside: str) -> Flow:
    """A desk that shows in these words that it listens."""
    return Flow(
        name="desk",
        initial="talk",
        phases=(
            Phase(
                name="talk",
                prompt="desk/talk.md",
                on_enter=Say(text=GREETING),
                backchannels=(aside,),
                transitions=(Transition(on=Requested(name="finish", description="They are done."), to="end"),),
            ),
            Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
        prompts={"desk/talk.md": Prompt("Be kind.")},
    )


async def told_something_long(line: Any) -> None:
    """Hear the greeting, tell something that goes on, and pause in it for as long as it takes to be listened to."""
    await greeted(line)
    for _ in range(3):
        await line.waits(300)
        await line.speaks(2_000)
    for _ in range(100):
        if any(spoken.kind == "backchannel" for spoken in line.all(Speak)):
            return
        await line.waits(20)
    raise AssertionError("nobody listens")


def test_the_echo_of_it_is_not_taken_for_the_caller(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await told_something_long(line)
        await line.waits(100)
        await line.speaks(400, from_afar=True)
        await line.waits(600)
        assert len(line.all(ev.CallerStartedSpeaking)) == 3, "as often as they have paused"
        await line.waits(4_000)

    exchange.serve(scenario, listening_with(ASIDE), lines=lines(say("I am sorry.")), heard="then I called the shop and")


def test_when_it_is_over_whoever_speaks_is_heard_again(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await told_something_long(line)
        await line.until(ev.PlayoutStarted, 2)
        await line.waits(len("Mm-hm.") * 65)
        await line.speaks(300, from_afar=True)
        assert len(line.all(ev.CallerStartedSpeaking)) == 4
        await line.waits(4_000)

    exchange.serve(
        scenario, listening_with("Mm-hm."), lines=lines(say("I am sorry.")), heard="then I called the shop and"
    )


class SlowToListen(NullSynthesizer):
    """Takes its time over what is said softly."""

    def open(self, *given: Any, **manner: Any) -> Any:
        return _Slow(super().open(*given, **manner))


class _Slow:
    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[Any]:
        if softly:
            await Never()()
        async for piece in self._handle.speak(text, softly=softly):
            yield piece

    def close(self) -> None:
        self._handle.close()


def test_what_has_not_begun_when_they_go_on_is_not_said_into_their_words(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await told_something_long(line)
        assert line.all(StopPlayout) == []
        await line.speaks(600)
        assert len(line.all(StopPlayout)) == 1
        (aside,) = [spoken.utterance for spoken in line.all(Speak) if spoken.kind == "backchannel"]
        assert [stopped.utterance for stopped in line.all(ev.PlayoutStopped)] == [aside]
        await line.waits(4_000)
        assert "I am sorry." in line.spoken

    engines = {"synthesizer": SlowToListen()}
    heard = "then I called the shop and"
    exchange.serve(scenario, listening_with(ASIDE), lines=lines(say("I am sorry.")), heard=heard, engines=engines)
