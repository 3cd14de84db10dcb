"""The caller's audio while one model session follows another: all of it is heard, and none of it twice."""

from __future__ import annotations

import pytest

from tests.runtime.desk_agent import call_to, desk
from voiceagent.audio import FRAME_MS


@pytest.mark.parametrize("standby", [True, False], ids=["standby", "cold"])
def test_a_silent_line_is_heard_to_the_millisecond_by_one_session_or_the_other(*, standby: bool) -> None:
    call, provider = call_to(desk(standby=standby), "new_session")
    with call:
        call.start().says("I have a visit")
        call.run_ms(call.now_ms % FRAME_MS)
        old, new = provider.sessions
        assert call.phase == "visits"
        assert len(old.heard) + len(new.heard) == call.now_ms * 8
