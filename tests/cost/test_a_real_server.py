"""What calls ask of the operating system and of Redis: counted at a real server, whose callers are silent or answered.

In real time, so that a busy machine lets several frames wait for one wake-up: it counts less then, and never more.
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
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.cost.counts import Counts
from tests.stores.redis_server import redis_server
from voiceagent.testing.twilio_stream import TwilioStream

ROOT = Path(__file__).resolve().parents[2]
SILENCE = b"\xff" * 160
CALLS = 4


@dataclass(frozen=True)
class Server:
    """`voiceagent serve loadtest --engines null`, in a process of its own."""

    url: str
    pid: int

    def asked(self) -> dict[str, int]:
        """Return how often it has read and written so far, and how often its loop has slept."""
        told = f"{self._told('io')}\n{self._told('status')}"
        names = {"reads": "syscr", "writes": "syscw", "sleeps": "voluntary_ctxt_switches"}
        found = {name: re.search(rf"^{key}:\s*(\d+)", told, re.MULTILINE) for name, key in names.items()}
        return {name: int(number[1]) for name, number in found.items() if number is not None}

    def _told(self, what: str) -> str:
        try:
            return Path(f"/proc/{self.pid}/{what}").read_text()
        except OSError as exc:
            pytest.skip(f"this system does not tell what a process asks of it: {exc}")


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


class Callers:
    """Several of them, in step."""

    def __init__(self, callers: list[Caller]) -> None:
        self._callers = callers
        self._sent = 0
        self._began = monotonic()

    @property
    def heard(self) -> int:
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


async def calling(url: str, scenario) -> None:
    async with asyncio.TaskGroup() as tasks:
        connections = [await connect(url, compression=None) for _ in range(CALLS)]
        callers = [Caller(connection) for connection in connections]
        for caller in callers:
            await caller.begin()
            tasks.create_task(caller.listen())
        await scenario(Callers(callers))
        for connection in connections:
            await connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="what a process asks of its system is told in /proc")
def test_a_frame_and_a_message_are_each_one_system_call(tmp_path: Path, counts: Counts) -> None:
    frames = 75
    counted: dict[str, dict[str, int]] = {}

    with serving(tmp_path) as server:

        async def scenario(callers: Callers) -> None:
            before = server.asked()
            await callers.hear_the_greeting()
            spoken = server.asked()
            heard = callers.heard
            await callers.send_frames(frames)
            silent = server.asked()
            assert callers.heard == heard, "the agent has said something into the silence"
            counted["in"] = {name: (silent[name] - spoken[name]) * 100 // (frames * CALLS) for name in silent}
            counted["out"] = {"writes": (spoken["writes"] - before["writes"]) * 100 // heard}

        asyncio.run(calling(server.url, scenario))

    counts.hold("system calls", "of a hundred frames of silence", counted["in"], spare=0.3)
    counts.hold("system calls", "of a hundred messages to a carrier", counted["out"], spare=0.3)


def test_a_call_asks_redis_for_no_more_than_before(tmp_path: Path, counts: Counts) -> None:
    with redis_server(tmp_path) as redis, serving(tmp_path, state=redis.url) as server:
        before = commands(redis.url)
        asyncio.run(calling(server.url, Callers.hear_the_greeting))
        after = commands(redis.url)
    counts.hold("redis", "a call of no more than a greeting", {"commands": -(-(after - before) // CALLS)}, spare=0.5)


def commands(url: str) -> int:
    """Return how many commands Redis has carried out, those of scripts included."""
    from redis import Redis

    with Redis.from_url(url) as redis:
        return int(redis.info("stats")["total_commands_processed"])
