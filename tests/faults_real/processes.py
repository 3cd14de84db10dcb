"""Servers as they run in earnest: a process of their own, a log, signals, and what the system says of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
_COUNTED_MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
"""What a thread has freed and keeps for itself would count as in use."""
SHOP = """
import asyncio
import time
from voiceagent import Flow, HangUpAfter, Limits, Phase, Prefetch, Pressed, Reprompts, Say, Transition, tool


@tool
async def opening_hours() -> object:
    "When the shop is open."
    await asyncio.sleep(1)
    time.sleep({stall_s})
    return {{"opens": "nine"}}


HELP = Phase(
    name="help",
    on_enter=Say(text="{greeting}"),
    no_match=Reprompts(phrases=("Pardon?",) * 9),
    no_input=Reprompts(after_ms=60_000, phrases=("Hello?",)),
    transitions=(
        Transition(on=Pressed(digits="9"), to="goodbye"),
        Transition(on=Pressed(digits="1"), to="story", prefetch=(Prefetch(tool=opening_hours),)),
    ),
)
STORY = Phase(
    name="story",
    on_enter=Say(text="It was a dark and stormy night, and the rain fell in torrents. " * 6),
    no_input=Reprompts(after_ms=60_000, phrases=("Hello?",)),
    transitions=(Transition(on=Pressed(digits="9"), to="goodbye"),),
)
GOODBYE = Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
FLOW = Flow(
    name="shop",
    initial="help",
    limits=Limits(resume_within_ms={resume_within_ms}),
    phases=(HELP, STORY, GOODBYE),
)
"""


def write_shop(folder: Path, *, greeting: str = "Hello.", stall_s: float = 0.0, resume_within_ms: int = 60_000) -> None:
    """Put the agent `shop` into a folder: it greets, tells a story at key 1 and says goodbye at key 9."""
    agent = folder / "phases" / "shop"
    agent.mkdir(parents=True, exist_ok=True)
    shop = SHOP.format(greeting=greeting, stall_s=stall_s, resume_within_ms=resume_within_ms)
    (agent / "__init__.py").write_text(shop)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is in a server process at a moment."""

    tasks: int
    threads: int
    """Without those of the event loop's pool, which has a bound."""
    files: int
    rss_kib: int
    """All it has taken from the system, and has not given back: it rises with the busiest moment there ever was."""
    blocks: int
    """What is in use of Python's own allocator, which has what is of 512 bytes at most; a number."""
    malloc_bytes: int
    """What is in use of the C library's, which has the rest."""
    opened: dict[str, int]
    """How often each kind of engine was opened for a call."""
    cpu_ms: int
    """Time of the processor that it has used so far."""
    beats: int
    late_p50_ms: int
    late_p95_ms: int
    """How late the beats of the calls were since the last count."""
    objects: dict[str, int]

    @property
    def held(self) -> tuple[int, int, int, int]:
        """What has to be given back: tasks, threads, files, and all that hangs on a session."""
        return self.tasks, self.threads, self.files, self.objects.get("Session", 0)


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class ServerProcess:
    """`voiceagent serve shop`, for as long as the block lasts.

    With `counted` it can say how much it has; with `secret` only a carrier that signs with it is let in.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        most_files: int | None = None,
        counted: bool = False,
        secret: str | None = None,
    ) -> None:
        self._folder = folder
        self.port = 0 if secret is None else free_port()  # a server that checks signatures has to know its address
        signed = ("--public-url", f"http://127.0.0.1:{self.port}", "--twilio-auth-token", secret or "")
        # What a server needs to call itself, a port from the first minute on, is not to be counted with its calls.
        alone = ("--probe-every-s", "0") if counted else ()
        self._options = ("--port", str(self.port), *(("--insecure",) if secret is None else signed), *alone, *options)
        self._most_files = most_files
        self._counted = counted
        self._program = "tests.faults_real.counted" if counted else "voiceagent.cli"
        self._counts = folder / "counts.json"
        self._log = folder / "server.log"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", self._program, "serve", "shop", "--engines", "null", *self._options]
        if self._most_files is not None:
            command = ["bash", "-c", f'ulimit -n {self._most_files}; exec "$@"', "bash", *command]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this repository's own program
                command,
                cwd=self._folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "PYTHONUNBUFFERED": "1",
                    "COUNTED_FILE": str(self._counts),
                    **(_COUNTED_MALLOC if self._counted else {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.until_logged("journals in")
            self.port = int(re.findall(r"health https?://127\.0\.0\.1:(\d+)/", self.log)[0])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        """All it has said so far."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/media/twilio/shop"

    @property
    def journals(self) -> list[Path]:
        return sorted((self._folder / "journals").glob("*.jsonl"))

    def until_logged(self, text: str, *, times: int = 1, within_s: float = 30) -> None:
        """Wait until it has said this, so many times."""
        give_up_s = time.monotonic() + within_s
        while self.log.count(text) < times:
            assert time.monotonic() < give_up_s, f"{text!r} was not said in time:\n{self.log}"
            assert self._process.poll() is None, f"it has ended:\n{self.log}"
            time.sleep(0.02)

    def signals(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ends(self, *, within_s: float = 30) -> int:
        """Wait for its end; return its exit code."""
        return self._process.wait(within_s)

    def rss_kib(self) -> int:
        """How much memory it has."""
        return int(re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())[0])

    def cpu_ms(self) -> int:
        """How much of the processor's time it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1_000 // os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - names are all that is wanted

    def counts(self) -> Counts:
        """How much it has; it must be `counted`."""
        self._counts.unlink(missing_ok=True)
        rss_kib, files, cpu_ms = self.rss_kib(), self.open_files(), self.cpu_ms()
        self.signals(signal.SIGUSR1)
        give_up_s = time.monotonic() + 30
        while not self._counts.exists():
            assert time.monotonic() < give_up_s, self.log[-2_000:]
            time.sleep(0.01)
        return Counts(rss_kib=rss_kib, files=files, cpu_ms=cpu_ms, **json.loads(self._counts.read_text()))

    def at_rest(self, like: Counts) -> Counts:
        """How much it has once it has given back what it did not have then; or after some seconds, if it never does."""
        give_up_s = time.monotonic() + 15
        while (counts := self.counts()).held != like.held and time.monotonic() < give_up_s:
            time.sleep(0.1)
        return counts
