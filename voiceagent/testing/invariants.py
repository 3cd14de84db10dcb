"""Invariants: what holds after every step of every call, whatever the caller, the model and the world do.

They are worked out a second time here, from what has happened alone: nothing is believed that the conversation says of
itself. Whoever plays calls tells of each step and looks at `broken`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import Epoch, FetchId, ToolCallId, UtteranceId
from voiceagent.errors import PhaseError
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.tool import Tool
from voiceagent.testing.read_backs import ReadBacks

__all__ = ["Broken", "Invariants", "field_of"]


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that should hold and does not."""

    invariant: str
    what: str
    at_ms: int

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}, at {self.at_ms} ms"


class Invariants:
    """Looks on at one conversation."""

    def __init__(self, flow: Flow, conversation: Conversation) -> None:
        self.broken: list[Broken] = []
        """In the order in which it was noticed."""
        self.begun_too_late: list[fx.Effect] = []
        """What was begun after the line was let go."""
        self.conversation = conversation
        """The one that goes on with the call."""
        self._flow = flow
        self._tools = _tools_of(flow)
        self._read_backs = ReadBacks(flow)
        self._facts: Facts = flow.facts()
        self._phase_of: dict[Epoch, str] = {}
        self._in_force = Epoch(0)
        self._decided = Epoch(0)
        self._grants: dict[str, None] = {}
        self._identity = 0
        """How often somebody was, or stopped being, who they said they are."""
        self._running: dict[ToolCallId, tuple[Tool, Epoch, fx.StartTool]] = {}
        self._written: dict[ToolCallId, None] = {}
        self._starts: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._keys: dict[str, None] = {}
        self._in_doubt: dict[str, str] = {}
        """What was to be written → the key it was begun under, where nobody knows what has become of it."""
        self._fetching: dict[FetchId, str] = {}
        self._fetched_for: dict[FetchId, int] = {}
        self._sequence = 0
        self._over = self._letting_go = False

    @property
    def read_back(self) -> UtteranceId | None:
        """The question that what cannot be undone waits for, if there is one."""
        return self._read_backs.utterance

    @property
    def grants(self) -> tuple[str, ...]:
        """What the caller has been given by tools that know them, and not lost again."""
        return tuple(self._grants)

    def happened(self, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        """Look at one step: what has happened, and what the conversation has made of it."""
        for problem in self._problems(now_ms, event, outgoing):
            self.broken.append(Broken(*problem, now_ms))

    def _problems(self, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> Iterator[tuple[str, str]]:
        if self._over and outgoing:
            yield "nothing after the end", str(outgoing[0].effect)
        self._learn(event)
        self._read_backs.happened(event, now_ms)
        for out in outgoing:
            if out.sequence <= self._sequence:
                yield "effects are numbered", f"{out.sequence} after {self._sequence}"
            self._sequence = out.sequence
            yield from self._asked(out)
        yield from self._stands()
        self._over = self._over or isinstance(event, ev.CallEnded)

    # --- what has happened -------------------------------------------------------------------------------------------

    def _learn(self, event: ev.Event) -> None:
        match event:
            case ev.PhaseSwapped(epoch) if epoch in self._phase_of:
                self._in_force = max(epoch, self._in_force)
            case ev.ToolFinished(call, result) if call in self._running:
                tool, epoch, start = self._running.pop(call)
                self._in_doubt.pop(_key(tool.name, start.arguments), None)
                if epoch == self._decided:
                    self._learn_facts(tool, result)
                self._outdated(tool)
            case ev.ToolFailed(call, kind) if call in self._running:
                tool, _, start = self._running.pop(call)
                if kind == "unknown":
                    self._doubt(start)
                self._outdated(tool)
            case ev.PrefetchFinished(fetch) | ev.PrefetchFailed(fetch):
                self._fetching.pop(fetch, None)
            case ev.CallResumed():
                self._broken_off()
            case ev.ToolRequested(name=name):
                self._requests[name] += 1
            case _:
                pass

    def _learn_facts(self, tool: Tool, result: JsonValue) -> None:
        """Take from a result what a tool may establish: facts, and who the caller is."""
        try:
            self._facts = self._facts.with_values({fact: field_of(result, path) for fact, path in tool.sets.items()})
        except PhaseError:
            return  # it means nothing
        if not tool.grants:
            return
        held = any(grant in self._grants for grant in tool.grants)
        given = tool.grants_when is None or field_of(result, tool.grants_when) is True
        for grant in tool.grants:
            if given:
                self._grants[grant] = None
            else:
                self._grants.pop(grant, None)
        if held or given:
            self._identity += 1
            self._fetching.clear()

    def _broken_off(self) -> None:
        """Who did what was under way is gone: reads may begin again, writes are over or looked up."""
        self._fetching.clear()
        for call, (tool, _, start) in list(self._running.items()):
            if tool.effect != "read" and tool.reconcile is None:
                del self._running[call]
                self._doubt(start)

    def _doubt(self, start: fx.StartTool) -> None:
        if start.idempotency_key is not None:
            self._in_doubt[_key(start.tool, start.arguments)] = start.idempotency_key

    def _outdated(self, tool: Tool) -> None:
        """What is being fetched may not be true any more: it may be asked for again."""
        if tool.effect != "read":
            stale = [f for f, key in self._fetching.items() if key.partition(" ")[0] in tool.invalidates]
            for fetch in stale:
                del self._fetching[fetch]

    # --- what is asked for -------------------------------------------------------------------------------------------

    def _asked(self, out: fx.Outgoing) -> Iterator[tuple[str, str]]:
        if self._letting_go and isinstance(out.effect, fx.AskModel | fx.Speak | fx.StartTool | fx.Fetch):
            self.begun_too_late.append(out.effect)
        match out.effect:
            case fx.SwapPhase(epoch=epoch, phase=phase):
                self._phase_of[epoch] = phase
                self._read_backs.enters(phase)
                self._decided, self._in_force = epoch, Epoch(0)
            case fx.Speak() | fx.PlayReply() as speak:
                self._read_backs.said(speak, out.epoch)
            case fx.StartTool() as start:
                yield from self._may_start(out, start)
            case fx.Reconcile(call=call, tool=name, idempotency_key=key):
                if call not in self._running or key not in self._keys:
                    yield "only what was begun is looked up", f"{name} under the key {key!r}"
            case fx.Fetch(fetch=fetch, tool=name, arguments=arguments):
                yield from self._for_its_subject(self._tools[name], arguments)
                yield from self._single(name, arguments)
                self._fetching[fetch] = _key(name, arguments)
                self._fetched_for[fetch] = self._identity
            case fx.ServeFromCache(fetch=fetch):
                if self._fetched_for.get(fetch, self._identity) != self._identity:
                    yield "answers of this identity only", f"{fetch} was fetched for somebody else"
            case fx.AskModel(request=request):
                yield from self._shown(request)
            case fx.HangUp() | fx.Transfer():
                self._letting_go = True
            case _:
                pass

    def _may_start(self, out: fx.Outgoing, start: fx.StartTool) -> Iterator[tuple[str, str]]:
        if out.epoch != self._in_force or self._in_force != self._decided:
            yield "a tool only in its phase", f"{start.tool} while its phase was not in force"
        phase = self._phase_of.get(out.epoch)
        tool = self._flow.tool_of(self._flow.by_name[phase], start.tool) if phase else None
        if tool is None:
            yield "a tool only in its phase", f"{start.tool} is not offered in {phase}"
            return
        yield from self._for_its_subject(tool, start.arguments)
        if tool.effect == "read":
            yield from self._single(start.tool, start.arguments)
        else:
            yield from self._only_once(start)
        if tool.effect == "irreversible":
            facts = self.conversation.state.facts.known()
            for problem in self._read_backs.not_wanted(tool, start, epoch=out.epoch, facts=facts):
                yield "nothing irreversible without a yes", problem
        self._running[start.call] = (tool, out.epoch, start)
        self._starts[start.tool] += 1

    def _for_its_subject(self, tool: Tool, arguments: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
        if missing := [grant for grant in tool.requires if grant not in self._grants]:
            yield "a tool only with its grants", f"{tool.name} without {', '.join(missing)}"
        known = self.conversation.state.facts.known()
        if any(arguments.get(parameter) != known.get(fact) for parameter, fact in tool.binds.items()):
            yield "a tool only for its subject", f"{tool.name}({dict(arguments)})"

    def _single(self, name: str, arguments: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
        if _key(name, arguments) in self._fetching.values():
            yield "no second fetch of what is being fetched", f"{name}({dict(arguments)})"

    def _only_once(self, start: fx.StartTool) -> Iterator[tuple[str, str]]:
        key = start.idempotency_key
        in_doubt = self._in_doubt.get(_key(start.tool, start.arguments))
        # The same again, while nobody knows whether it was done, has to be recognised by whoever has done it.
        if key is None or (key in self._keys) != (in_doubt is not None) or in_doubt not in (None, key):
            yield "a write only once", f"{start.tool} under the key {key!r}"
        if start.call in self._written:
            yield "a write only once", f"{start.tool} for one and the same request {start.call}"
        self._keys[str(key)] = self._written[start.call] = None
        if self._starts[start.tool] >= self._requests[start.tool]:
            yield "a write only once", f"{start.tool} is done more often than it was asked for"

    def _shown(self, request: fx.ModelRequest) -> Iterator[tuple[str, str]]:
        """A model never sees a result without its request, two results of one, nor the end of a write twice."""
        unanswered: Counter[str | None] = Counter()  # a model may give two of its requests one id
        for message in request.history:
            if message.role == "tool_request":
                unanswered[message.request] += 1
            elif message.role == "tool_result":
                unanswered[message.request] -= 1
                if unanswered[message.request] < 0:
                    yield "each request has one result", f"{message.tool} {message.request}: {message.text}"
        notes = Counter(message.text for message in request.history if message.role == "note")
        for text, times in notes.items():
            name = text.strip("[").partition(",")[0]
            if name in self._starts and times > self._starts[name]:
                yield "a write is reported once", f"{times} times {text}"

    # --- how things stand --------------------------------------------------------------------------------------------

    def _stands(self) -> Iterator[tuple[str, str]]:
        conversation = self.conversation
        state = conversation.state
        if beyond := [grant for grant in state.grants if grant not in self._grants]:
            yield "a grant only from its tool", ", ".join(beyond)
        deadline_ms = conversation.deadline_ms
        if state.ended:
            if deadline_ms is not None:
                yield "nothing after the end", f"something is due at {deadline_ms} ms"
        elif state.started and not self._letting_go and not state.suspended and deadline_ms is None:
            yield "a call comes to its end", "nothing will ever end this call"


def _tools_of(flow: Flow) -> dict[str, Tool]:
    """Return every tool, those included that are only fetched ahead."""
    edges = [edge for phase in flow.phases for edge in flow.transitions_of(phase)]
    fetched = [prefetch.tool for edge in edges for prefetch in edge.prefetch]
    return {tool.name: tool for tool in (*fetched, *(tool for phase in flow.phases for tool in flow.tools_of(phase)))}


def _key(tool: str, arguments: Mapping[str, JsonValue]) -> str:
    return f"{tool} {json.dumps(arguments, sort_keys=True)}"


def field_of(result: JsonValue, path: str) -> JsonValue:
    """Return what stands at a path like `customer.name` in a result; None where there is nothing."""
    found = result
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
