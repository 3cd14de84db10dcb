"""Workers that share state: a call that one of them had is there for the other, to its last line."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Shop
from tests.stores.redis_server import redis_server
from voiceagent.core.ids import CallId
from voiceagent.ports import RecordedCall
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal_file import Journal, read_journal
from voiceagent.stores import open_store
from voiceagent.testing import CallerScript, place_call

_ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", "redis"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state.db"
        return
    with redis_server(tmp_path) as server:
        yield server.url


class Worker:
    """`voiceagent serve shop`, in a process and with a folder for journals of its own."""

    def __init__(self, shop: Shop, state: str, name: str) -> None:
        self.journals = shop.folder / name
        command = [sys.executable, "-m", "voiceagent.cli", "serve", "shop", "--insecure", "--port", "0"]
        command += ["--engines", "null", "--state", state, "--journals", str(self.journals)]
        self.process = subprocess.Popen(  # noqa: S603 - this repository's own program
            command,
            cwd=shop.folder,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        said = "".join(itertools.takewhile(lambda line: "health" not in line, self.process.stdout))
        found = re.search(r"ws://\S+", said)
        assert found is not None, said
        self.url = found.group()

    def files(self) -> dict[CallId, bytes]:
        """Return what is in the journals of its calls."""
        return {CallId(path.stem): path.read_bytes() for path in self.journals.glob("*.jsonl")}


@pytest.mark.timeout(120)
def test_a_call_whose_worker_is_killed_can_be_gone_on_with_by_another(shop: Shop, state: str) -> None:
    worker = Worker(shop, state, "one")
    script = CallerScript.read(shop.folder / shop.script("wait_for: agent_done", "wait_ms: 60000"))

    async def scenario() -> tuple[CallId, RecordedCall, bytes]:
        other = await open_store(state, clock=SystemClock())
        calling = asyncio.ensure_future(place_call(worker.url, script))
        call = await in_the_middle(worker)
        worker.process.kill()
        await asyncio.to_thread(worker.process.wait)
        await calling
        lease = await other.take_over(call, seize=True)
        assert lease is not None
        recorded = await other.read(call)
        assert recorded is not None
        assert await other.append(lease, len(recorded.lines), [b"more"]) == len(recorded.lines) + 1
        await other.close()
        return call, recorded, (await asyncio.to_thread(worker.files))[call]

    try:
        call, recorded, written = asyncio.run(scenario())
    finally:
        worker.process.kill()
        worker.process.communicate()
    assert not recorded.ended
    shared = b"".join(line + b"\n" for line in recorded.lines)
    assert shared.startswith(written) or written.startswith(shared)
    journal = journal_of(recorded, shop.folder)
    assert (journal.header.call, journal.complete) == (call, False)
    assert [type(entry.event).__name__ for entry in journal.entries][:2] == ["CallStarted", "LegAttached"]


async def in_the_middle(worker: Worker) -> CallId:
    """Wait until a call has greeted its caller, and return its id."""
    async with asyncio.timeout(60):
        while True:
            for call, written in (await asyncio.to_thread(worker.files)).items():
                if b"PlayoutReached" in written:
                    return call
            await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
def test_a_call_that_came_to_its_end_is_marked_so(shop: Shop, state: str) -> None:
    worker = Worker(shop, state, "one")
    script = CallerScript.read(shop.folder / shop.script("wait_for: agent_done", "hang_up"))

    async def scenario() -> tuple[RecordedCall, bytes]:
        await place_call(worker.url, script)
        other = await open_store(state, clock=SystemClock())
        async with asyncio.timeout(20):
            while True:
                for call in await asyncio.to_thread(worker.files):
                    recorded = await other.read(call)
                    if recorded is not None and recorded.ended:
                        assert await other.interrupted() == ()
                        await other.close()
                        return recorded, (await asyncio.to_thread(worker.files))[call]
                await asyncio.sleep(0.05)

    try:
        recorded, written = asyncio.run(scenario())
    finally:
        worker.process.kill()
        worker.process.communicate()
    assert recorded == RecordedCall((), ended=True)
    assert b'"event":"CallEnded"' in written


def journal_of(recorded: RecordedCall, folder: Path) -> Journal:
    file = folder / "shared.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in recorded.lines))
    return read_journal(file)


@pytest.mark.timeout(120)
def test_a_call_that_another_worker_has_taken_ends_at_once_and_without_an_end(shop: Shop, state: str) -> None:
    worker = Worker(shop, state, "one")
    script = CallerScript.read(shop.folder / shop.script("wait_for: agent_done", "wait_ms: 60000"))

    async def scenario() -> tuple[CallId, RecordedCall]:
        other = await open_store(state, clock=SystemClock())
        calling = asyncio.ensure_future(place_call(worker.url, script))
        call = await in_the_middle(worker)
        lease = await other.take_over(call, seize=True)
        assert lease is not None
        async with asyncio.timeout(8):  # the lease would have been renewed by then
            await calling
        recorded = await other.read(call)
        assert recorded is not None
        assert await other.append(lease, len(recorded.lines), [b"more"]) == len(recorded.lines) + 1
        await other.close()
        return call, recorded

    try:
        call, recorded = asyncio.run(scenario())
        written = worker.files()[call]
    finally:
        worker.process.kill()
        worker.process.communicate()
    assert not recorded.ended
    assert b'"another worker has the call"' in written
    assert b'"event":"CallEnded"' not in written
