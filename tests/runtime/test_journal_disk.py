"""The journals' thread, on a virtual clock: it keeps a rhythm of its own, and makes only those wait who need not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from voiceagent.core.events import TimePassed
from voiceagent.core.ids import CallId
from voiceagent.runtime import journal_disk
from voiceagent.runtime.journal_disk import Disk, Handled, Opened, RecordFile, Synced

IN_TIME_MS = 100
"""What a process that is killed may lose."""
_LINE = Handled(1, TimePassed())


class Thread:
    """The thread, run in the test's own: whatever happens, happens while it waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.woken = 0
        self.at_every_wait: Callable[[], object] = lambda: None
        self.at_every_look_at_the_clock: Callable[[], object] = lambda: None
        self._now_ms = 0.0
        self._happens: list[tuple[float, Callable[[], object]]] = []
        self._told_to_wake = False
        self._run: Callable[[], None] = lambda: None
        monkeypatch.setattr(journal_disk, "threading", SimpleNamespace(Thread=self._made, Event=lambda: self))
        monkeypatch.setattr(journal_disk, "time", self)
        self.disk = Disk()

    def _made(self, *, target: Callable[[], None], **_: object) -> Thread:
        self._run = target
        return self

    def start(self) -> None:
        """It is run by `until`."""

    def at(self, at_ms: float, happens: Callable[[], object]) -> None:
        self._happens.append((at_ms, happens))

    def until(self, ends_ms: float) -> None:
        """Let all of it happen."""
        self.at(ends_ms, lambda: self.disk.end(lambda: None))
        self._happens.sort(key=lambda entry: entry[0])
        self._run()

    @property
    def now_ms(self) -> float:
        return round(self._now_ms, 6)

    def monotonic(self) -> float:
        self.at_every_look_at_the_clock()
        return self._now_ms / 1_000

    def set(self) -> None:
        self._told_to_wake = True

    def clear(self) -> None:
        self._told_to_wake = False

    def wait(self, timeout: float = math.inf) -> bool:
        self.at_every_wait()
        ends_ms = self._now_ms + timeout * 1_000
        while not self._told_to_wake and self._happens and self._happens[0][0] <= ends_ms:
            at_ms, happens = self._happens.pop(0)
            self._now_ms = max(self._now_ms, at_ms)
            happens()
        if not self._told_to_wake:
            assert ends_ms < math.inf, "something was put, and nobody has woken the thread"
            # Nobody is woken to the instant.
            self._now_ms = ends_ms + 0.01
        self.woken += timeout > 0.0
        return self._told_to_wake


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Thread:
    return Thread(monkeypatch)


def _never(reason: str) -> None:
    pytest.fail(f"the journal broke: {reason}")


@pytest.fixture
def files(tmp_path: Path, thread: Thread) -> Iterator[list[RecordFile]]:
    """Files of many calls, open from the first instant on."""
    files = [RecordFile(tmp_path, CallId(f"call-{number}"), _never) for number in range(300)]
    for file in files:
        thread.at(0, lambda file=file: thread.disk.put(file, Opened(lambda: None)))
    yield files
    assert all(file.output is None for file in files), "all are closed at the end"


def _lines(file: RecordFile) -> int:
    return file.path.read_bytes().count(b"\n")


def test_a_line_that_nobody_waits_for_is_soon_in_its_file(thread: Thread, files: list[RecordFile]) -> None:
    in_time: list[bool] = []
    put_ms = [1_000.0, 1_030.0, 1_031.0, 1_099.0, 1_100.0, 1_101.0, 1_350.0, 1_950.0, 1_951.0, 60_000.0, 60_130.0]
    for number, at_ms in enumerate(put_ms, 1):
        thread.at(at_ms, lambda: thread.disk.put(files[0], _LINE))
        thread.at(at_ms + IN_TIME_MS + 1, lambda number=number: in_time.append(_lines(files[0]) >= number))
    thread.until(61_000)
    assert in_time == [True] * len(put_ms)


def test_what_somebody_waits_for_is_done_at_once_and_the_rest_when_it_is_due(
    thread: Thread, files: list[RecordFile]
) -> None:
    told: list[tuple[float, int, int]] = []
    waits, does_not, *_ = files

    def somebody_waits() -> None:
        thread.disk.put(waits, _LINE)
        thread.disk.put(
            waits, Synced(lambda: told.append((thread.now_ms, _lines(waits), _lines(does_not))), last=False)
        )

    thread.at(1_000, lambda: thread.disk.put(does_not, _LINE))
    thread.at(1_010, somebody_waits)
    thread.until(2_000)
    assert told == [(1_010.0, 1, 0)]
    assert _lines(does_not) == 1


def test_whoever_waits_all_the_time_keeps_no_other_from_being_written(thread: Thread, files: list[RecordFile]) -> None:
    waits, does_not, *_ = files
    in_time: list[int] = []
    for at_ms in range(1_000, 2_000, 10):
        thread.at(at_ms, lambda: thread.disk.put(waits, Synced(lambda: None, last=False)))
    thread.at(1_025, lambda: thread.disk.put(does_not, _LINE))
    thread.at(1_025 + IN_TIME_MS + 1, lambda: in_time.append(_lines(does_not)))
    thread.until(3_000)
    assert in_time == [1]


def test_a_hundred_calls_wake_the_thread_ten_times_a_second(thread: Thread, files: list[RecordFile]) -> None:
    for number in range(3_700):
        thread.at(1_000 + number * 2.7, lambda number=number: thread.disk.put(files[number % 100], _LINE))
    thread.until(11_000)
    assert thread.woken <= len(files) + 110, "for each that is opened, and then in its rhythm"
    assert sum(map(_lines, files)) == 3_700


def test_a_thread_that_has_nothing_to_do_sleeps(thread: Thread, files: list[RecordFile]) -> None:
    thread.until(3_600_000)
    assert thread.woken <= len(files) + 5


def test_a_line_that_comes_when_the_thread_goes_to_sleep_is_not_slept_over(
    thread: Thread, files: list[RecordFile]
) -> None:
    in_time: list[int] = []

    def comes_between() -> None:
        if thread.now_ms > IN_TIME_MS:  # all were opened, and there has been nothing since
            thread.at_every_look_at_the_clock = lambda: None
            thread.disk.put(files[0], _LINE)

    thread.at_every_look_at_the_clock = comes_between
    thread.at(4 * IN_TIME_MS, lambda: in_time.append(_lines(files[0])))
    thread.until(3_600_000)
    assert in_time == [1]


def test_the_calls_have_their_turn_while_much_is_written(thread: Thread, files: list[RecordFile]) -> None:
    done: list[int] = []
    told: list[int] = []

    def count() -> int:
        return sum(file.jobs_done for file in files)

    def put_all() -> None:
        for file in files:
            thread.disk.put(file, _LINE)

    def somebody_waits() -> None:
        thread.disk.put(files[-1], Synced(lambda: told.append(count()), last=False))

    thread.at_every_wait = lambda: done.append(count())
    thread.at(1_000, put_all)
    thread.at(1_000 + IN_TIME_MS + 0.5, somebody_waits)
    thread.until(2_000)
    goes = [later - before for before, later in itertools.pairwise(done) if before >= len(files)]
    assert sum(goes) == len(files) + 1
    assert max(goes) <= 64
    assert told
    assert told[0] < 2 * len(files), "whoever waits goes before those who do not"
