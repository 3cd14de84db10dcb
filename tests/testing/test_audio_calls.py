"""`voiceagent test --audio`: a scripted conversation as a spoken call, by the local engines, over a real socket."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voiceagent.cli.commands import app
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import replay

ROOT = Path(__file__).parents[2]
CALLS = f"""
include: {ROOT}/tests/conversations/bank/the_bank.yaml
conversations:
  - name: keys and words
    call:
      - says: What is my balance?
        at: {{answer_ms: 600}}
        expect: {{phase: authentication, hears: "What is your account number?", hears_not: How can I help you}}
      - presses: "4519227"
        at: {{heard: your account number}}
      - presses: "1234"
        at: {{heard: And your}}
        expect: {{phase: account_inquiry, history_not: "1234", calls: get_accounts}}
      - hangs_up:
        at: {{heard: Your checking account}}
        expect: {{ended: yes, hears_not: 800 dollars}}
  - name: a fault
    faults: {{model_fails: 1}}
    call: [{{says: "What is my balance?"}}]
"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    path = tmp_path / "spoken.call.yaml"
    path.write_text(CALLS, encoding="utf-8")
    return path


@pytest.mark.engines
@pytest.mark.timeout(120)
def test_a_conversation_is_spoken_recorded_and_replayed(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("moonshine_voice", reason="needs the extra 'local'")
    monkeypatch.chdir(ROOT)
    kept = calls.parent / "kept"
    done = CliRunner().invoke(app, ["test", str(calls), "--audio", "--recordings", str(kept), "--json"])
    assert done.exit_code == 0, done.output
    spoken, skipped = json.loads(done.output)["results"]
    assert (spoken["status"], skipped["status"]) == ("passed", "skipped"), done.output
    assert "not compared: history_not" in spoken["text"]
    assert "its faults are simulated" in skipped["text"]
    with wave.open(str(kept / "spoken_keys_and_words.wav")) as recording:
        assert recording.getnchannels() == 2
        assert abs(recording.getnframes() / 8 - spoken["runtime"]["simulated_ms"]) < 100
    journal = read_journal(kept / "spoken_keys_and_words.jsonl")
    assert replay(journal, load_flow(ROOT / "phases" / "bank")).same


def test_only_a_spoken_call_can_be_recorded(calls: Path) -> None:
    done = CliRunner().invoke(app, ["test", str(calls), "--recordings", str(calls.parent)])
    assert done.exit_code == 2
    assert "--audio" in done.output
