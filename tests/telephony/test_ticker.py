"""One beat for all calls, and none while nobody needs it."""

from __future__ import annotations

import logging

from voiceagent.telephony.ticker import Ticker


def never():
    raise AssertionError


def test_a_member_is_called_every_frame_until_it_wants_no_more(clock):
    ticker, beats = Ticker(clock), []

    def member(now_ms):
        beats.append(now_ms - start)
        return len(beats) < 3

    start = clock.now_ms()
    ticker.join(member, failed=never)
    clock.advance(200)
    assert beats == [20, 40, 60]
    assert not ticker.running
    assert clock.timers == 0


def test_all_members_share_one_timer(clock):
    ticker, beats = Ticker(clock), []
    members = [lambda now_ms, n=n: beats.append(n) or True for n in range(50)]
    for member in members:
        ticker.join(member, failed=never)
        ticker.join(member, failed=never)
    assert clock.timers == 1
    clock.advance(20)
    assert beats == list(range(50))


def test_a_member_that_leaves_is_called_no_more(clock):
    ticker, beats = Ticker(clock), []
    ticker.join(beats.append, failed=never)
    ticker.leave(beats.append)
    clock.advance(100)
    assert beats == []


def test_one_failing_member_is_told_and_takes_nothing_from_the_others(clock, caplog):
    ticker, beats, told = Ticker(clock), [], []

    def faulty(now_ms):
        raise ValueError("broken")

    ticker.join(faulty, failed=lambda: told.append("faulty"))
    ticker.join(lambda now_ms: beats.append(now_ms) or True, failed=never)
    with caplog.at_level(logging.CRITICAL):
        clock.advance(100)
    assert told == ["faulty"]
    assert len(beats) == 5
