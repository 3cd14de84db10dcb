"""A caller for whom Telnyx calls somebody hears it ring until there is somebody else to hear, and nobody beside it."""

from __future__ import annotations

import pytest

from tests.telephony.provider_api import leg_b_webhooks
from tests.telephony.telnyx_line import PEER, announcing, called
from tests.telephony.wire_examples import telnyx_media
from voiceagent.errors import CallLost
from voiceagent.ports import Announcement
from voiceagent.telephony.telnyx_calls import LEAVING

AGENT, RINGING, SOMEBODY, NOTHING = {"agent"}, {"ringing"}, {"somebody"}, set()
BY_THE_AGENT_UNTIL_IT_RINGS = [AGENT, AGENT | RINGING, RINGING]
TAKEN = [NOTHING, SOMEBODY]
"""Between the end of the tone and the first word there is one request."""
TAKEN_BACK = [AGENT | RINGING, AGENT]


async def asking(leg):
    assert await leg.transfer("support", Announcement("A caller from Bath.", "en-GB", "Press one to take the call."))


async def unannounced(leg):
    assert await leg.transfer("support")


def heard_by(clock, ending, *events, connection="c0nn", **given):
    """Return what a caller hears who is handed over, and whom the webhooks `events` are about."""

    async def afterwards(tell):
        await tell("streaming.stopped")
        for event, said in events:
            if event == "the caller leaves":
                tell.api.ear.left()
                await tell("call.hangup")
            else:
                await tell(event, **said)

    carried = called(clock, ending, afterwards, connection=connection, **given)
    assert carried.heard[:3] == BY_THE_AGENT_UNTIL_IT_RINGS
    return carried.heard[3:], carried


def peer(event, **said):
    return event, PEER | said


PICKS_UP = (peer("call.initiated"), peer("call.answered"))
ACCEPTS = peer("call.gather.ended", status="valid", digits="1")


def test_whoever_is_announced_is_heard_when_they_have_been_told(running_clock):
    heard, _ = heard_by(running_clock, announcing, *PICKS_UP)
    assert heard == [], "it rings on while they are told"
    heard, _ = heard_by(running_clock, announcing, *PICKS_UP, peer("call.speak.ended", status="completed"))
    assert heard == TAKEN


@pytest.mark.parametrize(
    ("refused", "heard_first"), [(1, TAKEN), (2, [RINGING | SOMEBODY, SOMEBODY])], ids=["once", "twice"]
)
def test_a_tone_that_is_not_stopped_at_first_is_not_heard_beside_somebody_for_long(
    running_clock, caplog, refused, heard_first
):
    async def afterwards(tell):
        tries = iter([True] * refused)

        async def refuses():
            (tell.api.refuses.add if next(tries, False) else tell.api.refuses.discard)("playback_stop")

        tell.api.meanwhile["playback_stop"] = refuses
        await tell("streaming.stopped")
        for event, said in (*PICKS_UP, peer("call.speak.ended"), peer("call.bridged")):
            await tell(event, **said)

    assert called(running_clock, announcing, afterwards, connection="c0nn").heard[3:] == heard_first
    assert ("its ringing was not stopped" in caplog.text) == (refused == 2)


@pytest.mark.parametrize("cause", ["user_busy", "timeout", "unallocated_number"])
def test_a_caller_whom_nobody_takes_hears_it_ring_until_they_are_with_the_agent_again(running_clock, cause):
    heard, _ = heard_by(running_clock, announcing, peer("call.initiated"), peer("call.hangup", hangup_cause=cause))
    assert heard == TAKEN_BACK


@pytest.mark.parametrize("asks", [False, True])
def test_it_rings_on_for_a_caller_of_whom_somebody_has_heard_enough(running_clock, asks):
    hung_up = peer("call.gather.ended" if asks else "call.speak.ended", status="call_hangup")
    heard, carried = heard_by(running_clock, asking if asks else announcing, *PICKS_UP, hung_up, peer("call.hangup"))
    assert heard == TAKEN_BACK
    assert "bridge" not in [command for _, command, _ in carried.asked]


def test_somebody_who_is_asked_takes_the_caller_by_pressing_one(running_clock):
    heard, carried = heard_by(running_clock, asking, *PICKS_UP, ACCEPTS)
    assert heard == TAKEN
    (question,) = [body for _, command, body in carried.asked if command == "gather_using_speak"]
    assert question["payload"] == "A caller from Bath. Press one to take the call."
    assert (question["language"], question["maximum_digits"], question["timeout_millis"]) == ("en-GB", 1, 10_000)


@pytest.mark.parametrize("ending", [asking, announcing])
def test_somebody_who_picks_up_is_told_once_however_often_telnyx_says_that_they_have(running_clock, ending):
    _, carried = heard_by(running_clock, ending, *PICKS_UP, peer("call.answered"))
    assert [command for call, command, _ in carried.asked if call == "v3:new"] == [
        "gather_using_speak" if ending is asking else "speak"
    ]


def test_somebody_who_has_taken_the_caller_is_not_hung_up_on_for_a_key_that_they_press_no_more(running_clock):
    late = peer("call.gather.ended", status="timeout", digits="")
    heard, carried = heard_by(running_clock, asking, *PICKS_UP, ACCEPTS, late)
    assert heard == TAKEN
    assert carried.asked[-1][1] == "bridge"


