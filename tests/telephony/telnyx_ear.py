"""What a caller at Telnyx hears: worked out of the commands that Telnyx is given, and of what happens meanwhile."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["TelnyxEar", "cadence_of"]


def cadence_of(content: str) -> tuple[set[int], list[int]]:
    """Return the pitches of a tone that is given as a file, and how long it sounds and is silent in turns, in ms."""
    with wave.open(io.BytesIO(base64.b64decode(content, validate=True))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        rate_hz, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    frame = rate_hz // 100
    loud = [bool(np.abs(samples[at : at + frame]).max() > 300) for at in range(0, len(samples), frame)]
    edges = [0, *(at for at in range(1, len(loud)) if loud[at] != loud[at - 1]), len(loud)]
    first = samples[: edges[1] * frame]
    spectrum = np.abs(np.fft.rfft(first))
    pitches = {round(float(bin_ * rate_hz / len(first))) for bin_ in np.flatnonzero(spectrum > spectrum.max() / 2)}
    return pitches, [10 * (after - before) for before, after in pairwise(edges)]


class TelnyxEar:
    """One caller's ear. `heard` has what was in it, in order: nothing, or several at once.

    Of what Telnyx' documents leave open it supposes the worst: what plays goes on beneath people who are connected, and
    what is said waits behind it.
    """

    def __init__(self, caller: str) -> None:
        self._caller = caller
        self._in_it: set[str] = set()
        self._waiting: list[str] = []
        self.heard: list[set[str]] = []

    def commanded(self, call: str, action: str, body: Mapping[str, Any]) -> bool:
        """Take a command; False where Telnyx refuses it."""
        if call != self._caller:
            return True
        match action:
            case "streaming_start":
                self._add("agent")
            case "playback_start":
                pitches, cadence_ms = cadence_of(body["playback_content"])
                assert pitches
                assert sum(cadence_ms) * body["loop"] > 60_000, "it outlasts whoever is called"
                self._plays("ringing")
            case "playback_stop":
                if "ringing" not in self._in_it:
                    return False
                self._remove("ringing")
                for waiting in self._waiting:
                    self._add(waiting)
            case "speak":
                self._plays("carrier's voice")
            case "bridge":
                self._add("somebody")
            case "transfer":
                assert body["early_media"] is False, "their network would be heard beside our tone"
            case _:
                pass
        return True

    def stream_ended(self) -> None:
        """The connection to us is over."""
        self._remove("agent")

    def picked_up(self) -> None:
        """Whom `transfer` has called has answered: Telnyx connects the two."""
        self._add("somebody")

    def left(self) -> None:
        """The caller has hung up."""
        self._in_it.clear()

    def _plays(self, what: str) -> None:
        if self._in_it & {"ringing", "carrier's voice"}:
            self._waiting.append(what)
        else:
            self._add(what)

    def _add(self, what: str) -> None:
        self._in_it.add(what)
        self._note()

    def _remove(self, what: str) -> None:
        self._in_it.discard(what)
        self._note()

    def _note(self) -> None:
        if not self.heard or self.heard[-1] != self._in_it:
            self.heard.append(set(self._in_it))
