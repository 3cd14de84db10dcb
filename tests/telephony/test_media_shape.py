"""Media messages of a known shape say what the parser says, whatever is done to them; and are not parsed."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.telephony.fuzz import FUZZED
from voiceagent.telephony import telnyx, twilio
from voiceagent.telephony.codec import Media, Place, Refused
from voiceagent.telephony.media_shape import MediaShape
from voiceagent.telephony.wire_json import MAX_MESSAGE_CHARS

JSON_MEDIA = [name for name in FUZZED if not name.startswith(("browser", "asterisk", "audiosocket"))]
WORDS = {
    name: ("stream_id", "S1", "sequence_number")
    if name.startswith(("telnyx", "auto")) and name != "auto, whatever comes"
    else ("streamSid", "MZ0", "sequenceNumber")
    for name in JSON_MEDIA
}


def started(name):
    """Return a codec whose stream has begun."""
    example = FUZZED[name]
    dialect = example.codec()
    for message in example.opening:
        dialect.receive(message)
    return dialect


def parsed(dialect, message):
    """Return what a message says that is parsed for certain: no shape begins with a space, and JSON may."""
    return dialect.receive(f" {message}")


# --- messages --------------------------------------------------------------------------------------------------------

audio = st.binary(min_size=1, max_size=48).map(lambda data: base64.b64encode(data).decode())
payloads = st.one_of(
    audio,
    audio,
    st.sampled_from(
        ["", "=", "A", "AA", "AAA", "AA==", "AA=", "AAAA====", "AA==AA==", "AAAA\n", " AAAA", "é", "-_-_", 7, None]
    ),
    st.integers(63_990, 64_010).map(lambda size: "A" * size),
    st.sampled_from([6_000, 8_000, 8_001, 8_004, 32_000, 48_000, 49_152]).map(
        lambda size: base64.b64encode(bytes(size)).decode()
    ),
)
numbers = st.one_of(
    st.integers(0, 10**6).map(str),
    st.integers(0, 10**6),
    st.sampled_from(
        ["007", "9" * 15, "9" * 16, 10**15, 10**15 - 1, -1, -0.0, 1.5, 1e30, True, None, "", "٣", "1 ", [], {}]
    ),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


SPLICES = (
    *("", "\\", "\\u0041", "\\/", '"', "\x00", "\n", "\u00a0", "é", "\ud800", "\\ud800", "NaN", "-1e999", "[" * 2_000),
    *(
        "9" * 400,
        '"timestamp":"5",',
        '"payload":"AAAA",',
        '"media":{},',
        '"event":"stop",',
        "{",
        "}",
        "=",
        "A" * 66_000,
    ),
)


@st.composite
def fields_of(draw, words):
    """Return the fields of a media message as (name, value) in some order; most are as carriers send them."""
    stream, own, sequence = words
    media = [
        ("track", draw(st.sampled_from(["inbound", "inbound", "inbound", "outbound", "inbound_track", None]))),
        ("chunk", draw(numbers)),
        ("timestamp", draw(numbers)),
        ("payload", draw(payloads)),
    ]
    outer = [
        ("event", draw(st.sampled_from(["media", "media", "media", "media", "mark", "Media", None]))),
        (sequence, draw(numbers)),
        (stream, draw(st.sampled_from([own, own, own, own, "another", "", 7, own + "\n"]))),
        ("media", dict(some(draw, media, extra=draw(anything)))),
    ]
    return some(draw, outer, extra=draw(anything))


def some(draw, fields, extra):
    """Return fields in another order, without some of them, with another one; usually just as they are."""
    match draw(st.integers(0, 9)):
        case 0:
            return draw(st.permutations(fields))
        case 1:
            left_out = draw(st.integers(0, len(fields) - 1))
            return [*fields[:left_out], *fields[left_out + 1 :]]
        case 2:
            return [*fields, ("extra", extra)]
        case _:
            return fields


@st.composite
def written(draw, words):
    """Return a media message, written in one of the ways in which JSON can be."""
    fields = draw(fields_of(words))
    between, colon = draw(st.sampled_from([(",", ":"), (",", ":"), (", ", ": "), (" ,", ":"), (",\n", ":\t")]))
    ascii_only = draw(st.booleans())
    members = [
        f"{json.dumps(name)}{colon}{json.dumps(value, separators=(between, colon), ensure_ascii=ascii_only)}"
        for name, value in fields
    ]
    if draw(st.integers(0, 9)) == 0:
        members.append(draw(st.sampled_from(members)))  # the last of two counts
    message = "{" + between.join(members) + "}"
    return draw(damaged(message)) if draw(st.integers(0, 2)) == 0 else message


@st.composite
def damaged(draw, message):
    at = draw(st.integers(0, len(message)))
    to = draw(st.integers(at, min(len(message), at + 8)))
    splice = draw(st.sampled_from(SPLICES))
    where = draw(st.sampled_from(["here", "in the payload", "at the end", "cut off"]))
    if where == "in the payload" and '"payload"' in message:
        at = to = message.index('"payload"') + 12 + draw(st.integers(0, 6))
    if where == "at the end":
        return message + splice
    return message[:at] if where == "cut off" else message[:at] + splice + message[to:]


@pytest.mark.parametrize("name", JSON_MEDIA)
def test_a_message_says_what_the_parser_says(name):
    words = WORDS[name]

    @settings(max_examples=80, deadline=None)
    @given(st.lists(written(words), min_size=2, max_size=8))
    def same(messages):
        shaped, strict = started(name), started(name)
        for message in [*FUZZED[name].during[:1], *messages]:
            if len(message) != MAX_MESSAGE_CHARS:  # what it is parsed with would be too long
                assert shaped.receive(message) == parsed(strict, message)

    same()


@st.composite
def alike(draw, words):
    """Return messages of one shape, as a carrier sends them, each perhaps with one damage."""
    stream, own, sequence = words
    in_text = draw(st.booleans())
    counted = str if in_text else int
    inner = draw(st.permutations(["track", "chunk", "timestamp", "payload"]))
    outer = draw(st.permutations(["event", sequence, stream, "media"]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    messages = []
    for number in range(draw(st.integers(2, 6))):
        media = {
            "track": "inbound",
            "chunk": counted(number),
            "timestamp": counted(20 * number),
            "payload": draw(payloads),
        }
        fields = {
            "event": "media",
            sequence: counted(number + 1),
            stream: draw(st.sampled_from([own] * 8 + ["another"])),
            "media": {key: media[key] for key in inner},
        }
        message = json.dumps({key: fields[key] for key in outer}, separators=separators)
        messages.append(draw(damaged(message)) if draw(st.integers(0, 3)) == 0 else message)
    return messages


@pytest.mark.parametrize("name", JSON_MEDIA)
def test_messages_of_one_shape_say_what_the_parser_says(name):
    words = WORDS[name]

    @settings(max_examples=80, deadline=None)
    @given(alike(words))
    def same(messages):
        shaped, strict = started(name), started(name)
        for message in messages:
            if len(message) != MAX_MESSAGE_CHARS:  # what it is parsed with would be too long
                assert shaped.receive(message) == parsed(strict, message)

    same()


# --- what is not parsed ----------------------------------------------------------------------------------------------


def message_of(name, number, payload="//8=", spaces=False):
    stream, own, sequence = WORDS[name]
    media = {"track": "inbound", "chunk": str(number), "timestamp": str(20 * number), "payload": payload}
    fields = {"event": "media", sequence: str(number + 1), "media": media, stream: own}
    return json.dumps(fields, separators=(", ", ": ") if spaces else (",", ":"))


@pytest.fixture
def parsings(monkeypatch):
    """Count what goes through the parser."""
    counted = []
    for module in (twilio, telnyx):
        read = module.read_object
        monkeypatch.setattr(module, "read_object", lambda message, read=read: counted.append(message) or read(message))
    return counted


@pytest.mark.parametrize("spaces", [False, True])
@pytest.mark.parametrize(
    "name", ["twilio", "signalwire in µ-law", "cloudonix", "fonoster", "telnyx", "auto", "signalwire"]
)
def test_only_the_first_media_message_is_parsed(name, spaces, parsings):
    dialect = started(name)
    parsings.clear()
    for number in range(50):
        (event,) = dialect.receive(message_of(name, number, "AAEAAgAD", spaces=spaces))
        assert isinstance(event, Media)
        assert event.place == (Place(number) if name in ("telnyx", "auto") else None)
    assert len(parsings) == 1


def test_a_carrier_that_goes_on_otherwise_is_learnt_again(parsings):
    dialect = started("twilio")
    parsings.clear()
    dialect.receive(message_of("twilio", 0, spaces=True))
    for number in range(1, 50):
        dialect.receive(message_of("twilio", number))
    assert len(parsings) == 2


def test_a_carrier_that_never_writes_alike_is_always_parsed(parsings):
    dialect = started("twilio")
    parsings.clear()
    for number in range(50):
        (event,) = dialect.receive(message_of("twilio", number, spaces=number % 2 == 0).replace("track", f"t{number}"))
        assert isinstance(event, Media)
    assert len(parsings) == 50


def test_a_message_that_is_too_long_is_refused_whatever_its_shape():
    dialect = started("signalwire")
    dialect.receive(message_of("signalwire", 1, "AAEAAgAD"))
    longest = "A" * ((MAX_MESSAGE_CHARS - len(message_of("signalwire", 2, ""))) // 4 * 4)
    assert dialect.receive(message_of("signalwire", 2, longest)) == (Refused("payload too long"),)
    assert dialect.receive(message_of("signalwire", 2, longest + "AAAA")) == (Refused("message too long"),)


def test_a_number_that_is_too_long_to_be_one_is_none_though_it_has_the_shape():
    dialect = started("telnyx")
    dialect.receive(message_of("telnyx", 1))
    (event,) = dialect.receive(message_of("telnyx", 2).replace('"chunk":"2"', f'"chunk":"{"4" * 16}"'))
    assert event.place is None


def test_a_shape_says_nothing_of_a_message_that_nobody_may_read():
    shape, message = MediaShape(stream="streamSid", sequence="sequenceNumber"), message_of("twilio", 1, "A" * 64_000)
    shape.learn(message, json.loads(message))
    assert shape.read(message) is not None
    assert shape.read(message_of("twilio", 1, "A" * 65_600)) is None


def test_what_another_stream_says_is_refused_though_it_has_the_shape():
    dialect = started("twilio")
    dialect.receive(message_of("twilio", 1))
    assert dialect.receive(message_of("twilio", 2).replace("MZ0", "MZ1")) == (Refused("another stream"),)


def test_our_own_audio_does_not_have_the_shape_of_the_callers():
    dialect = started("twilio")
    dialect.receive(message_of("twilio", 1))
    (event,) = dialect.receive(message_of("twilio", 2).replace("inbound", "outbound"))
    assert not isinstance(event, Media)
