"""What ours is held against: clients of the same provider that change the phase as is done elsewhere, or not at all.

- `aws-…`: the way of AWS's sample (amazon-nova-samples, conversation-transfer): the session is closed, then another one
  is opened, with the sample's own sleeps: 1 s; 0.1 s after each of five events that begin a session; three times 0.1 s
  for every message of the history; the same for the text that asks for a greeting; 0.1 s at the end. What the caller
  says meanwhile goes nowhere, and the request that led there is never answered. The sample plays music in between; here
  nothing is played, and what was being said is heard to its end.
- `pause`: pipecat-flows PR 229. The caller's audio is paused, what the provider has not taken in is cleared, prompt and
  tools are changed, and once that is confirmed the request is answered and a reply asked for. Audio that is paused is
  discarded.
- `one`: one prompt and all tools for the whole call.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.swap.desk import desk
from benchmarks.swap.provider import GO_ON
from voiceagent.core.events import Event, LegLost
from voiceagent.core.ids import Epoch, UtteranceId
from voiceagent.models.openai_realtime.setup import ServerTurns, first_session
from voiceagent.ports import MULAW_8K, Leg, OfferedTool, SessionSetup
from voiceagent.spec.flow import Flow

__all__ = ["Baseline", "aws_sleeps_s", "baseline_of"]

_AFTER_CLOSING_S = 1.0
_AFTER_EVENT_S = 0.1
_EVENTS_OF_A_SESSION, _EVENTS_OF_A_MESSAGE = 5, 3
_SPEECH = UtteranceId("speech")


def aws_sleeps_s(history: int) -> float:
    """Return how long the sample sleeps in one change of agent, with so many messages to replay."""
    events = _EVENTS_OF_A_SESSION + _EVENTS_OF_A_MESSAGE * history + _EVENTS_OF_A_MESSAGE + 1
    return _AFTER_CLOSING_S + events * _AFTER_EVENT_S


def baseline_of(line: str) -> Baseline:
    """Return what answers on this line."""
    flow = desk()
    sessions = _sessions(flow)
    match line:
        case "aws-empty":
            return Baseline(sessions, history=0)
        case "aws-ten":
            return Baseline(sessions, history=10)
        case "pause":
            return Baseline(sessions, history=None)
        case "one":
            return Baseline([_all_in_one(sessions)], history=None)
        case _:
            raise ValueError(line)


@dataclass(frozen=True, slots=True)
class Baseline:
    """One way to go from one phase to the next."""

    sessions: Sequence[dict[str, Any]]
    """What a session is given, phase by phase, around and around; one of them is never left."""
    history: int | None
    """How many messages another session is told, with the sleeps of AWS's sample; None: the session stays."""

    async def take(self, leg: Leg, url: str) -> None:
        """Hold one call to its end."""
        await _Call(self, leg, url).run()


