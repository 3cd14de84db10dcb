"""The webhooks of carriers other than Twilio: each with its own proof and its own kind of answer."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voiceagent.console.app import control_plane
from voiceagent.errors import CallLost, StateUnavailable
from voiceagent.ports import Announcement
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.dialects import DIALECTS
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.settings import CarrierKeys, TelephonySettings
from voiceagent.telephony.signature import sign
from voiceagent.telephony.telnyx_calls import PLACED
from voiceagent.telephony.transfers import Handover, Transfers
from voiceagent.testing.manual_clock import ManualClock

PUBLIC = "https://voice.example.com"
SECRET = "s3cret"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC_KEY = base64.b64encode(
    PRIVATE.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
).decode()
KEYS = CarrierKeys(
    signalwire_signing_key=SECRET,
    signalwire_bearer="b34rer",
    telnyx_public_key=PUBLIC_KEY,
    cloudonix_secret=SECRET,
    browser_secret=SECRET,
    auto_secret=SECRET,
)
SECURE = TelephonySettings(
    agents=frozenset({"bank"}),
    public_url=PUBLIC,
    twilio_auth_token=SECRET,
    keys=KEYS,
    signalwire_codec="L16@16000h",
    telnyx_codec="PCMA",
)
FORM = {"CallSid": "CA0", "From": "+4930", "To": "+4940"}
RELATIVES = [name for name, row in DIALECTS.items() if row.answer == "twiml" and name != "twilio"]
BY_SECRET = [name for name, row in DIALECTS.items() if row.webhook_proof == "secret"]


class TelnyxAtWork:
    """Notes the commands that Telnyx would be sent."""

    def __init__(self):
        self.commands = []
        self.command_ids = []
        self.refuses = False

    def _note(self, *command):
        if self.refuses:
            raise CallLost("Telnyx refused answer with HTTP 500")
        self.commands.append(command)

    async def answer(self, call):
        self._note("answer", call)

    async def reject(self, call):
        self._note("reject", call)

    async def hang_up(self, call):
        self._note("hang_up", call)

    async def start_stream(self, call, url, parameters, *, command_id, settings):
        self._note("stream", call, url, dict(parameters), settings.telnyx_codec)
        self.command_ids.append(command_id)


class Desk:
    def __init__(self, settings=SECURE, *, ready=True):
        self.clock = ManualClock()
        self.tokens = CallTokens(MemoryStore(self.clock))
        self.telnyx = TelnyxAtWork()
        self.broken_off = set()
        self.transfers = Transfers({}, self.clock, MemoryStore(self.clock))
        self.limits = CallLimits(settings, state=MemoryStore(self.clock), clock=self.clock)
        self.noted = MemoryStore(self.clock)
        self.detections = Detections(self.noted, self.clock)
        self.app = control_plane(
            settings,
            clock=self.clock,
            tokens=self.tokens,
            transfers=self.transfers,
            limits=self.limits,
            detections=self.detections,
            ready=lambda: ready,
            takes=lambda _: True,
            may_go_on=self._may_go_on,
            connect=lambda _url, _admitted: False,
            telnyx=self.telnyx,
        )

    async def _may_go_on(self, agent, call):
        return (agent, call) in self.broken_off

    def words_about(self, call):
        """What the call would be told that has just begun to look."""
        words = []

        async def look():
            async with self.detections.following(call, words.append):
                for _ in range(5):
                    await asyncio.sleep(0)

        asyncio.run(look())
        return words

    def post(self, target, body, headers):
        async def asked():
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1") as client:
                return await client.post(target, content=body, headers=headers)

        return asyncio.run(asked())

    def form(self, name, form=FORM, **headers):
        target = f"/{name}/bank/answer"
        proof = proof_of(name, target, form)
        return self.post(target, urlencode(form), proof | headers)

    def told(self, event, *, target="/telnyx/bank/answer", number="e1", **payload):
        told = {"call_control_id": "v3:c0"} | payload
        if event.startswith("call."):  # of a stream nobody says whose call it belongs to
            told = {"from": "+4930", "to": "+4940"} | told
        if event == "call.initiated":  # no other webhook says it
            told = {"direction": "incoming"} | told
        body = json.dumps({"data": {"id": number, "event_type": event, "payload": told}}).encode()
        at = str(self.clock.unix_ms() // 1_000)
        signature = base64.b64encode(PRIVATE.sign(at.encode() + b"|" + body)).decode()
        return self.post(target, body, {"telnyx-signature-ed25519": signature, "telnyx-timestamp": at})

    def grant(self, url, dialect):
        head, token = url.rsplit("/", 1)
        assert head == f"wss://voice.example.com/media/{dialect}/bank"
        return asyncio.run(self.tokens.redeem(token, agent="bank", dialect=dialect))


async def unavailable(*_, **__):
    raise StateUnavailable("the store is gone")


def basic(secret=SECRET):
    return {"Authorization": "Basic " + base64.b64encode(f"carrier:{secret}".encode()).decode()}


def proof_of(name, target, form):
    if DIALECTS[name].webhook_proof == "secret":
        return basic()
    header = "X-SignalWire-Signature" if name == "signalwire" else "X-Twilio-Signature"
    return {header: sign(SECRET, PUBLIC + target, form.items())}


def stream_of(answer):
    assert answer.status_code == 200, answer.text
    return ET.fromstring(answer.text)[0][0]  # noqa: S314  written by ourselves


# --- relatives of Twilio's -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RELATIVES)
def test_a_relative_is_answered_with_its_own_address_and_asks_there_what_comes_next(name):
    desk = Desk()
    answer = desk.form(name)
    assert desk.grant(stream_of(answer).get("url"), name) == CallGrant("bank", "CA0", name, "+4930", "+4940")
    assert f"<Redirect>{PUBLIC}/{name}/bank/after</Redirect>" in answer.text


def test_signalwire_is_told_which_codec_and_which_token_to_bring():
    stream = stream_of(Desk().form("signalwire"))
    assert (stream.get("codec"), stream.get("authBearerToken")) == ("L16@16000h", "b34rer")
    assert set(stream_of(Desk().form("cloudonix")).attrib) == {"url"}


@pytest.mark.parametrize(("announced", "document"), [(False, "<Hangup/>"), (True, "<Connect>")])
def test_whoever_takes_a_caller_unannounced_has_them_whoever_has_refused_them_before(announced, document):
    desk = Desk()
    desk.broken_off.add(("bank", "CA0"))
    told = Announcement("A caller from Bath.", "en-GB")
    asyncio.run(desk.transfers.expect("CA0", Handover("+4911", told)))
    asyncio.run(desk.transfers.expect("CA0", Handover("+4912", told if announced else None)))
    target, form = "/signalwire/bank/after", FORM | {"DialCallStatus": "completed"}
    answer = desk.post(target, urlencode(form), proof_of("signalwire", target, form))
    assert document in answer.text


@pytest.mark.parametrize("name", RELATIVES)
def test_without_proof_or_with_twilios_own_nobody_is_answered(name):
    target = f"/{name}/bank/answer"
    desk = Desk()
    assert desk.post(target, urlencode(FORM), {}).status_code == 403
    assert desk.post(target, urlencode(FORM), proof_of("twilio", target, FORM)).status_code == 403
    nothing_set = Desk(TelephonySettings(agents=frozenset({"bank"}), public_url=PUBLIC, twilio_auth_token=SECRET))
    assert nothing_set.form(name).status_code == 403


@pytest.mark.parametrize("name", BY_SECRET)
def test_a_wrong_secret_is_none(name):
    assert Desk().post(f"/{name}/bank/answer", "", basic("other")).status_code == 403
    assert Desk().post(f"/{name}/bank/answer", "", {"Authorization": f"Bearer {SECRET}x"}).status_code == 403


def test_of_a_call_that_we_have_placed_the_caller_is_who_was_called_and_who_answered_is_passed_on():
    desk = Desk()
    stream = stream_of(desk.form("twilio", FORM | {"Direction": "outbound-api", "AnsweredBy": "machine_start"}))
    grant = desk.grant(stream.get("url"), "twilio")
    assert (grant.caller, grant.called, grant.outbound) == ("+4940", "+4930", True)
    assert {part.get("name"): part.get("value") for part in stream} == {"answered_by": "machine_start"}


@pytest.mark.parametrize("name", ["twilio", "signalwire"])
def test_who_has_answered_is_told_by_a_callback_that_has_proved_itself(name):
    desk, target, form = Desk(), f"/{name}/bank/machine", FORM | {"AnsweredBy": "machine_end_beep"}
    assert desk.post(target, urlencode(form), {}).status_code == 403
    assert desk.words_about("CA0") == []
    assert desk.post(target, urlencode(form), proof_of(name, target, form)).status_code == 204
    assert desk.words_about("CA0") == ["machine_end_beep"]


def test_a_callback_that_nobody_can_note_is_not_taken_for_told():
    desk, target, form = Desk(), "/twilio/bank/machine", FORM | {"AnsweredBy": "human"}
    desk.noted.note = unavailable
    assert desk.post(target, urlencode(form), proof_of("twilio", target, form)).status_code == 503


# --- Telnyx ----------------------------------------------------------------------------------------------------------


def test_a_call_that_rings_is_answered_and_streamed_once_it_is():
    desk = Desk()
    assert desk.told("call.initiated", target="/telnyx/bank/answer?order=17").status_code == 200
    assert desk.telnyx.commands == [("answer", "v3:c0")]
    assert desk.told("call.answered", target="/telnyx/bank/answer?order=17").status_code == 200
    command, call, url, parameters, codec = desk.telnyx.commands[-1]
    assert (command, call, parameters, codec) == ("stream", "v3:c0", {"order": "17"}, "PCMA")
    assert desk.grant(url, "telnyx") == CallGrant("bank", "v3:c0", "telnyx", "+4930", "+4940")


@pytest.mark.parametrize(
    ("event", "word"),
    [
        ("call.machine.detection.ended", "machine"),
        ("call.machine.greeting.ended", "beep_detected"),
        ("call.machine.premium.detection.ended", "human_residence"),
        ("call.machine.premium.greeting.ended", "no_beep_detected"),
    ],
)
def test_who_has_answered_is_told_to_a_call_that_goes_on_meanwhile(event, word):
    desk = Desk()
    desk.told("call.answered", client_state=PLACED)
    assert desk.told(event, result=word, client_state=PLACED).status_code == 200
    assert desk.words_about("v3:c0") == [word]
    assert len(desk.telnyx.commands) == 1


def test_where_nobody_can_note_it_telnyx_is_asked_to_say_it_again():
    desk = Desk()
    desk.noted.note = unavailable
    assert desk.told("call.machine.detection.ended", result="machine", client_state=PLACED).status_code == 503


def test_a_call_that_we_have_placed_is_streamed_when_it_is_answered():
    desk = Desk()
    desk.told("call.initiated", direction="outgoing", client_state=PLACED)
    desk.told("call.answered", client_state=PLACED)
    ((_, _, url, parameters, _),) = desk.telnyx.commands
    grant = desk.grant(url, "telnyx")
    assert (grant.caller, grant.called, grant.outbound, parameters) == ("+4940", "+4930", True, {})


@pytest.mark.parametrize("event", ["streaming.stopped", "streaming.failed"])
def test_a_stream_that_broke_off_is_begun_anew_where_the_call_goes_on(event):
    desk = Desk()
    desk.broken_off.add(("bank", "v3:c0"))
    desk.told(event, number="e7")
    ((command, _, url, _, _),) = desk.telnyx.commands
    assert (command, desk.telnyx.command_ids) == ("stream", ["e7"])
    assert desk.grant(url, "telnyx").again


def stream_that_began(desk):
    command, _, url, *_ = desk.telnyx.commands[-1]
    assert command == "stream"
    return url


def test_of_all_that_is_said_about_a_stream_that_broke_off_one_begins_another():
    desk = Desk()
    desk.broken_off.add(("bank", "v3:c0"))
    desk.told("call.answered")
    first = stream_that_began(desk)
    desk.told("streaming.failed", number="e2", stream_params={"stream_url": first})
    second = stream_that_began(desk)
    desk.told("streaming.stopped", number="e3", stream_url=first)
    desk.told("streaming.stopped", number="e4", stream_params={"stream_url": first})
    assert len(desk.telnyx.commands) == 2
    desk.told("streaming.stopped", number="e5", stream_url=second)
    third = stream_that_began(desk)
    desk.told("streaming.stopped", number="e6", stream_url=first)
    assert stream_that_began(desk) == third
    assert len({first, second, third}) == len(desk.telnyx.commands) == len(set(desk.telnyx.command_ids))


def test_word_that_a_call_was_answered_which_comes_once_more_leaves_its_newest_stream_as_it_is():
    desk = Desk()
    desk.broken_off.add(("bank", "v3:c0"))
    desk.told("call.answered")
    desk.told("streaming.failed", number="e2", stream_url=stream_that_began(desk))
    newest = stream_that_began(desk)
    desk.told("call.answered")
    assert desk.telnyx.command_ids[-1] == desk.telnyx.command_ids[0], "Telnyx passes it over"
    desk.told("streaming.stopped", number="e3", stream_url=newest)
    assert len(set(desk.telnyx.command_ids)) == 3


def test_two_workers_that_hear_of_the_same_stream_at_once_send_the_same_command():
    ids = []
    for event in ("streaming.failed", "streaming.stopped"):
        desk = Desk()
        desk.broken_off.add(("bank", "v3:c0"))
        desk.told(event, number=event, stream_url="wss://voice.example.com/media/telnyx/bank/t0")
        ids += desk.telnyx.command_ids
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_a_stream_that_could_not_be_begun_anew_is_begun_when_telnyx_asks_again():
    desk = Desk()
    desk.broken_off.add(("bank", "v3:c0"))
    desk.told("call.answered")
    first = stream_that_began(desk)
    desk.telnyx.refuses = True
    assert desk.told("streaming.failed", number="e2", stream_url=first).status_code == 503
    desk.telnyx.refuses = False
    assert desk.told("streaming.failed", number="e2", stream_url=first).status_code == 200
    assert len(desk.telnyx.commands) == 2


@pytest.mark.parametrize("event", ["streaming.stopped", "streaming.failed"])
def test_a_call_whose_stream_is_over_for_good_is_ended_or_its_caller_would_wait_in_silence(event):
    desk = Desk()
    desk.told(event)
    assert [command[0] for command in desk.telnyx.commands] == ["hang_up"]


def test_a_call_that_was_handed_over_is_not_ended_with_its_stream():
    desk = Desk()
    asyncio.run(desk.transfers.leaves("v3:c0"))
    desk.told("streaming.stopped")
    assert desk.telnyx.commands == []


@pytest.mark.parametrize("event", ["call.hangup", "streaming.started", "call.dtmf.received", "x"])
def test_what_asks_for_nothing_is_taken_note_of(event):
    desk = Desk()
    assert desk.told(event).status_code == 200
    assert desk.telnyx.commands == []


def test_a_caller_who_calls_all_the_time_is_rejected():
    desk = Desk(replace(SECURE, max_calls_per_caller=20))
    for number in range(11):
        desk.told("call.initiated", call_control_id=f"v3:c{number}")
    assert [command for command, _ in desk.telnyx.commands] == ["answer"] * 10 + ["reject"]


def test_a_server_that_takes_no_calls_leaves_them_to_the_failover_address():
    desk = Desk(ready=False)
    assert desk.told("call.initiated").status_code == 503
    assert desk.telnyx.commands == []


def test_a_command_that_is_refused_has_telnyx_ask_again():
    desk = Desk()
    desk.telnyx.refuses = True
    assert desk.told("call.initiated").status_code == 503


@pytest.mark.parametrize(
    "changed",
    [
        {"telnyx-timestamp": "1"},
        {"telnyx-signature-ed25519": base64.b64encode(bytes(64)).decode()},
        {"telnyx-signature-ed25519": ""},
    ],
)
def test_what_telnyx_has_not_signed_just_now_does_nothing(changed):
    desk = Desk()
    body = b'{"data":{"event_type":"call.initiated","payload":{"call_control_id":"v3:c0","direction":"incoming"}}}'
    at = str(desk.clock.unix_ms() // 1_000)
    signature = base64.b64encode(PRIVATE.sign(at.encode() + b"|" + body)).decode()
    headers = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": at} | changed
    assert desk.post("/telnyx/bank/answer", body, headers).status_code == 403
    assert desk.post("/telnyx/bank/answer", body, {}).status_code == 403
    assert desk.telnyx.commands == []


def test_a_public_key_that_is_none_lets_nobody_in_and_is_said(caplog):
    settings = TelephonySettings(
        agents=frozenset({"bank"}), public_url=PUBLIC, keys=CarrierKeys(telnyx_public_key="short")
    )
    assert Desk(settings).told("call.initiated").status_code == 503
    assert "TELNYX_PUBLIC_KEY" in caplog.text


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"data":7}', b'{"data":{"event_type":"call.answered"}}', b"\xff"]
)
def test_a_webhook_that_names_nothing_is_not_answered(body):
    settings = TelephonySettings(agents=frozenset({"bank"}), public_url=PUBLIC, insecure=True)
    assert Desk(settings).post("/telnyx/bank/answer", body, {}).status_code == 400


# --- addresses -------------------------------------------------------------------------------------------------------


def test_a_page_gets_an_address_for_one_call_and_the_calls_name():
    desk = Desk()
    answer = desk.post("/browser/bank/answer", "", {"Authorization": f"Bearer {SECRET}"})
    assert desk.grant(answer.json()["url"], "browser") == CallGrant("bank", answer.json()["call"], "browser")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["browser", "auto"])
def test_who_calls_is_said_by_whoever_knows_the_secret(name):
    desk = Desk()
    answer = desk.post(f"/{name}/bank/answer", urlencode({"caller": "+4930123456"}), basic())
    assert desk.grant(answer.json()["url"], name).caller == "+4930123456"


def test_an_address_for_any_dialect_names_no_call():
    desk = Desk()
    answer = desk.post("/auto/bank/answer", "", basic())
    assert set(answer.json()) == {"url"}
    assert desk.grant(answer.json()["url"], "auto") == CallGrant("bank", None, "auto")


def test_an_address_for_any_dialect_may_be_for_a_carriers_call_that_is_known():
    desk = Desk()
    answer = desk.post("/auto/bank/answer", urlencode({"call": "CA1"}), basic())
    assert desk.grant(answer.json()["url"], "auto") == CallGrant("bank", "CA1", "auto")
    assert desk.post("/auto/bank/answer", urlencode({"call": "../CA1"}), basic()).status_code == 400


@pytest.mark.parametrize("name", DIALECTS)
def test_an_agent_that_does_not_exist_is_not_found(name):
    settings = TelephonySettings(agents=frozenset({"bank"}), public_url=PUBLIC, insecure=True)
    assert Desk(settings).post(f"/{name}/nobody/answer", "", {}).status_code == 404
