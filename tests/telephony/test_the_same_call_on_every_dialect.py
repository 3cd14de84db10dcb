"""One call to the bank, over every dialect and a real socket: the same phases, and everything heard as it should be."""

from __future__ import annotations

import asyncio
import itertools
import math
import socket
import struct
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from tests.telephony.doors import opened
from tests.telephony.provider_packets import AudioSocketWire, PacketConnection
from tests.telephony.provider_side import (
    AsteriskWire,
    BrowserWire,
    Connection,
    Line,
    Provider,
    TelnyxWire,
    TwilioWire,
    Wire,
)
from voiceagent.audio import FRAME_MS
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId, UtteranceId
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import AudioFormat, Clock, Engines, IncomingCall, Leg, Transcript
from voiceagent.runtime.calls import Calls
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.session import Services
from voiceagent.speech import EnergyVad, NullSynthesizer
from voiceagent.speech.samples import encoded, pcm16_of
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import AudioSocketLine, TelephonySettings
from voiceagent.testing.simulated_tools import SimulatedTools
from voiceagent.testing.stalls import Stalls
from voiceagent.tools.executor import ToolExecutor

BANK = load_flow(Path(__file__).parents[2] / "phases" / "bank")
MODELS = GuidedModels()
BALANCE = "Hi, I'd like to check the balance on my account please."
NUMBER = "My account number is four five one nine, two two seven."
PIN = "The pin is one two three four."
BYE = "No, that is all, thank you, goodbye."
SAYINGS = (BALANCE, NUMBER, PIN, BYE)
PITCHES_HZ = (200, 400, 600, 800)
"""Each sentence is a tone: heard through a wrong codec, it would be noise, and in a wrong order another tone."""
SPEED = 4
ACCOUNTS = {"accounts": [{"account_id": "C-1-checking", "kind": "checking", "balance": "1234.50", "currency": "USD"}]}
TOOLS = {
    "verify_caller": {"verified": True, "customer_id": "C-1", "name": "Daniel Harris", "attempts_left": 5},
    "get_accounts": ACCOUNTS,
    "recent_transactions": {"account": "checking", "transactions": []},
}


class FastClock:
    """The clock of a world in which everything is four times as fast."""

    def now_ms(self) -> int:
        return time.monotonic_ns() * SPEED // 1_000_000

    def unix_ms(self) -> int:
        return 1_700_000_000_000 + self.now_ms()

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []

        def ring() -> None:
            left_ms = at_ms - self.now_ms()
            if left_ms > 0:
                timers[:] = [loop.call_later(left_ms / SPEED / 1_000, ring)]
            else:
                callback()

        timers.append(loop.call_later(max(0, at_ms - self.now_ms()) / SPEED / 1_000, ring))
        return lambda: timers[0].cancel()  # noqa: PLW0108 - it is another one by then

    async def sleep(self, ms: int) -> None:
        await asyncio.sleep(ms / SPEED / 1_000)


class HearsTones:
    """Understands which sentence a tone stands for."""

    healthy = True

    def open(self, audio: AudioFormat, *, locale: str) -> _TonesHandle:
        del locale
        return _TonesHandle(audio)

    def close(self) -> None:
        pass


class _TonesHandle:
    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        del hints
        samples = (sample for (sample,) in struct.iter_unpack("<h", pcm16_of(audio, self._audio)))
        loud = [sample for sample in samples if abs(sample) > 500]
        if not loud:
            return Transcript("")
        crossings = sum((before > 0) != (after > 0) for before, after in pairwise(loud))
        pitch_hz = crossings * self._audio.rate_hz / 2 / len(loud)
        nearest = min(range(len(PITCHES_HZ)), key=lambda n: abs(PITCHES_HZ[n] - pitch_hz))
        return Transcript(SAYINGS[nearest], confidence=1.0)

    def close(self) -> None:
        pass


