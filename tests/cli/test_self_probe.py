"""The server calls itself, and says by /readyz what came of it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from voiceagent import Flow, HangUpAfter, Phase, Pressed, Say, Transition
from voiceagent.cli import self_probe
from voiceagent.cli.agent_server import AgentServer, ServerSettings, agent_server
from voiceagent.core.conversation import Conversation
from voiceagent.core.events import PhaseSwapped
from voiceagent.errors import Source, VoiceFailed
from voiceagent.models.choose import ProviderAccess
from voiceagent.runtime.session import Observer
from voiceagent.runtime.spending import Prices, SpendLimits
from voiceagent.spec.phase import Ask
from voiceagent.spec.prompt import Prompt
from voiceagent.speech import null
from voiceagent.telephony.settings import TelephonySettings

TO_GOODBYE = (Transition(on=Pressed(digits="9"), to="goodbye"),)
GOODBYE = Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DESK = Flow(
    name="desk",
    initial="help",
    phases=(Phase(name="help", on_enter=Say(text="Hi."), transitions=TO_GOODBYE), GOODBYE),
)
ASKED = Flow(
    name="desk",
    initial="help",
    phases=(Phase(name="help", prompt="desk/help.md", on_enter=Ask(), transitions=TO_GOODBYE), GOODBYE),
    prompts={"desk/help.md": Prompt("Greet the caller.", Source("help.md", 1))},
)
Scenario = Callable[[AgentServer, httpx.AsyncClient], Awaitable[None]]


def served(
    folder: Path, scenario: Scenario, *, flow: Flow = DESK, observers: tuple[Observer, ...] = (), **how: object
) -> None:
    """Run a scenario beside a server that calls itself all the time."""
    telephony = TelephonySettings(
        agents=frozenset({"desk"}), insecure=True, port=0, public_url="http://127.0.0.1:1", max_calls=1
    )
    settings = ServerSettings(telephony=telephony, journals=folder, engines="null", probe_every_s=0.02)

    async def serving() -> None:
        given = replace(settings, **how)  # pyright: ignore[reportArgumentType] - fields of the settings
        async with (
            asyncio.timeout(45),
            agent_server(given, {"desk": flow}, observers=observers) as server,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client,
        ):
            await scenario(server, client)

    asyncio.run(serving())


async def until_ready_is(status: int, client: httpx.AsyncClient) -> str:
    """Wait until /readyz answers so; return what it says."""
    while (answer := await client.get("/readyz")).status_code != status:  # noqa: ASYNC110 - a server is asked
        await asyncio.sleep(0.02)
    return answer.text


def test_a_server_whose_own_call_breaks_is_not_ready_until_one_is_answered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handle = Conversation.handle

    def breaks(conversation: Conversation, event: object, now_ms: int) -> object:
        if isinstance(event, PhaseSwapped):
            raise ZeroDivisionError
        return handle(conversation, event, now_ms)  # pyright: ignore[reportArgumentType] - the method it stands for

    async def scenario(_: AgentServer, client: httpx.AsyncClient) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(Conversation, "handle", breaks)
            assert await until_ready_is(503, client) == "not taking calls\n"
            assert (await client.get("/healthz")).status_code == 200
            answer = await client.post("/twilio/desk/answer", data={"CallSid": "CA0"})
            assert answer.status_code == 200, "who calls all the same is answered"
        await until_ready_is(200, client)

    with caplog.at_level(logging.INFO):
        served(tmp_path, scenario)
    assert "the synthetic call failed: desk: the agent's session failed: internal error" in caplog.text
    assert "the synthetic call is answered again" in caplog.text


def test_a_dead_voice_is_found_though_the_greeting_was_rendered_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def dead(_: object, text: str, *, softly: bool = False) -> AsyncIterator[bytes]:
        del softly
        if text:
            raise VoiceFailed("the voice is dead")
        yield b""

    monkeypatch.setattr(null._NullSynthesizerHandle, "speak", dead)

    async def scenario(_: AgentServer, client: httpx.AsyncClient) -> None:
        await until_ready_is(503, client)

    served(tmp_path, scenario)
    assert "the synthetic call failed: the voice is dead" in caplog.text


def test_a_call_to_itself_that_is_broken_off_keeps_nobody_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(server: AgentServer, _: httpx.AsyncClient) -> None:
        while not list(tmp_path.glob(".probe-*/*.jsonl")):  # noqa: ASYNC110, ASYNC240 - a disk tells nobody
            await asyncio.sleep(0.02)
        async with asyncio.timeout(20):
            await server.drain(1)

    served(tmp_path, scenario)
    assert "the disk has not answered" not in caplog.text
    assert list(tmp_path.iterdir()) == []


def placed_calls(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Return what is released whenever the server's call to itself is over."""
    placed = asyncio.Semaphore(0)
    really = self_probe.place_call

    async def noted(*given: object, **how: object) -> object:
        report = await really(*given, **how)  # pyright: ignore[reportArgumentType] - passed on
        placed.release()
        return report

    monkeypatch.setattr(self_probe, "place_call", noted)
    return placed


def test_its_own_calls_are_nobodys_and_end_when_it_drains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    placed = placed_calls(monkeypatch)

    async def scenario(server: AgentServer, client: httpx.AsyncClient) -> None:
        for _ in range(2):
            await placed.acquire()
            assert server.live_calls == 0
        assert (await client.get("/readyz")).status_code == 200, "the one line is free, and nothing is spent"
        assert await server.drain(1)
        assert not any("SelfProbe" in repr(task.get_coro()) for task in asyncio.all_tasks())

    served(
        tmp_path,
        scenario,
        observers=(lambda *happened: seen.append(happened),),
        prices=Prices(characters=Decimal(1_000_000)),
        max_spend=SpendLimits(process=Decimal(1)),
    )
    assert seen == []
    assert list(tmp_path.iterdir()) == [], "nothing is left of its journals"


@pytest.mark.parametrize("providers", [False, True])
def test_it_asks_no_provider_unless_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, providers: bool) -> None:
    pytest.importorskip("openai")
    placed = placed_calls(monkeypatch)
    asked: list[str] = []

    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        writer.close()

    async def scenario(_: AgentServer, client: httpx.AsyncClient) -> None:
        await placed.acquire()
        assert (await client.get("/readyz")).status_code == 200

    with socket.create_server(("127.0.0.1", 0)) as listening:
        access = ProviderAccess(openai_api_key="none", openai_base_url=f"http://127.0.0.1:{listening.getsockname()[1]}")

        async def beside_a_provider(server: AgentServer, client: httpx.AsyncClient) -> None:
            async with await asyncio.start_server(refuses, sock=listening):
                await scenario(server, client)

        served(tmp_path, beside_a_provider, flow=ASKED, model="openai:some", access=access, probe_providers=providers)
    assert bool(asked) == providers
