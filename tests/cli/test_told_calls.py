"""A live call goes by what the host application says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from voiceagent import Flow, HangUpAfter, HostSignals, Phase, Say, Transition
from voiceagent.cli.agent_server import AgentServer, ServerSettings, agent_server
from voiceagent.core.effects import Outgoing
from voiceagent.core.events import CallStarted, Event, HostEvent
from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError
from voiceagent.runtime.journal_file import read_journal
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, CallReport, place_call
from voiceagent.testing.caller_script import ExpectHangUpStep, WaitForAgentStep

TOKEN = "a-secret-of-the-host"
DESK = Flow(
    name="desk",
    initial="help",
    phases=(
        Phase(
            name="help",
            on_enter=Say(text="Hi."),
            transitions=(Transition(on=HostSignals(name="paid"), to="goodbye"),),
        ),
        Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
    ),
)
PATIENT = CallerScript("patient", (WaitForAgentStep(quiet_ms=300), ExpectHangUpStep(within_ms=10_000)))
Tells = Callable[[AgentServer, CallId], Awaitable[object]]


def told(folder: Path, tells: Tells) -> CallReport:
    """Call the desk; when the call has begun it is told something."""
    telephony = TelephonySettings(agents=frozenset({"desk"}), insecure=True, port=0)
    settings = ServerSettings(telephony=telephony, journals=folder, engines="null", host_token=TOKEN)
    begun = asyncio.Queue[CallId]()

    def note(call: CallId, _now_ms: int, event: Event, _outgoing: tuple[Outgoing, ...]) -> None:
        if isinstance(event, CallStarted):
            begun.put_nowait(call)

    async def scenario() -> CallReport:
        async with agent_server(settings, {"desk": DESK}, observers=[note]) as server:
            calling = asyncio.ensure_future(place_call(f"ws://127.0.0.1:{server.port}/media/twilio/desk", PATIENT))
            call = await begun.get()
            await tells(server, call)
            report = await calling
            await server.drain(5)
            assert not server.tell(call, "paid"), "the call is over"
            return report

    return asyncio.run(scenario())


def events_in(folder: Path) -> list[HostEvent]:
    (journal,) = folder.glob("*.jsonl")
    return [entry.event for entry in read_journal(journal).entries if isinstance(entry.event, HostEvent)]


def test_a_host_in_the_same_process_moves_a_call_on(tmp_path: Path) -> None:
    async def tells(server: AgentServer, call: CallId) -> None:
        assert not server.tell(CallId("another"), "paid")
        assert server.tell(call, "pause_recording")
        assert server.tell(call, "paid", {"cents": 500})

    report = told(tmp_path, tells)
    assert (report.failure, report.closed.by) == (None, "agent")
    assert events_in(tmp_path) == [HostEvent("pause_recording"), HostEvent("paid", {"cents": 500})]


def test_a_host_elsewhere_moves_a_call_on_by_http(tmp_path: Path) -> None:
    async def tells(server: AgentServer, call: CallId) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as host:
            said = {"name": "paid", "payload": {"cents": 500}}
            assert (await host.post(f"/calls/{call}/events", json=said)).status_code == 401
            host.headers["Authorization"] = f"Bearer {TOKEN}"
            assert (await host.post("/calls/another/events", json=said)).status_code == 404
            assert (await host.post(f"/calls/{call}/events", json=said)).status_code == 202

    report = told(tmp_path, tells)
    assert (report.failure, report.closed.by) == (None, "agent")
    assert events_in(tmp_path) == [HostEvent("paid", {"cents": 500})]


def test_a_server_with_a_token_that_could_be_guessed_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="--host-token must have 16 characters"):
        ServerSettings(TelephonySettings(agents=frozenset({"desk"})), journals=tmp_path, host_token="secret")
