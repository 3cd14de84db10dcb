"""A server that is killed in the middle of a call, and a carrier that connects the call again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from voiceagent.audio import FRAME_MS, pcm16_to_mulaw
from voiceagent.testing.twilio_stream import Mark, Media, TwilioStream, twilio_signature

__all__ = ["Bookings", "Caller", "Server"]

_AGENT = """
from voiceagent import Flow, GuidedDialogue, HangUpAfter, Intent, Phase, Pressed, Say, ToolContext, Transition, tool


@tool(effect="write", timeout_ms=2_000)
async def book(ctx: ToolContext) -> object:
    "Book the next free seat."
    answer = await ctx.http.post("/bookings", json={}, headers={"Idempotency-Key": ctx.idempotency_key})
    return answer.json()


FLOW = Flow(
    name="desk",
    initial="counter",
    phases=(
        Phase(
            name="counter",
            prompt="desk/counter.md",
            tools=(book,),
            on_enter=Say(text="Box office, hello."),
            guided=GuidedDialogue(
                intents=(Intent(does=book, examples=("tell me the next thing please",)),),
                replies={"book": "That is done."},
                not_understood="Pardon?",
            ),
            transitions=(Transition(on=Pressed(digits="9"), to="goodbye"),),
        ),
        Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
    ),
)
"""
_HUM = pcm16_to_mulaw((b"\\x00\\x20" * 20 + b"\\x00\\xe0" * 20) * 180)
"""0.9 s of a loud square wave: whoever listens with null engines hears a sentence."""
_SILENCE = b"\\xff"
_FRAME = 8 * FRAME_MS
_SECONDS = 20
"""A server that takes longer to start or to answer is no server."""


class Bookings:
    """The application behind the agent: it books a seat for every key it has not seen."""

    def __init__(self, *, slow_ms: int) -> None:
        """Every booking takes `slow_ms` after it is done, and only then is answered."""
        self.asked: Counter[str] = Counter()
        self.wanted: list[Any] = []
        """What was sent with each request."""
        self.seats: dict[str, int] = {}
        numbers, lock, answered = count(1), threading.Lock(), threading.Event()
        bookings = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                key = self.headers["Idempotency-Key"]
                wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)))
                with lock:
                    bookings.asked[key] += 1
                    bookings.wanted.append(wanted)
                    seat = bookings.seats.get(key) or bookings.seats.setdefault(key, next(numbers))
                answered.wait(slow_ms / 1_000)
                body = json.dumps({"seat": seat}).encode()
                with suppress(OSError):  # whoever asked may be dead
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Server:
    """`voiceagent serve` in a folder of its own."""

    def __init__(self, folder: Path, service_url: str, *options: str, before: Callable[[], None] | None = None) -> None:
        """`before` is done in the new process before it is the server."""
        (folder / "phases" / "desk").mkdir(parents=True, exist_ok=True)
        (folder / "prompts" / "desk").mkdir(parents=True, exist_ok=True)
        (folder / "phases" / "desk" / "__init__.py").write_text(_AGENT)
        (folder / "prompts" / "desk" / "counter.md").write_text("You book seats.")
        self.journals = folder / "journals"
        given = ("--insecure", "--engines", "null", "--port", "0", "--service-url", service_url, *options)
        self.log = folder / "server.log"
        self._log = self.log.open("w+")
        self._process = subprocess.Popen(  # noqa: S603 - this repository's own program
            [sys.executable, "-m", "voiceagent.cli", "serve", "desk", *given, "--public-url", "https://example.com"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            stdout=subprocess.PIPE,  # a limit on the size of files does not concern it
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=before,  # noqa: PLW1509 - it only sets limits
        )
        self._writing = threading.Thread(target=self._write_log, daemon=True)
        self._writing.start()
        self.port = self._said_port(self.log)

    def _write_log(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            for line in said:
                self._log.write(line)
                self._log.flush()
        self._log.close()

    def _said_port(self, log: Path) -> int:
        give_up = time.monotonic() + _SECONDS
        while time.monotonic() < give_up and self._process.poll() is None:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
            if found is not None:
                return int(found[1])
            time.sleep(0.05)
        self.kill()
        raise AssertionError(log.read_text())

    @property
    def media_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/media/twilio/desk"

    def after(self, call: str) -> str:
        """Ask as the carrier does when a stream has ended; returns the verb that it is to go on with."""
        body = urlencode({"CallSid": call, "From": "+15550100", "To": "+15550199"}).encode()
        request = Request(f"http://127.0.0.1:{self.port}/twilio/desk/after", data=body)
        with urlopen(request, timeout=_SECONDS) as answer:
            verb = re.search(r"<Response><(\w+)", answer.read().decode())
        assert verb is not None
        return verb[1]

    def kill(self) -> None:
        """The power is off."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._writing.join(_SECONDS)

    def stop(self) -> int:
        """Have it finish; returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_SECONDS)
        finally:
            self._process.kill()
            self._writing.join(_SECONDS)


class Caller:
    """Hums, hears the answer out, hums again; on as many connections as it takes."""

    def __init__(self, call: str | None = None, *, secret: str | None = None) -> None:
        """The carrier has given the call this id, and signs with this secret, where it has been told one."""
        self.stream = TwilioStream(call)
        self.heard_bytes = 0
        self._secret = secret

    async def talk(self, url: str, *, for_s: float, begun: Callable[[], None] = lambda: None) -> None:
        """Be in the call for so long, or until the connection breaks."""
        signed = {"X-Twilio-Signature": twilio_signature(url, self._secret)} if self._secret else {}
        with suppress(ConnectionClosed, OSError):
            async with connect(url, additional_headers=signed, compression=None) as connection:
                await connection.send(self.stream.connected())
                await connection.send(self.stream.start({}))
                begun()
                listening = asyncio.create_task(self._listen(connection))
                with suppress(TimeoutError):
                    async with asyncio.timeout(for_s):
                        await self._hum(connection)
                await connection.send(self.stream.stop())
                listening.cancel()

    async def _hum(self, connection: ClientConnection) -> None:
        said = _SILENCE * _FRAME * 20 + _HUM + _SILENCE * _FRAME * 60
        began, at_ms = asyncio.get_running_loop().time(), 0
        while True:
            for begin in range(0, len(said), _FRAME):
                await connection.send(self.stream.media(said[begin : begin + _FRAME], at_ms))
                at_ms += FRAME_MS
                await asyncio.sleep(max(0, began + at_ms / 1_000 - asyncio.get_running_loop().time()))

    async def _listen(self, connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in connection:
                match self.stream.read(message):
                    case Media(audio):
                        self.heard_bytes += len(audio)
                    case Mark(name):
                        await connection.send(self.stream.mark(name))
                    case _:
                        pass
