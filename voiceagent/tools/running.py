"""Running: a permitted tool is run in its time, and what comes of it is told without secrets."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

from pydantic import JsonValue

from voiceagent.backoff import Backoff
from voiceagent.core.ids import CallId
from voiceagent.core.tool_calls import OUTCOME_UNKNOWN
from voiceagent.errors import OperatorError, OutcomeUnknown, ToolFailed
from voiceagent.spec.tool import Tool
from voiceagent.tools.context import ToolContext
from voiceagent.tools.in_time import OutOfTime
from voiceagent.tools.results import NotJson, TooLarge, as_json, without_halves
from voiceagent.tools.scrubbing import without_credential
from voiceagent.tools.service import RequestRefused, ServiceUnreachable
from voiceagent.tools.tool_http import ToolHttp
from voiceagent.tools.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from voiceagent.tools.executor import ToolExecutor

__all__ = ["UNKNOWN", "Failed", "Outcome", "Returned", "Run", "ToolRunner"]

_log = logging.getLogger(__name__)

_FIRST_BACKOFF_MS = 200
"""Before the second attempt at a read."""
_RECONCILED_WITHIN_MS = 10_000
"""After a write of which nobody knows whether it was done: the caller waits for it, and it may not be known then."""
_FIRST_LOOK_MS = 250
"""Before a service is asked what has become of a write; doubled before every further time, while it does not know."""

_CRASHED = "something went wrong inside; it cannot be done at the moment"
_TIMED_OUT = "it took too long"
_NOT_BEGUN = "it could not be begun in time: nothing has been done"


@dataclass(frozen=True, slots=True)
class Returned:
    """It has a result."""

    result: JsonValue


@dataclass(frozen=True, slots=True)
class Failed:
    """It has come to nothing, or nobody knows."""

    kind: Literal["failed", "timed_out", "refused", "crashed", "too_large", "unknown"]
    reason: str
    again: bool = False
    """Another attempt may end otherwise."""


Outcome = Returned | Failed

UNKNOWN = Failed("unknown", OUTCOME_UNKNOWN)


@dataclass(frozen=True, slots=True)
class Run:
    """A permitted run: everything it needs is there."""

    tool: Tool
    phase: str
    arguments: Mapping[str, object]
    """As the function takes them: dates are dates, secrets are digits."""
    subject: str | None
    deadline_ms: int
    forbidden: Callable[[], str | None]
    """Why it may not begin any more, asked when everything else is ready; None where it may."""
    idempotency_key: str | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set just before the function is entered. Until then nothing has been done."""

    def __repr__(self) -> str:
        return f"Run({self.tool.name})"


