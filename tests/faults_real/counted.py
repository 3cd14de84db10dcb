"""The program `voiceagent` as it is, which writes down how much of everything it has when it is sent SIGUSR1."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
import threading
from collections import Counter, deque
from pathlib import Path
from typing import Any

from tests.threats.served import Counted
from voiceagent.cli import agent_server as served_by
from voiceagent.cli import main
from voiceagent.ports import Engines
from voiceagent.telephony.limits import LoopLag

__all__ = ["FILE"]

FILE = "COUNTED_FILE"
"""Variable of the environment: where it is written."""
_POOL = ("asyncio_", "uvloop_")
"""Threads of the event loop's own pool: it has a bound, and keeps those that it has started."""
_late_ms: deque[int] = deque(maxlen=100_000)
_opened: Counter[str] = Counter()


class _MallInfo2(ctypes.Structure):
    """What glibc (2.33 and later) says of its allocator, of all its arenas together."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


_mallinfo2 = ctypes.CDLL(None).mallinfo2
_mallinfo2.restype = _MallInfo2


def write_down(*_: object) -> None:
    """Write one JSON object; how late the beats were is said of those since the last time."""
    beats = _beats()
    gc.unfreeze()  # what the server has set aside is looked through, and counted, too
    gc.collect()
    gc.unfreeze()
    allocator = _mallinfo2()  # before anything is counted, which takes memory itself
    counts = {
        "blocks": sys.getallocatedblocks(),
        "malloc_bytes": allocator.uordblks + allocator.hblkhd,
        "tasks": len(asyncio.all_tasks()),
        "threads": sum(not each.name.startswith(_POOL) for each in threading.enumerate()),
        "opened": dict(_opened),
        "objects": Counter(type(each).__qualname__ for each in gc.get_objects()),
        **beats,
    }
    file = Path(os.environ[FILE])
    file.with_suffix(".new").write_text(json.dumps(counts))
    file.with_suffix(".new").rename(file)


def _beats() -> dict[str, int]:
    late_ms = sorted(_late_ms)
    _late_ms.clear()
    return {
        "beats": len(late_ms),
        "late_p50_ms": late_ms[len(late_ms) // 2] if late_ms else 0,
        "late_p95_ms": late_ms[len(late_ms) * 95 // 100] if late_ms else 0,
    }


def _count_what_is_opened() -> None:
    open_engines, model_from = served_by.open_engines, served_by.model_from

    def engines(*arguments: Any, **named: Any) -> Engines:
        made = open_engines(*arguments, **named)
        kinds = (made.vad, "VAD"), (made.recognizer, "STT"), (made.synthesizer, "TTS")
        return Engines(*(Counted(engine, name, _opened) for engine, name in kinds))

    def models(*arguments: Any, **named: Any) -> Any:
        return Counted(model_from(*arguments, **named), "LLM", _opened)

    served_by.open_engines, served_by.model_from = engines, models


def _note_how_late_beats_are() -> None:
    beat = LoopLag.beat

    def noted(self: LoopLag, late_ms: int) -> None:
        _late_ms.append(late_ms)
        beat(self, late_ms)

    LoopLag.beat = noted


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, write_down)
    _count_what_is_opened()
    _note_how_late_beats_are()
    main()
