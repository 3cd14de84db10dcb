"""Shared journals: another worker can read all that has happened in a call, and go on with it."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.stores.redis_server import RedisServer, redis_server
from voiceagent.core.events import CallEnded, CallResumed, CallStarted, HostEvent, LegLost
from voiceagent.core.ids import CallId, LegId
from voiceagent.core.state import Inherited
from voiceagent.errors import JournalError, StateUnavailable
from voiceagent.ports import CallLease, RecordedCall, SharedStore
from voiceagent.runtime import journal_mirror
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal import JournalStore, JournalWriter
from voiceagent.runtime.journal_file import header_of
from voiceagent.runtime.journal_mirror import JournalMirror, open_record
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HangUpAfter, Phase, Say
from voiceagent.stores import open_store
from voiceagent.stores.memory import MemoryStore
from voiceagent.stores.redis import RedisStore

_FLOW = Flow(
    name="bank",
    initial="greeting",
    phases=(Phase(name="greeting", on_enter=Say(text="Hello."), ends=HangUpAfter()),),
)
_CALL = CallId("CA1")


class Shared(MemoryStore):
    """Shared state that can be away."""

    away = False

    async def append(self, lease: CallLease, at: int, lines: Sequence[bytes]) -> int:
        self._must_be_there()
        return await super().append(lease, at, lines)

    async def begin(self, call: CallId) -> CallLease | None:
        self._must_be_there()
        return await super().begin(call)

    async def renew(self, lease: CallLease) -> None:
        self._must_be_there()
        await super().renew(lease)

    def _must_be_there(self) -> None:
        if self.away:
            raise StateUnavailable("away")


class Rig:
    """Two workers' journals on one shared store."""

    def __init__(self, directory: Path, shared: SharedStore) -> None:
        self.shared = shared
        self.directory = directory
        self.here = JournalStore(directory / "here", shared=shared)
        self.elsewhere = JournalStore(directory / "elsewhere", shared=shared)
        self.broken: list[str] = []

    async def begun(self, store: JournalStore | None = None, call: str = "CA1") -> JournalWriter:
        journal = await (store or self.here).open(CallId(call), on_broken=self.broken.append)
        journal.begin(header_of(_FLOW, Inherited(journal.call), time_zone="UTC", unix_ms=0))
        journal.event(10, CallStarted("en-US", "UTC", 0))
        return journal

    async def recorded(self, call: str = "CA1") -> tuple[bytes, ...]:
        recorded = await self.shared.read(CallId(call))
        assert recorded is not None
        return recorded.lines

    async def close(self) -> None:
        await self.here.close()
        await self.elsewhere.close()


@pytest.fixture
def shared() -> Shared:
    return Shared(SystemClock())


async def rig(stack: AsyncExitStack, directory: Path, shared: SharedStore) -> Rig:
    made = Rig(directory, shared)
    stack.push_async_callback(made.close)
    return made


