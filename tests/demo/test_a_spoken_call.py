"""A spoken call, end to end, with the real engines: what the database knows is what the caller hears."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from bank_api import BankApi, BankSettings
from ear import hears, what_the_agent_said

from voiceagent.cli.agent_server import ServerSettings, ServiceSettings, agent_server
from voiceagent.core.events import DigitsPressed, TranscriptFinal, TranscriptPartial
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import replay
from voiceagent.spec.flow import Flow
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, CallReport, place_call

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
name: short
steps:
  - wait_for: agent_done
  - say: {speech}/01_greeting_balance.wav
  - wait_for: agent_done
  - say: {speech}/03_account_number.wav
  - wait_for: agent_done
  - press: "1234"
  - wait_for: agent_done
    quiet_ms: 2000
  - hang_up
"""


HEARD = (TranscriptFinal, TranscriptPartial, DigitsPressed)


async def call(flow: Flow, bank: BankApi, script: CallerScript, folder: Path) -> CallReport:
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"bank"}), insecure=True, port=0),
        journals=folder / "journals",
        service=ServiceSettings(
            url=bank.url,
            token_url=f"{bank.url}/oauth/token",
            client_id=bank.settings.client_id,
            client_secret=bank.settings.client_secret,
        ),
    )
    async with agent_server(settings, {"bank": flow}) as server:
        url = f"ws://127.0.0.1:{server.port}/media/twilio/bank"
        report = await place_call(url, script, record_to=folder / "call.wav")
        await server.drain(at_most_s=10)
        return report


@pytest.mark.engines
@pytest.mark.timeout(120)
def test_the_balance_in_the_database_is_the_balance_in_the_recording(tmp_path: Path) -> None:
    pytest.importorskip("moonshine_voice", reason="needs the extra 'local'")
    plan = tmp_path / "short.yaml"
    plan.write_text(SCRIPT.format(speech=ROOT / "demo" / "speech"))
    flow = load_flow(ROOT / "phases" / "bank")
    with BankApi(BankSettings()) as bank:
        balance = bank.balance_of("4519227", "checking")
        report = asyncio.run(call(flow, bank, CallerScript.read(plan), tmp_path))
    assert report.ok, report.failure
    hearings = asyncio.run(what_the_agent_said(tmp_path / "call.wav"))
    assert any(hears(balance, words) for words in hearings), hearings
    (journal,) = (tmp_path / "journals").glob("*.jsonl")
    record = read_journal(journal)
    # Only the words: an instant may well have 1234 in it.
    said = [repr(entry.event) for entry in record.entries if isinstance(entry.event, HEARD)]
    assert said
    assert not any("1234" in text or "4519" in text for text in said)
    assert replay(record, flow).same
