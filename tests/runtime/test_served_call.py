"""Whole calls over a real port: the server as it is put together, and a carrier that calls it."""

from __future__ import annotations

import asyncio
import gc
import importlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.threats.served import DESK
from voiceagent import Flow, HangUpAfter, Limits, Phase, Say, TransferFails, TransferTo, Transition
from voiceagent.audio import pcm16_to_mulaw
from voiceagent.cli.agent_server import AgentServer, ServerSettings, agent_server
from voiceagent.cli.serve import _targets
from voiceagent.core.events import CallEnded, CallResumed, CallStarted, DigitsPressed, HandedOver, PlayoutReached
from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError
from voiceagent.runtime.journal_file import Journal, read_journal
from voiceagent.runtime.replay import replay
from voiceagent.speech import NullRecognizer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, CallReport, place_call
from voiceagent.testing.caller import ScriptedCaller
from voiceagent.testing.caller_script import (
    ExpectHangUpStep,
    HangUpStep,
    PressStep,
    SayStep,
    WaitForAgentStep,
    WaitStep,
)
from voiceagent.testing.carrier import TwilioCarrier
from voiceagent.testing.twilio_stream import TwilioStream, new_call
from voiceagent.testing.utterance import Utterance

LONG_WINDED = DESK.model_copy(
    update={"phases": (DESK.phases[0].model_copy(update={"on_enter": Say(text="Hello. " * 60)}), DESK.phases[1])}
)
HUM = Utterance.from_mulaw("hum", pcm16_to_mulaw((b"\x00\x20" * 20 + b"\x00\xe0" * 20) * 180))
"""0.9 s of a loud square wave."""
AGENT_DONE = WaitForAgentStep(quiet_ms=300, at_most_ms=10_000)
GOODBYE = (AGENT_DONE, PressStep("9"), ExpectHangUpStep(within_ms=10_000))

Scenario = Callable[[AgentServer, str], Awaitable[None]]


@pytest.fixture(autouse=True, scope="module")
def http_library() -> None:
    """Import what a server imports as it starts: the files are read once, before there is an event loop to block."""
    importlib.import_module("httpx")


def serve(directory: Path, scenario: Scenario, *, flow: Flow = DESK) -> list[Journal]:
    """Serve the desk for as long as the scenario takes; return the journals of all calls once they are over."""
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"desk"}), insecure=True, port=0, max_lag_ms=10_000),
        journals=directory,
        engines="null",
    )

    async def serving() -> None:
        before = asyncio.all_tasks()
        async with agent_server(settings, {"desk": flow}) as server:
            await scenario(server, f"ws://127.0.0.1:{server.port}/media/twilio/desk")
            assert await server.drain(at_most_s=20), "a call is left"
        assert asyncio.all_tasks() == before, "a task is left"

    asyncio.run(serving())
    journals = [read_journal(file) for file in sorted(directory.glob("*.jsonl"))]
    for journal in journals:
        assert journal.complete
        assert replay(journal, flow).same
    return journals


def script(*steps: object, **parameters: str) -> CallerScript:
    return CallerScript("test", steps, parameters=parameters)  # pyright: ignore[reportArgumentType] - steps of all kinds


async def until(known: Callable[[], bool]) -> None:
    """Wait for what nobody reports."""
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(known):  # noqa: ASYNC110 - a file and a count have no event
            await asyncio.sleep(0.01)


def ended(journal: Journal) -> str:
    (event,) = [entry.event for entry in journal.entries if isinstance(entry.event, CallEnded)]
    return event.reason


def test_a_call_is_taken_heard_answered_and_ended(tmp_path: Path, caplog: Any) -> None:
    caplog.set_level("INFO")
    reports: list[CallReport] = []

    async def scenario(_: AgentServer, url: str) -> None:
        reports.append(await place_call(url, script(AGENT_DONE, SayStep(HUM), *GOODBYE)))

    (journal,) = serve(tmp_path, scenario)
    (report,) = reports
    assert report.ok, report.failure
    assert report.closed.by == "agent"
    assert [turn.said for turn in report.turns] == ["hum", "9"]
    assert ended(journal) == "phase end"
    heard = [entry.event for entry in journal.entries if isinstance(entry.event, PlayoutReached)]
    assert [reached.finished for reached in heard] == [True, True, True]
    written = b"".join(line for entry in journal.entries for line in entry.effects)
    assert {record.name.partition(".")[0] for record in caplog.records} <= {"voiceagent", "asyncio"}
    assert written.index(b'"Hello."') < written.index(b'"Pardon?"') < written.index(b'"Goodbye."')


