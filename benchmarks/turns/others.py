"""Two other ways to find the end of a turn, on the same voice detection: a fixed silence, and a packaged model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.turns.listening import Judge, Voice
from voiceagent.audio import FRAME_MS
from voiceagent.ports import MULAW_8K, SpeechOff, SpeechOn
from voiceagent.speech.smart_turn import SmartTurn

__all__ = ["KeptSmartTurn", "after_silence", "by_model"]

_COMPLETE = 0.5
_GIVES_UP_MS = 3_000
"""The package's own values: above this it is the end; after this much silence it is, whatever the model says."""
_BEFORE_MS = 500


def after_silence(voice: Voice, silence_ms: int) -> int | None:
    """Return when so much silence has followed speech for the first time; None: never."""
    for at, change in enumerate(voice):
        off = change[1]
        if isinstance(off, SpeechOff):
            due_ms = off.at_ms + silence_ms
            if _again_ms(voice, at) > due_ms:
                return max(due_ms, (change[0] + 1) * FRAME_MS)
    return None


def by_model(voice: Voice, frames: Sequence[bytes], judge: Judge) -> int | None:
    """Return when the packaged model takes the turn for over: asked at every pause, or after a long silence."""
    began_ms: int | None = None
    for at, (number, change) in enumerate(voice):
        if isinstance(change, SpeechOn):
            began_ms = change.at_ms if began_ms is None else began_ms
            continue
        known_ms = (number + 1) * FRAME_MS
        from_frame = max(0, (began_ms or 0) - _BEFORE_MS) // FRAME_MS
        complete, took_ms = judge(b"".join(frames[from_frame : number + 1]))
        if complete > _COMPLETE:
            return known_ms + took_ms
        if _again_ms(voice, at) > change.at_ms + _GIVES_UP_MS:
            return change.at_ms + _GIVES_UP_MS
    return None


def _again_ms(voice: Voice, at: int) -> float:
    """Return when speech begins again after a change; infinity: never."""
    return min((on.at_ms for _, on in voice[at + 1 :] if isinstance(on, SpeechOn)), default=float("inf"))


class KeptSmartTurn:
    """Smart Turn v3.2 out of the wheel of `pipecat-ai`; its answers are kept on disk."""

    def __init__(self, folder: Path, kept_in: Path) -> None:
        """`folder` holds the model."""
        model = folder / "data" / "smart-turn-v3.2-cpu.onnx"
        self._model = SmartTurn(model)
        self._path = kept_in / f"{model.stem}.json"
        self._kept: dict[str, list[float]] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def judge(self, audio: bytes) -> tuple[float, int]:
        """Return how complete a turn sounds (µ-law at 8 kHz), and how long it took to say so."""
        key = hashlib.sha256(audio).hexdigest()[:24]
        if key not in self._kept:
            began_s, computed_s = perf_counter(), process_time()
            complete = self._model.judge(audio, MULAW_8K)
            took_s = min(perf_counter() - began_s, process_time() - computed_s)
            self._kept[key] = [complete, round(took_s * 1_000)]
        complete, took_ms = self._kept[key]
        return complete, int(took_ms)

    def save(self) -> None:
        """Write the answers down."""
        self._path.write_text(json.dumps(self._kept))
