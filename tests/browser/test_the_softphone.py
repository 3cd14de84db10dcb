"""The softphone in a browser: a whole spoken call through the microphone, and what goes wrong around one."""

from __future__ import annotations

import asyncio
import threading
import wave
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import shown_at_every_width, until, without_barriers
from tests.providers.bank_service import bank_service
from voiceagent.cli.agent_server import AgentServer, ServerSettings, ServiceSettings, agent_server
from voiceagent.runtime.inspection import CallSummary, inspect_journal
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import TelephonySettings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]

ROOT = Path(__file__).parents[2]
TOKEN = "a token of the console's"
ON_A_TIMELINE = {
    6_000: "01_greeting_balance",
    15_000: "03_account_number",
    24_000: "04_pin",
    43_000: "20_goodbye",
}
"""When the caller says what, in ms: a microphone waits for nobody, so there is time for every answer."""


@contextmanager
def served(journals: Path, *, token: str | None = None, engines: Any = "null") -> Iterator[str]:
    """Serve the bank, on a thread of its own, since the loop of this one is the browser's; gives the page's address."""
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, AgentServer]] = Future()

    async def serve() -> None:
        async with bank_service() as bank:
            settings = ServerSettings(
                telephony=TelephonySettings(agents=frozenset({"bank"}), port=0),
                journals=journals,
                engines=engines,
                console_token=token,
                service=ServiceSettings(url=bank.url),
            )
            stop = asyncio.Event()
            async with agent_server(settings, {"bank": load_flow(str(ROOT / "phases" / "bank"))}) as server:
                ready.set_result((asyncio.get_running_loop(), stop, server))
                await stop.wait()
                await server.drain(5)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as exc:
            if ready.done():
                raise
            ready.set_exception(exc)

    thread = threading.Thread(target=run)
    thread.start()
    loop, stop, server = ready.result(timeout=60)
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=30)


def microphone(path: Path) -> Path:
    """Write what the caller says as a browser's microphone hears it."""
    rate_hz, pcm = 16_000, bytearray()
    for at_ms, name in ON_A_TIMELINE.items():
        with wave.open(str(ROOT / "demo" / "speech" / f"{name}.wav")) as said:
            pcm += bytes(2 * rate_hz * at_ms // 1_000 - len(pcm)) + said.readframes(said.getnframes())
    with wave.open(str(path), "wb") as heard:
        heard.setnchannels(1)
        heard.setsampwidth(2)
        heard.setframerate(rate_hz)
        heard.writeframes(bytes(pcm) + bytes(2 * rate_hz * 30))
    return path


@pytest.fixture
def speaking(launch: Any, tmp_path: Path) -> Iterator[Any]:
    """A page whose microphone hears the caller."""
    chromium = launch(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone(tmp_path / 'caller.wav')}%noloop",
    )
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(10_000)
    yield page
    chromium.close()


def summary_of(journals: Path) -> CallSummary:
    (journal,) = journals.glob("*.jsonl")
    return inspect_journal(read_journal(journal))


@pytest.mark.engines
def test_a_whole_spoken_call_through_the_microphone(speaking: Any, tmp_path: Path) -> None:
    with served(tmp_path / "journals", engines="local") as address:
        speaking.goto(address)
        speaking.get_by_role("button", name="Call").click()
        until(speaking, "document.querySelector('#says').textContent.startsWith('Connected to bank')")
        heard = 0.0
        for _ in range(40):
            speaking.wait_for_timeout(100)
            heard = max(heard, speaking.evaluate("document.querySelector('#it').value"))
        assert heard > 0.05, "the greeting moves the meter"
        for _ in range(14):
            speaking.wait_for_timeout(5_000)
            if speaking.locator("#says").inner_text() == "The agent has hung up.":
                break
        assert speaking.locator("#says").inner_text() == "The agent has hung up."
    summary = summary_of(tmp_path / "journals")
    assert not summary.problems
    words = summary.transcript
    said = " ".join(text for who, text in words if who == "caller")
    answered = " ".join(text for who, text in words if who == "agent")
    assert "balance" in said
    assert "⟨account_number#1: 7 digits⟩" in said
    assert "2,540 dollars and 75 cents" in answered
    assert answered.rstrip(".").endswith("Goodbye")


def test_a_key_that_is_pressed_arrives_and_hanging_up_ends_the_call(speaking: Any, tmp_path: Path) -> None:
    with served(tmp_path / "journals") as address:
        speaking.goto(address)
        speaking.get_by_role("button", name="Call").click()
        until(speaking, "!document.querySelector('#hang-up').hidden")
        speaking.keyboard.press("5")
        speaking.get_by_role("button", name="hash").click()
        speaking.get_by_role("button", name="Mute").click()
        assert speaking.get_by_role("button", name="Mute").get_attribute("aria-pressed") == "true"
        shown_at_every_width(speaking, "softphone-in-a-call")
        speaking.get_by_role("button", name="Hang up").click()
        until(speaking, "document.querySelector('#says').textContent === 'You have hung up.'")
    summary = summary_of(tmp_path / "journals")
    assert summary.ended == "caller hung up"
    assert [text for who, text in summary.transcript if who == "caller"] == ["[5]", "[#]"]


def test_whoever_has_no_token_sees_nothing_and_calls_nobody(page: Any, complaints: list[str], tmp_path: Path) -> None:
    with served(tmp_path / "journals", token=TOKEN) as address:
        page.goto(address)
        until(page, "!document.querySelector('#login').hidden")
        assert (
            page.evaluate(
                "fetch('console/calls', {method: 'POST', body: '{\"agent\":\"bank\"}'}).then((a) => a.status)"
            )
            == 401
        )
        without_barriers(page)
        shown_at_every_width(page, "login")
        page.get_by_label("Token").fill("not the token at all")
        page.get_by_role("button", name="Log in").click()
        until(page, "document.querySelector('#login-says').textContent === 'This is not the token.'")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        until(page, "!document.querySelector('#phone').hidden && document.querySelector('#agent').value === 'bank'")
        assert all("401" in complaint for complaint in complaints)
        complaints.clear()
        page.reload()
        until(page, "!document.querySelector('#phone').hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_used_by_anybody_on_any_screen(page: Any, tmp_path: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    with served(tmp_path / "journals") as address:
        page.goto(address)
        until(page, "document.querySelector('#agent').value === 'bank'")
        without_barriers(page)
        shown_at_every_width(page, f"softphone-{scheme}")


def test_without_a_microphone_the_page_says_what_to_do(page: Any, tmp_path: Path) -> None:
    with served(tmp_path / "journals") as address:
        page.goto(address)
        page.get_by_role("button", name="Call").click()
        until(page, "document.querySelector('#says.wrong') !== null")
        assert "microphone" in page.locator("#says").inner_text()
        assert page.get_by_role("button", name="Call").is_enabled()


def test_a_server_that_has_gone_is_said_to_have(speaking: Any, tmp_path: Path) -> None:
    with served(tmp_path / "journals") as address:
        speaking.goto(address)
        speaking.get_by_role("button", name="Call").click()
        until(speaking, "!document.querySelector('#hang-up').hidden")
    until(speaking, "document.querySelector('#call').hidden === false")
    assert speaking.locator("#says").inner_text() != ""
    speaking.get_by_role("button", name="Call").click()
    until(speaking, "document.querySelector('#says').textContent === 'The server does not answer.'")
