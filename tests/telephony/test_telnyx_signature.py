"""Telnyx' signature: over what was sent and when, and good for five minutes."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voiceagent.errors import OperatorError
from voiceagent.telephony.signature import MAX_AGE_S, telnyx_has_signed

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = base64.b64encode(
    PRIVATE.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
).decode()
BODY = b'{"data":{"event_type":"call.initiated"}}'
NOW_S = 1_700_000_000


def signature(timestamp=str(NOW_S), body=BODY):
    return base64.b64encode(PRIVATE.sign(timestamp.encode() + b"|" + body)).decode()


def is_signed(*, timestamp=str(NOW_S), signed=None, body=BODY, key=PUBLIC):
    given = signature() if signed is None else signed
    return telnyx_has_signed(body, timestamp=timestamp, signature=given, public_key=key, unix_ms=NOW_S * 1_000)


def test_what_telnyx_has_signed_is_telnyx():
    assert is_signed()


@pytest.mark.parametrize("age_s", [MAX_AGE_S, -MAX_AGE_S])
def test_a_signature_is_good_for_five_minutes(age_s):
    at = str(NOW_S - age_s)
    assert is_signed(timestamp=at, signed=signature(at))
    beyond = str(NOW_S - age_s - (1 if age_s > 0 else -1))
    assert not is_signed(timestamp=beyond, signed=signature(beyond))


@pytest.mark.parametrize(
    "changed",
    [
        {"body": BODY + b" "},
        {"timestamp": str(NOW_S + 1)},
        {"timestamp": ""},
        {"timestamp": "1e9"},
        {"timestamp": "9" * 5_000},
        {"timestamp": "١٧٠٠٠٠٠٠٠٠"},
        {"signed": ""},
        {"signed": "!!!"},
        {"signed": base64.b64encode(bytes(64)).decode()},
        {"key": base64.b64encode(bytes(32)).decode()},
    ],
)
def test_anything_else_is_not(changed):
    assert not is_signed(**changed)


@pytest.mark.parametrize("key", ["", "!!!", "c2hvcnQ="])
def test_a_key_that_is_none_is_the_operators_mistake(key):
    with pytest.raises(OperatorError, match="TELNYX_PUBLIC_KEY"):
        is_signed(key=key)
