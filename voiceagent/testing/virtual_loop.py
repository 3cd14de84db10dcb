"""A virtual-time event loop: whatever waits is woken at once, at the instant it waited for, and no real time passes.

Only what is on the loop can be waited for. Real sleeps, threads, sockets and processes would make a run slow and
different every time, so they are refused and named; so is a wait for something that nothing will ever bring about.
"""

from __future__ import annotations

import asyncio
import io
import selectors
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import Context
from typing import Any, NoReturn, TypeVar

from voiceagent.errors import ScriptError
from voiceagent.testing.arrivals import Arrivals, Late

__all__ = ["NothingToWaitFor", "RealWorldTouched", "TimeStandsStill", "VirtualClock", "VirtualLoop", "run_virtual"]

_T = TypeVar("_T")
_UNIX_MS = 1_764_000_000_000
"""Wall clock at the loop's beginning, that of scripted calls too: two runs are the same."""
_MOST_TURNS = 100_000
"""At one instant; the busiest instant of a call takes a few dozen."""
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000


class RealWorldTouched(ScriptError):
    """Something on the virtual clock wanted a thread, a socket, a process or a real sleep."""


class NothingToWaitFor(ScriptError):
    """Tasks wait, and nothing is scheduled that could ever wake them."""


class TimeStandsStill(ScriptError):
    """Something is done over and over without ever waiting, so that no time can pass."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose clock jumps to the next timer whenever nothing is ready. It begins at 0.

    `schedule` lets arrivals come late: timers, and what other threads would hand over. The order of `call_soon` stays.
    What was refused is raised where it was attempted and, should that be swallowed there, out of the running loop.
    """

    def __init__(self, schedule: Arrivals | None = None) -> None:
        self._now_ns = 0
        self._end_ns: int | None = None
        self._enough: Callable[[], bool] | None = None
        self._problem: Exception | None = None
        self._schedule = schedule or Arrivals()
        self._arrivals = 0
        self._turns = 0
        """Of the loop, at the present instant."""
        self._thread = threading.get_ident()
        super().__init__(_NoFiles(self._pass))
        _listen_for_the_real_world()

    # --- time --------------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds since the loop's beginning."""
        return self._now_ns / _NS_PER_S

    @property
    def now_ms(self) -> int:
        """Whole virtual milliseconds since the loop's beginning."""
        return self._now_ns // _NS_PER_MS

    def pass_time(self, *, until_ms: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Let time pass up to this instant, what is due in it included, or until `enough`, or until `stop`.

        `enough` is asked whenever nothing is left to be done at the present instant.
        """
        self._end_ns, self._enough = max(until_ms * _NS_PER_MS, self._now_ns), enough
        try:
            self.run_forever()
        finally:
            self._end_ns = self._enough = None

    def run_forever(self) -> None:
        """Run until `stop`. Raises what was refused meanwhile, NothingToWaitFor and TimeStandsStill."""
        with _old_interpreters_minded():
            super().run_forever()
        self._raise_problem()

    def _pass(self, wait_s: float | None) -> None:
        """Nothing is ready for so long: go there at once."""
        self._raise_problem()
        wait_ns = None if wait_s is None else round(wait_s * _NS_PER_S)
        self._turns += 1
        if self._turns > _MOST_TURNS:
            self._turns = 0  # whoever ends the run over this needs a few more
            raise TimeStandsStill(
                f"at {self.now_ms} ms {_MOST_TURNS} turns of the loop took no time: {self._waiting()}"
            )
        if wait_ns == 0:
            return
        self._turns = 0
        if self._enough is not None and self._enough():
            self.stop()
        elif wait_ns is not None and (self._end_ns is None or self._now_ns + wait_ns <= self._end_ns):
            self._now_ns += wait_ns
        elif self._end_ns is not None:
            self._now_ns = self._end_ns
            self.stop()
        else:
            raise NothingToWaitFor(f"at {self.now_ms} ms nothing is scheduled: {self._waiting()}")

    def _waiting(self) -> str:
        stacks = io.StringIO()
        waiting = asyncio.all_tasks(self)
        for task in sorted(waiting, key=lambda task: task.get_name()):
            task.print_stack(file=stacks)
        return f"{len(waiting)} tasks are left\n{stacks.getvalue()}"

    @property
    def timers(self) -> list[str]:
        """What waits for its time."""
        waiting: list[asyncio.TimerHandle] = vars(self)["_scheduled"]  # asyncio has no other way to tell
        return [str(timer) for timer in waiting if not timer.cancelled()]

    # --- arrivals ----------------------------------------------------------------------------------------------------

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back at that time, or as much later as the schedule says."""
        number, self._arrivals = self._arrivals, self._arrivals + 1
        delay = self._schedule.delay(number)
        if delay is None:
            return super().call_at(when, callback, *args, context=context)
        late_us, turns = delay
        due_ms = round(when * 1_000)
        self._schedule.late.append(Late(number, due_ms, late_us, turns, _called(callback)))
        arrival = _Arrival(turns, callback, args)
        arrival.timer = super().call_at(when + late_us / 1_000_000, self._arrive, arrival, context=context)
        return arrival.timer

    def _arrive(self, arrival: _Arrival) -> None:
        if arrival.timer is not None and arrival.timer.cancelled():
            return
        if arrival.turns:
            arrival.turns -= 1
            self.call_soon(self._arrive, arrival)
        else:
            arrival.callback(*arrival.args)

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Take what comes from outside of the loop: an arrival like any other. Refused from another thread."""
        if threading.get_ident() != self._thread:
            self.refuse("another thread called back")
        return self.call_at(self.time(), callback, *args, context=context)

    # --- what is refused ---------------------------------------------------------------------------------------------

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> NoReturn:  # pyright: ignore[reportIncompatibleMethodOverride] - nothing is ever returned
        """Raise RealWorldTouched."""
        del executor, func, args
        self.refuse("something was to run in a thread")

    def refuse(self, what: str) -> NoReturn:
        """Raise RealWorldTouched with the place in the code; the loop raises it too, should it be swallowed."""
        problem = RealWorldTouched(f"{what}, which cannot be done on a virtual clock: {_whose_line()}")
        self.fail(problem)
        raise problem

    def fail(self, problem: Exception) -> None:
        """Have the loop raise this as soon as the running callback has returned; the first one counts."""
        if self._problem is None:
            self._problem = problem

    def _raise_problem(self) -> None:
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise problem


class _Arrival:
    """Something that is to happen later than it was due."""

    __slots__ = ("args", "callback", "timer", "turns")

    def __init__(self, turns: int, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.turns = turns
        self.callback = callback
        self.args = args
        self.timer: asyncio.TimerHandle | None = None


class _NoFiles(selectors.SelectSelector):
    """A selector for a loop that has nothing to watch: asked to wait, it lets virtual time pass."""

    def __init__(self, let_pass: Callable[[float | None], None]) -> None:
        super().__init__()
        self._let_pass = let_pass

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return that no file is ready, at whatever time it is then."""
        self._let_pass(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Refuse every file but the one through which the loop would be woken by threads and signals."""
        loop = _running_loop()
        if isinstance(loop, VirtualLoop):
            loop.refuse("a socket or a file was to be waited for")
        return super().register(fileobj, events, data)


class VirtualClock:
    """The `Clock` port on a virtual loop."""

    def __init__(self, loop: VirtualLoop, *, unix_ms: int = _UNIX_MS) -> None:
        self._loop = loop
        self.began_unix_ms = unix_ms
        """The wall clock at the loop's beginning."""

    def now_ms(self) -> int:
        """Virtual milliseconds since the loop's beginning."""
        return self._loop.now_ms

    def unix_ms(self) -> int:
        """Wall clock at that instant."""
        return self.began_unix_ms + self._loop.now_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once when `now_ms` has reached `at_ms`, never before; returns what cancels it."""
        return self._loop.call_at(at_ms / 1_000, callback).cancel

    async def sleep(self, ms: int) -> None:
        """Wait."""
        await asyncio.sleep(ms / 1_000)


def run_virtual(main: Coroutine[Any, Any, _T], *, schedule: Arrivals | None = None) -> _T:
    """Run a coroutine to its end in virtual time, as `asyncio.run` does in real time.

    Raises RealWorldTouched, NothingToWaitFor and TimeStandsStill.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(schedule)) as runner:
        return runner.run(main)


# --- the real world --------------------------------------------------------------------------------------------------

_REAL: Mapping[str, str] = {
    "_thread.start_joinable_thread": "a thread was to be started",
    "_thread.start_new_thread": "a thread was to be started",
    "os.fork": "a process was to be started",
    "os.posix_spawn": "a process was to be started",
    "os.system": "a process was to be started",
    "socket.__new__": "a socket was to be opened",
    "socket.getaddrinfo": "an address was looked up",
    "subprocess.Popen": "a process was to be started",
    "time.sleep": "time.sleep was called",
}
"""Audit event of the interpreter (docs.python.org/3/library/audit_events.html) → what it means."""
_UNAUDITED: Sequence[tuple[object, str, str, tuple[int, int]]] = (
    (threading.Thread, "start", "_thread.start_new_thread", (3, 12)),
    (time, "sleep", "time.sleep", (3, 13)),
)
"""What is audited only since some version of Python."""
_STDLIB = sysconfig.get_path("stdlib")
_listening: list[bool] = []


def _listen_for_the_real_world() -> None:
    """Audit hooks cannot be taken away again: there is one per process, and it minds virtual loops only."""
    if not _listening:
        _listening.append(True)
        sys.addaudithook(_on_audit)


def _on_audit(event: str, _: tuple[Any, ...]) -> None:
    if event in _REAL:
        loop = _running_loop()
        if isinstance(loop, VirtualLoop):
            loop.refuse(_REAL[event])


def _minded(real: Callable[..., object], event: str) -> Callable[..., object]:
    """Return a function that an old interpreter does not audit, with the audit in front of it."""

    def audited(*args: Any, **named: Any) -> object:
        _on_audit(event, args)
        return real(*args, **named)

    return audited


@contextmanager
def _old_interpreters_minded() -> Generator[None]:
    """Stand in for audit events that the interpreter does not have yet, for as long as the loop runs.

    They are reached by way of their modules only: `from time import sleep` is not noticed before Python 3.13.
    """
    with ExitStack() as restoring:
        for owner, name, event, since in _UNAUDITED:
            if sys.version_info < since:
                real = getattr(owner, name)
                restoring.callback(setattr, owner, name, real)
                setattr(owner, name, _minded(real, event))
        yield


def _whose_line() -> str:
    """Return the innermost line outside the standard library and this file."""
    for frame in reversed(traceback.extract_stack()):
        in_stdlib = frame.filename.startswith(_STDLIB) and "site-packages" not in frame.filename
        if not in_stdlib and frame.filename != __file__ and not frame.filename.startswith("<"):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return "by the interpreter"


def _called(callback: Callable[..., object]) -> str:
    """Name what is called back, and the coroutine on whose behalf it was scheduled."""
    name = getattr(callback, "__qualname__", None) or repr(callback)
    task = asyncio.current_task() if _running_loop() is not None else None
    return f"{name} for {getattr(task.get_coro(), '__qualname__', task.get_name())}" if task is not None else name


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
