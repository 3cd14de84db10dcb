"""The calls that are placed on every provider, and what has to hold for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tests.providers.minds import DESK_WORDS, SECRETS, USUAL_WORDS, desk_sentences, usual_sentences
from tests.providers.spoken_call import SpokenCall
from voiceagent.audio import FRAME_MS
from voiceagent.core import effects as fx
from voiceagent.ports import AudioFormat
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Say, Transition
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import tool
from voiceagent.speech.samples import encoded, pcm16_of

__all__ = [
    "DESK",
    "DESK_ANSWERS",
    "every_sample_was_heard_once",
    "no_secret_was_heard",
    "no_secret_was_told",
    "nothing_was_lost_on_the_way",
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
    print("swaps took", [f"{ms} ms" for ms in call.swaps_ms])  # noqa: T201 - for -s


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


def marked(line: AudioFormat) -> bytes:
    """Return three seconds that rise from the lowest value to the highest; uncompressed, every sample tells its place.

    At 24 kHz there are more places than values: there it begins anew once.
    """
    places = np.arange(3 * line.rate_hz)
    if line.encoding == "pcm16":
        return (places % 60_000 - 30_000).astype("<i2").tobytes()
    return encoded((places * 60_000 // len(places) - 30_000).astype("<i2").tobytes(), line)


async def talk_through_a_swap(call: SpokenCall) -> None:
    """Ask for the other counter, and begin the next sentence in the moment in which the swap begins."""
    await call.until_heard("Reception, hello.")
    before = len(call.record.entries)
    await call.phone.says(desk_sentences().audio(DESK_WORDS[0], call.phone.format))
    await call.until(fx.SwapPhase, since=before)
    await call.phone.says(marked(call.phone.format))
    await call.until_heard(DESK_ANSWERS)
    print("swaps took", [f"{ms} ms" for ms in call.swaps_ms])  # noqa: T201 - for -s


def every_sample_was_heard_once(call: SpokenCall, heard: bytes, *, before: tuple[str, ...] = ()) -> None:
    """Assert that a session was given the three seconds untouched, and of nothing else that was said anything."""
    came = _as_it_came(call)
    assert heard.count(came) == 1
    assert tuple(desk_sentences().heard_in(heard.replace(came, b""), call.phone.format.rate_hz)) == before


def nothing_was_lost_on_the_way(call: SpokenCall, pcm: bytes, rate_hz: int) -> None:
    """Assert that a session whose audio is converted was given the three seconds once: as many samples, and rising."""
    line = call.phone.format
    said = _rise(pcm16_of(_as_it_came(call), line))
    heard = _rise(pcm)
    assert abs(len(heard) - len(said) * rate_hz // line.rate_hz) <= _EDGE_SAMPLES
    assert np.diff(heard[_EDGE_SAMPLES:-_EDGE_SAMPLES]).min() >= -_OVERSHOOT


_EDGE_SAMPLES = 16
_OVERSHOOT = 200
"""Of a resampler, where G.711 leaps a thousand."""


def _rise(pcm: bytes) -> Any:
    """Return the samples from the first one that is very low to the last one that is very high."""
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.int32)
    return samples[int(np.argmax(samples < -20_000)) : len(samples) - int(np.argmax(samples[::-1] > 20_000))]


def _as_it_came(call: SpokenCall) -> bytes:
    """Return the three seconds as the leg has passed them on: it puts silence in where a line is held up."""
    line = call.phone.format
    said, frame_bytes = marked(line), line.bytes_per_ms * FRAME_MS
    came = call.came[call.came.index(said[:frame_bytes]) : call.came.rindex(said[-frame_bytes:]) + frame_bytes]
    assert len(came) >= len(said)
    return came
