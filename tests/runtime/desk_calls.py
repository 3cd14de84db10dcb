"""Calls to a desk: the flow, its model's lines, and what a caller does to get as far as an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from voiceagent import (
    Digits,
    Filler,
    Flow,
    HangUpAfter,
    Limits,
    Phase,
    Prompt,
    Requested,
    Say,
    Sealed,
    Tool,
    Transition,
    tool,
)

GREETING = "Hello, this is the desk. What can I do for you today?"


def desk(*tools: Tool, sensitive: bool = False, limits: Limits | None = None) -> Flow:
    """An agent with one phase to talk in and one to end in."""
    expects = (Digits(name="pin", length=8, sealed=True),) if sensitive else ()
    return Flow(
        name="desk",
        initial="talk",
        limits=limits or Limits(),
        filler=Filler(patience_ms=5_000),
        phases=(
            Phase(
                name="talk",
                prompt="desk/talk.md",
                on_enter=Say(text=GREETING),
                sensitive=sensitive,
                expects=expects,
                tools=tools,
                transitions=(Transition(on=Requested(name="finish", description="They are done."), to="end"),),
            ),
            Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
        prompts={"desk/talk.md": Prompt("Be kind.")},
    )


def lines(*replies: Any):
    """A model that gives these replies, one after the other, and then the last one again and again."""
    count = 0

    def next_line(request: Any) -> Any:
        del request
        nonlocal count
        reply = replies[min(count, len(replies) - 1)]
        count += 1
        if isinstance(reply, Exception):
            raise reply
        return reply() if callable(reply) else reply

    return next_line


async def greeted(line: Any) -> None:
    """Let the greeting be heard to its end."""
    await line.waits(len(GREETING) * 65 + 200)


async def asks(line: Any) -> None:
    """Hear the greeting, say something, and be silent for as long as it takes to be answered."""
    await greeted(line)
    await line.says()
    await line.waits(2_000)


class Never:
    """An answer that does not come."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        await asyncio.Event().wait()


class Recognizer:
    """Hears by a function of the audio."""

    def __init__(self, transcribe: Any) -> None:
        self.transcribe = transcribe

    def open(self, audio: Any, *, locale: str) -> Recognizer:
        return self

    def close(self) -> None:
        """Nothing is held."""


class SlowWrite:
    """A write that takes as long as a test wants."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self._stubborn = stubborn

        @tool(effect="write", timeout_ms=20_000)
        async def book() -> dict[str, object]:
            """Book something."""
            return await self._book("somebody")

        @tool(effect="write", timeout_ms=20_000)
        async def book_with_pin(pin: Sealed) -> dict[str, object]:
            """Book something with a PIN."""
            return await self._book(pin)

        self.tool, self.with_pin = book, book_with_pin

    async def _book(self, whom: str) -> dict[str, object]:
        self.begun.set()
        while not self.go_on.is_set():
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                if not self._stubborn:
                    raise
        return {"booked_for": whom}

    async def under_way(self, line: Any) -> None:
        """Have the caller ask for it, and wait until it has been recorded and begun."""
        await greeted(line)
        await line.says()
        await line.waits(1_600)
        async with asyncio.timeout(20):
            await self.begun.wait()
