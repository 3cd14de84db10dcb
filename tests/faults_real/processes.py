"""Servers as they run in earnest: a process of their own, a log, signals, and what the system says of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
SHOP = """
import asyncio
import time
from voiceagent import Flow, HangUpAfter, Phase, Prefetch, Pressed, Reprompts, Say, Transition, tool


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
FLOW = Flow(name="shop", initial="help", phases=(HELP, STORY, GOODBYE))
"""


def write_shop(folder: Path, *, greeting: str = "Hello.", stall_s: float = 0.0) -> None:
    """Put the agent `shop` into a folder: it greets, tells a story at key 1 and says goodbye at key 9."""
    agent = folder / "phases" / "shop"
    agent.mkdir(parents=True, exist_ok=True)
    (agent / "__init__.py").write_text(SHOP.format(greeting=greeting, stall_s=stall_s))


class ServerProcess:
    """`voiceagent serve shop`, for as long as the block lasts."""

    def __init__(self, folder: Path, *options: str, most_files: int | None = None) -> None:
        self._folder = folder
        self._options = options
        self._most_files = most_files
        self._log = folder / "server.log"
        self.port = 0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "voiceagent.cli", "serve", "shop", "--insecure", "--port", "0"]
        command += ["--engines", "null", *self._options]
        if self._most_files is not None:
            command = ["bash", "-c", f'ulimit -n {self._most_files}; exec "$@"', "bash", *command]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this repository's own program
                command,
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.until_logged("journals in")
            self.port = int(re.findall(r"media ws://127\.0\.0\.1:(\d+)/", self.log)[0])
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

    def open_files(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - names are all that is wanted
