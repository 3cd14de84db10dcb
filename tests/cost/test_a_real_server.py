"""What calls ask of the operating system and of Redis: counted at a real server, whose callers are silent or answered.

In real time, and yet a busy machine makes no more of what is held here. A message of a carrier's is one piece, so it is
read in one go, alone or with others that have waited; nothing is written but messages. What goes by the clock is taken
off: of Redis nothing is counted that the renewal of a lease asks for as well. What comes late is waited for. Where the
machine is so busy that silent callers are spoken to, nothing has been counted; where too much was, the least of three
runs is held.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.cost.counts import Counts
from tests.stores.redis_server import redis_server
from voiceagent.testing.twilio_stream import TwilioStream

ROOT = Path(__file__).resolve().parents[2]
SILENCE = b"\xff" * 160
CALLS = 4
RENEWING = {"evalsha", "hget", "hexists", "set", "pexpire"}
"""What a lease is renewed with: how often, the clock says."""
CONNECTING = {"hello", "select", "client", "script", "ping", "info"}
"""What a new connection asks for: how many there are, chance says."""
pytestmark = pytest.mark.timeout(300)  # a busy machine is waited for


class Asked(NamedTuple):
    """What a process has asked of its system so far."""

    reads: int
    """Of the thread of its loop."""
    writes: int
    """Of that thread."""
    writes_elsewhere: int
    """Of all others: what wakes the loop is among them."""


@dataclass(frozen=True)
class Server:
    """`voiceagent serve loadtest --engines null`, in a process of its own."""

    url: str
    pid: int

    def asked(self) -> Asked:
        """Return how often it has read and written so far."""
        reads, writes = self._told(f"task/{self.pid}/io")
        _, all_writes = self._told("io")
        return Asked(reads, writes, all_writes - writes)

    def _told(self, what: str) -> tuple[int, int]:
        try:
            told = Path(f"/proc/{self.pid}/{what}").read_text()
        except OSError as exc:
            pytest.skip(f"this system does not tell what a process asks of it: {exc}")
        numbers = dict(re.findall(r"^(\w+): (\d+)$", told, re.MULTILINE))
        return int(numbers["syscr"]), int(numbers["syscw"])


@contextmanager
def serving(folder: Path, state: str = "memory") -> Generator[Server]:
    command = [sys.executable, "-m", "voiceagent.cli", "serve", "loadtest", "--insecure", "--port", "0"]
    command += ["--engines", "null", "--state", state, "--journals", str(folder / "journals")]
    with subprocess.Popen(  # noqa: S603 - this repository's own program
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = "".join(itertools.takewhile(lambda line: "health" not in line, process.stdout))
            found = re.search(r"ws://\S+", said)
            assert found is not None, said
            yield Server(found.group(), process.pid)
        finally:
            process.send_signal(signal.SIGKILL)


class Caller:
    """Sends a frame every 20 ms, and has every mark echoed as soon as it comes."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._stream = TwilioStream()
        self.heard = 0
        """Messages of the agent's."""
        self.greeted = False
        """The greeting has been sent to its end."""

    async def begin(self) -> None:
        await self._connection.send(self._stream.connected())
        await self._connection.send(self._stream.start({}))

    async def listen(self) -> None:
        async for message in self._connection:
            self.heard += 1
            told = json.loads(message)
            if told["event"] == "mark":
                self.greeted = True
                await self._connection.send(self._stream.mark(told["mark"]["name"]))

    async def frame(self, number: int) -> None:
        await self._connection.send(self._stream.media(SILENCE, number * 20))

    async def take_what_is_sent(self) -> None:
        """Wait until all that the server has sent so far is here: it answers a ping after that."""
        answered = await self._connection.ping()
        await answered
        await asyncio.sleep(0)


