"""The pages at `/`: who may see them, and who may not have an agent called by them."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from voiceagent.console.access import ConsoleAccess, console_access
from voiceagent.console.web import Console, WebConsole
from voiceagent.errors import OperatorError
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.call_tokens import CallTokens
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing.manual_clock import ManualClock

TOKEN = "a token of the console's"
HERE = "http://127.0.0.1:8080"


def visitor(
    token: str | None = None,
    *,
    at: str = HERE,
    why_not: Callable[[str], str | None] = lambda _: None,
    **settings: Any,
) -> TestClient:
    console = WebConsole(
        settings=TelephonySettings(agents=frozenset({"bank", "shop"}), **settings),
        tokens=CallTokens(MemoryStore(ManualClock())),
        why_not=why_not,
        console=Console(ConsoleAccess(token)),
    )
    return TestClient(Starlette(routes=console.routes()), base_url=at)


def test_there_are_pages_for_this_machine_and_for_whoever_has_a_token() -> None:
    agents = frozenset({"bank"})
    assert console_access(TelephonySettings(agents=agents), None) == ConsoleAccess(None)
    assert console_access(TelephonySettings(agents=agents, host="192.168.1.20"), None) is None
    assert console_access(TelephonySettings(agents=agents, public_url="https://voice.example.com"), None) is None
    assert console_access(TelephonySettings(agents=agents, host="192.168.1.20"), TOKEN) == ConsoleAccess(TOKEN)
    with pytest.raises(OperatorError, match="16 printable"):
        console_access(TelephonySettings(agents=agents), "too short")


def test_a_page_of_somebody_elses_has_nobody_called() -> None:
    asked = visitor().post("/console/calls", json={"agent": "bank"}, headers={"Origin": "https://evil.example"})
    assert asked.status_code == 403
    assert visitor().post("/console/calls", json={"agent": "bank"}, headers={"Origin": HERE}).status_code == 200


def test_a_name_that_was_made_to_point_to_this_machine_is_not_its_name() -> None:
    assert visitor(at="http://evil.example:8080").get("/console/agents").status_code == 403
    for name in ("localhost", "127.0.0.1", "[::1]"):
        assert visitor(at=f"http://{name}:8080").get("/console/agents").status_code == 200
    known = visitor(TOKEN, at="https://voice.example.com", public_url="https://voice.example.com")
    assert known.get("/console/agents").status_code == 401


@pytest.mark.parametrize("headers", [{"Host": "[::1"}, {"Host": "[::1:8080"}, {"Origin": "http://["}])
@pytest.mark.parametrize("token", [None, TOKEN])
def test_half_an_address_is_a_bad_request(headers: dict[str, str], token: str | None) -> None:
    assert visitor(token).get("/console/agents", headers=headers).status_code == 400


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_whoever_comes_through_a_proxy_does_not_sit_at_this_machine(header: str) -> None:
    assert visitor().get("/console/agents", headers={header: "203.0.113.7"}).status_code == 403
    known = visitor(TOKEN)
    known.post("/console/login", json={"token": TOKEN})
    assert known.get("/console/agents", headers={header: "203.0.113.7"}).status_code == 200


def test_a_token_is_shown_once_and_a_cookie_afterwards() -> None:
    page = visitor(TOKEN, at="https://voice.example.com", public_url="https://voice.example.com")
    assert page.post("/console/calls", json={"agent": "bank"}).status_code == 401
    assert page.post("/console/login", json={"token": "another token of nobody"}).status_code == 401
    let_in = page.post("/console/login", json={"token": TOKEN})
    cookie = let_in.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Secure"} <= {part.strip() for part in cookie.split(";")}
    assert TOKEN not in cookie
    assert page.get("/console/agents").json() == {"agents": ["bank", "shop"]}
    page.cookies.set("voiceagent_console", "0" * 64)


def test_a_cookie_of_another_token_is_none() -> None:
    page = visitor(TOKEN)
    other = visitor("another token of the console's")
    other.post("/console/login", json={"token": "another token of the console's"})
    page.cookies.set("voiceagent_console", other.cookies["voiceagent_console"])
    assert page.get("/console/agents").status_code == 401


def test_a_call_gets_an_address_for_one_connection() -> None:
    answer = visitor().post("/console/calls", json={"agent": "shop"})
    assert re.fullmatch(r"/media/browser/shop/[\w-]+", answer.json()["path"])
    assert re.fullmatch(r"web-[0-9a-f]{32}", answer.json()["call"])
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"agent": "nobody"}', 404),
        (b'{"agent": 7}', 400),
        (b'{"agent": "bank", "caller": "+4930"}', 400),
        (b"not json", 400),
        (b'{"agent": "' + b"b" * 2_000 + b'"}', 400),
    ],
)
def test_what_names_no_agent_is_refused(body: bytes, status: int) -> None:
    assert visitor().post("/console/calls", content=body).status_code == status


def test_a_full_server_says_that_it_takes_no_call() -> None:
    assert (
        visitor(why_not=lambda _: "no new call is taken").post("/console/calls", json={"agent": "bank"}).status_code
        == 503
    )


def test_the_pages_ask_nobody_else_for_anything() -> None:
    page = visitor()
    parts = ("call_view.css", "console.css", "call_view.js", "console.js", "login.js", "softphone.js", "audio.js")
    for path in ("/", *(f"/console/{part}" for part in parts)):
        shown = page.get(path)
        assert shown.status_code == 200
        assert "default-src 'none'" in shown.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
        assert "http://" not in shown.text
        assert "https://" not in shown.text


def test_every_part_of_a_page_is_in_the_package() -> None:
    parts = {part.name for part in files("voiceagent.console").joinpath("static").iterdir()}
    assert {
        "console.html",
        "console.css",
        "console.js",
        "login.js",
        "softphone.js",
        "audio.js",
        "call_view.html",
        "call_view.css",
        "call_view.js",
        "report.html",
        "report.css",
        "report.js",
    } == parts
