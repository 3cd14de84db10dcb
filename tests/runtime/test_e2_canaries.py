"""Keys, tokens and a PIN that give themselves away are nowhere but where they let somebody in: a whole signed call."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import logging
import re
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.models.bank_mind import BALANCE, bank_mind
from tests.models.dialects import CHAT, MESSAGES, Asks, Dialect, Question
from tests.models.provider_server import Answer, Body, ProviderServer, provider_elsewhere, refuses, streams
from tests.tools.tool_runs import http_to
from voiceagent.audio import pcm16_to_mulaw
from voiceagent.cli import agent_server as composition
from voiceagent.cli.agent_server import ServerSettings, ServiceSettings, agent_server
from voiceagent.cli.serving_options import ServingOptions
from voiceagent.models.choose import ProviderAccess
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.speech import null, open_engines
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, place_call
from voiceagent.testing.caller_script import ExpectHangUpStep, PressStep, SayStep, WaitForAgentStep
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.testing.utterance import Utterance
from voiceagent.tools.biscuit import BiscuitAttenuation
from voiceagent.tools.credentials import EnvironmentCredential, OAuthClientCredentials
from voiceagent.tools.service import ConnectionPool
from voiceagent.tools.tool_http import ToolHttp

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

from bank_api import CUSTOMERS, BankApi, BankSettings
from bank_api import opening as bank_opening

BANK = load_flow(Path(__file__).parents[2] / "phases" / "bank")
PIN, SPOKEN_ACCOUNT = "7391", "four five one nine two two seven"
ACCOUNT = "4519227"
SECRETS = {
    "OPENAI_API_KEY": "canary-openai-5c1f",
    "ANTHROPIC_API_KEY": "canary-anthropic-82ab",
    "AZURE_OPENAI_API_KEY": "canary-azure-40de",
    "GEMINI_API_KEY": "canary-gemini-93b7",
    "VOICEAGENT_CLIENT_SECRET": "canary-client-17e9",
    "TWILIO_AUTH_TOKEN": "canary-webhook-66d0",
    "BANK_KEY": "canary-service-key-2f8a",
}
HUM = Utterance.from_mulaw("hum", pcm16_to_mulaw((b"\x00\x20" * 20 + b"\x00\xe0" * 20) * 120))
AGENT_DONE = WaitForAgentStep(quiet_ms=400, at_most_ms=15_000)
STEPS = (
    AGENT_DONE, SayStep(HUM), AGENT_DONE, SayStep(HUM), AGENT_DONE, PressStep(PIN), AGENT_DONE,
    SayStep(HUM), AGENT_DONE, SayStep(HUM), ExpectHangUpStep(within_ms=15_000),
)  # fmt: skip
HEARD = ["I'd like my balance", f"it is {SPOKEN_ACCOUNT}", "and my last transactions", "thank you, goodbye"]


@dataclass
class Canaries:
    """What must not be found, and where it has been looked for."""

    secrets: list[str]
    looked_in: dict[str, int] = field(default_factory=dict)

    def absent_from(self, where: str, text: str) -> None:
        self.looked_in[where] = self.looked_in.get(where, 0) + len(text)
        for secret in (*self.secrets, ACCOUNT, SPOKEN_ACCOUNT):
            assert secret not in text, f"{secret} stands in {where}: …{text[max(0, text.find(secret) - 300) :][:700]}…"
        pin = re.search(rf"(?<![\d.:]){PIN}(?![\d.])|seven three nine one", text)
        assert pin is None, f"the PIN stands in {where}: …{text[max(0, pin.start() - 300) :][:700]}…"


def _words_in(value: object) -> Iterator[str]:
    """Yield every string of a JSON value: a number of milliseconds may be the PIN by chance."""
    match value:
        case str():
            yield value
        case Mapping():
            for key, part in value.items():
                yield str(key)
                yield from _words_in(part)
        case list():
            for part in value:
                yield from _words_in(part)
        case _:
            pass


def all_words(lines: str) -> str:
    return "\n".join(word for line in lines.splitlines() for word in _words_in(json.loads(line)))


class EverythingLogged(logging.Handler):
    """Formats every record with its traceback, and keeps what it was made from."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.name} {record.getMessage()} {record.args!r}")
        if record.exc_info:
            self.lines.append("".join(traceback.format_exception(record.exc_info[1])))


