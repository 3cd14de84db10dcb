"""Events and effects as lines of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core import events
from voiceagent.core.codec import decode_event, encode_event, encode_outgoing
from voiceagent.core.effects import (
    AskModel,
    Message,
    ModelRequest,
    Outgoing,
    ReportProblem,
    Speak,
    StartTool,
    SwapPhase,
)
from voiceagent.core.events import CallStarted, Event, TimePassed, ToolFinished
from voiceagent.core.ids import Epoch, ReplyId, ToolCallId, TurnId, UtteranceId
from voiceagent.errors import JournalError
from voiceagent.spec.manner import Manner

_words = st.text(max_size=20)
_numbers = st.integers(-(2**62), 2**62)
_json = st.recursive(
    st.none() | st.booleans() | _numbers | st.floats(allow_nan=False, allow_infinity=False) | _words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=10,
)
_objects = st.dictionaries(_words, _json, max_size=4)
_of_annotation: Mapping[str, st.SearchStrategy[object]] = {
    "str": _words,
    "str | None": st.none() | _words,
    "int": _numbers,
    "bool": st.booleans(),
    "float": st.floats(0, 1),
    "float | None": st.none() | st.floats(0, 1),
    "JsonValue": _json,
    "Mapping[str, JsonValue]": _objects,
    "Mapping[str, JsonValue] | None": st.none() | _objects,
    "Mapping[str, str]": st.dictionaries(_words, _words, max_size=3),
    "tuple[str, ...]": st.lists(_words, max_size=3).map(tuple),
    "Mapping[str, str] | None": st.none() | st.dictionaries(_words, _words, max_size=3),
    "Epoch": _numbers,
    "tuple[int, ...] | None": st.none() | st.lists(_numbers, max_size=3).map(tuple),
    "tuple[ReplyId, ...]": st.lists(_words, max_size=3).map(tuple),
    **dict.fromkeys(("LegId", "UtteranceId", "ReplyId", "ToolCallId", "FetchId"), _words),
}
_kinds_of_failure = st.sampled_from(["failed", "timed_out", "refused", "crashed", "too_large", "cancelled", "unknown"])


def _events_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    parts = {
        name: _kinds_of_failure if annotation.startswith("Literal") else _of_annotation[annotation]
        for name, annotation in kind.__annotations__.items()
    }
    return st.builds(kind, **parts)


@given(st.one_of([_events_of(kind) for kind in get_args(Event)]), _numbers)
def test_every_event_survives_a_round_trip_as_the_same_bytes(event: Event, at_ms: int) -> None:
    line = encode_event(event, at_ms)
    assert b"\n" not in line
    assert decode_event(line) == (at_ms, event)
    assert encode_event(decode_event(line)[1], at_ms) == line


@given(st.one_of([_events_of(kind) for kind in get_args(Event)]), _numbers)
def test_a_line_is_what_json_makes_of_it(event: Event, at_ms: int) -> None:
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    line = json.dumps(
        {"at": at_ms, "event": type(event).__name__, "with": values}, ensure_ascii=False, separators=(",", ":")
    )
    assert encode_event(event, at_ms) == line.encode("utf-8", "replace")


class _Word(StrEnum):
    """A word that is not exactly a `str`."""

    YES = "yes"


class _Number(IntEnum):
    """A number that is not exactly an `int`."""

    SEVEN = 7


@pytest.mark.parametrize(
    "value",
    ["\ud800 half", '\x00\x1f\x7f\u2028"\\', _Word.YES, _Number.SEVEN, math.nan, -math.inf, 1e300, 10**30, True, None],
)
def test_whatever_a_value_is_it_is_written_as_json_writes_it(value: Any) -> None:
    line = json.dumps({"call": "t1", "result": value}, ensure_ascii=False, separators=(",", ":"))
    event = encode_event(ToolFinished(ToolCallId("t1"), value), 0)
    assert event == f'{{"at":0,"event":"ToolFinished","with":{line}}}'.encode("utf-8", "replace")
    for effect in (ReportProblem("test", value), Speak(UtteranceId("a1"), value, value, value, last=value)):
        parts = {field.name: getattr(effect, field.name) for field in fields(effect)}
        line = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        outgoing = encode_outgoing(Outgoing(1, Epoch(2), TurnId(3), effect))
        envelope = f'{{"seq":1,"epoch":2,"turn":3,"effect":"{type(effect).__name__}","with":{line}}}'
        assert outgoing == envelope.encode("utf-8", "replace")


def test_every_event_of_the_vocabulary_can_be_decoded_by_its_name() -> None:
    assert {kind.__name__ for kind in get_args(Event)} | {"Event"} == set(events.__all__)


def test_a_line_can_be_read_aloud() -> None:
    assert encode_event(TimePassed(), 12_345) == b'{"at":12345,"event":"TimePassed","with":{}}'
    speak = Outgoing(7, Epoch(2), TurnId(3), Speak(UtteranceId("a1"), 0, "Café?", "reply", last=True))
    assert encode_outgoing(speak).decode() == (
        '{"seq":7,"epoch":2,"turn":3,"effect":"Speak",'
        '"with":{"utterance":"a1","clause":0,"text":"Café?","kind":"reply","last":true}}'
    )


def test_the_keys_of_a_result_keep_their_order() -> None:
    event = ToolFinished(ToolCallId("t1"), {"zebra": 1, "ape": {"y": 2, "x": 3}})
    _, decoded = decode_event(encode_event(event, 0))
    assert isinstance(decoded, ToolFinished)
    assert json.dumps(decoded.result) == json.dumps(event.result)


def test_a_mapping_that_is_not_a_dict_is_written_like_one() -> None:
    start = StartTool(ToolCallId("t1"), "lookup", MappingProxyType({"account": "1"}), None)
    assert b'"arguments":{"account":"1"}' in encode_outgoing(Outgoing(1, Epoch(1), TurnId(1), start))


def test_half_a_surrogate_pair_does_not_stop_the_journal() -> None:
    _, event = decode_event(encode_event(ToolFinished(ToolCallId("t1"), "a\ud800b"), 0))
    assert event == ToolFinished(ToolCallId("t1"), "a?b")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "not a line of JSON"),
        (b"[]", "an event's line has the keys"),
        (b'{"at":1,"event":"ToolFinishd","with":{}}', "did you mean 'ToolFinished'"),
        (b'{"at":1,"event":"LegLost","with":{"leg":"1","reson":"x"}}', "did you mean 'reason'"),
        (b'{"at":1,"event":"LegLost","with":{"leg":"1"}}', "LegLost.reason: "),
        (b'{"at":1,"event":"CallResumed","with":{"gap_ms":"5"}}', "CallResumed.gap_ms: "),
        (b'{"at":1.5,"event":"TimePassed","with":{}}', "a number, a name and an object"),
    ],
)
def test_a_line_that_is_not_an_event_says_what_is_wrong_with_it(line: bytes, complaint: str) -> None:
    with pytest.raises(JournalError, match=complaint.replace("(", r"\(")):
        decode_event(line)


def _request(text: str) -> ModelRequest:
    message = Message(1, "caller", text, Epoch(1))
    return ModelRequest(
        phase="greeting",
        epoch=Epoch(1),
        prompt="Be kind.",
        late_facts="Name: Ada",
        tools=("lookup",),
        history=(message,),
        facts={"name": "Ada"},
        unix_ms=5,
    )


def _asked(text: str) -> bytes:
    return encode_outgoing(Outgoing(1, Epoch(1), TurnId(1), AskModel(ReplyId("r1"), _request(text))))


def test_what_a_model_was_shown_is_written_without_its_words() -> None:
    line = _asked("my dog is called Rex")
    assert b"Rex" not in line
    assert b"Ada" not in line
    assert b"kind." not in line
    assert b'"tools":["lookup"]' in line
    assert b'"messages":1' in line


def test_other_words_give_another_digest() -> None:
    assert _asked("yes") == _asked("yes")
    assert _asked("yes") != _asked("no")


def test_a_swap_is_written_with_the_hash_of_its_prompt() -> None:
    line = encode_outgoing(Outgoing(1, Epoch(1), TurnId(0), SwapPhase(_request("yes"), Manner("en-US"))))
    assert b"Be kind." not in line
    assert b"prompt_sha256" in line


def test_the_instant_of_the_call_is_part_of_its_first_event() -> None:
    event = CallStarted("en-US", "Europe/Berlin", 1_700_000_000_000, caller_number="+491")
    assert decode_event(encode_event(event, 3)) == (3, event)
