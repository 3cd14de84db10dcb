"""A whole server on a real port, whose engines count how often they are opened, and carriers that speak raw bytes."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from voiceagent import Flow, HangUpAfter, Phase, Pressed, Reprompts, Say, Transition
from voiceagent.cli import agent_server as served_by
from voiceagent.cli.agent_server import AgentServer, ServerSettings, agent_server
from voiceagent.ports import Engines
from voiceagent.runtime.spending import Prices, SpendLimits
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import sign

SECRET = "12345"
PUBLIC = "https://voice.example.com"
PATH = "/media/twilio/desk"
DESK = Flow(
    name="desk",
    initial="talk",
    phases=(
        Phase(
            name="talk",
            on_enter=Say(text="Hello."),
            no_match=Reprompts(phrases=("Pardon?",)),
            transitions=(Transition(on=Pressed(digits="9"), to="end"),),
        ),
        Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
    ),
)


_MADE: list[RawCarrier] = []
"""Whatever is still open when the server stops is broken off."""


async def until(condition: Callable[[], bool]) -> None:
    """Let the server run until this is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a number that nobody announces
            await asyncio.sleep(0)


class Counted:
    """An engine whose `open` is counted."""

    def __init__(self, engine: Any, name: str, opened: Counter[str]) -> None:
        self._engine, self._name, self._opened = engine, name, opened

    def open(self, *arguments: Any, **named: Any) -> Any:
        self._opened[self._name] += 1
        return self._engine.open(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each kind of engine was opened for a call."""
    counts: Counter[str] = Counter()
    open_engines, model_from = served_by.open_engines, served_by.model_from

    def counted_engines(*arguments: Any, **options: Any) -> Engines:
        engines = open_engines(*arguments, **options)
        return Engines(
            Counted(engines.vad, "VAD", counts),
            Counted(engines.recognizer, "STT", counts),
            Counted(engines.synthesizer, "TTS", counts),
        )

    def counted_models(*arguments: Any, **named: Any) -> Any:
        return Counted(model_from(*arguments, **named), "LLM", counts)

    monkeypatch.setattr(served_by, "open_engines", counted_engines)
    monkeypatch.setattr(served_by, "model_from", counted_models)
    return counts


@asynccontextmanager
async def serving(
    journals: Path,
    *,
    flow: Flow = DESK,
    prices: Prices | None = None,
    max_spend: SpendLimits | None = None,
    recordings: Path | None = None,
    **telephony: Any,
) -> AsyncGenerator[AgentServer]:
    """Serve the desk: with signatures and without tokens, unless told otherwise."""
    given = {"public_url": PUBLIC, "twilio_auth_token": SECRET, "require_call_token": False, **telephony}
    given.setdefault("max_lag_ms", 60_000)  # how busy this machine is meanwhile is the subject of no test
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"desk"}), port=0, **given),
        journals=journals,
        recordings=recordings,
        engines="null",
        prices=prices,
        max_spend=max_spend or SpendLimits(),
    )
    before = set(_MADE)  # of other tests, whose event loops are gone
    async with agent_server(settings, {"desk": flow}) as server:
        try:
            yield server
        finally:
            for carrier in [each for each in _MADE if each not in before]:
                carrier.breaks()


def signature(path: str = PATH, base: str = "wss://voice.example.com") -> str:
    return sign(SECRET, base + path)


class RawCarrier:
    """One connection that asks for a media socket, in so many bytes, and no library between."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.status = 0
        _MADE.append(self)

    @classmethod
    async def calls(cls, port: int, call: str, *, agent: str = "shop") -> RawCarrier:
        """Connect to a server that lets anybody in, and begin a call; as a carrier does, try again where it is busy."""
        path = f"/media/twilio/{agent}"
        carrier = await cls.asks(port, path=path)
        async with asyncio.timeout(20):
            while carrier.status == 503:
                carrier.breaks()
                await asyncio.sleep(0.2)
                carrier = await cls.asks(port, path=path)
        assert carrier.status == 101, carrier.status
        carrier.starts(call)
        return carrier

    @classmethod
    async def asks(
        cls, port: int, *, path: str = PATH, signed: str | None = None, headers: Mapping[str, str] | None = None
    ) -> RawCarrier:
        """Connect and ask; `status` is the answer, 0 where there was none."""
        carrier = cls(*await asyncio.open_connection("127.0.0.1", port))
        await carrier.upgrades(path, signed=signed, headers=headers)
        return carrier

    async def upgrades(self, path: str, *, signed: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Ask for a media socket."""
        given = {**({} if signed is None else {"X-Twilio-Signature": signed}), **(headers or {})}
        proof = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{proof}"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            self.status = int(head.split()[1])
        except (asyncio.IncompleteReadError, ConnectionError):
            self.status = 0

    def sends(self, message: str | bytes, *, opcode: int = 1) -> None:
        """Send one message, masked with zeros; bytes are a binary one."""
        binary = isinstance(message, bytes)
        self.writer.write(frame(message if binary else message.encode(), opcode=2 if binary else opcode))

    def starts(self, call: str, *, caller: str | None = None) -> None:
        self.sends(start(call, caller=caller))

    async def close_code(self) -> int | None:
        """Read until the far side closes; return its code, None where it only broke off."""
        try:
            while True:
                opcode, payload = await self.message()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def message(self) -> tuple[int, bytes]:
        """Read one frame: its opcode and its payload."""
        head = await self._reader.readexactly(2)
        length = head[1] & 127
        if length == 126:
            length = int.from_bytes(await self._reader.readexactly(2), "big")
        elif length == 127:
            length = int.from_bytes(await self._reader.readexactly(8), "big")
        return head[0] & 15, await self._reader.readexactly(length)

    async def events(self) -> AsyncGenerator[dict[str, Any]]:
        """What the agent sends, until the end."""
        try:
            while True:
                opcode, payload = await self.message()
                if opcode == 1:
                    yield json.loads(payload)
                elif opcode == 8:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    def breaks(self) -> None:
        """Break off without a word."""
        if self in _MADE:
            _MADE.remove(self)
        self.writer.close()
        self.writer.transport.abort()


def frame(payload: bytes, *, opcode: int = 1, declared: int | None = None) -> bytes:
    """One client frame; `declared` is a length that it only claims."""
    length = len(payload) if declared is None else declared
    if length < 126:
        size = bytes([128 | length])
    elif length < 65_536:
        size = bytes([254]) + length.to_bytes(2, "big")
    else:
        size = bytes([255]) + length.to_bytes(8, "big")
    return bytes([128 | opcode]) + size + bytes(4) + payload


def start(call: str, *, caller: str | None = None, **changes: Any) -> str:
    body = {
        "streamSid": f"MZ-{call}",
        "callSid": call,
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {} if caller is None else {"caller": caller},
    }
    return json.dumps({"event": "start", "streamSid": f"MZ-{call}", "start": body | changes})


def media(call: str, audio: bytes = b"\xff" * 160) -> str:
    payload = base64.b64encode(audio).decode()
    return json.dumps({"event": "media", "streamSid": f"MZ-{call}", "media": {"track": "inbound", "payload": payload}})


def digit(call: str, key: str) -> str:
    return json.dumps({"event": "dtmf", "streamSid": f"MZ-{call}", "dtmf": {"track": "inbound_track", "digit": key}})


def mark(call: str, name: str) -> str:
    return json.dumps({"event": "mark", "streamSid": f"MZ-{call}", "mark": {"name": name}})
