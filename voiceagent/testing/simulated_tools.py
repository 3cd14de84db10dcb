"""Simulated tools: the runtime's own executor runs them, and a script says what they answer and when."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId
from voiceagent.errors import ScriptError, ToolFailed
from voiceagent.ports import Clock
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase, Transition
from voiceagent.spec.tool import Tool
from voiceagent.testing.simulated_world import After, ScriptedTool
from voiceagent.testing.stalls import Stalls
from voiceagent.tools.credentials import NoCredentials
from voiceagent.tools.executor import CallTools, ToolExecutor
from voiceagent.tools.service import ConnectionPool
from voiceagent.tools.vault import Vault

__all__ = ["SimulatedTools"]

_AT_ONCE_MS = 100
"""What a tool takes whose script says nothing about it."""


class SimulatedTools:
    """Stands where the session expects a `ToolExecutor`: the same decisions, but scripts instead of functions.

    Whatever the executor refuses, times out or repeats is so here; only a tool's own function is replaced.
    """

    def __init__(
        self,
        flow: Flow,
        answers: Mapping[str, ScriptedTool],
        *,
        clock: Clock,
        stalls: Stalls,
        failed: Callable[[Exception], None],
    ) -> None:
        """`failed` is told of a tool that runs without the script having an answer for it."""
        self._flow = _with_tools(flow, self._stand_in)
        self._answers = answers
        self._clock = clock
        self._stalls = stalls
        self._failed = failed
        self._executor = ToolExecutor(clock=clock, broker=NoCredentials(), pool=_pool())
        self._asked: dict[str, list[dict[str, JsonValue]]] = {}
        self.runs: list[tuple[str, dict[str, JsonValue]]] = []
        """Every run, with its arguments, secrets as handles."""
        self.conversation: Conversation | None = None
        """The conversation of the call, once its session has begun."""
        self.vault: Vault | None = None

    def for_call(
        self, call: CallId, conversation: Conversation, vault: Vault, *, caller_number: str | None
    ) -> CallTools:
        """Return the tools of one call."""
        self.conversation, self.vault = conversation, vault
        return CallTools(
            self._executor,
            call=call,
            flow=lambda: self._flow,
            vault=vault,
            authority=lambda: conversation.authority,
            facts=lambda: cast("Mapping[str, JsonValue]", conversation.state.facts.known()),
            caller_number=caller_number,
        )

    async def close(self) -> None:
        """End what was stopped and goes on all the same, in bounded time."""
        await self._executor.close()

    def asked(self, effect: fx.Effect) -> None:
        """Note which arguments the core has asked for: secrets stand in them as handles."""
        if isinstance(effect, fx.StartTool | fx.Fetch):
            self._asked.setdefault(effect.tool, []).append(dict(effect.arguments))

    def _stand_in(self, tool: Tool) -> Tool:
        async def answer(**given: object) -> JsonValue:
            arguments = tool.arguments(**given).model_dump(mode="json")
            self.runs.append((tool.name, self._sealed(tool, arguments)))
            if tool.name not in self._answers:
                problem = ScriptError(f"the script has no answer for the tool {tool.name!r}")
                self._failed(problem)
                raise problem
            after = self._scripted(self._answers[tool.name], arguments)
            if after.kind == "timed_out" or (after.kind == "unknown" and after.ms >= tool.timeout_ms):
                await self._stalls.wait()  # whether the time is up is for the executor to say
            await self._clock.sleep(after.ms)
            if after.kind in ("crashed", "unknown"):
                raise RuntimeError(f"{tool.name} crashes in this script")
            if isinstance(after.result, ToolFailed):
                raise after.result
            return after.result

        # What has become of a write is for the script to say, and not for its service.
        return dataclasses.replace(tool, run=answer, takes_context=False, in_thread=False, reconcile=None)

    def _scripted(self, answer: ScriptedTool, arguments: dict[str, JsonValue]) -> After:
        if callable(answer):
            try:
                answer = answer(arguments)
            except Exception as exc:
                self._failed(exc)  # the script's own fault: the executor would take it for the tool's
                raise
        return answer if isinstance(answer, After) else After(_AT_ONCE_MS, answer)

    def _sealed(self, tool: Tool, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Return the arguments as they were asked for last."""
        told = {name: value for name, value in arguments.items() if name not in tool.sealed}
        asked = [asked for asked in self._asked.get(tool.name, ()) if told.items() <= asked.items()]
        return dict(asked[-1]) if asked else told


@cache
def _pool() -> ConnectionPool:
    """Return what an executor has to be given; nothing that is simulated opens a connection of it."""
    return ConnectionPool()


def _with_tools(flow: Flow, stand_in: Callable[[Tool], Tool]) -> Flow:
    """Return the flow with other functions in its tools."""
    stand_ins = cache(stand_in)

    def edges(transitions: tuple[Transition, ...]) -> tuple[Transition, ...]:
        return tuple(
            edge.model_copy(
                update={"prefetch": tuple(p.model_copy(update={"tool": stand_ins(p.tool)}) for p in edge.prefetch)}
            )
            for edge in transitions
        )

    def phase(old: Phase) -> Phase:
        return old.model_copy(update={"tools": tuple(map(stand_ins, old.tools)), "transitions": edges(old.transitions)})

    # Built anew: a copy would keep what has been derived from the old phases.
    parts: dict[str, Any] = {name: getattr(flow, name) for name in Flow.model_fields}
    parts["phases"] = tuple(map(phase, flow.phases))
    parts["tools"] = tuple(map(stand_ins, flow.tools))
    parts["transitions"] = edges(flow.transitions)
    return Flow.model_construct(**parts)
