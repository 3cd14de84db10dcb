"""The call report: a page that needs nothing but a browser, and where the call begins in its recording."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.runtime.conftest import Exchange
from tests.runtime.desk_calls import asks, desk, lines
from voiceagent.audio.wav import write_stereo_wav, write_wav
from voiceagent.cli.commands import app
from voiceagent.console import call_sound
from voiceagent.console.call_sound import read_sound
from voiceagent.errors import VoiceAgentError
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.timeline import Span, Timeline, timeline_of
from voiceagent.testing import say

RATE_HZ = 8_000
EVIL = '</script><img src=x onerror="alert(1)"> {{data}} <!-- <script>'


def reported(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return Path(result.stdout.strip()).read_text(encoding="utf-8")


def refused(*arguments: str | Path) -> str:
    with pytest.raises(VoiceAgentError) as error:
        CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)
    return str(error.value)


def data_of(page: str) -> Any:
    found = re.search(r'<script id="call" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def hum(ms: int) -> bytes:
    tone = bytes([0, 0x20, 0, 0xE0] * (ms * RATE_HZ // 1_000 // 2 + 1))
    return tone[: ms * RATE_HZ // 1_000 * 2]


def recording_of(timeline: Timeline, path: Path, *, begins_ms: int) -> Path:
    """Write what a recorder hears that was switched on so long before the call."""
    side = bytearray(2 * RATE_HZ * (timeline.duration_ms + begins_ms) // 1_000)
    for span in timeline.spans:
        if span.track == "agent":
            at = 2 * ((span.from_ms + begins_ms) * RATE_HZ // 1_000)
            sound = hum(span.until_ms - span.from_ms)
            side[at : at + len(sound)] = sound
    write_stereo_wav(path, bytes(len(side)), bytes(side), rate_hz=RATE_HZ)
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a call whose caller tries to get out of the text they stand in."""
    exchange = Exchange(tmp_path / "journals")
    (line,) = exchange.serve(asks, desk(), lines=lines(say("It is ten.")), heard=[EVIL])
    return tmp_path / "journals" / f"{line.call}.jsonl"


