"""What is kept of calls is deleted in time, or because somebody asks for it; nothing else is."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.stores.redis_server import redis_server
from voiceagent.core.codec import encode_event
from voiceagent.core.events import CallStarted
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.errors import OperatorError
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal_disk import journal_name, record_stem
from voiceagent.runtime.journal_file import JournalHeader, encode_header
from voiceagent.runtime.retention import Retention, days_from, of_call, of_caller, purge, purged_daily
from voiceagent.stores import open_store
from voiceagent.stores.terms import Terms

BOB, EVE = "+15550100", "+15550101"


class Records:
    """A folder of journals and one of recordings."""

    def __init__(self, folder: Path) -> None:
        self.journals, self.recordings = folder / "journals", folder / "recordings"
        self.journals.mkdir()
        self.recordings.mkdir()

    def call(self, call: str, number: str | None = BOB, *, days_old: float = 0, recorded: bool = True) -> None:
        header = JournalHeader(1, "0", "bank", "0", {}, {}, "en-US", "UTC", 0, Inherited(CallId(call)))
        started = CallStarted("en-US", "UTC", 0, number, None, {})
        journal = self.journals / journal_name(CallId(call))
        journal.write_bytes(encode_header(header) + b"\n" + encode_event(started, 0) + b"\n")
        written = [journal]
        if recorded:
            sound = self.recordings / f"{record_stem(CallId(call))}.wav"
            notes = sound.with_suffix(".json")
            sound.write_bytes(b"RIFF")
            notes.write_text(json.dumps({"recording": {"call": call, "caller_number": number}}))
            written += [sound, notes]
        for file in written:
            os.utime(file, (time.time() - days_old * 86_400,) * 2)

    @property
    def left(self) -> list[str]:
        return sorted(file.name for folder in (self.journals, self.recordings) for file in folder.iterdir())

    @property
    def options(self) -> tuple[str, ...]:
        return ("purge", "--journals", str(self.journals), "--recordings", str(self.recordings))


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - a file that is deleted by a thread has no event
            await asyncio.sleep(0.01)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def test_what_is_older_than_it_may_be_goes_each_class_by_its_own_time(records: Records, voiceagent: Run) -> None:
    records.call("old", days_old=31)
    records.call("new", days_old=29)
    code, said, _ = voiceagent(*records.options, "--keep-recordings", "7")
    assert (code, said.splitlines()[-1]) == (0, "3 deleted")
    assert records.left == ["new.jsonl"]


def test_nothing_is_kept_for_ever_unless_somebody_says_so(records: Records, voiceagent: Run) -> None:
    records.call("old", days_old=31)
    assert voiceagent(*records.options, "--keep-journals", "forever")[0] == 0
    assert records.left == ["old.jsonl"]
    assert voiceagent(*records.options)[0] == 0
    assert records.left == []


def test_all_of_one_call_goes_with_the_parts_in_which_it_was_connected_again(records: Records, voiceagent: Run) -> None:
    for call in ("CA1", "CA1.2", "CA11", "../CA1"):
        records.call(call)
    code, said, _ = voiceagent(*records.options, "--call", "CA1")
    assert (code, said.splitlines()[-1]) == (0, "4 deleted")
    assert {name.partition(".")[0] for name in records.left} == {"CA11", record_stem(CallId("../CA1"))}


def test_all_of_one_caller_goes_and_nothing_of_anybody_else(records: Records, voiceagent: Run) -> None:
    records.call("CA1", BOB)
    records.call("../CA2", "+1 (555) 0100")
    records.call("CA3", EVE)
    records.call("CA4", None)
    code, said, _ = voiceagent(*records.options, "--caller", BOB, "--json")
    told = json.loads(said)
    assert code == 0
    assert {purged["call"] for purged in told["purged"]} == {"CA1", "../CA2"}
    assert records.left == ["CA3.json", "CA3.jsonl", "CA3.wav", "CA4.json", "CA4.jsonl", "CA4.wav"]


def test_a_recording_that_does_not_say_whose_it_is_is_known_by_its_journal(records: Records) -> None:
    records.call("CA1", BOB)
    (records.recordings / "CA1.json").write_text(json.dumps({"recording": {"call": "CA1"}}))
    purge(Retention(records.journals, records.recordings), of_caller(BOB))
    assert records.left == []


def test_what_lost_its_first_line_with_the_power_is_known_by_its_name(records: Records) -> None:
    records.call("CA1")
    records.call("CA2")
    (records.recordings / "CA1.json").write_bytes(b"")
    (records.journals / "CA1.jsonl").write_bytes(b'{"journal": {"inherited": {"call": "CA')
    purge(Retention(records.journals, records.recordings), of_call("CA1"))
    assert records.left == ["CA2.json", "CA2.jsonl", "CA2.wav"]


def test_a_dry_run_deletes_nothing(records: Records, voiceagent: Run) -> None:
    records.call("old", days_old=31)
    code, said, _ = voiceagent(*records.options, "--dry-run")
    assert (code, said) == (0, 'journal "old"\nrecording "old"\n2 would be deleted\n')
    assert len(records.left) == 3


def test_what_is_not_ours_stays_whatever_its_age(records: Records, voiceagent: Run, tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious.jsonl"
    records.call("old", days_old=99, recorded=False)
    (records.journals / "old.jsonl").rename(elsewhere)
    (records.journals / "link.jsonl").symlink_to(elsewhere)
    for name, text in (
        ("notes.jsonl", '{"journal": "dear diary"}'),
        ("broken.jsonl", "{"),
        ("empty.jsonl", ""),
        ("deep.jsonl", "[" * 100_000),
        ("music.wav", "RIFF"),
        ("stranger.json", '{"recording": {"call": "somebody"}}'),
    ):
        for folder in (records.journals, records.recordings):
            (folder / name).write_text(text)
            os.utime(folder / name, (0, 0))
    before = records.left
    code, said, _ = voiceagent(*records.options)
    assert (code, said) == (0, "0 deleted\n")
    assert records.left == before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--keep-journals", "-1"), "--keep-journals is '-1', but must be a number of days, or 'forever'"),
        (("--keep-recordings", "a while"), "--keep-recordings is 'a while'"),
        (("--caller", "unknown"), "'unknown' is no telephone number"),
        (("--call", "CA1", "--caller", BOB), "give one of them"),
        (("--journals", "nowhere"), "there is no folder nowhere"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    records: Records, voiceagent: Run, options: tuple[str, ...], complaint: str
) -> None:
    code, _, said = voiceagent(*records.options, *options)
    assert code == 1
    assert complaint in said
    assert "Traceback" not in said


def test_what_cannot_be_deleted_is_told(records: Records, voiceagent: Run) -> None:
    records.call("CA1")
    (records.recordings / "CA1.wav").unlink()
    (records.recordings / "CA1.wav").mkdir()  # nobody can delete that like a file
    code, said, _ = voiceagent(*records.options, "--call", "CA1")
    assert code == 1
    assert 'recording "CA1": CA1.wav: ' in said
    assert said.splitlines()[-1] == "1 deleted"


def test_a_server_deletes_when_it_starts(records: Records) -> None:
    records.call("old", days_old=31)

    async def serving() -> None:
        async with purged_daily(Retention(records.journals, records.recordings)):
            await until(lambda: not records.left)

    asyncio.run(serving())


def test_a_folder_that_cannot_be_read_stops_no_server(records: Records, caplog: pytest.LogCaptureFixture) -> None:
    records.journals.rmdir()
    records.journals.write_text("a file")

    async def serving() -> None:
        async with purged_daily(Retention(records.journals, records.recordings)):
            await until(lambda: "nothing is purged" in caplog.text)

    asyncio.run(serving())


def test_days() -> None:
    assert [days_from(text, option="--x") for text in ("0", "30", "forever")] == [0, 30, None]
    with pytest.raises(OperatorError):
        days_from("١٢", option="--x")


# --- what workers share ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "redis"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state.db"
        return
    with redis_server(tmp_path) as server:
        yield server.url


def share(state: str, folder: Path, *calls: str) -> None:
    """Have copies of these journals where workers share them."""

    async def shared() -> None:
        store = await open_store(state, clock=SystemClock())
        for call in calls:
            lease = await store.begin(CallId(call))
            assert lease is not None
            written = await asyncio.to_thread((folder / f"{call}.jsonl").read_bytes)
            await store.append(lease, 0, written.splitlines())
            await (store.end(lease) if call != "CA3" else store.release(lease))
        await store.close()

    asyncio.run(shared())


def shared_by(state: str) -> list[str]:
    async def listed() -> list[str]:
        store = await open_store(state, clock=SystemClock())
        found = await store.recorded()
        await store.close()
        return sorted(found)

    return asyncio.run(listed())


def test_what_workers_share_of_a_caller_is_deleted_with_their_files(
    records: Records, voiceagent: Run, state: str
) -> None:
    for call, number in (("CA1", BOB), ("CA2", EVE), ("CA3", BOB), ("CA1.2", BOB)):
        records.call(call, number)
    share(state, records.journals, "CA1", "CA2", "CA3", "CA1.2")
    (records.journals / "CA3.jsonl").unlink()  # it is on another machine
    options = (*records.options, "--state", state)
    _, told, _ = voiceagent(*options, "--caller", BOB, "--dry-run")
    assert told.count('shared journal "') == 1, "of calls that have ended nothing is there but their ids"
    assert shared_by(state) == ["CA1", "CA1.2", "CA2", "CA3"]
    assert voiceagent(*options, "--call", "CA1")[0] == 0
    assert shared_by(state) == ["CA2", "CA3"]
    assert voiceagent(*options, "--caller", BOB)[0] == 0
    assert shared_by(state) == ["CA2"]
    assert records.left == ["CA2.json", "CA2.jsonl", "CA2.wav"]


def test_shared_state_that_cannot_be_had_is_told(records: Records, voiceagent: Run) -> None:
    code, _, complaint = voiceagent(*records.options, "--state", "redis://127.0.0.1:1", "--caller", BOB)
    assert code != 0
    assert "shared state cannot be had" in complaint


@pytest.mark.parametrize(
    ("days", "hours"), [(None, 24), (30, 24), (1, 24), (0, pytest.approx(1 / 6))], ids=["for ever", "30", "1", "0"]
)
def test_a_shared_journal_outlives_no_file(days: int | None, hours: float) -> None:
    assert Terms.where_journals_are_kept(days).retention_ms / 3_600_000 == hours
