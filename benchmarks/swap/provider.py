"""A provider of speech-to-speech models in a process of its own, in real time, for `make bench-swap`.

It speaks the part of OpenAI Realtime (GA) that a call needs, takes constant time for everything, and writes down what
it was given and when: `python -m benchmarks.swap.provider` prints its port, and its record when its input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from time import monotonic_ns
from typing import Any
from urllib.parse import parse_qs, urlsplit

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from benchmarks.swap.moments import NEW, OLD, REQUESTS, SPEECH, Run, audio_of, runs_in, tag_of

__all__ = ["BARE_MS", "BEHIND_MS", "GO_ON", "NEW_MS", "TIMING", "Timing", "main"]

GO_ON = "go_on"
"""The move that leads to the next phase: the model takes it when the caller asks, where it is offered."""
BEHIND_MS, BARE_MS, NEW_MS = 1_500, 400, 600
"""How long the model speaks before it changes the phase, behind a sentence or not, and afterwards."""
_PIECE_MS, _PIECE_EVERY_MS = 200, 40
_FRAME_MS = 20


@dataclass(frozen=True, slots=True)
class Timing:
    """What the provider takes, in milliseconds."""

    connect_ms: int = 300
    """From the request for a socket to the socket."""
    update_ms: int = 50
    """From a prompt with its tools to the confirmation: the first one of a session as well."""
    first_audio_ms: int = 300
    """From the end of the caller's turn, or from being asked, to the first sound."""
    turn_ends_after_ms: int = 500
    """Silence that ends the caller's turn."""
    transcript_ms: int = 400
    """From the end of the turn to its words."""


TIMING = Timing()


@dataclass(slots=True)
class _Reply:
    """What is on record of one reply."""

    serial: int
    asked: bool
    tools: int
    prompt_chars: int
    """Of instructions and tools in force."""
    called_ns: int | None = None
    """When it asked for the next phase."""
    first_audio_ns: int | None = None


@dataclass(slots=True)
class _Record:
    """What is on record of one session."""

    heard: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    """Runs of the caller's audio: what they are, first and last millisecond."""
    cleared: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    """The same of what it was told to forget."""
    busy: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """From when to when somebody waited for it."""
    setup_chars: list[int] = field(default_factory=list[int])
    """How much each update had on the wire."""
    replies: list[_Reply] = field(default_factory=list[_Reply])


class _Provider:
    """Everything that was asked of it, by the model's name: each call has its own."""

    def __init__(self) -> None:
        self.records: dict[str, list[_Record]] = {}
        self._asked_ns: dict[int, tuple[int, int]] = {}
        self._serials: dict[str, int] = {}

    async def admit(self, connection: ServerConnection, request: Request) -> None:
        del request
        began_ns = monotonic_ns()
        await asyncio.sleep(TIMING.connect_ms / 1_000)
        self._asked_ns[id(connection)] = (began_ns, monotonic_ns())

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        name = parse_qs(urlsplit(connection.request.path).query)["model"][0]
        record = _Record(busy=[self._asked_ns.pop(id(connection))])
        self.records.setdefault(name, []).append(record)
        await _Session(self, name, connection, record).run()

    def next_serial(self, name: str) -> int:
        self._serials[name] = self._serials.get(name, 0) + 1
        return self._serials[name]


