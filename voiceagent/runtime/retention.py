"""Retention: what is kept of calls, for how long, and how all that there is of one caller is deleted.

Two classes of files are kept: journals, which hold what was said, and recordings, which hold how. Of running calls, and
of those of the last day, workers that share state keep a copy of the journal there. The log is none of these:
it goes to standard error and has no caller's words or number in it. Only files that this package has written are ever
deleted, whatever else lies in their folders.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError
from voiceagent.ports import SharedJournals
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal_disk import record_stem

__all__ = [
    "DEFAULT_DAYS",
    "Chosen",
    "Kept",
    "Purged",
    "Retention",
    "days_from",
    "of_call",
    "of_caller",
    "older_than",
    "purge",
    "purge_shared",
    "purged_daily",
]

_log = logging.getLogger(__name__)

DEFAULT_DAYS = 30
_DAY_S = 86_400
_LONGEST_LINE = 1_048_576
"""Of a journal only its first two lines are read, and no more than this of each."""
_MOST_LEGS = 1_000
"""Records of one call: more are no call."""

DataClass = Literal["journal", "recording", "shared journal"]


@dataclass(frozen=True, slots=True)
class Retention:
    """Where each class of data lies and for how many days it is kept; None is for ever, and has to be said."""

    journals: Path
    recordings: Path | None = None
    journals_days: int | None = DEFAULT_DAYS
    recordings_days: int | None = DEFAULT_DAYS


@dataclass(frozen=True, slots=True)
class Kept:
    """A record of one call: a journal, or a recording with what is noted beside it."""

    what: DataClass
    files: tuple[Path, ...]
    call: str
    caller_number: str | None
    changed_s: float
    """Unix time of the last write."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What was deleted, or would have been; with why not, where it could not be."""

    what: DataClass
    call: str
    files: tuple[str, ...]
    failed: str | None = None


def days_from(text: str, *, option: str) -> int | None:
    """Return a number of days, None for "forever". Raises OperatorError for anything else."""
    if text == "forever":
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise OperatorError(f"{option} is {text!r}, but must be a number of days, or 'forever'")
    return int(text)


# --- what to delete --------------------------------------------------------------------------------------------------

Chosen = Callable[[Kept], bool]


def older_than(now_s: float, days: Callable[[DataClass], int | None]) -> Chosen:
    """Choose what has not been written to for longer than its class is kept."""

    def chosen(kept: Kept) -> bool:
        kept_days = days(kept.what)
        return kept_days is not None and now_s - kept.changed_s > kept_days * _DAY_S

    return chosen


def of_call(call: str) -> Chosen:
    """Choose everything of one call, those parts included in which the carrier had connected it again."""
    parts = {call, *(f"{call}.{number}" for number in range(2, _MOST_LEGS))}
    return lambda kept: kept.call in parts


def of_caller(number: str) -> Chosen:
    """Choose everything of the calls from one number, however it is written. Raises OperatorError for no number."""
    wanted = _digits(number)
    if not wanted:
        raise OperatorError(f"{number!r} is no telephone number")
    return lambda kept: kept.caller_number is not None and _digits(kept.caller_number) == wanted


def _digits(number: str) -> str:
    return "".join(char for char in number if char in "0123456789")


def purge(retention: Retention, chosen: Chosen | None = None, *, dry_run: bool = False) -> list[Purged]:
    """Delete what is chosen: by default, what has been kept for as long as it may be. Blocks.

    A call that is going on loses what is chosen of it as well; its age is that of its last line.
    """
    days: dict[DataClass, int | None] = {
        "journal": retention.journals_days,
        "recording": retention.recordings_days,
        "shared journal": None,  # it runs out by itself
    }
    chosen = chosen or older_than(SystemClock().unix_ms() / 1_000, lambda what: days[what])
    found = [*_journals(retention.journals), *(_recordings(retention.recordings) if retention.recordings else ())]
    # A recording whose own notes have been lost is known by the journal of its call.
    callers = {kept.call: kept.caller_number for kept in found if kept.caller_number is not None}
    whose = [kept if kept.caller_number else _called_by(kept, callers.get(kept.call)) for kept in found]
    return [_deleted(kept, dry_run=dry_run) for kept in whose if chosen(kept)]


