"""A server that demands signatures, tried on this machine by a caller who signs as Twilio does."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Shop
from voiceagent.cli.agent_server import ServerSettings, agent_server
from voiceagent.errors import OperatorError
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, CallReport, place_call
from voiceagent.testing.webhook import stream_in

SECRET = "12345"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def signed_call(shop: Shop, path: str, *, auth_token: str | None = SECRET) -> CallReport:
    """Serve the shop to callers who sign, and call it once."""
    port = free_port()
    here = f"127.0.0.1:{port}"
    script = CallerScript.read(shop.folder / shop.script("wait_for: agent_done", "hang_up"))
    settings = ServerSettings(
        TelephonySettings(agents=frozenset({"shop"}), public_url=f"http://{here}", twilio_auth_token=SECRET, port=port),
        journals=Path("journals"),
        engines="null",
    )
    flow = load_flow("shop")

    async def call() -> CallReport:
        async with agent_server(settings, {"shop": flow}) as server:
            report = await place_call(path.format(here=here), script, auth_token=auth_token)
            await server.drain(5)
            return report

    return asyncio.run(call())


def test_a_call_that_asks_the_webhook_first_is_let_in(shop: Shop) -> None:
    report = signed_call(shop, "http://{here}/twilio/shop/answer")
    assert report.ok, report.failure
    assert report.connected


@pytest.mark.parametrize("token", [None, "guess"])
def test_a_webhook_that_is_not_signed_with_the_secret_refuses(shop: Shop, token: str | None) -> None:
    with pytest.raises(OperatorError, match="the agent refused the call with HTTP 403"):
        signed_call(shop, "http://{here}/twilio/shop/answer", auth_token=token)


def test_a_media_socket_without_the_token_of_a_webhook_is_refused(shop: Shop) -> None:
    report = signed_call(shop, "ws://{here}/media/twilio/shop")
    assert not report.connected
    assert report.closed.reason == "the agent refused the call with HTTP 403"


@pytest.mark.parametrize(
    ("path", "said"),
    [("/healthz", "is no media URL"), ("/twilio/nobody/answer", "the agent refused the call with HTTP 404")],
)
def test_an_address_that_is_no_webhook_of_an_agent_is_told(shop: Shop, path: str, said: str) -> None:
    with pytest.raises(OperatorError, match=said):
        signed_call(shop, "http://{here}" + path)


@pytest.mark.parametrize(
    ("document", "said"),
    [("alive", "something other than TwiML"), ("<Response><Say>Hello</Say></Response>", "no media stream")],
)
def test_an_answer_that_connects_to_nothing_is_told(document: str, said: str) -> None:
    with pytest.raises(OperatorError, match=said):
        stream_in(document, "http://a/answer")


def test_parameters_of_the_answer_go_with_the_call() -> None:
    stream = '<Stream url="wss://a/m"><Parameter name="tenant" value="demo"/></Stream>'
    document = f"<Response><Connect>{stream}</Connect></Response>"
    assert stream_in(document, "http://a/answer") == ("wss://a/m", {"tenant": "demo"})