def test_a_caller_who_hangs_up_in_the_middle_of_a_sentence_ends_the_call(tmp_path: Path) -> None:
    async def scenario(_: AgentServer, url: str) -> None:
        report = await place_call(url, script(WaitStep(700), HangUpStep()))
        assert report.ok

    (journal,) = serve(tmp_path, scenario, flow=LONG_WINDED)
    assert not any(isinstance(entry.event, PlayoutReached) for entry in journal.entries)
    assert ended(journal)


def test_a_socket_that_breaks_without_a_word_leaves_the_record_open_for_a_while_and_then_closes_it(
    tmp_path: Path,
) -> None:
    flow = LONG_WINDED.model_copy(update={"limits": Limits(resume_within_ms=300)})

    async def scenario(_: AgentServer, url: str) -> None:
        stream = TwilioStream()
        async with connect(url, compression=None) as connection:
            await connection.send(stream.connected())
            await connection.send(stream.start({}))
            await connection.recv()
            connection.transport.abort()
        await until(lambda: all(b"CallEnded" in file.read_bytes() for file in tmp_path.glob("*.jsonl")))

    (journal,) = serve(tmp_path, scenario, flow=flow)
    assert ended(journal) == "the connection broke, and the caller did not come back"


def test_a_call_whose_connection_broke_goes_on_in_the_same_record(tmp_path: Path) -> None:
    async def scenario(server: AgentServer, url: str) -> None:
        stream = TwilioStream()
        async with connect(url, compression=None) as connection:
            await connection.send(stream.connected())
            await connection.send(stream.start({}))
            await connection.recv()
            connection.transport.abort()
        await until(lambda: not server.live_calls)
        async with connect(url, compression=None) as connection:
            await connection.send(stream.connected())
            await connection.send(stream.start({}))
            await connection.recv()
            await connection.send(stream.stop())

    (journal,) = serve(tmp_path, scenario, flow=LONG_WINDED)
    (resumed,) = [number for number, entry in enumerate(journal.entries) if isinstance(entry.event, CallResumed)]
    said = b"".join(line for entry in journal.entries[resumed:] for line in entry.effects)
    assert said.index(LONG_WINDED.phrases.resumed.encode()) < said.index(b"Hello. Hello.")
    assert ended(journal)


def test_twenty_calls_at_once_are_twenty_calls(tmp_path: Path) -> None:
    async def scenario(server: AgentServer, url: str) -> None:
        calls = [place_call(url, script(*GOODBYE, order=f"order-{number}")) for number in range(20)]
        reports = await asyncio.gather(*calls)
        assert [report.failure for report in reports] == [None] * 20
        assert await server.drain(at_most_s=20)
        assert server.live_calls == 0

    journals = serve(tmp_path, scenario)
    orders: list[str] = []
    for journal in journals:
        events = [entry.event for entry in journal.entries]
        orders += [event.parameters["order"] for event in events if isinstance(event, CallStarted) and event.parameters]
        assert [event.digits for event in events if isinstance(event, DigitsPressed)] == ["9"]
        assert ended(journal) == "phase end"
    assert sorted(orders) == sorted(f"order-{number}" for number in range(20))


def test_an_agent_that_is_not_served_is_refused(tmp_path: Path) -> None:
    async def scenario(_: AgentServer, url: str) -> None:
        report = await place_call(url.replace("/desk", "/bank"), script(*GOODBYE))
        assert report.closed.by == "line"
        assert "404" in report.closed.reason

    assert serve(tmp_path, scenario) == []


HELP = DESK.model_copy(
    update={
        "phases": (
            DESK.phases[0],
            Phase(name="end", on_enter=Say(text="I put you through."), ends=TransferTo(target="support")),
        )
    }
)