async def purge_shared(shared: SharedJournals, chosen: Chosen, *, dry_run: bool = False) -> list[Purged]:
    """Delete what is chosen of the journals that workers share. What is old goes by itself there.

    Raises StateUnavailable.
    """
    purged: list[Purged] = []
    for call in await shared.recorded():
        recorded = await shared.read(call)
        started = recorded.lines[1] if recorded is not None and len(recorded.lines) > 1 else b""
        number = _at(_json(started), "with", "caller_number")
        if chosen(Kept("shared journal", (), call, number if isinstance(number, str) else None, 0.0)):
            if not dry_run:
                await shared.erase(call)
            purged.append(Purged("shared journal", call, ()))
    return purged


def _called_by(kept: Kept, number: str | None) -> Kept:
    return Kept(kept.what, kept.files, kept.call, number, kept.changed_s)


def _deleted(kept: Kept, *, dry_run: bool) -> Purged:
    failed = None
    for file in () if dry_run else kept.files:
        try:
            file.unlink(missing_ok=True)
        except OSError as exc:
            failed = f"{file.name}: {exc.strerror}"
    return Purged(kept.what, kept.call, tuple(str(file) for file in kept.files), failed)


# --- what there is ---------------------------------------------------------------------------------------------------


def _journals(folder: Path) -> Iterator[Kept]:
    for file in _files(folder, ".jsonl"):
        header, started = _first_lines(file)
        call = _at(header, "journal", "inherited", "call")
        if isinstance(call, str):
            number = _at(started, "with", "caller_number")
            yield _kept("journal", (file,), call, number)


def _recordings(folder: Path) -> Iterator[Kept]:
    for file in _files(folder, ".json"):
        noted, _ = _first_lines(file)
        call = _at(noted, "recording", "call")
        if isinstance(call, str) and record_stem(CallId(call)) == file.stem:
            yield _kept("recording", (file.with_suffix(".wav"), file), call, _at(noted, "recording", "caller_number"))


def _kept(what: DataClass, files: tuple[Path, ...], call: str, number: object) -> Kept:
    changed_s = 0.0
    for file in files:
        with suppress(OSError):  # a recording without its sound, or deleted by somebody else meanwhile
            changed_s = max(changed_s, file.lstat().st_mtime)
    return Kept(what, files, call, number if isinstance(number, str) else None, changed_s)


def _files(folder: Path, suffix: str) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(e.path) for e in entries if e.name.endswith(suffix) and e.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise OperatorError(f"{folder} cannot be read: {exc.strerror}") from exc


def _first_lines(file: Path) -> tuple[object, object]:
    try:
        with file.open("rb") as lines:
            return _json(lines.readline(_LONGEST_LINE)), _json(lines.readline(_LONGEST_LINE))
    except OSError:
        return None, None


def _json(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _at(value: object, *names: str) -> object:
    for name in names:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value


# --- while serving ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def purged_daily(retention: Retention) -> AsyncGenerator[None]:
    """Delete what has been kept long enough, now and once a day until the block is left."""
    daily = asyncio.create_task(_daily(retention))
    try:
        yield
    finally:
        daily.cancel()
        with suppress(asyncio.CancelledError):
            await daily


async def _daily(retention: Retention) -> None:
    while True:
        try:
            purged = await asyncio.to_thread(purge, retention)
        except OperatorError as exc:
            _log.error("nothing is purged: %s", exc)
        else:
            gone = sum(each.failed is None for each in purged)
            if purged:
                _log.info("purged %d records that had been kept long enough; %d cannot be", gone, len(purged) - gone)
        await asyncio.sleep(_DAY_S)