def test_what_is_shared_is_what_stands_in_the_file_and_is_marked_when_the_call_has_ended(
    tmp_path: Path, shared: Shared
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            journal = await one.begun()
            await journal.sync()
            written = await asyncio.to_thread(journal.path.read_bytes)
            assert b"".join(line + b"\n" for line in await one.recorded()) == written
            assert await shared.take_over(_CALL) is None, "its worker is alive"
            journal.event(20, CallEnded("done"))
            await journal.sync()
            written = await asyncio.to_thread(journal.path.read_bytes)
            assert b"".join(line + b"\n" for line in await one.recorded()) == written
            await journal.close()
            assert await shared.read(_CALL) == RecordedCall((), ended=True), "what stood in it is in the file alone"
            assert await asyncio.to_thread(journal.path.read_bytes) == written
            assert one.broken == []

    asyncio.run(scenario())


def test_a_call_that_is_left_before_its_end_can_be_gone_on_with_at_once(tmp_path: Path, shared: Shared) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            journal = await one.begun()
            await journal.close()
            assert await shared.interrupted() == (_CALL,)
            assert await shared.take_over(_CALL) is not None
            assert len(await one.recorded()) == 2

    asyncio.run(scenario())


def test_a_call_that_comes_again_to_another_worker_has_an_id_of_its_own(tmp_path: Path, shared: Shared) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            first = await one.begun()
            second = await one.begun(one.elsewhere)
            assert (first.call, second.call) == ("CA1", "CA1.2"), "keys that make writes unique are made of it"
            for journal in (first, second):
                await journal.sync()
                await journal.close()
            assert len(await one.recorded("CA1.2")) == 2

    asyncio.run(scenario())


def test_a_call_that_only_the_disk_knows_is_shared_under_the_id_that_it_gets_there(
    tmp_path: Path, shared: Shared
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            (tmp_path / "here").mkdir()
            (tmp_path / "here" / "CA1.jsonl").touch()
            journal = await one.begun()
            await journal.sync()
            assert journal.call == "CA1.2"
            assert len(await one.recorded("CA1.2")) == 2
            assert await shared.read(_CALL) is None
            await journal.close()

    asyncio.run(scenario())


def test_while_the_shared_state_is_away_the_call_goes_on_and_what_must_be_recorded_is_not_done(
    tmp_path: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            journal = await one.begun()
            await journal.sync()
            shared.away = True
            monkeypatch.setattr(journal_mirror, "SYNCED_WITHIN_MS", 100)
            journal.event(20, HostEvent("door", {}))
            with pytest.raises(JournalError, match="has not taken the record of call CA1"):
                await journal.sync()
            journal.event(30, HostEvent("door", {}))
            shared.away = False
            monkeypatch.setattr(journal_mirror, "SYNCED_WITHIN_MS", 10_000)
            await journal.sync()
            assert len(await one.recorded()) == 4, "what had to wait is there, once and in order"
            assert one.broken == []
            await journal.close()

    asyncio.run(scenario())


def test_a_call_that_begins_while_the_shared_state_is_away_is_recorded_when_it_is_back(
    tmp_path: Path, shared: Shared
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            shared.away = True
            journal = await one.begun()
            shared.away = False
            await journal.sync()
            assert len(await one.recorded()) == 2
            await journal.close()

    asyncio.run(scenario())


def test_what_waits_is_bounded_and_a_record_with_a_hole_is_never_made(
    tmp_path: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_mirror, "MOST_WAITING_BYTES", 2_000)

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            journal = await one.begun()
            await journal.sync()
            shared.away = True
            for number in range(100):
                journal.event(20 + number, HostEvent("door", {"open": "x" * 50}))
            with pytest.raises(JournalError, match="away for too long"):
                await journal.sync()
            shared.away = False
            journal.event(900, HostEvent("door", {}))
            with pytest.raises(JournalError, match="away for too long"):
                await journal.sync()
            assert one.broken == ["shared state: the shared state has been away for too long"]
            await journal.close()
            assert len(await one.recorded()) == 2
            lines = (await asyncio.to_thread(journal.path.read_bytes)).count(b"\n")
            assert lines == 103, "the file has all of it"

    asyncio.run(scenario())


def test_a_worker_that_lost_the_call_writes_nothing_more_of_it_and_says_so(tmp_path: Path, shared: Shared) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            journal = await one.begun()
            await journal.sync()
            lease = await shared.take_over(_CALL, seize=True)
            assert lease is not None
            journal.event(20, HostEvent("door", {}))
            with pytest.raises(JournalError, match="another worker has the call"):
                await journal.sync()
            journal.event(30, CallEnded("done"))
            await journal.close()
            assert one.broken == ["shared state: another worker has the call"]
            assert len(await one.recorded()) == 2
            assert await shared.append(lease, 2, [b"more"]) == 3, "nor has it ended the other's call"

    asyncio.run(scenario())


@pytest.mark.parametrize("ended", [False, True])
def test_the_newest_record_of_a_call_is_taken_over_and_gone_on_with(
    tmp_path: Path, shared: Shared, ended: bool
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            older = await one.begun()
            older.event(20, CallEnded("done"))
            await older.close()
            newer = await one.begun()
            if ended:
                newer.event(20, CallEnded("done"))
                await newer.close()
            else:
                await newer.sync()
            assert await open_record(shared, _CALL) == (None if ended else "CA1.2")
            mirror = JournalMirror(shared, clock=SystemClock(), on_broken=one.broken.append)
            lines = await mirror.take_over(_CALL, seize=True)
            if ended:
                assert lines is None
                return
            assert lines is not None
            assert b"".join(line + b"\n" for line in lines) == await asyncio.to_thread(newer.path.read_bytes)
            mirror.start()
            mirror.put([b"{}"])
            await mirror.synced()
            assert await one.recorded("CA1.2") == (*lines, b"{}")
            newer.event(30, HostEvent("door", {}))
            with pytest.raises(JournalError, match="another worker has the call"):
                await newer.sync()
            await mirror.close(ended=True)
            await newer.close()
            assert (
                await JournalMirror(shared, clock=SystemClock(), on_broken=pytest.fail).take_over(_CALL, seize=True)
                is None
            )
            assert (
                await JournalMirror(shared, clock=SystemClock(), on_broken=pytest.fail).take_over(
                    CallId("?"), seize=True
                )
                is None
            )

    asyncio.run(scenario())


def test_a_silent_call_keeps_its_lease(tmp_path: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_mirror, "_RENEWED_AFTER_MS", 10)
    renewals = 0
    enough = asyncio.Event()

    async def renewed(lease: CallLease) -> None:
        nonlocal renewals
        renewals += 1
        if renewals == 3:
            enough.set()

    monkeypatch.setattr(shared, "renew", renewed)

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            journal = await one.begun()
            async with asyncio.timeout(20):
                await enough.wait()
            await journal.close()

    asyncio.run(scenario())


def test_the_shared_lines_of_a_call_whose_file_could_not_be_written_to_its_end_outlive_it(
    tmp_path: Path, shared: Shared
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            journal = await one.begun()
            await journal.sync()
            was = resource.getrlimit(resource.RLIMIT_FSIZE)
            size = (await asyncio.to_thread(journal.path.stat)).st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, was[1]))
            try:
                journal.event(20, CallEnded("done"))
                await journal.close()
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, was)
            recorded = await shared.read(_CALL)
            assert recorded is not None
            assert recorded.ended
            assert b'"event":"CallEnded"' in recorded.lines[-1]
            assert b'"event":"CallEnded"' not in await asyncio.to_thread(journal.path.read_bytes)

    asyncio.run(scenario())


# --- a real Redis ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["frozen", "restarted"])
def test_a_call_outlives_a_redis_that_goes_away(tmp_path: Path, how: str) -> None:
    def away(server: RedisServer) -> None:
        server.freeze() if how == "frozen" else server.stop()

    def back(server: RedisServer) -> None:
        server.thaw() if how == "frozen" else server.start()

    async def scenario(server: RedisServer) -> None:
        async with AsyncExitStack() as stack:
            store = await open_store(server.url, clock=SystemClock())
            stack.push_async_callback(store.close)
            one = await rig(stack, tmp_path, store)
            journal = await one.begun()
            await journal.sync()
            await asyncio.to_thread(away, server)
            journal.event(20, HostEvent("door", {}))
            with pytest.raises(JournalError):
                await journal.sync()
            journal.event(30, HostEvent("door", {}))
            await asyncio.to_thread(back, server)
            async with asyncio.timeout(20):
                while len(await one.recorded()) < 4:  # noqa: ASYNC110 - Redis has no event for it
                    await asyncio.sleep(0.05)
            await journal.sync()
            journal.event(40, CallEnded("done"))
            await journal.sync()
            written = await asyncio.to_thread(journal.path.read_bytes)
            assert b"".join(line + b"\n" for line in await one.recorded()) == written
            await journal.close()
            assert one.broken == []

    with redis_server(tmp_path) as server:
        asyncio.run(scenario(server))


def test_a_request_that_was_done_though_nobody_answered_is_not_taken_for_anothers(tmp_path: Path) -> None:
    class LostAnswer(RedisStore):
        lost = 1

        async def begin(self, call: CallId) -> CallLease | None:
            lease = await super().begin(call)
            if self.lost:
                self.lost -= 1
                raise StateUnavailable("nobody answers")
            return lease

    async def scenario(server: RedisServer) -> None:
        async with AsyncExitStack() as stack:
            store = LostAnswer(server.url)
            stack.push_async_callback(store.close)
            one = await rig(stack, tmp_path, store)
            journal = await one.begun()
            await journal.sync()
            assert len(await one.recorded()) == 2
            await journal.close()

    with redis_server(tmp_path) as server:
        asyncio.run(scenario(server))


def test_a_call_goes_on_at_another_worker_and_the_one_it_left_cannot_take_it_back(
    tmp_path: Path, shared: Shared
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            journal = await one.begun()
            journal.event(20, LegLost(LegId("l1"), "connection lost (1006)", may_return=True))
            await journal.close()
            found = await one.elsewhere.resume(_CALL, on_broken=pytest.fail, seize=True)
            assert found is not None
            there, read = found
            assert [type(entry.event) for entry in read.entries] == [CallStarted, LegLost]
            there.event(30, CallResumed(10))
            await there.sync()
            # The first one gives up waiting for a caller who is well looked after.
            assert await one.here.resume(_CALL, on_broken=pytest.fail) is None
            there.event(40, CallEnded("done"))
            await there.sync()
            recorded = await shared.read(_CALL)
            assert recorded is not None
            assert len(recorded.lines) == 5
            await there.close()
            assert await shared.read(_CALL) == RecordedCall((), ended=True)

    asyncio.run(scenario())


def test_a_call_that_is_live_at_a_worker_is_not_taken_by_a_second_start_at_another(
    tmp_path: Path, shared: Shared
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            one = await rig(stack, tmp_path, shared)
            journal = await one.begun()
            await journal.sync()
            assert await one.elsewhere.resume(_CALL, on_broken=pytest.fail) is None
            journal.event(20, CallEnded("done"))
            await journal.sync()
            await journal.close()
            assert one.broken == []

    asyncio.run(scenario())
