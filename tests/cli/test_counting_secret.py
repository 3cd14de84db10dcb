"""What keys the counts of attempts that workers share: any secret of theirs, and nothing that others know as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from voiceagent.cli.agent_server import ServerSettings, ServiceSettings, _counting_secret
from voiceagent.models.choose import ProviderAccess
from voiceagent.telephony.settings import CarrierKeys, TelephonySettings

BARE = ServerSettings(
    telephony=TelephonySettings(agents=frozenset({"desk"})), journals=Path("journals"), state="sqlite:///state.db"
)
PUBLIC = {
    "telnyx_public_key",
    "telnyx_connection_id",
    "twilio_account_sid",
    "signalwire_space",
    "signalwire_project_id",
}
"""Names, and a key that verifies: whoever guesses at counts knows them too."""


def with_key(name: str) -> ServerSettings:
    # SignalWire's signing key goes with a bearer token, or it is of no use.
    more = {"signalwire_bearer": "b34rer"} if name == "signalwire_signing_key" else {}
    return replace(BARE, telephony=replace(BARE.telephony, keys=CarrierKeys(**{name: "s3cret"} | more)))


SECRETS: dict[str, Callable[[], ServerSettings]] = {
    "twilio": lambda: replace(BARE, telephony=replace(BARE.telephony, twilio_auth_token="s3cret")),
    "asterisk": lambda: replace(BARE, telephony=replace(BARE.telephony, asterisk_password="s3cret")),
    "host": lambda: replace(BARE, host_token="s3cret-s3cret-s3cret-s3cret-s3cret"),
    "client": lambda: replace(BARE, service=ServiceSettings(token_url="https://x", client_secret="s3cret")),
    "biscuit": lambda: replace(BARE, service=ServiceSettings(biscuit="s3cret", biscuit_public_key="ed25519/00")),
    "key of the service": lambda: replace(BARE, service=ServiceSettings(key_variable="SHOP_KEY")),
}


@pytest.mark.parametrize("settings", SECRETS.values(), ids=SECRETS)
def test_any_secret_of_the_servers_keys_the_counts(monkeypatch: Any, settings: Callable[[], ServerSettings]) -> None:
    monkeypatch.setenv("SHOP_KEY", "s3cret")
    assert _counting_secret(settings()) is not None
    assert _counting_secret(replace(settings(), state="memory")) is None, "nobody shares them"


@pytest.mark.parametrize("name", [key.name for key in fields(CarrierKeys)])
def test_a_carriers_secret_does_and_what_is_known_to_others_does_not(name: str) -> None:
    assert (_counting_secret(with_key(name)) is None) == (name in PUBLIC)


@pytest.mark.parametrize("name", [key.name for key in fields(ProviderAccess) if key.name.endswith("_key")])
def test_a_models_key_does(name: str) -> None:
    assert _counting_secret(replace(BARE, access=ProviderAccess(**{name: "s3cret"}))) is not None


def test_without_any_there_is_none() -> None:
    assert _counting_secret(BARE) is None