WITH_SUPPORT = TelephonySettings(
    agents=frozenset({"desk"}),
    insecure=True,
    port=0,
    public_url="http://voice.example.com",
    transfer_targets={"support": "+15551234567"},
)


def test_a_caller_is_handed_over_by_the_document_that_the_carrier_asks_for_next(tmp_path: Path) -> None:
    settings = ServerSettings(telephony=WITH_SUPPORT, journals=tmp_path, engines="null")

    async def serving() -> None:
        import httpx

        async with agent_server(settings, {"desk": HELP}) as server, httpx.AsyncClient() as carrier:
            here = f"127.0.0.1:{server.port}"
            answer = (await carrier.post(f"http://{here}/twilio/desk/answer", data={"CallSid": "CA0"})).text
            then = answer.partition("<Redirect>")[2].partition("</Redirect>")[0].replace("voice.example.com", here)
            report = await place_call(f"ws://{here}/media/twilio/desk", script(*GOODBYE))
            assert report.ok, report.failure
            draining = asyncio.create_task(server.drain(at_most_s=20))
            (file,) = await asyncio.to_thread(lambda: list(tmp_path.glob("*.jsonl")))
            after = (await carrier.post(then, data={"CallSid": file.stem})).text
            assert ">+15551234567</Dial>" in after
            assert await draining

    asyncio.run(serving())
    (file,) = tmp_path.glob("*.jsonl")
    assert read_journal(file).entries[-1].event == HandedOver("support"), "another worker may have the caller back"


NOBODY_IN = HELP.model_copy(
    update={
        "phases": (
            HELP.phases[0],
            HELP.phases[1].model_copy(update={"transitions": (Transition(on=TransferFails(), to="nobody"),)}),
            Phase(name="nobody", on_enter=Say(text="Nobody is in today."), ends=HangUpAfter()),
        )
    }
)


def test_a_caller_whom_nobody_takes_is_back_with_the_agent_who_knows_it(tmp_path: Path) -> None:
    settings = ServerSettings(telephony=WITH_SUPPORT, journals=tmp_path, engines="null")
    call = new_call()

    async def connected(url: str, *steps: object) -> None:
        carried = await TwilioCarrier(url, caller=ScriptedCaller(script(*steps)), call=call).carry()
        assert carried.closed.by == "agent"

    async def serving() -> None:
        import httpx

        async with agent_server(settings, {"desk": NOBODY_IN}) as server, httpx.AsyncClient() as carrier:
            here = f"127.0.0.1:{server.port}"
            await connected(f"ws://{here}/media/twilio/desk", *GOODBYE)
            asked = {"CallSid": call}
            assert "<Dial" in (await carrier.post(f"http://{here}/twilio/desk/after", data=asked)).text
            await until(lambda: "HandedOver" in (tmp_path / f"{call}.jsonl").read_text())
            nobody = {**asked, "DialCallStatus": "no-answer"}
            again = (await carrier.post(f"http://{here}/twilio/desk/after", data=nobody)).text
            url = again.partition('url="')[2].partition('"')[0].replace("voice.example.com", here)
            await connected(url, ExpectHangUpStep(within_ms=10_000))

    asyncio.run(serving())
    journal = read_journal(tmp_path / f"{call}.jsonl")
    events = [entry.event for entry in journal.entries]
    assert [type(event) for event in events if isinstance(event, HandedOver | CallResumed)] == [HandedOver, CallResumed]
    assert ended(journal) == "phase nobody"
    assert replay(journal, NOBODY_IN).same


def test_a_target_without_a_number_is_said_at_the_start_and_in_the_record(tmp_path: Path, caplog: Any) -> None:
    async def scenario(_: AgentServer, url: str) -> None:
        report = await place_call(url, script(*GOODBYE))
        assert report.ok, report.failure

    (journal,) = serve(tmp_path, scenario, flow=HELP)
    assert ended(journal) == "transfer failed: no number is given for support"
    assert "desk: phase end hands callers over to 'support', and no number is given for it" in caplog.text


