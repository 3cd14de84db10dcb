"""Executor: the last to ask whether a tool may run, at the moment when it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import JsonValue, ValidationError, create_model

from voiceagent.core.authority import Authority, Refused, decide
from voiceagent.core.confirmations import digest_of
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import Fetch, Reconcile, StartTool
from voiceagent.core.events import PrefetchFailed, PrefetchFinished, ToolFinished
from voiceagent.core.events import ToolFailed as ToolCallFailed
from voiceagent.core.ids import CallId, Epoch
from voiceagent.errors import ToolFailed
from voiceagent.ports import Clock, CredentialBroker
from voiceagent.spec.attempts import Attempts
from voiceagent.spec.flow import Flow
from voiceagent.spec.tool import Tool
from voiceagent.tools.attempts import AttemptGate, InProcessLimits, is_granted, nothing_granted
from voiceagent.tools.in_time import TimedTasks
from voiceagent.tools.running import UNKNOWN, Failed, Outcome, Returned, Run, ToolRunner
from voiceagent.tools.service import ConnectionPool
from voiceagent.tools.threads import ToolThreads
from voiceagent.tools.vault import Vault

__all__ = ["CallTools", "ToolExecutor"]

_log = logging.getLogger(__name__)


class ToolExecutor:
    """What the tools of all calls of the process share: the clock, the credentials, the connections to the service."""

    def __init__(
        self,
        *,
        clock: Clock,
        broker: CredentialBroker,
        pool: ConnectionPool,
        service_url: str = "",
        attempts: AttemptGate | None = None,
    ) -> None:
        """`service_url` is what the paths of `ctx.http` are appended to; empty where the tools need none.

        `attempts` counts for more than one process; None counts for this one.
        """
        self.clock = clock
        self.broker = broker
        self.pool = pool
        self.service_url = service_url
        self.attempts = attempts or AttemptGate(InProcessLimits(clock))
        self.running = TimedTasks(clock)
        self.threads = ToolThreads()

    async def close(self) -> None:
        """End what was stopped and goes on all the same, in bounded time."""
        await self.running.close()

    def for_call(
        self, call: CallId, conversation: Conversation, vault: Vault, *, caller_number: str | None
    ) -> CallTools:
        """Return the tools of one call; what holds in it is asked again for every run."""

        def known_facts() -> Mapping[str, JsonValue]:
            return conversation.state.facts.known()

        return CallTools(
            self,
            call=call,
            flow=lambda: conversation.state.flow,
            vault=vault,
            authority=lambda: conversation.authority,
            facts=known_facts,
            caller_number=caller_number,
        )


class CallTools:
    """Runs the tools of one call; `flow`, `authority` and `facts` are what holds in it when they are called."""

    def __init__(
        self,
        executor: ToolExecutor,
        *,
        call: CallId,
        flow: Callable[[], Flow],
        vault: Vault,
        authority: Callable[[], Authority],
        facts: Callable[[], Mapping[str, JsonValue]],
        caller_number: str | None = None,
    ) -> None:
        self._executor = executor
        self._clock = executor.clock
        self._call = call
        self._flow = flow
        self._vault = vault
        self._authority = authority
        self._facts = facts
        self._caller_number = caller_number
        self._runner = ToolRunner(
            executor, call=call, vault=vault, facts=facts, most_bytes=flow().limits.max_result_bytes
        )

    async def run(self, start: StartTool, epoch: Epoch) -> ToolFinished | ToolCallFailed:
        """Run a tool that was asked for in this phase epoch, and return what came of it.

        Cancelling it stops a read. A write is not stopped half-way: `run` returns when it is over.
        """
        run = self._permitted(start, epoch)
        if isinstance(run, Failed):
            return self._told(start, run)
        attempts = run.tool.attempts
        return self._told(start, await (self._tried(start, epoch, run, attempts) if attempts else self._run(run)))

    async def reconcile(self, lost: Reconcile) -> ToolFinished | ToolCallFailed:
        """Return what has become of a write that was begun and whose outcome was lost with whoever began it."""
        tool = self._declared(lost.tool)
        if tool is None or tool.effect == "read":
            return self._told(lost, Failed("refused", f"{lost.tool} does not write anything"))
        if tool.reconcile is None:
            return self._told(lost, UNKNOWN)
        known = _to_look_up(tool, tool.reconcile)
        arguments = {name: value for name, value in lost.arguments.items() if name in known.arguments.model_fields}
        now_ms = self._clock.now_ms()
        run = self._prepared(known, self._authority().phase, arguments, now_ms, key=lost.idempotency_key)
        return self._told(lost, UNKNOWN if isinstance(run, Failed) else await self._runner.reconciled(run))

    async def fetch(self, fetch: Fetch) -> PrefetchFinished | PrefetchFailed:
        """Call a read tool ahead of its use, and return what came of it. Cancelling stops it."""
        run = self._permitted_fetch(fetch)
        outcome = await self._run(run) if isinstance(run, Run) else run
        match outcome:
            case Returned(result):
                return PrefetchFinished(fetch.fetch, result)
            case Failed(kind, reason):
                self._warn(f"fetch of {fetch.tool}", outcome)
                return PrefetchFailed(fetch.fetch, f"{kind}: {reason}")

    async def _run(self, run: Run) -> Outcome:
        return await self._runner.in_time(run)

    def _told(self, start: StartTool | Reconcile, outcome: Outcome) -> ToolFinished | ToolCallFailed:
        match outcome:
            case Returned(result):
                return ToolFinished(start.call, result)
            case Failed(kind, reason):
                self._warn(f"tool {start.tool}", outcome)
                return ToolCallFailed(start.call, kind, reason)

    # --- may it run --------------------------------------------------------------------------------------------------

    def _permitted(self, start: StartTool, epoch: Epoch) -> Run | Failed:
        tool = self._decided(start, epoch)
        if isinstance(tool, Refused):
            return Failed("refused", tool.reason)
        if tool.effect == "irreversible" and not _is_confirmed(start):
            return Failed("refused", f"the caller has not said yes to exactly this {tool.name}")
        run = self._prepared(
            tool,
            self._authority().phase,
            start.arguments,
            self._clock.now_ms() + tool.timeout_ms,
            key=start.idempotency_key,
        )
        return replace(run, forbidden=lambda: self._forbidden(start, epoch)) if isinstance(run, Run) else run

    def _decided(self, start: StartTool, epoch: Epoch) -> Tool | Refused:
        authority = self._authority()
        # The conversation has counted this call already when it decided to start it.
        without_this = replace(authority, tool_calls=authority.tool_calls - 1)
        return decide(self._flow(), without_this, name=start.tool, epoch=epoch)

    def _forbidden(self, start: StartTool, epoch: Epoch) -> str | None:
        tool = self._decided(start, epoch)
        return tool.reason if isinstance(tool, Refused) else None

    def _permitted_fetch(self, fetch: Fetch) -> Run | Failed:
        """A fetch runs between phases, so no phase has to offer its tool: a transition of the flow has to name it."""
        tool = self._prefetched(fetch.tool)
        if tool is None or tool.effect != "read" or tool.sealed or tool.attempts:
            return Failed("refused", f"{fetch.tool} is nothing that can be fetched ahead")
        if (forbidden := self._forbidden_fetch(tool)) is not None:
            return Failed("refused", forbidden)
        deadline_ms = min(fetch.deadline_ms, self._clock.now_ms() + tool.timeout_ms)
        run = self._prepared(tool, self._authority().phase, fetch.arguments, deadline_ms, key=None)
        return replace(run, forbidden=lambda: self._forbidden_fetch(tool)) if isinstance(run, Run) else run

    def _forbidden_fetch(self, tool: Tool) -> str | None:
        authority = self._authority()
        if authority.ended:
            return "the call is over"
        missing = [grant for grant in tool.requires if grant not in authority.grants]
        return f"the caller has no {', '.join(missing)}" if missing else None

    def _prepared(
        self, tool: Tool, phase: str, arguments: Mapping[str, JsonValue], deadline_ms: int, *, key: str | None
    ) -> Run | Failed:
        open_arguments = {name: value for name, value in arguments.items() if name not in tool.sealed}
        if self._vault.mentioned_in(open_arguments):
            return Failed("refused", "a secret stands in an argument that does not take one")
        try:
            secrets = {
                name: self._vault.resolve(handle)
                for name in tool.sealed
                if isinstance(handle := arguments.get(name), str)
            }
            model = tool.arguments.model_validate({**open_arguments, **secrets})
            facts = self._facts()
            now_bound = {name: facts.get(fact) for name, fact in tool.binds.items()}
            if now_bound and tool.arguments.model_validate({**open_arguments, **secrets, **now_bound}) != model:
                return Failed("refused", f"{tool.name} was asked for on behalf of somebody else")
        except ToolFailed as exc:
            return Failed("refused", str(exc))
        except ValidationError:
            return Failed("refused", "the arguments do not fit")  # the error's text may have a secret in it
        return Run(
            tool=tool,
            phase=phase,
            arguments={name: getattr(model, name) for name in tool.arguments.model_fields},
            subject=_subject(tool, arguments),
            deadline_ms=deadline_ms,
            forbidden=lambda: None,
            idempotency_key=key,
        )

    def _prefetched(self, name: str) -> Tool | None:
        flow = self._flow()
        edges = (*flow.transitions, *(edge for phase in flow.phases for edge in phase.transitions))
        named = (prefetch.tool for edge in edges for prefetch in edge.prefetch)
        return next((tool for tool in named if tool.name == name), None)

    def _declared(self, name: str) -> Tool | None:
        flow = self._flow()
        tools = (*flow.tools, *(tool for phase in flow.phases for tool in phase.tools))
        return next((tool for tool in tools if tool.name == name), None)

    # --- who are they ------------------------------------------------------------------------------------------------

    async def _tried(self, start: StartTool, epoch: Epoch, run: Run, attempts: Attempts) -> Outcome:
        """Let somebody say who they are. Whatever is wrong has the same words after the same time."""
        answer_at_ms = self._clock.now_ms() + attempts.answer_ms
        gate = self._executor.attempts
        attempt = await gate.attempt(
            run.tool,
            attempts,
            call=self._call,
            caller_number=self._caller_number,
            account=[run.arguments[name] for name in attempts.accounts],
        )
        outcome: Outcome = Returned(None)
        if attempt.allowed:
            now = self._permitted(start, epoch)  # counting has taken its time
            outcome = now if isinstance(now, Failed) else await self._run(now)
        if isinstance(outcome, Returned):
            if is_granted(run.tool, outcome.result):
                await gate.succeeded(attempt)
                return outcome
            outcome = Returned(nothing_granted(run.tool, attempts, attempt.left))
        await self._clock.sleep(max(0, answer_at_ms - self._clock.now_ms()))
        return outcome

    def _warn(self, what: str, failed: Failed) -> None:
        """Tell whoever runs the server; a tool's own words may quote the caller, and are for debugging alone."""
        _log.warning("call %s: %s: %s", self._call, what, failed.kind)
        _log.debug("call %s: %s: %s", self._call, what, failed.reason)


def _is_confirmed(start: StartTool) -> bool:
    """Whether the caller's yes was to this tool with these arguments, under a key that makes it happen once."""
    return start.idempotency_key is not None and start.confirmed == digest_of(start.tool, start.arguments)


def _to_look_up(tool: Tool, reconcile: Tool) -> Tool:
    """Return a write with only those parameters that its look-up needs: the secrets in others have died with a process.

    Bound ones stay: they say in whose name is asked.
    """
    needed = {**reconcile.arguments.model_fields, **tool.binds}
    fields: dict[str, Any] = {
        name: (parameter.annotation, parameter)
        for name, parameter in tool.arguments.model_fields.items()
        if name in needed
    }
    arguments = create_model(tool.arguments.__name__, __config__=tool.arguments.model_config, **fields)
    return replace(tool, arguments=arguments, sealed=tuple(name for name in tool.sealed if name in needed))


def _subject(tool: Tool, arguments: Mapping[str, JsonValue]) -> str | None:
    """Return whom a run is about: its first bound argument. Bound are those a model must not choose."""
    first = next((arguments[name] for name in tool.binds), None)
    return None if first is None else str(first)
