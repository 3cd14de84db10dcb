"""Two processes, one call: one of them has it, and when it is killed the other goes on with every line."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from voiceagent.core.ids import CallId
from voiceagent.runtime.clock import SystemClock
from voiceagent.stores import open_store

_ROOT = Path(__file__).parents[2]


class Worker:
    def __init__(self, state: str, what: str) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - our own worker
            [sys.executable, "-m", "tests.stores.worker", state, what],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def worker(state: str, what: str) -> Iterator[Worker]:
    one = Worker(state, what)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.communicate()


@pytest.fixture(params=["sqlite", "redis"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    return request.getfixturevalue("own_redis").url


def test_of_many_workers_that_begin_one_call_exactly_one_has_it(state: str) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(state, "begin")) for _ in range(3)]
        said = [one.says() for one in workers]
        assert sorted(said) == ["none", "none", "owner"]
        assert workers[said.index("owner")].says() == "appended"
    assert recorded_by(state) == (b"line 0", b"line 1", b"line 2")


def test_a_worker_that_is_killed_loses_the_call_to_another_that_reads_every_line(state: str) -> None:
    with worker(state, "begin") as first:
        assert (first.says(), first.says()) == ("owner", "appended")
        with worker(state, "take over") as second:
            first.process.send_signal(signal.SIGKILL)
            assert second.says() == "line 0,line 1,line 2", "once the lease has run out"
            assert second.says() == "released"
    assert recorded_by(state) == (b"line 0", b"line 1", b"line 2", b"after")


def test_a_worker_that_was_stopped_for_longer_than_its_lease_can_write_nothing_when_it_wakes(state: str) -> None:
    with worker(state, "begin") as first:
        assert (first.says(), first.says()) == ("owner", "appended")
        first.process.send_signal(signal.SIGSTOP)
        with worker(state, "take over") as second:
            assert (second.says(), second.says()) == ("line 0,line 1,line 2", "released")
        first.process.send_signal(signal.SIGCONT)
        first.go_on()
        assert first.says() == "refused"
    assert recorded_by(state) == (b"line 0", b"line 1", b"line 2", b"after")


def recorded_by(state: str) -> tuple[bytes, ...]:
    async def read() -> tuple[bytes, ...]:
        store = await open_store(state, clock=SystemClock())
        recorded = await store.read(CallId("CA1"))
        await store.close()
        assert recorded is not None
        return recorded.lines

    return asyncio.run(read())