def test_the_page_asks_nobody_for_anything(journal: Path) -> None:
    class Addresses(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found += [f"{tag} {name}={value}" for name, value in attrs if name in {"src", "href", "srcset"}]

    page = reported(journal)
    addresses = Addresses()
    addresses.feed(page)
    assert addresses.found == []
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert "default-src 'none'" in page


def test_what_a_caller_says_is_text_and_nothing_else(journal: Path) -> None:
    page = reported(journal)
    assert page.count("<script") == 2
    assert "<img" not in page
    said = [span["text"] for span in data_of(page)["spans"] if span["track"] == "caller"]
    assert said == [EVIL]


@pytest.mark.parametrize("begins_ms", [0, 1_370, 24_000])
def test_a_call_is_found_in_its_recording_whenever_that_was_begun(journal: Path, begins_ms: int) -> None:
    recording_of(timeline_of(read_journal(journal)), journal.with_suffix(".wav"), begins_ms=begins_ms)
    sound = data_of(reported(journal))["sound"]
    assert abs(sound["offset_ms"] - begins_ms) <= 10
    assert sound["src"].startswith("data:audio/wav;base64,")


def test_a_recording_that_begins_with_its_call_is_not_compared_with_it(journal: Path) -> None:
    timeline = timeline_of(read_journal(journal))
    sound = recording_of(timeline, journal.with_suffix(".wav"), begins_ms=1_370)
    assert read_sound(sound, timeline, begins_with_the_call=True).offset_ms == 0


def test_whoever_reads_a_recording_while_calls_go_on_may_rest_at_every_place_where_it_may_begin(journal: Path) -> None:
    timeline = timeline_of(read_journal(journal))
    rests = 0

    def rest() -> None:
        nonlocal rests
        rests += 1

    read_sound(recording_of(timeline, journal.with_suffix(".wav"), begins_ms=0), timeline, rest=rest)
    assert rests > 6_500


def test_where_a_call_of_hours_begins_is_found_out_from_its_first_sentences(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_sound, "_MOST_COMPARED", 1)
    begun = Timeline(4_000, (Span("agent", 500, 1_500, "hello"), Span("agent", 3_000, 4_000, "again")), (), ())
    sound = recording_of(begun, journal.with_suffix(".wav"), begins_ms=1_370)
    other = Timeline(4_000, (begun.spans[0], Span("agent", 1_600, 2_900, "not heard")), (), ())
    assert abs(read_sound(sound, other).offset_ms - 1_370) <= 10


def test_what_is_loud_is_drawn_high_on_its_own_side(journal: Path) -> None:
    timeline = Timeline(2_000, (Span("agent", 500, 1_500, "hello"),), (), ())
    sound = read_sound(recording_of(timeline, journal.with_suffix(".wav"), begins_ms=0), timeline)
    assert max(sound.caller) == 0
    assert max(sound.agent[:49]) == 0
    assert min(sound.agent[51:149]) > 100
    assert (sound.peaks_per_s, sound.duration_ms) == (100, 2_000)


def test_a_recording_that_is_too_long_is_played_from_beside_the_page(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording_of(timeline_of(read_journal(journal)), journal.with_suffix(".wav"), begins_ms=0)
    monkeypatch.setattr("voiceagent.cli.report.MOST_EMBEDDED_BYTES", 1_000)
    monkeypatch.setattr(call_sound, "MOST_EMBEDDED_BYTES", 1_000)
    elsewhere = journal.parent.parent / "page.html"
    data = data_of(reported(journal, "--output", elsewhere))
    assert data["sound"]["src"] == f"journals/{journal.with_suffix('.wav').name}"
    assert any("too long" in notice for notice in data["notices"])


def test_a_long_call_is_drawn_with_no_more_than_a_page_can_hold(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_sound, "_MOST_PEAKS", 50)
    timeline = Timeline(2_000, (Span("agent", 500, 1_500, "hello"),), (), ())
    sound = read_sound(recording_of(timeline, journal.with_suffix(".wav"), begins_ms=0), timeline)
    assert len(sound.agent) == len(sound.caller) == 50
    assert sound.peaks_per_s == 25


def test_without_a_recording_the_page_says_how_there_would_be_one(journal: Path) -> None:
    data = data_of(reported(journal))
    assert data["sound"] is None
    assert any("serve --record" in notice for notice in data["notices"])


def test_a_journal_that_breaks_off_is_shown_as_far_as_it_goes_and_says_so(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-400])
    assert any("breaks off" in notice for notice in data_of(reported(journal))["notices"])


def test_a_flow_that_is_at_hand_is_drawn_and_one_that_has_changed_is_said_to_have(journal: Path) -> None:
    assert data_of(reported(journal))["graph"] == ""
    page = reported(journal, "--agent", "bank")
    assert "<title>bank</title>" in data_of(page)["graph"]
    assert any("has changed since this call" in notice for notice in data_of(page)["notices"])
    assert "no agent" in refused(journal, "--agent", "nobody")


def test_a_recording_of_one_side_is_refused_in_words(journal: Path) -> None:
    mono = journal.with_suffix(".wav")
    write_wav(mono, hum(100), rate_hz=RATE_HZ)
    assert refused(journal) == f"{mono} has 1 channels of 16 bits; a recording of a call has 2 of 16"
    assert "cannot be read" in refused(journal, "--recording", journal.parent / "nothing.wav")
    assert "is not a PCM wave file" in refused(journal, "--recording", journal)


def test_a_page_that_cannot_be_written_is_told(journal: Path) -> None:
    assert "cannot be written" in refused(journal, "--output", journal.parent / "nowhere" / "page.html")
