"""Time stands still while somebody types, passes while the agent works, and can be put forward."""

from __future__ import annotations

from voiceagent.devices.typing_clock import TypingClock
from voiceagent.testing.manual_clock import ManualClock


def test_it_stands_still_until_it_is_let_run_and_goes_on_where_it_stood():
    real = ManualClock()
    clock = TypingClock(real)
    began_ms = clock.now_ms()
    real.advance(60_000)
    assert clock.now_ms() == began_ms
    clock.run()
    real.advance(250)
    clock.stop()
    real.advance(60_000)
    assert clock.now_ms() == began_ms + 250


def test_nobody_is_called_back_while_it_stands_still():
    real = ManualClock()
    clock = TypingClock(real)
    rung: list[str] = []
    clock.call_at(clock.now_ms() + 1_000, lambda: rung.append("reprompt"))
    real.advance(60_000)
    assert rung == []
    clock.run()
    real.advance(999)
    assert rung == []
    real.advance(1)
    assert rung == ["reprompt"]


def test_putting_it_forward_calls_back_in_order_whoever_wanted_to_be_by_then():
    clock = TypingClock(ManualClock())
    now_ms = clock.now_ms()
    rung: list[int] = []
    for ms in (300, 100, 200, 900):
        clock.call_at(now_ms + ms, lambda ms=ms: rung.append(ms))
    assert clock.next_ms == now_ms + 100
    clock.skip_to(now_ms + 500)
    assert (rung, clock.now_ms(), clock.next_ms) == ([100, 200, 300], now_ms + 500, now_ms + 900)
    clock.skip_to(now_ms)
    assert clock.now_ms() == now_ms + 500  # it never goes back


def test_what_was_called_off_does_not_ring_whether_it_stood_or_ran():
    real = ManualClock()
    clock = TypingClock(real)
    rung: list[str] = []
    first = clock.call_at(clock.now_ms() + 100, lambda: rung.append("first"))
    clock.call_at(clock.now_ms() + 200, lambda: rung.append("second"))
    clock.run()
    first()
    first()
    real.advance(500)
    first()
    assert rung == ["second"]
    assert clock.next_ms is None


def test_the_wall_clock_never_stands_still():
    real = ManualClock()
    clock = TypingClock(real)
    before_ms = clock.unix_ms()
    real.advance(86_400_000)
    assert clock.unix_ms() == before_ms + 86_400_000
