"""Tools: a model can choose them and fill them in, and secrets are taken only where nothing is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from voiceagent.errors import PhaseError
from voiceagent.spec.expects import Digits, SpokenAmount, SpokenDate, SpokenTime
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import Slot
from voiceagent.spec.phase import Phase
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.ways import Ways

__all__ = ["failed_attempts", "secrets", "tools"]

_SAYS_A_TYPE = ("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref")


def tools(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at what a model is told of each tool, and at what cannot be undone."""
    for tool in dict.fromkeys(tool for offered in ways.tools.values() for tool in offered):
        if not tool.description.strip():
            message = f"tool {tool.name!r} needs a description: the model chooses by it"
            yield error("no-description", message, tool.source)
        if tool.effect == "irreversible" and not (tool.confirm or "").strip():
            message = f"irreversible tool {tool.name!r} needs `confirm`, the read-back of its arguments"
            yield error("no-confirmation", message, tool.source)
        for place in tool.egress:
            if place.problem:
                yield error("bad-egress", f"tool {tool.name!r}: egress: {place.problem}", tool.source)
        for name, schema in tool.arguments.model_json_schema().get("properties", {}).items():
            if not _says_a_type(schema):
                message = f"tool {tool.name!r}: parameter {name!r} needs a type that says what fits"
                yield error("untyped-parameter", message, tool.source)


def failed_attempts(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at what a failed attempt leaves behind: two fields and no more, so that nothing else can be told from it."""
    for tool in dict.fromkeys(tool for offered in ways.tools.values() for tool in offered):
        if tool.attempts is None:
            continue
        told = {tool.grants_when: False, tool.attempts.left: 0}
        for fact, path in tool.sets.items():
            try:
                flow.facts().with_values({fact: told.get(path)})
            except PhaseError:
                message = f"tool {tool.name!r}: a failed attempt has no {path!r}, so the fact {fact!r} needs `| None`"
                yield error("fact-not-nullable", message, tool.source)


def _says_a_type(schema: dict[str, object]) -> bool:
    """Whether a schema says what fits; "anything, or nothing" says nothing."""
    alternatives = cast("list[dict[str, object]]", schema.get("anyOf", []))
    return any(key in schema for key in _SAYS_A_TYPE) and all(map(_says_a_type, alternatives))


def secrets(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at secrets: who expects one, who asks for one, who takes one."""
    for phase in flow.phases:
        slots = list(_slots(phase))
        asked = {slot.name for _, slot in slots}
        for expected in phase.expects if phase.sensitive else ():
            if isinstance(expected, SpokenDate | SpokenTime | SpokenAmount) and expected.name not in asked:
                yield error("secret-misplaced", _not_heard(expected.name, expected.kind), expected.source)
        if not phase.sensitive:
            yield from _exposed(phase, slots, ways.tools[phase.name])
        for tool, slot in slots:
            yield from _misplaced(phase, tool, slot)


def _misplaced(phase: Phase, tool: Tool | None, slot: Slot) -> Iterator[Finding]:
    """Look at an answer whose digits become a handle: only a `Sealed` parameter can be given one."""
    match slot.expects:
        case Digits(sealed=sealed) if (sealed or phase.sensitive) and tool is not None:
            # In a sensitive phase every digit is sealed, declared a secret or not.
            if slot.name in tool.arguments.model_fields and slot.name not in tool.sealed:
                message = f"the digits of {slot.name!r} are sealed, but {tool.name!r} does not take it as `Sealed`"
                yield error("secret-misplaced", message, slot.source)
        case SpokenDate() | SpokenTime() | SpokenAmount() if phase.sensitive:
            yield error("secret-misplaced", _not_heard(slot.name, slot.expects.kind), slot.source)
        case _:
            pass


def _not_heard(name: str, kind: str) -> str:
    return f"the numbers of {name!r} are sealed in a sensitive phase: no {kind} is heard there"


def _slots(phase: Phase) -> Iterator[tuple[Tool | None, Slot]]:
    """Return the slots of the phase's guided dialogue, each with the tool whose argument it becomes."""
    if phase.guided is None:
        return
    if phase.guided.form is not None:
        for slot in phase.guided.form.slots:
            yield phase.guided.form.does, slot
    for intent in phase.guided.intents:
        for slot in intent.slots:
            yield intent.does if isinstance(intent.does, Tool) else None, slot


def _exposed(phase: Phase, slots: list[tuple[Tool | None, Slot]], offered: tuple[Tool, ...]) -> Iterator[Finding]:
    for expected in phase.expects:
        if isinstance(expected, Digits) and expected.sealed:
            message = f"phase {phase.name!r} expects the secret {expected.name!r} and is not `sensitive`"
            yield error("secret-exposed", message, phase.source)
    for tool in offered:
        if tool.sealed:
            message = f"phase {phase.name!r} offers {tool.name!r}, which takes a secret, and is not `sensitive`"
            yield error("secret-exposed", message, phase.source)
    for _, slot in slots:
        if isinstance(slot.expects, Digits) and slot.expects.sealed:
            message = f"phase {phase.name!r} asks for the secret {slot.name!r} and is not `sensitive`"
            yield error("secret-exposed", message, slot.source)