class _MayNotBegin(Exception):
    """When everything was ready, it was no longer to be run."""

    def __init__(self, outcome: Failed) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class ToolRunner:
    """Runs the tools of one call."""

    def __init__(
        self,
        executor: ToolExecutor,
        *,
        call: CallId,
        vault: Vault,
        facts: Callable[[], Mapping[str, JsonValue]],
        most_bytes: int,
    ) -> None:
        self._executor = executor
        self._clock = executor.clock
        self._call = call
        self._vault = vault
        self._facts = facts
        self._most_bytes = most_bytes
        self._backoff = Backoff(first_ms=_FIRST_BACKOFF_MS, seed=call)

    async def in_time(self, run: Run) -> Outcome:
        """Run it until its deadline. A write is not cancelled: only its outcome says what has become of it."""
        reads = run.tool.effect == "read"
        try:
            outcome = await self._executor.running.run(
                self._attempts(run), name=self._name(run), until_ms=run.deadline_ms, whole=not reads
            )
        except OutOfTime:
            outcome = _out_of_time(run)
        return await self.reconciled(run) if outcome == UNKNOWN else outcome

    async def reconciled(self, run: Run) -> Outcome:
        """Look up what has become of a write whose answer was lost. It is never made a second time.

        A service that knows nothing of it may still be about to do it: then it stays unknown.
        """
        if run.tool.reconcile is None or run.idempotency_key is None:
            return UNKNOWN
        until_ms = self._clock.now_ms() + _RECONCILED_WITHIN_MS
        try:
            return await self._executor.running.run(
                self._looked_up(run, run.tool.reconcile, until_ms), name=self._name(run), until_ms=until_ms, whole=True
            )
        except OutOfTime:
            return UNKNOWN

    async def _looked_up(self, run: Run, reconcile: Tool, until_ms: int) -> Outcome:
        arguments = {name: run.arguments[name] for name in reconcile.arguments.model_fields}
        look = dataclasses.replace(
            run, tool=reconcile, arguments=arguments, deadline_ms=until_ms, forbidden=lambda: None
        )
        pause_ms = _FIRST_LOOK_MS
        while True:
            await self._clock.sleep(pause_ms)
            pause_ms *= 2
            outcome = await self._attempt(look)
            if isinstance(outcome, Returned) and outcome.result is not None:
                _log.info("call %s: tool %s was done: its service says so", self._call, run.tool.name)
                return outcome

    async def _attempts(self, run: Run) -> Outcome:
        """Try until it succeeds or fails for good: all attempts share one deadline."""
        outcome = await self._attempt(run)
        for attempt in range(run.tool.retries):
            if not (isinstance(outcome, Failed) and outcome.again):
                break
            await self._clock.sleep(self._backoff.before(attempt))
            outcome = await self._attempt(run)
        return outcome

    async def _attempt(self, run: Run) -> Outcome:
        try:
            credential = await self._credential(run)
        except ToolFailed as exc:
            return Failed("failed", str(exc), again=isinstance(exc, ServiceUnreachable))
        http = self._http(run, credential)
        try:
            value = await self._called(run, http)
        except _MayNotBegin as exc:
            return exc.outcome
        except ToolFailed as exc:
            if run.tool.effect != "read" and _may_be_done(exc, http):
                return UNKNOWN
            reason = without_credential(without_halves(str(exc)), credential)
            return Failed("failed", self._vault.scrub(str(reason)), again=isinstance(exc, ServiceUnreachable))
        except asyncio.CancelledError as exc:
            # Whose cancellation is it? One from inside the tool must not look as if nobody waited any more.
            if _is_cancelled():
                raise
            return self._crashed(run, exc)
        except (KeyboardInterrupt, GeneratorExit):  # not the tool's doing
            raise
        except BaseException as exc:  # noqa: BLE001 - somebody else's code: it may even exit, the call goes on
            return self._crashed(run, exc)
        return await self._returned(run.tool, value, credential)

    async def _called(self, run: Run, http: ToolHttp) -> object:
        begin = partial(self._begin, run, http)
        if run.tool.in_thread:
            return await self._executor.threads.run(begin, name=self._name(run))
        return await cast("Awaitable[object]", begin()())

    def _begin(self, run: Run, http: ToolHttp) -> Callable[[], object]:
        """Return what to call now. Raises _MayNotBegin: it may have waited long for a credential or a thread."""
        if (forbidden := run.forbidden()) is not None:
            raise _MayNotBegin(Failed("refused", forbidden))
        if self._clock.now_ms() >= run.deadline_ms:
            raise _MayNotBegin(_out_of_time(run))
        run.begun.set()
        context = {"ctx": self._context(run, http)} if run.tool.takes_context else {}
        return partial(run.tool.run, **run.arguments, **context)

    async def _credential(self, run: Run) -> Mapping[str, str]:
        if not run.tool.scopes or not run.tool.takes_context:
            return {}
        return await self._executor.broker.token(
            call=self._call, phase=run.phase, tool=run.tool.name, scopes=run.tool.scopes, subject=run.subject
        )

    def _http(self, run: Run, credential: Mapping[str, str]) -> ToolHttp:
        executor = self._executor
        return ToolHttp(executor.pool, executor.service_url, credential, reach=run.tool.reach, who=self._name(run))

    def _context(self, run: Run, http: ToolHttp) -> ToolContext:
        return ToolContext(
            call=self._call,
            tool=run.tool.name,
            http=http,
            deadline_ms=run.deadline_ms,
            now_ms=self._clock.now_ms(),
            idempotency_key=run.idempotency_key,
            facts=dict(self._facts()),
        )

    def _crashed(self, run: Run, exc: BaseException) -> Failed:
        # Where it broke, but not the exception's own words, which often quote arguments; ours are for the operator.
        frames = traceback.extract_tb(exc.__traceback__)
        where = " > ".join(f"{frame.filename}:{frame.lineno}" for frame in frames[1:]) or str(run.tool.source)
        kind = f"{type(exc).__name__}: {exc}" if isinstance(exc, OperatorError) else type(exc).__name__
        _log.error("call %s: tool %s crashed: %s at %s", self._call, run.tool.name, kind, where)
        if run.tool.effect != "read":
            return UNKNOWN
        return Failed("crashed", _CRASHED, again=True)

    async def _returned(self, tool: Tool, value: object, credential: Mapping[str, str]) -> Outcome:
        done = "" if tool.effect == "read" else "it was done, but "
        try:
            result = await as_json(tool, value, most_bytes=self._most_bytes)
        except NotJson as exc:
            _log.error("call %s: what tool %s returned is not JSON: %s", self._call, tool.name, exc)
            return Failed("crashed", f"{done}its answer cannot be read")
        except TooLarge:
            return Failed("too_large", f"{done}its answer is too long")
        return Returned(self._vault.scrubbed(without_credential(result, credential)))

    def _name(self, run: Run) -> str:
        return f"call {self._call}: tool {run.tool.name}"


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or bool(task.cancelling())


def _may_be_done(exc: ToolFailed, http: ToolHttp) -> bool:
    """Whether a write that ended so may have been done. A last request that came to nothing undoes none before it."""
    match exc:
        case OutcomeUnknown():
            return True
        case ServiceUnreachable():
            return exc.may_have_arrived or http.may_have_written
        case RequestRefused():
            return http.may_have_written
        case _:  # the tool's own words: it knows what it has done
            return False


def _out_of_time(run: Run) -> Failed:
    if run.tool.effect == "read":
        return Failed("timed_out", _TIMED_OUT)
    return UNKNOWN if run.begun.is_set() else Failed("timed_out", _NOT_BEGUN)
