"""Reading how the world answers in a `*.call.yaml`: settings, model, tools, faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import JsonValue

from voiceagent.errors import PhaseError, ScriptError, Source, ToolFailed, nearest
from voiceagent.ports import ReplyModelEngine, ReplyPiece
from voiceagent.spec.located_yaml import LocatedYaml, Place
from voiceagent.spec.prompt import syntax_of
from voiceagent.spec.tool import Tool
from voiceagent.testing.call_names import Names
from voiceagent.testing.call_rows import FaultsRow, ModelRow, ReplyRow, RuleRow, SettingsRow, ToolAnswerRow, WorldRow
from voiceagent.testing.cassettes import CassetteModels
from voiceagent.testing.named_files import named_file
from voiceagent.testing.scripted_call import STARTS_UNIX_MS
from voiceagent.testing.scripted_model import ModelOfScript, ModelRule, RuledModel, ScriptedModel, ask_for, say
from voiceagent.testing.simulated_world import After, Faults, Timing
from voiceagent.testing.tool_answers import Range, ToolAnswer, ToolAnswers

__all__ = ["WrittenWorld", "read_arguments"]

_CRASHED = "something went wrong inside; it cannot be done at the moment"
"""What the executor says of such a tool."""

_OUTCOMES = ("result", "fails", "times_out", "crashes")


@dataclass(frozen=True, slots=True)
class WrittenWorld:
    """How the world of one conversation answers, as far as it has been read."""

    plays_cassettes: bool = True
    """If not, a live model will speak: what it is to record need not be there yet."""
    seed: int = 0
    caller_number: str = "+15550100"
    time_zone: str = "UTC"
    unix_ms: int = STARTS_UNIX_MS
    timing: Timing = field(default_factory=Timing)
    faults: Faults = field(default_factory=Faults)
    fault_lines: Mapping[str, Source] = field(default_factory=dict[str, Source])
    model: Callable[[], ModelOfScript] | ReplyModelEngine | None = None
    """None: the guided model."""
    tools: Mapping[str, ToolAnswers] = field(default_factory=dict[str, ToolAnswers])

    def with_row(self, row: WorldRow, yaml: LocatedYaml, place: Place, names: Names) -> WrittenWorld:
        """Return this world with what a file or a conversation says about it. Raises ScriptError with file and line."""
        world = self
        if row.settings is not None:
            world = _with_settings(world, yaml, (*place, "settings"))
        if row.model is not None:
            world = replace(world, model=_model(yaml, (*place, "model"), names, plays_cassettes=self.plays_cassettes))
        if row.faults is not None:
            at = (*place, "faults")
            faults = yaml.check(FaultsRow, yaml.at(at), at).model_dump(exclude_unset=True)
            lines = {kind: yaml.source((*at, kind)) for kind in faults}
            world = replace(world, faults=replace(world.faults, **faults), fault_lines={**world.fault_lines, **lines})
        tools = {name: _tool(yaml, (*place, "tools", name), names) for name in row.tools}
        return replace(world, tools={**world.tools, **tools})


# --- settings --------------------------------------------------------------------------------------------------------


def _with_settings(world: WrittenWorld, yaml: LocatedYaml, place: Place) -> WrittenWorld:
    written = yaml.check(SettingsRow, yaml.at(place), place)
    given = written.model_dump(exclude_unset=True)
    starts_at = given.pop("starts_at", None)
    timing = {known.name: given.pop(known.name) for known in fields(Timing) if known.name in given}
    world = replace(world, timing=replace(world.timing, **timing), **given)
    try:
        zone = ZoneInfo(world.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        message = f"there is no time zone {world.time_zone!r}; write it like Europe/Berlin"
        raise ScriptError(message, source=yaml.source((*place, "time_zone"))) from exc
    if starts_at is None:
        return world
    local = starts_at if starts_at.tzinfo else starts_at.replace(tzinfo=zone)
    return replace(world, unix_ms=int(local.astimezone(UTC).timestamp() * 1_000))


# --- model -----------------------------------------------------------------------------------------------------------


def _model(
    yaml: LocatedYaml, place: Place, names: Names, *, plays_cassettes: bool
) -> Callable[[], ModelOfScript] | ReplyModelEngine | None:
    content = yaml.at(place)
    if content == "guided":
        return None
    if isinstance(content, str):
        hint = nearest(content, ("guided",)) or ", or lines, or rules, or a cassette"
        raise ScriptError(f"there is no model {content!r}: write guided{hint}", source=yaml.source(place))
    row = yaml.check(ModelRow, content, place)
    if sum(given is not None for given in (row.lines, row.rules, row.cassette)) != 1:
        raise ScriptError("a model has one of: lines, rules, cassette", source=yaml.source(place))
    if row.cassette is not None:
        source = yaml.source((*place, "cassette"))
        return _cassette(row.cassette, Path(yaml.file), source) if plays_cassettes else None
    if row.lines is not None:
        lines = {
            names.phase(phase, yaml.source((*place, "lines", phase))): [
                _reply(yaml, at, names) for at in yaml.items_at((*place, "lines", phase))
            ]
            for phase in row.lines
        }
        return lambda: ScriptedModel(lines)
    rules = [_rule(yaml, at, names) for at in yaml.items_at((*place, "rules"))]
    return lambda: RuledModel(rules)


def _cassette(name: str, file: Path, source: Source) -> CassetteModels:
    path = named_file(name, beside=file)
    if path is None:
        near = nearest(Path(name).name, [beside.name for beside in file.parent.glob("*.jsonl")])
        raise ScriptError(f"there is no cassette {name!r}{near}", source=source)
    return CassetteModels(path)


def _reply(yaml: LocatedYaml, place: Place, names: Names) -> list[ReplyPiece]:
    content = yaml.at(place)
    if isinstance(content, str):
        return say(content)
    return _pieces(yaml.check(ReplyRow, content, place), yaml, place, names)


def _rule(yaml: LocatedYaml, place: Place, names: Names) -> ModelRule:
    row = yaml.check(RuleRow, yaml.at(place), place)
    if row.phase is not None:
        names.phase(row.phase, yaml.source((*place, "phase")))
    if row.after_tool is not None:
        names.tool_or_move(row.after_tool, yaml.source((*place, "after_tool")))
    pieces = _pieces(row, yaml, place, names)
    return ModelRule(tuple(pieces), row.phase, row.caller_says, row.after_tool)


def _pieces(row: ReplyRow, yaml: LocatedYaml, place: Place, names: Names) -> list[ReplyPiece]:
    if row.calls is None:
        return say(row.says)
    name = names.tool_or_move(row.calls, yaml.source((*place, "calls")))
    arguments: Mapping[str, JsonValue] = {}
    if row.arguments is not None:
        # A model may pass what does not fit: only that it is a mapping is looked at.
        arguments = _mapping(yaml, (*place, "arguments"))
    return ask_for(name, json.dumps(arguments, ensure_ascii=False), words=row.says)


# --- tools -----------------------------------------------------------------------------------------------------------


def _tool(yaml: LocatedYaml, place: Place, names: Names) -> ToolAnswers:
    tool = names.tool(str(place[-1]), yaml.source(place))
    return ToolAnswers(tool.name, tuple(_answer(yaml, at, tool) for at in yaml.items_at(place)))


def _answer(yaml: LocatedYaml, place: Place, tool: Tool) -> ToolAnswer:
    content = yaml.at(place)
    row = yaml.check(ToolAnswerRow, content, place)
    outcomes = [key for key in _OUTCOMES if isinstance(content, dict) and key in content]
    if len(outcomes) != 1:
        said = f"{' and '.join(outcomes)} are {len(outcomes)}" if outcomes else "nothing is said"
        message = f"an answer has one of: {', '.join(_OUTCOMES)}; {said}"
        raise ScriptError(message, source=yaml.source(place))
    if outcomes == ["times_out"] and row.takes_ms is not None:
        raise ScriptError(
            f"{tool.name} times out after its own {tool.timeout_ms} ms", source=yaml.source((*place, "takes_ms"))
        )
    if outcomes == ["result"]:
        _refuse_bad_holes(yaml, (*place, "result"), tool)
    result, failure = _outcome(row, outcomes[0], tool)
    usual = tool.timeout_ms if outcomes == ["times_out"] else 100
    return ToolAnswer(
        result=yaml.json_at((*place, "result")) if result is None else result,
        takes_ms=row.takes_ms or Range(usual, usual),
        given={} if row.given is None else read_arguments(yaml, (*place, "given"), tool),
        run=row.run,
        failure=failure,
    )


def _refuse_bad_holes(yaml: LocatedYaml, place: Place, tool: Tool) -> None:
    """Raise ScriptError for a text with a hole that no argument of the tool could fill."""
    content = yaml.at(place)
    match content:
        case str() if "{" in content:
            try:
                _, names = syntax_of(content)
            except PhaseError as exc:
                raise ScriptError(str(exc), source=yaml.source(place)) from exc
            known = tool.arguments.model_fields
            for name in names:
                if name not in known:
                    hint = nearest(name, known) or f"; there are: {', '.join(known) or 'none'}"
                    raise ScriptError(f"{tool.name} has no argument {name!r}{hint}", source=yaml.source(place))
        case dict() | list():
            for inside in content if isinstance(content, dict) else range(len(content)):
                _refuse_bad_holes(yaml, (*place, inside), tool)
        case _:
            pass


_Failure = Literal["failed", "timed_out", "crashed", "unknown"]


def _outcome(row: ToolAnswerRow, outcome: str, tool: Tool) -> tuple[ToolFailed | None, _Failure]:
    """Return the failure as the executor reports it; None for a result."""
    if outcome == "result":
        return None, "failed"
    if outcome == "fails":
        return ToolFailed(row.fails or ""), "failed"
    if outcome == "crashes" and tool.effect == "read":
        return ToolFailed(_CRASHED), "crashed"
    given_up = After.given_up(tool, tool.timeout_ms)
    return ToolFailed(str(given_up.result)), given_up.kind


def read_arguments(yaml: LocatedYaml, place: Place, tool: Tool) -> dict[str, JsonValue]:
    """Return arguments of a tool. Raises ScriptError where the tool has none of that name."""
    arguments = _mapping(yaml, place)
    for name in arguments:
        known = tool.arguments.model_fields
        if name not in known:
            hint = nearest(name, known) or f"; there are: {', '.join(known) or 'none'}"
            raise ScriptError(f"{tool.name} has no argument {name!r}{hint}", source=yaml.source((*place, name)))
    return arguments


def _mapping(yaml: LocatedYaml, place: Place) -> dict[str, JsonValue]:
    content = yaml.json_at(place)
    if not isinstance(content, dict):
        raise ScriptError("arguments are written `name: value`", source=yaml.source(place))
    return content
