"""An Asterisk is let in by its password and nothing else, and its question is answered to nobody but it."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import httpx
import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from voiceagent.console.asterisk import AsteriskQuestions
from voiceagent.console.lines import open_lines
from voiceagent.core.events import LegLost
from voiceagent.errors import CallLost, OperatorError
from voiceagent.ports import MULAW_8K
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.admission import Admission, Refusal, admit
from voiceagent.telephony.call_tokens import CallTokens
from voiceagent.telephony.reach import ReachingLine
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.transfers import Transfers

START = (
    "MEDIA_START connection_id:bot channel:WebSocket/bot/0x1 channel_id:179.2 format:ulaw optimal_frame_size:160 "
    "ptime:20"
)
SECRET = "s3cret"
PATH = "/media/asterisk/bank"


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


RIGHT = basic("asterisk:s3cret")


def asked(clock, path, authorization, *, password=SECRET):
    settings = TelephonySettings(agents=frozenset({"bank"}), asterisk_password=password)
    tokens = CallTokens(MemoryStore(clock))
    shown = {"Authorization": [authorization]} if authorization is not None else {}
    return asyncio.run(
        admit(
            path, lambda name: shown.get(name, []), settings=settings, tokens=tokens, no_room=lambda _: None, unix_ms=0
        )
    )


def test_who_shows_the_password_is_let_in_and_says_who_calls(clock):
    admitted = asked(clock, PATH + "?call=17.2&caller=+4930&called=1000&note=a%20b", RIGHT)
    assert isinstance(admitted, Admission)
    (start,) = admitted.dialect.receive(START)
    assert (start.call, start.caller, start.called, start.audio_in) == ("17.2", "+4930", "1000", MULAW_8K)
    assert start.parameters["note"] == "a b"


@pytest.mark.parametrize(
    ("shown", "password"),
    [
        (None, "s3cret"),
        (basic("asterisk:wrong"), "s3cret"),
        (basic("admin:s3cret"), "s3cret"),
        ("Bearer s3cret", "s3cret"),
        (RIGHT, None),
        (basic("asterisk:"), ""),
        ("Basic \udcff", "s3cret"),
    ],
)
def test_nobody_else_is(clock, shown, password):
    refused = asked(clock, PATH, shown, password=password)
    assert isinstance(refused, Refusal)
    assert refused.status == HTTPStatus.UNAUTHORIZED


def test_the_password_of_an_asterisk_opens_no_other_door(clock):
    assert isinstance(asked(clock, "/media/twilio/bank", RIGHT), Refusal)


def test_a_query_of_any_size_does_no_harm(clock):
    refused = asked(clock, PATH + "?" + "&".join(f"a{n}=1" for n in range(500)), RIGHT)
    assert isinstance(refused, Refusal)
    assert refused.status == HTTPStatus.BAD_REQUEST
    admitted = asked(clock, PATH + "?caller=" + "9" * 5_000, RIGHT)
    (start,) = admitted.dialect.receive(START)
    assert start.caller is None


@pytest.mark.parametrize("twice", ["call=17.9&caller=1&call=17.2", "call=&call=17.2", "call=17.9&c%61ll=17.2"])
def test_what_is_said_twice_is_not_heard_at_all(clock, twice):
    """`&` and `=` may stand in who a SIP telephone says it is, and the last word would be its."""
    refused = asked(clock, f"{PATH}?{twice}", RIGHT)
    assert isinstance(refused, Refusal)
    assert refused.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("path", "authorization", "status", "answer"),
    [
        ("/asterisk/bank/after?call=17.2", RIGHT, 200, "again"),
        ("/asterisk/bank/after?call=17.9&caller=1&call=17.2", RIGHT, 400, "Bad Request\n"),
        ("/asterisk/bank/after?call=17.3", RIGHT, 200, "over"),
        ("/asterisk/bank/after?call=17.2", basic("asterisk:wrong"), 401, "Unauthorized\n"),
        ("/asterisk/shop/after?call=17.2", RIGHT, 404, "Not Found\n"),
        ("/asterisk/bank/after", RIGHT, 400, "Bad Request\n"),
    ],
)
def test_it_asks_whether_a_call_goes_on(running_clock, path, authorization, status, answer):
    async def may_go_on(agent, call):
        return (agent, call) == ("bank", "17.2")

    async def run():
        settings = TelephonySettings(agents=frozenset({"bank"}), asterisk_password="s3cret", port=0)
        lines = open_lines(settings, handler=None, healthy=lambda: True, clock=running_clock, may_go_on=may_go_on)
        async with lines as (_, port), httpx.AsyncClient() as client:
            got = await client.get(f"http://127.0.0.1:{port}{path}", headers={"Authorization": authorization})
        assert (got.status_code, got.text) == (status, answer)

    asyncio.run(run())


@pytest.mark.parametrize("moves", [True, False])
def test_it_is_not_told_to_hang_up_while_the_caller_is_being_handed_over(clock, moves):
    async def goes_on(_, call):
        return call == "17.2" and not moves

    async def run():
        settings = TelephonySettings(agents=frozenset({"bank"}), asterisk_password=SECRET)
        state = MemoryStore(clock)
        transfers = Transfers({}, clock, state)
        questions = AsteriskQuestions(
            settings=settings,
            clock=clock,
            tokens=CallTokens(state),
            may_go_on=goes_on,
            is_leaving=transfers.is_leaving,
            connect=lambda _url, _admitted: False,
            why_not=lambda _agent: None,
        )
        transport = httpx.ASGITransport(app=Starlette(routes=questions.routes()))
        headers = {"Authorization": RIGHT}
        async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1", headers=headers) as client:
            await transfers.leaves("17.2")
            asking = asyncio.create_task(client.get("/asterisk/bank/after?call=17.2"))
            for _ in range(20):
                await asyncio.sleep(0)
            assert (await client.get("/asterisk/bank/after?call=17.3")).text == "over"
            for _ in range(60):
                clock.advance(100)
                for _ in range(20):
                    await asyncio.sleep(0)
            assert not asking.done(), "six seconds later nobody knows yet"
            await (transfers.moved("17.2") if moves else transfers.stays("17.2"))
            clock.advance(100)
            assert (await asking).text == ("over" if moves else "again")

    asyncio.run(run())


@pytest.mark.parametrize("shown", [{}, {"Authorization": basic("asterisk:wrong")}])
def test_its_socket_and_its_questions_are_refused_alike(running_clock, shown):
    async def run():
        settings = TelephonySettings(agents=frozenset({"bank"}), asterisk_password=SECRET, port=0)
        lines = open_lines(settings, handler=None, healthy=lambda: True, clock=running_clock)
        async with lines as (_, port), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{port}{PATH}", additional_headers=shown)
            asked = [await client.get(f"/asterisk/bank/{word}?call=1", headers=shown) for word in ("after", "connect")]
        assert {refused.value.response.status_code, *(answer.status_code for answer in asked)} == {401}

    asyncio.run(run())


async def told(port, call):
    """Return what an Asterisk is told in a call, and the code its connection is closed with."""
    address = f"ws://127.0.0.1:{port}{PATH}?call={call}&caller=%2B4930"
    async with asyncio.timeout(20), connect(address, additional_headers={"Authorization": RIGHT}) as connection:
        await connection.send(START)
        messages = []
        with suppress(ConnectionClosed):
            while True:
                messages.append(await connection.recv())
    return messages, connection.close_code


def test_a_call_is_answered_once_its_caller_is_let_in_and_not_before(running_clock):
    async def hangs_up_at_once(_):
        pass

    async def run():
        settings = TelephonySettings(
            agents=frozenset({"bank"}), asterisk_password=SECRET, max_caller_calls_per_minute=1, port=0
        )
        lines = open_lines(settings, handler=hangs_up_at_once, healthy=lambda: True, clock=running_clock)
        async with lines as (_, port):
            assert await told(port, "17.1") == (["ANSWER", "HANGUP"], 1000)
            assert await told(port, "17.2") == ([], 1008)

    asyncio.run(run())


class Calls:
    """Takes calls, and keeps each until its leg is lost."""

    def __init__(self):
        self.incoming = asyncio.Queue()
        self.lost = asyncio.Queue()

    async def __call__(self, incoming):
        over = asyncio.Event()
        incoming.leg.attach(Ears(self.lost, over))
        self.incoming.put_nowait(incoming)
        await over.wait()


class Ears:
    """Hear that a leg is lost, and nothing else."""

    def __init__(self, lost, over):
        self._lost = lost
        self._over = over

    def audio_arrived(self, audio):
        pass

    def post(self, event):
        if isinstance(event, LegLost):
            self._lost.put_nowait(event)
            self._over.set()


class SpentMeanwhile:
    """The agent had not spent too much when its call began, and has since."""

    def __init__(self):
        self.too_much = False

    def over(self, *, agent=None, caller=None):
        return "it has spent too much" if self.too_much and agent is not None else None


def test_a_call_that_asterisk_was_told_to_connect_again_takes_the_place_of_a_connection_that_is_half_open(
    running_clock,
):
    calls, spent = Calls(), SpentMeanwhile()

    async def goes_on(agent, call):
        return (agent, call) == ("bank", "17.2")

    async def run():
        settings = TelephonySettings(agents=frozenset({"bank"}), asterisk_password=SECRET, port=0)
        lines = open_lines(
            settings, handler=calls, healthy=lambda: True, clock=running_clock, may_go_on=goes_on, spent=spent
        )
        shown = {"Authorization": RIGHT}
        async with asyncio.timeout(20), lines as (_, port), httpx.AsyncClient(headers=shown) as client:
            url = f"ws://127.0.0.1:{port}{PATH}?call=17.2"
            half_open = await connect(url, additional_headers=shown)
            await half_open.send(START)
            first = await calls.incoming.get()
            half_open.transport.pause_reading()
            spent.too_much = True

            answer = await client.get(f"http://127.0.0.1:{port}/asterisk/bank/after?call=17.2")
            assert answer.text == "again"
            async with connect(url, additional_headers=shown) as newer:
                await newer.send(START)
                second = await calls.incoming.get()
                assert await newer.recv() == "ANSWER"
                lost = await calls.lost.get()
                assert lost == LegLost(first.leg.id, "the call has a newer leg", may_return=True)
                assert (second.call, first.again, second.again) == (first.call, False, True)
            half_open.transport.abort()

    asyncio.run(run())


def start_of(call):
    """What begins a call that was dialled by this name, whatever its query says."""
    said = {
        "event": "MEDIA_START",
        "connection_id": "bot",
        "channel_id": f"channel-{call}",
        "format": "ulaw",
        "optimal_frame_size": 160,
        "ptime": 20,
        "channel_variables": {"DIALEDPEERNUMBER": f"bot/c(ulaw)f(json)v(call={call})"},
    }
    return json.dumps(said)


def test_a_call_that_is_connected_again_is_so_though_another_connects_with_its_query_and_it_with_the_others(
    running_clock,
):
    calls = Calls()

    async def goes_on(agent, call):
        return (agent, call) == ("bank", "17.2")

    async def run():
        settings = TelephonySettings(agents=frozenset({"bank"}), asterisk_password=SECRET, port=0)
        lines = open_lines(settings, handler=calls, healthy=lambda: True, clock=running_clock, may_go_on=goes_on)
        shown = {"Authorization": RIGHT}
        async with asyncio.timeout(20), lines as (_, port), httpx.AsyncClient(headers=shown) as client:
            url = f"ws://127.0.0.1:{port}{PATH}"
            await client.get(f"http://127.0.0.1:{port}/asterisk/bank/after?call=17.2")
            async with (
                connect(f"{url}?call=17.2", additional_headers=shown) as new,
                connect(f"{url}?call=17.9", additional_headers=shown) as again,
            ):
                for connection, call in ((new, "17.9"), (again, "17.2")):
                    await connection.send(start_of(call))
                    incoming = await calls.incoming.get()
                    assert (incoming.call, incoming.again) == (call, call == "17.2")

    asyncio.run(run())


def test_a_call_that_is_live_is_taken_over_by_no_connection_that_asterisk_was_not_told_to_make(running_clock):
    calls = Calls()

    async def run():
        settings = TelephonySettings(agents=frozenset({"bank"}), asterisk_password=SECRET, port=0)
        lines = open_lines(settings, handler=calls, healthy=lambda: True, clock=running_clock)
        async with asyncio.timeout(20), lines as (_, port):
            url = f"ws://127.0.0.1:{port}{PATH}?call=17.2"
            async with connect(url, additional_headers={"Authorization": RIGHT}) as connection:
                await connection.send(START)
                await calls.incoming.get()
                assert await told(port, "17.2") == ([], 1008)
                assert calls.lost.empty()

    asyncio.run(run())


# --- where we connect to it ------------------------------------------------------------------------------------------


class Waiting:
    """An Asterisk that waits for us, and the server that is asked to come."""

    def __init__(self, clock, *, spent=None, goes_on=False):
        self.clock = clock
        self.goes_on = goes_on
        self.spent = spent
        self.calls = asyncio.Queue()
        self.paths = []
        self.heard = asyncio.Event()

    async def wait(self, connection):
        self.paths.append(connection.request.path)
        await connection.send(START)
        async for message in connection:
            if message == "ANSWER":
                self.heard.set()

    async def take(self, incoming):
        self.calls.put_nowait(incoming)
        await self.heard.wait()

    async def may_go_on(self, agent, call):
        return self.goes_on

    async def run(self, path, *, url=None):
        async with serve(self.wait, "127.0.0.1", 0, subprotocols=["media"]) as asterisk:
            there = asterisk.sockets[0].getsockname()[1]
            settings = TelephonySettings(
                agents=frozenset({"bank"}),
                asterisk_password=SECRET,
                asterisk_url=url or f"ws://127.0.0.1:{there}/media",
                port=0,
            )
            lines = open_lines(
                settings,
                handler=self.take,
                healthy=lambda: True,
                clock=self.clock,
                spent=self.spent,
                may_go_on=self.may_go_on,
            )
            async with lines as (media, port), httpx.AsyncClient(headers={"Authorization": RIGHT}) as client:
                address = f"http://127.0.0.1:{port}/asterisk/bank"
                await client.get(f"{address}/after{path}")
                got = await client.get(f"{address}/connect{path}")
                if got.status_code == HTTPStatus.OK and url is None:
                    incoming = await asyncio.wait_for(self.calls.get(), 5)
                    assert (incoming.caller_number, incoming.again) == ("+4930", self.goes_on)
                    await asyncio.wait_for(self.heard.wait(), 5)
                async with asyncio.timeout(20):
                    await media.drained()
        return got


@pytest.mark.parametrize("goes_on", [False, True])
def test_asked_to_it_connects_to_the_configured_asterisk_only(running_clock, goes_on):
    waiting = Waiting(running_clock, goes_on=goes_on)
    got = asyncio.run(waiting.run("?connection=abc-1&call=17.2&caller=+4930"))
    assert (got.status_code, got.text) == (200, "connecting")
    assert waiting.paths == ["/media/abc-1"]


@pytest.mark.parametrize(
    "path", ["", "?connection=..", "?connection=../../x", "?connection=a%3Fb", "?connection=" + "a" * 65]
)
def test_what_is_no_connection_is_not_connected_to(running_clock, path):
    waiting = Waiting(running_clock)
    assert asyncio.run(waiting.run(path)).status_code == HTTPStatus.BAD_REQUEST
    assert waiting.paths == []


def test_who_answers_there_sends_us_nowhere_else(running_clock, caplog):
    """Asked by a redirect to another place, which may be one that only this machine reaches."""

    async def run():
        asked = []

        async def elsewhere(connection):
            asked.append(connection.request.path)

        async with serve(elsewhere, "127.0.0.1", 0, subprotocols=["media"]) as other:
            there = other.sockets[0].getsockname()[1]

            def sends_away(connection, _):
                response = connection.respond(HTTPStatus.FOUND, "")
                response.headers["Location"] = f"ws://127.0.0.1:{there}/secret"
                return response

            async with serve(elsewhere, "127.0.0.1", 0, process_request=sends_away) as asterisk:
                port = asterisk.sockets[0].getsockname()[1]
                with pytest.raises(CallLost):
                    async with ReachingLine(f"ws://127.0.0.1:{port}/media/abc").reached():
                        pass
        return asked

    assert asyncio.run(run()) == []


class SpentTooMuch:
    """The agent has."""

    def over(self, *, agent=None, caller=None):
        return "it has spent too much" if agent == "bank" else None


def test_an_agent_that_has_spent_too_much_connects_to_no_asterisk(running_clock):
    waiting = Waiting(running_clock, spent=SpentTooMuch())
    got = asyncio.run(waiting.run("?connection=abc-1&call=17.2&caller=+4930"))
    assert got.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert waiting.paths == []


def test_an_asterisk_that_is_not_there_is_no_call_and_no_harm(running_clock, caplog):
    waiting = Waiting(running_clock)
    with caplog.at_level("WARNING"):
        got = asyncio.run(waiting.run("?connection=abc", url="ws://127.0.0.1:1/media"))
    assert got.status_code == HTTPStatus.OK
    assert waiting.calls.empty()


@asynccontextmanager
async def slow_asterisk(clock, **settings):
    """A server that is asked to connect to an Asterisk which accepts, and says nothing until it is `shaken`.

    Gives the media server, what asks it to come, and what has the Asterisk shake hands.
    """
    knocked, shaken = asyncio.Event(), asyncio.Event()

    async def be_slow(_connection, _request):
        knocked.set()
        await shaken.wait()

    async def wait(connection):
        await connection.send(START)
        await connection.wait_closed()

    async with serve(wait, "127.0.0.1", 0, subprotocols=["media"], process_request=be_slow) as asterisk:
        there = asterisk.sockets[0].getsockname()[1]
        known = TelephonySettings(
            agents=frozenset({"bank", "shop"}),
            asterisk_password=SECRET,
            asterisk_url=f"ws://127.0.0.1:{there}/media",
            port=0,
            **settings,
        )
        calls = Calls()
        lines = open_lines(known, handler=calls, healthy=lambda: True, clock=clock)
        headers = {"Authorization": RIGHT}
        async with asyncio.timeout(20), lines as (media, port), httpx.AsyncClient(headers=headers) as client:

            async def ask(agent, number):
                address = f"http://127.0.0.1:{port}/asterisk/{agent}/connect?connection=c{number}&call=17.{number}"
                return (await client.get(address)).status_code

            yield media, ask, knocked, shaken, calls
        shaken.set()


@pytest.mark.parametrize("most", [{"max_calls": 2}, {"max_calls_per_agent": 2}])
def test_no_more_connections_are_made_than_calls_may_be_however_long_they_take(running_clock, most):
    async def run():
        async with slow_asterisk(running_clock, **most) as (media, ask, *_):
            asked = [await ask("bank", number) for number in range(4)]
            assert asked == [200, 200, 503, 503]
            assert media.live_calls == 2
            assert await ask("shop", 9) == (503 if "max_calls" in most else 200)

    asyncio.run(run())


def test_a_connection_that_comes_about_once_the_server_is_draining_begins_no_call(running_clock):
    async def run():
        async with slow_asterisk(running_clock) as (media, ask, knocked, shaken, calls):
            assert await ask("bank", 1) == 200
            await knocked.wait()
            media.drain()
            drained = asyncio.create_task(media.drained())
            await asyncio.sleep(0)
            assert not drained.done()
            shaken.set()
            await drained
            assert calls.incoming.empty()

    asyncio.run(run())


def test_a_server_that_goes_away_waits_for_no_asterisk_that_does_not_answer(running_clock):
    async def run():
        loop = asyncio.get_running_loop()
        async with slow_asterisk(running_clock) as (media, ask, knocked, _, _):
            assert await ask("bank", 1) == 200
            await knocked.wait()
            began = loop.time()
        assert media.live_calls == 0
        assert loop.time() - began < 2

    asyncio.run(run())


@pytest.mark.parametrize("url", ["http://10.0.0.2", "ws://", "ws://[", "ws://10.0.0.2/media?x=1"])
def test_an_address_to_connect_to_is_checked_at_the_start(url):
    with pytest.raises(OperatorError, match="asterisk_url"):
        TelephonySettings(agents=frozenset({"bank"}), asterisk_url=url)
