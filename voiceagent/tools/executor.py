"""Executor: runs tools, and is the last to ask whether they may run."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import JsonValue, ValidationError

from voiceagent.backoff import Backoff
from voiceagent.core.authority import Authority, Refused, decide
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import Fetch, StartTool
from voiceagent.core.events import PrefetchFailed, PrefetchFinished, ToolFinished
from voiceagent.core.events import ToolFailed as ToolCallFailed
from voiceagent.core.ids import CallId, Epoch
from voiceagent.errors import OperatorError, ToolFailed
from voiceagent.ports import Clock, CredentialBroker
from voiceagent.spec.flow import Flow
from voiceagent.spec.tool import Tool
from voiceagent.tools.context import ToolContext
from voiceagent.tools.in_time import OutOfTime, TimedTasks
from voiceagent.tools.results import NotJson, TooLarge, as_json, without_halves
from voiceagent.tools.scrubbing import without_credential
from voiceagent.tools.service import ConnectionPool, ServiceUnreachable, ToolHttp
from voiceagent.tools.vault import Vault

__all__ = ["CallTools", "ToolExecutor"]

_log = logging.getLogger(__name__)

_FIRST_BACKOFF_MS = 200
"""Before the second attempt at a read."""

_CRASHED = "something went wrong inside; it cannot be done at the moment"
_TIMED_OUT = "it took too long"
_UNKNOWN = "it is not known whether it was done: do not try again, and tell the caller so"


@dataclass(frozen=True, slots=True)
class _Returned:
    result: JsonValue


@dataclass(frozen=True, slots=True)
class _Failed:
    kind: Literal["failed", "timed_out", "refused", "crashed", "too_large", "unknown"]
    reason: str
    again: bool = False
    """Another attempt may end otherwise."""


_Outcome = _Returned | _Failed


@dataclass(frozen=True, slots=True)
class _Run:
    """A permitted run: everything it needs is there."""

    tool: Tool
    phase: str
    arguments: Mapping[str, object]
    """As the function takes them: dates are dates, secrets are digits."""
    subject: str | None
    deadline_ms: int
    idempotency_key: str | None = None

    def __repr__(self) -> str:
        return f"_Run({self.tool.name})"


class ToolExecutor:
    """What the tools of all calls of the process share: the clock, the credentials, the connections to the service."""

    def __init__(self, *, clock: Clock, broker: CredentialBroker, pool: ConnectionPool, service_url: str = "") -> None:
        """`service_url` is what the paths of `ctx.http` are appended to; empty where the tools need none."""
        self.clock = clock
        self.broker = broker
        self.pool = pool
        self.service_url = service_url
        self.running = TimedTasks(clock)

    async def close(self) -> None:
        """End what was stopped and goes on all the same, in bounded time."""
        await self.running.close()

    def for_call(self, call: CallId, conversation: Conversation, vault: Vault) -> CallTools:
        """Return the tools of one call; what holds in it is asked again for every run."""

        def known_facts() -> Mapping[str, JsonValue]:
            return conversation.state.facts.known()

        return CallTools(
            self,
            call=call,
            flow=conversation.state.flow,
            vault=vault,
            authority=lambda: conversation.authority,
            facts=known_facts,
        )


class CallTools:
    """Runs the tools of one call; `authority` and `facts` are what holds in it at the moment they are called."""

    def __init__(
        self,
        executor: ToolExecutor,
        *,
        call: CallId,
        flow: Flow,
        vault: Vault,
        authority: Callable[[], Authority],
        facts: Callable[[], Mapping[str, JsonValue]],
    ) -> None:
        self._executor = executor
        self._clock = executor.clock
        self._call = call
        self._flow = flow
        self._vault = vault
        self._authority = authority
        self._facts = facts
        self._backoff = Backoff(first_ms=_FIRST_BACKOFF_MS, seed=call)
        self._prefetched = {
            prefetch.tool.name: prefetch.tool
            for edge in (*flow.transitions, *(edge for phase in flow.phases for edge in phase.transitions))
            for prefetch in edge.prefetch
        }

    async def run(self, start: StartTool, epoch: Epoch) -> ToolFinished | ToolCallFailed:
        """Run a tool that was asked for in this phase epoch, and return what came of it.

        Cancelling it stops a read. A write is not stopped half-way: `run` returns when it is over.
        """
        run = self._permitted(start, epoch)
        if isinstance(run, _Run):
            outcome = await self._in_time(run)
        else:
            outcome = run
        match outcome:
            case _Returned(result):
                return ToolFinished(start.call, result)
            case _Failed(kind, reason):
                self._warn(f"tool {start.tool}", outcome)
                return ToolCallFailed(start.call, kind, reason)

    async def fetch(self, fetch: Fetch) -> PrefetchFinished | PrefetchFailed:
        """Call a read tool ahead of its use, and return what came of it. Cancelling stops it."""
        run = self._permitted_fetch(fetch)
        outcome = await self._in_time(run) if isinstance(run, _Run) else run
        match outcome:
            case _Returned(result):
                return PrefetchFinished(fetch.fetch, result)
            case _Failed(kind, reason):
                self._warn(f"fetch of {fetch.tool}", outcome)
                return PrefetchFailed(fetch.fetch, f"{kind}: {reason}")

    # --- may it run --------------------------------------------------------------------------------------------------

    def _permitted(self, start: StartTool, epoch: Epoch) -> _Run | _Failed:
        authority = self._authority()
        # The conversation has counted this call already when it decided to start it.
        without_this = replace(authority, tool_calls=authority.tool_calls - 1)
        tool = decide(self._flow, without_this, name=start.tool, epoch=epoch)
        if isinstance(tool, Refused):
            return _Failed("refused", tool.reason)
        deadline_ms = self._clock.now_ms() + tool.timeout_ms
        return self._prepared(tool, authority.phase, start.arguments, deadline_ms, key=start.idempotency_key)

    def _permitted_fetch(self, fetch: Fetch) -> _Run | _Failed:
        """A fetch runs between phases, so no phase has to offer its tool: a transition of the flow has to name it."""
        authority = self._authority()
        tool = self._prefetched.get(fetch.tool)
        if authority.ended:
            return _Failed("refused", "the call is over")
        if tool is None or tool.effect != "read" or tool.sealed:
            return _Failed("refused", f"{fetch.tool} is nothing that can be fetched ahead")
        missing = [grant for grant in tool.requires if grant not in authority.grants]
        if missing:
            return _Failed("refused", f"the caller has no {', '.join(missing)}")
        deadline_ms = min(fetch.deadline_ms, self._clock.now_ms() + tool.timeout_ms)
        return self._prepared(tool, authority.phase, fetch.arguments, deadline_ms, key=None)

    def _prepared(
        self, tool: Tool, phase: str, arguments: Mapping[str, JsonValue], deadline_ms: int, *, key: str | None
    ) -> _Run | _Failed:
        open_arguments = {name: value for name, value in arguments.items() if name not in tool.sealed}
        if self._vault.mentioned_in(open_arguments):
            return _Failed("refused", "a secret stands in an argument that does not take one")
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
                return _Failed("refused", f"{tool.name} was asked for on behalf of somebody else")
        except ToolFailed as exc:
            return _Failed("refused", str(exc))
        except ValidationError:
            return _Failed("refused", "the arguments do not fit")  # the error's text may have a secret in it
        return _Run(
            tool=tool,
            phase=phase,
            arguments={name: getattr(model, name) for name in tool.arguments.model_fields},
            subject=_subject(tool, arguments),
            deadline_ms=deadline_ms,
            idempotency_key=key,
        )

    # --- running -----------------------------------------------------------------------------------------------------

    async def _in_time(self, run: _Run) -> _Outcome:
        """Run it until its deadline. A write is not cancelled: only its outcome says what has become of it."""
        reads = run.tool.effect == "read"
        name = f"call {self._call}: tool {run.tool.name}"
        try:
            return await self._executor.running.run(
                self._attempts(run), name=name, until_ms=run.deadline_ms, whole=not reads
            )
        except OutOfTime:
            return _Failed("timed_out", _TIMED_OUT) if reads else _Failed("unknown", _UNKNOWN)

    async def _attempts(self, run: _Run) -> _Outcome:
        """Try until it succeeds or fails for good: all attempts share one deadline."""
        outcome = await self._attempt(run)
        for attempt in range(run.tool.retries):
            if not (isinstance(outcome, _Failed) and outcome.again):
                break
            await self._clock.sleep(self._backoff.before(attempt))
            outcome = await self._attempt(run)
        return outcome

    async def _attempt(self, run: _Run) -> _Outcome:
        writes = run.tool.effect != "read"
        try:
            credential = await self._credential(run)
        except ToolFailed as exc:
            return _Failed("failed", str(exc), again=isinstance(exc, ServiceUnreachable))
        context = {"ctx": self._context(run, credential)} if run.tool.takes_context else {}
        try:
            value = await run.tool.run(**run.arguments, **context)
        except ServiceUnreachable as exc:
            if writes and exc.may_have_arrived:
                return _Failed("unknown", _UNKNOWN)
            return _Failed("failed", str(exc), again=True)
        except ToolFailed as exc:
            reason = without_credential(without_halves(str(exc)), credential)
            return _Failed("failed", self._vault.scrub(str(reason)))
        except asyncio.CancelledError as exc:
            # Whose cancellation is it? One from inside the tool must not look as if nobody waited any more.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._crashed(run, exc)
        except (KeyboardInterrupt, GeneratorExit):  # not the tool's doing
            raise
        except BaseException as exc:  # noqa: BLE001 - somebody else's code: it may even exit, the call goes on
            return self._crashed(run, exc)
        return await self._returned(run.tool, value, credential)

    async def _credential(self, run: _Run) -> Mapping[str, str]:
        if not run.tool.scopes or not run.tool.takes_context:
            return {}
        return await self._executor.broker.token(
            call=self._call, phase=run.phase, tool=run.tool.name, scopes=run.tool.scopes, subject=run.subject
        )

    def _context(self, run: _Run, credential: Mapping[str, str]) -> ToolContext:
        return ToolContext(
            call=self._call,
            tool=run.tool.name,
            http=ToolHttp(
                self._executor.pool,
                self._executor.service_url,
                credential,
                reach=run.tool.reach,
                who=f"call {self._call}: tool {run.tool.name}",
            ),
            deadline_ms=run.deadline_ms,
            now_ms=self._clock.now_ms(),
            idempotency_key=run.idempotency_key,
            facts=dict(self._facts()),
        )

    def _crashed(self, run: _Run, exc: BaseException) -> _Failed:
        # Where it broke, but not the exception's own words, which often quote arguments; ours are for the operator.
        frames = traceback.extract_tb(exc.__traceback__)
        where = " > ".join(f"{frame.filename}:{frame.lineno}" for frame in frames[1:]) or str(run.tool.source)
        kind = f"{type(exc).__name__}: {exc}" if isinstance(exc, OperatorError) else type(exc).__name__
        _log.error("call %s: tool %s crashed: %s at %s", self._call, run.tool.name, kind, where)
        if run.tool.effect != "read":
            return _Failed("unknown", _UNKNOWN)
        return _Failed("crashed", _CRASHED, again=True)

    async def _returned(self, tool: Tool, value: object, credential: Mapping[str, str]) -> _Outcome:
        done = "" if tool.effect == "read" else "it was done, but "
        try:
            result = await as_json(tool, value, most_bytes=self._flow.limits.max_result_bytes)
        except NotJson as exc:
            _log.error("call %s: what tool %s returned is not JSON: %s", self._call, tool.name, exc)
            return _Failed("crashed", f"{done}its answer cannot be read")
        except TooLarge:
            return _Failed("too_large", f"{done}its answer is too long")
        return _Returned(self._vault.scrubbed(without_credential(result, credential)))

    def _warn(self, what: str, failed: _Failed) -> None:
        """Tell whoever runs the server; a tool's own words may quote the caller, and are for debugging alone."""
        _log.warning("call %s: %s: %s", self._call, what, failed.kind)
        _log.debug("call %s: %s: %s", self._call, what, failed.reason)


def _subject(tool: Tool, arguments: Mapping[str, JsonValue]) -> str | None:
    """Return whom a run is about: its first bound argument. Bound are those a model must not choose."""
    first = next((arguments[name] for name in tool.binds), None)
    return None if first is None else str(first)
