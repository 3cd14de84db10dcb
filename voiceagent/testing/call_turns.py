"""Reading the turns of a `*.call.yaml`: what the caller does, when, and what is expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never, cast

from pydantic import JsonValue

from voiceagent.errors import ScriptError, Source, nearest
from voiceagent.spec.located_yaml import LocatedYaml, Place
from voiceagent.testing import call_script as script
from voiceagent.testing.call_names import Names
from voiceagent.testing.call_rows import (
    ACTS,
    ActRow,
    AtRow,
    CoughsRow,
    ExpectRow,
    HangsUpRow,
    HostEventRow,
    MakesNoiseRow,
    PressesRow,
    SaysRow,
    StaysSilentRow,
    WaitsRow,
)
from voiceagent.testing.call_world import read_arguments

__all__ = ["read_in_the_end", "read_turn"]

_OF_A_TURN = ("within_ms", "filler_after_ms", "longest_silence_ms")


def read_turn(yaml: LocatedYaml, place: Place, names: Names) -> script.CallTurn:
    """Return the turn that stands at a place. Raises ScriptError with file and line."""
    content: JsonValue = yaml.at(place)
    if isinstance(content, str):
        content = cast("dict[str, JsonValue]", {content: ""})  # `- coughs` needs no colon
    if not isinstance(content, dict):
        raise ScriptError(f"a turn is one of: {', '.join(ACTS)}", source=yaml.source(place))
    acts = [key for key in content if key in ACTS]
    if len(acts) != 1:
        raise ScriptError(_which_act(content, acts), source=yaml.source((*place, *list(content)[:1])))
    row = yaml.check(ACTS[acts[0]], content, place)
    return script.CallTurn(
        act=_act(row, names, yaml.source((*place, acts[0]))),
        at=None if row.at is None else _at(yaml, (*place, "at"), names),
        expect=script.Expect() if row.expect is None else read_expect(yaml, (*place, "expect"), names),
        source=yaml.source((*place, acts[0])),
    )


def _which_act(content: Mapping[str, JsonValue], acts: list[str]) -> str:
    if acts:
        return f"{' and '.join(acts)} are two turns: give each its own dash"
    strange = [key for key in content if key not in ("at", "expect")]
    listed = f"; a turn is one of: {', '.join(ACTS)}"
    return f"unknown turn {strange[0]!r}{nearest(strange[0], ACTS) or listed}" if strange else f"nobody acts{listed}"


def _act(row: ActRow, names: Names, source: Source) -> script.CallerAct:
    match row:
        case SaysRow(says=text, lasting_ms=lasting_ms):
            return script.Says(text, lasting_ms)
        case PressesRow(presses=keys):
            return script.Presses(keys)
        case StaysSilentRow(stays_silent_ms=ms):
            return script.StaysSilent(ms)
        case CoughsRow():
            return script.Coughs()
        case MakesNoiseRow(makes_noise_ms=ms):
            return script.MakesNoise(ms)
        case HangsUpRow():
            return script.HangsUp()
        case HostEventRow(host_event=event):
            return script.HostSays(names.host_event(event, source))
        case WaitsRow():
            return script.Waits()
        case _:
            assert_never(row)


def _at(yaml: LocatedYaml, place: Place, names: Names) -> script.At:
    row = yaml.check(AtRow, yaml.at(place), place)
    match [name for name in AtRow.model_fields if getattr(row, name) is not None]:
        case ["heard"]:
            return script.WhenHeard(row.heard or "")
        case ["answer_ms"]:
            return script.DuringAnswer(row.answer_ms or 0)
        case ["filler_ms"]:
            return script.DuringFiller(row.filler_ms or 0)
        case ["tool_starts"]:
            tool = names.tool(row.tool_starts or "", yaml.source((*place, "tool_starts")))
            return script.WhenToolStarts(tool.name)
        case ["after_ms"]:
            return script.AfterPause(row.after_ms or 0)
        case _:
            raise ScriptError(f"a moment is one of: {', '.join(AtRow.model_fields)}", source=yaml.source(place))


def read_in_the_end(yaml: LocatedYaml, place: Place, names: Names) -> script.Expect:
    """Return what is expected of a whole call. Raises ScriptError with file and line."""
    expect = read_expect(yaml, place, names)
    for key in _OF_A_TURN:
        if key in expect.lines:
            raise ScriptError(
                f"{key} is counted from the caller's words: it belongs to a turn", source=expect.lines[key]
            )
    return expect


def read_expect(yaml: LocatedYaml, place: Place, names: Names) -> script.Expect:
    """Return the expectations that stand at a place. Raises ScriptError with file and line."""
    row = yaml.check(ExpectRow, yaml.at(place), place)

    def line(*inside: str | int) -> Source:
        return yaml.source((*place, *inside))

    for key, phases in (("phase", (row.phase,)), ("phases", row.phases or ())):
        for number, phase in enumerate(phases):
            if phase is not None:
                names.phase(phase, line(key, number))
    for number, tool in enumerate(row.calls_not):
        names.tool(tool, line("calls_not", number))
    for key, offered in (("offered", row.offered), ("offered_not", row.offered_not)):
        for number, name in enumerate(offered):
            names.tool_or_move(name, line(key, number))
    if row.transferred_to is not None:
        names.target(row.transferred_to, line("transferred_to"))
    for fact in row.facts:
        names.fact(fact, line("facts", fact))
    plain = row.model_dump(exclude={"calls", "facts", "fillers", "filler_after_ms", "prefetch_hits", "prefetch_joins"})
    return script.Expect(
        **plain,
        calls=() if row.calls is None else _calls(yaml, (*place, "calls"), names),
        facts={fact: yaml.json_at((*place, "facts", fact)) for fact in row.facts},
        fillers=row.fillers,
        filler_after_ms=row.filler_after_ms,
        prefetch_hits=row.prefetch_hits,
        prefetch_joins=row.prefetch_joins,
        source=line(),
        lines={key: line(key) for key in row.model_fields_set},
    )


def _calls(yaml: LocatedYaml, place: Place, names: Names) -> tuple[script.ExpectedCall, ...]:
    calls: list[script.ExpectedCall] = []
    for at in yaml.items_at(place):
        content = yaml.at(at)
        if isinstance(content, str):
            calls.append(script.ExpectedCall(names.tool(content, yaml.source(at)).name))
            continue
        if not isinstance(content, dict) or len(content) != 1:
            message = "a call is a tool, or one tool with its arguments: `transfer: {amount: 250}`"
            raise ScriptError(message, source=yaml.source(at))
        name = next(iter(content))
        tool = names.tool(name, yaml.source((*at, name)))
        calls.append(script.ExpectedCall(name, read_arguments(yaml, (*at, name), tool)))
    return tuple(calls)
