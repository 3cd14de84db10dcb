"""What a page is told of calls, over a socket of its own: to whom, how much at once, and what it costs nobody else."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event, current_thread
from typing import Any, ClassVar

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.console.test_call_records import desk_that_knows, taken
from tests.console.test_call_report import recording_of
from voiceagent.console import call_records, call_watch
from voiceagent.console.call_file import CallFile
from voiceagent.console.call_records import CallRecords, Found, Listed
from voiceagent.console.call_sound import CallSound
from voiceagent.console.lines import open_lines
from voiceagent.errors import JournalError
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.timeline import Timeline, timeline_of
from voiceagent.telephony.settings import TelephonySettings

TOKEN = "a token of the console's"


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    """The journal of one call, `call-1`, in which a tool has told who calls."""
    return taken(tmp_path / "journals")


@asynccontextmanager
async def server(
    journals: Path, *, token: str | None = None, records: CallRecords | None = None
) -> AsyncIterator[tuple[Any, int]]:
    clock = SystemClock()
    flows = {"desk": desk_that_knows()}
    settings = TelephonySettings(agents=frozenset({"desk"}), port=0)
    records = records or CallRecords(journals, None, lambda: flows, clock)

    async def nobody_calls(_: Any) -> None:
        raise AssertionError

    lines = open_lines(
        settings, handler=nobody_calls, healthy=lambda: True, clock=clock, console_token=token, records=records
    )
    async with lines as served:
        yield served


def viewer(port: int, **headers: str) -> connect:
    return connect(f"ws://127.0.0.1:{port}/console/events", additional_headers=headers, compression=None, max_size=None)


async def told(socket: ClientConnection, holds: Callable[[Any], bool]) -> Any:
    """Return the first message of which this holds."""
    async with asyncio.timeout(10):
        async for message in socket:
            read = json.loads(message)
            if holds(read):
                return read
    raise AssertionError("the socket was closed")


async def watching(socket: ClientConnection, call: str, *, number: int = 1, shown: bool = False) -> Any:
    await socket.send(json.dumps({"watch": call, "shown": shown, "number": number}))
    return await told(socket, lambda message: message.get("number") == number)


def go_on_writing(journal: Path, lines: list[bytes]) -> None:
    """Write what is missing of it: whoever reads it is never shown a shorter one."""
    with journal.open("ab") as output:
        output.write(b"".join(lines)[output.tell() :])


def spoken(message: Any) -> list[str]:
    return [span["text"] for span in message["rows"]["spans"]["at"].values() if span["track"] in {"caller", "agent"}]


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_a_page_is_told_which_calls_there_are_and_of_one_what_changes(journals: Path) -> None:
    written = (journals / "call-1.jsonl").read_bytes().splitlines(keepends=True)
    heard = next(n for n, line in enumerate(written) if b'"TranscriptFinal"' in line)
    live = journals / "live.jsonl"
    live.write_bytes(b"".join(written[:heard]))

    async def scenario() -> None:
        async with server(journals) as (_, port), viewer(port) as socket:
            listed = await told(socket, lambda message: "live" in message)
            assert [row["id"] for row in listed["live"]] == ["live"]
            assert [row["id"] for row in listed["past"]] == ["call-1"]
            assert str(journals) in listed["where"]
            first = await watching(socket, "live")
            assert first["head"]["live"]
            assert spoken(first) == ["Hello, this is the desk. What can I do for you today?", ""]
            go_on_writing(live, written)
            more = await told(socket, lambda message: message.get("call") == "live")
            assert spoken(more) == ["I am •••, number •••", "Thank you, •••."]
            assert "0" not in more["rows"]["spans"]["at"] or more["rows"]["spans"]["at"]["0"]["track"] == "phase"

    run(scenario)


def test_calls_that_nobody_has_read_yet_are_counted_and_can_be_looked_at(
    journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_records, "_MOST_READ", 1)
    (journals / "old.jsonl").write_bytes((journals / "call-1.jsonl").read_bytes())
    os.utime(journals / "old.jsonl", (1_000, 1_000))

    async def scenario() -> None:
        async with server(journals) as (_, port), viewer(port) as socket:
            listed = await told(socket, lambda message: "live" in message)
            assert ([row["id"] for row in listed["past"]], listed["not_listed"]) == (["call-1"], 1)
            assert (await watching(socket, "old"))["head"]["flow"] == "desk"

    run(scenario)


def test_two_pages_on_one_call_are_told_the_same_and_one_alone_sees_who_it_is(
    journals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with server(journals) as (_, port), viewer(port) as one, viewer(port) as other:
            hidden, shown = await watching(one, "call-1"), await watching(other, "call-1", shown=True)
            assert spoken(hidden)[1:] == ["I am •••, number •••", "Thank you, •••."]
            assert spoken(shown)[1:] == ["I am maria, number four seven one one", "Thank you, Maria Lopez."]
            assert "maria" not in json.dumps(hidden).casefold()

    with caplog.at_level(logging.WARNING):
        run(scenario)
    logged = [record.getMessage() for record in caplog.records if "personal data" in record.getMessage()]
    assert logged == ["personal data of call call-1 is shown to a viewer at 127.0.0.1"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Cookie": "voiceagent_console=" + "0" * 64}, 401),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
def test_whoever_may_not_see_the_page_is_told_nothing(journals: Path, headers: dict[str, str], status: int) -> None:
    async def scenario() -> None:
        async with server(journals, token=TOKEN) as (_, port):
            with pytest.raises(InvalidStatus) as refused:
                await viewer(port, **headers).__aenter__()
            assert refused.value.response.status_code == status

    run(scenario)


@pytest.mark.parametrize("headers", [{"Origin": "http://["}, {"Origin": "http://[::1"}])
def test_half_an_address_is_refused_and_fails_nothing(
    journals: Path, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with server(journals) as (_, port):
            with pytest.raises(InvalidStatus) as refused:
                await viewer(port, **headers).__aenter__()
            assert refused.value.response.status_code == 400

    run(scenario)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"X-Forwarded-For": "203.0.113.7"}, {"Via": "1.1 p"}])
def test_without_a_token_it_is_for_this_machine_alone(journals: Path, headers: dict[str, str]) -> None:
    async def scenario() -> None:
        async with server(journals) as (_, port):
            with pytest.raises((InvalidStatus, ValueError)) as refused:
                await viewer(port, **headers).__aenter__()
            assert not isinstance(refused.value, InvalidStatus) or refused.value.response.status_code in {400, 403}

    run(scenario)


def test_whoever_has_logged_in_is_let_in(journals: Path) -> None:
    async def scenario() -> None:
        async with server(journals, token=TOKEN) as (_, port), httpx.AsyncClient() as http:
            logged_in = await http.post(f"http://127.0.0.1:{port}/console/login", json={"token": TOKEN})
            cookie = logged_in.headers["set-cookie"].partition(";")[0]
            async with viewer(port, Cookie=cookie, Origin=f"http://127.0.0.1:{port}") as socket:
                await told(socket, lambda message: "live" in message)

    run(scenario)


def test_a_search_is_answered_and_one_in_personal_data_is_logged(
    journals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with server(journals) as (_, port), viewer(port) as socket:
            await told(socket, lambda message: "live" in message)
            for shown, calls in ((False, []), (True, ["call-1"])):
                await socket.send(json.dumps({"search": "maria", "shown": shown}))
                answer = await told(socket, lambda message: "found" in message)
                assert [each["row"]["id"] for each in answer["found"]] == calls

    with caplog.at_level(logging.WARNING):
        run(scenario)
    assert "personal data to be searched is shown to a viewer at 127.0.0.1" in caplog.messages


def test_a_search_that_takes_long_holds_up_nothing_else_on_its_page(journals: Path) -> None:
    flows = {"desk": desk_that_knows()}
    records = CallRecords(journals, None, lambda: flows, SystemClock())
    others_are_done = Event()
    records.searcher.submit(others_are_done.wait)

    async def scenario() -> None:
        async with server(journals, records=records) as (_, port), viewer(port) as socket:
            await told(socket, lambda message: "live" in message)
            await socket.send(json.dumps({"search": "number"}))
            assert (await watching(socket, "call-1"))["head"]["flow"] == "desk"
            others_are_done.set()
            assert len((await told(socket, lambda message: "found" in message))["found"]) == 1

    try:
        run(scenario)
    finally:
        others_are_done.set()


class Endless(CallRecords):
    """Records in which a search goes on until somebody stops it, or for longer than a test waits."""

    def search(
        self, text: str, listed: Listed, *, shown: bool, stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[Found]:
        for _ in range(100_000):
            if stopped():
                return
            yield from super().search(text, listed, shown=shown)


def test_a_search_ends_with_the_next_one_and_with_its_page(journals: Path) -> None:
    records = Endless(journals, None, dict, SystemClock())

    async def scenario() -> None:
        async with server(journals, records=records) as (_, port), viewer(port) as socket:
            for words in ("nobody", "zebra"):
                await socket.send(json.dumps({"search": words}))
                await watching(socket, "call-1")

    run(scenario)
    assert records.searcher.submit(lambda: "nothing goes on").result(timeout=10) == "nothing goes on"


def test_a_call_that_is_not_there_and_words_that_ask_for_nothing_end_nobody(
    journals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with server(journals) as (_, port), viewer(port) as socket:
            for message in ("nonsense", "{}", b"\xff", '{"watch": 7}', '{"watch": "a", "more": 1}'):
                await socket.send(message)
            gone = await watching(socket, "../../etc/passwd")
            assert gone["gone"]
            assert (await watching(socket, "call-1", number=2))["head"]["flow"] == "desk"

    with caplog.at_level(logging.WARNING):
        run(scenario)
    assert sum("nothing that there is" in message for message in caplog.messages) == 5


def test_pages_that_look_are_no_calls_and_keep_no_server_from_stopping(journals: Path) -> None:
    async def scenario() -> None:
        async with viewer_of(journals) as (media, socket):
            assert media.live_calls == 0
            media.drain()
            async with asyncio.timeout(2):
                await media.drained()
            assert (await watching(socket, "call-1"))["head"]["flow"] == "desk"

    run(scenario)


@asynccontextmanager
async def viewer_of(journals: Path) -> AsyncIterator[tuple[Any, ClientConnection]]:
    async with server(journals) as (media, port):
        socket = await viewer(port).__aenter__()
        yield media, socket
    async for _ in socket:  # until it is closed
        pass
    assert socket.close_code == 1001


def test_where_nobody_looks_any_more_nothing_of_a_call_is_kept(journals: Path) -> None:
    flows = {"desk": desk_that_knows()}
    records = CallRecords(journals, None, lambda: flows, SystemClock())

    async def scenario() -> None:
        async with server(journals, records=records) as (_, port), viewer(port) as socket:
            await watching(socket, "call-1")
            assert records._open

    run(scenario)
    records.reader.submit(lambda: None).result(timeout=10)
    assert not records._open


def test_one_page_too_many_is_refused(journals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_watch, "_MOST_VIEWERS", 1)

    async def scenario() -> None:
        async with server(journals) as (_, port), viewer(port) as socket:
            await told(socket, lambda message: "live" in message)
            with pytest.raises(InvalidStatus) as refused:
                await viewer(port).__aenter__()
            assert refused.value.response.status_code == 503

    run(scenario)


def long_call(journals: Path, turns: int) -> None:
    """Make a call of many turns of one that had one."""
    header, started, *_ = (journals / "call-1.jsonl").read_bytes().splitlines(keepends=True)
    first_ms = json.loads(started)["at"]
    rows = [header, started]
    for n in range(turns):
        at_ms = first_ms + 10_000 * n
        rows += [
            json.dumps({"at": at, "event": event, "with": values}, separators=(",", ":")).encode() + b"\n"
            for at, event, values in (
                (at_ms, "CallerStartedSpeaking", {"utterance": f"c{n}", "at_ms": at_ms}),
                (at_ms + 900, "CallerPaused", {"utterance": f"c{n}", "at_ms": at_ms + 900}),
                (at_ms + 950, "TranscriptFinal", {"utterance": f"c{n}", "text": f"hello again {n}"}),
            )
        ]
    (journals / "long.jsonl").write_bytes(b"".join(rows))


def test_a_call_of_four_hours_comes_in_pieces(journals: Path) -> None:
    turns = 1_440
    long_call(journals, turns)

    async def scenario() -> None:
        async with server(journals) as (_, port), viewer(port) as socket:
            message, pieces, spans, head = await watching(socket, "long", shown=True), 0, {}, {}
            while True:
                pieces += 1
                rows = message["rows"]
                assert sum(len(rows[name]["at"]) for name in rows) <= 400
                spans |= rows["spans"]["at"]
                head |= message["head"]
                if not (message["more"] or head["behind"]):
                    break
                message = await told(socket, lambda message: message.get("call") == "long")
            assert pieces > turns // 400
            said = [span["text"] for span in spans.values() if span["track"] == "caller"]
            assert (len(said), said[-1]) == (turns, f"hello again {turns - 1}")

    run(scenario)


def test_every_worker_shows_the_calls_of_all_of_them(journals: Path) -> None:
    written = (journals / "call-1.jsonl").read_bytes().splitlines(keepends=True)
    heard = next(n for n, line in enumerate(written) if b'"TranscriptFinal"' in line)

    async def scenario() -> None:
        async with (
            server(journals) as (_, one),
            server(journals) as (_, other),
            viewer(one) as here,
            viewer(other) as there,
        ):
            (journals / "elsewhere.jsonl").write_bytes(b"".join(written[:heard]))
            for socket in (here, there):
                await told(socket, lambda message: [row["id"] for row in message.get("live", ())] == ["elsewhere"])
                assert (await watching(socket, "elsewhere"))["head"]["live"]
            go_on_writing(journals / "elsewhere.jsonl", written)
            for socket in (here, there):
                more = await told(socket, lambda message: message.get("call") == "elsewhere")
                assert spoken(more)[-1] == "Thank you, •••."

    run(scenario)


def test_a_page_that_takes_nothing_holds_up_nobody_and_is_up_to_date_with_what_it_takes_next(journals: Path) -> None:
    """It asks for a long call again and again, and reads nothing of it meanwhile."""
    long_call(journals, 1_000)

    async def scenario() -> None:
        async with server(journals) as (_, port), viewer(port) as slow, viewer(port) as other:
            slow.transport.pause_reading()
            for number in range(1, 30):
                await slow.send(json.dumps({"watch": "long", "shown": True, "number": number}))
            assert (await watching(other, "call-1"))["head"]["flow"] == "desk"
            await slow.send(json.dumps({"watch": "call-1", "number": 99}))
            slow.transport.resume_reading()
            answer = await told(slow, lambda message: message.get("number") == 99)
            assert answer["head"]["flow"] == "desk"

    run(scenario)


def test_the_sound_of_a_call_is_played_from_anywhere_and_said_to_be_so(
    journals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    timeline = timeline_of(read_journal(journals / "call-1.jsonl"))
    sound = recording_of(timeline, journals / "call-1.wav", begins_ms=1_500)

    async def scenario() -> None:
        async with server(journals) as (_, port), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            waves = (await http.get("/console/calls/call-1/waves")).json()
            assert abs(waves["offset_ms"] - 1_500) <= 10
            part = await http.get(f"/{waves['src']}", headers={"Range": "bytes=44-143"})
            assert (part.status_code, part.content) == (206, sound.read_bytes()[44:144])
            assert part.headers["content-type"] == "audio/wav"
            assert (await http.get("/console/calls/nobody/waves")).status_code == 404
            assert (await http.get("/console/calls/..%2Fcall-1/sound")).status_code == 404
            (journals / "call-1.wav").write_bytes(b"no sound")
            assert (await http.get("/console/calls/call-1/waves")).status_code == 422

    with caplog.at_level(logging.WARNING):
        run(scenario)
    assert "personal data of call call-1 is shown to a viewer at 127.0.0.1: its sound" in caplog.messages


@pytest.mark.parametrize("part", [{}, {"Range": "bytes=0-"}, {"Range": "bytes=44-"}, {"Range": "bytes=-100"}])
def test_nobody_hears_a_call_without_a_line_in_the_log(
    journals: Path, part: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    recording_of(timeline_of(read_journal(journals / "call-1.jsonl")), journals / "call-1.wav", begins_ms=0)

    async def scenario() -> None:
        async with server(journals) as (_, port), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert (await http.get("/console/calls/call-1/sound", headers=part)).is_success

    with caplog.at_level(logging.WARNING):
        run(scenario)
    assert caplog.messages == ["personal data of call call-1 is shown to a viewer at 127.0.0.1: its sound"]


class LongCall(CallRecords):
    """A call that has been read to its end once others had their turn."""

    begun = Event()
    others_had_their_turn = Event()

    def opened(self, record: str) -> CallFile | None:
        file = super().opened(record)
        assert file is not None
        self.begun.set()
        file.behind = not self.others_had_their_turn.wait(0.001)
        return file


def test_while_a_long_call_is_read_for_its_sound_others_are_read(journals: Path) -> None:
    recording_of(timeline_of(read_journal(journals / "call-1.jsonl")), journals / "call-1.wav", begins_ms=1_500)
    records = LongCall(journals, None, dict, SystemClock())

    async def scenario() -> None:
        async with (
            server(journals, records=records) as (_, port),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        ):
            waves = asyncio.ensure_future(http.get("/console/calls/call-1/waves"))
            await asyncio.to_thread(records.begun.wait, 10)
            other = records.reader.submit(lambda: "read")
            try:
                assert await asyncio.wait_for(asyncio.wrap_future(other), 10) == "read"
            finally:
                records.others_had_their_turn.set()
            assert (await waves).status_code == 200

    run(scenario)


class Noted(CallRecords):
    """Notes in which threads recordings are read."""

    threads: ClassVar[list[str]] = []

    def sound(self, path: Path, timeline: Timeline) -> CallSound:
        self.threads.append(current_thread().name)
        return super().sound(path, timeline)


def test_recordings_are_read_one_at_a_time_and_in_no_thread_that_calls_need(journals: Path) -> None:
    recording_of(timeline_of(read_journal(journals / "call-1.jsonl")), journals / "call-1.wav", begins_ms=0)
    records = Noted(journals, None, dict, SystemClock())

    async def scenario() -> None:
        async with (
            server(journals, records=records) as (_, port),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        ):
            answers = await asyncio.gather(*(http.get("/console/calls/call-1/waves") for _ in range(3)))
            assert {answer.status_code for answer in answers} == {200}

    run(scenario)
    assert records.threads == ["console-sound_0"] * 3


def test_a_server_that_stops_waits_for_no_recording(journals: Path) -> None:
    timeline = timeline_of(read_journal(journals / "call-1.jsonl"))
    path = recording_of(timeline, journals / "call-1.wav", begins_ms=0)
    records = CallRecords(journals, None, dict, SystemClock())
    assert records.sound(path, timeline).offset_ms == 0
    records.close()
    with pytest.raises(JournalError, match="the server stops"):
        records.sound(path, timeline)


def test_a_recording_of_the_server_itself_begins_with_its_call(journals: Path) -> None:
    sounds = journals.parent / "sounds"
    sounds.mkdir()
    recording_of(timeline_of(read_journal(journals / "call-1.jsonl")), sounds / "call-1.wav", begins_ms=1_500)
    records = CallRecords(journals, sounds, dict, SystemClock())

    async def scenario() -> None:
        async with (
            server(journals, records=records) as (_, port),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        ):
            assert (await http.get("/console/calls/call-1/waves")).json()["offset_ms"] == 0

    run(scenario)


def test_the_sound_is_for_whoever_may_see_the_page(journals: Path) -> None:
    async def scenario() -> None:
        async with server(journals, token=TOKEN) as (_, port), httpx.AsyncClient() as http:
            for what in ("sound", "waves"):
                assert (await http.get(f"http://127.0.0.1:{port}/console/calls/call-1/{what}")).status_code == 401

    run(scenario)
