"""The webhook: what a telephone company asks the agent's server before it connects a call."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import httpx

from voiceagent.errors import OperatorError
from voiceagent.testing.twilio_stream import twilio_signature

__all__ = ["ask_where_to_connect", "is_webhook", "stream_in"]

_WITHIN_S = 15
"""As long as Twilio waits for a webhook (its documentation, "Webhooks connection overrides")."""


def is_webhook(url: str) -> bool:
    """Whether an address is that of a webhook, `http(s)://…/answer`, and not of a media socket."""
    return url.startswith(("http://", "https://")) and url.rstrip("/").endswith("/answer")


async def ask_where_to_connect(
    url: str, *, call: str, caller_number: str | None, auth_token: str | None
) -> tuple[str, Mapping[str, str]]:
    """Ask `http(s)://…/answer` by GET, signed where there is a token; return the media URL and its parameters.

    Raises OperatorError, with the reason, where the call is not taken.
    """
    try:
        asked = httpx.URL(url, params={"CallSid": call, **({"From": caller_number} if caller_number else {})})
        signed = {"X-Twilio-Signature": twilio_signature(str(asked), auth_token)} if auth_token else {}
        trust = ssl.create_default_context()  # this machine's, and SSL_CERT_FILE, as of the media socket
        async with httpx.AsyncClient(trust_env=False, verify=trust, timeout=_WITHIN_S) as client:
            answer = await client.get(asked, headers=signed)
    except httpx.ConnectError as exc:
        if "SSL" in str(exc):  # somebody does
            raise OperatorError(f"{url}: {exc}") from exc
        raise OperatorError(f"nobody listens at {urlsplit(url).netloc}; is voiceagent serve running?") from exc
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise OperatorError(f"{url}: {str(exc) or type(exc).__name__}") from exc
    if answer.status_code != HTTPStatus.OK:
        raise OperatorError(f"the agent refused the call with HTTP {answer.status_code}")
    return stream_in(answer.text, url)


def stream_in(document: str, url: str) -> tuple[str, Mapping[str, str]]:
    """Return what TwiML connects a call to: media URL and parameters. Raises OperatorError where it does not."""
    try:
        stream = ET.fromstring(document).find("./Connect/Stream")  # noqa: S314 - the answer of the agent that is tried
    except ET.ParseError as exc:
        raise OperatorError(f"{url} answers with something other than TwiML: {exc}") from exc
    if stream is None:
        raise OperatorError(f"{url} answers with TwiML that connects to no media stream")
    parameters = {part.get("name", ""): part.get("value", "") for part in stream.iter("Parameter")}
    return stream.get("url", ""), parameters