def test_a_server_that_hears_nothing_is_not_ready_and_leaves_calls_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServerSettings(
        telephony=TelephonySettings(
            agents=frozenset({"desk"}), insecure=True, port=0, public_url="http://voice.example.com"
        ),
        journals=tmp_path,
        engines="null",
    )

    async def statuses(here: str) -> list[int]:
        import httpx

        async with httpx.AsyncClient(base_url=here) as carrier:
            answer = await carrier.post("/twilio/desk/answer", data={"CallSid": "CA0"})
            return [answer.status_code, *[(await carrier.get(path)).status_code for path in ("/readyz", "/healthz")]]

    async def serving() -> None:
        async with agent_server(settings, {"desk": DESK}) as server:
            here = f"http://127.0.0.1:{server.port}"
            assert await statuses(here) == [200, 200, 200]
            monkeypatch.setattr(NullRecognizer, "healthy", False)
            assert await statuses(here) == [503, 503, 200]

    asyncio.run(serving())


def test_while_calls_go_on_the_collector_does_not_look_through_the_server(tmp_path: Path) -> None:
    looked_through: list[int] = []

    async def scenario(server: AgentServer, url: str) -> None:
        del server, url
        looked_through.append(len(gc.get_objects()))

    serve(tmp_path, scenario)
    assert looked_through[0] < len(gc.get_objects()) / 4


def test_targets_are_named_with_their_numbers() -> None:
    assert _targets(["support=+15551234567", "sales=+49301"]) == {"support": "+15551234567", "sales": "+49301"}
    for wrong in ("support", "=+15551234567", "support="):
        with pytest.raises(OperatorError, match="support=\\+15551234567"):
            TelephonySettings(agents=frozenset({"desk"}), transfer_targets=_targets([wrong]))


def test_a_server_that_stops_ends_the_calls_it_has(tmp_path: Path) -> None:
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"desk"}), insecure=True, port=0),
        journals=tmp_path,
        engines="null",
    )

    async def serving() -> None:
        before = asyncio.all_tasks()
        stream = TwilioStream()
        async with agent_server(settings, {"desk": LONG_WINDED}) as server:
            connection = await connect(f"ws://127.0.0.1:{server.port}/media/twilio/desk", compression=None)
            await connection.send(stream.connected())
            await connection.send(stream.start({}))
            await connection.recv()
        await connection.close()
        assert asyncio.all_tasks() == before

    asyncio.run(serving())
    (file,) = tmp_path.glob("*.jsonl")
    assert read_journal(file).interrupted  # another process may go on with it


def test_new_calls_run_on_the_flow_as_it_is_now_and_old_ones_on_theirs(tmp_path: Path) -> None:
    other = DESK.model_copy(update={"phases": (DESK.phases[0], HELP.phases[1])})
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"desk"}), insecure=True, port=0),
        journals=tmp_path,
        engines="null",
    )

    async def serving() -> None:
        begun = asyncio.Event()

        def note(_: CallId, __: int, event: object, ___: object) -> None:
            if isinstance(event, CallStarted):
                begun.set()

        async with agent_server(settings, {"desk": DESK}, observers=[note]) as server:
            url = f"ws://127.0.0.1:{server.port}/media/twilio/desk"
            before = asyncio.create_task(place_call(url, script(*GOODBYE, when="before")))
            await begun.wait()
            await server.reload({"desk": other})
            after = await place_call(url, script(*GOODBYE, when="after"))
            assert (await before).ok
            assert after.ok
            assert await server.drain(at_most_s=20)

    asyncio.run(serving())
    flows: dict[str, str] = {}
    for file in tmp_path.glob("*.jsonl"):
        journal = read_journal(file)
        (started,) = [entry.event for entry in journal.entries if isinstance(entry.event, CallStarted)]
        flows[(started.parameters or {})["when"]] = journal.header.flow_sha256
    assert flows == {"before": DESK.sha256, "after": other.sha256}


def test_a_port_that_is_taken_is_for_the_operator_to_mend(tmp_path: Path) -> None:
    async def serving(port: int) -> None:
        settings = ServerSettings(
            telephony=TelephonySettings(agents=frozenset({"desk"}), insecure=True, port=port),
            journals=tmp_path,
            engines="null",
        )
        async with agent_server(settings, {"desk": DESK}):
            pytest.fail("it serves")

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OperatorError, match="is taken"):
        asyncio.run(serving(taken.getsockname()[1]))
