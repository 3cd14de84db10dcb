"""Journals: written beside the call, read back after it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import stat
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceagent.core.effects import HangUp, Outgoing, ReportProblem
from voiceagent.core.events import CallEnded, CallStarted, HostEvent, TimePassed
from voiceagent.core.ids import CallId, Epoch, TurnId
from voiceagent.core.state import Inherited
from voiceagent.errors import JournalError
from voiceagent.runtime.journal import DISK_WITHIN_MS, MADE_WITHIN_MS, JournalStore, JournalWriter
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.journal_file import encode_header, header_of, read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HangUpAfter, Phase, Say
from voiceagent.spec.prompt import Prompt
from voiceagent.testing.manual_clock import ManualClock

_FLOW = Flow(
    name="bank",
    initial="greeting",
    phases=(Phase(name="greeting", on_enter=Say(text="Hello."), ends=HangUpAfter()),),
    prompts={"bank/greeting.md": Prompt("Be kind.")},
)


_STARTED = CallStarted("en-US", "Europe/Berlin", 1_700_000_000_000)


def _inherited(call: str) -> Inherited:
    return Inherited(CallId(call), tool_latency_ms={"lookup": 300}, phrase_ms={"One moment.": 900})


async def _begun(store: JournalStore, call: str = "call-1", *, on_broken: Callable[[str], None]) -> JournalWriter:
    journal = await store.open(CallId(call), on_broken=on_broken)
    header = header_of(_FLOW, _inherited(journal.call), time_zone=_STARTED.time_zone, unix_ms=_STARTED.unix_ms)
    journal.begin(header)
    return journal


def _problem(number: int) -> Outgoing:
    return Outgoing(number, Epoch(1), TurnId(0), ReportProblem("test", f"number {number}"))


def _with_store(directory: Path, use: Callable[[JournalStore], Awaitable[None]]) -> None:
    async def main() -> None:
        store = JournalStore(directory)
        try:
            await use(store)
        finally:
            await store.close()

    asyncio.run(main())


def _never(reason: str) -> None:
    pytest.fail(f"the journal broke: {reason}")


def _write_a_call(directory: Path) -> Path:
    async def call(store: JournalStore) -> None:
        journal = await _begun(store, on_broken=_never)
        journal.event(10, _STARTED)
        journal.event(20, TimePassed())
        journal.effects((_problem(1), _problem(2)))
        journal.event(30, HostEvent("door", {"open": True}))
        journal.effects((Outgoing(3, Epoch(1), TurnId(0), HangUp("done", drain=True)),))
        journal.event(40, CallEnded("hung up"))
        await journal.close()

    _with_store(directory, call)
    return directory / "call-1.jsonl"


def test_a_journal_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    journal = read_journal(_write_a_call(tmp_path / "journals"))
    assert journal.header == header_of(
        _FLOW, _inherited("call-1"), time_zone="Europe/Berlin", unix_ms=1_700_000_000_000
    )
    assert [(entry.at_ms, type(entry.event).__name__, len(entry.effects)) for entry in journal.entries] == [
        (10, "CallStarted", 0),
        (20, "TimePassed", 2),
        (30, "HostEvent", 1),
        (40, "CallEnded", 0),
    ]
    assert journal.complete


def test_the_header_says_which_versions_of_flow_prompts_and_tools_were_in_force() -> None:
    flow = load_flow(Path(__file__).parents[2] / "phases" / "bank")
    header = json.loads(encode_header(header_of(flow, _inherited("c"), time_zone="UTC", unix_ms=0)))["journal"]
    assert header["flow_sha256"] == flow.sha256
    assert header["prompts"]["bank/greeting.md"] == flow.prompts["bank/greeting.md"].sha256
    assert set(header["tools"]) >= {"verify_caller", "get_accounts", "transfer"}
    assert header["tools"] == flow.tool_hashes


def test_an_event_stands_before_its_effects(tmp_path: Path) -> None:
    lines = _write_a_call(tmp_path).read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == [
        '{"journal"',
        '{"at"',
        '{"at"',
        '{"seq"',
        '{"seq"',
        '{"at"',
        '{"seq"',
        '{"at"',
    ]


def test_nobody_else_may_read_a_journal(tmp_path: Path) -> None:
    path = _write_a_call(tmp_path / "journals")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_after_sync_everything_so_far_is_in_the_file(tmp_path: Path) -> None:
    async def call(store: JournalStore) -> None:
        journal = await _begun(store, on_broken=_never)
        journal.event(1, TimePassed())
        await journal.sync()
        assert len((await asyncio.to_thread(read_journal, journal.path)).entries) == 1
        journal.event(2, TimePassed())
        await journal.sync()
        assert len((await asyncio.to_thread(read_journal, journal.path)).entries) == 2
        await journal.close()

    _with_store(tmp_path, call)


def test_hundreds_of_calls_share_one_thread(tmp_path: Path) -> None:
    async def calls(store: JournalStore) -> None:
        before = set(threading.enumerate())
        journals = [await _begun(store, f"call-{number}", on_broken=_never) for number in range(200)]
        for journal in journals:
            journal.event(1, TimePassed())
            journal.effects((_problem(1),))
        await asyncio.gather(*(journal.sync() for journal in journals))
        assert set(threading.enumerate()) <= before
        read = [await asyncio.to_thread(read_journal, journal.path) for journal in journals]
        assert all(len(journal.entries[0].effects) == 1 for journal in read)
        await asyncio.gather(*(journal.close() for journal in journals))

    _with_store(tmp_path, calls)


@pytest.mark.parametrize("call", ["../../etc/passwd", "", ".hidden", "a/b", "x" * 500, "sha256-x", "nul\0"])
def test_a_call_id_cannot_choose_another_place(call: str) -> None:
    name = journal_name(CallId(call))
    assert name.startswith("sha256-")
    assert len(name) == len("sha256-") + 64 + len(".jsonl")


def test_a_plain_call_id_names_its_file() -> None:
    assert journal_name(CallId("CA0123.x_y-z")) == "CA0123.x_y-z.jsonl"


# --- when the disk does not do its part ------------------------------------------------------------------------------


class _Broken:
    """Somebody who is told that the journal stopped."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.told = asyncio.Event()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        self.told.set()


