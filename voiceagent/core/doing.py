"""The desk for tools: what may run, what is answered from memory, what needs a yes first, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from pydantic import JsonValue

from voiceagent.core.authority import Refused, decide
from voiceagent.core.confirmations import Confirmation, digest_of
from voiceagent.core.effects import CancelTool, Fetch, Reconcile, ReportProblem, ServeFromCache, StartTool
from voiceagent.core.events import ToolFailed, ToolRequested
from voiceagent.core.ids import FetchId, ReplyId, ToolCallId
from voiceagent.core.phase_machine import Signal
from voiceagent.core.prefetch import Answer, Joined, PlannedFetch, PrefetchPlan
from voiceagent.core.state import CallState, Outbox
from voiceagent.core.tool_calls import OUTCOME_UNKNOWN, ToolCall, ToolCalls
from voiceagent.core.transcript import Transcript
from voiceagent.errors import PhaseError
from voiceagent.spec.phase import Requested, ToolFails, ToolSucceeds
from voiceagent.spec.prefetch import Prefetch
from voiceagent.spec.prompt import render
from voiceagent.spec.tool import Tool

__all__ = ["Doing"]

_MOST_BAD_REQUESTS = 2
"""How often a model is told that its arguments do not fit before it counts as broken."""
_REPEATED = "the same as an earlier request of this reply: it is done once, and that one has its result"


class Doing:
    """Everything that is looked up or done for the caller."""

    def __init__(self, state: CallState, out: Outbox, transcript: Transcript) -> None:
        self.calls = ToolCalls()
        self.prefetch = PrefetchPlan()
        self.confirmation: Confirmation | None = None
        self.signals: list[Signal] = []
        """What the finished calls of a reply have to say to the phase machine; heard when all of them are finished."""
        self.moves: list[tuple[str, str]] = []
        """(request, name) of the moves the model has asked for, not yet answered."""
        self.bad_requests = 0
        self._state = state
        self._out = out
        self._transcript = transcript
        self._confirmations = 0
        self._written: dict[str, None] = {}
        """Digests of the writes that one reply has asked for."""
        self._written_by: ReplyId | None = None
        self._in_doubt: dict[str, str] = {}
        """Digest → key of the writes of which nobody knows whether they were done: the same again is no other."""

        self._held: list[ToolCallId] = []
        """Reads that are to be started once the phase is in force."""

    # --- requests ---

    def request(self, event: ToolRequested) -> ToolCall | None:
        """Take a request of the model: refuse it, answer it, start it, or return the call that needs a yes first."""
        state = self._state
        self._transcript.requested(event.request, event.name, _json(dict(event.arguments)), state.epoch)
        if event.name in state.flow.requests_of(state.phase):
            self.moves.append((event.request, event.name))
            self.signals.append(Signal(Requested, event.name))
            return None
        tool = decide(state.flow, state.authority, name=event.name, epoch=state.epoch)
        if isinstance(tool, Refused):
            self._refuse(event, tool.reason)
            return None
        known = state.facts.known()
        bound = {parameter: known[fact] for parameter, fact in tool.binds.items()}
        try:
            arguments = tool.validated({**event.arguments, **bound})
            problem = event.problem
        except ValueError as exc:
            arguments = {}
            problem = event.problem or str(exc)
        if problem is not None:
            self.bad_requests += 1
            self._refuse(event, f"the arguments do not fit: {problem}")
            return None
        self.bad_requests = 0
        if tool.effect == "write" and self._is_repeated(event.reply, digest_of(tool.name, arguments)):
            self._out.emit(ReportProblem("repeated write", tool.name))
            self._transcript.answered(event.request, tool.name, _json(_REPEATED), state.epoch, failed=False)
            return None
        call = self.calls.open(
            tool, arguments, request=event.request, reply=event.reply, epoch=state.epoch, now_ms=state.now_ms
        )
        if tool.effect == "irreversible":
            return self._confirmable(call)
        self._look_up_or_start(call)
        return None

    def _is_repeated(self, reply: ReplyId, digest: str) -> bool:
        """Whether the same reply has asked for exactly this write before."""
        if reply != self._written_by:
            self._written_by = reply
            self._written.clear()
        repeated = digest in self._written
        self._written[digest] = None
        return repeated

    @property
    def model_is_broken(self) -> bool:
        """Whether the model keeps asking for what cannot be done."""
        return self.bad_requests > _MOST_BAD_REQUESTS

    def _confirmable(self, call: ToolCall) -> ToolCall | None:
        if self.confirmation is not None:
            self._fail(call, "another request is waiting for the caller's yes")
            return None
        call.state = "confirming"
        return call

    def _look_up_or_start(self, call: ToolCall) -> None:
        match self.prefetch.look_up(call.id, call.tool, call.arguments, self._state.now_ms):
            case Answer() as answer:
                self._serve(call, answer, "hit")
            case Joined():
                call.state = "joined"
            case None:
                self._join_or_start(call)

    def _join_or_start(self, call: ToolCall) -> None:
        """Wait with whoever asks for just the same already: nobody is asked for one thing twice at a time."""
        for running in self.calls.outstanding:
            if running is not call and running.state == "running" and self._asks_the_same(running, call):
                call.state, call.same_as = "joined", running.id
                return
        self._start(call)

    def _asks_the_same(self, running: ToolCall, call: ToolCall) -> bool:
        return (
            call.tool.effect == "read"
            and (running.tool, running.arguments, running.epoch) == (call.tool, call.arguments, call.epoch)
            and running.version == self.prefetch.version_of(call.tool)
            and running.generation == self.prefetch.generation
        )

    def _waiting_for(self, running: ToolCall) -> tuple[ToolCall, ...]:
        return tuple(call for call in self.calls.outstanding if call.same_as == running.id)

    def _start(self, call: ToolCall, confirmation: Confirmation | None = None) -> None:
        call.state = "running"
        call.started_ms = self._state.now_ms
        call.version = self.prefetch.version_of(call.tool)
        call.generation = self.prefetch.generation
        call.idempotency_key = self._key_of(call, confirmation)
        self._state.tool_calls += 1
        if self._state.tool_calls == self._state.flow.limits.max_tool_calls:
            self._out.emit(ReportProblem("limit reached", "tool limit of the call"))
        confirmed = confirmation.digest if confirmation is not None else None
        self._out.emit(StartTool(call.id, call.tool.name, call.arguments, call.idempotency_key, confirmed))

    def _key_of(self, call: ToolCall, confirmation: Confirmation | None) -> str | None:
        if call.tool.effect == "read":
            return None
        in_doubt = self._in_doubt.get(digest_of(call.tool.name, call.arguments))
        if in_doubt is not None:
            return in_doubt
        if call.tool.effect == "write":
            return f"{self._state.inherited.call}:{call.id}"
        return confirmation.key(self._state.inherited.call) if confirmation is not None else None

    def _serve(self, call: ToolCall, answer: Answer, how: Literal["hit", "joined"]) -> None:
        self._out.emit(ServeFromCache(call.id, answer.fetch, how, answer.saved_ms))
        self._succeed(call, answer.result)

    # --- confirmations ---

    def read_back(self, call: ToolCall) -> str:
        """Return the words that ask for the yes; they come from the tool's template and exactly these arguments."""
        return render(
            call.tool.confirm or "",
            {**self._state.facts.known(), **call.arguments},
            source=call.tool.source,
            locale=self._state.locale,
        )

    def next_confirmation(self) -> int:
        """Return the number of the next confirmation of this call."""
        self._confirmations += 1
        return self._confirmations

    def decline(self, call: ToolCall, reason: str) -> None:
        """A call that waits for a yes will not get one."""
        self._fail(call, reason, signal=False)

    def confirmed(self, *, yes: bool, reason: str) -> None:
        """The read-back has its answer: do it, or tell the model why not."""
        confirmation, self.confirmation = self.confirmation, None
        call = self.calls.get(confirmation.call) if confirmation else None
        if confirmation is None or call is None:
            return
        if not yes:
            self._fail(call, reason, signal=False)
            return
        permitted = decide(self._state.flow, self._state.authority, name=call.tool.name, epoch=confirmation.epoch)
        if isinstance(permitted, Refused):
            self._fail(call, permitted.reason)
        else:
            self._start(call, confirmation)

    # --- results ---

    def finished(self, call_id: ToolCallId, result: JsonValue) -> None:
        """A tool has returned."""
        call = self._running(call_id)
        if call is None:
            return
        if call.tool.effect != "read":
            self.prefetch.written(call.tool)
            self._in_doubt.pop(digest_of(call.tool.name, call.arguments), None)
        if call.epoch != self._state.epoch:
            self._report_late(call, _json(result))
            return
        if call.version == self.prefetch.version_of(call.tool) and call.generation == self.prefetch.generation:
            took_ms = self._state.now_ms - call.started_ms
            self.prefetch.store(call.tool, call.arguments, result, took_ms)
        waiting = self._waiting_for(call)
        self._succeed(call, result)
        for other in waiting:
            self._succeed(other, result)

    def failed(self, event: ToolFailed) -> None:
        """A tool has come to nothing."""
        call = self._running(event.call)
        if call is None:
            return
        if call.tool.effect != "read" and event.kind != "refused":
            self.prefetch.written(call.tool)  # it may have happened all the same
        if event.kind == "unknown" and call.idempotency_key is not None:
            self._in_doubt[digest_of(call.tool.name, call.arguments)] = call.idempotency_key
        if call.epoch != self._state.epoch:
            self._report_late(call, f"{event.kind}: {event.reason}")
            return
        for same in (call, *self._waiting_for(call)):
            self._fail(same, event.reason)

    def _running(self, call_id: ToolCallId) -> ToolCall | None:
        """Return the call if it was started and has no result yet: only then can there be one."""
        call = self.calls.get(call_id)
        if call is not None and call.state == "running":
            return call
        self._out.emit(ReportProblem("unexpected result", f"{call_id} is not running"))
        return None

    def give_up_waiting(self, reason: str) -> None:
        """The caller has waited too long: let go of every read; a write goes on until its outcome is known."""
        self._let_go_of_reads(reason)

    def _let_go_of_reads(self, reason: str) -> None:
        for call in self.calls.outstanding:
            if call.tool.effect == "read":
                self._cancel(call)
                self._fail(call, reason)

    @property
    def is_busy(self) -> bool:
        """Whether something is being looked up or done, or nothing has been made of what came of it."""
        return bool(self.calls.outstanding or self.signals)

    def batch_finished(self, reply: ReplyId | None) -> bool:
        """Whether nothing that belongs to this reply is still being worked on."""
        return not any(call.reply == reply or reply is None for call in self.calls.unanswered)

    def agent_changed(self) -> None:
        """The tools are others: what those before have found out is as stale as if it were about somebody else."""
        self.prefetch.identity_established()

    def leave_phase(self) -> None:
        """A transition is decided: reads of the old phase are dropped, a pending yes is void, writes go on."""
        self.signals.clear()
        self.answer_moves(taken=True)
        if self.confirmation is not None:
            self.confirmed(yes=False, reason="the conversation moved on before the caller answered")
            self.signals.clear()
        for call in self.calls.unanswered:
            if call.tool.effect == "read":
                self._cancel(call)
                self.calls.close(call)
                self._answer(call, "no longer needed", failed=True)

    def answer_moves(self, *, taken: bool) -> None:
        """Tell the model what became of the moves it asked for."""
        for request, name in self.moves:
            text = "done" if taken else "that is not possible now"
            self._transcript.answered(request, name, _json(text), self._state.epoch, failed=not taken)
        self.moves.clear()

    def void_moves(self) -> None:
        """The caller has gone on speaking before a move they had asked for was made: the model decides anew."""
        for request, _ in self.moves:
            self._transcript.retract(request)
        self.moves.clear()
        self.signals = [signal for signal in self.signals if signal.kind is not Requested]

    def close(self) -> None:
        """The call is over: nobody waits for anything."""
        for call in self.calls.unanswered:
            if call.tool.effect == "read":
                self._cancel(call)
        self.confirmation = None
        self.prefetch.close()

    # --- a connection that is lost ---

    def broken_off(self) -> None:
        """Who ran what is gone: of a write nobody knows whether it was done, unless it can be looked up."""
        for call in self.calls.outstanding:
            if call.tool.effect != "read" and call.tool.reconcile is None:
                self.failed(ToolFailed(call.id, "unknown", OUTCOME_UNKNOWN))

    def fetch_again(self) -> None:
        """What was being fetched ahead still is to be."""
        self._fetch(self.prefetch.under_way(self._state.now_ms))

    def look_up_again(self) -> None:
        """Reads that were broken off are run once more: they change nothing. Writes are looked up."""
        for call in self.calls.outstanding:
            if call.state != "running":
                continue
            call.started_ms = self._state.now_ms
            if call.tool.effect == "read":
                self._out.emit(StartTool(call.id, call.tool.name, call.arguments, None))
            else:
                self._out.emit(Reconcile(call.id, call.tool.name, call.arguments, call.idempotency_key))

    # --- prefetch ---

    def prefetch_on(self, prefetches: Sequence[Prefetch]) -> None:
        """A transition that declares these was decided."""
        permitted = [prefetch for prefetch in prefetches if self._may_fetch(prefetch)]
        self._fetch(self.prefetch.plan(permitted, self._state.facts, self._state.now_ms))

    def fetched(self, fetch: FetchId, result: JsonValue) -> None:
        """A fetch has returned: whoever joined it is answered."""
        state = self._state
        more, answers = self.prefetch.finished(fetch, result, state.facts, state.now_ms)
        self._fetch(more)
        for call_id, answer in answers:
            call = self.calls.get(call_id)
            if call is not None and call.epoch == state.epoch:
                self._serve(call, answer, "joined")

    def fetch_failed(self, fetch: FetchId, reason: str) -> None:
        """A fetch came to nothing: the first who joined it runs the tool, and the others wait for that."""
        self._out.emit(ReportProblem("prefetch failed", f"{fetch}: {reason}"))
        more, waiters = self.prefetch.failed(fetch, self._state.now_ms)
        self._fetch(more)
        self._held += waiters
        if not self._state.swapping:
            self.start_held()

    def start_held(self) -> None:
        """The phase is in force: start the reads whose prefetch came to nothing while it was not."""
        held, self._held = self._held, []
        for call_id in held:
            call = self.calls.get(call_id)
            if call is not None:
                self._join_or_start(call)

    def _may_fetch(self, prefetch: Prefetch) -> bool:
        missing = [grant for grant in prefetch.tool.requires if grant not in self._state.grants]
        if missing:
            self._out.emit(ReportProblem("prefetch refused", f"{prefetch.tool.name} needs {', '.join(missing)}"))
        return not missing and prefetch.tool.effect == "read"

    def _fetch(self, planned: Sequence[PlannedFetch]) -> None:
        for fetch in planned:
            self._out.emit(Fetch(fetch.fetch, fetch.tool.name, fetch.arguments, fetch.deadline_ms))

    # --- outcomes ---

    def _succeed(self, call: ToolCall, result: JsonValue) -> None:
        tool = call.tool
        try:
            values = {fact: _field(result, path) for fact, path in tool.sets.items()}
            self._state.facts = self._state.facts.with_values(values)
        except PhaseError as exc:
            self._out.emit(ReportProblem("result does not fit the facts", f"{tool.name}: {exc}"))
            self._fail(call, "the answer could not be understood")
            return
        self.calls.close(call)
        if tool.grants:
            self._identify(tool, given=tool.grants_when is None or _field(result, tool.grants_when) is True)
        self._answer(call, _json(result), failed=False)
        self.signals.append(Signal(ToolSucceeds, tool.name))

    def _identify(self, tool: Tool, *, given: bool) -> None:
        """The tool has said who the caller is, or that they are not who they say: either ends what was known before."""
        held = any(grant in self._state.grants for grant in tool.grants)
        if given:
            self._state.grants |= dict.fromkeys(tool.grants)
        else:
            for grant in tool.grants:
                self._state.grants.pop(grant, None)
        if held:
            # What is being looked up was asked for in another name: nobody may hear it under this one.
            self._let_go_of_reads("the caller's identity has changed in the meantime")
        if held or given:
            self.prefetch.identity_established()

    def _fail(self, call: ToolCall, reason: str, *, signal: bool = True) -> None:
        self.calls.close(call)
        self._answer(call, _json(reason), failed=True)
        if signal:
            self.signals.append(Signal(ToolFails, call.tool.name))

    def _answer(self, call: ToolCall, text: str, *, failed: bool) -> None:
        self._transcript.answered(call.request, call.tool.name, text, call.epoch, failed=failed)

    def _refuse(self, event: ToolRequested, reason: str) -> None:
        self._out.emit(ReportProblem("tool refused", f"{event.name}: {reason}"))
        self._transcript.answered(event.request, event.name, _json(reason), self._state.epoch, failed=True)

    def _report_late(self, call: ToolCall, text: str) -> None:
        """A write of a phase that is over has come to its end: the model learns it once, as context."""
        self.calls.close(call)
        self._transcript.note(f"[{call.tool.name}, begun earlier, has ended: {text}]", self._state.epoch)

    def _cancel(self, call: ToolCall) -> None:
        if call.state == "joined":
            self.prefetch.leave(call.id)
        elif call.state == "running":
            self._out.emit(CancelTool(call.id))


def _field(result: JsonValue, path: str) -> JsonValue:
    found = result
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
