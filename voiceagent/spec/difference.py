"""Difference: what has changed between two versions of an agent, phase by phase."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

from pydantic import JsonValue

from voiceagent.spec.declared import Declared
from voiceagent.spec.described import described
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Not
from voiceagent.spec.phase import (
    HostSignals,
    Phase,
    Pressed,
    Requested,
    ToolFails,
    ToolSucceeds,
    Transition,
    Trigger,
)
from voiceagent.spec.tool import Tool

__all__ = ["Change", "differences"]

Item = TypeVar("Item", Tool, Transition)
_Difference = tuple[str, JsonValue, JsonValue]
"""What, as it was, as it is."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that one version says and the other does not, or says otherwise."""

    of: Literal["flow", "phase", "tool"]
    """What has changed; transitions and tools of every phase belong to the flow."""
    name: str
    """Which phase or tool; the name of the flow."""
    what: str
    """What of it, such as `filler.patience_ms`; empty where it was added or removed as a whole."""
    before: JsonValue
    """None where there was nothing."""
    after: JsonValue
    """None where there is nothing any more."""


def differences(before: Flow, after: Flow) -> list[Change]:
    """Return what has changed: of the flow, then of each phase, then of each tool that both have.

    No changes: both have the same hashes. Code is compared by what the model sees of it.
    """
    return [
        *_of_flow(before, after),
        *_of_phases(before, after),
        *_of_tools(_tools(before), _tools(after)),
    ]


# --- the flow --------------------------------------------------------------------------------------------------------


def _of_flow(before: Flow, after: Flow) -> Iterator[Change]:
    def change(what: str, was: JsonValue, now: JsonValue) -> Change:
        return Change("flow", after.name, what, was, now)

    apart = ("phases", "tools", "transitions", "prompts")
    for what, was, now in _leaves(_fields(before, *apart), _fields(after, *apart)):
        yield change(what, was, now)
    for what, was, now in (*_offers(before.tools, after.tools), *_edges(before.transitions, after.transitions)):
        yield change(what, was, now)
    yield from (change(*moved) for moved in _moved("phases", list(before.by_name), list(after.by_name)))
    read_by_phases = {phase.prompt for phase in (*before.phases, *after.phases)}
    for name in sorted({*before.prompts, *after.prompts} - read_by_phases):
        was, now = (flow.prompts[name].text if name in flow.prompts else None for flow in (before, after))
        if was != now:
            yield change(f"prompt {name}", was, now)


# --- phases ----------------------------------------------------------------------------------------------------------


def _of_phases(before: Flow, after: Flow) -> Iterator[Change]:
    for name in dict.fromkeys((*after.by_name, *before.by_name)):
        was, now = before.by_name.get(name), after.by_name.get(name)
        if was is None or now is None:
            yield Change("phase", name, "", _plain(was) if was else None, _plain(now) if now else None)
            continue
        for what, old, new in (
            *_leaves(_fields(was, "tools", "transitions"), _fields(now, "tools", "transitions")),
            *_texts(_prompt(before, was), _prompt(after, now)),
            *_offers(was.tools, now.tools),
            *_edges(was.transitions, now.transitions),
        ):
            yield Change("phase", name, what, old, new)


def _prompt(flow: Flow, phase: Phase) -> str | None:
    prompt = flow.prompts.get(phase.prompt) if phase.prompt is not None else None
    return prompt.text if prompt is not None else None


def _texts(was: str | None, now: str | None) -> Iterator[_Difference]:
    if was != now:
        yield "prompt text", was, now


def _offers(was: Sequence[Tool], now: Sequence[Tool]) -> Iterator[_Difference]:
    old, new = [tool.name for tool in was], [tool.name for tool in now]
    yield from (("tool", name, None) for name in old if name not in new)
    yield from (("tool", None, name) for name in new if name not in old)
    yield from _moved("tools", old, new)


# --- transitions -----------------------------------------------------------------------------------------------------


def _edges(was: Sequence[Transition], now: Sequence[Transition]) -> Iterator[_Difference]:
    old, new = _numbered(was, _title), _numbered(now, _title)
    for title, edge in old.items():
        if title not in new:
            yield "transition", _with_guard(title, edge), None
    for title, edge in new.items():
        if title not in old:
            yield "transition", None, _with_guard(title, edge)
            continue
        for what, before, after in _leaves(_edge(old[title]), _edge(edge)):
            yield f"transition {title}: {what}", before, after
    yield from _moved("transitions", list(old), list(new))


def _title(edge: Transition) -> str:
    return f"{_trigger(edge.on)} → {edge.to}"


