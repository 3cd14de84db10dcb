"""Logs: what a server says of its calls to whoever runs it, one line per event, and nothing of what a caller said.

A line has the fields of `FIELDS` and no others. Nobody's text is taken as it is: control characters are escaped, long
values are cut, secrets of the call are replaced by their handles, long numbers by their length. Of an exception the
kind and the place are told; its own words, which often quote arguments, only at DEBUG (`log_failure`). Of what other
libraries log, the first line is kept, and of its values only the numbers.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, cast

__all__ = ["FIELDS", "LogFormat", "LoggedCall", "log_failure", "logged_call", "place_of", "set_up_logging"]

LogFormat = Literal["json", "text"]

FIELDS = ("at", "level", "logger", "event", "call", "turn", "error", "where")
"""All that a line can have, in this order."""

_LONGEST = 1_000
"""Characters of one field: enough for a sentence and the places where something broke."""
_LONGEST_VALUE = 400
"""Characters of one value in a sentence."""
_MOST_PLACES = 8
_LONG_NUMBER = re.compile(r"(?<![0-9A-Za-z])\d(?:[ .-]?\d){11,}(?![0-9A-Za-z])")
_NEVER_PRINTED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_OURS = "voiceagent"
_CHATTY = ("transitions", "websockets", "httpx", "httpcore", "uvicorn.access")
"""They say at INFO in several lines what we say in one, or write down addresses with what stands in them."""


@dataclass(slots=True)
class LoggedCall:
    """The call in whose name lines are written."""

    call: str
    scrub: Callable[[str], str]
    """Takes the call's secrets out of a text."""
    turn: int = 0


_now: ContextVar[LoggedCall | None] = ContextVar("logged_call", default=None)


@contextmanager
def logged_call(call: str, scrub: Callable[[str], str]) -> Generator[LoggedCall]:
    """Name the call in every line that is written within the block, and in tasks that are begun there."""
    logged = LoggedCall(call, scrub)
    token = _now.set(logged)
    try:
        yield logged
    finally:
        _now.reset(token)


def place_of(exc: BaseException) -> str:
    """Return where it broke, the innermost place last; nothing of what the frames hold."""
    # Without their source lines: nobody reads files for them on an event loop.
    frames = traceback.StackSummary.extract(traceback.walk_tb(exc.__traceback__), lookup_lines=False)[-_MOST_PLACES:]
    return " > ".join(f"{frame.filename}:{frame.lineno}" for frame in frames)


def log_failure(log: logging.Logger, exc: BaseException, what: str, *args: object) -> None:
    """Log that something failed: its kind and place, and its own words, without the call's secrets, at DEBUG alone."""
    where = place_of(exc)
    kind_and_place, own_words = f"{what}: %s%s", f"{what}: %s"
    log.error(kind_and_place, *args, _kind(exc), f" at {where}" if where else "", stacklevel=2)
    log.debug(own_words, *args, _OwnWords(exc), stacklevel=2)


@dataclass(frozen=True, slots=True)
class _OwnWords:
    """What an exception says, put together only where it is written."""

    exc: BaseException

    def __str__(self) -> str:
        return _scrubbed(str(self.exc))


def set_up_logging(form: LogFormat, *, level: int = logging.INFO) -> None:
    """Write all that is logged in this process to standard error, in this form and in no other."""
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(_JsonLines() if form == "json" else _TextLines())
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class _JsonLines(logging.Formatter):
    """One JSON object per event."""

    def format(self, record: logging.LogRecord) -> str:
        values = {name: value for name, value in _fields_of(record).items() if value is not None}
        # Escapes everything that is not ASCII, and so every character that could end a line or steer a terminal.
        return json.dumps(values, ensure_ascii=True).replace("\x7f", "\\u007f")


class _TextLines(logging.Formatter):
    """One line per event, for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        values = _fields_of(record)
        call = f" [{values['call']} {values['turn']}]" if values["call"] is not None else ""
        error = f" ({values['error']} at {values['where']})" if values["error"] is not None else ""
        line = f"{values['at']} {values['level']} {values['logger']}{call} {values['event']}{error}"
        return "".join(_visible(char) for char in line)


def _fields_of(record: logging.LogRecord) -> dict[str, str | int | None]:
    logged = _now.get()
    exc = record.exc_info[1] if record.exc_info else None
    whole_ms = int(record.created * 1_000)
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole_ms // 1_000)) + f".{whole_ms % 1_000:03d}Z",
        "level": record.levelname,
        "logger": _cut(record.name),
        "event": _cut(_LONG_NUMBER.sub(_how_long, _scrubbed(_said(record)))),
        "call": _cut(logged.call) if logged else None,
        "turn": logged.turn if logged else None,
        "error": _cut(_kind(exc)) if exc else None,
        "where": place_of(exc) if exc else None,
    }


def _said(record: logging.LogRecord) -> str:
    """Return our own message; of somebody else's its first line, and of the values in it only numbers."""
    shown = _as_it_is if record.name.partition(".")[0] == _OURS else _number
    try:
        message = str(record.msg) % _each(shown, record.args) if record.args else str(record.msg)
    except Exception:  # noqa: BLE001 - a value that cannot be shown must not cost the line, nor the call
        message = str(record.msg)
    return message if shown is _as_it_is else message.partition("\n")[0]


def _each(shown: Callable[[object], object], args: object) -> object:
    if isinstance(args, dict):
        return {name: shown(value) for name, value in cast("dict[str, object]", args).items()}
    return tuple(shown(value) for value in cast("tuple[object, ...]", args))


def _as_it_is(value: object) -> object:
    return value if isinstance(value, int | float) else _cut(str(value), _LONGEST_VALUE)


def _number(value: object) -> object:
    return value if isinstance(value, int | float) else "…"


def _kind(exc: BaseException) -> str:
    return type(exc).__name__ if exc.__cause__ is None else f"{type(exc).__name__} from {type(exc.__cause__).__name__}"


def _scrubbed(text: str) -> str:
    logged = _now.get()
    return logged.scrub(text) if logged else text


def _how_long(number: re.Match[str]) -> str:
    return f"⟨{sum(char.isdigit() for char in number[0])} digits⟩"


def _cut(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"


def _visible(char: str) -> str:
    """Return a character as it is, or its escape where a terminal would obey it or show nothing."""
    return char.encode("unicode_escape").decode() if unicodedata.category(char) in _NEVER_PRINTED else char
