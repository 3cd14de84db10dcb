"""The performer: turns effects into work, and returns at once; what comes of it is posted as an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import assert_never

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import Epoch, ToolCallId
from voiceagent.errors import CallLost, JournalError
from voiceagent.in_time import within
from voiceagent.logs import log_failure
from voiceagent.ports import Announcement, Clock, Leg, Voice
from voiceagent.runtime.call_tasks import CallTasks
from voiceagent.runtime.journal import JournalWriter
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.left_behind import transferred_to
from voiceagent.runtime.tones import LineTones
from voiceagent.spec.flow import Flow
from voiceagent.tools.executor import CallTools
from voiceagent.tools.vault import Vault

__all__ = ["Performer"]

_log = logging.getLogger(__name__)
_TRANSFER_WITHIN_MS = 30_000
_HANG_UP_WITHIN_MS = 15_000
"""Draining included: a call is hung up when its last words have been heard, or nearly."""
_WRITES_WITHIN_MS = 60_000
"""After the call, for writes that are under way; their own time-outs come before that."""


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
        tasks: CallTasks,
        post: Callable[[ev.Event], None],
        flow: Callable[[], Flow],
        tones: LineTones,
    ) -> None:
        """`flow` says what the call goes by at that moment."""
        self._voice = voice
        self._leg = leg
        self._tools = tools
        self._vault = vault
        self._journal = journal
        self._learned = learned
        self._clock = clock
        self._tasks = tasks
        self._post = post
        self._flow = flow
        self._tones = tones
        self._reads: dict[ToolCallId, asyncio.Task[None]] = {}
        self._writes: dict[ToolCallId, asyncio.Task[None]] = {}
        self._no_longer_needed: list[str] = []
        """Handles of secrets that are destroyed when no write is under way any more."""

    def perform(self, outgoing: fx.Outgoing) -> None:  # noqa: C901 - one decision table: a row per effect
        """Start what the effect asks for."""
        effect = outgoing.effect
        match effect:
            case fx.Speak(utterance, clause, text, kind, last):
                self._voice.speak(utterance, clause, text, last=last, softly=kind == "backchannel")
            case fx.StopPlayout():
                self._stop_playout()
            case fx.Transcribe(utterance, hints):
                self._voice.transcribe(utterance, hints)
            case fx.TranscribeSoFar(utterance, hints):
                self._voice.transcribe_so_far(utterance, hints)
            case fx.ListenForTones(on):
                self._tones.listen(on=on)
            case fx.AskModel(reply, request, _):
                self._voice.ask(reply, request)
            case fx.CancelReply(reply):
                self._voice.cancel(reply)
            case fx.PlayReply(reply, utterance, from_ms):
                self._voice.play(reply, utterance, from_ms=from_ms)
            case fx.TruncateReply(reply, heard_ms):
                self._voice.truncate(reply, heard_ms)
            case fx.SwapPhase():
                self._voice.swap(effect)
            case fx.PrimePhase():
                self._voice.prime(effect)
            case fx.RenewVoice():
                self._voice.renew(effect)
            case fx.StartTool(call, idempotency_key=key):
                running = self._reads if key is None else self._writes
                self._work_on(call, self._run(effect, outgoing.epoch), running)
            case fx.Reconcile(call):
                self._work_on(call, self._reconcile(effect), self._writes)
            case fx.CancelTool(call):
                task = self._reads.pop(call, None)
                if task is not None:
                    task.cancel()
            case fx.Fetch():
                self._tasks.start(self._fetch(effect))
            case fx.ForgetSealed(handles):
                self._no_longer_needed += handles
                self._forget_secrets()
            case fx.SendDigits(digits):
                self._leg.send_digits(digits)
            case fx.Transfer():
                self._tasks.start(self._transfer(effect))
            case fx.HangUp(reason, drain):
                self._tasks.start(self._hang_up(reason, drain=drain))
            case fx.UseVersion():
                self._voice.use(self._flow())
            case fx.ReportProblem("limit reached", limit):
                _log.warning("call %s: the %s is reached", self._journal.call, limit)
            case fx.ServeFromCache() | fx.NoteDecision() | fx.ReportProblem():
                pass  # for the record: the journal and the observers have it
            case _:
                assert_never(effect)

    async def finish(self) -> None:
        """The call is over: wait, in bounded time, for writes, whose outcome must be known.

        Of one that does not come to its end, ToolFailed says that nobody knows what has become of it.
        """
        await self._tasks.wait(tuple(self._writes.values()), at_most_ms=_WRITES_WITHIN_MS)
        for call in self._writes:
            self._post(ev.ToolFailed(call, "unknown", "it did not come to its end before the call was over"))

    def _stop_playout(self) -> None:
        dropped = self._voice.silence()
        self._leg.clear()
        for utterance in dropped:
            # The leg has reported what it knew of; of the rest nothing was heard.
            self._post(ev.PlayoutStopped(utterance, 0, exact=True))

    # --- tools ---

    def _work_on(
        self, call: ToolCallId, work: Coroutine[None, None, None], running: dict[ToolCallId, asyncio.Task[None]]
    ) -> None:
        task = self._tasks.start(work)
        running[call] = task

        def ended(_: asyncio.Task[None]) -> None:
            running.pop(call, None)
            self._forget_secrets()

        task.add_done_callback(ended)

    async def _run(self, start: fx.StartTool, epoch: Epoch) -> None:
        if start.idempotency_key is not None:
            try:
                # Write-ahead: the intent is on disk before the world is changed, or the world is not changed.
                await self._journal.sync()
            except JournalError as exc:
                log_failure(_log, exc, "a write was refused because it could not be recorded")
                self._post(ev.ToolFailed(start.call, "refused", "that cannot be done right now"))
                return
        began_ms = self._clock.now_ms()
        outcome = await self._tools.run(start, epoch)
        if isinstance(outcome, ev.ToolFinished):
            # A refusal takes no time at all, and would teach that the tool does not either.
            self._learned.tool_took(start.tool, self._clock.now_ms() - began_ms)
        self._post(outcome)

    async def _reconcile(self, lost: fx.Reconcile) -> None:
        self._post(await self._tools.reconcile(lost))

    async def _fetch(self, fetch: fx.Fetch) -> None:
        self._post(await self._tools.fetch(fetch))

    def _forget_secrets(self) -> None:
        # A write that is still under way may return the secret it was given: only a vault that knows it can scrub it.
        if not self._writes:
            self._vault.forget(self._no_longer_needed)
            self._no_longer_needed.clear()

    # --- the end ---

    async def _hang_up(self, reason: str, *, drain: bool) -> None:
        try:
            async with within(_HANG_UP_WITHIN_MS, self._clock):
                await self._leg.hang_up(drain=drain)
        except TimeoutError:
            _log.warning("the leg did not hang up within %d ms", _HANG_UP_WITHIN_MS)
        self._post(ev.CallEnded(reason))

    async def _transfer(self, transfer: fx.Transfer) -> None:
        """Hand the caller over, or let the call learn that it has to take its last words back."""
        target = transfer.target
        announcement = self._announcement(transfer)
        sorry = Announcement(self._flow().phrases.not_available, self._flow().locale)
        if transfer.accept is not None and not (announcement and announcement.accept):
            self._not_transferred(target, "nobody could be asked whether they take the caller")  # a mailbox would
            return
        try:
            async with within(_TRANSFER_WITHIN_MS, self._clock):
                may_return = await self._leg.transfer(target, announcement, sorry=sorry)
        except CallLost as exc:
            self._not_transferred(target, str(exc))
        except TimeoutError:
            self._not_transferred(target, f"not done within {_TRANSFER_WITHIN_MS} ms")
        else:
            self._post(ev.HandedOver(target) if may_return else ev.CallEnded(transferred_to(target)))

    def _announcement(self, transfer: fx.Transfer) -> Announcement | None:
        if not transfer.announce:
            return None
        return Announcement(transfer.announce, self._flow().locale, transfer.accept)

    def _not_transferred(self, target: str, reason: str) -> None:
        _log.warning("call %s: transfer failed: %s", self._journal.call, reason)
        self._post(ev.TransferFailed(target, reason))