@pytest.fixture
def logged() -> Iterator[EverythingLogged]:
    handler, root = EverythingLogged(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(autouse=True, scope="module")
def libraries() -> None:
    """Import what a server imports as it starts, before there is an event loop to block."""
    for library in ("httpx", "openai", "anthropic"):
        importlib.import_module(library)


def caller_mind(asked: Question) -> str | Asks:
    if asked.is_result and "account_id" in asked.newest:
        return BALANCE
    if asked.is_result and "cannot be done" in asked.newest:
        return "I am sorry, I cannot see them."
    if "transactions" in asked.newest and not asked.is_result:
        return Asks("t1", "recent_transactions", ('{"account": "checking"}',))
    return bank_mind(asked)


def provider(dialect: Dialect, *, works_for: int) -> Callable[[Body], Answer]:
    """Work for so many replies; then the key is locked out, in words that quote it."""
    left = iter(range(works_for))

    def answer(body: Body) -> Answer:
        if next(left, None) is None:
            return refuses(401, {"message": f"Incorrect API key provided: {SECRETS['OPENAI_API_KEY']}"})
        return streams(dialect.says(caller_mind(dialect.asked(body))))

    return answer


@dataclass(frozen=True, slots=True)
class Around:
    """Everybody whom the agent's server talks to."""

    bank: BankApi
    openai: ProviderServer
    anthropic: ProviderServer


@contextmanager
def everybody() -> Iterator[Around]:
    chosen = BankSettings(
        seed=7, latencies={}, client_secret=SECRETS["VOICEAGENT_CLIENT_SECRET"], biscuits=True, port=0
    )
    with (
        provider_elsewhere(provider(CHAT, works_for=4)) as openai,
        provider_elsewhere(provider(MESSAGES, works_for=99)) as anthropic,
        BankApi(chosen) as bank,
    ):
        yield Around(bank, openai, anthropic)


def by_oauth(bank: BankApi) -> ServiceSettings:
    return ServiceSettings(
        url=bank.url,
        token_url=f"{bank.url}/oauth/token",
        client_id="phone-agent",
        client_secret=SECRETS["VOICEAGENT_CLIENT_SECRET"],
    )


def by_biscuit(bank: BankApi) -> ServiceSettings:
    return ServiceSettings(url=bank.url, biscuit=bank.mint.token, biscuit_public_key=bank.mint.public_key)


def settings_for(around: Around, service: ServiceSettings, journals: Path) -> ServerSettings:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    return ServerSettings(
        telephony=TelephonySettings(
            agents=frozenset({"bank"}),
            public_url=f"http://127.0.0.1:{port}",
            twilio_auth_token=SECRETS["TWILIO_AUTH_TOKEN"],
            port=port,
            transfer_targets={"support": "+15551234567"},
        ),
        journals=journals,
        engines="null",
        model="openai:a,anthropic:b",
        access=ProviderAccess(
            openai_api_key=SECRETS["OPENAI_API_KEY"],
            openai_base_url=around.openai.url + CHAT.path,
            anthropic_api_key=SECRETS["ANTHROPIC_API_KEY"],
            anthropic_base_url=around.anthropic.url,
            azure_openai_api_key=SECRETS["AZURE_OPENAI_API_KEY"],
            gemini_api_key=SECRETS["GEMINI_API_KEY"],
        ),
        service=service,
    )


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> Canaries:
    """Every secret there is, tokens as they are minted; the customer's PIN is one that stands nowhere by chance."""
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    basic = base64.b64encode(f"phone-agent:{SECRETS['VOICEAGENT_CLIENT_SECRET']}".encode()).decode()
    canaries = Canaries([*SECRETS.values(), basic])
    customers = tuple(replace(one, pin=PIN) if one.account_number == ACCOUNT else one for one in CUSTOMERS)
    monkeypatch.setattr(bank_opening, "CUSTOMERS", customers)
    for broker in (OAuthClientCredentials, BiscuitAttenuation):
        monkeypatch.setattr(broker, "token", remembering(broker.token, canaries))
    return canaries


def remembering(mint: Callable[..., Awaitable[Mapping[str, str]]], canaries: Canaries) -> object:
    async def token(broker: object, **run: object) -> Mapping[str, str]:
        headers = await mint(broker, **run)
        canaries.secrets.append(headers["Authorization"].removeprefix("Bearer "))
        return headers

    return token


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch, canaries: Canaries) -> list[str]:
    """Have every tool that asks for transactions crash with all that must not be found."""
    request = ToolHttp.request
    crashes: list[str] = []

    async def crashing(http: ToolHttp, method: str, where: str, **given: object) -> object:
        if where.endswith("/transactions"):
            everything = " ".join([*canaries.secrets, ACCOUNT, PIN])
            crashes.append(where)
            raise ExceptionGroup(everything, [RuntimeError(everything)]) from ValueError(everything)
        return await request(http, method, where, **given)  # pyright: ignore[reportArgumentType] - as it was called

    monkeypatch.setattr(ToolHttp, "request", crashing)
    return crashes


