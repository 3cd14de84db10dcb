"""The server calls itself, again and again: whoever sends it callers learns when they would not be answered.

A round has two parts. A sentence that is kept nowhere is spoken and heard by the engines of all calls. Then every agent
is called, through a door on this machine that only this process has the key of: socket, codec, pacing, session, flow
and journal are those of any call. No limit on callers counts it, no observer sees it, and its journal is deleted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from voiceagent.cli.synthetic_call import greeted_after_ms, hears_the_greeting, problems_of
from voiceagent.cli.workers import listening_socket
from voiceagent.console.lines import open_lines
from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError, VoiceAgentError
from voiceagent.in_time import within
from voiceagent.logs import log_failure
from voiceagent.ports import MULAW_8K, Engines, IncomingCall
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.journal_disk import journal_name
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.session import Services, Session
from voiceagent.spec.flow import Flow
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import place_call

__all__ = ["SelfProbe"]

_log = logging.getLogger(__name__)
_HERE = "127.0.0.1"
_GREETED_WITHIN_S = 45
"""A flow may say nothing at first, and speak when nobody does."""
_CALL_MS = 60_000
_OVER_MS = 2_000
_ENGINES_MS = 20_000


@dataclass(frozen=True, slots=True)
class _Door:
    """Where this process calls itself, and what lets it in."""

    address: str
    key: str
    media: MediaServer


class SelfProbe:
    """Calls the agents of this server."""

    def __init__(
        self, services: Services, flows: Callable[[], Mapping[str, Flow]], *, journals: Path, time_zone: str
    ) -> None:
        """`services` are those of the synthetic calls, but for their journals, which are in `journals` while they last.

        `flows` gives those that the next call would run on.
        """
        self._services = services
        self._flows = flows
        self._journals = journals
        self._time_zone = time_zone
        self._taken: list[CallId] = []
        self.healthy = True
        """Whether all was well at the last round; before the first one nothing is known to be wrong."""

    async def run(self, *, every_s: float) -> None:
        """Call the agents, for as long as nobody cancels this."""
        every_ms = round(every_s * 1_000)
        while True:
            await self._services.clock.sleep(every_ms)
            try:
                async with self._open_door() as door:
                    while True:
                        self._learn(await self._wrong(door))
                        await self._services.clock.sleep(every_ms)
            except (OSError, OperatorError) as exc:
                self._learn([f"there is no door to be called at: {exc}"])

    def _learn(self, wrong: Sequence[str]) -> None:
        for reason in wrong:
            _log.error("the synthetic call failed: %s", reason)
        if not wrong and not self.healthy:
            _log.info("the synthetic call is answered again")
        self.healthy = not wrong

    @asynccontextmanager
    async def _open_door(self) -> AsyncGenerator[_Door]:
        key = secrets.token_urlsafe(32)
        listening = listening_socket(_HERE, 0)
        address = f"{_HERE}:{listening.getsockname()[1]}"
        settings = TelephonySettings(
            agents=frozenset(self._flows()),
            public_url=f"http://{address}",
            twilio_auth_token=key,
            require_call_token=False,
            listening_fd=listening.detach(),
        )
        lines = open_lines(settings, handler=self._take, healthy=lambda: True, clock=self._services.clock)
        async with lines as (media, _):
            yield _Door(address, key, media)

    async def _take(self, incoming: IncomingCall) -> None:
        self._taken.append(incoming.call)
        await Session(self._flows()[incoming.agent], incoming, self._services, time_zone=self._time_zone).run()

    async def _wrong(self, door: _Door) -> list[str]:
        """Try the engines and every agent, once; return what is wrong."""
        try:
            voices = {flow.manner_of(flow.phase(flow.initial)): flow for flow in self._flows().values()}
            async with within(_ENGINES_MS * len(voices), self._services.clock):
                for flow in voices.values():
                    await _spoken_and_heard(self._services.engines, flow)
            return await self._wrong_with_calls(door)
        except TimeoutError:
            return [f"the engines have not spoken and heard a sentence within {_ENGINES_MS} ms"]
        except (VoiceAgentError, OSError) as exc:
            return [str(exc)]
        except Exception as exc:  # noqa: BLE001 - whatever it is, a caller would have met it as well
            log_failure(_log, exc, "the synthetic call cannot be made")
            return ["see the line before"]

    async def _wrong_with_calls(self, door: _Door) -> list[str]:
        async with AsyncExitStack() as closing:
            # On the disk of all journals: one that takes no more is a reason not to send callers here.
            folder = self._journals / f".probe-{secrets.token_hex(8)}"
            # Before there is one: whoever is cancelled meanwhile takes it away as well.
            closing.push_async_callback(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True)
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True)
            journals = JournalStore(folder, clock=self._services.clock)
            closing.push_async_callback(journals.close)
            closing.push_async_callback(self._calls_over, door)
            self._services = replace(self._services, journals=journals)
            reasons = [await self._wrong_with(agent, door, folder) for agent in self._flows()]
        return [reason for reason in reasons if reason is not None]

    async def _calls_over(self, door: _Door) -> None:
        """Wait, in bounded time, for a call that was broken off: its journal is written to its end."""
        with suppress(TimeoutError):
            async with within(_OVER_MS, self._services.clock):
                await door.media.drained()

    async def _wrong_with(self, agent: str, door: _Door, folder: Path) -> str | None:
        """Call one agent; return what is wrong with it."""
        self._taken.clear()
        url = f"ws://{door.address}/media/twilio/{agent}"
        try:
            async with within(_CALL_MS, self._services.clock):
                report = await place_call(url, hears_the_greeting(within_s=_GREETED_WITHIN_S), auth_token=door.key)
                await door.media.drained()
        except TimeoutError:
            return f"{agent}: the call did not come to its end within {_CALL_MS} ms"
        if not report.connected:
            return f"{agent}: {report.closed.reason}"
        if greeted_after_ms(report) is None:
            return f"{agent}: the agent was not heard"
        return await asyncio.to_thread(_problem, agent, [folder / journal_name(call) for call in self._taken])


def _problem(agent: str, journals: list[Path]) -> str | None:
    problems = [problem for journal in journals for problem in problems_of(inspect_journal(read_journal(journal)))]
    return f"{agent}: {'; '.join(problems)}" if problems else None


async def _spoken_and_heard(engines: Engines, flow: Flow) -> None:
    """Have a sentence spoken that is kept nowhere, and heard. Raises VoiceFailed."""
    first = flow.phase(flow.initial)
    manner = flow.manner_of(first)
    voice = engines.synthesizer.open(
        MULAW_8K, voice=manner.voice, locale=manner.language, speaking_rate=manner.speaking_rate
    )
    ears = engines.recognizer.open(MULAW_8K, locale=manner.language)
    try:
        apology = flow.wording_of(first).phrases.apology
        sentence = f"1, {apology}"  # in the phase's language, and not as it was rendered ahead
        await ears.transcribe(b"".join([piece async for piece in voice.speak(sentence) if isinstance(piece, bytes)]))
    finally:
        voice.close()
        ears.close()
