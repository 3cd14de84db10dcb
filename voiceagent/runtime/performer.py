"""The performer: turns effects into work, and returns at once; what comes of it is posted as an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import assert_never

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import Epoch, ToolCallId
from voiceagent.errors import CallLost, JournalError
from voiceagent.ports import Clock, Leg, Voice
from voiceagent.runtime.journal import JournalWriter
from voiceagent.runtime.learned import Learned
from voiceagent.tools.executor import CallTools
from voiceagent.tools.vault import Vault

__all__ = ["Performer"]

_log = logging.getLogger(__name__)
_TRANSFER_WITHIN_S = 30


class Performer:
    """Does what one call asks for."""

    def __init__(
        self,
        *,
        voice: Voice,
        leg: Leg,
        tools: CallTools,
        vault: Vault,
        journal: JournalWriter,
        learned: Learned,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        post: Callable[[ev.Event], None],
    ) -> None:
        self._voice = voice
        self._leg = leg
        self._tools = tools
        self._vault = vault
        self._journal = journal
        self._learned = learned
        self._clock = clock
        self._tasks = tasks
        self._post = post
        self._running: dict[ToolCallId, asyncio.Task[None]] = {}
        self._fetching: set[asyncio.Task[None]] = set()

    def perform(self, outgoing: fx.Outgoing) -> None:  # noqa: C901 - one decision table: a row per effect
        """Start what the effect asks for."""
        effect = outgoing.effect
        match effect:
            case fx.Speak(utterance, clause, text, _, last):
                self._voice.speak(utterance, clause, text, last=last)
            case fx.StopPlayout():
                self._stop_playout()
            case fx.Transcribe(utterance, hints):
                self._voice.transcribe(utterance, hints)
            case fx.AskModel(reply, request):
                self._voice.ask(reply, request)
            case fx.CancelReply(reply):
                self._voice.cancel(reply)
            case fx.SwapPhase():
                self._voice.swap(effect)
            case fx.StartTool():
                self._start_tool(effect, outgoing.epoch)
            case fx.CancelTool(call):
                task = self._running.pop(call, None)
                if task is not None:
                    task.cancel()
            case fx.Fetch():
                self._fetch(effect)
            case fx.ForgetSealed(handles):
                self._vault.forget(handles)
            case fx.Transfer(target):
                self._tasks.create_task(self._transfer(target))
            case fx.HangUp(reason, drain):
                self._tasks.create_task(self._hang_up(reason, drain=drain))
            case fx.ServeFromCache() | fx.ReportProblem():
                pass  # for the record: the journal and the observers have it
            case _:
                assert_never(effect)

    async def finish(self) -> None:
        """The call is over: wait for writes whose outcome must be known, let go of everything else."""
        for task in self._fetching:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running.values())

    def _stop_playout(self) -> None:
        dropped = self._voice.silence()
        self._leg.clear()
        for utterance in dropped:
            # The leg has reported what it knew of; of the rest nothing was heard.
            self._post(ev.PlayoutStopped(utterance, 0, exact=True))

    # --- tools ---

    def _start_tool(self, start: fx.StartTool, epoch: Epoch) -> None:
        task = self._tasks.create_task(self._run(start, epoch))
        self._running[start.call] = task
        task.add_done_callback(lambda _: self._running.pop(start.call, None))

    async def _run(self, start: fx.StartTool, epoch: Epoch) -> None:
        if start.idempotency_key is not None:
            try:
                # Write-ahead: the intent is on disk before the world is changed, or the world is not changed.
                await self._journal.sync()
            except JournalError as exc:
                _log.error("a write was refused because it could not be recorded", exc_info=exc)
                self._post(ev.ToolFailed(start.call, "refused", "that cannot be done right now"))
                return
        began_ms = self._clock.now_ms()
        outcome = await self._tools.run(start, epoch)
        self._learned.tool_took(start.tool, self._clock.now_ms() - began_ms)
        self._post(outcome)

    def _fetch(self, fetch: fx.Fetch) -> None:
        async def run() -> None:
            self._post(await self._tools.fetch(fetch))

        task = self._tasks.create_task(run())
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)

    # --- the end ---

    async def _hang_up(self, reason: str, *, drain: bool) -> None:
        await self._leg.hang_up(drain=drain)
        self._post(ev.CallEnded(reason))

    async def _transfer(self, target: str) -> None:
        try:
            async with asyncio.timeout(_TRANSFER_WITHIN_S):
                await self._leg.transfer(target)
        except (CallLost, TimeoutError) as exc:
            # The last words have been said; a carrier that cannot transfer in band goes on with its answer document.
            _log.warning("the leg could not transfer the caller: %s", exc)
            await self._leg.hang_up(drain=True)
        self._post(ev.CallEnded(f"transferred to {target}"))
