"""Fault 20: the disk is full, read-only or slow: the call goes on, the recording says that it stops, and nothing is
changed that could not be recorded before."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from tests.faults.killed_calls import Bookings, Caller, Server
from tests.runtime.desk_calls import SlowWrite, asks, desk
from voiceagent.core import events as ev
from voiceagent.core.effects import StartTool
from voiceagent.runtime import journal_disk, recording_disk
from voiceagent.runtime.journal_file import decode_effect, read_journal
from voiceagent.runtime.recording import STOPPED, Recordings
from voiceagent.testing import ask_for, say

_LIMIT_BYTES = 3 * 1024


def _full(patch: pytest.MonkeyPatch) -> None:
    class Full(FileIO):
        def write(self, octets: Any) -> int:
            room = 2_000 - self.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(bytes(octets)[:room])  # as a disk does, however many lines come at once

    patch.setattr(journal_disk, "FileIO", Full)
    patch.setattr(recording_disk, "FileIO", Full)


def _read_only(patch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> FileIO:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    patch.setattr(journal_disk, "FileIO", refused)
    patch.setattr(recording_disk, "FileIO", refused)


def _does_not_sync(patch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    patch.setattr(os, "fsync", fails)


DISKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "full": _full,
    "read-only": _read_only,
    "it does not sync": _does_not_sync,
}


def wants_to_book() -> Callable[[Any], Any]:
    """Return a model that tries to book at every question, and says what came of it."""

    def model(request: Any) -> Any:
        newest = request.history[-1]
        return say(f"I was told: {newest.text}") if newest.role == "tool_result" else ask_for("book")

    return model


@pytest.mark.parametrize("disk", DISKS)
def test_the_call_goes_on_and_nothing_is_changed(exchange: Any, monkeypatch: pytest.MonkeyPatch, disk: str) -> None:
    write, folder = SlowWrite(), exchange.directory.parent / "recordings"
    write.go_on.set()

    async def scenario(line: Any) -> None:
        for number in (1, 2):
            await asks(line)
            await line.until(ev.ToolFailed, number)
            await line.waits(5_000)
        if disk != "it does not sync":  # a recording waits for no disk, and has a thread of its own
            await line.until(ev.HostEvent)
        assert not line.all(ev.CallEnded), "the caller is still there"

    DISKS[disk](monkeypatch)
    (line,) = exchange.serve(
        scenario,
        desk(write.tool),
        lines=wants_to_book(),
        heard="book",  # also of an utterance that is not over yet
        recordings=lambda: Recordings(folder),
        complete=False,
    )
    assert [failed.kind for failed in line.all(ev.ToolFailed)] == ["refused", "refused"]
    assert not write.begun.is_set()
    assert sum("that cannot be done right now" in said for said in line.spoken) == 2
    if disk != "it does not sync":
        (told,) = line.all(ev.HostEvent)
        assert (told.name, set(told.payload)) == (STOPPED, {"reason"})


def test_a_slow_disk_delays_a_change_and_not_the_caller(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write, go_on, fsync = SlowWrite(), threading.Event(), os.fsync
    write.go_on.set()

    def slow(file: Any) -> None:
        go_on.wait(20)
        fsync(file)

    monkeypatch.setattr(os, "fsync", slow)

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(6_000)
        assert not write.begun.is_set(), "not before its intent is on disk"
        assert any(effect.kind == "filler" for effect in line.effects if type(effect).__name__ == "Speak")
        go_on.set()
        async with asyncio.timeout(20):
            await write.begun.wait()
        await line.until(ev.ToolFinished)
        await line.waits(2_000)

    (line,) = exchange.serve(scenario, desk(write.tool), lines=wants_to_book(), heard=["book"])
    assert write.begun.is_set(), line.spoken


@pytest.mark.timeout(90)
def test_a_server_whose_files_may_not_grow_answers_and_changes_nothing_unrecorded(tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LIMIT_BYTES, _LIMIT_BYTES))

    recordings = tmp_path / "recordings"
    with Bookings(slow_ms=50) as bookings:
        server = Server(tmp_path, bookings.url, "--record", str(recordings), before=small_files)
        caller = Caller()

        async def talks() -> int:
            talking = asyncio.create_task(caller.talk(server.media_url, for_s=10))
            while not talking.done() and "the journal of" not in await asyncio.to_thread(server.log.read_text):  # noqa: ASYNC110 - a log announces nothing
                await asyncio.sleep(0.05)
            heard_bytes = caller.heard_bytes
            await talking
            return heard_bytes

        heard_bytes = asyncio.run(talks())
        (file,) = server.journals.glob("*.jsonl")
        log = server.log.read_text()
        asyncio.run(Caller().talk(server.media_url, for_s=1))
        assert server.stop() == 0
    assert file.stat().st_size <= _LIMIT_BYTES
    assert caller.heard_bytes > heard_bytes, "the caller was answered after that"
    journal = read_journal(file)
    assert journal.interrupted, "it stops without a hole"
    started = [decode_effect(line) for entry in journal.entries for line in entry.effects]
    keys = {values["idempotency_key"] for name, values in started if name == StartTool.__name__}
    assert set(bookings.asked) <= keys, "something was changed that is not on record"
    assert "the journal of call" in log
    assert "the recording of call" in log
    (notes, *_) = sorted(recordings.glob("*.json"))
    assert json.loads(notes.read_text())["recording"]["stopped"] == "File too large"
