"""What providers are asked over REST, on a server that answers as theirs do."""

from __future__ import annotations

import asyncio
import base64

import pytest

from tests.telephony.provider_api import ProviderApi
from tests.telephony.telnyx_ear import cadence_of
from voiceagent.errors import CallLost
from voiceagent.telephony.ari_calls import AriCalls
from voiceagent.telephony.call_control import Dialled
from voiceagent.telephony.consultations import RING_S
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.telnyx_calls import PLACED, TelnyxCalls
from voiceagent.telephony.twilio_calls import TwilioCalls, signalwire_calls

TWILIO = "/2010-04-01/Accounts/AC0/Calls"
TELNYX = "/v2/calls/v3:c0/actions"
HOOK = "https://voice.example.com/x/bank/answer"


def asking(clock, ask, *, provider, api=None):
    """Let `ask` use a provider's interface; return what the provider was asked."""
    api = api or ProviderApi()

    async def scenario():
        async with api.serving(clock) as address:
            if provider == "twilio":
                control = TwilioCalls(account="AC0", auth_token="t0ken", api=address)
            elif provider == "asterisk":
                control = AriCalls(url=f"{address}/ari/", user="agent", password="s3cret")
            elif provider == "signalwire":
                control = signalwire_calls(space="example", project="p0", token="t0ken", api=address)
            else:
                control = TelnyxCalls(api_key="k3y", connection="app1", api=address)
            try:
                await ask(control)
            finally:
                await control.close()

    asyncio.run(scenario())
    return api


def do(name, *arguments):
    return lambda control: getattr(control, name)(*arguments)


@pytest.mark.parametrize(
    ("number", "pitches", "cadence_ms"),
    [
        ("+15551234567", {440, 480}, [2_000, 4_000]),
        ("+442071234567", {400, 450}, [400, 200, 400, 2_000]),
        ("+4930", {425}, [1_000, 4_000]),
    ],
)
def test_telnyx_is_given_the_tone_of_the_country_that_is_called(running_clock, number, pitches, cadence_ms):
    api = asking(running_clock, do("ring", "v3:c0", number), provider="telnyx")
    ((path, body),) = api.asked
    assert path == "/v2/calls/v3:c0/actions/playback_start"
    assert cadence_of(body["playback_content"]) == (pitches, cadence_ms)
    assert (body["audio_type"], body["target_legs"]) == ("wav", "self")
    assert 90_000 <= body["loop"] * sum(cadence_ms) < 100_000


@pytest.mark.parametrize(
    ("ask", "path", "form"),
    [
        (do("hang_up", "CA0"), "/CA0.json", {"Status": "completed"}),
        (do("transfer", "CA0", "+49&30"), "/CA0.json", {"Twiml": "<Response><Dial>+49&amp;30</Dial></Response>"}),
        (do("start_recording", "CA0"), "/CA0/Recordings.json", {"RecordingChannels": "dual"}),
        (
            do("pause_recording", "CA0", "RE1"),
            "/CA0/Recordings/RE1.json",
            {"Status": "paused", "PauseBehavior": "silence"},
        ),
        (do("resume_recording", "CA0", "RE1"), "/CA0/Recordings/RE1.json", {"Status": "in-progress"}),
        (do("stop_recording", "CA0", ""), "/CA0/Recordings/Twilio.CURRENT.json", {"Status": "stopped"}),
    ],
)
def test_twilio_is_asked_by_forms(running_clock, ask, path, form):
    api = asking(running_clock, ask, provider="twilio")
    assert api.asked == [(TWILIO + path, form)]
    assert api.authorizations == {"Basic " + base64.b64encode(b"AC0:t0ken").decode()}


@pytest.mark.parametrize(
    ("ask", "action", "body"),
    [
        (do("hang_up", "v3:c0"), "hangup", {}),
        (
            do("transfer", "v3:c0", "+4930"),
            "transfer",
            {
                "to": "+4930",
                "target_leg_client_state": base64.b64encode(b"consulted for v3:c0").decode(),
                "timeout_secs": RING_S,
                "early_media": False,
            },
        ),
        (do("stop_ringing", "v3:c0"), "playback_stop", {"stop": "all"}),
        (do("send_digits", "v3:c0", "12#"), "send_dtmf", {"digits": "12#"}),
        (do("start_recording", "v3:c0"), "record_start", {"channels": "dual", "format": "wav"}),
        (do("pause_recording", "v3:c0", ""), "record_pause", {}),
        (do("resume_recording", "v3:c0", ""), "record_resume", {}),
        (do("stop_recording", "v3:c0", ""), "record_stop", {}),
        (do("answer", "v3:c0"), "answer", {"command_id": "answer"}),
        (do("reject", "v3:c0"), "reject", {"cause": "USER_BUSY"}),
    ],
)
def test_telnyx_is_asked_by_commands(running_clock, ask, action, body):
    api = asking(running_clock, ask, provider="telnyx")
    assert api.asked == [(f"{TELNYX}/{action}", body)]
    assert api.authorizations == {"Bearer k3y"}


