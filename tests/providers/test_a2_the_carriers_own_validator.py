"""A2: the carrier's own validator and ours agree on what is signed, webhooks and media sockets alike."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import pytest

pytest.importorskip("twilio", reason="needs tests/providers/requirements.txt")

from hypothesis import example, given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from voiceagent.telephony.signature import sign, upgrade_is_signed, webhook_is_signed

pytestmark = pytest.mark.providers

SECRET = "12345"
HOST = "voice.example.com"
PATH = "/media/twilio/desk/token"
VALIDATOR = RequestValidator(SECRET)
QUERIES = st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3).map(urlencode)
FIELDS = st.lists(
    st.tuples(st.sampled_from(["From", "To", "é", "a"]) | st.text(max_size=5), st.text(max_size=5)), max_size=8
)
"""Of a form: names that come twice, values that are empty, any script."""
SPELLINGS = [f"{HOST}{PATH}", f"{HOST}{PATH}/", f"{HOST}:443{PATH}", f"{HOST}:443{PATH}/"]
FORMS = st.dictionaries(st.text(min_size=1), st.text(), max_size=8)


@given(form=FORMS, path=st.text(st.characters(codec="ascii", min_codepoint=33), max_size=20))
def test_the_same_is_signed(form: dict[str, str], path: str) -> None:
    url = f"https://{HOST}/{path}"
    assert sign(SECRET, url, form.items()) == VALIDATOR.compute_signature(url, form)


class Fields(dict[str, str]):
    """A form as the validator reads it where names come twice."""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        super().__init__(fields)
        self._fields = fields

    def getlist(self, name: str) -> list[str]:
        return [value for given, value in self._fields if given == name]


@given(
    scheme=st.sampled_from(["https", "http"]),
    port=st.sampled_from(["", ":443", ":80", ":8443"]),
    signed_scheme=st.sampled_from(["https", "https", "http", "wss"]),
    signed_port=st.sampled_from(["", ":443", ":80", ":8443", ":9443"]),
    query=QUERIES,
    fields=FIELDS,
    others=FIELDS | st.none(),
)
@example("https", ":8443", "https", "", "", [], None)
def test_we_believe_a_webhook_where_it_does(
    scheme: str,
    port: str,
    signed_scheme: str,
    signed_port: str,
    query: str,
    fields: list[tuple[str, str]],
    others: list[tuple[str, str]] | None,
) -> None:
    target = f"/twilio/desk/answer?{query}" if query else "/twilio/desk/answer"
    signature = VALIDATOR.compute_signature(f"{signed_scheme}://{HOST}{signed_port}{target}", Fields(fields))
    sent = fields if others is None else others
    ours = webhook_is_signed(target, sent, base=f"{scheme}://{HOST}{port}", auth_token=SECRET, signature=signature)
    assert ours == VALIDATOR.validate(f"{scheme}://{HOST}{port}{target}", Fields(sent), signature)


@given(query=QUERIES, fields=FIELDS, others=FIELDS | st.none())
def test_signalwire_signs_its_documents_webhooks_as_twilio_does(
    query: str, fields: list[tuple[str, str]], others: list[tuple[str, str]] | None
) -> None:
    signalwire = pytest.importorskip("signalwire.request_validator").RequestValidator(SECRET)
    target = f"/signalwire/desk/answer?{query}" if query else "/signalwire/desk/answer"
    signature = signalwire.build_signature_with_compatibility(f"https://{HOST}{target}", Fields(fields))
    sent = fields if others is None else others
    ours = webhook_is_signed(target, sent, base=f"https://{HOST}", auth_token=SECRET, signature=signature)
    assert ours == signalwire.validate(f"https://{HOST}{target}", Fields(sent), signature)


@pytest.mark.parametrize("url", SPELLINGS)
def test_what_it_signs_for_a_media_socket_is_let_in(url: str) -> None:
    signature = VALIDATOR.compute_signature(f"wss://{url}", {})
    assert upgrade_is_signed(PATH, base=f"wss://{HOST}", auth_token=SECRET, signature=signature)


@pytest.mark.parametrize("url", [*SPELLINGS, f"{HOST}:8443{PATH}", f"attacker.example{PATH}", f"{HOST}/media/other"])
@pytest.mark.parametrize("scheme", ["https", "http", "ws", "wss"])
def test_whatever_else_it_signs_is_not(scheme: str, url: str) -> None:
    signature = VALIDATOR.compute_signature(f"{scheme}://{url}", {})
    right = scheme == "wss" and url in SPELLINGS
    assert upgrade_is_signed(PATH, base=f"wss://{HOST}", auth_token=SECRET, signature=signature) == right


@given(form=FORMS)
def test_whatever_we_sign_it_takes_for_signed(form: dict[str, str]) -> None:
    for url in (f"https://{HOST}/twilio/desk/answer", f"https://{HOST}:443/twilio/desk/answer"):
        signature = sign(SECRET, url, form.items())
        assert VALIDATOR.validate(f"https://{HOST}/twilio/desk/answer", form, signature)
        assert webhook_is_signed(
            "/twilio/desk/answer", [*form.items()], base=f"https://{HOST}", auth_token=SECRET, signature=signature
        )


def test_it_takes_the_wrong_port_for_a_sockets_default() -> None:
    # Why the validator itself does not let media sockets in: https alone has port 443 for it.
    signature = VALIDATOR.compute_signature(f"wss://{HOST}:443{PATH}", {})
    assert not VALIDATOR.validate(f"wss://{HOST}{PATH}", {}, signature)
    assert upgrade_is_signed(PATH, base=f"wss://{HOST}", auth_token=SECRET, signature=signature)