def test_a_journal_that_cannot_be_made_is_reported_and_the_call_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def call(store: JournalStore) -> None:
        broken = _Broken()
        journal = await _begun(store, on_broken=broken)
        await broken.told.wait()
        journal.event(1, TimePassed())
        journal.effects((_problem(1),))
        with pytest.raises(JournalError, match="cannot be written"):
            await journal.sync()
        await journal.close()
        assert len(broken.reasons) == 1

    _with_store(tmp_path / "file" / "journals", call)


def test_a_call_that_is_connected_again_has_a_journal_of_its_own(tmp_path: Path) -> None:
    before = _write_a_call(tmp_path).read_bytes()

    async def again(store: JournalStore) -> None:
        journals = [await _begun(store, on_broken=_never) for _ in range(2)]
        for journal in journals:
            journal.event(1, TimePassed())
            await journal.sync()
            await journal.close()
        assert [journal.call for journal in journals] == ["call-1.2", "call-1.3"]

    _with_store(tmp_path, again)
    assert (tmp_path / "call-1.jsonl").read_bytes() == before
    for number in (2, 3):
        again_read = read_journal(tmp_path / f"call-1.{number}.jsonl")
        assert again_read.header.call == f"call-1.{number}"
        assert len(again_read.entries) == 1


class _StuckDisk:
    """A disk that takes what is written and does not come back from a sync until it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.reached = threading.Event()
        real = os.fsync

        def fsync(file: object) -> None:
            self.reached.set()
            self.go_on.wait()
            real(file)  # pyright: ignore[reportArgumentType] - what `os.fsync` is given

        monkeypatch.setattr(os, "fsync", fsync)


def test_a_disk_that_does_not_answer_breaks_the_journal_and_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _StuckDisk(monkeypatch)
    clock = ManualClock()

    async def passes(waiting: Coroutine[None, None, object], ms: int = DISK_WITHIN_MS) -> None:
        task = asyncio.ensure_future(waiting)
        await asyncio.to_thread(disk.reached.wait)
        clock.advance(ms - 1)
        await asyncio.sleep(0)
        assert not task.done()
        clock.advance(1)
        await task

    async def call() -> None:
        store = JournalStore(tmp_path, clock=clock)
        broken = _Broken()
        journal = await _begun(store, on_broken=broken)
        with pytest.raises(JournalError, match="the disk has not answered within 5000 ms"):
            await passes(journal.sync())
        journal.event(1, TimePassed())
        with pytest.raises(JournalError, match="has not answered"):
            await journal.sync()  # at once
        await passes(journal.close())
        late = asyncio.ensure_future(store.open(CallId("call-2"), on_broken=broken))
        await passes(_settled(late), MADE_WITHIN_MS)
        assert late.result().broken
        await passes(store.close())
        await broken.told.wait()
        assert len(broken.reasons) == 2
        disk.go_on.set()

    asyncio.run(call())


async def _settled(future: asyncio.Future[JournalWriter]) -> None:
    await asyncio.wait([future])


def test_what_is_to_be_safe_soon_is_on_disk_though_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    on_disk: list[bytes] = []

    async def call() -> None:
        loop, safe = asyncio.get_running_loop(), asyncio.Event()
        store = JournalStore(tmp_path)
        journal = await _begun(store, on_broken=_never)
        journal.event(1, TimePassed())

        def fsync(file: int) -> None:
            real(file)
            on_disk.append(journal.path.read_bytes())
            loop.call_soon_threadsafe(safe.set)

        monkeypatch.setattr(os, "fsync", fsync)
        journal.sync_soon()
        async with asyncio.timeout(10):
            await safe.wait()
        journal.event(2, TimePassed())
        assert journal.broken is None
        await journal.close()
        await store.close()

    asyncio.run(call())
    assert on_disk[0].count(b"TimePassed") == 1


def test_a_disk_that_does_not_answer_is_found_out_by_the_next_line_where_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _StuckDisk(monkeypatch)
    clock = ManualClock()

    async def call() -> None:
        store = JournalStore(tmp_path, clock=clock)
        broken = _Broken()
        journal = await _begun(store, on_broken=broken)
        journal.sync_soon()
        await asyncio.to_thread(disk.reached.wait)
        clock.advance(DISK_WITHIN_MS)
        journal.event(1, TimePassed())
        assert journal.broken is None, "the whole process may have been stopped for as long"
        clock.advance(499)
        journal.event(2, TimePassed())
        assert journal.broken is None
        clock.advance(1)
        journal.event(3, TimePassed())
        assert journal.broken == "the disk has not answered within 5000 ms"
        await broken.told.wait()
        disk.go_on.set()
        await store.close()

    asyncio.run(call())


def test_what_is_marked_while_something_else_is_synced_is_watched_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    reached, go_on = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    real, number = os.fsync, iter(range(2))

    def fsync(file: int) -> None:
        at = next(number, None)
        if at is not None:
            reached[at].set()
            go_on[at].wait()
        real(file)

    async def call() -> None:
        store = JournalStore(tmp_path, clock=clock)
        broken = _Broken()
        journal = await _begun(store, on_broken=broken)
        monkeypatch.setattr(os, "fsync", fsync)
        journal.sync_soon(at_once=True)
        await asyncio.to_thread(reached[0].wait)
        journal.sync_soon(at_once=True)
        go_on[0].set()
        await asyncio.to_thread(reached[1].wait)
        journal.event(1, TimePassed())
        clock.advance(DISK_WITHIN_MS)
        journal.event(2, TimePassed())
        clock.advance(500)
        journal.event(3, TimePassed())
        assert journal.broken == "the disk has not answered within 5000 ms"
        go_on[1].set()
        await store.close()

    asyncio.run(call())


def test_what_is_to_be_safe_at_once_does_not_wait_for_the_rhythm_of_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiceagent.runtime.journal_disk._GATHERED_S", 3_600.0)

    async def call(store: JournalStore) -> None:
        journal = await _begun(store, on_broken=_never)
        await journal.sync()  # the thread is in its rhythm
        journal.event(1, TimePassed())
        journal.sync_soon(at_once=True)
        async with asyncio.timeout(30):
            while b"TimePassed" not in await asyncio.to_thread(journal.path.read_bytes):  # noqa: ASYNC110 - a thread's work
                await asyncio.sleep(0.01)
        await journal.close()

    _with_store(tmp_path, call)


def test_a_file_that_cannot_be_closed_breaks_its_own_journal_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(FileIO):
        def close(self) -> None:
            was_open = not self.closed
            super().close()
            if was_open and str(self.name) == str(tmp_path / "call-1.jsonl"):
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("voiceagent.runtime.journal_disk.FileIO", Full)

    async def call(store: JournalStore) -> None:
        broken = _Broken()
        one = await _begun(store, on_broken=broken)
        other = await _begun(store, "call-2", on_broken=_never)
        await one.close()
        assert one.broken == "No space left on device"
        other.event(1, TimePassed())
        await other.sync()
        await other.close()

    _with_store(tmp_path, call)


@pytest.fixture
def disk_of_4_kib() -> Iterator[None]:
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, was[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, was)


@pytest.mark.usefixtures("disk_of_4_kib")
def test_on_a_full_disk_the_journal_stops_without_a_hole(tmp_path: Path) -> None:
    async def call(store: JournalStore) -> None:
        broken = _Broken()
        journal = await _begun(store, on_broken=broken)
        for number in range(200):
            journal.event(number, TimePassed())
        with pytest.raises(JournalError, match="too large"):
            await journal.sync()
        assert journal.broken == "File too large"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        journal.event(1_000, TimePassed())
        with pytest.raises(JournalError):
            await journal.sync()
        await journal.close()
        instants = [entry.at_ms for entry in (await asyncio.to_thread(read_journal, journal.path)).entries]
        assert instants == list(range(len(instants)))
        assert 0 < len(instants) < 200
        assert len(broken.reasons) == 1

    _with_store(tmp_path, call)


class _Stuck(Mapping[str, object]):
    """A payload that takes as long to encode as the test wants."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        self.go_on.wait()
        return iter(())

    def __len__(self) -> int:
        return 0