class _Session:
    """One socket."""

    def __init__(self, provider: _Provider, name: str, socket: ServerConnection, record: _Record) -> None:
        self._provider = provider
        self._name = name
        self._socket = socket
        self._record = record
        self._instructions = ""
        self._tools: list[dict[str, Any]] = []
        self._uncommitted: list[Run] = []
        self._turn: int | None = None
        """What the caller's turn is, while it lasts."""
        self._silent_ms = 0
        self._making: asyncio.Task[None] | None = None
        self._reply = ""
        self._items = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        await self._send("session.created", session={"type": "realtime"})
        try:
            async for message in self._socket:
                await self._take(json.loads(message))
        except ConnectionClosed:
            pass
        finally:
            self._commit()
            for task in self._tasks:
                task.cancel()

    async def _take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "input_audio_buffer.append":
                self._hear(b64decode(frame["audio"]))
            case "input_audio_buffer.clear":
                self._record.cleared += [(run.tag, run.first, run.last) for run in self._uncommitted]
                self._uncommitted.clear()
                self._turn = None
            case "session.update":
                self._start(self._update(frame["session"], monotonic_ns()))
            case "response.create":
                if self._making is not None:
                    await self._refuse("conversation_already_has_active_response", frame)
                else:
                    self._make(None)
            case "response.cancel":
                await self._cancel(frame)
            case "conversation.item.create":
                await self._send("conversation.item.added", item=frame["item"])
            case _:
                pass  # cuts and deletions change nothing here

    async def _update(self, session: dict[str, Any], began_ns: int) -> None:
        await asyncio.sleep(TIMING.update_ms / 1_000)
        self._instructions = session.get("instructions", self._instructions)
        self._tools = session.get("tools", self._tools)
        self._record.setup_chars.append(self._prompt_chars)
        self._record.busy.append((began_ns, monotonic_ns()))
        await self._send("session.updated", session={"type": "realtime"})

    @property
    def _prompt_chars(self) -> int:
        return len(self._instructions) + sum(len(json.dumps(tool, separators=(",", ":"))) for tool in self._tools)

    # --- hearing ---

    def _hear(self, audio: bytes) -> None:
        for run in runs_in(audio):
            last = self._uncommitted[-1] if self._uncommitted else None
            if last is not None and last.tag == run.tag and last.last + 1 == run.first:
                self._uncommitted[-1] = Run(run.tag, last.first, run.last)
            else:
                self._uncommitted.append(run)
            if run.tag in SPEECH:
                self._turn = run.tag
                self._silent_ms = 0
            elif self._turn is not None:
                self._silent_ms += run.length
                if self._silent_ms >= TIMING.turn_ends_after_ms:
                    self._turn_over(self._turn)

    def _turn_over(self, turn: int) -> None:
        self._turn = None
        self._commit()
        self._items += 1
        self._start(self._transcribe(f"heard_{self._items}"))
        if self._making is None:
            self._make(turn)

    def _commit(self) -> None:
        self._record.heard += [(run.tag, run.first, run.last) for run in self._uncommitted]
        self._uncommitted.clear()

    async def _transcribe(self, item: str) -> None:
        await asyncio.sleep(TIMING.transcript_ms / 1_000)
        await self._send(
            "conversation.item.input_audio_transcription.completed",
            item_id=item,
            content_index=0,
            transcript="I would like to go on to the next thing, please.",
        )

    # --- replies ---

    def _make(self, turn: int | None) -> None:
        self._making = self._start(self._reply_to(turn, monotonic_ns()))

    async def _reply_to(self, turn: int | None, began_ns: int) -> None:
        serial = self._provider.next_serial(self._name)
        record = _Reply(serial, turn is None, len(self._tools), self._prompt_chars)
        self._record.replies.append(record)
        self._reply = reply = f"resp_{serial}"
        await self._send("response.created", response={"id": reply, "status": "in_progress"})
        await asyncio.sleep(TIMING.first_audio_ms / 1_000)
        moves = turn in REQUESTS and any(tool["name"] == GO_ON for tool in self._tools)
        item = {"id": f"item_{serial}", "type": "message", "role": "assistant", "status": "in_progress"}
        await self._send("response.output_item.added", response_id=reply, output_index=0, item=item)
        record.first_audio_ns = monotonic_ns()
        self._record.busy.append((began_ns, record.first_audio_ns))
        await self._speak(reply, item["id"], serial, turn=turn if moves else None)
        output = [{**item, "status": "completed"}]
        if moves:
            call = {
                "id": f"call_item_{serial}",
                "type": "function_call",
                "call_id": f"call_{serial}",
                "name": GO_ON,
                "arguments": "{}",
                "status": "completed",
            }
            await self._send("response.output_item.added", response_id=reply, output_index=1, item=call)
            record.called_ns = monotonic_ns()
            await self._send("response.output_item.done", response_id=reply, output_index=1, item=call)
            output.append(call)
        self._making = None
        await self._send("response.done", response={"id": reply, "status": "completed", "output": output})

    async def _speak(self, reply: str, item: str, serial: int, *, turn: int | None) -> None:
        behind = turn is not None and REQUESTS[turn] == "behind"
        bare = turn is not None and not behind
        tag = tag_of(NEW if turn is None else OLD, serial)
        length_ms = BEHIND_MS if behind else BARE_MS if bare else NEW_MS
        # What is bare comes as slowly as it is heard, so that the caller hears the last of it when the change begins.
        piece_ms, every_ms = (_FRAME_MS, _FRAME_MS) if bare else (_PIECE_MS, _PIECE_EVERY_MS)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, first in enumerate(range(0, length_ms, piece_ms), start=1):
            delta = b64encode(audio_of(tag, first, min(piece_ms, length_ms - first))).decode()
            where = {"response_id": reply, "item_id": item, "output_index": 0, "content_index": 0}
            await self._send("response.output_audio.delta", delta=delta, **where)
            if first == 0:
                await self._send("response.output_audio_transcript.delta", delta="All right, one moment.", **where)
            await asyncio.sleep(began + number * every_ms / 1_000 - loop.time())

    async def _cancel(self, frame: dict[str, Any]) -> None:
        if self._making is None:
            await self._refuse("response_cancel_not_active", frame)
            return
        self._making.cancel()
        self._making = None
        await self._send("response.done", response={"id": self._reply, "status": "cancelled", "output": []})

    async def _refuse(self, code: str, frame: dict[str, Any]) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": code, "event_id": frame.get("event_id")}
        await self._send("error", error=error)

    # --- the wire ---

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, kind: str, **fields: Any) -> None:
        try:
            await self._socket.send(json.dumps({"type": kind, "event_id": "e", **fields}, separators=(",", ":")))
        except ConnectionClosed:
            return


async def _serve(arguments: Sequence[str]) -> None:
    del arguments
    provider = _Provider()
    async with serve(
        provider.serve, "127.0.0.1", 0, process_request=provider.admit, compression=None, max_size=None
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({name: [asdict(record) for record in records] for name, records in provider.records.items()}))


def main() -> None:
    """Serve until standard input is closed."""
    uvloop.run(_serve(sys.argv[1:]))


if __name__ == "__main__":
    main()
