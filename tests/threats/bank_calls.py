"""Real calls to the demo's bank: a served agent, a carrier's socket, the bank's own service, and a hum for a voice."""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bank_api import BankApi, BankSettings

from voiceagent.audio import pcm16_to_mulaw
from voiceagent.cli import agent_server as serving
from voiceagent.cli.agent_server import ServerSettings, ServiceSettings
from voiceagent.core.prefetch import PrefetchPlan
from voiceagent.ports import Engines
from voiceagent.runtime.loader import load_flow
from voiceagent.speech import EnergyVad, NullRecognizer, NullSynthesizer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, CallReport, place_call
from voiceagent.testing.caller_script import HangUpStep, PressStep, SayStep, WaitForAgentStep, WaitStep
from voiceagent.testing.utterance import Utterance

__all__ = ["ACCOUNT", "CARD", "PIN", "SPOKEN_ACCOUNT", "SPOKEN_CARD", "BankCall", "bank_calls"]

ACCOUNT, SPOKEN_ACCOUNT, PIN = "4519227", "four five one nine, double two seven", "1234"
CARD = "4929137766183052"
SPOKEN_CARD = "four nine two nine one three double seven, double six one eight three oh five two"
BANK = Path(__file__).resolve().parents[2] / "phases" / "bank"
SAYS = SayStep(Utterance.from_mulaw("hum", pcm16_to_mulaw((b"\x00\x20" * 20 + b"\x00\xe0" * 20) * 120)))
"""0.6 s of a loud square wave: what it means is for the recognizer to say."""
PAUSE = WaitForAgentStep(quiet_ms=400, at_most_ms=15_000)
ONLY_LISTENS = (WaitStep(2_000), HangUpStep())
TELLS_A_CARD_NUMBER = (
    *(PAUSE, SAYS, PAUSE, SAYS, PAUSE, PressStep(PIN)),
    *(
        WaitStep(2_500),
        PAUSE,
        SAYS,
        WaitStep(3_000),
        PressStep(CARD),
        WaitStep(3_500),
        PAUSE,
        SAYS,
        WaitStep(2_500),
        HangUpStep(),
    ),
)
HEARD = ("I want to know my balance", SPOKEN_ACCOUNT, f"my card is {SPOKEN_CARD}", "what is my checking balance")


@dataclass
class BankCall:
    """A call that is over, and what it has left behind."""

    report: CallReport
    requests: list[str]
    """What the bank's service was asked, in order."""
    kept: int
    """Answers that a call's cache still held a second after the caller had hung up."""
    folder: Path


async def _call(bank: BankApi, folder: Path, steps: Sequence[Any]) -> BankCall:
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"bank"}), insecure=True, port=0),
        journals=folder / "journals",
        recordings=folder / "recordings",
        service=ServiceSettings(
            url=bank.url,
            token_url=f"{bank.url}/oauth/token",
            client_id=bank.settings.client_id,
            client_secret=bank.settings.client_secret,
        ),
    )
    before = len(bank.requests())
    others = {id(plan) for plan in _plans()}
    async with serving.agent_server(settings, {"bank": load_flow(BANK)}) as server:
        url = f"ws://127.0.0.1:{server.port}/media/twilio/bank"
        report = await place_call(url, CallerScript("test", tuple(steps)))
        await asyncio.sleep(1)
        kept = sum(_answers_of(plan) for plan in _plans() if id(plan) not in others)
        assert await server.drain(at_most_s=20)
    assert report.ok, report.failure
    return BankCall(report, [f"{one.method} {one.path}" for one in bank.requests()[before:]], kept, folder)


def _plans() -> list[PrefetchPlan]:
    gc.unfreeze()  # the server sets aside what lasts
    return [found for found in gc.get_objects() if type(found) is PrefetchPlan]


def _answers_of(plan: PrefetchPlan) -> int:
    return len(plan._answers) + len(plan._in_flight)


@pytest.fixture(scope="session")
def bank_calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BankCall]:
    """Two calls to one bank: of somebody who only listens, and of somebody who tells a card number unasked."""
    importlib.import_module("httpx")
    folder = tmp_path_factory.mktemp("bank")
    engines = Engines(vad=EnergyVad(), recognizer=NullRecognizer(HEARD), synthesizer=NullSynthesizer())
    with pytest.MonkeyPatch.context() as patched, BankApi(BankSettings()) as bank:
        patched.setattr(serving, "open_engines", lambda _, **__: engines)
        return {
            "only listens": asyncio.run(_call(bank, folder / "1", ONLY_LISTENS)),
            "tells a card number": asyncio.run(_call(bank, folder / "2", TELLS_A_CARD_NUMBER)),
        }
