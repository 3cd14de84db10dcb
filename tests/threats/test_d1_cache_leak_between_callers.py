"""D1: whatever is fetched ahead for one caller is seen by nobody else, whoever hangs up or comes back."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import SILENCE, HandMadeLeg
from tests.threats.conftest import Logged
from voiceagent import (
    Ask,
    Digits,
    Facts,
    Filler,
    Flow,
    HangUpAfter,
    Phase,
    Prefetch,
    Prompt,
    Requested,
    Say,
    Transition,
    tool,
)
from voiceagent import ToolContext as Context
from voiceagent.core.effects import ModelRequest
from voiceagent.core.events import DigitsPressed
from voiceagent.core.ids import CallId
from voiceagent.ports import MULAW_8K, AudioFormat, Engines, IncomingCall, ReplyPiece
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.session import Services, Session
from voiceagent.speech import EnergyVad, NullRecognizer
from voiceagent.testing import ask_for, say
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.credentials import NoCredentials
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.service import ConnectionPool

pytestmark = pytest.mark.timeout(180)
"""Two hundred and forty journals are made one after the other: how long that takes is the disk's affair."""
GONE, AT_ONCE, IN_PAIRS = 40, 200, 20
"""Callers who hang up while their data is on its way; callers at once; of these, how many share a live call's id."""
NUMBER = "+15550100"
LETTERS = str.maketrans("0123456789", "abcdefghij")
"""Canaries are words: a number would be read out digit by digit."""
CANARY = re.compile(r"canary([a-j]{7})")


class Known(Facts):
    customer_id: str | None = None


class Bank:
    """Answers late, and finishes what it has begun though nobody waits for it any more."""

    def __init__(self, clock: ManualClock) -> None:
        self.finished_for_nobody = 0
        bank = self

        @tool(grants="account", sets=("customer_id",))
        async def identify(account: str) -> dict[str, str]:
            """Find out who it is."""
            return {"customer_id": account}

        @tool(requires="account", timeout_ms=20_000)
        async def balance(ctx: Context) -> dict[str, str]:
            """What they have; asked for in the same words in every call, so that only the call tells answers apart."""
            customer_id = str(ctx.facts["customer_id"])
            until_ms = ctx.now_ms + int(customer_id) * 37 % 3_000 + 1_000
            cancelled = False
            while clock.now_ms() < until_ms:
                try:
                    await clock.sleep(100)
                except asyncio.CancelledError:
                    cancelled = True
            bank.finished_for_nobody += cancelled
            return {"balance": f"canary{customer_id.translate(LETTERS)}"}

        go_on = Transition(on=identify, to="account", prefetch=(Prefetch(tool=balance),))
        done = Transition(on=Requested(name="finish", description="Done."), to="end")
        self.flow = Flow(
            name="desk",
            initial="who",
            facts=Known,
            filler=Filler(patience_ms=5_000),
            phases=(
                Phase(
                    name="who",
                    prompt="d/t.md",
                    on_enter=Say(text="Your number?"),
                    expects=(Digits(name="account", length=7),),
                    tools=(identify,),
                    transitions=(go_on, done),
                ),
                Phase(name="account", prompt="d/t.md", on_enter=Ask(), tools=(balance,), transitions=(done,)),
                Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
            ),
            prompts={"d/t.md": Prompt("Be kind.")},
        )


class Models:
    """A model for each call, which writes down what it is shown."""

    def __init__(self) -> None:
        self.opened: list[Model] = []

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> Model:
        del flow, locale, time_zone
        self.opened.append(Model())
        return self.opened[-1]

    async def close(self) -> None:
        """Nothing is held."""


class Model:
    def __init__(self) -> None:
        self.shown: list[str] = []

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        self.shown.append(repr(request))
        for piece in self._answer(request):
            yield piece

    def _answer(self, request: ModelRequest) -> list[ReplyPiece]:
        last = request.history[-1]
        if "identify" in request.tools:
            return list(ask_for("identify", f'{{"account": "{last.text}"}}'))
        if last.role == "tool_result" and last.tool == "balance":
            return list(say(f"You have {json.loads(last.text)['balance']}."))
        return list(ask_for("balance"))

    async def close(self) -> None:
        """Nothing is held."""


class Synthesizers:
    """A voice for each call, which writes down what it says."""

    healthy = True

    def __init__(self) -> None:
        self.opened: list[Voice] = []

    def open(self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None) -> Voice:
        del audio, voice, locale
        self.opened.append(Voice())
        return self.opened[-1]

    async def render(self, text: str, audio: AudioFormat, *, voice: str | None, **manner: object) -> bytes:
        return b""

    def close(self) -> None:
        """Nothing is held."""


class Voice:
    def __init__(self) -> None:
        self.said: list[str] = []

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes]:
        self.said.append(text)
        yield bytes(10 * MULAW_8K.bytes_per_ms)

    def close(self) -> None:
        """Nothing is held."""


class Caller:
    """A call, and what only that call may ever see."""

    def __init__(self, number: int, call: str, clock: ManualClock) -> None:
        self.account = f"{number:07d}"
        self.canary = self.account.translate(LETTERS)
        self.leg = HandMadeLeg(clock, number)
        self.incoming = IncomingCall(CallId(call), self.leg, "desk", NUMBER, None, {})
        self.session: asyncio.Task[None]


