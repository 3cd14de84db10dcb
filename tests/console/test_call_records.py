"""The calls that the pages show, as they are read from the journals of all workers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Exchange
from tests.runtime.desk_calls import asks, desk, lines
from voiceagent import Facts, Flow, Tool, tool
from voiceagent.console import call_records
from voiceagent.console.call_records import CallRecords, Listed
from voiceagent.testing import ask_for, say
from voiceagent.testing.manual_clock import ManualClock


class Known(Facts):
    """What a tool finds out."""

    name: str | None = None
    verified: bool | None = None


@tool(sets=("name", "verified"), grants="records", grants_when="verified")
async def look_up() -> dict[str, object]:
    """Find out who calls."""
    return {"name": "Maria Lopez", "verified": True}


def desk_that_knows(*tools: Tool, sensitive: bool = False) -> Flow:
    return desk(*(tools or (look_up,)), sensitive=sensitive).model_copy(update={"facts": Known})


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    """The journal of one call, `call-1`, in which a tool has told who calls."""
    return taken(tmp_path / "journals")


def taken(folder: Path, *, heard: str = "I am maria, number four seven one one", flow: Flow | None = None) -> Path:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(4_000)

    model = lines(ask_for("look_up"), say("Thank you, Maria Lopez."))
    Exchange(folder).serve(scenario, flow or desk_that_knows(), lines=model, heard=[heard])
    return folder


def records(folder: Path, *flows: Flow, unix_ms: int | None = None) -> CallRecords:
    served = {flow.name: flow for flow in flows or (desk_that_knows(),)}
    clock = ManualClock(0)
    if unix_ms is None:
        newest = max((file.stat().st_mtime for file in folder.glob("*.jsonl")), default=0.0)
        unix_ms = int(newest * 1_000)
    clock.unix_ms = lambda: unix_ms  # pyright: ignore[reportAttributeAccessIssue] - the wall clock of the files
    return CallRecords(folder, None, lambda: served, clock)


def words_of(view: dict[str, Any]) -> str:
    return json.dumps(view["spans"], ensure_ascii=False)


def test_a_call_is_listed_with_nothing_that_anybody_said(journals: Path) -> None:
    (row,) = records(journals).listed().rows
    assert (row.id, row.flow, row.state, row.phase, row.ended) == ("call-1", "desk", "over", "talk", "caller hung up")
    assert row.duration_ms > 5_000


def test_names_and_numbers_are_hidden_until_they_are_asked_for(journals: Path) -> None:
    file = records(journals).opened("call-1")
    assert file is not None
    hidden = json.dumps(file.view(shown=False, live=False), ensure_ascii=False).casefold()
    for told in ("maria", "lopez", "four seven", "+15550100"):
        assert told not in hidden
    shown = file.view(shown=True, live=False)
    assert "I am maria, number four seven one one" in words_of(shown)
    assert "Maria Lopez" in words_of(shown)
    assert shown["caller"] == "+15550100"


def test_a_caller_who_says_nothing_but_a_name_is_hidden_though_it_is_a_word(tmp_path: Path) -> None:
    file = records(taken(tmp_path / "journals", heard="Mark")).opened("call-1")
    assert file is not None
    assert "Mark" not in words_of(file.view(shown=False, live=False))
    assert "Mark" in words_of(file.view(shown=True, live=False))


def test_what_is_known_of_the_caller_and_what_they_may_is_shown(journals: Path) -> None:
    file = records(journals).opened("call-1")
    assert file is not None
    assert file.view(shown=False, live=False)["known"] == {
        "why_not": "",
        "facts": [["name", "•••"], ["verified", "yes"]],
        "grants": ["records"],
    }
    known: Any = file.view(shown=True, live=False)["known"]
    assert known["facts"][0] == ["name", "Maria Lopez"]


def test_of_an_agent_that_was_changed_or_is_not_served_the_rest_is_shown(journals: Path) -> None:
    changed = desk_that_knows().model_copy(update={"locale": "en-GB"})
    for flows, why in (((changed,), "changed since"), ((desk().model_copy(update={"name": "other"}),), "not served")):
        file = records(journals, *flows).opened("call-1")
        assert file is not None
        view: Any = file.view(shown=False, live=False)
        assert why in view["known"]["why_not"]
        assert [span["text"] for span in view["spans"] if span["track"] == "phase"] == ["talk"]
        assert bool(view["graph"]) == (why == "changed since")


def test_numbers_in_a_phase_that_asks_for_a_secret_are_shown_to_nobody(tmp_path: Path) -> None:
    flow = desk_that_knows(sensitive=True)
    folder = taken(tmp_path / "journals", heard="I am maria and I live at number forty seven", flow=flow)
    journal = folder / "call-1.jsonl"
    # As a version that had sealed nothing would have left it behind.
    journal.write_text(re.sub(r"⟨[^⟩]*⟩", "forty seven", journal.read_text(encoding="utf-8")), encoding="utf-8")
    file = records(folder, flow).opened("call-1")
    assert file is not None
    assert "forty" not in words_of(file.view(shown=True, live=False))
    assert "maria" in words_of(file.view(shown=True, live=False))


def test_a_call_that_goes_on_is_read_on_and_its_phase_is_lit(journals: Path, tmp_path: Path) -> None:
    written = (journals / "call-1.jsonl").read_bytes().splitlines(keepends=True)
    going_on = tmp_path / "live"
    going_on.mkdir()
    began = next(n for n, line in enumerate(written) if b'"PlayoutStarted"' in line)
    heard = next(n for n, line in enumerate(written) if b'"TranscriptFinal"' in line)
    journal = going_on / "live.jsonl"
    journal.write_bytes(b"".join(written[: began + 1]) + written[began + 1][:10])
    watched = records(going_on)
    assert [row.state for row in watched.listed().rows] == ["live"]
    file = watched.opened("live")
    assert file is not None
    view: Any = file.view(shown=False, live=True)
    assert 'class="now" data-phase="talk"' in view["graph"]
    (greeting,) = [span for span in view["spans"] if span["track"] == "agent"]
    assert greeting["note"].startswith("to be heard: ")
    journal.write_bytes(b"".join(written[: heard + 1]))
    assert watched.opened("live") is file
    again: Any = file.view(shown=False, live=True)
    assert [span["note"] for span in again["spans"] if span["track"] == "agent"] == [""]
    assert [span["text"] for span in again["spans"] if span["track"] == "caller"] == ["I am •••, number •••"]


def test_a_call_in_which_nothing_happens_any_more_has_been_broken_off(journals: Path, tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.mkdir()
    written = (journals / "call-1.jsonl").read_bytes()
    (left / "left.jsonl").write_bytes(written[: written.index(b'"TranscriptFinal"')])
    os.utime(left / "left.jsonl", (1_000, 1_000))
    seen = records(left, unix_ms=1_121_000)
    assert [row.state for row in seen.listed().rows] == ["broken off"]
    file = seen.opened("left")
    assert file is not None
    assert file.view(shown=False, live=False)["notices"] == [
        "The journal breaks off: the call is shown as far as it goes."
    ]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda written: written.replace(b'"schema":1', b'"schema":0', 1), "schema 0"),
        (lambda written: b"hello\n", "not a line of JSON"),
        (lambda written: written.replace(b'"event":"CallStarted"', b'"event":"CallStarten"', 1), ":2: "),
    ],
)
def test_a_journal_that_cannot_be_read_says_so_and_the_others_are_shown(
    journals: Path, damage: Callable[[bytes], bytes], why: str
) -> None:
    (journals / "odd.jsonl").write_bytes(damage((journals / "call-1.jsonl").read_bytes()))
    seen = records(journals)
    assert {row.id for row in seen.listed().rows} == {"call-1", "odd"}
    file = seen.opened("odd")
    assert file is not None
    (notice,) = file.view(shown=False, live=False)["notices"]  # pyright: ignore[reportGeneralTypeIssues] - a list
    assert why in notice
    assert seen.opened("call-1") is not None


def once(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def damaged(written: bytes) -> bytes:
        changed, times = re.subn(old, lambda _: new, written, count=1)
        assert times == 1
        return changed

    return damaged


def ended(reason: bytes) -> Callable[[bytes], bytes]:
    return once(rb'(?<="event":"CallEnded","with":\{"reason":)"caller hung up"', reason)


AT_ITS_END = rb'(?<="at":)\d+(?=,"event":"CallEnded")'
BEGAN = rb'(?<="unix_ms":)\d+'


@pytest.mark.parametrize(
    ("damage", "state", "can_be_seen"),
    [
        (ended(b'"caller \xff up"'), "unreadable", True),
        (ended(rb'"caller \x up"'), "unreadable", True),
        (ended(rb'"\ud800"'), "over", True),
        (once(rb'(?<="flow":)"desk"', rb'"\ud800"'), "over", True),
        (once(BEGAN, b"9" * 30), "over", True),
        (once(BEGAN, b"-" + b"9" * 30), "over", True),
        (once(AT_ITS_END, b"9" * 400), "over", False),
        (once(AT_ITS_END, b"9" * 5_000), "unreadable", True),
    ],
)
def test_a_damaged_record_takes_nothing_from_the_others(
    journals: Path, damage: Callable[[bytes], bytes], state: str, *, can_be_seen: bool
) -> None:
    (journals / "odd.jsonl").write_bytes(damage((journals / "call-1.jsonl").read_bytes()))
    seen = records(journals)
    assert {row.id: row.state for row in seen.listed().rows} == {"call-1": "over", "odd": state}
    json.dumps([asdict(row) for row in seen.listed().rows], ensure_ascii=False).encode()
    file = seen.opened("odd")
    assert file is not None
    view: Any = file.view(shown=True, live=False)
    json.dumps(view, ensure_ascii=False).encode()
    assert can_be_seen == ("about" in view)
    assert can_be_seen or view["notices"]
    assert "call-1" in {each.row.id for each in seen.search("number", seen.listed(), shown=False)}


def test_a_search_finds_what_is_shown_and_personal_data_only_where_it_is_to_be(journals: Path) -> None:
    seen = records(journals)
    listed = seen.listed()

    def found(words: str, *, shown: bool = False) -> list[str]:
        return [each.text for each in seen.search(words, listed, shown=shown)]

    assert found("number") == ["I am •••, number •••"]
    assert found("maria") == found("four") == found("") == []
    assert found("MARIA number", shown=True) == ["I am maria, number four seven one one"]
    assert found("zebra", shown=True) == []
    assert [each.row.id for each in seen.search("hung up", listed, shown=False)] == ["call-1"]


def test_a_search_that_is_stopped_looks_into_no_other_call_nor_does_one_of_a_server_that_stops(journals: Path) -> None:
    seen = records(journals)
    listed = Listed(seen.listed().rows * 3)
    looked_into = iter((False, True))
    assert len(list(seen.search("hung up", listed, shown=False, stopped=lambda: next(looked_into)))) == 1
    seen.close()
    assert list(seen.search("hung up", listed, shown=False)) == []


@pytest.mark.parametrize("name", ["../call-1", "call-1/../call-1", ".hidden", "", "nobody", "a" * 200])
def test_what_is_no_record_is_not_looked_for_elsewhere(journals: Path, name: str) -> None:
    (journals.parent / "call-1.jsonl").write_bytes((journals / "call-1.jsonl").read_bytes())
    (journals.parent / "call-1.wav").write_bytes(b"sound")
    inner = records(journals)
    assert inner.opened(name) is None
    assert inner.recording(name) is None


def test_of_many_calls_the_newest_are_read_and_the_others_when_they_are_looked_for(
    journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_records, "_MOST_READ", 1)
    (journals / "old.jsonl").write_bytes((journals / "call-1.jsonl").read_bytes())
    os.utime(journals / "old.jsonl", (1_000, 1_000))
    seen = records(journals)
    listed = seen.listed()
    assert ([row.id for row in listed.rows], listed.older) == (["call-1"], ("old",))
    assert [each.row.id for each in seen.search("number", listed, shown=False)] == ["call-1", "old"]
    (old,) = [seen.row("old")]
    assert old is not None
    assert old.state == "over"


def test_a_list_that_takes_longer_than_a_second_to_be_read_is_not_read_again_at_once(journals: Path) -> None:
    written = (journals / "call-1.jsonl").read_bytes()
    (journals / "live.jsonl").write_bytes(written[: written.index(b'"TranscriptFinal"')])
    seen = records(journals)
    clock, wall_ms = seen.clock, seen.clock.unix_ms()
    assert isinstance(clock, ManualClock)

    def slowly() -> int:
        clock.advance(2_000)
        return wall_ms

    clock.unix_ms = slowly  # pyright: ignore[reportAttributeAccessIssue] - a disk that takes its time
    assert seen.listed() is seen.listed()


def test_the_phase_of_a_call_is_listed_however_long_ago_it_was_entered(journals: Path) -> None:
    journal = journals / "call-1.jsonl"
    written = journal.read_bytes().splitlines(keepends=True)
    swap = next(line for line in written if b'"SwapPhase"' in line)
    key = b'{"at":1010640,"event":"KeyPressed","with":{"digit":"1"}}\n' * 3_000
    other = json.loads(swap)
    other["with"] = {"epoch": 2, "phase": "billing", **{k: v for k, v in other["with"].items() if k != "phase"}}

    def phase() -> str:
        (row,) = records(journals).listed().rows
        return row.phase

    assert len(key) > 2 * 64 * 1024
    journal.write_bytes(b"".join(written) + key)
    assert phase() == "talk"
    seen = records(journals)
    for more, expected in ((key, "talk"), (json.dumps(other).encode() + b"\n" + key, "billing"), (key, "billing")):
        seen.listed()
        with journal.open("ab") as end:
            end.write(more)
        seen.clock.advance(1_000)  # pyright: ignore[reportAttributeAccessIssue] - a manual one
        (row,) = seen.listed().rows
        assert row.phase == phase() == expected


def test_a_folder_that_is_not_there_yet_has_no_calls(tmp_path: Path) -> None:
    assert records(tmp_path / "none").listed() == Listed()
