"""Fault 16, a small measure of it: hundreds of short calls leave no task, thread, file or object of theirs behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import sleep

import pytest

from tests.threats.served import RawCarrier, digit, serving, signature, until
from voiceagent import Flow, HangUpAfter, Phase, Pressed, Say, Transition

AT_ONCE, ROUNDS, WARM = 25, 5, 1
DESK = Flow(
    name="desk",
    initial="talk",
    phases=(
        Phase(name="talk", on_enter=Say(text="Hi."), transitions=(Transition(on=Pressed(digits="9"), to="end"),)),
        Phase(name="end", on_enter=Say(text="Bye."), ends=HangUpAfter()),
    ),
)


@dataclass(frozen=True)
class Held:
    """What the process holds."""

    tasks: int
    threads: int
    files: int
    objects: Counter[str]
    """By class: those of this package."""

    @classmethod
    def now(cls) -> Held:
        gc.unfreeze()  # what a server has set aside is looked through, and counted, too
        gc.collect()
        gc.unfreeze()
        ours = (type(each) for each in gc.get_objects() if str(type(each).__module__).startswith("voiceagent."))
        names = Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in ours)
        files = len(list(Path("/proc/self/fd").iterdir()))
        threads = sum(not each.name.startswith("asyncio_") for each in threading.enumerate())  # its pool has a bound
        return cls(len(asyncio.all_tasks()), threads, files, names)


async def one_call(port: int, call: str) -> int | None:
    """Call, press a key, and hear the goodbye out."""
    carrier = await RawCarrier.asks(port, signed=signature())
    carrier.starts(call)
    carrier.sends(digit(call, "9"))
    code = await carrier.close_code()
    carrier.breaks()
    return code


@pytest.mark.timeout(120)
def test_hundreds_of_calls_leave_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> list[Held]:
        held: list[Held] = []
        async with serving(tmp_path, flow=DESK, max_calls=AT_ONCE) as server:
            for number in range(ROUNDS):
                calls = (one_call(server.port, f"CA{number}x{line}") for line in range(AT_ONCE))
                assert await asyncio.gather(*calls) == [1000] * AT_ONCE
                await until(lambda: server.live_calls == 0)
                # What is told to other threads is told twice: that it is done as well. No timer of the loop's waits for
                # that, since behind one that counts asyncio keeps those that were cancelled.
                await asyncio.to_thread(sleep, 0.2)
                held.append(Held.now())
        return held

    held = asyncio.run(scenario())
    for later in held[WARM + 1 :]:
        assert later == held[WARM], later.objects - held[WARM].objects
