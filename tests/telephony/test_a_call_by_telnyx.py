"""A call at Telnyx from its first webhook to its last command: nobody is let in who was not announced."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect

from tests.telephony.provider_api import leg_b_webhooks
from tests.telephony.telnyx_line import PEER, announcing, called, commands_of, nothing
from tests.telephony.wire_examples import telnyx_start
from voiceagent.ports import Announcement
from voiceagent.telephony.consultations import RING_S
from voiceagent.telephony.telnyx_calls import LEAVING


def test_a_call_is_answered_streamed_let_in_once_and_ended_by_request(running_clock):
    async def ending(leg):
        await leg.hang_up(drain=True)

    carried = called(running_clock, ending)
    assert commands_of(carried.asked) == ["answer", "streaming_start", "hangup"]
    assert carried.taken == [("v3:c", "+4930", "+4940")]


def test_a_caller_whose_audio_is_not_spoken_here_is_hung_up_on(running_clock, caplog):
    carried = called(running_clock, nothing, start=telnyx_start("G722", call_control_id="v3:other"), closed_with=1008)
    assert [(call, command) for call, command, _ in carried.asked] == [
        ("v3:c", "answer"),
        ("v3:c", "streaming_start"),
        ("v3:c", "hangup"),  # the call that was announced, whatever the stream says
    ]
    assert carried.taken == []
    assert "its connection is of no use (audio format not agreed)" in caplog.text


def handed_over(clock, came_of_it, *, afterwards=nothing, **given):
    """Have a caller handed over without a word to whoever picks up; return what Telnyx was asked after that command."""

    async def ending(leg):
        assert await leg.transfer("support") is True, "they may come back"

    async def leg_b(tell):
        await tell("streaming.stopped")  # ours, and no reason to connect the caller again
        (command,) = [body for path, body in tell.api.asked if path.endswith("transfer")]
        for event, said in leg_b_webhooks(command, caller="v3:c", came_of_it=came_of_it):
            await tell(event, **said)
        await afterwards(tell)

    asked = called(clock, ending, leg_b, **given).asked
    assert asked[2][:2] == ("v3:c", "transfer")
    return asked[3:]


@pytest.mark.parametrize("connection", ["", "c0nn"])
def test_a_caller_whom_somebody_takes_is_theirs_and_the_agent_is_on_no_line(running_clock, connection):
    async def afterwards(tell):
        await tell("call.hangup")

    assert handed_over(running_clock, "answered", afterwards=afterwards, connection=connection) == []


@pytest.mark.parametrize("came_of_it", ["busy", "no answer", "not connected"])
def test_a_caller_whom_nobody_took_unannounced_is_streamed_to_us_again(running_clock, came_of_it):
    ((call, command, body),) = handed_over(running_clock, came_of_it)
    assert (call, command) == ("v3:c", "streaming_start")
    assert body["stream_url"].startswith("wss://voice.example.com/media/telnyx/bank/")


def test_a_caller_whom_nobody_took_unannounced_too_late_is_told_so_and_hung_up_on(running_clock):
    async def afterwards(tell):
        await tell("call.speak.ended", client_state=LEAVING)

    said, hung_up = handed_over(running_clock, "busy", afterwards=afterwards, may_go_on=False)
    assert said[:2] == ("v3:c", "speak")
    assert hung_up[:2] == ("v3:c", "hangup")


def test_a_caller_who_could_not_be_connected_again_is_tried_for_once_more(running_clock):
    async def afterwards(tell):
        tell.api.broken = True
        with pytest.raises(AssertionError):
            await tell("call.hangup", **PEER)
        tell.api.broken = False
        await tell("call.hangup", **PEER)

    asked = consulted(running_clock, afterwards)
    assert commands_of(asked[1:]) == ["streaming_start", "streaming_start"]


def consulted(clock, afterwards, **given):
    """Have a caller handed over with an announcement; return what Telnyx was asked after their stream had begun."""

    async def with_the_stream_over(tell):
        await tell("streaming.stopped")  # ours, and no reason to connect the caller again
        await afterwards(tell)

    asked = called(clock, announcing, with_the_stream_over, connection="c0nn", **given).asked
    assert commands_of(asked)[:3] == ["answer", "streaming_start", "calls"]
    return asked[2:]


def test_whoever_picks_up_is_told_about_the_caller_and_then_connected(running_clock):
    async def afterwards(tell):
        await tell("call.initiated", **PEER)
        await tell("call.answered", **PEER)
        await tell("call.speak.ended", **PEER)
        await tell("call.hangup", **PEER)

    dialled, said, bridged = consulted(running_clock, afterwards)
    assert dialled[2] == {
        "connection_id": "c0nn",
        "to": "+4911",
        "from": "+4940",
        "webhook_url": "https://voice.example.com/telnyx/bank/answer",
        "client_state": PEER["client_state"],
        "link_to": "v3:c",
        "timeout_secs": RING_S,
    }
    assert said == (
        "v3:new",
        "speak",
        {"command_id": "speak", "payload": "A caller from Bath.", "language": "en-GB", "voice": "female"},
    )
    assert bridged == ("v3:c", "bridge", {"call_control_id": "v3:new"})


@pytest.mark.parametrize("hangs_up", ["when they are connected", "later"])
def test_a_caller_who_could_not_be_connected_to_whoever_was_there_is_streamed_to_us_again_once(running_clock, hangs_up):
    async def afterwards(tell):
        async def hung_up():
            await tell("call.hangup", **PEER)

        await tell("call.answered", **PEER)
        if hangs_up == "when they are connected":
            tell.api.meanwhile["bridge"] = hung_up
        await tell("call.speak.ended", **PEER)
        if hangs_up == "later":
            await hung_up()

    _, _, *asked = consulted(running_clock, afterwards, refuses={"bridge"})
    assert [(call, command) for call, command, _ in asked] == [
        ("v3:c", "bridge"),
        ("v3:new", "hangup"),
        ("v3:c", "streaming_start"),
    ]


@pytest.mark.parametrize("answered", [False, True])
def test_a_caller_whom_nobody_takes_is_streamed_to_us_again(running_clock, answered):
    async def afterwards(tell):
        if answered:
            await tell("call.answered", **PEER)
        await tell("call.hangup", **PEER)
        await tell("call.hangup", **PEER)

    asked = consulted(running_clock, afterwards)
    assert [(call, command) for call, command, _ in asked[1 + answered :]] == [("v3:c", "streaming_start")]


def test_somebody_who_is_busy_at_once_gives_the_caller_back_when_our_end_of_the_stream_is_closed(running_clock):
    async def afterwards(tell):
        await asyncio.gather(tell("call.hangup", **PEER), tell("streaming.stopped"))

    asked = called(running_clock, announcing, afterwards, connection="c0nn", may_go_on=[False, False, True]).asked
    assert commands_of(asked) == ["answer", "streaming_start", "calls", "streaming_start"]


def test_a_caller_who_comes_back_keeps_their_number(running_clock):
    async def afterwards(tell):
        await tell("call.hangup", **PEER, **{"from": "+4940", "to": "+4911"})
        async with connect(tell.newest_stream, compression=None) as socket:
            await socket.send(telnyx_start(**{"from": "+4930", "to": "+4940"}))
            await socket.wait_closed()

    taken = called(running_clock, announcing, afterwards, connection="c0nn").taken
    assert taken == [("v3:c", "+4930", "+4940")] * 2


def test_a_caller_whose_time_with_us_is_over_is_told_so_and_hung_up_on(running_clock):
    async def afterwards(tell):
        await tell("call.hangup", **PEER)
        await tell("call.speak.ended", client_state=LEAVING)

    _, said, hung_up = consulted(running_clock, afterwards, may_go_on=False)
    assert said[:2] == ("v3:c", "speak")
    assert "nobody can be reached" in said[2]["payload"]
    assert hung_up[:2] == ("v3:c", "hangup")


def test_a_caller_whose_time_with_us_is_over_is_told_so_in_the_words_of_the_flow(running_clock):
    async def ending(leg):
        await leg.transfer("support", sorry=Announcement("Niemand da.", "de-DE"))

    async def afterwards(tell):
        await tell("call.hangup", **PEER)

    (said,) = [body for _, command, body in called(running_clock, ending, afterwards, may_go_on=False).asked[3:]]
    assert (said["payload"], said["language"]) == ("Niemand da.", "de-DE")


def test_nobody_is_kept_ringing_for_a_caller_who_has_left(running_clock):
    async def afterwards(tell):
        await tell("call.hangup")

    _, hung_up = consulted(running_clock, afterwards)
    assert hung_up[:2] == ("v3:new", "hangup")


def test_without_an_application_that_places_calls_the_caller_goes_unannounced(running_clock, caplog):
    asked = called(running_clock, announcing).asked
    assert commands_of(asked) == ["answer", "streaming_start", "transfer"]
    assert "telnyx cannot announce" in caplog.text


@pytest.mark.parametrize("event", ["call.initiated", "call.answered", "call.speak.ended", "call.gather.ended"])
def test_somebody_called_by_a_request_that_was_given_up_is_not_put_through(running_clock, event):
    async def afterwards(tell):
        await tell(event, **(PEER | {"call_control_id": "v3:given-up"}))
        await tell("call.hangup", **(PEER | {"call_control_id": "v3:given-up"}))

    asked = consulted(running_clock, afterwards)
    assert [(call, command) for call, command, _ in asked[1:]] == [("v3:given-up", "hangup")]


def test_nobody_is_announced_for_a_caller_who_stays(running_clock):
    async def ending(leg):
        del leg

    async def afterwards(tell):
        await tell("call.speak.ended", **PEER)

    asked = called(running_clock, ending, afterwards).asked
    assert asked[-1][:2] == ("v3:new", "hangup")
