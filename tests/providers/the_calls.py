"""The calls that are placed on every provider, and what has to hold for all of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tests.providers.minds import DESK_WORDS, SECRETS, USUAL_WORDS, desk_sentences, usual_sentences
from tests.providers.spoken_call import SpokenCall
from voiceagent.core import effects as fx
from voiceagent.ports import AudioFormat
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Say, Transition
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import tool

__all__ = [
    "DESK",
    "DESK_ANSWERS",
    "every_sample_was_heard_once",
    "no_secret_was_heard",
    "no_secret_was_told",
    "take_the_usual_call",
    "talk_through_a_swap",
]

WANTS, NUMBER, PIN, BYE = USUAL_WORDS


async def take_the_usual_call(call: SpokenCall) -> None:
    """Be the caller of the usual call, to its end."""
    await call.until_heard("How can I help you?")
    await call.says(WANTS, then_hears="What is your account number?")
    await call.says(NUMBER, then_hears="And your four digit PIN?")
    await call.says(PIN, then_hears="Anything else?")
    await call.says(BYE, then_hears="Goodbye.")


def no_secret_was_heard(pcm: bytes, rate_hz: int) -> None:
    """Assert that nothing at all of a secret is in what a provider was sent, and that it was listening."""
    heard = usual_sentences().heard_in(pcm, rate_hz)
    assert not set(heard) & {*SECRETS, ""}, heard


def no_secret_was_told(texts: Iterable[str]) -> None:
    """Assert that no digit of a secret is in words that a provider was sent."""
    for text in texts:
        assert not any(secret in text for secret in ("1234", "4519227", "one two three", "four five one")), text


# --- a swap with speech in flight ------------------------------------------------------------------------------------


@tool()
async def opening_hours() -> dict[str, str]:
    """When the desk is open."""
    return {"from": "nine", "to": "five"}


DESK = Flow(
    name="desk",
    initial="reception",
    facts=Facts,
    prompts={
        "desk/reception.md": Prompt("You are at the reception."),
        "desk/visits.md": Prompt("You are at the counter for visits."),
    },
    phases=(
        Phase(
            name="reception",
            prompt="desk/reception.md",
            on_enter=Say(text="Reception, hello."),
            transitions=(
                Transition(on=Requested(name="to_visits", description="The caller asks about visits."), to="visits"),
            ),
        ),
        Phase(
            name="visits",
            prompt="desk/visits.md",
            tools=(opening_hours,),
            transitions=(Transition(on=Requested(name="bye", description="The caller is done."), to="goodbye"),),
        ),
        Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
    ),
)
"""A desk with two counters."""
DESK_ANSWERS = "From nine to five."


def marked(audio: AudioFormat) -> bytes:
    """Return three seconds in which every sample tells its place, in the format of a line that is not compressed."""
    assert audio.encoding == "pcm16"
    places = np.arange(3 * audio.rate_hz)
    return (places % 60_000 - 30_000).astype("<i2").tobytes()


async def talk_through_a_swap(call: SpokenCall) -> None:
    """Ask for the other counter, and begin the next sentence in the moment in which the swap begins."""
    await call.until_heard("Reception, hello.")
    before = len(call.record.entries)
    await call.phone.says(desk_sentences().audio(DESK_WORDS[0], call.phone.format))
    await call.until(fx.SwapPhase, since=before)
    await call.phone.says(marked(call.phone.format))
    await call.until_heard(DESK_ANSWERS)


def every_sample_was_heard_once(call: SpokenCall, heard: bytes, *, before: tuple[str, ...] = ()) -> None:
    """Assert that a session was given the three seconds untouched, and of nothing else that was said anything."""
    line, frame_bytes = call.phone.format, call.phone.format.bytes_per_ms * 20
    said = marked(line)
    # A line that is held up has silence put in by the leg, on its way to everybody: that is not the session's doing.
    begins, ends = call.came.index(said[:frame_bytes]), call.came.rindex(said[-frame_bytes:]) + frame_bytes
    came = call.came[begins:ends]
    assert len(came) >= len(said)
    assert heard.count(came) == 1
    assert tuple(desk_sentences().heard_in(heard.replace(came, b""), line.rate_hz)) == before
