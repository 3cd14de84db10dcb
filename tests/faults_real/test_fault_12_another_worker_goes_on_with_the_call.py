"""Fault 12: a worker is killed in mid-call; the carrier asks where to go on, and another one knows who is calling."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from tests.faults.killed_calls import Bookings, Caller
from tests.faults_real.processes import ServerProcess
from tests.faults_real.test_workers_share_a_port import calls_of, workers_of
from tests.stores.redis_server import redis_server
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import StartTool
from voiceagent.core.events import CallEnded, CallResumed
from voiceagent.core.ids import CallId
from voiceagent.ports import RecordedCall
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal_file import Journal, decode_effect, read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import replay
from voiceagent.spec.flow import Flow
from voiceagent.stores import open_store
from voiceagent.telephony.signature import sign
from voiceagent.testing.twilio_stream import new_call
from voiceagent.testing.webhook import ask_where_to_connect, stream_in

SECRET = "a secret of the carrier's"
AGENT = """
from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Intent, Phase, Pressed, Say, ToolContext, Transition
from voiceagent import tool


class Known(Facts):
    customer_id: str | None = None


@tool(grants="account", sets=("customer_id",))
async def identify() -> object:
    "Find out who it is."
    return {"customer_id": "c-17"}


@tool(effect="write", requires="account", binds=("customer_id",), timeout_ms=2_000)
async def book(customer_id: str, ctx: ToolContext) -> object:
    "Book the next free seat."
    headers = {"Idempotency-Key": ctx.idempotency_key}
    return (await ctx.http.post("/bookings", json={"for": customer_id}, headers=headers)).json()


