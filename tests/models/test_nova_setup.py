"""Nova Sonic without a socket: how a session begins and ends, what it is told before it hears, and what it hears."""

from __future__ import annotations

import base64
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.nova_codec import FRAME, PCM_8K, PCM_16K, TEXT, TOOL, Session, kinds, result, said, setup
from voiceagent.models.nova import NOVA_CAPABILITIES
from voiceagent.models.nova.protocol import YOUR_TURN

# --- the provider's row ----------------------------------------------------------------------------------------------


def test_the_row_says_what_the_facts_say() -> None:
    row = NOVA_CAPABILITIES
    assert (row.name, row.swap, row.transcribes) == ("nova", "new_session", True)
    assert (row.session_limit_ms, row.idle_limit_ms) == (480_000, 175_000)
    assert [audio.rate_hz for audio in row.audio_in] == [16_000, 8_000]
    assert [audio.rate_hz for audio in row.audio_out] == [8_000, 16_000, 24_000]
    assert {audio.encoding for audio in (*row.audio_in, *row.audio_out)} == {"pcm16"}


# --- the beginning and the end ---------------------------------------------------------------------------------------


def test_a_session_begins_with_limits_formats_tools_and_prompt() -> None:
    (session, prompt, start, text, end) = Session().sent()
    assert session[1]["inferenceConfiguration"]["maxTokens"] > 0
    assert prompt[1]["audioOutputConfiguration"] == {
        "mediaType": "audio/lpcm",
        "sampleRateHertz": 8_000,
        "sampleSizeBits": 16,
        "channelCount": 1,
        "voiceId": "matthew",
        "encoding": "base64",
        "audioType": "SPEECH",
    }
    (spec,) = prompt[1]["toolConfiguration"]["tools"]
    assert spec["toolSpec"]["name"] == "get_balance"
    assert json.loads(spec["toolSpec"]["inputSchema"]["json"]) == dict(TOOL.parameters)
    assert (start[1]["type"], start[1]["role"], start[1]["interactive"]) == ("TEXT", "SYSTEM", False)
    assert text[1]["content"] == "You are a bank."
    assert end[0] == "contentEnd"
    assert len({body.get("contentName") for _, body in (start, text, end)}) == 1
    assert len({body["promptName"] for _, body in (prompt, start, text, end)}) == 1


def test_a_session_without_tools_declares_none() -> None:
    assert "toolConfiguration" not in Session(setup(tools=())).sent()[1][1]


def test_a_setup_gives_voice_rates_and_late_facts() -> None:
    session = Session(setup(voice="tiffany", audio_in=PCM_8K, audio_out=PCM_16K, late_facts="Maria calls."))
    prompt = session.sent()
    assert prompt[1][1]["audioOutputConfiguration"]["voiceId"] == "tiffany"
    assert prompt[1][1]["audioOutputConfiguration"]["sampleRateHertz"] == 16_000
    assert prompt[3][1]["content"] == "You are a bank.\n\nMaria calls."
    session.codec.hear(bytes(512))
    (start, _), (_, audio) = [(body, body) for _, body in session.sent()]
    assert start["audioInputConfiguration"]["sampleRateHertz"] == 8_000
    assert len(base64.b64decode(audio["content"])) == 512


def test_a_long_prompt_goes_in_short_inputs_of_one_content() -> None:
    prompt = "Speak slowly, and say what you do. " * 300
    events = Session(setup(prompt=prompt)).sent()[2:]
    assert kinds(events)[:2] == ["contentStart TEXT", "textInput"]
    inputs = [body["content"] for name, body in events if name == "textInput"]
    assert "".join(inputs) == prompt
    assert max(len(text.encode()) for text in inputs) <= 1_024


def test_a_session_ends_with_its_audio_its_prompt_and_itself() -> None:
    session = Session()
    session.hears()
    session.codec.hear(b"\1\0" * 100)
    session.codec.end()
    events = session.sent()
    assert kinds(events) == ["audioInput", "contentEnd", "promptEnd", "sessionEnd"]
    assert base64.b64decode(events[0][1]["content"]) == b"\1\0" * 100


def test_a_standby_that_never_heard_ends_without_audio() -> None:
    session = Session()
    session.sent()
    session.codec.end()
    assert kinds(session.sent()) == ["promptEnd", "sessionEnd"]


# --- history ---------------------------------------------------------------------------------------------------------


def test_p6_history_is_told_once_before_the_audio_and_not_to_be_answered() -> None:
    session = Session()
    session.sent()
    session.codec.tell([said("note", "Maria Lopez calls.")])
    session.codec.tell([said("agent", "Hello."), said("caller", "My balance, please.")])
    assert session.sent() == []
    session.codec.hear(bytes(FRAME))
    events = session.sent()
    assert kinds(events) == [*TEXT * 3, "contentStart AUDIO", "audioInput"]
    starts = [body for name, body in events if name == "contentStart" and body["type"] == "TEXT"]
    assert [(start["role"], start["interactive"]) for start in starts] == [
        ("USER", False),
        ("ASSISTANT", False),
        ("USER", False),
    ]
    session.codec.hear(bytes(FRAME))
    assert kinds(session.sent()) == ["audioInput"]


def test_p7_the_provider_is_given_a_moment_after_every_block() -> None:
    session = Session()
    session.codec.take_frames()
    session.codec.tell([said("caller", "Hello."), said("agent", "Good morning.")])
    session.codec.hear(bytes(FRAME))
    settles = [frame.settles for frame in session.codec.take_frames()]
    assert settles == [False, False, True, False, False, True, True, False]


def test_p8_a_result_from_an_earlier_session_is_history() -> None:
    session = Session()
    session.sent()
    session.codec.tell(
        [said("tool_request", '{"a": 1}', request="old", tool="get_balance"), result("old", '{"balance": 12}')]
    )
    session.codec.hear(bytes(FRAME))
    assert session.sent_texts() == [("USER", False, '[Earlier, get_balance({"a": 1}) returned: {"balance": 12}]')]


def test_p8_a_late_result_from_an_earlier_session_is_told_in_words() -> None:
    session = Session()
    session.hears()
    session.codec.tell([result("old", '{"balance": 12}')])
    assert session.sent() == []
    session.codec.ask()
    assert session.sent_texts() == [("USER", True, '[Earlier, get_balance returned: {"balance": 12}]\n' + YOUR_TURN)]


# --- hearing ---------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=30))
def test_audio_of_any_length_is_sent_in_frames_none_lost_none_twice(lengths: list[int]) -> None:
    session = Session()
    session.sent()
    whole = bytes(number % 251 for number in range(sum(lengths)))
    at = 0
    for length in lengths:
        session.codec.hear(whole[at : at + length])
        at += length
    session.codec.end()
    frames = [base64.b64decode(body["content"]) for name, body in session.sent() if name == "audioInput"]
    assert b"".join(frames) == whole[: len(whole) // 2 * 2]
    assert all(len(frame) == FRAME for frame in frames[:-1])


def test_p9_p10_a_new_session_takes_audio_from_its_first_byte() -> None:
    session = Session()
    session.sent()
    session.codec.hear(b"\1\0" * (FRAME // 2))
    assert base64.b64decode(session.sent()[-1][1]["content"]) == b"\1\0" * (FRAME // 2)


def test_a_voice_that_nobody_has_chosen_speaks_the_phases_language() -> None:
    for language, voice in (("es-MX", "lupe"), ("en-GB", "matthew"), (None, "matthew")):
        output = Session(setup(voice=None, language=language)).sent()[1][1]["audioOutputConfiguration"]
        assert output["voiceId"] == voice
