"""Fault 12: the server is killed at any moment of a call, and the call goes on with another one where it stood."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.faults.killed_calls import Bookings, Caller, Server
from voiceagent.core.effects import StartTool
from voiceagent.core.events import CallEnded, CallResumed, ToolFinished
from voiceagent.runtime.journal_file import decode_effect, read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import replay


def killed_and_gone_on_with(folder: Path, after_s: float) -> None:
    """Kill a server so long after a call has come to be on record; see that it goes on with the next one."""
    with Bookings(slow_ms=400) as bookings:
        server, caller = Server(folder, bookings.url), Caller()

        def kill() -> None:
            give_up_at = monotonic() + 20
            while not any(file.stat().st_size for file in server.journals.glob("*.jsonl")) and monotonic() < give_up_at:
                sleep(0.01)
            sleep(after_s)
            server.kill()

        asyncio.run(caller.talk(server.media_url, for_s=60, begun=threading.Thread(target=kill).start))
        (file,) = server.journals.glob("*.jsonl")
        journal = read_journal(file)
        assert journal.interrupted
        call = journal.header.call
        before = caller.heard_bytes

        server = Server(folder, bookings.url)
        if journal.entries:
            assert server.after(call) == "Connect"
        asyncio.run(caller.talk(server.media_url, for_s=4.5))
        assert server.after(call) == "Hangup"
        assert server.stop() == 0
        journal = read_journal(file)
        assert caller.heard_bytes > before, "nobody has spoken to the caller who was there again"
        assert [type(entry.event) for entry in journal.entries].count(CallEnded) == 1
        assert [type(entry.event) for entry in journal.entries].count(CallResumed) == 1
        assert replay(journal, load_flow(folder / "phases" / "desk")).same
        effects = [decode_effect(line) for entry in journal.entries for line in entry.effects]
        started = [values for name, values in effects if name == StartTool.__name__]
        known = {entry.event.call for entry in journal.entries if isinstance(entry.event, ToolFinished)}
        runs = Counter(values["idempotency_key"] for values in started)
        done = Counter(values["idempotency_key"] for values in started if values["call"] in known)
        assert set(bookings.asked) <= set(runs), "something was booked that is not on record"
        assert set(done.values()) <= {1}, "something was asked for again that was known to be done"
        assert not bookings.asked - runs, "something was asked for more often than is on record"


@pytest.mark.timeout(90)
@pytest.mark.parametrize("after_s", [0.4, 1.9, 2.2])
def test_a_call_goes_on_with_the_next_server(tmp_path: Path, after_s: float) -> None:
    killed_and_gone_on_with(tmp_path, after_s)


@pytest.mark.faults_real
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(50))
def test_a_call_goes_on_whenever_its_server_is_killed(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    killed_and_gone_on_with(tmp_path, random.Random(seed).uniform(0.05, 6.0))  # noqa: S311 - the same moments every time
    record_property("kill points survived, of 50", 1)
