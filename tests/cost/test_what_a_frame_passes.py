"""What a frame of 20 ms passes on its way has no dictionary: that would be one more place in memory to wait for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from tests.cost.test_frames import steady

ONE_FOR_ALL = {"Ticker"}
"""There is one in a process, which every frame passes: it is at hand."""


def passed_by(work: Callable[[], object]) -> set[type]:
    """Return the classes of ours whose methods are called while the work is done, without those made for tests."""
    passed: set[type] = set()

    def seen(frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event == "call" and (self := frame.f_locals.get("self")) is not None:
            passed.add(type(self))

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    ours = {each for each in passed if each.__module__.startswith("voiceagent.")}
    return {each for each in ours if not each.__module__.startswith("voiceagent.testing.")}


@pytest.mark.parametrize("kind", ["silence", "speech"])
def test_nothing_that_a_frame_passes_has_a_dictionary(kind: str) -> None:
    with steady(kind) as (server, frame):
        messages = server.frames(100, frame)
        passed = passed_by(lambda: server.take(messages))
    assert {"SocketLeg", "Session", "Ears", "TwilioDialect"} <= {each.__name__ for each in passed}
    assert {each.__name__ for each in passed if each.__dictoffset__} - ONE_FOR_ALL == set()