@pytest.mark.parametrize(
    "answer", [{"status": "valid", "digits": "2"}, {"status": "timeout", "digits": ""}, {"status": "timeout"}]
)
def test_somebody_who_refuses_and_a_mailbox_that_presses_nothing_have_not_taken_the_caller(running_clock, answer):
    said = peer("call.speak.ended", status="completed")  # of the question
    heard, carried = heard_by(
        running_clock, asking, *PICKS_UP, said, peer("call.gather.ended", **answer), peer("call.hangup")
    )
    assert heard == TAKEN_BACK
    assert [(call, command) for call, command, _ in carried.asked[-2:]] == [
        ("v3:new", "hangup"),
        ("v3:c", "streaming_start"),
    ]


def test_nothing_more_is_done_for_a_caller_who_hangs_up_while_it_rings(running_clock):
    heard, carried = heard_by(running_clock, announcing, peer("call.initiated"), ("the caller leaves", {}))
    assert heard == []
    assert [(call, command) for call, command, _ in carried.asked[3:]] == [("v3:new", "hangup")]


def test_a_caller_who_speaks_while_it_rings_stops_nothing(running_clock):
    async def speaks(socket):
        for place in range(2, 52):
            await socket.send(telnyx_media("fw==", chunk=str(place), timestamp=str(20 * place)))
        await socket.send('{"event":"dtmf","stream_id":"S1","sequence_number":"99","dtmf":{"digit":"0"}}')

    heard, carried = heard_by(running_clock, announcing, peer("call.initiated"), while_it_dials=speaks)
    assert heard == []
    assert [command for _, command, _ in carried.asked] == ["answer", "streaming_start", "calls"]


def test_it_rings_on_where_our_own_connection_breaks(running_clock):
    async def breaks(socket):
        socket.transport.abort()

    heard, _ = heard_by(
        running_clock,
        announcing,
        ("streaming.failed", {}),
        *PICKS_UP,
        peer("call.speak.ended"),
        while_it_dials=breaks,
        closed_with=1006,
    )
    assert heard == TAKEN


def test_somebody_who_answers_unannounced_is_heard_and_soon_after_nothing_else(running_clock):
    heard, _ = heard_of_transfer(running_clock, "answered")
    assert heard == [RINGING | SOMEBODY, SOMEBODY], "Telnyx connects the two, and tells us then"


@pytest.mark.parametrize("came_of_it", ["busy", "no answer"])
def test_a_caller_whom_nobody_takes_unannounced_hears_it_ring_until_they_are_back(running_clock, came_of_it):
    heard, _ = heard_of_transfer(running_clock, came_of_it)
    assert heard == TAKEN_BACK


def heard_of_transfer(clock, came_of_it):
    async def afterwards(tell):
        await tell("streaming.stopped")
        (command,) = [body for path, body in tell.api.asked if path.endswith("transfer")]
        for event, said in leg_b_webhooks(command, caller="v3:c", came_of_it=came_of_it):
            if event == "call.answered":
                tell.api.ear.picked_up()
            await tell(event, **said)

    carried = called(clock, unannounced, afterwards)
    assert carried.heard[:3] == BY_THE_AGENT_UNTIL_IT_RINGS
    return carried.heard[3:], carried


def test_a_caller_whose_time_with_us_is_over_hears_why_and_no_tone_over_it(running_clock):
    heard, _ = heard_by(
        running_clock, announcing, peer("call.hangup"), ("call.speak.ended", {"client_state": LEAVING}), may_go_on=False
    )
    assert heard == [NOTHING, {"carrier's voice"}]


def test_a_caller_is_handed_over_in_silence_where_no_tone_can_be_played(running_clock, caplog):
    carried = called(running_clock, announcing, connection="c0nn", refuses={"playback_start"})
    assert [command for _, command, _ in carried.asked] == ["answer", "streaming_start", "calls"]
    assert carried.heard == [AGENT, NOTHING]
    assert "Telnyx refused playback_start with HTTP 422 (90054)" in caplog.text


def test_an_agent_who_could_not_hand_the_caller_over_speaks_over_no_tone(running_clock):
    async def refused(leg):
        with pytest.raises(CallLost, match="refused calls"):
            await leg.transfer("support", Announcement("A caller from Bath.", "en-GB"))
        await leg.settled()
        await leg.hang_up(drain=False)

    carried = called(running_clock, refused, connection="c0nn", refuses={"dial"})
    assert carried.heard == [AGENT, AGENT | RINGING, AGENT, NOTHING]


def test_a_caller_who_could_not_be_connected_to_us_hears_it_ring_until_they_are(running_clock):
    async def afterwards(tell):
        await tell("streaming.stopped")
        tell.api.refuses.add("streaming_start")
        with pytest.raises(AssertionError):
            await tell("call.hangup", **PEER)
        assert tell.api.ear.heard[-1] == RINGING
        tell.api.refuses.clear()
        await tell("call.hangup", **PEER)

    assert called(running_clock, announcing, afterwards, connection="c0nn").heard[3:] == TAKEN_BACK
