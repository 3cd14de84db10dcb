"""A phone call, end to end: a bank, an agent and a caller on this machine; `make demo` runs this.

The bank draws its balances anew for every run, so that only its database knows the answers. The caller's recorded voice
enters through a real telephone WebSocket; speech is recognised and synthesised locally, with no key and no download.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from bank_api import BankApi, BankSettings, LatencyRange
from bank_api.settings import Endpoint
from proof import Evidence, prove
from rich.console import Console

from voiceagent.cli.agent_server import ServerSettings, ServiceSettings, agent_server
from voiceagent.cli.call_lines import CallLines
from voiceagent.cli.folders import require_writable
from voiceagent.cli.report import write_report
from voiceagent.errors import OperatorError, VoiceAgentError
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Flow
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, CallReport, place_call

HERE = Path(__file__).resolve().parent
AGENT = HERE.parent / "phases" / "bank"
LATENCIES: dict[Endpoint, LatencyRange] = {
    "verify": LatencyRange(300, 700),
    "accounts": LatencyRange(900, 1_500),
    "transactions": LatencyRange(1_800, 2_600),
    "transfers": LatencyRange(400, 900),
}
"""Slow on purpose: so that prefetch and fillers have something to beat."""
ACCOUNT_NUMBERS = {"daniel": "4519227", "maria": "8306114"}
"""Whose account each script's caller names."""


def service_of(bank: BankApi) -> ServiceSettings:
    """Return what lets an agent's tools into the bank."""
    return ServiceSettings(
        url=bank.url,
        token_url=f"{bank.url}/oauth/token",
        client_id=bank.settings.client_id,
        client_secret=bank.settings.client_secret,
    )


async def call_the_bank(
    flow: Flow,
    bank: BankApi,
    script: CallerScript,
    journals: Path,
    recording: Path,
    *,
    end_of_turn: Path | None = None,
) -> CallReport:
    """Serve the agent on a free port, place the call, return what the carrier saw."""
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"bank"}), insecure=True, port=0),
        journals=journals,
        end_of_turn=end_of_turn,
        service=service_of(bank),
    )
    console = Console()
    console.rule("[bold]a call to Harbour Bank")
    async with agent_server(settings, {"bank": flow}, observers=[CallLines(console).observe]) as server:
        url = f"ws://127.0.0.1:{server.port}/media/twilio/bank"
        report = await place_call(url, script, record_to=recording)
        await server.drain(at_most_s=20)
    console.rule()
    return report


def place(flow: Flow, script: CallerScript, output: Path, *, end_of_turn: Path | None = None) -> Evidence:
    """Open a bank, place the call, keep what it leaves behind in a folder of its own below `output`."""
    with tempfile.TemporaryDirectory() as folder, BankApi(BankSettings(latencies=LATENCIES)) as bank:
        account_number = ACCOUNT_NUMBERS.get(script.name, ACCOUNT_NUMBERS["daniel"])
        balances = {kind: bank.balance_of(account_number, kind) for kind in ("checking", "savings")}
        recording = Path(folder) / "call.wav"
        call = call_the_bank(flow, bank, script, Path(folder) / "journals", recording, end_of_turn=end_of_turn)
        report = asyncio.run(call)
        requests = bank.requests()
        journal_file = next((Path(folder) / "journals").glob("*.jsonl"), None)
        if journal_file is None:
            raise OperatorError(f"the agent took no call: {report.failure}")
        journal = read_journal(journal_file)
        summary = inspect_journal(journal)
        kept = output / summary.call
        kept.mkdir(parents=True, exist_ok=True)
        shutil.move(journal_file, kept / "journal.jsonl")  # the temporary folder may be on another disk
        shutil.move(recording, kept / "call.wav")
    (kept / "transcript.txt").write_text(summary.to_text(), encoding="utf-8")
    (kept / "summary.json").write_text(summary.to_json(), encoding="utf-8")
    write_report(kept / "journal.jsonl", recording=kept / "call.wav", agent=str(AGENT), output=None)
    return Evidence(
        report=report,
        summary=summary,
        journal=journal,
        requests=requests,
        balances=balances,
        flow=flow,
        agent=AGENT,
        folder=kept,
    )


def main() -> int:
    """Run one demo call; 0 only if everything that was promised can be proved from what was recorded."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--script", type=Path, default=HERE / "calls" / "daniel.yaml", help="what the caller does")
    arguments.add_argument("--output", type=Path, default=Path("demo-output"), help="where the recording goes")
    arguments.add_argument("--end-of-turn", type=Path, help="a Smart Turn v3 (ONNX) that hears who has finished")
    chosen = arguments.parse_args()
    logging.basicConfig(level=logging.WARNING)
    kept = "nothing was kept"
    try:
        require_writable(chosen.output)  # a call takes a minute and a half: too long to be lost in the end
        evidence = place(
            load_flow(AGENT), CallerScript.read(chosen.script), chosen.output, end_of_turn=chosen.end_of_turn
        )
        kept = f"the call is kept in {evidence.folder}/"
        return 0 if prove(evidence) else 1
    except VoiceAgentError as exc:
        print(f"demo: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"demo: interrupted; {kept}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
