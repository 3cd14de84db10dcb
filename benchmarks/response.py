"""What a caller waits for: from the end of their voice to the agent's first sound, with the local engines.

The call of `make demo`, placed over a real socket in real time. By the ear: the first loud frame of the agent counts,
not the first byte, and a filler counts as the sound that it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bank_api import BankApi, BankSettings

from benchmarks.figures import Figure, percentile
from voiceagent.cli.agent_server import ServerSettings, ServiceSettings, agent_server
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, CallReport, place_call

__all__ = ["response_figures"]

_SCRIPT = Path("demo/calls/daniel.yaml")


def response_figures() -> Iterator[Figure]:
    """Measure the demo's first script, against a bank that answers at once."""
    with BankApi(BankSettings()) as bank, TemporaryDirectory() as journals:
        report = asyncio.run(_place(bank, Path(journals)))
    if not report.ok:
        raise AssertionError(f"the call went another way: {report.failure}")
    waited_ms = [turn.answered_after_ms for turn in report.turns if (turn.answered_after_ms or 0) > 0]
    yield Figure(
        "end of speech → first agent audio, local engines",
        percentile([float(ms) for ms in waited_ms if ms is not None], 0.5),
        "ms",
        900,
        spread=f"max {max(ms for ms in waited_ms if ms is not None)}",
        how=f"p50 of {len(waited_ms)} turns of {_SCRIPT}, by the ear; "
        f"the caller's own frames were {report.lateness.p99_ms} ms late (p99)",
    )
    silent_ms = [float(cut.silent_after_ms) for cut in report.barge_ins]
    yield Figure(
        "barge-in: caller's first sound → agent silent",
        percentile(silent_ms, 0.5),
        "ms",
        None,
        how=f"{len(silent_ms)} in that call; voice detection and the decision included",
    )


async def _place(bank: BankApi, journals: Path) -> CallReport:
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"bank"}), insecure=True, port=0),
        journals=journals,
        service=ServiceSettings(
            url=bank.url,
            token_url=f"{bank.url}/oauth/token",
            client_id=bank.settings.client_id,
            client_secret=bank.settings.client_secret,
        ),
    )
    async with agent_server(settings, {"bank": load_flow(Path("phases/bank"))}) as server:
        url = f"ws://127.0.0.1:{server.port}/media/twilio/bank"
        return await place_call(url, await asyncio.to_thread(CallerScript.read, _SCRIPT))
