"""Who is let in, dialect by dialect: nobody without the proof that the dialect has, and nobody twice."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from http import HTTPStatus

import pytest

from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.admission import Admission, admit, media_path
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.dialects import DIALECTS
from voiceagent.telephony.settings import CarrierKeys, TelephonySettings
from voiceagent.telephony.signature import MAX_AGE_S, fonoster_signature, secret_is_shown, sign

SECRET = "s3cret"
STANDS_AT_MS = 1_700_001_000_000
"""Unix time of the clock that stands."""
SECURE = TelephonySettings(
    agents=frozenset({"bank"}),
    public_url="https://voice.example.com",
    twilio_auth_token=SECRET,
    asterisk_password=SECRET,
    keys=CarrierKeys(signalwire_bearer=SECRET, fonoster_secret=SECRET),
)
NOTHING_CONFIGURED = TelephonySettings(agents=frozenset({"bank"}), public_url="https://voice.example.com")
every_dialect = pytest.mark.parametrize("name", DIALECTS)
WITH_TOKENS = [name for name, row in DIALECTS.items() if not row.has_no_token]


class Door:
    """Admission, with the tokens that it redeems."""

    def __init__(self, clock, settings=SECURE):
        self.settings = settings
        self.tokens = CallTokens(MemoryStore(clock))
        self.full = False
        self.clock = clock

    def path(self, name, *, agent="bank", minted_for=None):
        grant = CallGrant(agent, "CA0", minted_for or name)
        return media_path(name, agent, asyncio.run(self.tokens.mint(grant)))

    def knock(self, path, **headers):
        given = {name.replace("_", "-"): value for name, value in headers.items()}

        def header(name):
            value = given.get(name)
            return value if isinstance(value, list) else [value] if value is not None else []

        def no_room(agent):
            return f"{agent} has all its calls" if self.full else None

        unix_ms = self.clock.unix_ms()
        return asyncio.run(
            admit(path, header, settings=self.settings, tokens=self.tokens, no_room=no_room, unix_ms=unix_ms)
        )

    def status(self, path, **headers):
        answer = self.knock(path, **headers)
        return HTTPStatus.SWITCHING_PROTOCOLS if isinstance(answer, Admission) else answer.status


def proof(name, path):
    match DIALECTS[name].socket_proof:
        case "signature":
            return {"X_Twilio_Signature": sign(SECRET, "wss://voice.example.com" + path)}
        case "bearer":
            return {"Authorization": f"Bearer {SECRET}"}
        case "basic":
            return {"Authorization": "Basic " + base64.b64encode(f"asterisk:{SECRET}".encode()).decode()}
        case "hmac":
            return signed_by_fonoster(path)
        case "call_token":
            return {}


def signed_by_fonoster(path, *, at_ms=STANDS_AT_MS, url="wss://voice.example.com", secret=SECRET):
    at_s = str(at_ms // 1_000)
    return {"x_fonoster_timestamp": at_s, "x_fonoster_signature": fonoster_signature(secret, at_s, url + path)}


@every_dialect
def test_whoever_has_the_proof_and_the_token_is_let_in_once(clock, name):
    door = Door(clock)
    path = door.path(name)
    admitted = door.knock(path, **proof(name, path))
    assert (admitted.agent, admitted.dialect.features.dialect, admitted.grant.call) == ("bank", name, "CA0")
    assert door.status(path, **proof(name, path)) == 403


@every_dialect
def test_whoever_comes_when_there_is_no_room_may_try_again_with_the_same_token(clock, name):
    door = Door(clock)
    path = door.path(name)
    door.full = True
    assert door.status(path, **proof(name, path)) == 503
    door.full = False
    assert door.status(path, **proof(name, path)) == 101


def test_a_call_that_is_connected_again_may_be_so_once_there_is_room(clock):
    door = Door(clock)
    asyncio.run(door.tokens.expect_again("17.2", agent="bank", dialect="asterisk"))
    path = "/media/asterisk/bank?call=17.2"
    door.full = True
    assert door.status(path, **proof("asterisk", path)) == 503
    door.full = False
    assert door.knock(path, **proof("asterisk", path)).grant.again


@pytest.mark.parametrize("name", WITH_TOKENS)
def test_nobody_is_let_in_without_a_token(clock, name):
    path = f"/media/{name}/bank"
    assert Door(clock).status(path, **proof(name, path)) == 403


@pytest.mark.parametrize("name", ["asterisk", "fonoster"])
def test_whoever_asks_for_no_address_needs_no_token_for_no_answer_of_ours_has_given_it_one(clock, name):
    path = f"/media/{name}/bank"
    assert Door(clock).status(path, **proof(name, path)) == 101


@pytest.mark.parametrize("url", ["wss://voice.example.com", "wss://voice.example.com:443"])
@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("age_s", [0, MAX_AGE_S, -MAX_AGE_S])
def test_fonoster_signs_the_address_that_stands_in_its_stream_and_says_when(clock, url, end, age_s):
    path = "/media/fonoster/bank"
    headers = signed_by_fonoster(path + end, at_ms=STANDS_AT_MS - 1_000 * age_s, url=url)
    assert Door(clock).status(path, **headers) == 101


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"at_ms": STANDS_AT_MS - 1_000 * (MAX_AGE_S + 1)}, 403),
        ({"at_ms": STANDS_AT_MS + 1_000 * (MAX_AGE_S + 1)}, 403),
        ({"secret": "another"}, 403),
        ({"url": "wss://attacker.example.com"}, 403),
        ({"url": "wss://voice.example.com/media/fonoster/clinic"}, 403),
    ],
)
def test_what_fonoster_has_signed_for_something_else_opens_nothing(clock, changed, status):
    path = "/media/fonoster/bank"
    assert Door(clock).status(path, **signed_by_fonoster(path, **changed)) == status


@pytest.mark.parametrize("missing", ["x_fonoster_timestamp", "x_fonoster_signature"])
@pytest.mark.parametrize("shown", [None, [], "twice"])
def test_a_socket_that_fonoster_has_not_signed_is_told_so(clock, missing, shown):
    path = "/media/fonoster/bank"
    headers = signed_by_fonoster(path)
    headers[missing] = [headers[missing]] * 2 if shown == "twice" else shown
    assert Door(clock).status(path, **headers) == 401
    assert Door(clock).status(path, **signed_by_fonoster(path) | {"x_fonoster_timestamp": "soon"}) == 403


@every_dialect
def test_a_token_that_was_never_given_lets_nobody_in(clock, name):
    path = f"/media/{name}/bank"
    assert Door(clock).status(path + "/made-up", **proof(name, path + "/made-up")) == 403


@every_dialect
def test_a_token_of_another_dialect_opens_nothing(clock, name):
    door = Door(clock)
    other = "telnyx" if name != "telnyx" else "twilio"
    path = door.path(name, minted_for=other)
    assert door.status(path, **proof(name, path)) == 403


@every_dialect
def test_where_nothing_is_configured_nobody_is_let_in_but_by_a_token_that_stands_alone(clock, name):
    door = Door(clock, NOTHING_CONFIGURED)
    path = door.path(name)
    expected = {"call_token": 101, "basic": 401}.get(DIALECTS[name].socket_proof, 403)
    assert door.status(path, **proof(name, path)) == expected


@every_dialect
def test_a_token_that_stands_alone_is_required_even_where_others_are_not(clock, name):
    door = Door(clock, replace(SECURE, require_call_token=False))
    path = f"/media/{name}/bank"
    alone = DIALECTS[name].socket_proof == "call_token"
    assert door.status(path, **proof(name, path)) == (403 if alone else 101)


@every_dialect
def test_insecure_lets_anybody_in(clock, name):
    settings = TelephonySettings(agents=frozenset({"bank"}), insecure=True)
    assert Door(clock, settings).status(f"/media/{name}/bank") == 101


@every_dialect
@pytest.mark.parametrize("query", ["?", "?caller=1"])
def test_only_a_carrier_that_speaks_in_the_query_string_has_one(clock, name, query):
    door = Door(clock)
    path = door.path(name) + query
    assert door.status(path, **proof(name, path)) == (101 if name == "asterisk" else 404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer other"}, 403),
        ({"Authorization": f"Bearer {SECRET}x"}, 403),
        ({"Authorization": [f"Bearer {SECRET}"] * 2}, 401),
        ({"Authorization": SECRET}, 403),
        ({"X_Twilio_Signature": "x"}, 401),
    ],
)
def test_signalwire_shows_its_bearer_token_and_a_wrong_one_uses_no_call_token_up(clock, headers, status):
    door = Door(clock)
    path = door.path("signalwire")
    assert door.status(path, **headers) == status
    assert door.status(path, Authorization=f"Bearer {SECRET}") == 101


@pytest.mark.parametrize(
    ("authorization", "shown"),
    [
        (f"Bearer {SECRET}", True),
        (f"bearer {SECRET}", True),
        ("Basic " + base64.b64encode(f"anybody:{SECRET}".encode()).decode(), True),
        ("Basic " + base64.b64encode(SECRET.encode()).decode(), False),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), False),
        ("Basic !!!", False),
        ("Basic", False),
        ("Bearer", False),
        ("", False),
        (f"Digest {SECRET}", False),
        ("Bearer \ud800", False),
    ],
)
def test_a_secret_is_shown_as_bearer_token_or_as_password(authorization, shown):
    assert secret_is_shown(authorization, SECRET) is shown
