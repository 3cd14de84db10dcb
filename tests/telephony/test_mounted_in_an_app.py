"""What docs/telephony.md says of a web application of one's own is run: calls come by it, and end in good order."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.cli.conftest import Shop, shop  # noqa: F401 - the fixture
from tests.telephony.doors import web_server
from tests.telephony.wire_examples import twilio_start
from voiceagent.asgi import ServerSettings, TelephoneApp, TelephonySettings, agents_to_serve
from voiceagent.console.web_log import discreet_web_log
from voiceagent.errors import OperatorError
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import CallerScript, place_call

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "telephony.md"
SECRET = "12345"
CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def as_in_the_guide(port: int) -> dict[str, Any]:
    """Run the guide's blocks of Python, on this machine and without engines; return what they define."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    code = "\n".join(blocks)
    for there, here in (
        ("https://voice.example.com/phone", f"http://127.0.0.1:{port}/phone"),
        ('Path("journals")', 'Path("journals"), engines="null"'),
    ):
        assert there in code
        code = code.replace(there, here)
    names: dict[str, Any] = {}
    exec(compile(code, str(GUIDE), "exec"), names)  # noqa: S102 - our own guide
    return names


Scenario = Callable[[dict[str, Any], str, uvicorn.Server], Awaitable[None]]


def served(scenario: Scenario, *, patiently: bool = True) -> None:
    port = free_port()
    names = as_in_the_guide(port)
    kind = names["PatientServer"] if patiently else uvicorn.Server

    async def run() -> None:
        async with (
            asyncio.timeout(40),
            web_server(names["app"], lifespan="on", kind=kind, port=port) as (_, server),
        ):
            await scenario(names, f"http://127.0.0.1:{port}/phone", server)

    asyncio.run(run())


async def answered(url: str) -> ClientConnection:
    """Begin a call without a webhook, and return the line once the agent speaks."""
    line = await connect(url.replace("http", "ws") + "/media/twilio/shop")
    await line.send(CONNECTED)
    await line.send(twilio_start())
    async for message in line:
        if '"media"' in str(message):
            return line
    raise AssertionError("nobody was heard")


@pytest.fixture(autouse=True)
def secret(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:  # noqa: F811 - a fixture
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", SECRET)
    return shop


@pytest.fixture(autouse=True)
def logs_are_as_an_app_finds_them() -> Iterator[None]:
    """Nobody has set a level for them: what was served in this process before may have."""
    logs = [logging.getLogger(name) for name in ("uvicorn.access", "uvicorn.error", "httpx")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.NOTSET)
    yield
    for log, level in zip(logs, levels, strict=True):
        log.setLevel(level)


def test_a_signed_call_is_answered_below_the_mount(secret: Shop) -> None:
    script = CallerScript.read(secret.folder / secret.script("wait_for: agent_done", "hang_up"))

    async def scenario(names: dict[str, Any], url: str, _: uvicorn.Server) -> None:
        report = await place_call(f"{url}/twilio/shop/answer", script, auth_token=SECRET)
        assert report.ok, report.failure
        assert report.connected
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{url}/readyz")).status_code == 200
            assert (await client.post(f"{url}/twilio/shop/answer")).status_code == 403

    served(scenario)
    assert list((secret.folder / "journals").glob("*.jsonl"))


async def passing_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """A middleware of somebody's own, behind which an app runs in a task of its own."""
    return await call_next(request)


@pytest.mark.parametrize("behind_middleware", [False, True])
@pytest.mark.parametrize("way", ["websockets-sansio", "wsproto"])
def test_the_web_servers_log_has_neither_numbers_nor_call_tokens(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, way: str, behind_middleware: bool
) -> None:
    insecurely(monkeypatch)
    caplog.set_level(logging.INFO)
    port = free_port()
    names = as_in_the_guide(port)
    app = names["app"]
    app.add_route("/others", lambda _: PlainTextResponse("hello"))
    if behind_middleware:
        app.add_middleware(BaseHTTPMiddleware, dispatch=passing_on)

    async def run() -> None:
        async with (
            web_server(app, way=way, lifespan="on", port=port, access_log=True),
            httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{port}") as client,
        ):
            form = {"CallSid": "CA0", "From": "+4930123456", "To": "+4940123456"}
            document = (await client.get("/phone/twilio/shop/answer", params=form)).text
            address = re.search(r'url="([^"]+)"', document)
            assert address is not None
            token = address[1].rpartition("/")[2]
            for path in (f"/phone/media/twilio/shop/{token}", "/phone/media/twilio/nobody/t0ken?From=%2B4930123456"):
                with suppress(InvalidStatus):
                    (await connect(f"ws://127.0.0.1:{port}{path}")).transport.abort()
            await client.get("/phone/twilio?From=+4930123456")
            await client.get("/others?page=7")
            assert token not in caplog.text

    asyncio.run(run())
    assert not re.search("30123456|40123456|t0ken", caplog.text)
    for shown in ("/phone/twilio/shop/answer…", "/phone/media/twilio/shop…", "/phone/media/twilio/nobody…"):
        assert shown in caplog.text
    assert "/others?page=7" in caplog.text, "other people's addresses are none of our business"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("/phone/asterisk/bank/audiosocket?call=1.1&caller=%2B4930", "/phone/asterisk/bank/audiosocket…"),
        ("/media/twilio/bank/t0ken", "/media/twilio/bank…"),
        ("/media/2026/summer/beach.png?size=9", "/media/2026/summer/beach.png?size=9"),
        ("/twilio?page=7", "/twilio?page=7"),
    ],
)
def test_an_address_of_ours_is_shortened_before_anybody_has_answered_one(
    caplog: pytest.LogCaptureFixture, address: str, shown: str
) -> None:
    caplog.set_level(logging.INFO)
    with discreet_web_log():
        logging.getLogger("uvicorn.access").info('"%s %s"', "GET", address)
    assert f'"GET {shown}"' in caplog.text


