"""Fault 8: a carrier that connects a call again finds it where it was, within its time and with a token of that call;
else it is another call; and never are there two sessions of one call."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.threats.served import PUBLIC, SECRET, RawCarrier, digit, signature, until
from voiceagent import Flow, HangUpAfter, Limits, Phase, Pressed, Say, Transition
from voiceagent.cli.agent_server import ServerSettings, agent_server
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.runtime.journal_file import Journal, read_journal
from voiceagent.runtime.spending import Prices, SpendLimits
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import sign

CALL = "CA0"
FORM = {"CallSid": CALL, "From": "+15550100", "To": "+15550199"}


def to(key: str, phase: str) -> Transition:
    return Transition(on=Pressed(digits=key), to=phase)


def desk(*, resume_within_ms: int) -> Flow:
    """A desk with two counters: 2 leads to the second one, from which 9 leads out."""
    return Flow(
        name="desk",
        initial="first",
        limits=Limits(resume_within_ms=resume_within_ms),
        phases=(
            Phase(name="first", on_enter=Say(text="One."), transitions=(to("2", "second"),)),
            Phase(name="second", on_enter=Say(text="Two."), transitions=(to("9", "end"),)),
            Phase(name="end", on_enter=Say(text="Bye."), ends=HangUpAfter()),
        ),
    )


class Carrier:
    """The carrier of one call: asks what is to be done, and connects as it is told."""

    def __init__(self, port: int, seen: list[tuple[str, ev.Event]]) -> None:
        self._port = port
        self.legs: list[RawCarrier] = []
        self.seen = seen

    async def told(self, webhook: str) -> tuple[str, str | None]:
        """Return the first verb of the answer, and the path that it names."""
        path = f"/twilio/desk/{webhook}"
        headers = {"X-Twilio-Signature": sign(SECRET, PUBLIC + path, FORM.items())}
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"http://127.0.0.1:{self._port}{path}", data=FORM, headers=headers)
        verb = re.search(r"<Response><(\w+)", answer.text)
        url = re.search(r'<Stream url="([^"]+)"', answer.text)
        assert verb is not None, answer.text
        return verb[1], urlsplit(url[1]).path if url else None

    async def connects(self, path: str | None) -> RawCarrier:
        assert path is not None
        leg = await RawCarrier.asks(self._port, path=path, signed=signature(path))
        self.legs.append(leg)
        assert leg.status == 101
        leg.starts(CALL)
        return leg

    async def has(self, kind: type[ev.Event], count: int = 1) -> None:
        await until(lambda: sum(isinstance(event, kind) for _, event in self.seen) >= count)


def journals_in(folder: Path) -> dict[str, Journal]:
    return {file.stem: read_journal(file) for file in sorted(folder.glob("*.jsonl"))}


@asynccontextmanager
async def carrier(
    folder: Path, *, resume_within_ms: int = 60_000, max_characters: int | None = None
) -> AsyncGenerator[Carrier]:
    """With `max_characters`, a character costs a dollar, and the server may spend so many."""
    seen: list[tuple[str, ev.Event]] = []

    def watch(call: CallId, _: int, event: ev.Event, __: tuple[Outgoing, ...]) -> None:
        seen.append((call, event))

    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"desk"}), port=0, public_url=PUBLIC, twilio_auth_token=SECRET),
        journals=folder,
        engines="null",
        prices=None if max_characters is None else Prices(characters=Decimal(1_000_000)),
        max_spend=SpendLimits(process=None if max_characters is None else Decimal(max_characters)),
    )
    flows = {"desk": desk(resume_within_ms=resume_within_ms)}
    async with agent_server(settings, flows, observers=[watch]) as server:
        line = Carrier(server.port, seen)
        yield line
        for leg in line.legs:
            leg.breaks()
        await server.drain(at_most_s=5)


def phases(journal: Journal) -> list[int]:
    """Return the epochs of the phases that were entered."""
    return [entry.event.epoch for entry in journal.entries if isinstance(entry.event, ev.PhaseSwapped)]


def test_a_call_goes_on_in_the_phase_it_was_in(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with carrier(tmp_path) as line:
            _, path = await line.told("answer")
            first = await line.connects(path)
            first.sends(digit(CALL, "2"))
            await line.has(ev.PhaseSwapped, 2)
            first.breaks()
            await line.has(ev.LegLost)
            verb, path = await line.told("after")
            assert verb == "Connect"
            again = await line.connects(path)
            await line.has(ev.CallResumed)
            again.sends(digit(CALL, "9"))
            assert await again.close_code() == 1000
            assert (await line.told("after"))[0] == "Hangup"

    asyncio.run(scenario())
    ((name, journal),) = journals_in(tmp_path).items()
    assert name == CALL
    assert journal.complete
    assert phases(journal) == [1, 2, 2, 3], "the new voice took over the very phase that 9 led out of"


@pytest.mark.parametrize(("to_spare", "told"), [(1, 0), (0, 1)])
def test_what_a_call_has_cost_before_is_counted_once(tmp_path: Path, to_spare: int, told: int) -> None:
    said = ["One.", "Two.", desk(resume_within_ms=1).phrases.resumed, "Two."]

    async def scenario() -> Counter[str]:
        async with carrier(tmp_path, max_characters=sum(map(len, said)) + to_spare) as line:
            _, path = await line.told("answer")
            first = await line.connects(path)
            await line.has(ev.SpeechQueued)
            first.sends(digit(CALL, "2"))
            await line.has(ev.SpeechQueued, 2)
            first.breaks()
            await line.has(ev.LegLost)
            await line.connects((await line.told("after"))[1])
            await line.has(ev.SpeechQueued, len(said))
            return Counter(type(event).__name__ for _, event in line.seen)

    assert asyncio.run(scenario())["LimitReached"] == told


def test_a_connection_that_has_not_been_noticed_to_be_gone_is_given_up_for_the_new_one(tmp_path: Path) -> None:
    async def scenario() -> Counter[str]:
        async with carrier(tmp_path) as line:
            _, path = await line.told("answer")
            half_open = await line.connects(path)
            half_open.sends(digit(CALL, "2"))
            await line.has(ev.PhaseSwapped, 2)
            verb, path = await line.told("after")
            assert verb == "Connect", "whoever asks what comes next is no longer connected"
            again = await line.connects(path)
            assert await half_open.close_code() == 1008
            await line.has(ev.CallResumed)
            again.sends(digit(CALL, "9"))
            assert await again.close_code() == 1000
        return Counter(type(event).__name__ for _, event in line.seen)

    counts = asyncio.run(scenario())
    assert (counts["CallStarted"], counts["CallResumed"], counts["CallEnded"]) == (1, 1, 1)
    (journal,) = journals_in(tmp_path).values()
    names = [type(entry.event).__name__ for entry in journal.entries]
    assert names.index("LegLost") < names.index("CallResumed"), "one session at a time"
    assert phases(journal) == [1, 2, 2, 3]


def test_nobody_else_takes_over_a_call_that_is_going_on(tmp_path: Path) -> None:
    async def scenario() -> Counter[str]:
        async with carrier(tmp_path) as line:
            _, path = await line.told("answer")
            caller = await line.connects(path)
            await line.has(ev.PhaseSwapped)
            _, path = await line.told("answer")  # another answer about the same call, not what comes after a stream
            assert await (await line.connects(path)).close_code() == 1008
            caller.sends(digit(CALL, "2"))
            caller.sends(digit(CALL, "9"))
            assert await caller.close_code() == 1000
        return Counter(type(event).__name__ for _, event in line.seen)

    counts = asyncio.run(scenario())
    assert (counts["CallStarted"], counts["CallResumed"], counts["CallEnded"]) == (1, 0, 1)


def test_after_its_time_a_call_is_over_and_who_connects_begins_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with carrier(tmp_path, resume_within_ms=1_000) as line:
            _, path = await line.told("answer")
            first = await line.connects(path)
            first.sends(digit(CALL, "2"))
            await line.has(ev.PhaseSwapped, 2)
            _, late = await line.told("answer")
            first.breaks()
            await line.has(ev.LegLost)
            await asyncio.sleep(1.5)
            assert (await line.told("after"))[0] == "Hangup"
            another = await line.connects(late)
            await line.has(ev.CallStarted, 2)
            another.breaks()
            await line.has(ev.LegLost, 2)

    asyncio.run(scenario())
    journals = journals_in(tmp_path)
    assert sorted(journals) == [CALL, f"{CALL}.2"]
    assert journals[CALL].complete
    assert phases(journals[f"{CALL}.2"]) == [1], "it begins at the beginning"
