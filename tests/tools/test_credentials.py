"""Tokens for exactly one tool of one phase of one call."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.tools.tool_runs import http_to
from voiceagent.errors import OperatorError, ToolFailed
from voiceagent.ports import CredentialBroker
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.credentials import EnvironmentCredential, NoCredentials, OAuthClientCredentials
from voiceagent.tools.service import ConnectionPool, ServiceUnreachable

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

from bank_api import BankApi, BankSettings


def _ask(broker: CredentialBroker, *, phase: str = "inquiry", subject: str | None = "c1", call: str = "call-1"):
    return broker.token(call=call, phase=phase, tool="balance", scopes=("accounts:read",), subject=subject)


class _Tokens:
    """A token endpoint that numbers its tokens."""

    def __init__(self) -> None:
        self.count = 0
        self.lifetime_s = 120
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, request):
        self.count += 1
        number = self.count
        self.arrived.set()
        await self.go_on.wait()
        return 200, {"access_token": f"token-{number}", "token_type": "Bearer", "expires_in": self.lifetime_s}


def _with_broker(serve, answer, use) -> None:
    async def main() -> None:
        async with serve(answer) as service:
            pool, clock = ConnectionPool(internal=[service.url]), ManualClock()
            broker = OAuthClientCredentials(
                pool, clock, token_url=service.url + "/oauth/token", client_id="phone agent", client_secret="s:1"
            )
            await use(broker, clock, service)
            await pool.close()

    asyncio.run(main())


def test_a_token_is_asked_for_as_the_standard_says(serve) -> None:
    async def use(broker, clock, service) -> None:
        assert await _ask(broker) == {"Authorization": "Bearer token-1"}
        request = service.seen[0]
        assert (request.method, request.target) == ("POST", "/oauth/token")
        assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"phone%20agent:s%3A1"
        assert parse_qs(request.body) == {
            "grant_type": ["client_credentials"],
            "scope": ["accounts:read"],
            "subject": ["c1"],
            "expires_in": ["120"],
        }

    _with_broker(serve, _Tokens(), use)


def test_a_token_is_used_again_until_shortly_before_it_expires(serve) -> None:
    async def use(broker, clock, service) -> None:
        await _ask(broker)
        clock.advance(104_999)
        assert await _ask(broker) == {"Authorization": "Bearer token-1"}
        clock.advance(1)
        assert await _ask(broker) == {"Authorization": "Bearer token-2"}

    _with_broker(serve, _Tokens(), use)


def test_nobody_else_gets_the_token(serve) -> None:
    async def use(broker, clock, service) -> None:
        asked = [
            await _ask(broker),
            await _ask(broker, phase="transfer"),
            await _ask(broker, subject="c2"),
            await _ask(broker, subject=None),
            await _ask(broker, call="call-2"),
        ]
        assert [headers["Authorization"] for headers in asked] == [f"Bearer token-{number}" for number in range(1, 6)]
        assert "subject" not in service.seen[3].body

    _with_broker(serve, _Tokens(), use)


def test_two_who_ask_at_once_share_one_request_even_if_the_first_gives_up(serve) -> None:
    tokens = _Tokens()

    async def use(broker, clock, service) -> None:
        tokens.go_on.clear()
        first = asyncio.create_task(_ask(broker))
        await tokens.arrived.wait()
        second = asyncio.create_task(_ask(broker))
        first.cancel()
        await asyncio.wait([first])
        tokens.go_on.set()
        assert await second == {"Authorization": "Bearer token-1"}
        assert tokens.count == 1

    _with_broker(serve, tokens, use)


@pytest.mark.parametrize("answered", [(401, {"error": "invalid_client"}), (200, {"token": "secret-42"})])
def test_without_a_token_the_tool_fails_in_neutral_words(serve, caplog, answered) -> None:
    async def answer(request):
        return answered

    async def use(broker, clock, service) -> None:
        for _ in range(2):
            with pytest.raises(ToolFailed, match="the service did not let the agent in"):
                await _ask(broker)
        assert len(service.seen) == 2

    with caplog.at_level(logging.DEBUG):
        _with_broker(serve, answer, use)
    assert "no credential for tool balance" in caplog.text
    assert "s:1" not in caplog.text
    assert "secret-42" not in caplog.text


def test_a_token_that_was_not_answered_has_done_nothing_to_the_world(serve) -> None:
    async def answer(request):
        return None

    async def use(broker, clock, service) -> None:
        with pytest.raises(ServiceUnreachable) as unreachable:
            await _ask(broker)
        assert not unreachable.value.may_have_arrived

    _with_broker(serve, answer, use)


def test_a_service_with_one_key_and_a_service_with_none() -> None:
    key = EnvironmentCredential("BANK_KEY", {"BANK_KEY": "k-42"})
    assert asyncio.run(_ask(key)) == {"Authorization": "Bearer k-42"}
    assert "k-42" not in repr(key)
    assert asyncio.run(_ask(NoCredentials())) == {}


@pytest.mark.parametrize("environment", [{}, {"BANK_KEY": ""}])
def test_a_key_that_is_missing_is_named_at_the_start(environment: dict[str, str]) -> None:
    with pytest.raises(OperatorError, match="the environment has no BANK_KEY"):
        EnvironmentCredential("BANK_KEY", environment)


def test_the_bank_of_the_demo_lets_a_tool_in_for_its_own_customer_only() -> None:
    async def main(url: str, secret: str) -> None:
        pool = ConnectionPool(internal=[url])
        broker = OAuthClientCredentials(
            pool, ManualClock(), token_url=f"{url}/oauth/token", client_id="phone-agent", client_secret=secret
        )
        http = http_to(url, pool, await _ask(broker, subject="C-1001"))
        assert (await http.get("/customers/C-1001/accounts")).status_code == 200
        assert (await http.get("/customers/C-1002/accounts")).status_code == 403
        with pytest.raises(ToolFailed):
            await _ask(broker, subject="nobody")
        await pool.close()

    settings = BankSettings(seed=7, latencies={})
    with BankApi(settings) as bank:
        asyncio.run(main(bank.url, settings.client_secret))
