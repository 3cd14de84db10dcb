"""The report of a call in a browser: it plays, and what is drawn is where it is heard."""

from __future__ import annotations

from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import shown_at_every_width, until, without_barriers
from tests.console.test_call_report import recording_of
from tests.runtime.conftest import Exchange
from tests.runtime.desk_calls import asks, desk, lines
from voiceagent.audio.wav import read_stereo_wav
from voiceagent.cli.report import write_report
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.timeline import timeline_of
from voiceagent.testing import say

pytestmark = pytest.mark.browser
BEGAN_MS = 2_000
"""How long before the call the recorder was switched on."""


@dataclass(frozen=True)
class Made:
    """A report, and where the agent falls silent in its recording, in ms."""

    address: str
    ends_ms: list[int]


@pytest.fixture
def report(tmp_path: Path) -> Made:
    """The report of a call with two sentences of the agent's in it."""
    with ThreadPoolExecutor() as elsewhere:  # the loop of this thread is the browser's
        return elsewhere.submit(reported, tmp_path / "journals").result()


def reported(folder: Path) -> Made:
    (line,) = Exchange(folder).serve(asks, desk(), lines=lines(say("It is ten.")), heard=["What time is it?"])
    journal = folder / f"{line.call}.jsonl"
    recording_of(timeline_of(read_journal(journal)), journal.with_suffix(".wav"), begins_ms=BEGAN_MS)
    page = write_report(journal, recording=None, agent=None, output=None)
    return Made(page.as_uri(), ends_of_sound(journal.with_suffix(".wav")))


def ends_of_sound(wav: Path) -> list[int]:
    """Return where the agent falls silent, in ms of the recording."""
    _, agent, rate_hz = read_stereo_wav(wav)
    loud = [bool(sample) for sample in array("h", agent)]
    last = [n for n in range(len(loud) - 1) if loud[n] and not any(loud[n + 1 : n + 80])]
    return [n * 1_000 // rate_hz for n in last]


def test_the_marks_stand_where_the_sound_ends(page: Any, report: Made) -> None:
    page.goto(report.address)
    marks = page.evaluate(
        "[...document.querySelectorAll('.point.mark')].map((mark) => parseFloat(mark.style.left) / pxPerMs + offsetMs)"
    )
    assert len(report.ends_ms) == 2
    for end_ms in report.ends_ms:
        assert min(abs(mark_ms - end_ms) for mark_ms in marks) <= 50


def test_the_player_goes_where_it_is_sent_and_the_words_follow(page: Any, report: Made) -> None:
    page.goto(report.address)
    until(page, "player.readyState >= 2")
    page.get_by_role("button", name="It is ten.").last.click()
    until(page, "!player.paused && player.currentTime > 0")
    began_s = page.evaluate("call.spans.findLast((span) => span.track === 'agent').from_ms / 1000 + offsetMs / 1000")
    until(page, f"player.currentTime > {began_s} + 0.3 && (player.pause(), true)")  # a slow machine may look too late
    until(page, "document.querySelector('#transcript .now').textContent.endsWith('It is ten.')")
    at_px = page.evaluate("parseFloat(cursor.style.left)")
    page.locator("#strip").focus()
    page.keyboard.press("ArrowLeft")
    until(page, f"parseFloat(cursor.style.left) < {at_px}")


def test_a_closer_look_shows_less_time(page: Any, report: Made) -> None:
    page.goto(report.address)
    before = page.evaluate("lanes.scrollWidth")
    page.get_by_role("button", name="larger").click()
    assert page.evaluate("lanes.scrollWidth") == pytest.approx(2 * before, rel=0.02)
    page.get_by_role("button", name="Whole call").click()
    assert page.evaluate("lanes.scrollWidth") == pytest.approx(before, abs=2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_anybody_on_any_screen(page: Any, report: Made, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(report.address)
    without_barriers(page)
    shown_at_every_width(page, f"report-{scheme}")
