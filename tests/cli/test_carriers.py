"""`voiceagent providers` and `voiceagent dial`, and the keys that `serve` finds in the environment."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import fields

import pytest

from tests.telephony.provider_api import ProviderApi
from voiceagent.cli.dial import dial
from voiceagent.cli.providers import providers
from voiceagent.cli.serve import _require_somebody_gets_in
from voiceagent.errors import OperatorError
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.runtime.clock import SystemClock
from voiceagent.telephony.dialects import DIALECTS
from voiceagent.telephony.settings import AudioSocketLine, CarrierKeys, TelephonySettings

CALL = ("bank", "+15551234567", "+15557654321", "https://voice.example.com")
ENVIRONMENT = {
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_AUTH_TOKEN": "t0ken",
    "TELNYX_API_KEY": "k3y",
    "TELNYX_CONNECTION_ID": "app1",
    "SIGNALWIRE_SPACE": "example",
    "SIGNALWIRE_PROJECT_ID": "p0",
    "SIGNALWIRE_API_TOKEN": "t0ken",
    "VOICEAGENT_ARI_URL": "http://10.0.0.2:8088/ari",
    "VOICEAGENT_ARI_USER": "agent",
    "VOICEAGENT_ARI_PASSWORD": "s3cret",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_every_dialect_is_listed_with_what_it_can_do(capsys):
    providers()
    printed = capsys.readouterr().out
    heads, *rows = [
        [cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in printed.splitlines() if line[0] in "│┃"
    ]
    can = {row[0]: dict(zip(heads, row, strict=True)) for row in rows}
    assert set(can) == set(DIALECTS) - {"auto"} | {"audiosocket"}
    by_rest = {name for name, how in can["telnyx"].items() if how == "rest"}
    assert by_rest == {"digits out", "transfer", "announce", "hang up", "recording", "dial out", "machine detection"}
    assert (can["signalwire"]["digits out"], can["signalwire"]["transfer"]) == ("in_band", "redirect")
    assert (can["cloudonix"]["transfer"], can["cloudonix"]["announce"]) == ("redirect", "no")
    assert (can["fonoster"]["transfer"], can["fonoster"]["socket let in by"]) == ("no", "hmac")
    assert (can["asterisk"]["dial out"], can["asterisk"]["machine detection"]) == ("rest", "no")
    assert can["browser"]["marks on clear"] == "dropped"
    assert {name: row["position"] for name, row in can.items() if row["position"] != "marks"} == {
        "audiosocket": "clock"
    }
    assert {name for name, row in can.items() if row["end told by"] == "closing"} == {"asterisk", "audiosocket"}
    assert {row["digits in"] for row in can.values()} == {"in_band"}


def test_machines_get_the_same_table(capsys):
    providers(as_json=True)
    rows = {row["dialect"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(DIALECTS) - {"auto"} | {"audiosocket"}
    assert rows["asterisk"]["dial out"] == "rest"
    assert all(set(row) == set(rows["twilio"]) for row in rows.values())


@pytest.mark.parametrize(
    ("carrier", "webhook", "placed"),
    [
        ("twilio", ("Url", "https://voice.example.com/twilio/bank/answer"), "CA-new"),
        ("signalwire", ("Url", "https://voice.example.com/signalwire/bank/answer"), "CA-new"),
        ("telnyx", ("webhook_url", "https://voice.example.com/telnyx/bank/answer"), "v3:new"),
    ],
)
def test_a_call_is_placed_and_its_webhook_is_ours(environment, capsys, monkeypatch, carrier, webhook, placed):
    for name, value in ENVIRONMENT.items():
        environment.setenv(name, value)
    api = ProviderApi()

    async def scenario():
        async with api.serving(SystemClock()) as address:
            await asyncio.to_thread(dial, *CALL, carrier=carrier, detect_machine=True, api=address, as_json=True)

    asyncio.run(scenario())
    ((_, body),) = api.asked
    assert (webhook[0], body[webhook[0]]) == webhook
    assert {"MachineDetection", "answering_machine_detection"} & set(body)
    assert json.loads(capsys.readouterr().out) == {"carrier": carrier, "call": placed}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
        ({"carrier": "telnyx"}, "set TELNYX_API_KEY and TELNYX_CONNECTION_ID"),
        ({"carrier": "signalwire"}, "set SIGNALWIRE_SPACE, SIGNALWIRE_PROJECT_ID and SIGNALWIRE_API_TOKEN"),
        (
            {"carrier": "asterisk"},
            "set VOICEAGENT_ARI_URL, VOICEAGENT_ARI_USER and VOICEAGENT_ARI_PASSWORD",
        ),
        ({"public_url": None}, "--public-url is missing"),
        ({"to": "555"}, r"'555' is no telephone number: write it like \+15551234567"),
        ({"public_url": "http://voice.example.com"}, "must look like 'https://voice.example.com'"),
    ],
)
def test_what_is_missing_or_wrong_is_said(changed, message):
    given = dict(zip(("agent", "to", "caller", "public_url"), CALL, strict=True)) | changed
    with pytest.raises(OperatorError, match=message):
        dial(**given)


def test_an_asterisk_is_not_asked_who_has_answered(environment):
    for name, value in ENVIRONMENT.items():
        environment.setenv(name, value)
    with pytest.raises(OperatorError, match="--detect-machine: asterisk does not find out who answers"):
        dial(*CALL, carrier="asterisk", detect_machine=True, api="http://127.0.0.1:9")


def test_an_asterisk_places_a_call_and_asks_no_webhook(environment, capsys):
    for name, value in ENVIRONMENT.items():
        environment.setenv(name, value)
    api = ProviderApi()

    async def scenario():
        async with api.serving(SystemClock()) as address:
            given = dict(zip(("agent", "to", "caller"), CALL[:3], strict=True))
            await asyncio.to_thread(dial, **given, public_url=None, carrier="asterisk", api=f"{address}/ari")

    asyncio.run(scenario())
    ((_, body),) = api.asked
    assert (body["endpoint"], body["extension"]) == ("Local/+15551234567@voiceagent-numbers/n", "bank")
    assert "1700000000.9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ari_url": "10.0.0.2"}, "must look like 'http://10.0.0.2:8088/ari'"),
        ({"ari_url": "http://me:pw@10.0.0.2/ari"}, "must look like 'http://10.0.0.2:8088/ari'"),
        ({"ari_url": "http://10.0.0.2/ari"}, "set VOICEAGENT_ARI_USER and VOICEAGENT_ARI_PASSWORD"),
    ],
)
def test_an_asterisk_that_cannot_be_asked_is_said_at_the_start(given, message):
    with pytest.raises(OperatorError, match=message):
        TelephonySettings(agents=frozenset(), **given)


def test_a_provider_that_refuses_is_said(environment):
    for name, value in ENVIRONMENT.items():
        environment.setenv(name, value)
    with pytest.raises(OperatorError, match="the call was not placed: Twilio cannot be reached"):
        dial(*CALL, api="http://127.0.0.1:9")


def test_keys_are_found_in_the_environment_and_shown_to_nobody():
    keys = CarrierKeys.of({key.name.upper(): f"secret {key.name}" for key in fields(CarrierKeys)} | {"OTHER": "x"})
    assert all(getattr(keys, key.name) == f"secret {key.name}" for key in fields(CarrierKeys))
    assert "secret" not in repr(TelephonySettings(agents=frozenset(), keys=keys))


@pytest.mark.parametrize("key", [key.name for key in fields(CarrierKeys)])
def test_a_server_starts_with_any_key_that_verifies_a_webhook(key):
    telephony = TelephonySettings(
        agents=frozenset(),
        public_url="https://voice.example.com",
        keys=CarrierKeys.of({key.upper(): "x", "SIGNALWIRE_BEARER": "x"}),
    )
    if key not in {f"{name}_secret" for name in ("cloudonix", "fonoster", "browser", "auto")} | {
        "signalwire_signing_key",
        "telnyx_public_key",
    }:
        with pytest.raises(OperatorError, match="every call would be refused"):
            _require_somebody_gets_in(telephony)
    else:
        _require_somebody_gets_in(telephony)


@pytest.mark.parametrize(
    ("keys", "settings", "spoken"),
    [
        ({}, {"telnyx_codec": "PCMA", "signalwire_codec": "L16@16000h"}, [MULAW_8K]),
        ({"TELNYX_PUBLIC_KEY": "x"}, {"telnyx_codec": "PCMU"}, [MULAW_8K]),
        ({"TELNYX_PUBLIC_KEY": "x"}, {"telnyx_codec": "PCMA"}, [MULAW_8K, AudioFormat("alaw", 8_000)]),
        (
            {"SIGNALWIRE_SIGNING_KEY": "x", "SIGNALWIRE_BEARER": "x", "BROWSER_SECRET": "x"},
            {"signalwire_codec": "L16@24000h"},
            [MULAW_8K, AudioFormat("pcm16", 24_000), AudioFormat("pcm16", 16_000)],
        ),
        ({}, {"asterisk_password": "x"}, [MULAW_8K, AudioFormat("pcm16", 16_000)]),
        (
            {},
            {"audiosockets": (AudioSocketLine("bank", port=9092),), "insecure": True},
            [MULAW_8K, AudioFormat("pcm16", 16_000), AudioFormat("pcm16", 8_000)],
        ),
    ],
)
def test_what_is_said_again_and_again_is_rendered_as_calls_will_hear_it(keys, settings, spoken):
    assert TelephonySettings(agents=frozenset({"bank"}), keys=CarrierKeys.of(keys), **settings).spoken == tuple(spoken)


def test_telnyx_is_spoken_to_at_a_rate_that_it_has():
    with pytest.raises(OperatorError, match="Telnyx has no PCMU at 16000 Hz: PCMU and PCMA have 8000, L16 8000, 16000"):
        TelephonySettings(agents=frozenset(), telnyx_rate_hz=16_000)
