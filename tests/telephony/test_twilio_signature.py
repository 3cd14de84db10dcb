"""Whether a request comes from the carrier, by the carrier's own published examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.telephony.signature import sign, upgrade_is_signed, webhook_is_signed

SECRET = "12345"
BASE = "wss://voice.example.com"
PATH = "/media/twilio/bank/token"


def published(number):
    return [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", number),
        ("Digits", "1234"),
        ("From", number),
        ("To", "+18005551212"),
    ]


@pytest.mark.parametrize(
    ("number", "signature"),
    [
        ("+14158675309", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("+14158675310", "GvWf1cFY/Q7PnoempGyD5oXAezc="),
    ],
)
def test_the_examples_in_the_carriers_documentation_come_out_right(number, signature):
    assert sign(SECRET, "https://mycompany.com/myapp.php?foo=1&bar=2", published(number)) == signature
    assert webhook_is_signed(
        "/myapp.php?foo=1&bar=2",
        list(reversed(published(number))),
        base="https://mycompany.com",
        auth_token=SECRET,
        signature=signature,
    )


def test_an_upgrade_is_signed_over_the_public_address_alone():
    # base64(HMAC-SHA1("12345", "wss://voice.example.com/media/twilio/bank/token")), by openssl dgst
    assert sign(SECRET, BASE + PATH) == "N/pUh1eEb4BTslJGhLjEDza9tZM="


@pytest.mark.parametrize(
    "signed",
    [
        BASE + PATH,
        BASE + PATH + "/",
        "wss://voice.example.com:443" + PATH,
        "wss://voice.example.com:443" + PATH + "/",
    ],
)
def test_default_port_and_final_slash_may_be_there_or_not(signed):
    assert upgrade_is_signed(PATH, base=BASE, auth_token=SECRET, signature=sign(SECRET, signed))


@pytest.mark.parametrize(
    "signed",
    [
        "https://voice.example.com" + PATH,
        "ws://voice.example.com" + PATH,
        "wss://voice.example.com/media/twilio/other/token",
        "wss://attacker.example.com" + PATH,
        "wss://voice.example.com:80" + PATH,
        "wss://voice.example.com:8443" + PATH,
        BASE + PATH + "?x=1",
    ],
)
def test_a_signature_for_another_address_is_refused(signed):
    assert not upgrade_is_signed(PATH, base=BASE, auth_token=SECRET, signature=sign(SECRET, signed))


def test_a_port_of_ones_own_may_be_left_out_and_no_other_one_counts():
    def counts(signed, target="/a?b=1", base="https://voice.example.com:8443"):
        return webhook_is_signed(target, [], base=base, auth_token=SECRET, signature=sign(SECRET, signed + target))

    assert counts("https://voice.example.com:8443")
    assert counts("https://voice.example.com"), "over TLS Twilio signs without the port"
    assert not counts("https://voice.example.com:443")
    assert not counts("https://voice.example.com:9443")
    assert not counts("https://voice.example.com:8443", base="https://voice.example.com")
    base = "wss://voice.example.com:8443"
    for signed in (base, BASE):
        assert upgrade_is_signed(PATH, base=base, auth_token=SECRET, signature=sign(SECRET, signed + PATH))


@pytest.mark.parametrize(("base", "secret"), [(BASE, None), (BASE, ""), (None, SECRET)])
def test_without_a_secret_or_an_address_nothing_is_signed(base, secret):
    assert not upgrade_is_signed(PATH, base=base, auth_token=secret, signature=sign(secret or "", (base or "") + PATH))
    assert not webhook_is_signed(
        "/x", [], base=base, auth_token=secret, signature=sign(secret or "", (base or "") + "/x")
    )


@given(st.text())
def test_any_other_signature_is_refused_whatever_characters_it_has(signature):
    assert not upgrade_is_signed(PATH, base=BASE, auth_token=SECRET, signature=signature)


def test_a_changed_parameter_breaks_a_webhooks_signature():
    signature = sign(SECRET, "https://v.example.com/a", [("From", "+1")])
    arguments = {"base": "https://v.example.com", "auth_token": SECRET, "signature": signature}
    assert webhook_is_signed("/a", [("From", "+1")], **arguments)
    assert webhook_is_signed("/a", [("From", "+1"), ("From", "+1")], **arguments)
    assert not webhook_is_signed("/a", [("From", "+2")], **arguments)
    assert not webhook_is_signed("/a", [], **arguments)
