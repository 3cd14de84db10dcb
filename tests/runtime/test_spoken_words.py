"""When words end travels from the synthesizer to what is recorded, in the words that were written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tests.runtime.conftest import Exchange, Line
from voiceagent import Flow, HangUpAfter, Phase, Say, Silent, Transition
from voiceagent.core.events import SpeechQueued
from voiceagent.language import language_for
from voiceagent.ports import AudioFormat, WordsSpoken
from voiceagent.runtime.spoken_text import PlainVoice


class EveryWordTakes:
    """A synthesizer whose words take 100 ms each, and which knows it; fulfils engine and handle."""

    healthy = True
    languages = ("en",)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> EveryWordTakes:
        del audio, voice, locale, speaking_rate
        return self

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes | WordsSpoken]:
        del softly
        self.asked.append(text)
        words = text.split()
        for number, word in enumerate(words):
            yield b"\x20" * 800
            yield WordsSpoken((word,), (100 * (number + 1),))

    async def render(self, text: str, audio: AudioFormat, **manner: object) -> bytes:
        del audio, manner
        return b"\x20" * 800 * len(text.split())

    def close(self) -> None:
        """Nothing is held."""


def told(text: str) -> list[WordsSpoken]:
    async def call() -> list[WordsSpoken]:
        voice = PlainVoice(EveryWordTakes(), language_for("en"))
        return [piece async for piece in voice.speak(text) if isinstance(piece, WordsSpoken)]

    return asyncio.run(call())


def test_words_are_told_once_and_as_they_were_written() -> None:
    (words,) = told("You owe **us** $5 today.")
    assert words == WordsSpoken(("You", "owe", "**us**", "$5", "today."), (100, 200, 300, 500, 600))


def test_what_is_not_spoken_ends_with_the_word_before_it() -> None:
    (words,) = told("Well * then")
    assert words.ends_ms == (100, 100, 200)


def test_the_ends_of_words_are_recorded_with_the_clause(exchange: Exchange) -> None:
    flow = Flow(
        name="desk",
        initial="hello",
        phases=(
            Phase(name="hello", on_enter=Say(text="You owe $5 now."), transitions=(Transition(on=Silent(), to="bye"),)),
            Phase(name="bye", on_enter=Say(text="Bye."), ends=HangUpAfter()),
        ),
    )

    async def scenario(line: Line) -> None:
        queued = await line.until(SpeechQueued)
        assert (queued.duration_ms, queued.word_ends_ms) == (500, (100, 200, 400, 500))

    exchange.serve(scenario, flow, lines=lambda _: (), engines={"synthesizer": EveryWordTakes()})
