"""What holds for every dialect: a call can be had in it, and nothing that a stranger sends does harm."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.telephony.wire_examples import EXAMPLES
from voiceagent.telephony.codec import (
    Answer,
    ClearAudio,
    Digit,
    HangUp,
    Mark,
    Media,
    PlayAudio,
    Refused,
    SendDigits,
    SetMark,
    Stopped,
)
from voiceagent.telephony.codec import Started as CallStarted
from voiceagent.telephony.dialects import DIALECTS
from voiceagent.telephony.settings import TelephonySettings

every_dialect = pytest.mark.parametrize("name", EXAMPLES)
ANY_COMMAND = (PlayAudio(bytes(640)), SetMark("0.1"), ClearAudio(), Answer(), HangUp(), SendDigits("12"))


def all_events(dialect, messages):
    return [event for message in messages for event in dialect.receive(message)]


def test_there_is_an_example_of_every_dialect_and_a_codec_for_every_row():
    assert list(EXAMPLES) == list(DIALECTS)
    for name, row in DIALECTS.items():
        assert (row.name, row.codec(TelephonySettings(agents=frozenset()), {}).features) == (name, row.features)


@every_dialect
def test_a_call_starts_is_heard_presses_a_key_and_ends(name):
    example = EXAMPLES[name]
    dialect = example.codec()
    assert sum(isinstance(event, CallStarted) for event in all_events(dialect, example.opening)) == 1
    events = [
        event for event in all_events(dialect, example.during) if isinstance(event, Media | Digit | Mark | Stopped)
    ]
    end = [] if dialect.features.close_is_hang_up else [Stopped]
    assert [type(event) for event in events] == [Media, Digit, Mark, *end]
    assert events[2] == Mark("0.1")


@every_dialect
def test_nothing_comes_before_the_start_and_nothing_goes_out(name):
    example = EXAMPLES[name]
    dialect = example.codec()
    assert not any(isinstance(event, Media | Digit | Mark | Stopped) for event in all_events(dialect, example.during))
    assert [message for command in ANY_COMMAND for message in dialect.send(command)] == []


@every_dialect
def test_a_second_start_is_refused_and_changes_nothing(name):
    example = EXAMPLES[name]
    dialect = example.started()
    (event,) = dialect.receive(example.opening[-1])
    assert event == Refused("second start")
    assert any(isinstance(each, Media) for each in all_events(dialect, example.during))


@every_dialect
def test_what_a_row_says_can_be_done_in_band_has_messages_and_nothing_else_has(name):
    dialect = EXAMPLES[name].started()
    features = dialect.features
    assert bool(dialect.send(ClearAudio())) == features.clear
    assert bool(dialect.send(SetMark("0.1"))) == features.marks
    assert bool(dialect.send(HangUp())) == (features.hang_up == "in_band")
    assert len(dialect.send(SendDigits("12"))) == (2 if features.digits_out == "in_band" else 0)
    assert (features.position == "marks") == bool(dialect.send(SetMark("0.2")))
    hears_keys = any(isinstance(event, Digit) for event in all_events(dialect, EXAMPLES[name].during))
    assert (features.digits_in == "in_band") == hears_keys


def with_a_reason(message, reason):
    """Return a message as it would be if its carrier said why, wherever others do."""
    if isinstance(message, bytes) or not message.startswith("{"):
        return message
    said = {"reason": reason, "cause": reason, "hangup_cause": reason}
    fields = json.loads(message)
    return json.dumps(fields | said | {key: each | said for key, each in fields.items() if isinstance(each, dict)})


@every_dialect
def test_whether_it_is_said_why_a_caller_has_gone_stands_in_the_row(name):
    ends = set()
    for reason in ("busy", "caller left"):
        dialect = EXAMPLES[name].started()
        events = all_events(dialect, [with_a_reason(message, reason) for message in EXAMPLES[name].during])
        ends |= {event.reason for event in events if isinstance(event, Stopped)}
    assert (len(ends) > 1) == EXAMPLES[name].started().features.stop_reason


@every_dialect
@given(st.binary(min_size=160, max_size=3200).map(lambda audio: audio[: len(audio) // 160 * 160]))
def test_audio_sent_out_in_whole_frames_is_as_long_as_it_was(name, audio):
    (message,) = EXAMPLES[name].started().send(PlayAudio(audio))
    if isinstance(message, bytes):
        assert message == audio
    else:
        assert len(json.loads(message)["media"]["payload"]) == (len(audio) + 2) // 3 * 4


WORDS = """
event type start media mark dtmf stop digit name call rate_hz streamSid stream_id callSid call_control_id mediaFormat
media_format encoding sampleRate sample_rate channels track chunk timestamp payload parameters
"""
words = st.sampled_from(WORDS.split())
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["MZ0", "S1", "//8=", "PCMA", "L16", "audio/x-L16", "8000", 16000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5),
    max_leaves=12,
)
kinds = st.sampled_from(
    ["start", "media", "mark", "dtmf", "digit", "stop", "connected", "MEDIA_START", "error", "x", None, 7]
)


@every_dialect
@settings(max_examples=200)
@given(kinds, st.dictionaries(words, json_values, max_size=8), st.booleans())
def test_messages_of_any_shape_never_raise_and_open_no_second_stream(name, kind, fields, after_start):
    example = EXAMPLES[name]
    dialect = example.started() if after_start else example.codec()
    events = dialect.receive(json.dumps(fields | {"event": kind, "type": kind}))
    assert len(events) <= 1 or not after_start
    assert not (after_start and any(isinstance(event, CallStarted) for event in events))


@every_dialect
@given(st.text())
def test_noise_is_refused_or_passed_over(name, noise):
    events = EXAMPLES[name].started().receive(noise)
    assert [type(event) for event in events] == [Refused]


@every_dialect
@given(st.lists(st.binary(max_size=2000), max_size=5))
def test_binary_noise_never_raises(name, noises):
    dialect = EXAMPLES[name].started()
    assert all(isinstance(event, Refused) or event for event in all_events(dialect, noises))
