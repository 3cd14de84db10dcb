"""The webhook's answer, and whether the server is well."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.console.app import MAX_FORM_BYTES, control_plane
from voiceagent.errors import CallLost, StateUnavailable
from voiceagent.ports import Announcement
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import sign
from voiceagent.telephony.transfers import ASKED_WITHIN_MS, Handover, Transfers
from voiceagent.testing.manual_clock import ManualClock

SECRET = "12345"
SECURE = TelephonySettings(agents=frozenset({"bank"}), public_url="https://voice.example.com", twilio_auth_token=SECRET)
FORM = {"CallSid": "CA0", "From": "+4930", "To": "+4940", "Direction": "inbound"}
PATH = "/twilio/bank/answer"


class Desk:
    """A control plane, asked over ASGI."""

    def __init__(self, settings=SECURE, *, ready=True, full=(), state=MemoryStore, spent=None):
        self.clock = ManualClock()
        self.state = state(self.clock)
        self.tokens = CallTokens(self.state)
        self.transfers = Transfers(settings.transfer_targets, self.clock, self.state)
        self.limits = CallLimits(settings, state=self.state, clock=self.clock, spent=spent)
        self.app = control_plane(
            settings,
            clock=self.clock,
            tokens=self.tokens,
            transfers=self.transfers,
            limits=self.limits,
            detections=Detections(self.state, self.clock),
            ready=lambda: ready,
            takes=lambda agent: agent not in full,
            may_go_on=self._may_go_on,
            connect=lambda url, admitted: False,
        )
        self.broken_off = set()

    async def _may_go_on(self, agent, call):
        return (agent, call) in self.broken_off

    def ask(self, method, target, *, body=None, headers=None):
        async def asked():
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1") as client:
                return await client.request(method, target, content=body, headers=headers or {})

        return asyncio.run(asked())

    def post(self, target=PATH, form=FORM, **extra):
        signature = sign(SECRET, "https://voice.example.com" + target, form.items())
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", target, body=urlencode(form), headers=headers | extra)

    def get(self, target):
        return self.ask(
            "GET", target, headers={"X-Twilio-Signature": sign(SECRET, "https://voice.example.com" + target)}
        )


def stream_of(answer):
    root = document(answer)
    assert [verb.tag for verb in root] == ["Connect", "Redirect"]
    assert [noun.tag for noun in root[0]] == ["Stream"]
    return root[0][0]


def document(answer):
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    root = ET.fromstring(answer.text)  # noqa: S314  written by ourselves
    assert root.tag == "Response"
    return root


def verbs(answer):
    return [(verb.tag, verb.text) for verb in document(answer)]


def test_a_call_is_connected_to_a_media_socket_with_a_fresh_token():
    desk = Desk()
    url = stream_of(desk.post()).get("url")
    head, token = url.rsplit("/", 1)
    assert head == "wss://voice.example.com/media/twilio/bank"
    grant = asyncio.run(desk.tokens.redeem(token, agent="bank"))
    assert grant == CallGrant("bank", "CA0", caller="+4930", called="+4940")


def test_each_answer_has_a_token_of_its_own():
    desk = Desk()
    assert stream_of(desk.post()).get("url") != stream_of(desk.post()).get("url")


def test_a_call_may_come_by_get_as_well():
    desk = Desk()
    stream = stream_of(desk.get(f"{PATH}?{urlencode(FORM)}"))
    assert asyncio.run(desk.tokens.redeem(stream.get("url").rsplit("/", 1)[1], agent="bank")).caller == "+4930"


def test_what_the_dialling_application_wrote_into_the_address_reaches_the_call():
    stream = stream_of(Desk().post(f"{PATH}?order=17&note=a%22%3C%26%00b&bad-name=1&long={'x' * 600}"))
    assert {p.get("name"): p.get("value") for p in stream} == {"order": "17", "note": 'a"<&b'}


@given(st.text(), st.text())
def test_the_answer_is_always_well_formed(value, caller):
    settings = TelephonySettings(agents=frozenset({"bank"}), public_url="https://voice.example.com", insecure=True)
    target = f"{PATH}?{urlencode({'note': value})}"
    stream_of(Desk(settings).ask("POST", target, body=urlencode(FORM | {"From": caller})))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Twilio-Signature": "wrong"},
        {"X-Twilio-Signature": ""},
        {"X-Twilio-Signature": sign(SECRET, "https://voice.example.com" + PATH)},
        {
            "X-Twilio-Signature": sign(SECRET, "https://attacker.example.com" + PATH, FORM.items()),
            "X-Forwarded-Host": "attacker.example.com",
            "Host": "attacker.example.com",
        },
    ],
)
def test_a_webhook_that_is_not_signed_is_refused_and_gives_no_token(headers):
    desk = Desk()
    answer = desk.post(**headers)
    assert answer.status_code == 403
    assert "media" not in answer.text


def test_an_unsigned_get_is_refused():
    assert Desk().ask("GET", f"{PATH}?{urlencode(FORM)}").status_code == 403


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_every_webhook_is_refused(secret):
    settings = TelephonySettings(
        agents=frozenset({"bank"}), public_url="https://voice.example.com", twilio_auth_token=secret
    )
    assert Desk(settings).post().status_code == 403


def test_an_insecure_server_answers_anybody():
    settings = TelephonySettings(agents=frozenset({"bank"}), public_url="http://localhost:8080", insecure=True)
    stream = stream_of(Desk(settings).ask("POST", PATH, body=urlencode(FORM)))
    assert stream.get("url").startswith("ws://localhost:8080/media/twilio/bank/")


def test_a_server_that_does_not_know_its_address_cannot_answer_and_says_so(caplog):
    settings = TelephonySettings(agents=frozenset({"bank"}), insecure=True)
    assert Desk(settings).ask("POST", PATH, body=urlencode(FORM)).status_code == 503
    assert "no public URL is configured" in caplog.text


def test_an_agent_that_does_not_exist_is_not_found():
    assert Desk().post("/twilio/nobody/answer").status_code == 404


@pytest.mark.parametrize("call", ["", "../../x", "CA 0", "C" * 65])
def test_a_call_without_a_proper_id_is_not_answered(call):
    assert Desk().post(form=FORM | {"CallSid": call}).status_code == 400


def test_a_body_that_is_too_long_is_refused():
    answer = Desk().ask("POST", PATH, body=b"x" * (MAX_FORM_BYTES + 1), headers={"X-Twilio-Signature": "x"})
    assert answer.status_code == 413


def test_who_cannot_have_signed_has_no_body_read(caplog):
    async def body():
        pytest.fail("the body was read")
        yield b""

    assert Desk().ask("POST", PATH, body=body()).status_code == 403
    assert "refused /twilio/{agent}/answer with 403: not signed" in caplog.text


def test_a_client_that_breaks_off_in_its_body_is_no_error_of_ours():
    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(b"x-twilio-signature", b"x")],
    }
    told = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        told.append(message)

    asyncio.run(Desk().app(scope, receive, send))
    assert told[0]["status"] == 413


def test_a_server_that_takes_no_calls_leaves_them_to_the_carriers_fallback(caplog):
    desk = Desk(ready=False)
    assert desk.post().status_code == 503
    assert "no new call is taken" in caplog.text


# --- after the stream ------------------------------------------------------------------------------------------------

AFTER = "/twilio/bank/after"
WITH_SUPPORT = replace(SECURE, transfer_targets={"support": "+15551234567"})


def handed_over(desk, call="CA0", announcement=None):
    handover = Handover(desk.transfers.number_of("support"), announcement)
    asyncio.run(desk.transfers.expect(call, handover))


def test_the_answer_goes_on_with_a_question_once_the_stream_has_ended():
    assert verbs(Desk().post())[1] == ("Redirect", f"https://voice.example.com{AFTER}")


def test_a_call_that_was_broken_off_is_connected_once_more():
    desk = Desk()
    desk.broken_off.add(("bank", "CA0"))
    stream = stream_of(desk.post(AFTER))
    token = stream.get("url").rsplit("/", 1)[1]
    grant = asyncio.run(desk.tokens.redeem(token, agent="bank"))
    assert (grant.call, grant.caller, grant.again) == ("CA0", "+4930", True)
    assert verbs(desk.post(AFTER, FORM | {"CallSid": "CA1"})) == [("Hangup", None)]


def test_a_caller_who_is_handed_over_is_dialled_through_and_again_if_the_carrier_asks_again():
    desk = Desk(WITH_SUPPORT)
    handed_over(desk)
    assert verbs(desk.post(AFTER)) == [("Dial", "+15551234567")]
    assert verbs(desk.get(f"{AFTER}?CallSid=CA0")) == [("Dial", "+15551234567")]


OF_THE_PEER = FORM | {"CallSid": "CA-peer", "Direction": "outbound-dial"}
ABOUT_THEM = Announcement("A caller from Bath & around.", "en-GB")


def test_whoever_picks_up_is_told_about_the_caller_before_they_are_connected():
    desk = Desk(WITH_SUPPORT)
    handed_over(desk, announcement=ABOUT_THEM)
    (dial,) = document(desk.post(AFTER))
    assert (dial.tag, dial.get("answerOnBridge"), dial.get("action")) == (
        "Dial",
        "true",
        f"https://voice.example.com{AFTER}",
    )
    (number,) = dial
    assert (number.tag, number.text) == ("Number", "+15551234567")
    url = number.get("url").removeprefix("https://voice.example.com")
    said, then = document(desk.post(url, OF_THE_PEER))
    assert (said.tag, said.text, said.get("language")) == ("Say", ABOUT_THEM.text, "en-GB")
    assert verbs(desk.post(then.text.removeprefix("https://voice.example.com"), OF_THE_PEER)) == [], "connected"
    assert asyncio.run(desk.transfers.consultations.of("CA0")).connected
    assert desk.post(url, **{"X-Twilio-Signature": "wrong"}).status_code == 403
    desk.clock.advance(10 * 60_000)
    assert verbs(desk.post(url)) == [], "long after, somebody is connected and told nothing"


@pytest.mark.parametrize(
    "came",
    [
        {"DialCallStatus": "no-answer"},
        {"DialCallStatus": "busy"},
        {"DialCallStatus": "failed"},
        {"DialCallStatus": "completed", "DialBridged": "false"},
    ],
)
def test_a_caller_whom_nobody_takes_is_connected_to_their_agent_again(came):
    desk = Desk(WITH_SUPPORT)
    handed_over(desk)
    desk.broken_off.add(("bank", "CA0"))
    token = stream_of(desk.post(AFTER, FORM | came)).get("url").rsplit("/", 1)[1]
    assert asyncio.run(desk.tokens.redeem(token, agent="bank")).again


def test_whoever_was_dialled_once_is_not_dialled_again_when_the_agent_has_hung_up_as_well():
    desk = Desk(WITH_SUPPORT)
    handed_over(desk)
    assert verbs(desk.post(AFTER))[0][0] == "Dial"
    assert verbs(desk.post(AFTER))[0][0] == "Dial", "the carrier may ask twice"
    desk.broken_off.add(("bank", "CA0"))
    desk.post(AFTER, FORM | {"DialCallStatus": "busy"})
    desk.broken_off.clear()
    assert verbs(desk.post(AFTER)) == [("Hangup", None)]


def asked_about_them(desk):
    """Have somebody asked whether they take the caller; return what they are told, and where their key is heard of."""
    handed_over(desk, announcement=replace(ABOUT_THEM, accept="Press 1 & talk."))
    ((number,),) = document(desk.post(AFTER))
    gather, hang_up = document(desk.post(number.get("url").removeprefix("https://voice.example.com"), OF_THE_PEER))
    assert (gather.tag, gather.get("numDigits"), gather.get("timeout"), hang_up.tag) == ("Gather", "1", "10", "Hangup")
    (said,) = gather
    return said.text, gather.get("action").removeprefix("https://voice.example.com")


def test_somebody_who_is_asked_takes_the_caller_by_a_key():
    desk = Desk(WITH_SUPPORT)
    told, key_at = asked_about_them(desk)
    assert told == "A caller from Bath & around. Press 1 & talk."
    assert verbs(desk.post(key_at, OF_THE_PEER | {"Digits": "1"})) == []
    desk.broken_off.add(("bank", "CA0"))
    assert verbs(desk.post(AFTER, FORM | {"DialCallStatus": "completed"})) == [("Hangup", None)]


@pytest.mark.parametrize("pressed", [{"Digits": "2"}, {"Digits": ""}, {}])
def test_somebody_who_presses_another_key_is_hung_up_on_and_the_caller_comes_back(pressed):
    desk = Desk(WITH_SUPPORT)
    _, key_at = asked_about_them(desk)
    assert verbs(desk.post(key_at, OF_THE_PEER | pressed)) == [("Hangup", None)]
    desk.broken_off.add(("bank", "CA0"))
    assert stream_of(desk.post(AFTER, FORM | {"DialCallStatus": "completed"})) is not None


def test_a_key_that_nobody_has_signed_connects_nobody():
    desk = Desk(WITH_SUPPORT)
    _, key_at = asked_about_them(desk)
    assert desk.post(key_at, OF_THE_PEER | {"Digits": "1"}, **{"X-Twilio-Signature": "wrong"}).status_code == 403
    assert not asyncio.run(desk.transfers.consultations.of("CA0")).connected


def test_a_caller_whose_time_with_the_agent_is_over_is_told_so_in_the_words_of_the_flow():
    desk = Desk(WITH_SUPPORT)
    asyncio.run(desk.transfers.consultations.will_say("CA0", Announcement("Niemand da.", "de-DE")))
    said, _ = document(desk.post(AFTER, FORM | {"DialCallStatus": "no-answer"}))
    assert (said.text, said.get("language")) == ("Niemand da.", "de-DE")


def test_a_caller_whose_time_with_the_agent_is_over_hears_that_nobody_is_there():
    said, hang_up = verbs(Desk(WITH_SUPPORT).post(AFTER, FORM | {"DialCallStatus": "no-answer"}))
    assert said[0] == "Say"
    assert "nobody can be reached" in said[1]
    assert hang_up == ("Hangup", None)


@pytest.mark.parametrize(
    "came", [{"DialCallStatus": "completed"}, {"DialCallStatus": "completed", "DialBridged": "true"}]
)
def test_a_caller_whom_somebody_has_taken_is_done(came):
    desk = Desk(WITH_SUPPORT)
    desk.broken_off.add(("bank", "CA0"))
    assert verbs(desk.post(AFTER, FORM | came)) == [("Hangup", None)]


def test_a_call_that_is_simply_over_is_hung_up_and_so_is_one_long_after_its_transfer():
    desk = Desk(WITH_SUPPORT)
    handed_over(desk, "CA1")
    assert verbs(desk.post(AFTER)) == [("Hangup", None)]
    asyncio.run(time_is_up(desk))
    assert verbs(desk.post(AFTER, FORM | {"CallSid": "CA1"})) == [("Hangup", None)]


def test_a_server_that_takes_no_calls_still_says_where_those_it_had_are_to_go():
    desk = Desk(WITH_SUPPORT, ready=False)
    handed_over(desk)
    assert verbs(desk.post(AFTER)) == [("Dial", "+15551234567")]


def test_nobody_but_the_carrier_learns_where_a_call_goes():
    desk = Desk(WITH_SUPPORT)
    handed_over(desk)
    refused = desk.post(AFTER, **{"X-Twilio-Signature": "wrong"})
    assert (refused.status_code, "555" in refused.text) == (403, False)


def test_a_transfer_that_no_carrier_asks_about_is_an_error_in_the_log(caplog):
    desk = Desk(WITH_SUPPORT)
    handed_over(desk)
    asyncio.run(time_is_up(desk))
    assert "call CA0 was not handed over" in caplog.text
    asyncio.run(desk.transfers.all_asked())


def test_a_transfer_that_another_worker_was_asked_about_is_no_error(caplog):
    desk = Desk(WITH_SUPPORT)
    another = Transfers({}, desk.clock, desk.state)
    handed_over(desk)
    assert asyncio.run(another.next_of("CA0")) == Handover("+15551234567")
    asyncio.run(time_is_up(desk))
    assert "not handed over" not in caplog.text


async def time_is_up(desk):
    desk.clock.advance(ASKED_WITHIN_MS)
    for _ in range(3):  # what has gone wrong is told by a task
        await asyncio.sleep(0)


class Gone(MemoryStore):
    """Shared state that does not answer."""

    async def note(self, key, value, *, ttl_ms):
        raise StateUnavailable("gone")

    async def noted(self, key):
        raise StateUnavailable("gone")


def test_without_shared_state_no_call_is_connected_and_nobody_is_sent_anywhere(caplog):
    desk = Desk(WITH_SUPPORT, state=Gone)
    assert desk.post().status_code == 503
    assert desk.post(AFTER).status_code == 503
    assert "nobody knows how often its caller calls: gone" in caplog.text
    assert "nobody knows where the caller is to go: gone" in caplog.text
    with pytest.raises(CallLost, match="nobody can be told where the caller is to go"):
        handed_over(desk)


@pytest.mark.parametrize("state", [MemoryStore, Gone])
@pytest.mark.parametrize("asks", [True, False])
def test_a_mailbox_takes_nobody_where_nobody_knows_any_more_what_it_is_to_be_asked(state, asks):
    desk = Desk(WITH_SUPPORT)
    handed_over(desk, announcement=replace(ABOUT_THEM, accept="Press 1.") if asks else ABOUT_THEM)
    ((number,),) = document(desk.post(AFTER))
    another = Desk(WITH_SUPPORT, state=state)
    answer = another.post(number.get("url").removeprefix("https://voice.example.com"), OF_THE_PEER)
    assert verbs(answer) == ([("Hangup", None)] if asks else [])


def test_other_methods_are_not_allowed():
    assert Desk().ask("DELETE", PATH).status_code == 405


def test_a_server_is_alive_though_it_takes_no_calls():
    desk = Desk(ready=False)
    assert desk.ask("GET", "/healthz").status_code == 200
    assert desk.ask("GET", "/readyz").status_code == 503


def test_a_server_that_takes_calls_is_ready_and_says_nothing_else():
    answer = Desk().ask("GET", "/readyz")
    assert (answer.status_code, answer.text) == (200, "ready\n")


def test_a_caller_who_calls_all_the_time_hears_that_it_is_busy():
    desk = Desk(replace(SECURE, max_caller_calls_per_minute=2))
    answers = [desk.post(form=FORM | {"CallSid": f"CA{number}"}) for number in range(3)]
    assert [document(answer)[0].tag for answer in answers] == ["Connect", "Connect", "Reject"]
    assert document(answers[2])[0].get("reason") == "busy"
    other = desk.post(form=FORM | {"CallSid": "CA9", "From": "+4931"})
    assert document(other)[0].tag == "Connect"


class SpentTooMuch:
    """Of so many, one has."""

    def __init__(self, **whose):
        self._whose = whose

    def over(self, **whose):
        return "it has spent too much" if self._whose.items() <= whose.items() else None


def test_b6_an_agent_that_has_spent_too_much_is_left_to_another_server(caplog):
    desk = Desk(spent=SpentTooMuch(agent="bank"))
    assert desk.post().status_code == 503
    assert desk.ask("GET", "/readyz").status_code == 200, "other agents are served"
    assert "refused /twilio/{agent}/answer with 503: it has spent too much" in caplog.text


def test_b6_a_server_that_has_spent_too_much_is_not_ready():
    assert Desk(spent=SpentTooMuch()).ask("GET", "/readyz").status_code == 503


def test_b6_a_caller_who_has_spent_too_much_hears_that_it_is_busy():
    desk = Desk(spent=SpentTooMuch(caller=FORM["From"]))
    assert document(desk.post())[0].tag == "Reject"
    assert document(desk.post(form=FORM | {"CallSid": "CA9", "From": "+4931"}))[0].tag == "Connect"


def test_an_agent_that_has_its_share_of_calls_is_left_to_another_server():
    desk = Desk(full={"bank"})
    assert desk.post().status_code == 503
    assert desk.ask("GET", "/readyz").status_code == 200, "other agents are served"