@dataclass
class BankCaller:
    """Asks for the balance, says who they are, cuts the answer short with a goodbye, and waits to be hung up on."""

    rate_hz: int
    interrupted_after_ms: int = 600
    _said: int = 0
    _speaking: list[bytes] = field(default_factory=list[bytes])
    _agent_for_ms: int = 0
    _quiet_for_ms: int = 0

    def next_frame(self, *, agent_audible: bool) -> bytes:
        if self._speaking:
            return self._speaking.pop(0)
        if agent_audible:
            self._agent_for_ms += FRAME_MS
            self._quiet_for_ms = 0
        else:
            self._quiet_for_ms += FRAME_MS
        cuts_in = self._said == SAYINGS.index(BYE)
        has_turn = self._agent_for_ms >= self.interrupted_after_ms if cuts_in else self._quiet_for_ms >= 700
        if self._said < len(SAYINGS) and self._agent_for_ms and has_turn:
            self._speaking = self._tone(PITCHES_HZ[self._said])
            self._said += 1
            self._agent_for_ms = self._quiet_for_ms = 0
        return bytes(2 * FRAME_MS * self.rate_hz // 1_000)

    def _tone(self, pitch_hz: int, lasting_ms: int = 1_000) -> list[bytes]:
        count = self.rate_hz * lasting_ms // 1_000
        turns = math.tau * pitch_hz / self.rate_hz
        samples = [round(8_000 * math.sin(turns * n)) for n in range(count)]
        pcm = struct.pack(f"<{count}h", *samples)
        size = 2 * FRAME_MS * self.rate_hz // 1_000
        return [pcm[at : at + size] for at in range(0, len(pcm), size)]


@dataclass
class Trace:
    phases: list[str] = field(default_factory=list[str])
    started: list[ev.CallStarted] = field(default_factory=list[ev.CallStarted])
    stopped: list[ev.PlayoutStopped] = field(default_factory=list[ev.PlayoutStopped])
    finished: int = 0
    ended: str = ""

    def __call__(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        del call, now_ms
        self.phases += [each.effect.phase for each in outgoing if isinstance(each.effect, fx.SwapPhase)]
        match event:
            case ev.PlayoutStopped():
                self.stopped.append(event)
            case ev.PlayoutReached(finished=True):
                self.finished += 1
            case ev.CallEnded(reason):
                self.ended = reason
            case _:
                pass


CASES: Mapping[str, tuple[str, Callable[[], Wire], Mapping[str, object]]] = {
    "twilio": ("twilio", TwilioWire, {}),
    "signalwire": ("signalwire", lambda: TwilioWire(names_stream=False, numbers=int, version="0.2.0"), {}),
    "signalwire L16 at 16 kHz, little-endian": (
        "signalwire",
        lambda: TwilioWire(AudioFormat("pcm16", 16_000), names_stream=False, version="0.2.0"),
        {"l16_order": "little"},
    ),
    "signalwire L16 at 24 kHz, big-endian": (
        "signalwire",
        lambda: TwilioWire(AudioFormat("pcm16", 24_000), big_endian=True, names_stream=False, version="0.2.0"),
        {},
    ),
    "cloudonix": ("cloudonix", TwilioWire, {}),
    "fonoster": ("fonoster", lambda: TwilioWire(looks_at_stream=False), {}),
    "telnyx, A-law in and L16 out": ("telnyx", TelnyxWire, {"telnyx_codec": "L16", "telnyx_rate_hz": 16_000}),
    "telnyx, µ-law in and A-law out": (
        "telnyx",
        lambda: TelnyxWire("PCMU", AudioFormat("alaw", 8_000)),
        {"telnyx_codec": "PCMA"},
    ),
    "telnyx, L16 both ways, big-endian": (
        "telnyx",
        lambda: TelnyxWire("L16"),
        {"telnyx_codec": "L16", "telnyx_rate_hz": 16_000},
    ),
    "telnyx, L16 both ways, little-endian": (
        "telnyx",
        lambda: TelnyxWire("L16", AudioFormat("pcm16", 24_000), big_endian=False),
        {"telnyx_codec": "L16", "telnyx_rate_hz": 24_000, "l16_order": "little"},
    ),
    "browser at 16 kHz": ("browser", BrowserWire, {}),
    "browser at 48 kHz": ("browser", lambda: BrowserWire(48_000), {}),
    "asterisk, µ-law and control in JSON": ("asterisk", AsteriskWire, {}),
    "asterisk at 16 kHz, control in words": (
        "asterisk",
        lambda: AsteriskWire(AudioFormat("pcm16", 16_000), in_json=False),
        {},
    ),
    "asterisk at 16 kHz, which waits for us": ("incoming", lambda: AsteriskWire(AudioFormat("pcm16", 16_000)), {}),
    "audiosocket at 8 kHz": ("audiosocket", AudioSocketWire, {}),
    "audiosocket at 16 kHz": ("audiosocket", lambda: AudioSocketWire(16_000), {}),
    "auto, for telnyx": ("auto", lambda: TelnyxWire("PCMU", AudioFormat("mulaw", 8_000)), {}),
    "auto, for twilio": ("auto", TwilioWire, {}),
    "auto, for signalwire": (
        "auto",
        lambda: TwilioWire(AudioFormat("pcm16", 16_000), big_endian=True, version="0.2.0"),
        {},
    ),
    "auto, for a browser": ("auto", lambda: BrowserWire(24_000), {}),
}
"""The word in the path, or how else the two are connected; how the carrier writes; what the operator has set."""

SHORT: Mapping[str, tuple[str, Callable[[], Wire], Mapping[str, object]]] = {
    **CASES,
    "browser at 8 kHz": ("browser", lambda: BrowserWire(8_000), {}),
    "browser at 24 kHz": ("browser", lambda: BrowserWire(24_000), {}),
    "asterisk at 16 kHz, control in JSON": ("asterisk", lambda: AsteriskWire(AudioFormat("pcm16", 16_000)), {}),
    "asterisk, µ-law and control in words": ("asterisk", lambda: AsteriskWire(in_json=False), {}),
    "asterisk at 8 kHz, control in words": (
        "asterisk",
        lambda: AsteriskWire(AudioFormat("pcm16", 8_000), in_json=False),
        {},
    ),
    "asterisk, A-law and control in JSON": ("asterisk", lambda: AsteriskWire(AudioFormat("alaw", 8_000)), {}),
    "asterisk, µ-law, which waits for us": ("incoming", lambda: AsteriskWire(in_json=False), {}),
}
"""The same, and formats in which a whole call would show nothing more."""

COMMANDS = {"asterisk": ["answer", "hang up"], "incoming": ["answer", "hang up"], "audiosocket": ["hang up"]}
"""What the far side is told in so many words, where there are any for it."""


@asynccontextmanager
async def connected(
    name: str,
    handler: Callable[[IncomingCall], Awaitable[None]],
    clock: Clock,
    *,
    door: str = "own port",
    folder: Path = Path(),
) -> AsyncGenerator[tuple[MediaServer, Connection]]:
    """Serve the bank behind this door, and connect the two in the case's own way."""
    way, _, more = SHORT[name]
    given: dict[str, Any] = {"agents": frozenset({"bank"}), "insecure": True, "port": 0, **more}
    line = AudioSocketLine("bank", free_port())
    reached: asyncio.Queue[Connection] = asyncio.Queue()
    over = asyncio.Event()

    async def wait(connection: ServerConnection) -> None:
        reached.put_nowait(connection)
        await over.wait()

    async with AsyncExitStack() as stack:
        if way == "incoming":
            asterisk = await stack.enter_async_context(serve(wait, "127.0.0.1", 0, subprotocols=[Subprotocol("media")]))
            stack.callback(over.set)
            given["asterisk_url"] = f"ws://127.0.0.1:{asterisk.sockets[0].getsockname()[1]}/media"
        if way == "audiosocket":
            given["audiosockets"] = (line,)
        parts = {"handler": handler, "healthy": lambda: True, "clock": clock}
        opening = opened(door, TelephonySettings(**given), folder=folder, **parts)
        behind = await stack.enter_async_context(opening)
        media = behind.media
        if way == "audiosocket":
            packets = await PacketConnection.to(line.port)
            stack.push_async_callback(packets.close)
            yield media, packets
        elif way == "incoming":
            client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            web = behind.url.replace("ws", "http", 1)
            asked = await client.get(f"{web}/asterisk/bank/connect?connection=c1&call=7.1")
            assert asked.text == "connecting"
            yield media, await reached.get()
        else:
            url = f"{behind.url}/media/{way}/bank"
            yield media, await stack.enter_async_context(connect(url, ssl=behind.trust, compression=None))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def call_the_bank(name: str, directory: Path, door: str = "own port") -> tuple[Line, Trace]:
    clock, trace, wire = FastClock(), Trace(), CASES[name][1]()

    def failed(problem: Exception) -> None:
        raise problem

    journals = JournalStore(directory)
    tools = SimulatedTools(BANK, TOOLS, clock=clock, stalls=Stalls(), failed=failed)
    services = Services(
        engines=Engines(EnergyVad(), HearsTones(), NullSynthesizer()),
        models=MODELS,
        tools=cast("ToolExecutor", tools),
        journals=journals,
        clock=clock,
        learned=Learned(),
        observers=(trace,),
    )
    calls = Calls({"bank": BANK}, services, time_zone="UTC")
    way = connected(name, calls.take, clock, door=door, folder=directory)
    async with asyncio.timeout(40), way as (media, connection):
        line = await Provider(wire, BankCaller(wire.audio_in.rate_hz), clock=clock, encode=encoded).carry(connection)
        media.drain()
        await media.drained()
    await calls.close()
    await tools.close()
    await journals.close()
    return line, trace


@pytest.mark.parametrize("name", CASES)
def test_the_banks_call_is_the_same_whoever_carries_it(name: str, tmp_path: Path) -> None:
    is_the_banks_call(name, *asyncio.run(call_the_bank(name, tmp_path)))


BY_OTHER_DOORS = [
    *itertools.product(
        ("twilio", "telnyx, A-law in and L16 out", "browser at 16 kHz", "asterisk at 16 kHz, control in words"),
        ("own port, TLS", "in an app, websockets-sansio"),
    ),
    ("twilio", "in an app, websockets"),
    ("twilio", "in an app, wsproto"),
]


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:.*implementation is deprecated"
)  # uvicorn's older way
@pytest.mark.parametrize(("name", "door"), BY_OTHER_DOORS)
def test_and_whatever_door_it_comes_by(name: str, door: str, tmp_path: Path) -> None:
    is_the_banks_call(name, *asyncio.run(call_the_bank(name, tmp_path, door)))


def is_the_banks_call(name: str, line: Line, trace: Trace) -> None:
    assert trace.phases == ["greeting", "authentication", "account_inquiry", "goodbye"]
    assert trace.ended == "phase goodbye"
    way, new_wire, _ = CASES[name]
    assert line.close_code == (None if way == "audiosocket" else 1000)
    assert line.commands == COMMANDS.get(way, [])
    assert line.unplayed == 0, "the last word was heard"
    assert any(line.clears) == new_wire().clears, "the balance was cut short"
    assert any(stopped.heard_ms for stopped in trace.stopped)


class Heard:
    """A session that says two things and takes the first one back."""

    def __init__(self) -> None:
        self.events: list[ev.Event] = []
        self.lost = asyncio.Event()
        self.could_hear_ms = 0
        """How much of the first there was time for: this machine may be late."""

    def audio_arrived(self, audio: bytes) -> None:
        pass

    def post(self, event: ev.Event) -> None:
        self.events.append(event)
        if isinstance(event, ev.LegLost):
            self.lost.set()


@dataclass
class SilentCaller:
    rate_hz: int

    def next_frame(self, *, agent_audible: bool) -> bytes:
        del agent_audible
        return bytes(2 * FRAME_MS * self.rate_hz // 1_000)


async def say_and_take_back(leg: Leg, session: Heard, clock: Clock) -> None:
    """Say something, all of which is sent at once, take it back, say something else, and hang up when it is heard."""
    leg.attach(session)
    synthesizer = NullSynthesizer()
    said = [await synthesizer.render("x" * 20, leg.audio_out, voice=None) for _ in range(2)]
    began_ms = clock.now_ms()
    leg.play(UtteranceId("a1"), said[0][: 300 * leg.audio_out.bytes_per_ms])
    leg.end_clause(UtteranceId("a1"), 0, last=True)
    await clock.sleep(100)
    leg.clear()
    session.could_hear_ms = min(300, clock.now_ms() - began_ms)
    leg.play(UtteranceId("a2"), said[1][: 510 * leg.audio_out.bytes_per_ms])
    leg.end_clause(UtteranceId("a2"), 0, last=True)
    await leg.hang_up(drain=True)


def assert_only_the_second_was_heard(session: Heard) -> None:
    (stopped,) = [event for event in session.events if isinstance(event, ev.PlayoutStopped)]
    assert stopped.utterance == "a1"
    assert stopped.heard_ms <= session.could_hear_ms
    assert [event for event in session.events if isinstance(event, ev.PlayoutReached)] == [
        ev.PlayoutReached(UtteranceId("a2"), 0, 510, finished=True)
    ]


async def take_back_a_sentence(name: str) -> tuple[Line, Heard]:
    clock, session, wire = FastClock(), Heard(), SHORT[name][1]()

    async def handler(incoming: IncomingCall) -> None:
        await say_and_take_back(incoming.leg, session, clock)

    async with asyncio.timeout(20), connected(name, handler, clock) as (_, connection):
        provider = Provider(wire, SilentCaller(wire.audio_in.rate_hz), clock=clock, encode=encoded)
        return await provider.carry(connection), session


@pytest.mark.parametrize("name", SHORT)
def test_a_mark_that_a_clear_sends_back_or_drops_never_counts_as_heard(name: str) -> None:
    line, session = asyncio.run(take_back_a_sentence(name))
    echoed_on_clear = [mark for mark, cleared in line.echoed if cleared]
    assert bool(echoed_on_clear) == SHORT[name][1]().echoes_on_clear
    assert_only_the_second_was_heard(session)
    assert line.unplayed == 0, "the tail was filled up to a whole frame and played"


@dataclass
class HangsUp:
    """Listens for half a second, and has had enough."""

    rate_hz: int
    _left: int = 25

    def next_frame(self, *, agent_audible: bool) -> bytes | None:
        self._left -= agent_audible
        return bytes(2 * FRAME_MS * self.rate_hz // 1_000) if self._left else None


async def hang_up_in_mid_sentence(name: str) -> tuple[Line, Heard]:
    clock, session, wire = FastClock(), Heard(), SHORT[name][1]()

    async def handler(incoming: IncomingCall) -> None:
        leg = incoming.leg
        leg.attach(session)
        said = await NullSynthesizer().render("x" * 60, leg.audio_out, voice=None)
        leg.play(UtteranceId("a1"), said)
        leg.end_clause(UtteranceId("a1"), 0, last=True)
        await session.lost.wait()

    async with asyncio.timeout(20), connected(name, handler, clock) as (media, connection):
        line = await Provider(wire, HangsUp(wire.audio_in.rate_hz), clock=clock, encode=encoded).carry(connection)
        await session.lost.wait()
        await media.drained()
    return line, session


@pytest.mark.parametrize("name", SHORT)
def test_a_caller_who_hangs_up_in_mid_sentence_has_hung_up_and_not_heard_it(name: str) -> None:
    line, session = asyncio.run(hang_up_in_mid_sentence(name))
    (lost,) = [event for event in session.events if isinstance(event, ev.LegLost)]
    assert (lost.reason, lost.may_return) == ("caller hung up", False)
    assert not any(isinstance(event, ev.PlayoutReached) for event in session.events)
    assert line.commands in ([], ["answer"])
