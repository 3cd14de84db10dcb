"""The bank's real agent, where the exchange finds it: local speech, real tools, a bank whose balances only it knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from bank_api import BankApi

from tests.peers.exchange import Exchange
from voiceagent.cli.agent_server import ServerSettings, ServiceSettings, agent_server
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import Journal, read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import replay
from voiceagent.spec.flow import Flow
from voiceagent.telephony.settings import AudioSocketLine, TelephonySettings

__all__ = ["ACCOUNT", "ServedBank", "bank_served", "records_in"]

ACCOUNT = "4519227"
"""Whose PIN the caller of `demo/speech` says."""


@dataclass
class ServedBank:
    """The bank and its agent, while they are served and afterwards."""

    flow: Flow
    journals: Path
    balances: Mapping[str, Decimal]
    api: BankApi
    stops_ms: dict[str | None, list[int]] = field(default_factory=dict)
    """Number called (AudioSocket tells none) → when the agent decided to be silent, on the monotonic clock."""
    _called: dict[CallId, str | None] = field(default_factory=dict)

    def observe(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        if isinstance(event, ev.CallStarted):
            self._called[call] = event.called_number
        if any(isinstance(out.effect, fx.StopPlayout) for out in outgoing):
            self.stops_ms.setdefault(self._called[call], []).append(now_ms)

    def asked(self, path: str) -> int:
        """How often something was asked of the bank."""
        return sum(request.path == path for request in self.api.requests())

    async def records(self) -> list[Journal]:
        """Return the records of all calls."""
        return await records_in(self.journals, self.flow)

    async def phases(self) -> list[list[str]]:
        """Return which phases each call went through."""
        return [[seen.phase for seen in inspect_journal(journal).phases] for journal in await self.records()]


async def records_in(folder: Path, flow: Flow) -> list[Journal]:
    """Return all records in a folder; each is whole, and gives the same call again."""
    journals = await asyncio.to_thread(lambda: [read_journal(file) for file in sorted(folder.glob("*.jsonl"))])
    for journal in journals:
        assert journal.complete
        assert replay(journal, flow).same
    return journals


@asynccontextmanager
async def bank_served(exchange: Exchange, folder: Path, *, port: int | None = None) -> AsyncGenerator[ServedBank]:
    """Serve the bank as the exchange's agent, until nothing is left of its calls."""
    flow = await asyncio.to_thread(load_flow, Path(__file__).parents[2] / "phases" / "bank")
    with BankApi() as bank:
        settings = ServerSettings(
            telephony=TelephonySettings(
                agents=frozenset({"desk"}),
                asterisk_password="s3cret",
                port=exchange.agent_port if port is None else port,
                audiosockets=(AudioSocketLine("desk", port=exchange.audiosocket_port),),
            ),
            journals=folder / "journals",
            service=ServiceSettings(
                url=bank.url,
                token_url=f"{bank.url}/oauth/token",
                client_id=bank.settings.client_id,
                client_secret=bank.settings.client_secret,
            ),
        )
        balances = {kind: bank.balance_of(ACCOUNT, kind) for kind in ("checking", "savings")}
        served = ServedBank(flow, settings.journals, balances, bank)
        async with agent_server(settings, {"desk": flow}, observers=[served.observe]) as server:
            yield served
            assert await server.drain(at_most_s=20), "a call is left"