class Switchboard:
    """Takes all these calls in one process."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(1_000_000)
        self.bank = Bank(self.clock)
        self.models, self.voices = Models(), Synthesizers()
        self.folder = folder
        self.callers: list[Caller] = []
        self._pool = ConnectionPool()

    async def run(self) -> None:
        journals = JournalStore(self.folder)
        services = Services(
            engines=Engines(vad=EnergyVad(), recognizer=NullRecognizer(()), synthesizer=self.voices),
            models=self.models,
            tools=ToolExecutor(clock=self.clock, broker=NoCredentials(), pool=self._pool),
            journals=journals,
            clock=self.clock,
            learned=Learned(),
        )
        gone = [await self._called(services, f"CA{at}") for at in range(GONE)]
        await self._identified(gone)
        for caller in gone:
            caller.leg.lose("caller hung up")  # what is fetched for them is on its way
        await self._pass(200)
        ids = [f"CA{at % (AT_ONCE - IN_PAIRS)}" for at in range(AT_ONCE)]
        here = [await self._called(services, call) for call in ids]
        await self._identified(here)
        await self._pass(6_000)
        for caller in here:
            caller.leg.tell(DigitsPressed("5"))  # and once more, please
        await self._pass(5_000)
        assert not any(caller.session.done() for caller in here), "all at once"
        for caller in here:
            caller.leg.lose("caller hung up")
        await self._pass(2_000)
        await asyncio.wait([caller.session for caller in self.callers], timeout=120)
        await journals.close()
        await self._pool.close()

    async def _called(self, services: Services, call: str) -> Caller:
        caller = Caller(len(self.callers) + 1, call, self.clock)
        self.callers.append(caller)
        caller.session = asyncio.create_task(Session(self.bank.flow, caller.incoming, services).run())
        while caller.leg.events is None:  # noqa: ASYNC110 - its journal is made on a thread
            await asyncio.sleep(0.001)
        return caller

    async def _identified(self, callers: list[Caller]) -> None:
        await self._pass(1_000)
        for at in range(7):
            for caller in callers:
                caller.leg.tell(DigitsPressed(caller.account[at]))
            await self._pass(100)
        await self._pass(300)

    async def _pass(self, ms: int) -> None:
        for _ in range(ms // 20):
            self.clock.advance(20)
            for caller in self.callers:
                if caller.leg.events is not None and not caller.session.done():
                    caller.leg.events.audio_arrived(SILENCE)
            for _ in range(8):
                await asyncio.sleep(0)


@pytest.fixture(scope="module")
def all_calls(tmp_path_factory: pytest.TempPathFactory) -> Switchboard:
    """Have everybody call, once."""
    switchboard = Switchboard(tmp_path_factory.mktemp("d1") / "journals")
    with pytest.MonkeyPatch.context() as patched:
        # All at once they have two hundred files synced.
        patched.setattr("voiceagent.runtime.journal.DISK_WITHIN_MS", 120_000)
        asyncio.run(switchboard.run())
    return switchboard


def canaries_in(text: str) -> set[str]:
    return set(CANARY.findall(text))


def test_d1_everybody_hears_their_own(all_calls: Switchboard) -> None:
    for caller, voice in zip(all_calls.callers[GONE:], all_calls.voices.opened[GONE:], strict=True):
        assert [said for said in voice.said if "canary" in said] == [f"You have canary{caller.canary}."] * 2


def test_d1_what_was_under_way_for_callers_who_have_gone_did_come_late(all_calls: Switchboard) -> None:
    assert all_calls.bank.finished_for_nobody >= GONE / 2


@pytest.mark.figures
def test_d1_no_model_is_shown_anything_of_another_caller(
    all_calls: Switchboard, record_property: Callable[[str, object], None]
) -> None:
    assert len(all_calls.models.opened) == GONE + AT_ONCE
    for caller, model in zip(all_calls.callers, all_calls.models.opened, strict=True):
        assert canaries_in(" ".join(model.shown)) <= {caller.canary}
    foreign = [
        canaries_in(" ".join([*model.shown, *voice.said])) - {caller.canary}
        for caller, model, voice in zip(
            all_calls.callers, all_calls.models.opened, all_calls.voices.opened, strict=True
        )
    ]
    record_property(
        f"foreign canaries in what models and voices got, over {AT_ONCE} calls at once", len(set().union(*foreign))
    )


def test_d1_no_voice_says_anything_of_another_caller(all_calls: Switchboard) -> None:
    for caller, voice in zip(all_calls.callers, all_calls.voices.opened, strict=True):
        assert canaries_in(" ".join(voice.said)) <= {caller.canary}


def test_d1_no_journal_holds_anything_of_another_caller(all_calls: Switchboard) -> None:
    journals = [file.read_text() for file in all_calls.folder.glob("*.jsonl")]
    assert len(journals) == GONE + AT_ONCE
    assert all(len(canaries_in(journal)) <= 1 for journal in journals)
    whole = [journal for journal in journals if canaries_in(journal)]
    assert len(whole) == AT_ONCE
    assert all('"how":"hit"' in journal for journal in whole), "the second answer comes from the cache"
    for journal in whole:
        (caller,) = (caller for caller in all_calls.callers if f'"customer_id":"{caller.account}"' in journal)
        assert canaries_in(journal) == {caller.canary}


def test_d1_the_log_holds_nothing_of_any_caller(tmp_path: Path, logged: Logged, monkeypatch: Any) -> None:
    monkeypatch.setattr("tests.threats.test_d1_cache_leak_between_callers.AT_ONCE", 30)
    output = logged()
    asyncio.run(Switchboard(tmp_path / "journals").run())
    assert output.getvalue(), "something is logged"
    assert "canary" not in output.getvalue()
