"""Nova Sonic without a socket: whatever comes, nothing raises and replies begin before they end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.nova_codec import Session
from voiceagent.ports import ModelReplyAudio, ModelReplyBegan, ModelReplyEnded, ModelReplyText, ModelToolRequested

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["contentId", "type", "role", "stopReason", "content", "toolUseId", "toolName", "additionalModelFields", "details"]
)
VALUES = JSON | st.sampled_from(
    [
        "c1",
        "c2",
        "TEXT",
        "AUDIO",
        "TOOL",
        "USER",
        "ASSISTANT",
        "END_TURN",
        "INTERRUPTED",
        "AQA=",
        '{"generationStage":"SPECULATIVE"}',
    ]
)
NAMES = st.sampled_from(
    ["contentStart", "textOutput", "audioOutput", "toolUse", "contentEnd", "usageEvent", "completionEnd", "surprise"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.dictionaries(KEYS, VALUES, max_size=6)), max_size=30))
def test_whatever_comes_nothing_is_raised_and_replies_begin_before_they_end(
    events: list[tuple[str, dict[str, Any]]],
) -> None:
    session = Session()
    session.hears()
    for name, body in events:
        session.get(name, **body)
    begun: list[str] = []
    ended: list[str] = []
    for event in session.happened():
        if isinstance(event, ModelReplyBegan):
            assert begun == ended
            begun.append(event.reply)
        elif isinstance(event, ModelReplyEnded):
            ended.append(event.reply)
            assert ended == begun
        elif isinstance(event, ModelReplyAudio | ModelReplyText | ModelToolRequested):
            assert event.reply not in ended
            assert event.reply in begun


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[]", b'{"event": 3}', b"[" * 100_000, b'{"event": {"audioOutput": 1}}']
)
def test_a_malformed_frame_is_counted_and_nothing_else(payload: bytes) -> None:
    session = Session()
    session.codec.receive(payload)
    assert session.happened() == []
    assert sum(session.codec.ignored.values()) == 1


def test_an_unknown_event_is_counted_by_its_kind() -> None:
    session = Session()
    session.get("surprise", more=1)
    session.get("surprise", more=2)
    assert session.codec.ignored == {"event surprise": 2}