def test_signalwire_is_asked_as_twilio_is_at_its_own_address(running_clock):
    async def ask(control):
        await control.hang_up("c0")
        with pytest.raises(CallLost, match="SignalWire presses no keys"):
            await control.send_digits("c0", "1")

    api = asking(running_clock, ask, provider="signalwire")
    path = "/api/laml/2010-04-01/Accounts/p0/Calls/c0.json"
    assert api.asked == [(path, {"Status": "completed"})]
    assert api.authorizations == {"Basic " + base64.b64encode(b"p0:t0ken").decode()}


CHANNEL = "1700000000.1"


def there(call=CHANNEL):
    return (f"/ari/channels/{call}", {"": "GET"})


@pytest.mark.parametrize(
    ("ask", "asked"),
    [
        (do("hang_up", CHANNEL), [(f"/ari/channels/{CHANNEL}", {"": "DELETE"})]),
        (
            do("send_digits", CHANNEL, "12#"),
            [
                there(),
                (
                    "/ari/channels",
                    {
                        "endpoint": "Local/digits@voiceagent-do/n",
                        "priority": 1,
                        "context": "voiceagent-do",
                        "extension": "done",
                        "variables": {"VOICEAGENT_CALL": CHANNEL, "VOICEAGENT_DIGITS": "12#"},
                    },
                ),
            ],
        ),
        (
            do("transfer", CHANNEL, "+4930"),
            [
                there(),
                (
                    "/ari/channels",
                    {
                        "endpoint": "Local/transfer@voiceagent-do/n",
                        "priority": 1,
                        "context": "voiceagent-do",
                        "extension": "done",
                        "variables": {"VOICEAGENT_CALL": CHANNEL, "VOICEAGENT_NUMBER": "+4930"},
                    },
                ),
            ],
        ),
        (
            do("dial", Dialled("+4930", "+4940", HOOK, detect_machine=False, agent="bank")),
            [
                (
                    "/ari/channels",
                    {
                        "endpoint": "Local/+4930@voiceagent-numbers/n",
                        "priority": 1,
                        "context": "voiceagent",
                        "extension": "bank",
                        "callerId": "+4940",
                        "variables": {"VOICEAGENT_CALLER": "+4940", "VOICEAGENT_CALLED": "+4930"},
                    },
                )
            ],
        ),
    ],
)
def test_an_asterisk_is_asked_for_channels_of_its_dial_plan(running_clock, ask, asked):
    api = asking(running_clock, ask, provider="asterisk")
    assert api.asked == asked
    assert api.authorizations == {"Basic " + base64.b64encode(b"agent:s3cret").decode()}


def test_an_asterisk_says_where_its_callers_are_and_who_has_hung_up(running_clock):
    api = ProviderApi()

    async def ask(control):
        assert await control.place_of(CHANNEL) == "1000@callers"
        api.dialplan = {"context": "voiceagent-numbers", "exten": "+4930", "priority": 1}
        assert await control.place_of(CHANNEL) == "+4930@voiceagent-numbers"
        api.dialplan = {"context": "callers", "exten": "h", "priority": 1}
        assert await control.place_of(CHANNEL) is None, "the dial plan has not done with them"
        api.over.add(CHANNEL)
        assert await control.place_of(CHANNEL) is None
        api.broken = True
        with pytest.raises(CallLost, match="HTTP 502"):
            await control.place_of(CHANNEL)

    asking(running_clock, ask, provider="asterisk", api=api)


def test_an_asterisk_that_has_no_such_channel_is_asked_for_nothing_more(running_clock):
    api = ProviderApi()
    api.over.add(CHANNEL)

    async def ask(control):
        await control.hang_up(CHANNEL)
        for command in (control.transfer(CHANNEL, "+4930"), control.send_digits(CHANNEL, "1")):
            with pytest.raises(CallLost, match="Channel not found"):
                await command

    asking(running_clock, ask, provider="asterisk", api=api)
    assert len(api.asked) == 3