def test_a_level_that_somebody_has_set_for_httpx_stays() -> None:
    log = logging.getLogger("httpx")
    with discreet_web_log():
        assert log.level == logging.WARNING
    assert log.level == logging.NOTSET
    log.setLevel(logging.INFO)
    with discreet_web_log():
        assert log.level == logging.INFO


def test_a_patient_server_lets_a_call_come_to_its_end_and_takes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(names: dict[str, Any], url: str, server: uvicorn.Server) -> None:
        line = await answered(url)
        server.should_exit = True
        async with httpx.AsyncClient(trust_env=False) as client:
            while (await client.get(f"{url}/readyz")).status_code == 200:  # noqa: ASYNC110 - asked from outside
                await asyncio.sleep(0.01)
        assert names["telephone"].server.live_calls == 1
        await line.send('{"event":"stop","sequenceNumber":"2","streamSid":"MZ0","stop":{"callSid":"CA0"}}')
        await line.wait_closed()
        assert line.close_code == 1000

    insecurely(monkeypatch)
    served(scenario)


def test_any_other_server_ends_calls_at_once_and_their_journals_are_whole(
    secret: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(names: dict[str, Any], url: str, server: uvicorn.Server) -> None:
        del names
        line = await answered(url)
        server.should_exit = True
        await line.wait_closed()
        assert line.close_code == 1012

    insecurely(monkeypatch)
    served(scenario, patiently=False)
    (journal,) = (secret.folder / "journals").glob("*.jsonl")
    assert journal.read_text().endswith("\n")


def insecurely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the guide's lines let anybody in."""
    checked = TelephonySettings.__init__

    def insecure(self: TelephonySettings, **given: Any) -> None:
        checked(self, **given, insecure=True)

    monkeypatch.setattr(TelephonySettings, "__init__", insecure)


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_without_its_lifespan_nobody_is_let_in_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    telephone: TelephoneApp = as_in_the_guide(1)["telephone"]

    async def run() -> None:
        app = Starlette()
        app.mount("/phone", telephone)
        async with web_server(app) as (port, _), httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/phone/readyz")).status_code == 503
        with pytest.raises(OperatorError, match="give its lifespan to the app"):
            _ = telephone.server

    asyncio.run(run())
    assert "the lifespan of TelephoneApp is not that of the app it is mounted in" in caplog.text


def test_settings_for_other_agents_or_with_a_certificate_are_refused(tmp_path: Path) -> None:
    agents = agents_to_serve(["shop"], service_url="")
    other = TelephonySettings(agents=frozenset({"bank"}))
    with pytest.raises(OperatorError, match=r"the settings are for \['bank'\], and the agents are \['shop'\]"):
        TelephoneApp(ServerSettings(other, tmp_path), agents)
    secured = TelephonySettings(agents=frozenset({"shop"}), tls_cert=tmp_path / "c", tls_key=tmp_path / "k")
    with pytest.raises(OperatorError, match="give the certificate to the web server"):
        TelephoneApp(ServerSettings(secured, tmp_path), {"shop": load_flow("shop")})


def test_by_itself_it_is_an_app_with_a_lifespan() -> None:
    telephone: TelephoneApp = as_in_the_guide(1)["telephone"]

    async def run() -> None:
        async with web_server(telephone, lifespan="on") as (port, _), httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/readyz")).text == "ready\n"

    asyncio.run(run())
