"""What a caller in a test says, presses and waits for, read from a YAML file.

name: balance enquiry
caller_number: "+442079460000"
parameters: {tenant: demo}
steps:
  - wait_for: agent_done
  - say: balance.wav                  # relative to this file
  - barge_in: {after_ms: 900, say: stop.wav}
  - wait_for: agent_done
    quiet_ms: 1500
    at_most_ms: 20000
  - press: "1234#"
  - wait_ms: 500
  - hang_up                           # or: expect_hang_up: {within_ms: 8000}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from voiceagent.errors import ScriptError, Source, nearest
from voiceagent.spec.located_yaml import LocatedYaml, Place
from voiceagent.testing.named_files import named_file
from voiceagent.testing.utterance import Utterance, read_utterance

__all__ = [
    "BargeInStep",
    "CallerScript",
    "CallerStep",
    "ExpectHangUpStep",
    "HangUpStep",
    "PressStep",
    "SayStep",
    "WaitForAgentStep",
    "WaitStep",
]

_AT_MOST_MS = 30_000
_QUIET_MS = 1_200


# --- as a caller performs it -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SayStep:
    """Say an utterance to its end."""

    utterance: Utterance
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class WaitForAgentStep:
    """Wait until the agent has spoken and fallen silent."""

    quiet_ms: int = _QUIET_MS
    """Silence after which the agent counts as done; pauses between its sentences are shorter."""
    at_most_ms: int = _AT_MOST_MS
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Wait, whatever the agent does."""

    ms: int
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class BargeInStep:
    """Speak `after_ms` after the agent's voice began: at that moment the caller's own voice begins.

    Where the agent had fallen silent by then, nothing was interrupted, and the step has failed.
    """

    after_ms: int
    utterance: Utterance
    at_most_ms: int = _AT_MOST_MS
    """How long to wait for the agent to begin."""
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class PressStep:
    """Press keys, one after the other."""

    digits: str
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class HangUpStep:
    """Put the telephone down."""

    source: Source | None = None


@dataclass(frozen=True, slots=True)
class ExpectHangUpStep:
    """Wait for the agent to end the call."""

    within_ms: int
    source: Source | None = None


CallerStep = SayStep | WaitForAgentStep | WaitStep | BargeInStep | PressStep | HangUpStep | ExpectHangUpStep


@dataclass(frozen=True, slots=True)
class CallerScript:
    """A caller's side of one call, its utterances loaded. After the last step the caller hangs up."""

    name: str
    steps: tuple[CallerStep, ...]
    voice: str | None = None
    """Whose voice the utterances have: a note for whoever reads a report."""
    caller_number: str | None = None
    """Reaches the agent as the parameter `caller_number`."""
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        """Refuse a script without steps: a caller who does nothing at all tests nothing."""
        if not self.steps:
            raise ScriptError(f"the script {self.name!r} has no steps")

    @classmethod
    def read(cls, path: Path) -> CallerScript:
        """Read a script and the wave files it names.

        Raises ScriptError with file and line, MissingExtra where a wave file has another rate than 8 kHz and the
        extra `local` is not installed.
        """
        yaml = LocatedYaml.read(path)
        head = yaml.check(_File, yaml.content, ())
        return cls(
            name=head.name,
            steps=tuple(_step(yaml, row, ("steps", number)) for number, row in enumerate(head.steps)),
            voice=head.voice,
            caller_number=head.caller_number,
            parameters=head.parameters,
        )


# --- as an author writes it ------------------------------------------------------------------------------------------

_Ms = Annotated[int, Field(ge=0, le=600_000)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _File(_Row):
    name: str = Field(min_length=1)
    voice: str | None = None
    caller_number: str | None = None
    parameters: dict[str, str] = {}
    steps: list[JsonValue] = Field(min_length=1)


class _Say(_Row):
    say: str


class _WaitFor(_Row):
    wait_for: Literal["agent_done"]
    quiet_ms: _Ms = _QUIET_MS
    at_most_ms: _Ms = _AT_MOST_MS


class _Wait(_Row):
    wait_ms: _Ms


class _BargeInDetail(_Row):
    after_ms: _Ms
    say: str
    at_most_ms: _Ms = _AT_MOST_MS


class _BargeIn(_Row):
    barge_in: _BargeInDetail


class _Press(_Row):
    press: str = Field(pattern=r"^[0-9*#A-D]+$")


class _HangUp(_Row):
    hang_up: Literal[""]


class _ExpectHangUpDetail(_Row):
    within_ms: _Ms


class _ExpectHangUp(_Row):
    expect_hang_up: _ExpectHangUpDetail


_StepRow = _Say | _WaitFor | _Wait | _BargeIn | _Press | _HangUp | _ExpectHangUp
_ROWS: Mapping[str, type[_StepRow]] = {
    "say": _Say,
    "wait_for": _WaitFor,
    "wait_ms": _Wait,
    "barge_in": _BargeIn,
    "press": _Press,
    "hang_up": _HangUp,
    "expect_hang_up": _ExpectHangUp,
}


def _step(yaml: LocatedYaml, content: JsonValue, place: Place) -> CallerStep:
    if isinstance(content, str):
        content = {content: ""}  # `- hang_up` needs no colon
    if not isinstance(content, dict):
        raise ScriptError("a step is one of: " + ", ".join(_ROWS), source=yaml.source(place))
    verbs = [key for key in content if key in _ROWS]
    if len(verbs) != 1:
        raise ScriptError(_which_verb(content, verbs), source=yaml.source((*place, *list(content)[:1])))
    row = yaml.check(_ROWS[verbs[0]], content, place)
    return _as_performed(row, yaml, place)


def _which_verb(content: Mapping[str, JsonValue], verbs: Sequence[str]) -> str:
    if verbs:
        return f"{' and '.join(verbs)} are two steps: give each its own dash"
    key = next(iter(content), "")
    return f"unknown step {key!r}{nearest(key, _ROWS)}"


def _as_performed(row: _StepRow, yaml: LocatedYaml, place: Place) -> CallerStep:
    source = yaml.source(place)
    match row:
        case _Say():
            return SayStep(_utterance(yaml, row.say, (*place, "say")), source)
        case _WaitFor():
            return WaitForAgentStep(row.quiet_ms, row.at_most_ms, source)
        case _Wait():
            return WaitStep(row.wait_ms, source)
        case _BargeIn(barge_in=detail):
            utterance = _utterance(yaml, detail.say, (*place, "barge_in", "say"))
            return BargeInStep(detail.after_ms, utterance, detail.at_most_ms, source)
        case _Press():
            return PressStep(row.press, source)
        case _HangUp():
            return HangUpStep(source)
        case _ExpectHangUp(expect_hang_up=detail):
            return ExpectHangUpStep(detail.within_ms, source)
        case _:
            assert_never(row)


def _utterance(yaml: LocatedYaml, name: str, place: Place) -> Utterance:
    path = named_file(name, beside=Path(yaml.file))
    if path is None:
        near = nearest(name, [entry.name for entry in Path(yaml.file).parent.glob("*.wav")])
        raise ScriptError(f"there is no file {name!r}{near}", source=yaml.source(place))
    try:
        return read_utterance(path)
    except ScriptError as exc:
        raise ScriptError(str(exc), source=yaml.source(place)) from exc