class Callers:
    """Several of them, in step."""

    def __init__(self, callers: list[Caller]) -> None:
        self._callers = callers
        self._sent = 0
        self._began = monotonic()

    async def heard(self) -> int:
        """Return how many messages the agent has sent to them so far."""
        for caller in self._callers:
            await caller.take_what_is_sent()
        return sum(caller.heard for caller in self._callers)

    async def hear_the_greeting(self) -> None:
        while not all(caller.greeted for caller in self._callers):
            await self.send_frames(1)
        await self.send_frames(25)

    async def send_frames(self, count: int) -> None:
        for _ in range(count):
            for caller in self._callers:
                await caller.frame(self._sent)
            self._sent += 1
            await asyncio.sleep(max(0.0, self._began + self._sent * 0.02 - monotonic()))


Counted = dict[str, int]


async def calling(url: str, scenario: Callable[[Callers], Awaitable[Counted | None]]) -> Counted | None:
    """Return what a scenario counts; None where the agent has hung up on callers who were silent for too long."""
    counted: Counted | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            connections = [await connect(url, compression=None) for _ in range(CALLS)]
            callers = [Caller(connection) for connection in connections]
            for caller in callers:
                await caller.begin()
                tasks.create_task(caller.listen())
            counted = await scenario(Callers(callers))
            for connection in connections:
                await connection.close()
    except* ConnectionClosed:
        counted = None
    return counted


@pytest.mark.skipif(sys.platform != "linux", reason="what a process asks of its system is told in /proc")
def test_a_frame_and_a_message_are_each_one_system_call(tmp_path: Path, counts: Counts) -> None:
    frames = 75

    def count() -> Counted | None:
        with serving(tmp_path) as server:

            async def scenario(callers: Callers) -> Counted | None:
                before = server.asked()
                await callers.hear_the_greeting()
                heard = await callers.heard()
                spoken = server.asked()
                await callers.send_frames(frames)
                silent = server.asked()
                if await callers.heard() != heard:
                    return None
                return {
                    **_of_frames(spoken, silent, frames * CALLS),
                    "writes_of_messages": (spoken.writes - before.writes) * 100 // heard,
                }

            return asyncio.run(calling(server.url, scenario))

    counts.hold_least("system calls", "of a hundred frames of silence, and of messages", count, spare=0.3, steps=5)


def _of_frames(before: Asked, after: Asked, frames: int) -> Counted:
    """Return what a hundred frames have asked for."""
    elsewhere = after.writes_elsewhere - before.writes_elsewhere
    counted = {
        "reads_of_frames": after.reads - before.reads - elsewhere,  # who is woken by a write reads it
        "writes_in_silence": after.writes - before.writes,
        "wakes_in_silence": elsewhere,
    }
    return {name: max(0, number) * 100 // frames for name, number in counted.items()}


def test_a_call_asks_redis_for_no_more_than_before(tmp_path: Path, counts: Counts) -> None:
    folders = map("count-{}".format, itertools.count())

    def count() -> Counted | None:
        # Of its own each time: what is given back when the callers of one count are gone would be in the next.
        folder = tmp_path / next(folders)
        folder.mkdir()
        with redis_server(folder) as redis, serving(folder, state=redis.url) as server:
            before = commands(redis.url)

            async def scenario(callers: Callers) -> Counted:
                await callers.hear_the_greeting()
                after = await asyncio.to_thread(commands, redis.url)
                more = {name: number - before.get(name, 0) for name, number in sorted(after.items())}
                # Every line is appended in one go, which asks once how many there are; none is allowed more.
                more["appended_in_more_than_one_go"] = max(0, more.pop("llen") - more["rpush"])
                return {name: -(-number // CALLS) for name, number in more.items() if number}

            return asyncio.run(calling(server.url, scenario))

    counts.hold_least("redis", "a call of no more than a greeting", count, spare=0.5)


def commands(url: str) -> Counted:
    """Return how many commands of each name Redis has carried out, those of scripts included."""
    from redis import Redis

    with Redis.from_url(url) as redis:
        told = redis.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): row["calls"] for name, row in told.items()}
    return {name: number for name, number in calls.items() if re.split(r"\W", name)[0] not in RENEWING | CONNECTING}