async def a_signed_call(settings: ServerSettings, recording: Path, canaries: Canaries) -> None:
    """Serve the bank, call it, and look at what anybody may ask the server."""
    import httpx

    public = settings.telephony.public_url
    async with agent_server(settings, {"bank": BANK}) as server:
        report = await place_call(
            f"{public}/twilio/bank/answer",
            CallerScript("test", STEPS),
            auth_token=SECRETS["TWILIO_AUTH_TOKEN"],
            record_to=recording,
        )
        async with httpx.AsyncClient() as visitor:
            for path in ("/healthz", "/readyz", "/metrics", "/twilio/bank/answer"):
                answer = await visitor.get(f"{public}{path}")
                canaries.absent_from(f"the answer of {path}", answer.text + repr(answer.headers))
        assert await server.drain(10)
    assert report.ok, report.failure


@pytest.mark.timeout(240)
@pytest.mark.parametrize("let_in", [by_oauth, by_biscuit])
def test_e2_no_key_no_token_and_no_pin_is_anywhere_after_a_call_whose_tools_crash_with_all_of_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: EverythingLogged,
    capsys: pytest.CaptureFixture[str],
    canaries: Canaries,
    crashes: list[str],
    let_in: Callable[[BankApi], ServiceSettings],
) -> None:
    monkeypatch.setattr(null, "_MS_PER_CHARACTER", 12)
    monkeypatch.setattr(composition, "open_engines", lambda kind, **_: open_engines(kind, heard=HEARD))
    journals = tmp_path / "journals"
    journals.mkdir()
    with everybody() as around:
        canaries.secrets.append(around.bank.mint.token)
        settings = settings_for(around, let_in(around.bank), journals)
        asyncio.run(a_signed_call(settings, tmp_path / "call.wav", canaries))
        canaries.absent_from("the bank's own log", repr(around.bank.requests()))

    # Everything was used: what is not even there cannot be leaked.
    assert SECRETS["OPENAI_API_KEY"] in around.openai.heads[0]
    assert SECRETS["ANTHROPIC_API_KEY"] in around.anthropic.heads[0]
    assert len(canaries.secrets) > len(SECRETS) + 4
    assert len(crashes) >= 2
    (file,) = journals.glob("*.jsonl")
    summary = inspect_journal(read_journal(file))
    tools = {(tool.tool, tool.outcome) for tool in summary.tools}
    assert {("verify_caller", "finished"), ("get_accounts", "finished"), ("recent_transactions", "crashed")} <= tools
    assert any("tool recent_transactions crashed: ExceptionGroup at" in line for line in logged.lines)

    for body in (*around.openai.bodies, *around.anthropic.bodies):
        canaries.absent_from("a model request", "\n".join(_words_in(body)))
    for written in tmp_path.rglob("*"):
        if written.is_file() and written.suffix != ".wav":
            canaries.absent_from("a file", all_words(written.read_text()))
    for line in logged.lines:
        canaries.absent_from("the log", line)
    canaries.absent_from("the summary", summary.to_text() + repr(summary.transcript) + repr(summary.tools))
    canaries.absent_from("what was printed", "".join(capsys.readouterr()))
    canaries.absent_from("a repr", repr(settings))
    assert min(canaries.looked_in[where] for where in ("a model request", "a file", "the log", "the summary")) > 1_000


def test_e2_whatever_holds_a_secret_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = Canaries(list(SECRETS.values()))
    pool = ConnectionPool()
    secret = SECRETS["VOICEAGENT_CLIENT_SECRET"]
    header = {"Authorization": f"Bearer {SECRETS['BANK_KEY']}"}
    holders: list[object] = [
        ServingOptions(
            client_secret=secret,
            biscuit=secret,
            openai_api_key=SECRETS["OPENAI_API_KEY"],
            anthropic_api_key=SECRETS["ANTHROPIC_API_KEY"],
            azure_openai_api_key=SECRETS["AZURE_OPENAI_API_KEY"],
            gemini_api_key=SECRETS["GEMINI_API_KEY"],
        ),
        ServiceSettings(token_url="http://x", client_secret=secret),
        ServiceSettings(biscuit=secret, biscuit_public_key="k"),
        TelephonySettings(agents=frozenset({"a"}), twilio_auth_token=SECRETS["TWILIO_AUTH_TOKEN"]),
        EnvironmentCredential("BANK_KEY", SECRETS),
        OAuthClientCredentials(pool, ManualClock(), token_url="http://x", client_id="c", client_secret=secret),
        BankSettings(client_secret=secret),
        http_to("http://x", pool, header),
        pool,
    ]
    with BankApi(BankSettings(biscuits=True, latencies={})) as bank:
        canaries.secrets.append(bank.mint.token)
        holders += [BiscuitAttenuation(ManualClock(), token=bank.mint.token, public_key=bank.mint.public_key), bank]
        holders.append(bank.mint)
    for holder in holders:
        canaries.absent_from(type(holder).__name__, repr(holder) + str(holder) + f"{[holder]!r}")
    asyncio.run(pool.close())
