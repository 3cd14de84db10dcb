"""Fault 14, at every step: whichever part of a call raises, and the how manieth time it is asked, that call alone ends,
with an apology and a record, or goes on; the one beside it notices nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Exchange, HandMadeLeg, Line, LinesEngine
from tests.runtime.desk_calls import desk, greeted
from voiceagent import logs, tool
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import Speak
from voiceagent.core.events import CallEnded, ToolFinished
from voiceagent.runtime.ears import Ears
from voiceagent.runtime.journal import JournalWriter
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.performer import Performer
from voiceagent.runtime.recording import Recording, Recordings
from voiceagent.speech import EnergyVad, NullRecognizer, NullSynthesizer
from voiceagent.speech.energy import _EnergyHandle
from voiceagent.speech.null import _NullRecognizerHandle, _NullSynthesizerHandle
from voiceagent.testing import ask_for, say
from voiceagent.tools.executor import CallTools, ToolExecutor
from voiceagent.tools.vault import Vault

VICTIM = "call-1"
PARTS: list[tuple[type[Any], str]] = [
    *((JournalWriter, name) for name in ("begin", "event", "effects", "sync", "close")),
    *((Recordings, name) for name in ("begin",)),
    *((Recording, name) for name in ("heard", "happened", "close")),
    *((EnergyVad, name) for name in ("open",)),
    *((_EnergyHandle, name) for name in ("feed",)),
    *((NullRecognizer, name) for name in ("open",)),
    *((_NullRecognizerHandle, name) for name in ("transcribe", "close")),
    *((NullSynthesizer, name) for name in ("open",)),
    *((_NullSynthesizerHandle, name) for name in ("speak", "close")),
    *((LinesEngine, name) for name in ("open", "reply", "close")),
    *((HandMadeLeg, name) for name in ("attach", "play", "end_clause", "hang_up")),
    *((ToolExecutor, name) for name in ("for_call",)),
    *((CallTools, name) for name in ("run",)),
    *((Conversation, name) for name in ("handle",)),
    *((Performer, name) for name in ("perform", "finish")),
    *((Ears, name) for name in ("hear", "take")),
    *((Vault, name) for name in ("scrub", "forget_all")),
]
ONCE_DONE = {"attach", "close", "hang_up", "forget_all", "finish"}
"""These raise when they have done what they are for: what was not let go of is no fault of the call's."""
NOBODY_SPEAKS = {"open", "for_call", "attach", "play", "end_clause", "begin"}
"""Where these break there is no voice yet, or no line to hear it on."""


class Fault:
    """Has one part of one call raise, the n-th time it is asked; with 0 it only counts."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: type[Any], name: str, nth: int) -> None:
        self.asked = 0
        self._nth = nth
        self._victim: object = None
        whole = getattr(owner, name)
        if inspect.isasyncgenfunction(whole):

            async def pieces(this: object, *arguments: Any, **named: Any) -> AsyncIterator[Any]:
                async for piece in whole(this, *arguments, **named):
                    self._asked(this)
                    yield piece

            patch.setattr(owner, name, pieces)
        elif inspect.iscoroutinefunction(whole):

            async def awaited(this: object, *arguments: Any, **named: Any) -> Any:
                if name not in ONCE_DONE:
                    self._asked(this)
                try:
                    return await whole(this, *arguments, **named)
                finally:
                    if name in ONCE_DONE:
                        self._asked(this)

            patch.setattr(owner, name, awaited)
        else:

            def called(this: object, *arguments: Any, **named: Any) -> Any:
                if name not in ONCE_DONE:
                    self._asked(this)
                try:
                    return whole(this, *arguments, **named)
                finally:
                    if name in ONCE_DONE:
                        self._asked(this)

            patch.setattr(owner, name, called)

    def _asked(self, this: object) -> None:
        if self._is_of_victim(this):
            self.asked += 1
            if self.asked == self._nth:
                raise ZeroDivisionError("nobody was prepared for this")

    def _is_of_victim(self, this: object) -> bool:
        """Outside of the tasks of a call it is the one whose part is asked first: the scenario sees to that."""
        logged = logs._now.get()
        if logged is not None:
            return logged.call == VICTIM
        self._victim = self._victim or this
        return this is self._victim


@tool()
async def look_up() -> str:
    """Look something up."""
    return "ten"


@tool(effect="write")
async def book() -> str:
    """Book something."""
    return "booked"


def model(request: Any) -> Any:
    newest = request.history[-1]
    if newest.role == "tool_result":
        return say(f"It says {newest.text}.")
    return ask_for({"look": "look_up", "book": "book"}.get(newest.text, "finish"))


async def both_talk(victim: Line, other: Line) -> None:
    """Both ask for something, want something done, and say goodbye."""
    await greeted(victim)
    for number in (1, 2, 3):
        await victim.says()
        await other.says()
        await other.waits(1_000)
        async with asyncio.timeout(20):
            while not answered(other, number):  # noqa: ASYNC110 - disks take real time
                await asyncio.sleep(0.001)
        for _ in range(200):  # the victim may never be
            if not answered(victim, number):
                await asyncio.sleep(0.001)
        await victim.waits(4_000)


def answered(line: Line, number: int) -> bool:
    """Return whether the call has its answer, or is over."""
    return line.running.done() or len(line.all(ToolFinished)) >= min(number, 2)


def own(line: Line) -> list[str]:
    """Return what the agent said, fillers left out."""
    return [effect.text for effect in line.all(Speak) if effect.text and effect.kind != "filler"]


def placed(directory: Path, owner: type[Any], name: str, nth: int) -> tuple[list[Line], Fault]:
    exchange = Exchange(directory / "journals")
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(patch, owner, name, nth)
        lines = exchange.serve(
            both_talk,
            desk(look_up, book),
            lines=model,
            heard=["look", "book", "bye"],
            calls=2,
            recordings=lambda: Recordings(directory / "recordings"),
            complete=False,
        )
    return lines, fault


def chosen(asked: int) -> list[int]:
    """Return some of so many times: the first ones, one in the middle, the last."""
    return sorted({1, 2, 3, asked // 2, asked} & set(range(1, asked + 1)))


def recorded(directory: Path, line: Line) -> Counter[str]:
    """See that a call's record is closed; return how often what happened."""
    journal = read_journal(directory / "journals" / f"{line.call}.jsonl")
    assert journal.complete
    return Counter(type(entry.event).__name__ for entry in journal.entries)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("owner", "name"), PARTS, ids=lambda part: getattr(part, "__name__", part).strip("_"))
def test_one_call_fails_alone(tmp_path: Path, owner: type[Any], name: str) -> None:
    (_, undisturbed), counted = placed(tmp_path / "0", owner, name, 0)
    assert counted.asked, "the call comes by here"
    assert undisturbed.ended == "phase end"
    for nth in chosen(counted.asked):
        directory = tmp_path / str(nth)
        (victim, other), _ = placed(directory, owner, name, nth)
        assert (own(other), other.ended) == (own(undisturbed), "phase end"), f"the other one notices number {nth}"
        assert recorded(directory, other)["CallEnded"] == 1
        if owner is not JournalWriter:
            assert recorded(directory, victim)["CallEnded"], f"number {nth}"
        (ended, *more) = victim.all(CallEnded) or [CallEnded("never began")]
        assert not more
        phrases = victim.flow.phrases
        goes_on = ended.reason in {"phase end", "caller hung up"}
        words = {phrases.apology, phrases.not_available, "Goodbye."} & set(victim.spoken)
        said = words or "apology" in victim.leg.played
        assert goes_on or said or name in NOBODY_SPEAKS, f"number {nth}: {ended.reason}"