@dataclass
class _Call:
    """One caller, and the session that hears them."""

    way: Baseline
    leg: Leg
    url: str
    _phase: int = 0
    _socket: ClientConnection | None = None
    _hears: bool = False
    _unsent: asyncio.Queue[str] = field(default_factory=asyncio.Queue[str])
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    _request: str | None = None
    _change: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Return when the caller has gone."""
        self.leg.attach(self)
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(self._hold(tasks)), tasks.create_task(self._write())]
            await self._over.wait()
            for task in [*working, *([self._change] if self._change is not None else [])]:
                task.cancel()
        if self._socket is not None:
            await self._socket.close()

    # --- the caller ---

    def audio_arrived(self, audio: bytes) -> None:
        """The caller is heard, or not."""
        if self._hears:
            self._send("input_audio_buffer.append", audio=b64encode(audio).decode())

    def post(self, event: Event) -> None:
        """The caller has gone; nothing else matters here."""
        if isinstance(event, LegLost):
            self._over.set()

    # --- the provider ---

    async def _hold(self, tasks: asyncio.TaskGroup) -> None:
        await self._open()
        self._send("response.create")
        while True:
            assert self._socket is not None
            with suppress(ConnectionClosed):
                await self._read(self._socket, tasks)
            if self._change is not None:
                await self._change

    async def _open(self) -> None:
        self._socket = await connect(self.url, compression=None, max_size=None)
        await self._set_up()
        self._hears = True

    async def _set_up(self) -> None:
        assert self._socket is not None
        self._confirmed.clear()
        session = self.way.sessions[self._phase % len(self.way.sessions)]
        await self._socket.send(_frame("session.update", session=session))

    async def _write(self) -> None:
        while True:
            frame = await self._unsent.get()
            if self._socket is not None:
                with suppress(ConnectionClosed):
                    await self._socket.send(frame)

    def _send(self, kind: str, **fields: Any) -> None:
        self._unsent.put_nowait(_frame(kind, **fields))

    async def _read(self, socket: ClientConnection, tasks: asyncio.TaskGroup) -> None:
        async for message in socket:
            frame = json.loads(message)
            match frame["type"]:
                case "session.updated":
                    self._confirmed.set()
                case "response.output_audio.delta":
                    self.leg.play(_SPEECH, b64decode(frame["delta"]))
                case "response.output_item.done" if frame["item"].get("name") == GO_ON:
                    self._request = frame["item"]["call_id"]
                case "response.done" if self._request is not None:
                    request, self._request = self._request, None
                    self._phase += 1
                    if self.way.history is None:
                        self._change = tasks.create_task(self._change_in_place(request))
                    else:
                        self._change = tasks.create_task(self._close_then_open(self.way.history))
                        return
                case _:
                    pass

    async def _change_in_place(self, request: str) -> None:
        self._hears = False
        self._send("input_audio_buffer.clear")
        await self._set_up()
        await self._confirmed.wait()
        self._send(
            "conversation.item.create",
            item={"type": "function_call_output", "call_id": request, "output": '{"moved": true}'},
        )
        self._send("response.create")
        self._hears = True

    async def _close_then_open(self, history: int) -> None:
        assert self._socket is not None
        self._hears = False
        await self._socket.close()
        await asyncio.sleep(_AFTER_CLOSING_S)
        self._socket = await connect(self.url, compression=None, max_size=None)
        await self._set_up()
        await self._events(_EVENTS_OF_A_SESSION)
        for number in range(history):
            await self._tell("assistant" if number % 2 else "user", "What was said before, in one sentence.")
        self._hears = True  # the sample opens its microphone before the greeting
        await self._tell("user", "Greet the caller.")
        await self._events(1)
        self._send("response.create")

    async def _tell(self, role: str, text: str) -> None:
        kind = "output_text" if role == "assistant" else "input_text"
        item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
        self._send("conversation.item.create", item=item)
        await self._events(_EVENTS_OF_A_MESSAGE)

    async def _events(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(_AFTER_EVENT_S)


def _frame(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))


# --- what a session is given -----------------------------------------------------------------------------------------


def _sessions(flow: Flow) -> list[dict[str, Any]]:
    return [_session(flow.prompt_of(phase).static, _offered(flow, phase.name)) for phase in flow.phases if phase.prompt]


def _offered(flow: Flow, phase: str) -> tuple[OfferedTool, ...]:
    declared = flow.by_name[phase]
    move = next(iter(flow.requests_of(declared).values()))
    own = [OfferedTool(tool.name, tool.description, tool.parameters) for tool in flow.tools_of(declared)]
    nothing: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    return (*own, OfferedTool(move.name, move.description, nothing))


def _session(prompt: str, tools: tuple[OfferedTool, ...]) -> dict[str, Any]:
    setup = SessionSetup(Epoch(1), prompt, "", tools, None, MULAW_8K, MULAW_8K)
    return dict(first_session(setup, turns=ServerTurns(), transcription="gpt-realtime-whisper", language=None))


def _all_in_one(sessions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one session with every prompt and every tool, and no way on."""
    prompt = "\n\n".join(session["instructions"] for session in sessions)
    tools = {tool["name"]: tool for session in sessions for tool in session["tools"] if tool["name"] != GO_ON}
    return {**sessions[0], "instructions": prompt, "tools": [*tools.values()]}
