"""Calls over real sockets: who is let in, what the call hears, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.telephony.wire_examples import telnyx_start
from tests.threats.served import frame
from voiceagent.core.events import (
    CarrierDetected,
    DigitsPressed,
    LegLost,
    PlayoutReached,
    PlayoutStarted,
    PlayoutStopped,
)
from voiceagent.errors import OperatorError
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.admission import media_path
from voiceagent.telephony.call_tokens import TOKEN_LIFETIME_MS, CallGrant, CallTokens
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.driver import START_DEADLINE_MS
from voiceagent.telephony.leg_socket import MAX_WAITING_BYTES
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import CarrierKeys, TelephonySettings
from voiceagent.telephony.signature import sign
from voiceagent.telephony.transfers import Handover, Transfers

SECRET = "12345"
PUBLIC = "https://voice.example.com"
SECURE = TelephonySettings(agents=frozenset({"bank", "clinic"}), public_url=PUBLIC, twilio_auth_token=SECRET, port=0)
INSECURE = TelephonySettings(agents=frozenset({"bank"}), insecure=True, port=0)


PING = frame(bytes(125), opcode=9)


def start(call="CA0", **changes):
    body = {
        "streamSid": f"MZ-{call}",
        "callSid": call,
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"order": "17"},
    }
    return json.dumps({"event": "start", "streamSid": f"MZ-{call}", "start": body | changes})


def media(audio, stream="MZ-CA0"):
    payload = base64.b64encode(audio).decode()
    return json.dumps({"event": "media", "streamSid": stream, "media": {"track": "inbound", "payload": payload}})


class Calls:
    """Takes calls as a runtime would: attaches, and stays until the leg is lost."""

    def __init__(self):
        self.incoming = []
        self.sessions = asyncio.Queue()
        self.fails = False

    async def __call__(self, incoming):
        self.incoming.append(incoming)
        if self.fails:
            raise ValueError("broken")
        session = Session(incoming)
        incoming.leg.attach(session)
        self.sessions.put_nowait(session)
        await session.over.wait()


class Session:
    def __init__(self, incoming):
        self.incoming = incoming
        self.leg = incoming.leg
        self.audio = bytearray()
        self.events = asyncio.Queue()
        self.over = asyncio.Event()

    def audio_arrived(self, audio):
        self.audio += audio

    def post(self, event):
        self.events.put_nowait(event)
        if isinstance(event, LegLost):
            self.over.set()

    async def next(self, kind):
        async with asyncio.timeout(5):
            while not isinstance(event := await self.events.get(), kind):
                pass
            return event


class SpentTooMuch:
    """One agent has, and nobody else."""

    def __init__(self, agent):
        self._agent = agent

    def over(self, *, agent=None, caller=None):
        return f"agent {agent} has spent too much" if agent == self._agent else None


@asynccontextmanager
async def serving(clock, settings=SECURE, *, calls=None, spent=None, controls=None, state=None):
    state = state or MemoryStore(clock)
    calls, tokens = calls or Calls(), CallTokens(state)
    transfers = Transfers(settings.transfer_targets, clock, state)
    limits = CallLimits(settings, state=state, clock=clock, spent=spent)
    server = MediaServer(
        settings,
        handler=calls,
        clock=clock,
        tokens=tokens,
        transfers=transfers,
        limits=limits,
        detections=Detections(state, clock),
        controls=controls,
    )
    async with server.serving(Starlette()) as port:
        yield calls, tokens, server, f"ws://127.0.0.1:{port}"


def signed(path, base="wss://voice.example.com"):
    return {"X-Twilio-Signature": sign(SECRET, base + path)}


@asynccontextmanager
async def calling(address, path, headers=None):
    async with connect(address + path, additional_headers=headers or {}, compression=None) as ws:
        yield ws


async def status_of(address, path, headers=None):
    with pytest.raises(InvalidStatus) as refused:
        await connect(address + path, additional_headers=headers or {})
    return refused.value.response.status_code


async def close_code(ws):
    async with asyncio.timeout(5):
        await ws.wait_closed()
    return ws.close_code


# --- who is let in ---------------------------------------------------------------------------------------------------


def test_a_signed_call_with_its_token_is_let_in(running_clock):
    async def scenario():
        async with serving(running_clock) as (calls, tokens, _, address):
            path = media_path(
                "twilio", "bank", await tokens.mint(CallGrant("bank", "CA0", caller="+4930", called="+4940"))
            )
            async with calling(address, path, signed(path)) as ws:
                await ws.send('{"event":"connected"}')
                await ws.send(start())
                session = await calls.sessions.get()
                incoming = session.incoming
                assert (incoming.call, incoming.agent) == ("CA0", "bank")
                assert (incoming.caller_number, incoming.called_number) == ("+4930", "+4940")
                assert incoming.parameters == {"order": "17"}
                assert incoming.leg.features.dialect == "twilio"

    asyncio.run(scenario())


def test_a_call_that_we_have_placed_is_told_who_has_answered(running_clock):
    async def scenario():
        state = MemoryStore(running_clock)
        async with serving(running_clock, state=state) as (calls, tokens, _, address):
            path = media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0", outbound=True)))
            async with calling(address, path, signed(path)) as ws:
                await ws.send(start())
                session = await calls.sessions.get()
                assert session.incoming.outbound
                await Detections(state, running_clock).told("CA0", "machine_end_beep")
                assert await session.next(CarrierDetected) == CarrierDetected("machine_end_beep")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (lambda path: {}, 401),
        (lambda path: {"X-Twilio-Signature": "wrong"}, 403),
        (lambda path: {"X-Twilio-Signature": "ü"}, 403),
        (lambda path: {"X-Twilio-Signature": sign("other", "wss://voice.example.com" + path)}, 403),
        (lambda path: signed("/media/twilio/clinic"), 403),
        (lambda path: signed(path, base="https://voice.example.com"), 403),
        (lambda path: signed(path, base="ws://127.0.0.1"), 403),
        (
            lambda path: (
                signed(path, base="wss://attacker.example.com")
                | {"X-Forwarded-Host": "attacker.example.com", "X-Forwarded-Proto": "wss"}
            ),
            403,
        ),
    ],
)
def test_nobody_is_let_in_without_the_carriers_signature(running_clock, headers, status):
    async def scenario():
        async with serving(running_clock) as (calls, tokens, _, address):
            path = media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0")))
            assert await status_of(address, path, headers(path)) == status
            async with calling(address, path, signed(path)) as ws:
                await ws.send(start())
                await calls.sessions.get()
            assert len(calls.incoming) == 1

    asyncio.run(scenario())


def test_a_replayed_upgrade_is_refused(running_clock):
    async def scenario():
        async with serving(running_clock) as (_, tokens, _, address):
            path = media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0")))
            async with calling(address, path, signed(path)):
                pass
            assert await status_of(address, path, signed(path)) == 403

    asyncio.run(scenario())


def test_a_token_too_old_of_another_agent_or_missing_is_refused(clock):
    async def scenario():
        async with serving(clock) as (_, tokens, _, address):
            foreign = media_path("twilio", "clinic", await tokens.mint(CallGrant("bank", "CA0")))
            assert await status_of(address, foreign, signed(foreign)) == 403
            missing = "/media/twilio/bank"
            assert await status_of(address, missing, signed(missing)) == 403
            old = media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0")))
            clock.advance(TOKEN_LIFETIME_MS)
            assert await status_of(address, old, signed(old)) == 403

    asyncio.run(scenario())


def test_a_token_connects_only_the_call_that_it_was_given_for(running_clock):
    async def scenario():
        async with serving(running_clock) as (calls, tokens, _, address):
            path = media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0")))
            async with calling(address, path, signed(path)) as ws:
                await ws.send(start("CA1"))
                assert await close_code(ws) == 1008
            assert calls.incoming == []

    asyncio.run(scenario())


PAGE_KEYS = CarrierKeys(browser_secret=SECRET, auto_secret=SECRET)
"""Whose holders give addresses to pages."""


async def numbers_of_a_call(clock, settings, dialect, message, *, caller=None):
    """Who calls whom, as the call knows it, where the connection says so in its start."""
    async with serving(clock, settings) as (calls, tokens, _, address):
        token = await tokens.mint(CallGrant("bank", "CA0", dialect, caller=caller))
        async with calling(address, media_path(dialect, "bank", token)) as ws:
            await ws.send(message)
            incoming = (await calls.sessions.get()).incoming
            return incoming.caller_number, incoming.called_number


@pytest.mark.parametrize("dialect", ["browser", "auto"])
@pytest.mark.parametrize(("insecure", "known"), [(False, (None, None)), (True, ("+4930", "+4940"))])
def test_a_page_does_not_say_who_calls(running_clock, dialect, insecure, known):
    numbers = {"caller": "+4930", "called": "+4940"}
    page = {"type": "start", "call": "CA0", "rate_hz": 8_000, "parameters": numbers}
    settings = replace(SECURE, insecure=insecure, keys=PAGE_KEYS)
    assert asyncio.run(numbers_of_a_call(running_clock, settings, dialect, json.dumps(page))) == known
    as_a_field = json.dumps(page | {"caller": "+4930", "parameters": {}})
    assert asyncio.run(numbers_of_a_call(running_clock, settings, dialect, as_a_field))[0] == known[0]


def test_a_page_posing_as_a_carrier_does_not_say_who_calls_either(running_clock):
    settings = replace(SECURE, keys=PAGE_KEYS)
    message = start(customParameters={"caller": "+4930"})
    assert asyncio.run(numbers_of_a_call(running_clock, settings, "auto", message)) == (None, None)


def test_whoever_gave_the_page_its_address_has_said_who_calls(running_clock):
    settings = replace(SECURE, keys=PAGE_KEYS)
    page = json.dumps({"type": "start", "call": "CA0", "rate_hz": 8_000, "caller": "+4940"})
    numbers = asyncio.run(numbers_of_a_call(running_clock, settings, "browser", page, caller="+4930"))
    assert numbers == ("+4930", None)


@pytest.mark.parametrize(
    "settings",
    [
        TelephonySettings(agents=frozenset({"bank"}), public_url=PUBLIC, port=0),
        TelephonySettings(agents=frozenset({"bank"}), twilio_auth_token=SECRET, port=0),
    ],
)
def test_a_server_without_a_secret_or_an_address_lets_nobody_in(running_clock, settings):
    async def scenario():
        async with serving(running_clock, settings) as (_, _, _, address):
            assert await status_of(address, "/media/twilio/bank", signed("/media/twilio/bank")) == 403

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/media/twilio",
        "/media/plivo/bank",
        "/media/twilio/nobody",
        "/media/twilio/bank?token=x",
        "/media/twilio/../bank",
    ],
)
def test_a_path_that_leads_nowhere_is_not_found(running_clock, path):
    async def scenario():
        async with serving(running_clock, INSECURE) as (_, _, _, address):
            assert await status_of(address, path) == 404

    asyncio.run(scenario())


def test_a_server_that_is_draining_takes_no_new_calls(running_clock):
    async def scenario():
        async with serving(running_clock, INSECURE) as (calls, _, server, address):
            assert server.ready
            async with calling(address, "/media/twilio/bank") as ws:
                await ws.send(start())
                session = await calls.sessions.get()
                server.drain()
                assert not server.ready
                assert await status_of(address, "/media/twilio/bank") == 503
                await ws.send(media(b"\x01" * 160))
                await ws.send('{"event":"dtmf","dtmf":{"digit":"1"}}')
                await session.next(DigitsPressed)
                assert b"\x01" * 160 in session.audio

    asyncio.run(scenario())


# --- a call ----------------------------------------------------------------------------------------------------------


def test_a_call_is_heard_answered_and_ended(running_clock):
    async def scenario():
        async with serving(running_clock, INSECURE) as (calls, _, server, address):
            async with calling(address, "/media/twilio/bank") as ws:
                await ws.send(start())
                session = await calls.sessions.get()
                assert server.live_calls == 1
                session.leg.play("a1", b"\x22" * 320)
                session.leg.end_clause("a1", 0, last=True)
                heard = json.loads(await ws.recv())
                assert base64.b64decode(heard["media"]["payload"]) == b"\x22" * 320
                mark = json.loads(await ws.recv())
                await ws.send(json.dumps({"event": "mark", "streamSid": "MZ-CA0", "mark": mark["mark"]}))
                await session.next(PlayoutStarted)
                assert await session.next(PlayoutReached) == PlayoutReached("a1", 0, 40, finished=True)
                await ws.send('{"event":"stop","streamSid":"MZ-CA0"}')
                assert (await session.next(LegLost)).reason == "caller hung up"
                assert await close_code(ws) == 1000
            await server.drained()
            assert server.live_calls == 0

    asyncio.run(scenario())


def test_clear_is_on_the_wire_before_speech_that_follows_it(running_clock):
    async def scenario():
        async with (
            serving(running_clock, INSECURE) as (calls, _, _, address),
            calling(address, "/media/twilio/bank") as ws,
        ):
            await ws.send(start())
            session = await calls.sessions.get()
            session.leg.play("a1", bytes(8 * 5_000))
            session.leg.clear()
            session.leg.play("a2", b"\x22" * 160)
            kinds = [json.loads(await ws.recv())["event"] for _ in range(3)]
            assert kinds == ["media", "clear", "media"]
            stopped = await session.next(PlayoutStopped)
            assert (stopped.utterance, stopped.exact) == ("a1", False)

    asyncio.run(scenario())


def test_a_socket_that_breaks_off_loses_the_leg(running_clock):
    async def scenario():
        async with serving(running_clock, INSECURE) as (calls, _, _, address):
            ws = await connect(address + "/media/twilio/bank", compression=None)
            await ws.send(start())
            session = await calls.sessions.get()
            ws.transport.abort()
            assert (await session.next(LegLost)).reason == "connection lost (1006)"
            await ws.wait_closed()

    asyncio.run(scenario())


def test_a_carrier_that_stops_reading_is_given_up_within_seconds(clock):
    async def scenario():
        async with serving(clock, INSECURE) as (calls, _, _, address):
            narrow = socket.socket()
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            narrow.connect(("127.0.0.1", int(address.rpartition(":")[2])))
            ws = await connect(address + "/media/twilio/bank", sock=narrow, compression=None)
            await ws.send(start())
            session = await calls.sessions.get()
            ws.transport.pause_reading()
            session.leg.play("a1", bytes(8 * 60_000))
            began = clock.now_ms()
            while not session.over.is_set():
                clock.advance(20)
                await asyncio.sleep(0)
            assert (await session.next(LegLost)).reason == "the far side takes nothing"
            assert clock.now_ms() - began < 30_000
            ws.transport.abort()
            await ws.wait_closed()

    asyncio.run(scenario())


@pytest.mark.parametrize("begun", [True, False])
def test_who_pings_and_does_not_read_the_answers_is_cut_off_before_they_fill_the_memory(running_clock, begun):
    async def scenario():
        async with serving(running_clock, INSECURE) as (_, _, server, address):
            ws = await connect(address + "/media/twilio/bank", compression=None)
            if begun:
                await ws.send(start())
            ws.transport.pause_reading()
            sent_bytes = 0
            async with asyncio.timeout(5):  # long before anything is overdue
                while server.live_calls:
                    ws.transport.write(PING * 100)
                    sent_bytes += 100 * len(PING)
                    await asyncio.sleep(0.001)
            assert sent_bytes > MAX_WAITING_BYTES
            ws.transport.abort()
            await ws.wait_closed()

    asyncio.run(scenario())


def test_when_the_call_is_over_its_socket_is_closed(running_clock):
    async def scenario():
        async with (
            serving(running_clock, INSECURE) as (calls, _, _, address),
            calling(address, "/media/twilio/bank") as ws,
        ):
            await ws.send(start())
            (await calls.sessions.get()).over.set()
            assert await close_code(ws) == 1000

    asyncio.run(scenario())


def test_a_server_whose_calls_suffer_takes_no_new_ones_and_does_not_slow_those_it_has(running_clock):
    async def scenario():
        async with serving(running_clock, INSECURE) as (calls, _, server, address):
            async with calling(address, "/media/twilio/bank") as ws:
                await ws.send(start())
                session = await calls.sessions.get()
                for _ in range(50):
                    server._limits.lag.beat(80)
                assert not server.ready
                assert await status_of(address, "/media/twilio/bank") == 503
                await ws.send(media(b"\x11" * 160))
                while not session.audio:  # noqa: ASYNC110 - it is a buffer
                    await asyncio.sleep(0)
            async with asyncio.timeout(5):
                await server.drained()
            assert server._overloaded is False, "the last of them has gone"

    asyncio.run(scenario())


def test_a_call_that_fails_ends_with_1011_and_the_next_one_works(running_clock, caplog):
    async def scenario():
        async with (
            serving(running_clock, INSECURE) as (calls, _, _, address),
            calling(address, "/media/twilio/bank") as good,
        ):
            await good.send(start("CA-good"))
            session = await calls.sessions.get()
            calls.fails = True
            async with calling(address, "/media/twilio/bank") as bad:
                await bad.send(start("CA-bad"))
                assert await close_code(bad) == 1011
            await good.send(media(b"\x01" * 160, "MZ-CA-good"))
            await good.send('{"event":"dtmf","dtmf":{"digit":"1"}}')
            await session.next(DigitsPressed)
            assert b"\x01" * 160 in session.audio

    asyncio.run(scenario())
    assert "failed: ValueError at" in caplog.text
    assert "broken" not in caplog.text, "what an exception says may be what a caller said"


def test_a_call_that_the_carrier_was_told_to_connect_again_takes_the_place_of_a_leg_that_is_half_dead(running_clock):
    async def scenario():
        async with serving(running_clock) as (calls, tokens, server, address):
            path = media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0")))
            half_dead = await connect(address + path, compression=None, additional_headers=signed(path))
            await half_dead.send(start())
            older = await calls.sessions.get()
            half_dead.transport.pause_reading()
            path = media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0", again=True)))
            async with calling(address, path, signed(path)) as again:
                await again.send(start())
                newer = await calls.sessions.get()
                lost = await older.next(LegLost)
                assert (lost.reason, lost.may_return) == ("the call has a newer leg", True)
                await again.send('{"event":"dtmf","dtmf":{"digit":"1"}}')
                assert await newer.next(DigitsPressed) == DigitsPressed("1")
                assert older.events.empty()
            await newer.next(LegLost)
            half_dead.transport.abort()
            await half_dead.wait_closed()
            await server.drained()

    asyncio.run(scenario())


class HangingUp:
    """A provider that is asked to hang up."""

    def __init__(self):
        self.calls = []

    async def hang_up(self, call):
        self.calls.append(call)


@pytest.mark.parametrize("lives", [True, False])
def test_a_connection_that_says_nothing_ends_no_call_that_is_heard_by_another(running_clock, lives):
    provider = HangingUp()

    async def scenario():
        async with serving(running_clock, controls={"telnyx": provider}) as (calls, tokens, server, address):
            first, second = [
                media_path("telnyx", "bank", await tokens.mint(CallGrant("bank", "v3:c", "telnyx", again=True)))
                for _ in range(2)
            ]
            async with calling(address, first) as ws:
                if lives:
                    await ws.send(telnyx_start())
                    await calls.sessions.get()
                async with calling(address, second) as silent:
                    await silent.send(telnyx_start("G722"))
                    await silent.wait_closed()
            await server.drained()
            assert provider.calls == ([] if lives else ["v3:c"])

    asyncio.run(scenario())


def test_a_call_that_goes_on_is_let_in_though_its_agent_has_spent_too_much_and_a_new_one_is_not(running_clock):
    async def scenario():
        async with serving(running_clock, spent=SpentTooMuch("bank")) as (calls, tokens, _, address):
            path = media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0")))
            assert await status_of(address, path, signed(path)) == 503
            path = media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0", again=True)))
            async with calling(address, path, signed(path)) as again:
                await again.send(start())
                await calls.sessions.get()

    asyncio.run(scenario())


def test_a4_a_call_that_is_live_is_not_taken_over_by_a_second_start_on_another_socket(running_clock):
    async def scenario():
        async with serving(running_clock) as (calls, tokens, _, address):
            first, second = [
                media_path("twilio", "bank", await tokens.mint(CallGrant("bank", "CA0"))) for _ in range(2)
            ]
            async with calling(address, first, signed(first)) as ws:
                await ws.send(start())
                session = await calls.sessions.get()
                async with calling(address, second, signed(second)) as other:
                    await other.send(start())
                    with pytest.raises(ConnectionClosed) as closed:
                        await other.recv()
                    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the call has a leg")
                await ws.send('{"event":"dtmf","dtmf":{"digit":"1"}}')
                assert await session.next(DigitsPressed) == DigitsPressed("1")
            assert len(calls.incoming) == 1

    asyncio.run(scenario())


def test_a_call_is_live_until_nothing_is_left_of_it(running_clock):
    class Slow(Calls):
        def __init__(self):
            super().__init__()
            self.written = asyncio.Event()

        async def __call__(self, incoming):
            await super().__call__(incoming)
            await self.written.wait()

    async def scenario():
        settings = replace(INSECURE, max_calls=1)
        calls = Slow()
        async with serving(running_clock, settings, calls=calls) as (_, _, server, address):
            async with calling(address, "/media/twilio/bank") as ws:
                await ws.send(start())
                await calls.sessions.get()
                assert not server.ready, "there is room for one"
            drained = asyncio.create_task(server.drained())
            assert await status_of(address, "/media/twilio/bank") == 503
            assert (server.live_calls, drained.done()) == (1, False)
            calls.written.set()
            await drained
            assert server.live_calls == 0
            assert server.ready

    asyncio.run(scenario())


def test_who_is_refused_for_want_of_room_gets_in_by_the_same_token_once_there_is_some(running_clock):
    async def scenario():
        settings = replace(SECURE, max_calls_per_agent=1, keys=PAGE_KEYS)
        async with serving(running_clock, settings) as (calls, tokens, server, address):
            first, second = [
                f"/media/browser/bank/{await tokens.mint(CallGrant('bank', None, 'browser'))}" for _ in "12"
            ]
            async with calling(address, first):
                assert await status_of(address, second) == 503
            async with asyncio.timeout(5):
                await server.live.none_left()
            async with calling(address, second):
                assert server.live_calls == 1
            del calls

    asyncio.run(scenario())


def test_a_call_is_live_until_its_provider_has_answered_what_it_was_asked(running_clock):
    class SlowRest:
        def __init__(self):
            self.answered = asyncio.Event()

        async def start_recording(self, call):
            await self.answered.wait()
            return "RE1"

    async def scenario():
        rest = SlowRest()
        async with serving(running_clock, INSECURE, controls={"twilio": rest}) as (calls, tokens, server, address):
            token = await tokens.mint(CallGrant("bank", "CA0"))
            async with calling(address, media_path("twilio", "bank", token)) as ws:
                await ws.send(start())
                session = await calls.sessions.get()
                session.leg.record(on=True)
            await session.next(LegLost)
            drained = asyncio.create_task(server.drained())
            for _ in range(20):
                await asyncio.sleep(0)
            assert not drained.done()
            rest.answered.set()
            async with asyncio.timeout(5):
                await drained

    asyncio.run(scenario())


@pytest.mark.parametrize(("dialect", "insecure"), [("auto", False), ("auto", True), ("twilio", True)])
@pytest.mark.parametrize(("named", "recorded"), [(None, 0), ("CA0", 1)])
def test_a_provider_is_asked_nothing_for_a_call_that_only_its_connection_has_named(
    running_clock, dialect, insecure, named, recorded
):
    class Rest:
        def __init__(self):
            self.asked = []

        async def start_recording(self, call):
            self.asked.append(call)
            return "RE1"

    async def scenario():
        rest = Rest()
        async with serving(
            running_clock, replace(SECURE, keys=PAGE_KEYS, insecure=insecure), controls={"twilio": rest}
        ) as (
            calls,
            tokens,
            _,
            address,
        ):
            token = await tokens.mint(CallGrant("bank", named, dialect))
            async with calling(address, media_path(dialect, "bank", token)) as ws:
                await ws.send(start())
                session = await calls.sessions.get()
                session.leg.record(on=True)
            await session.next(LegLost)
            await session.leg.settled()
            assert rest.asked == ["CA0"] * recorded
            assert session.leg.counts["not recorded at the provider"] == 1 - recorded

    asyncio.run(scenario())


def test_a_call_that_has_been_handed_over_is_waited_for_until_the_carrier_has_asked(running_clock):
    async def scenario():
        settings = replace(INSECURE, transfer_targets={"support": "+4930"})
        async with serving(running_clock, settings) as (calls, _, server, address):
            async with calling(address, "/media/twilio/bank") as ws:
                await ws.send(start())
                session = await calls.sessions.get()
                await session.leg.transfer("support")
                assert await close_code(ws) == 1000
            drained = asyncio.create_task(server.drained())
            async with asyncio.timeout(5):
                await server.live.none_left()
            await asyncio.wait([drained], timeout=0.1)
            assert not drained.done()
            assert await server._transfers.next_of("CA0") == Handover("+4930")
            await drained

    asyncio.run(scenario())


def test_a_socket_that_never_names_its_call_is_closed_with_1008(clock):
    async def scenario():
        async with serving(clock, INSECURE) as (_, _, server, address), calling(address, "/media/twilio/bank") as ws:
            for _ in range(50):  # the server has answered; now it begins to read
                await asyncio.sleep(0)
            assert server.live_calls == 1
            clock.advance(START_DEADLINE_MS)
            async with asyncio.timeout(5):
                await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (1008, "no start")

    asyncio.run(scenario())


def test_audio_of_another_stream_is_not_heard(running_clock):
    async def scenario():
        async with (
            serving(running_clock, INSECURE) as (calls, _, _, address),
            calling(address, "/media/twilio/bank") as ws,
        ):
            await ws.send(start())
            session = await calls.sessions.get()
            await ws.send(media(b"\x01" * 160, "MZ-CA9"))
            await ws.send('{"event":"dtmf","dtmf":{"digit":"1"}}')
            await session.next(DigitsPressed)
            assert b"\x01" not in session.audio
            assert session.leg.counts["another stream"] == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "message",
    [start(mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1}), start("../../x")],
)
def test_a_start_that_cannot_become_a_call_closes_the_socket(running_clock, message):
    async def scenario():
        async with serving(running_clock, INSECURE) as (calls, _, _, address):
            async with calling(address, "/media/twilio/bank") as ws:
                await ws.send(message)
                assert await close_code(ws) == 1008
            assert calls.incoming == []

    asyncio.run(scenario())


def test_a_call_survives_malformed_messages(running_clock):
    async def scenario():
        async with (
            serving(running_clock, INSECURE) as (calls, _, _, address),
            calling(address, "/media/twilio/bank") as ws,
        ):
            await ws.send(start())
            session = await calls.sessions.get()
            for nonsense in (
                "",
                "[]",
                "{",
                "[" * 60_000,
                '{"event":NaN}',
                b"\x00\x01",
                '{"event":"media"}',
                "null",
            ):
                await ws.send(nonsense)
            await ws.send('{"event":"dtmf","dtmf":{"digit":"1"}}')
            await session.next(DigitsPressed)
            assert session.leg.counts["refused"] == 8

    asyncio.run(scenario())


def test_stopping_the_server_ends_calls_that_are_still_running(running_clock):
    async def scenario():
        async with serving(running_clock, INSECURE) as (calls, _, _, address):
            ws = await connect(address + "/media/twilio/bank", compression=None)
            await ws.send(start())
            session = await calls.sessions.get()
        assert (await session.next(LegLost)).reason == "connection closed (1001)"
        assert await close_code(ws) == 1001

    asyncio.run(scenario())


def test_a_hundred_calls_at_once_hear_only_themselves(running_clock):
    async def one(address, calls, number):
        async with calling(address, "/media/twilio/bank") as ws:
            await ws.send(start(f"CA{number}"))
            for _ in range(5):
                await ws.send(media(bytes([number]) * 160, f"MZ-CA{number}"))
            await ws.send('{"event":"stop"}')
            await close_code(ws)

    async def scenario():
        settings = replace(INSECURE, max_lag_ms=10_000)  # the callers have this loop as well
        async with serving(running_clock, settings) as (calls, _, server, address):
            await asyncio.gather(*(one(address, calls, number) for number in range(100)))
            assert len(calls.incoming) == 100
            while not calls.sessions.empty():
                session = calls.sessions.get_nowait()
                number = int(session.incoming.call.removeprefix("CA"))
                assert set(session.audio) <= {number, 0xFF}
                assert session.audio.count(bytes([number]) * 160) == 5
            await server.drained()
            assert server.live_calls == 0

    asyncio.run(scenario())


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"agents": frozenset({"../x"})},
        {"lead_ms": 50},
        {"transfer_targets": {"support": "555 123"}},
        {"public_url": "voice.example.com"},
        {"public_url": "http://voice.example.com"},
        {"public_url": "https://voice.example.com/?x=1"},
        {"public_url": "https://[x"},
        {"public_url": "https://voice.example.com:99999"},
        {"public_url": "http://127.0.0.1.example.com"},
        {"port": 65_536},
        {"port": -1},
        {"keys": CarrierKeys(signalwire_signing_key="k")},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(OperatorError):
        TelephonySettings(**({"agents": frozenset({"bank"})} | wrong))


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
def test_on_this_machine_a_signed_call_can_be_tried_without_a_proxy(host):
    settings = TelephonySettings(agents=frozenset(), public_url=f"http://{host}", twilio_auth_token=SECRET)
    assert settings.media_base == f"ws://{host}"


def test_the_secret_is_not_shown():
    assert SECRET not in repr(SECURE)


def test_a_public_address_may_have_a_path_and_a_slash():
    settings = TelephonySettings(agents=frozenset(), public_url="https://example.com/voice/")
    assert (settings.webhook_base, settings.media_base) == ("https://example.com/voice", "wss://example.com/voice")
