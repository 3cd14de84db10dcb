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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.models.bank_mind import BALANCE, bank_mind
from tests.models.dialects import CHAT, MESSAGES, Asks, Dialect, Question
from tests.models.provider_server import Answer, Body, provider_elsewhere, refuses, streams
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
from voiceagent.tools.service import ConnectionPool, ToolHttp

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

from bank_api import CUSTOMERS, BankApi, BankSettings
from bank_api import opening as bank_opening
from bank_api import tokens as bank_tokens

ROOT = Path(__file__).resolve().parents[2]
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


def provider(dialect: Dialect, *, works_for: int) -> object:
    """Work for so many replies; then the key is locked out, in words that quote it."""
    left = iter(range(works_for))

    def answer(body: Body) -> Answer:
        if next(left, None) is None:
            return refuses(401, {"message": f"Incorrect API key provided: {SECRETS['OPENAI_API_KEY']}"})
        return streams(dialect.says(caller_mind(dialect.asked(body))))

    return answer


def test_e2_no_key_no_token_and_no_pin_is_anywhere_after_a_call_whose_tools_crash_with_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: EverythingLogged, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    basic = base64.b64encode(f"phone-agent:{SECRETS['VOICEAGENT_CLIENT_SECRET']}".encode()).decode()
    canaries = Canaries([*SECRETS.values(), basic])
    monkeypatch.setattr(null, "_MS_PER_CHARACTER", 12)
    monkeypatch.setattr(composition, "open_engines", lambda kind: open_engines(kind, heard=HEARD))
    customers = tuple(replace(one, pin=PIN) if one.account_number == ACCOUNT else one for one in CUSTOMERS)
    monkeypatch.setattr(bank_opening, "CUSTOMERS", customers)
    monkeypatch.setattr("bank_api.customers.CUSTOMERS", customers)
    issue = bank_tokens.TokenIssuer.issue

    def remembered(issuer: bank_tokens.TokenIssuer, *given: object, **named: object) -> str:
        token = issue(issuer, *given, **named)  # pyright: ignore[reportArgumentType] - as it was called
        canaries.secrets.append(token)
        return token

    monkeypatch.setattr(bank_tokens.TokenIssuer, "issue", remembered)
    request = ToolHttp.request
    crashes: list[str] = []

    async def crashes_for_transactions(http: ToolHttp, method: str, where: str, **given: object) -> object:
        if where.endswith("/transactions"):
            everything = " ".join([*canaries.secrets, ACCOUNT, PIN])
            crashes.append(where)
            raise ExceptionGroup(everything, [RuntimeError(everything)]) from ValueError(everything)
        return await request(http, method, where, **given)  # pyright: ignore[reportArgumentType] - as it was called

    monkeypatch.setattr(ToolHttp, "request", crashes_for_transactions)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    public = f"http://127.0.0.1:{port}"

    with (
        provider_elsewhere(provider(CHAT, works_for=4)) as openai,  # pyright: ignore[reportArgumentType] - an answer
        provider_elsewhere(provider(MESSAGES, works_for=99)) as anthropic,  # pyright: ignore[reportArgumentType] - an answer
        BankApi(BankSettings(seed=7, latencies={}, client_secret=SECRETS["VOICEAGENT_CLIENT_SECRET"])) as bank,
    ):
        settings = ServerSettings(
            telephony=TelephonySettings(
                agents=frozenset({"bank"}),
                public_url=public,
                twilio_auth_token=SECRETS["TWILIO_AUTH_TOKEN"],
                port=port,
                transfer_targets={"support": "+15551234567"},
            ),
            journals=tmp_path / "journals",
            engines="null",
            model="openai:a,anthropic:b",
            access=ProviderAccess(
                openai_api_key=SECRETS["OPENAI_API_KEY"],
                openai_base_url=openai.url + CHAT.path,
                anthropic_api_key=SECRETS["ANTHROPIC_API_KEY"],
                anthropic_base_url=anthropic.url,
                azure_openai_api_key=SECRETS["AZURE_OPENAI_API_KEY"],
                gemini_api_key=SECRETS["GEMINI_API_KEY"],
            ),
            service=ServiceSettings(
                url=bank.url,
                token_url=f"{bank.url}/oauth/token",
                client_id="phone-agent",
                client_secret=SECRETS["VOICEAGENT_CLIENT_SECRET"],
            ),
        )
        (tmp_path / "journals").mkdir()
        flow = load_flow(ROOT / "phases" / "bank")
        steps = (
            AGENT_DONE, SayStep(HUM), AGENT_DONE, SayStep(HUM), AGENT_DONE, PressStep(PIN), AGENT_DONE,
            SayStep(HUM), AGENT_DONE, SayStep(HUM), ExpectHangUpStep(within_ms=15_000),
        )  # fmt: skip

        async def call() -> None:
            import httpx

            async with agent_server(settings, {"bank": flow}) as server:
                report = await place_call(
                    f"{public}/twilio/bank/answer",
                    CallerScript("test", steps),
                    auth_token=SECRETS["TWILIO_AUTH_TOKEN"],
                    record_to=tmp_path / "call.wav",
                )
                async with httpx.AsyncClient() as visitor:
                    for path in ("/healthz", "/readyz", "/metrics", "/twilio/bank/answer"):
                        answer = await visitor.get(f"{public}{path}")
                        canaries.absent_from(f"the answer of {path}", answer.text + repr(answer.headers))
                assert await server.drain(10)
                assert report.ok, report.failure

        asyncio.run(call())
        requests = repr(bank.requests())

    # Everything was used: where a key is not even there, it cannot be leaked.
    assert SECRETS["OPENAI_API_KEY"] in openai.heads[0]
    assert SECRETS["ANTHROPIC_API_KEY"] in anthropic.heads[0]
    assert len(canaries.secrets) > len(SECRETS) + 3
    assert len(crashes) >= 2

    (file,) = (tmp_path / "journals").glob("*.jsonl")
    journal = read_journal(file)
    summary = inspect_journal(journal)
    tools = {(tool.tool, tool.outcome) for tool in summary.tools}
    assert {("verify_caller", "finished"), ("get_accounts", "finished"), ("recent_transactions", "crashed")} <= tools

    for body in (*openai.bodies, *anthropic.bodies):
        canaries.absent_from("a model request", "\n".join(_words_in(body)))
    for written in tmp_path.rglob("*"):
        if written.is_file() and written.suffix != ".wav":
            canaries.absent_from("a file", all_words(written.read_text()))
    for line in logged.lines:
        canaries.absent_from("the log", line)
    canaries.absent_from("the summary", summary.to_text() + repr(summary.transcript) + repr(summary.tools))
    canaries.absent_from("what was printed", "".join(capsys.readouterr()))
    canaries.absent_from("the bank's own log", requests)
    canaries.absent_from("a repr", repr(settings))
    assert min(canaries.looked_in[where] for where in ("a model request", "a file", "the log", "the summary")) > 1_000
    assert any("tool recent_transactions crashed: ExceptionGroup at" in line for line in logged.lines)


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
