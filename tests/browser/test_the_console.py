"""The calls of a server in a browser: one that goes on, one that is over, and what is in the way of seeing them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import shown_at_every_width, until, without_barriers
from tests.browser.serving import TOKEN, served
from tests.console.test_call_report import recording_of
from tests.testing.test_runtime_call import LINES, bank_call
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.timeline import timeline_of
from voiceagent.testing.runtime_call import RuntimeCall

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(90),
    # What a server's loop on another thread leaves to the collector is told to whichever test runs by then.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BEGAN_MS = 1_500
"""How long before the call its recorder was switched on."""
SECRETS = ("1234", "4519227", "one two three four", "four five one nine")
PERSONAL = ("1,234 dollars", "Metro", "two hundred and fifty")
CUT_OFF = "Actually, wait. I want to transfer two hundred and fifty dollars to my savings account."


def bank_journal(folder: Path) -> bytes:
    """Have a whole call to the bank taken, whose caller cuts the agent off; return its journal."""
    with bank_call(RuntimeCall, journals=folder) as call:
        call.start()
        for line in LINES[:3]:
            call.says(line)
        call.says(LINES[3], then_wait=False)
        call.until_speaking(1_800)
        for line in (CUT_OFF, *LINES[5:]):
            call.says(line)
    return (folder / "scripted.jsonl").read_bytes()


@dataclass(frozen=True)
class Server:
    """A server and what is in its folder."""

    address: str
    journals: Path
    lines: list[bytes]
    """Of a whole call."""

    def write(self, call: str, *, until: bytes | None = None) -> None:
        """Write a call on, as far as a line in which this stands; to its end without."""
        end = len(self.lines)
        if until is not None:
            end = next(n for n, line in enumerate(self.lines) if until in line) + 1
        with (self.journals / f"{call}.jsonl").open("ab") as journal:  # whoever reads it is never shown a shorter one
            journal.write(b"".join(self.lines[:end])[journal.tell() :])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has taken a call, has a record of an older version, and one that was cut off."""
    folder = tmp_path_factory.mktemp("console")
    journals = folder / "journals"
    journals.mkdir()
    with ThreadPoolExecutor() as elsewhere:  # the loop of this thread is the browser's
        written = elsewhere.submit(bank_journal, folder).result()
    lines = written.splitlines(keepends=True)
    (journals / "over.jsonl").write_bytes(written)
    recording_of(timeline_of(read_journal(journals / "over.jsonl")), journals / "over.wav", begins_ms=BEGAN_MS)
    (journals / "older.jsonl").write_bytes(written.replace(b'"schema":1', b'"schema":0', 1))
    cut = journals / "cut.jsonl"
    cut.write_bytes(written[: len(written) // 2])
    an_hour_ago_s = time.time() - 3_600
    os.utime(cut, (an_hour_ago_s, an_hour_ago_s))
    with served(journals) as address:
        yield Server(address, journals, lines)


@pytest.fixture
def calls(page: Any, server: Server) -> Any:
    """The page with the list on it."""
    page.goto(server.address)
    until(page, "document.querySelectorAll('#past button').length >= 3")
    return page


def opened(page: Any, call: str) -> None:
    page.locator(f'.calls button[data-call="{call}"]').first.click()
    until(
        page,
        "!document.querySelector('#one').hidden && document.querySelector('#flow').textContent !== 'Reading the call…'",
    )


def shown(page: Any) -> None:
    page.get_by_role("button", name="Show personal data").click()
    until(page, "document.querySelector('#personal').getAttribute('aria-pressed') === 'true' && player.readyState >= 2")


def lit(phase: str) -> str:
    return f"document.querySelector('#graph .now')?.dataset.phase === '{phase}'"


def test_a_call_is_watched_as_it_goes_on_in_two_tabs_at_once(calls: Any, server: Server) -> None:
    server.write("live", until=b'"PlayoutStarted"')
    until(calls, "document.querySelector('#live button') !== null")
    other = calls.context.new_page()
    other.goto(f"{server.address}#call=live")
    opened(calls, "live")
    for tab in (calls, other):
        until(tab, lit("greeting"))
        until(tab, "document.querySelector('#transcript .coming').textContent.startsWith('to be heard: ')")
    server.write("live", until=b'"phase":"account_inquiry"')
    for tab in (calls, other):
        until(tab, lit("account_inquiry"))
        assert tab.locator("#transcript li button").count() == 6
        assert "⟨pin#2: 4 digits⟩" in tab.locator("#transcript").inner_text()
    assert "grants" in calls.locator("#known").inner_text()
    calls.emulate_media(color_scheme="light")
    without_barriers(calls)
    shown_at_every_width(calls, "console-live-light")
    calls.emulate_media(color_scheme="dark")
    shown_at_every_width(calls, "console-live-dark")
    calls.set_viewport_size({"width": 1280, "height": 900})
    server.write("live", until=b'"PlayoutStopped"')
    until(calls, "document.querySelector('#transcript .unheard') !== null")
    assert calls.locator("#transcript .unheard").inner_text().startswith("not heard: ")
    server.write("live")
    until(calls, "document.querySelector('#graph .now') === null && document.querySelector('#live button') === null")
    until(other, "document.querySelector('#past button[data-call=\"live\"]') !== null")
    assert calls.locator("#path").inner_text().endswith("wrap_up → goodbye")
    other.close()
    (server.journals / "live.jsonl").unlink()


def test_who_called_is_hidden_until_it_is_asked_for_and_their_secrets_stay_so(calls: Any) -> None:
    opened(calls, "over")
    hidden = calls.locator("body").inner_text()
    for told in (*SECRETS, *PERSONAL):
        assert told not in hidden
    assert calls.locator("#player").is_hidden()
    assert "balance" in hidden
    shown(calls)
    told = calls.locator("body").inner_text()
    for personal in PERSONAL:
        assert personal in told
    for secret in SECRETS[1:]:
        assert secret not in told
    assert "Daniel Harris" in calls.locator("#known").inner_text()
    calls.get_by_role("button", name="Hide personal data").click()
    until(calls, "document.querySelector('#player').hidden")
    assert "Daniel Harris" not in calls.locator("body").inner_text()


def test_a_sentence_is_played_where_it_is_clicked_and_the_one_that_plays_is_marked(calls: Any) -> None:
    opened(calls, "over")
    shown(calls)
    calls.locator("#transcript button", has_text="And your four digit PIN?").click()
    until(calls, "!player.paused && player.currentTime > 0 && (player.pause(), true)")  # a slow machine looks late
    began_s = calls.evaluate("call.spans.find((span) => span.text.endsWith('four digit PIN?')).from_ms / 1000")
    assert calls.evaluate("player.currentTime") == pytest.approx(began_s + BEGAN_MS / 1_000, abs=1)
    until(calls, "document.querySelector('#transcript .now').textContent.includes('four digit PIN?')")
    calls.locator("#strip").focus()
    calls.keyboard.press("Space")
    until(calls, "!player.paused")
    calls.keyboard.press("Space")
    until(calls, "player.paused")
    calls.evaluate("seek(call.spans.find((span) => span.text.startsWith('Done: 250')).from_ms + 200)")
    until(calls, "document.querySelector('#transcript .now').textContent.includes('Done: 250')")
    calls.keyboard.press("Space")
    until(calls, "!player.paused")


def test_it_can_be_searched_and_gone_through_by_keys_alone(calls: Any) -> None:
    calls.keyboard.press("/")
    assert calls.evaluate("document.activeElement.id") == "words"
    calls.keyboard.type("daniel 5?")  # of the softphone's keys, and of the page's, none is pressed
    until(calls, "document.querySelector('#found-title').textContent.endsWith('in 0 calls')")
    assert "personal data too" in calls.locator("#found").inner_text()
    calls.locator("#words").fill("savings")
    until(calls, "document.querySelector('#found button[data-call=\"over\"]') !== null")
    calls.keyboard.press("Escape")
    assert calls.locator("#found-box").is_hidden()
    calls.get_by_label("in personal data too").check()
    calls.locator("#words").fill("metro dollars")
    until(
        calls,
        "document.querySelector('#found button[data-call=\"over\"] .more:last-child').textContent.includes('Metro')",
    )
    calls.keyboard.press("Escape")
    calls.keyboard.press("Escape")
    calls.keyboard.press("n")
    until(calls, "!document.querySelector('#one').hidden")
    first = calls.evaluate("document.querySelector('.calls [aria-current]').dataset.call")
    calls.keyboard.press("n")
    until(calls, f"document.querySelector('.calls [aria-current]').dataset.call !== '{first}'")
    calls.keyboard.press("p")
    until(calls, f"document.querySelector('.calls [aria-current]').dataset.call === '{first}'")
    calls.keyboard.press("Escape")
    until(calls, "document.querySelector('#one').hidden")
    assert calls.evaluate("document.activeElement.dataset.call") == first
    calls.keyboard.press("ArrowDown")
    assert calls.evaluate("document.activeElement.dataset.call") != first
    calls.keyboard.press("?")
    until(calls, "document.querySelector('#keys').open")
    without_barriers(calls)
    shown_at_every_width(calls, "console-keys")
    calls.keyboard.press("Escape")
    until(calls, "!document.querySelector('#keys').open")


def test_a_search_during_which_the_line_breaks_is_asked_for_again(page: Any, server: Server) -> None:
    lines: list[Any] = []

    def line(socket: Any) -> None:
        lines.append(socket)
        to_server = socket.connect_to_server()
        if len(lines) == 1:
            socket.on_message(lambda message: socket.close() if "search" in message else to_server.send(message))

    page.route_web_socket(re.compile("/console/events$"), line)
    page.goto(server.address)
    until(page, "document.querySelectorAll('#past button').length >= 3")
    page.locator("#words").fill("savings")
    until(page, "document.querySelector('#found button[data-call=\"over\"]') !== null")
    assert len(lines) == 2


def test_until_the_calls_are_told_the_page_says_that_they_are_being_read(page: Any, server: Server) -> None:
    page.route_web_socket(re.compile("/console/events$"), lambda _: None)
    page.goto(server.address)
    until(page, "!document.querySelector('#console').hidden")
    assert page.locator("#live").inner_text() == page.locator("#past").inner_text() == "Reading the calls…"


def test_a_record_that_cannot_be_read_says_why_and_the_others_can_be_seen(calls: Any) -> None:
    opened(calls, "older")
    assert "schema 0; this version of voiceagent reads schema 1" in calls.locator("#notices").inner_text()
    opened(calls, "cut")
    until(calls, "document.querySelector('#notices').textContent.includes('breaks off')")
    assert calls.locator("#transcript li button").count() > 3
    opened(calls, "over")
    until(calls, "document.querySelector('#path').textContent.endsWith('goodbye')")
    assert calls.locator("#notices li").count() == 0


def test_a_call_whose_record_is_deleted_is_said_to_be_gone(calls: Any, server: Server) -> None:
    server.write("gone")
    until(calls, "document.querySelector('#past button[data-call=\"gone\"]') !== null")
    opened(calls, "gone")
    (server.journals / "gone.jsonl").unlink()
    until(calls, "document.querySelector('#notices').textContent.includes('deleted')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_anybody_on_any_screen(calls: Any, scheme: str) -> None:
    calls.emulate_media(color_scheme=scheme)
    without_barriers(calls)
    shown_at_every_width(calls, f"console-list-{scheme}")
    calls.set_viewport_size({"width": 1280, "height": 900})
    opened(calls, "over")
    shown(calls)
    without_barriers(calls)
    shown_at_every_width(calls, f"console-past-{scheme}")


def test_a_scheme_that_was_chosen_is_kept(calls: Any) -> None:
    calls.get_by_role("button", name="Dark colours").click()
    dark = calls.evaluate("getComputedStyle(document.body).backgroundColor")
    calls.reload()
    until(calls, "!document.querySelector('#console').hidden")
    assert calls.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert calls.get_by_role("button", name="Light colours").is_visible()


def test_where_there_are_no_calls_the_page_says_what_to_do_and_a_server_that_goes_is_missed(
    page: Any, complaints: list[str], tmp_path: Path
) -> None:
    with served(tmp_path / "journals", token=TOKEN) as address:
        page.goto(address)
        page.get_by_label("Token", exact=True).fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        until(page, "document.querySelector('#where').textContent !== ''")
        assert "Call an agent" in page.locator("#live").inner_text()
        assert "No call has been taken yet" in page.locator("#past").inner_text()
        assert all("401" in complaint for complaint in complaints)
        without_barriers(page)
        shown_at_every_width(page, "console-empty")
    until(page, "document.querySelector('#line.wrong') !== null")
    complaints.clear()
