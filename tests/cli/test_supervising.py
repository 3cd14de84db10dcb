"""The supervisor of several workers goes on where the system has, for a moment, no room for another process."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys

import pytest

from voiceagent.cli import workers
from voiceagent.cli.workers import Supervisor, listening_socket

WORKER = """
import signal, sys
from voiceagent.cli.workers import inherited
given = inherited()
if given.number == 1 and sys.argv[1] == "dies":
    given.is_ready()
    sys.exit(9)
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(0))
given.is_ready()
signal.pause()
"""


class Forks:
    """Starts processes, but not the one with this number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refused: int) -> None:
        self._refused = refused
        self._really = asyncio.create_subprocess_exec
        self.asked = 0
        self.enough = asyncio.Event()
        """All have been asked for that this test wants."""
        monkeypatch.setattr(asyncio, "create_subprocess_exec", self._start)
        monkeypatch.setattr(workers, "_RESTART_S", 0.01)

    async def _start(self, program: str, *arguments: str, **how: object) -> asyncio.subprocess.Process:
        self.asked += 1
        if self.asked == (4 if self._refused == 3 else 3):
            self.enough.set()
        if self.asked == self._refused:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        life = "dies" if self.asked == 1 else "lives"
        return await self._really(program, *arguments, life, **how)  # pyright: ignore[reportArgumentType] - passed on


async def supervised(forks: Forks) -> None:
    """Run two workers until both take calls and one has been replaced, and stop them."""
    with listening_socket("127.0.0.1", 0) as listening:
        supervisor = Supervisor([sys.executable, "-c", WORKER], workers=2, listening=listening)
        ready = asyncio.Event()
        running = asyncio.ensure_future(supervisor.run(ready=ready.set))
        until = asyncio.gather(ready.wait(), forks.enough.wait())
        await asyncio.wait({running, until}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        until.cancel()
        if not running.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await running


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all that is wanted


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("refused", [3, 1], ids=["to replace one that died", "at the start"])
def test_a_worker_that_cannot_be_started_is_tried_again_and_the_others_stay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refused: int
) -> None:
    forks = Forks(monkeypatch, refused=refused)
    before = open_files()
    asyncio.run(supervised(forks))
    assert open_files() == before
    assert "cannot be started: Resource temporarily unavailable" in caplog.text
    assert "worker 1 is not there: another one is started in" in caplog.text
