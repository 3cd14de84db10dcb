"""Reading `*.call.yaml`: scripted conversations as people write them who do not program.

agent: bank
include: the_bank.yaml                  # tools and settings that several files share
settings: {first_token_ms: 400}         # also seed, caller_number, time_zone, starts_at, transcript_ms…
model: guided                           # or {lines: {greeting: [Hello., {calls: a_tool}]}}, {rules: […]}, {cassette: …}
tools:                                  # the first answer that fits is given
  get_accounts: {takes_ms: 300..900, result: {accounts: [{kind: checking, balance: "12.50"}]}}
  transfer:
    - {given: {amount: 2000}, fails: there is not enough money}
    - {run: 2, times_out: yes}          # or crashes: yes
    - {result: {amount: "{{ amount }}"}}
faults: {model_fails: 2}                # by number: 2, 1..3 or [1, 3]; see FaultsRow
name: a caller changes their mind       # or conversations: [{name: …, call: […]}, …]
xfail: it is not mended yet             # a conversation that is known to fail, and why
call:                                   # a turn begins once the agent has spoken and nothing is under way
  - waits:                              # also presses, stays_silent_ms, coughs, makes_noise_ms, hangs_up, host_event
    expect: {hears: "How can I help you?"}
  - says: I'd like to check … my balance.
    expect: {phase: authentication, within_ms: 1500}
  - says: No, wait. Stop.
    at: {heard: your account number}    # or answer_ms, filler_ms, tool_starts, after_ms: begins there and then
# instead of call, a caller whom a model plays, so that it needs one: voiceagent test --model
# persona: {who: …, goal: …, intent: what the agent is judged by, at_most_turns: 20}
in_the_end: {calls_not: transfer}       # what is expected of the whole call; every key is in ExpectRow

Texts keep their zeros and plus signs; only in results, arguments and facts unquoted numbers, true, false and null are
what they look like.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voiceagent.errors import ScriptError, Source, nearest
from voiceagent.runtime.loader import is_agent, load_flow
from voiceagent.spec.flow import Flow
from voiceagent.spec.located_yaml import LocatedYaml, Place
from voiceagent.testing.call_names import Names
from voiceagent.testing.call_rows import FileRow, PersonaRow, ScriptRow
from voiceagent.testing.call_script import CallScript, Expect
from voiceagent.testing.call_turns import read_in_the_end, read_turn
from voiceagent.testing.call_world import WrittenWorld
from voiceagent.testing.named_files import named_file
from voiceagent.testing.persona import Persona

__all__ = ["SUFFIX", "CallFile", "CallFiles"]

SUFFIX = ".call.yaml"
_MOST_INCLUDES = 16
_OF_A_SCRIPT = ("name", "xfail", "cascade_only", "call", "persona", "in_the_end")


_Parts = dict[Path, tuple[LocatedYaml, FileRow]]


@dataclass(frozen=True, slots=True)
class CallFile:
    """A file of scripted conversations with one agent."""

    path: Path
    flow: Flow
    scripts: tuple[CallScript, ...]


class CallFiles:
    """Reads files, and every agent and every included file once."""

    def __init__(self, *, plays_cassettes: bool = True) -> None:
        """Where a live model will speak, cassettes are not opened: they may be about to be recorded."""
        self._plays_cassettes = plays_cassettes
        self._flows: dict[Path, tuple[Flow, Names]] = {}
        self._included: dict[Path, tuple[LocatedYaml, FileRow]] = {}

    def read(self, path: Path) -> CallFile:
        """Read a file. Raises ScriptError, with file and line, and PhaseError where its agent cannot be loaded."""
        yaml = LocatedYaml.read(path)
        row = yaml.check(FileRow, yaml.content, ())
        included: _Parts = {}
        self._add_included(included, yaml, row, (path.resolve(),))
        parts = [*included.values(), (yaml, row)]
        flow, names = self._agent(parts, path)
        world = WrittenWorld(plays_cassettes=self._plays_cassettes)
        for part_yaml, part in parts:
            world = world.with_row(part, part_yaml, (), names)
        places = _scripts(yaml, row)
        scripts = tuple(_script(yaml, place, world, names) for place in places)
        _refuse_same_names(scripts)
        return CallFile(path, flow, scripts)

    def _add_included(self, parts: _Parts, yaml: LocatedYaml, row: FileRow, inside: tuple[Path, ...]) -> None:
        """Add what a file includes, every file once and innermost first: what includes has the last word."""
        for place, name in zip(yaml.items_at(("include",)) if row.include else (), row.include, strict=True):
            source = yaml.source(place)
            named = named_file(name, beside=Path(yaml.file))
            if named is None:
                near = nearest(name, [entry.name for entry in Path(yaml.file).parent.glob("*.yaml")])
                raise ScriptError(f"there is no file {name!r} to include{near}", source=source)
            path = named.resolve()
            if path in inside:
                way = " → ".join(known.name for known in (*inside[inside.index(path) :], path))
                raise ScriptError(f"the file includes itself: {way}", source=source)
            if len(inside) > _MOST_INCLUDES:
                raise ScriptError(f"files are included more than {_MOST_INCLUDES} deep", source=source)
            if path not in parts:
                included, included_row = self._include(path)
                self._add_included(parts, included, included_row, (*inside, path))
                parts[path] = (included, included_row)

    def _include(self, path: Path) -> tuple[LocatedYaml, FileRow]:
        if path not in self._included:
            yaml = LocatedYaml.read(path)
            row = yaml.check(FileRow, yaml.content, ())
            for key in (*_OF_A_SCRIPT, "conversations"):
                if key in row.model_fields_set:
                    raise ScriptError(f"a file with {key!r} cannot be included", source=yaml.source((key,)))
            self._included[path] = (yaml, row)
        return self._included[path]

    def _agent(self, parts: list[tuple[LocatedYaml, FileRow]], path: Path) -> tuple[Flow, Names]:
        """Return the agent named by the file, or by what it includes."""
        for yaml, row in reversed(parts):
            if row.agent is not None:
                return self._load(row.agent, Path(yaml.file), yaml.source(("agent",)))
        raise ScriptError("the key 'agent' is missing: which agent is called?", source=Source(str(path), 1))

    def _load(self, agent: str, near: Path, source: Source) -> tuple[Flow, Names]:
        folder = _folder_of(agent, near)
        if folder is None:
            known = sorted(
                entry.name for up in near.resolve().parents for entry in up.glob("phases/*/") if is_agent(entry)
            )
            raise ScriptError(f"there is no agent {agent!r}{nearest(agent, known)}", source=source)
        if folder not in self._flows:
            flow = load_flow(folder)
            self._flows[folder] = (flow, Names.of(flow))
        return self._flows[folder]


def _folder_of(agent: str, near: Path) -> Path | None:
    """Return the agent's folder: beside the file, or below the nearest `phases/` in or above the file's folder."""
    folders = [near.parent / agent, *(up / "phases" / agent for up in near.resolve().parents)]
    return next((folder.resolve() for folder in folders if is_agent(folder)), None)


def _scripts(yaml: LocatedYaml, row: FileRow) -> list[Place]:
    """Return where the conversations stand: the whole file, or the items of its list."""
    calls = bool(row.call) or row.persona is not None
    if calls and row.conversations:
        raise ScriptError("a file has either a call or conversations", source=yaml.source(("conversations",)))
    if row.conversations:
        for key in _OF_A_SCRIPT:
            if key in row.model_fields_set:
                raise ScriptError(f"{key!r} belongs into one of the conversations", source=yaml.source((key,)))
        return yaml.items_at(("conversations",))
    if not calls:
        raise ScriptError("there is no conversation in this file: write call, or conversations", source=yaml.source(()))
    return [()]


def _script(yaml: LocatedYaml, place: Place, world: WrittenWorld, names: Names) -> CallScript:
    content = yaml.at(place)
    if not place and isinstance(content, dict):
        content = {key: value for key, value in content.items() if key in _OF_A_SCRIPT}
    row = yaml.check(ScriptRow, content, place)
    if bool(row.call) == (row.persona is not None):
        raise ScriptError("a conversation has either a call or a persona", source=yaml.source(place))
    world = world.with_row(row, yaml, place, names)
    return CallScript(
        name=row.name,
        turns=tuple(read_turn(yaml, (*place, "call", number), names) for number in range(len(row.call))),
        model=world.model,
        tools=world.tools,
        in_the_end=Expect() if row.in_the_end is None else read_in_the_end(yaml, (*place, "in_the_end"), names),
        timing=world.timing,
        faults=world.faults,
        fault_lines=world.fault_lines,
        caller_number=world.caller_number,
        time_zone=world.time_zone,
        unix_ms=world.unix_ms,
        seed=world.seed,
        persona=None if row.persona is None else _persona(yaml, (*place, "persona")),
        xfail=row.xfail,
        cascade_only=row.cascade_only,
        source=yaml.source((*place, "name")),
    )


def _persona(yaml: LocatedYaml, place: Place) -> Persona:
    return Persona(**yaml.check(PersonaRow, yaml.at(place), place).model_dump(exclude_none=True))


def _refuse_same_names(scripts: tuple[CallScript, ...]) -> None:
    seen: dict[str, None] = {}
    for script in scripts:
        if script.name in seen:
            raise ScriptError(f"there are two conversations {script.name!r}", source=script.source)
        seen[script.name] = None