def test_when_the_thread_falls_behind_the_journal_stops_and_says_so(tmp_path: Path) -> None:
    async def call(store: JournalStore) -> None:
        broken = _Broken()
        stuck = _Stuck()
        journal: JournalWriter = await _begun(store, on_broken=broken)
        journal.event(0, HostEvent("stuck", stuck))  # pyright: ignore[reportArgumentType] - no JSON, on purpose
        for number in range(1, 5_000):
            journal.event(number, TimePassed())
        stuck.go_on.set()
        await broken.told.wait()
        assert broken.reasons == ["the disk does not keep up"]
        with pytest.raises(JournalError, match="does not keep up"):
            await journal.sync()
        await journal.close()
        instants = [entry.at_ms for entry in (await asyncio.to_thread(read_journal, journal.path)).entries]
        assert instants == list(range(len(instants)))

    _with_store(tmp_path, call)


def test_what_cannot_be_encoded_stops_only_the_journal_of_its_own_call(tmp_path: Path) -> None:
    async def calls(store: JournalStore) -> None:
        broken = _Broken()
        bad = await _begun(store, "bad", on_broken=broken)
        good = await _begun(store, "good", on_broken=_never)
        bad.event(1, HostEvent("odd", {"odd": {1, 2}}))  # pyright: ignore[reportArgumentType] - no JSON, on purpose
        good.event(1, TimePassed())
        await good.sync()
        await broken.told.wait()
        await asyncio.gather(bad.close(), good.close())
        assert len((await asyncio.to_thread(read_journal, good.path)).entries) == 1

    _with_store(tmp_path, calls)


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a call."""
    return _write_a_call(tmp_path_factory.mktemp("whole"))


@settings(max_examples=60, deadline=None)
@given(kept=st.floats(0, 1))
def test_a_journal_cut_off_anywhere_is_read_up_to_the_last_whole_line(kept: float, written: Path) -> None:
    whole, path = written.read_bytes(), written.with_name("cut.jsonl")
    first_line = whole.index(b"\n") + 1
    cut = first_line + round((len(whole) - first_line) * kept)
    path.write_bytes(whole[:cut])
    journal = read_journal(path)
    lines = 1 + sum(1 + len(entry.effects) for entry in journal.entries)
    assert lines == whole[:cut].count(b"\n")
    assert journal.torn == (not whole[:cut].endswith(b"\n"))


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = _write_a_call(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"TimePassed"', b'"TimePast"'))
    with pytest.raises(JournalError, match=r"call-1\.jsonl:3: there is no event 'TimePast'; did you mean 'TimePassed'"):
        read_journal(path)


def test_a_journal_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = _write_a_call(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'{"schema":1', b'{"schema":2'))
    with pytest.raises(JournalError, match="schema 2; this version of voiceagent reads schema 1"):
        read_journal(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b'{"journal":{"schema":1}}\n', b"\xff\n"])
def test_what_is_no_journal_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalError):
        read_journal(path)


def test_a_missing_journal_is_a_journal_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        read_journal(tmp_path / "none.jsonl")


# --- what somebody has written into a journal ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"seq":1', "Invalid JSON"),
        (b'{"seq":1,"epoch":1,"turn":0,"effect":"HangUp"}', "with: Field required"),
        (b'{"seq":1,"epoch":1,"turn":0,"effect":"HangUpp","with":{}}', "there is no effect 'HangUpp'; did you mean"),
        (b'{"seq":1,"epoch":1,"turn":0,"effect":"HangUp","with":{"reason":"done"}}', "drain: Field required"),
        (
            b'{"seq":1,"epoch":1,"turn":0,"effect":"SwapPhase","with":{"phase":7}}',
            "phase: Input should be a valid string",
        ),
        (b'{"seq":1,"epoch":1,"turn":0,"effect":"\xff"}', "not UTF-8"),
        (b'{"seq":' + b"[" * 100_000, "recursion limit exceeded"),
        (b'{"at":' + b"[" * 100_000, "nested too deeply"),
    ],
    ids=["torn", "no values", "unknown", "value missing", "value wrong", "not UTF-8", "deep effect", "deep event"],
)
def test_a_line_that_no_journal_would_have_is_refused_with_its_number(
    tmp_path: Path, line: bytes, complaint: str
) -> None:
    path = _write_a_call(tmp_path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:3], line, *lines[3:]]))
    with pytest.raises(JournalError, match=rf"call-1\.jsonl:4: .*{complaint}"):
        read_journal(path)


def test_a_header_that_is_nested_too_deeply_is_none(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_bytes(b"[" * 100_000 + b"\n")
    with pytest.raises(JournalError, match=r"deep\.jsonl:1: not a line of JSON"):
        read_journal(path)
