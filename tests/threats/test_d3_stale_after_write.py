"""D3: what was fetched before a write is not told after it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runtime.desk_calls import asks, desk, lines
from voiceagent import Prefetch, Transition, tool
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing import ask_for, say


class Bank:
    """A balance that a deposit changes."""

    def __init__(self) -> None:
        self.money, self.read = 10, 0
        bank = self

        @tool(fresh_ms=600_000)
        async def balance() -> dict[str, int]:
            """What there is."""
            bank.read += 1
            return {"balance": bank.money}

        @tool(effect="write", invalidates=(balance,))
        async def deposit() -> dict[str, bool]:
            """Add five."""
            bank.money += 5
            return {"done": True}

        @tool
        async def hello() -> dict[str, bool]:
            """Say hello; what is asked next is fetched ahead."""
            return {}

        self.balance, self.deposit, self.hello = balance, deposit, hello


@pytest.mark.parametrize("prefetched", [False, True])
def test_d3_the_second_read_shows_the_new_value(exchange: Any, prefetched: bool) -> None:
    bank = Bank()
    flow = desk(bank.balance, bank.deposit, bank.hello)
    talk, end = flow.phases
    again = Transition(on=bank.hello, to="talk", prefetch=(Prefetch(tool=bank.balance),))
    talk = talk.model_copy(update={"transitions": (again, *talk.transitions)})
    flow = flow.model_copy(update={"phases": (talk, end)})

    async def scenario(line: Any) -> None:
        await asks(line)
        for finished in (1, 2, 3):
            await line.waits(4_000)  # nobody has asked them yet whether they are there
            await line.says()
            await line.waits(2_000)
            await line.until(ev.ToolFinished, finished)  # a write waits for a disk, which has a time of its own

    first = [ask_for("hello")] if prefetched else [say("Hello.")]
    model = lines(
        *first,
        *(ask_for("balance"), say("Ten.")),
        *(ask_for("deposit"), say("Done.")),
        *(ask_for("balance"), say("Fifteen.")),
    )
    (line,) = exchange.serve(scenario, flow, lines=model, heard=["Hello there", "How much?", "Add five", "And now?"])
    told = [
        event.result["balance"]
        for event in line.all(ev.ToolFinished)
        if isinstance(event.result, dict) and "balance" in event.result
    ]
    served = line.all(fx.ServeFromCache)
    assert bank.money == 15
    assert bank.read == 2, "the old answer is served until the write, and not after it"
    assert told[-1] == 15
    assert len(served) == int(prefetched)
