"""The codec of Gemini Live as its tests talk to it: frames in, what is posted and sent out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.models.gemini_live_server import SETUP_COMPLETE, WHO, Frame, calls
from voiceagent.models.gemini_live import LIVE_2, LIVE_3_1, LIVE_3_8, LIVE_3_8_THINKING, Generation
from voiceagent.models.gemini_live.protocol import LiveProtocol

GENERATIONS = [LIVE_2, LIVE_3_1, LIVE_3_8, LIVE_3_8_THINKING]
BLOCKING = [LIVE_2, LIVE_3_1, LIVE_3_8]


def named(generation: Generation) -> str:
    return generation.name


def begun(generation: Generation = LIVE_3_8, *, setup: Any = WHO) -> LiveProtocol:
    protocol = LiveProtocol(setup, generation)
    assert not protocol.ready
    protocol.receive(json.dumps(SETUP_COMPLETE))
    assert protocol.ready
    return protocol


def receive(protocol: LiveProtocol, *frames: Frame | str | bytes) -> list[Any]:
    """Return what these frames have posted."""
    for frame in frames:
        protocol.receive(json.dumps(frame) if isinstance(frame, Mapping) else frame)
    return protocol.events()


def sent(protocol: LiveProtocol) -> list[Any]:
    return [json.loads(out) if isinstance(out, str) else out for out in protocol.outgoing()]


def turns(*turns: tuple[str, str], complete: bool) -> Frame:
    content: dict[str, Any] = {"turnComplete": complete}
    if turns:
        content["turns"] = [{"role": role, "parts": [{"text": text}]} for role, text in turns]
    return {"clientContent": content}


def with_request(generation: Generation = LIVE_3_8) -> LiveProtocol:
    """A model that has asked for one tool and waits."""
    protocol = begun(generation)
    protocol.hear(b"\0\0")
    receive(protocol, calls(("c1", "verify_caller", {"pin": "1"})))
    protocol.outgoing()
    return protocol
