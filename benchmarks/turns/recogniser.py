"""The local recogniser, asked once per piece of audio: what it understood and how long that took is kept on disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time
from typing import cast

from voiceagent.ports import MULAW_8K
from voiceagent.speech.moonshine import MoonshineRecognizer

__all__ = ["Heard", "KeptRecogniser"]

_SAVED_EVERY = 100


@dataclass(frozen=True, slots=True)
class Heard:
    """The words in a piece of audio, and how long the recogniser took over them."""

    text: str
    took_ms: int


class KeptRecogniser:
    """Moonshine, in a thread with a loop of its own, so that a virtual clock can wait for it."""

    def __init__(self, folder: Path) -> None:
        """Remember in `folder`; the model is loaded when something is asked that is not known yet."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"words-{version('moonshine-voice')}.json"
        kept = cast("dict[str, tuple[str, int]]", json.loads(self._path.read_text())) if self._path.exists() else {}
        self._kept = {key: Heard(text, took_ms) for key, (text, took_ms) in kept.items()}
        self._thread = ThreadPoolExecutor(1)
        self._loop = self._thread.submit(asyncio.new_event_loop).result()
        self._engine: MoonshineRecognizer | None = None
        self.asked = 0
        """How often the model itself had to be asked."""

    def hear(self, audio: bytes) -> Heard:
        """Return the words of one utterance (µ-law at 8 kHz)."""
        key = hashlib.sha256(audio).hexdigest()[:24]
        if key not in self._kept:
            self._kept[key] = self._thread.submit(self._decode, audio).result()
            self.asked += 1
            if self.asked % _SAVED_EVERY == 0:
                self._save()
        return self._kept[key]

    def _decode(self, audio: bytes) -> Heard:
        if self._engine is None:
            self._engine = MoonshineRecognizer(deadline_ms=60_000)
            self._engine.warm_up()
        handle = self._engine.open(MULAW_8K, locale="en")
        began_s, computed_s = perf_counter(), process_time()
        text = self._loop.run_until_complete(handle.transcribe(audio)).text
        # On a busy machine the clock on the wall counts what others compute.
        took_s = min(perf_counter() - began_s, process_time() - computed_s)
        return Heard(text, round(took_s * 1_000))

    def _save(self) -> None:
        self._path.write_text(json.dumps({key: [heard.text, heard.took_ms] for key, heard in self._kept.items()}))

    def close(self) -> None:
        """Write down what is known, release the model."""
        if self.asked:
            self._save()
        if self._engine is not None:
            self._engine.close()
        self._thread.submit(self._loop.close).result()
        self._thread.shutdown()
