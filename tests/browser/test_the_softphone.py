"""The softphone in a browser: a whole spoken call through the microphone, and what goes wrong around one."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import shown_at_every_width, until, without_barriers
from tests.browser.serving import ROOT, TOKEN, served
from voiceagent.runtime.inspection import CallSummary, inspect_journal
from voiceagent.runtime.journal_file import read_journal

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(150),
    # What a server's loop on another thread leaves to the collector is told to whichever test runs by then.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ON_A_TIMELINE = {
    6_000: "01_greeting_balance",
    15_000: "03_account_number",
    24_000: "04_pin",
    43_000: "20_goodbye",
}
"""When the caller says what, in ms: a microphone waits for nobody, so there is time for every answer."""


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
    with served(tmp_path / "journals", engines="local", recordings=tmp_path / "recordings") as address:
        speaking.goto(address)
        speaking.get_by_role("button", name="Call", exact=True).click()
        until(speaking, "document.querySelector('#says').textContent.startsWith('Connected to bank')")
        until(speaking, "document.querySelector('#it').value > 0.05")
        speaking.get_by_role("button", name="See this one").click()
        until(speaking, "document.querySelector('#graph .now')?.dataset.phase === 'greeting'")
        for _ in range(14):
            speaking.wait_for_timeout(5_000)
            if speaking.locator("#says").inner_text() == "The agent has hung up.":
                break
        assert speaking.locator("#says").inner_text() == "The agent has hung up."
        until(speaking, "document.querySelector('#path').textContent.endsWith('goodbye')")
        assert "account_number#1: 7 digits" in speaking.locator("#transcript").inner_text()
        assert "2,540" not in speaking.locator("#transcript").inner_text()
        speaking.get_by_role("button", name="Show personal data").click()
        until(speaking, "!player.hidden && player.readyState >= 2")
        speaking.locator("#transcript button", has_text="2,540 dollars and 75 cents").click()
        until(speaking, "document.querySelector('#transcript .now').textContent.includes('2,540')")
        assert not speaking.evaluate("player.paused")
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
        speaking.get_by_role("button", name="Call", exact=True).click()
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
        page.get_by_label("Token", exact=True).fill("not the token at all")
        page.get_by_role("button", name="Log in").click()
        until(page, "document.querySelector('#login-says').textContent === 'This is not the token.'")
        page.get_by_label("Token", exact=True).fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        until(page, "!document.querySelector('#console').hidden && document.querySelector('#agent').value === 'bank'")
        assert all("401" in complaint for complaint in complaints)
        complaints.clear()
        page.reload()
        until(page, "!document.querySelector('#console').hidden")
        page.goto("about:blank")  # it may still be connecting, and would complain of a server that stops meanwhile


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
        page.get_by_role("button", name="Call", exact=True).click()
        until(page, "document.querySelector('#says.wrong') !== null")
        assert "microphone" in page.locator("#says").inner_text()
        assert page.get_by_role("button", name="Call", exact=True).is_enabled()


def test_a_server_that_has_gone_is_said_to_have(speaking: Any, tmp_path: Path) -> None:
    with served(tmp_path / "journals") as address:
        speaking.goto(address)
        speaking.get_by_role("button", name="Call", exact=True).click()
        until(speaking, "!document.querySelector('#hang-up').hidden")
    until(speaking, "document.querySelector('#call').hidden === false")
    assert speaking.locator("#says").inner_text() != ""
    speaking.get_by_role("button", name="Call", exact=True).click()
    until(speaking, "document.querySelector('#says').textContent === 'The server does not answer.'")
