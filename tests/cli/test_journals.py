"""`voiceagent inspect` and `replay`: what is left of a call, also where its journal breaks off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, Shop
from tests.runtime.desk_calls import desk
from voiceagent.ports import ReplyDone, SentText
from voiceagent.testing import ModelRule, RuledModel, RuntimeCall, SimulatedProvider


@pytest.fixture
def journal(shop: Shop, voiceagent: Run) -> Path:
    script = shop.script("wait_ms: 200", "hang_up")
    assert voiceagent("call", "shop", "--engines", "null", "--script", script)[0] == 0
    (path,) = Path("journals").glob("*.jsonl")
    return path


def replayed(voiceagent: Run, journal: Path, *options: str) -> tuple[int, str, str]:
    return voiceagent("replay", str(journal), "--agent", "shop", *options)


@pytest.mark.parametrize("kept_lines", [1, 5])
@pytest.mark.parametrize("torn", [b"", b'{"at":12'])
def test_a_journal_that_breaks_off_is_said_to(journal: Path, voiceagent: Run, kept_lines: int, torn: bytes) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:kept_lines]) + torn)
    code, said, _ = replayed(voiceagent, journal)
    assert code == 0
    assert said.endswith(" events: the same effects, byte for byte; the journal breaks off\n")
    code, said, _ = voiceagent("inspect", str(journal))
    assert code == 0
    assert said.endswith("ended: the journal breaks off\n")


def test_machines_are_told_whether_it_was_the_same(shop: Shop, journal: Path, voiceagent: Run) -> None:
    code, said, _ = replayed(voiceagent, journal, "--json")
    told = json.loads(said)
    assert (code, told["same"], told["difference"], told["phase"]) == (0, True, None, "help")
    shop.write(then="help")
    code, said, _ = replayed(voiceagent, journal, "--other-flow", "--until", "2", "--json")
    assert (code, json.loads(said)["events"]) == (0, 2)
    page = shop.folder / "phases" / "shop" / "__init__.py"
    page.write_text(page.read_text().replace('Say(text="Hello.")', 'Say(text="Good day.")'))
    code, said, _ = replayed(voiceagent, journal, "--other-flow", "--json")
    told = json.loads(said)
    assert (code, told["same"]) == (1, False)
    assert "Hello." in told["difference"]["recorded"]
    assert "Good day." in told["difference"]["replayed"]


def test_after_a_prompt_was_edited_a_replay_says_how_it_goes_all_the_same(
    shop: Shop, journal: Path, voiceagent: Run
) -> None:
    (shop.folder / "prompts" / "shop" / "help.md").write_text("Be rude.")
    code, _, complained = replayed(voiceagent, journal)
    assert code == 1
    assert "shop/help.md" in complained
    assert "--other-flow" in complained
    code, said, _ = replayed(voiceagent, journal, "--other-flow")
    assert code == 0
    assert said.endswith(" events: the same effects\n")


@pytest.mark.parametrize("spoken", [True, False], ids=["by a speech model", "by a cascade"])
def test_tokens_are_told_with_how_many_of_them_were_cached(tmp_path: Path, voiceagent: Run, spoken: bool) -> None:
    answer = (SentText("It is ten."), ReplyDone(input_tokens=300, output_tokens=20, cached_tokens=256))
    model = RuledModel((ModelRule(answer, caller_says="time"),))
    provider = SimulatedProvider(desk(), model) if spoken else None
    with RuntimeCall(desk(), model=model, provider=provider, journals=tmp_path / "journals") as call:
        call.start().says("What time is it?").says("And what time is it now?")
    (journal,) = (tmp_path / "journals").glob("*.jsonl")
    _, said, _ = voiceagent("inspect", str(journal))
    assert "model in talk: 2 replies, 600 tokens in (512 of them cached), 40 out\n" in said


@pytest.mark.parametrize("command", [("inspect",), ("replay", "--agent", "shop")])
def test_what_is_no_journal_is_one_line(shop: Shop, voiceagent: Run, command: tuple[str, ...]) -> None:
    (shop.folder / "deep.jsonl").write_bytes(b"[" * 100_000 + b"\n")
    code, said, complained = voiceagent(*command, "deep.jsonl")
    assert (code, said, complained) == (1, "", "voiceagent: deep.jsonl:1: not a line of JSON\n")