@pytest.mark.parametrize(
    "ask",
    [
        do("start_recording", CHANNEL),
        do("pause_recording", CHANNEL, ""),
        do("resume_recording", CHANNEL, ""),
        do("stop_recording", CHANNEL, ""),
        do("consult", CHANNEL, Dialled("+4930", "+4940", HOOK, detect_machine=False, agent="bank")),
        do("dial", Dialled("+4930", "+4940", HOOK, detect_machine=True, agent="bank")),
    ],
)
def test_what_an_asterisk_is_not_asked_for_is_refused_here(running_clock, ask):
    async def refused(control):
        with pytest.raises(CallLost):
            await ask(control)

    assert asking(running_clock, refused, provider="asterisk").asked == []


def test_telnyx_streams_both_ways_in_the_codec_that_is_set(running_clock):
    settings = TelephonySettings(agents=frozenset(), telnyx_codec="L16", telnyx_rate_hz=16_000)

    async def ask(control):
        await control.start_stream("v3:c0", "wss://x/media", {"order": "17"}, command_id="stream", settings=settings)

    ((path, body),) = asking(running_clock, ask, provider="telnyx").asked
    assert path == f"{TELNYX}/streaming_start"
    assert body == {
        "command_id": "stream",
        "stream_url": "wss://x/media",
        "stream_track": "inbound_track",
        "stream_codec": "L16",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "L16",
        "stream_bidirectional_sampling_rate": 16_000,
        "stream_bidirectional_target_legs": "self",
        "custom_parameters": [{"name": "order", "value": "17"}],
    }


@pytest.mark.parametrize(
    ("provider", "detect", "path", "body", "call"),
    [
        ("twilio", False, f"{TWILIO}.json", {"To": "+4930", "From": "+4940", "Url": HOOK}, "CA-new"),
        (
            "twilio",
            True,
            f"{TWILIO}.json",
            {
                "To": "+4930",
                "From": "+4940",
                "Url": HOOK,
                "MachineDetection": "DetectMessageEnd",
                "AsyncAmd": "true",
                "AsyncAmdStatusCallback": HOOK.removesuffix("answer") + "machine",
                "AsyncAmdStatusCallbackMethod": "POST",
            },
            "CA-new",
        ),
        (
            "telnyx",
            False,
            "/v2/calls",
            {"connection_id": "app1", "to": "+4930", "from": "+4940", "webhook_url": HOOK, "client_state": PLACED},
            "v3:new",
        ),
        (
            "telnyx",
            True,
            "/v2/calls",
            {
                "connection_id": "app1",
                "to": "+4930",
                "from": "+4940",
                "webhook_url": HOOK,
                "answering_machine_detection": "premium",
                "client_state": PLACED,
            },
            "v3:new",
        ),
    ],
)
def test_a_call_is_placed(running_clock, provider, detect, path, body, call):
    placed = []

    async def ask(control):
        placed.append(await control.dial(Dialled("+4930", "+4940", HOOK, detect, "bank")))

    assert asking(running_clock, ask, provider=provider).asked == [(path, body)]
    assert placed == [call]


@pytest.mark.parametrize(("provider", "call"), [("twilio", "CA0"), ("telnyx", "v3:c0")])
def test_ending_what_has_ended_is_no_failure_and_handing_it_over_is_one(running_clock, provider, call):
    api = ProviderApi()
    api.over.add(call)

    async def ask(control):
        await control.hang_up(call)
        await control.stop_recording(call, "")
        with pytest.raises(CallLost, match=r"20404|90018"):
            await control.transfer(call, "+4930")

    asking(running_clock, ask, provider=provider, api=api)
    assert len(api.asked) == 3


@pytest.mark.parametrize(("provider", "call"), [("twilio", "CA0"), ("telnyx", "v3:c0")])
def test_a_provider_that_answers_with_a_page_of_its_proxy_has_refused(running_clock, provider, call):
    api = ProviderApi()
    api.broken = True

    async def ask(control):
        with pytest.raises(CallLost, match="HTTP 502"):
            await control.hang_up(call)

    asking(running_clock, ask, provider=provider, api=api)


def test_a_provider_that_is_not_there_is_said_so(running_clock):
    async def scenario():
        control = TelnyxCalls(api_key="k3y", api="http://127.0.0.1:9")
        with pytest.raises(CallLost, match="Telnyx cannot be reached: ConnectError"):
            await control.hang_up("v3:c0")
        await control.close()

    asyncio.run(scenario())


def test_twilio_presses_no_keys_during_a_stream(running_clock):
    async def ask(control):
        with pytest.raises(CallLost):
            await control.send_digits("CA0", "1")

    assert asking(running_clock, ask, provider="twilio").asked == []