def _trigger(trigger: Trigger) -> str:
    match trigger:
        case ToolSucceeds(tool=tool):
            return f"{tool.name} succeeds"
        case ToolFails(tool=tool):
            return f"{tool.name} fails"
        case Requested(name=name):
            return f"{name} requested"
        case Pressed(digits=digits):
            return f"{digits} pressed"
        case HostSignals(name=name):
            return f"{name} signalled"
        case _:
            return re.sub(r"(?<!^)(?=[A-Z])", " ", type(trigger).__name__).lower()


def _with_guard(title: str, edge: Transition) -> str:
    return f"{title}, guard {_guard(edge.when)}" if edge.when is not None else title


def _edge(edge: Transition) -> dict[str, JsonValue]:
    """Return what the title of a transition does not say."""
    fields: dict[str, JsonValue] = {"guard": _guard(edge.when) if edge.when is not None else None}
    if isinstance(edge.on, Requested):
        fields["description"] = edge.on.description
    return fields | _fields(edge, "on", "to", "when")


def _guard(guard: object) -> str:
    match guard:
        case Compare(fact=fact, is_=operator, value=value):
            return f"{fact} {operator} {json.dumps(value, ensure_ascii=False)}"
        case AllOf(all_of=parts):
            return " and ".join(_inside(part) for part in parts) or "true"
        case AnyOf(any_of=parts):
            return " or ".join(_inside(part) for part in parts) or "false"
        case Not(not_=part):
            return f"not {_inside(part)}"
        case _:
            return f"{getattr(guard, '__qualname__', guard)}(facts)"


def _inside(guard: object) -> str:
    return _guard(guard) if isinstance(guard, Compare | Not) else f"({_guard(guard)})"


# --- tools -----------------------------------------------------------------------------------------------------------


def _tools(flow: Flow) -> dict[str, Tool]:
    offered = dict.fromkeys(tool for phase in flow.phases for tool in flow.tools_of(phase))
    return _numbered(tuple(offered), lambda tool: tool.name)


def _of_tools(before: Mapping[str, Tool], after: Mapping[str, Tool]) -> Iterator[Change]:
    for name, tool in after.items():
        if name in before:
            for what, was, now in _leaves(_tool(before[name]), _tool(tool)):
                yield Change("tool", name, what, was, now)


def _tool(tool: Tool) -> JsonValue:
    values = cast("dict[str, JsonValue]", described(tool))
    return {**values, "grants": list(tool.grants), "grants_when": tool.grants_when}


# --- values ----------------------------------------------------------------------------------------------------------


def _fields(part: Declared, *apart: str) -> dict[str, JsonValue]:
    return {name: _plain(getattr(part, name)) for name in type(part).model_fields if name not in apart}


def _plain(value: object) -> JsonValue:
    """Describe a value; tools by their names, for what they declare is compared once and not wherever they are used."""
    match value:
        case Tool():
            return value.name
        case Declared():
            return {"is": type(value).__name__, **_fields(value)}
        case Mapping():
            return {name: _plain(part) for name, part in cast("Mapping[str, object]", value).items()}
        case tuple():
            return [_plain(part) for part in cast("tuple[object, ...]", value)]
        case _:
            return described(value)


def _numbered(items: Sequence[Item], title: Callable[[Item], str]) -> dict[str, Item]:
    """Return items by their titles, the second of one title as `title (2)`."""
    found: dict[str, Item] = {}
    seen: dict[str, int] = {}
    for item in items:
        name = title(item)
        seen[name] = seen.get(name, 0) + 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = item
    return found


def _moved(what: str, was: Sequence[str], now: Sequence[str]) -> Iterator[_Difference]:
    old, new = [name for name in was if name in now], [name for name in now if name in was]
    if old != new:
        yield f"order of {what}", cast("JsonValue", old), cast("JsonValue", new)


def _leaves(was: JsonValue, now: JsonValue, path: str = "") -> Iterator[_Difference]:
    """Return the innermost values that differ, each with the way to it."""
    match was, now:
        case _ if was == now:
            return
        case dict(), dict() if was.get("is") == now.get("is"):
            for key in dict.fromkeys((*now, *was)):
                below = f"{path}.{key}" if path else key
                if key in was and key in now:
                    yield from _leaves(was[key], now[key], below)
                else:
                    yield below, was.get(key), now.get(key)
        case list(), list():
            yield from _items(was, now, path)
        case _:
            yield path, was, now


def _items(was: list[JsonValue], now: list[JsonValue], path: str) -> Iterator[_Difference]:
    old, new = ([json.dumps(item, sort_keys=True) for item in items] for items in (was, now))
    for kind, old_from, old_to, new_from, new_to in difflib.SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            continue
        pairs = min(old_to - old_from, new_to - new_from)
        for number in range(pairs):
            yield from _leaves(was[old_from + number], now[new_from + number], f"{path}[{new_from + number + 1}]")
        yield from ((path, item, None) for item in was[old_from + pairs : old_to])
        yield from ((path, None, item) for item in now[new_from + pairs : new_to])