HEARD = ("tell me the next thing please",)
WHO = Phase(
    name="who",
    prompt="shop/who.md",
    tools=(identify,),
    on_enter=Say(text="Box office, who is calling?"),
    guided=GuidedDialogue(intents=(Intent(does=identify, examples=HEARD),), not_understood="Pardon?"),
    transitions=(Transition(on=identify, to="seats"), Transition(on=Pressed(digits="9"), to="goodbye")),
)
SEATS = Phase(
    name="seats",
    prompt="shop/who.md",
    tools=(book,),
    on_enter=Say(text="How can I help?"),
    guided=GuidedDialogue(
        intents=(Intent(does=book, examples=HEARD),), replies={"book": "That is done."}, not_understood="Pardon?"
    ),
    transitions=(Transition(on=Pressed(digits="9"), to="goodbye"),),
)
GOODBYE = Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
FLOW = Flow(name="shop", initial="who", facts=Known, phases=(WHO, SEATS, GOODBYE))
"""


@dataclass(frozen=True, slots=True)
class Workers:
    """Two places a call can be: the one that is killed, and the one the carrier then reaches."""

    answer: str
    """The webhook that the call comes in by, and the one that is asked when its stream has ended."""
    after: str
    kill: Callable[[], None]
    """Kill whoever has the call."""
    folders: tuple[Path, Path]
    """Of the journals: before, and after."""
    stop: Callable[[], int]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[str]:
    with redis_server(tmp_path) as server:
        yield server.url


def write_agent(folder: Path) -> Path:
    for made in (folder / "phases" / "shop", folder / "prompts" / "shop"):
        made.mkdir(parents=True)
    (folder / "phases" / "shop" / "__init__.py").write_text(AGENT)
    (folder / "prompts" / "shop" / "who.md").write_text("You book seats.")
    return folder


def webhook(server: ServerProcess, which: str) -> str:
    return f"http://127.0.0.1:{server.port}/twilio/shop/{which}"


def two_servers(folder: Path, stack: ExitStack, options: tuple[str, ...]) -> Workers:
    """Two machines, as it were: each has a port and a disk of its own."""
    first, second = (
        stack.enter_context(ServerProcess(write_agent(folder / name), *options, secret=SECRET))
        for name in ("first", "second")
    )

    def kill() -> None:
        first.signals(signal.SIGKILL)

    def stop() -> int:
        second.signals(signal.SIGTERM)
        return second.ends()

    folders = folder / "first" / "journals", folder / "second" / "journals"
    return Workers(webhook(first, "answer"), webhook(second, "after"), kill, folders, stop)


def two_workers_on_a_port(folder: Path, stack: ExitStack, options: tuple[str, ...]) -> Workers:
    """`--workers 2`: one port, one disk."""
    server = stack.enter_context(ServerProcess(write_agent(folder / "both"), *options, "--workers", "2", secret=SECRET))

    def kill() -> None:
        (victim,) = (pid for pid in workers_of(server) if calls_of(pid))
        os.kill(victim, signal.SIGKILL)

    def stop() -> int:
        server.signals(signal.SIGTERM)
        return server.ends()

    journals = folder / "both" / "journals"
    return Workers(webhook(server, "answer"), webhook(server, "after"), kill, (journals, journals), stop)


async def asked_after(url: str, call: str) -> str:
    """Ask as the carrier does when a stream has ended; returns the answer document."""
    form = {"CallSid": call, "From": "+15550100", "To": "+15550199"}
    signed = sign(SECRET, url, [*form.items()])
    async with httpx.AsyncClient(trust_env=False, timeout=15) as client:
        answer = await client.post(
            url,
            content=urlencode(form),
            headers={"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signed},
        )
    assert answer.status_code == 200, answer.text
    return answer.text


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - what another process does
            await asyncio.sleep(0.05)


async def carried(workers: Workers, call: str, bookings: Bookings) -> None:
    """Place the call, have its worker killed when it knows who is calling, and connect it to the other one."""
    caller = Caller(call, secret=SECRET)
    media, _ = await ask_where_to_connect(workers.answer, call=call, caller_number="+15550100", auth_token=SECRET)
    talking = asyncio.create_task(caller.talk(media, for_s=60))
    file = workers.folders[0] / f"{call}.jsonl"
    await until(lambda: file.exists() and b'"c-17"' in file.read_bytes() and b"How can I help?" in file.read_bytes())
    workers.kill()
    await talking
    assert not (await asyncio.to_thread(read_journal, file)).complete
    booked, heard = len(bookings.wanted), caller.heard_bytes
    media, _ = stream_in(await asked_after(workers.after, call), workers.after)
    talking = asyncio.create_task(caller.talk(media, for_s=60))
    began_s = time.monotonic()
    await until(lambda: len(bookings.wanted) > booked and caller.heard_bytes > heard)
    assert time.monotonic() - began_s < 20, "a caller who is there again is spoken to, and listened to"
    talking.cancel()
    await asyncio.wait([talking])
    media, _ = stream_in(await asked_after(workers.after, call), workers.after)  # broken off once more: it goes on
    await caller.talk(media, for_s=2)
    assert "<Hangup/>" in await asked_after(workers.after, call)


@pytest.mark.parametrize("two", [two_servers, two_workers_on_a_port])
def test_the_call_goes_on_in_its_phase_with_what_is_known_and_is_recorded_once(
    tmp_path: Path,
    shared: str,
    two: Callable[[Path, ExitStack, tuple[str, ...]], Workers],
    record_property: Callable[[str, object], None],
) -> None:
    call = new_call()
    with Bookings(slow_ms=0) as bookings, ExitStack() as stack:
        workers = two(tmp_path, stack, ("--state", shared, "--service-url", bookings.url))
        asyncio.run(carried(workers, call, bookings))
        assert workers.stop() == 0
        assert {tuple(each.items()) for each in bookings.wanted} == {(("for", "c-17"),)}
        assert set(bookings.asked.values()) == {1}, "nothing was asked for twice"
    file = workers.folders[1] / f"{call}.jsonl"
    journal = read_journal(file)
    assert journal.complete
    kinds = [type(entry.event) for entry in journal.entries]
    assert (kinds.count(CallEnded), kinds.count(CallResumed)) == (1, 2)
    started = [decode_effect(line) for entry in journal.entries for line in entry.effects]
    tools = [values["tool"] for name, values in started if name == StartTool.__name__]
    assert tools.count("identify") == 1, "who was identified before is known afterwards"
    flow = load_flow(file.parents[1] / "phases" / "shop")
    assert replay(journal, flow).same
    at_the_end = folded(journal, flow)
    assert (at_the_end.state.phase.name, at_the_end.state.facts.model_dump()) == ("seats", {"customer_id": "c-17"})
    assert asyncio.run(recorded_in(shared, call)) == RecordedCall((), ended=True)
    assert [each.name for each in workers.folders[1].glob("*.jsonl")] == [file.name], "one record"
    record_property("calls gone on with by another worker after kill -9 (real Redis)", 1)


def folded(journal: Journal, flow: Flow) -> Conversation:
    conversation = Conversation(flow, journal.header.inherited)
    for entry in journal.entries:
        conversation.handle(entry.event, entry.at_ms)
    return conversation


async def recorded_in(state: str, call: str) -> RecordedCall:
    store = await open_store(state, clock=SystemClock())
    recorded = await store.read(CallId(call))
    assert await store.interrupted() == ()
    await store.close()
    assert recorded is not None
    return recorded
