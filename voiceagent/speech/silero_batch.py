"""Windows of many calls, judged together: asking the network costs more than what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from voiceagent.ports import AudioFormat
from voiceagent.speech.samples import from_bytes
from voiceagent.speech.weights import library

if TYPE_CHECKING:
    from voiceagent.speech.samples import Samples

__all__ = ["NETWORK_HZ", "WINDOW_MS", "Judged", "SileroBatch"]

WINDOW_MS = 32
NETWORK_HZ = {8000: 8000, 16000: 16000, 24000: 16000, 48000: 16000}
"""What the network hears a line at: a wider one is made narrower, window by window."""

_CONTEXT_MS = 4
"""The network wants the end of the window before: 32 samples at 8 kHz, 64 at 16 kHz."""
_STATE_UNITS = 128
_FEW_CALLS = 4
"""They have one window in 10 ms, or none: nothing would be gained by waiting for the others'."""
_GATHERED_S = 0.01
"""In this time 8 windows of 25 calls become whole and 31 of 100: a third and a quarter of the price of one alone."""
_BEHIND = 3
"""Windows of one call: its audio comes in lumps, or the loop was held up and brings others' at once as well. With 10 ms
more a voice might not be told within 200 ms of its beginning."""
_FAR_BEHIND = 6
"""Windows of one call: they are nearly 200 ms already."""
_WARM_CALLS = (1, 8, 32)
"""Batches of few calls, of some and of as many as there commonly are."""


class Judged(Protocol):
    """A call as the batch sees it: its windows are taken one by one, and each is answered before the next."""

    @property
    def slot(self) -> int:
        """Where it is in the stacked arrays."""
        ...

    @property
    def waits(self) -> bool:
        """Whether a window of it is whole and not judged."""
        ...

    def next_window(self) -> bytes:
        """Take the oldest window out."""
        ...

    def weighed(self, loudness: float, power: float) -> bool:
        """Take its largest sample and its mean square, and say whether the network is to hear it."""
        ...

    def judged(self, voice: float | None) -> None:
        """Take the probability of voice in it; None where the network was not to hear it. Raises nothing."""
        ...

    def failed(self, problem: Exception) -> None:
        """Nothing is known of its window. Raises nothing."""
        ...


class SileroBatch:
    """The calls of one audio format, and what the network remembers of each."""

    def __init__(self, network: Callable[[Samples, Samples], tuple[Samples, Samples]], audio: AudioFormat) -> None:
        """`network` is `SileroVad.probabilities` at this format's rate. Raises MissingExtra."""
        import numpy as np

        rate_hz = NETWORK_HZ[audio.rate_hz]
        self._network = network
        self._audio = audio
        self._window = rate_hz * WINDOW_MS // 1000
        self._context = rate_hz * _CONTEXT_MS // 1000
        self._narrow = None if audio.rate_hz == rate_hz else library("soxr").resample
        self._contexts: Samples = np.zeros((1, self._context), np.float32)
        self._states: Samples = np.zeros((2, 1, _STATE_UNITS), np.float32)
        self._free = [0]
        self._live = 0
        """Calls that want to be told later."""
        self._waiting: dict[Judged, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        """On which those wait, and are told."""
        self._wake: asyncio.Handle | None = None
        self._gathering = False
        """It comes in some milliseconds, not at the end of this round."""

    def warm_up(self) -> None:
        """Have the network hear silence, of one call and of many: the first time takes longer. Blocks."""
        import numpy as np

        for calls in _WARM_CALLS:
            self._network(
                np.zeros((calls, self._context + self._window), np.float32),
                np.zeros((2, calls, _STATE_UNITS), np.float32),
            )

    def join(self, *, live: bool) -> int:
        """Return the slot of another call; a live one can wait for others."""
        import numpy as np

        self._live += live
        if not self._free:
            taken = len(self._contexts)
            self._contexts = np.concatenate((self._contexts, np.zeros_like(self._contexts)))
            self._states = np.concatenate((self._states, np.zeros_like(self._states)), axis=1)
            self._free = list(range(taken, 2 * taken))
        slot = self._free.pop()
        self._contexts[slot] = 0
        self.forget(slot)
        return slot

    def forget(self, slot: int) -> None:
        """Have the network hear this call as at its beginning."""
        self._states[:, slot] = 0

    def leave(self, call: Judged, *, live: bool) -> None:
        """This call is over: what waits of it is not judged."""
        self._live -= live
        self._free.append(call.slot)
        self._waiting.pop(call, None)
        if not self._waiting:
            self._stay()

    def judge_soon(self, call: Judged, *, windows: int) -> None:
        """Have this call's windows, of which so many wait, judged with those of others.

        10 ms from now; where calls are few or this one is behind, behind whatever else is ready in this round of the
        event loop, whose windows are taken along; where it is far behind, now.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Whatever was to happen on the one before may never: it can have ended with calls that nobody has closed.
            self._stay()
            self._waiting.clear()
            self._loop = loop
        self._waiting[call] = None
        if windows >= _FAR_BEHIND:
            self.judge_waiting()
            return
        gather = windows < _BEHIND and self._live > _FEW_CALLS
        if self._gathering and not gather:
            self._stay()
        if self._wake is None:
            self._gathering = gather
            self._wake = (
                loop.call_later(_GATHERED_S, self.judge_waiting) if gather else loop.call_soon(self.judge_waiting)
            )

    def judge_waiting(self) -> None:
        """Judge all windows that wait, those of one call in their order."""
        self._stay()
        while calls := [call for call in self._waiting if call.waits]:
            self._waiting.clear()
            self.judge(calls)
            self._waiting.update(dict.fromkeys(calls))
        self._waiting.clear()

    def judge(self, calls: Sequence[Judged]) -> None:
        """Judge the oldest window of each of these. Raises nothing: a call is told of what fails for it."""
        answers: Sequence[float | Exception | None]
        try:
            windows = self._narrowed(self.samples(b"".join([call.next_window() for call in calls])))
            answers = self._heard(calls, windows)
            self._contexts[[call.slot for call in calls]] = windows[:, -self._context :]
        except Exception as exc:  # noqa: BLE001 - adapter boundary: windows are gone, and their calls wait for an answer
            answers = [exc] * len(calls)
        # Only now: being told, a call may close another, whose slot is then somebody else's.
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, Exception):
                call.failed(answer)
            else:
                call.judged(answer)

    def samples(self, audio: bytes) -> Samples:
        """Return the samples in some of a call's audio."""
        return from_bytes(audio, self._audio)

    def _stay(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake, self._gathering = None, False

    def _heard(self, calls: Sequence[Judged], windows: Samples) -> Sequence[float | Exception | None]:
        """Return the probability of voice in a window of each of these calls, None where the network is not asked."""
        import numpy as np

        loudness = np.abs(windows).max(axis=1).tolist()
        power = (np.einsum("ij,ij->i", windows, windows) / self._window).tolist()
        asked = [number for number, call in enumerate(calls) if call.weighed(loudness[number], power[number])]
        answers: list[float | Exception | None] = [None] * len(calls)
        if asked:
            told = self._ask([calls[number].slot for number in asked], windows[asked])
            for number, answer in zip(asked, told, strict=True):
                answers[number] = answer
        return answers

    def _ask(self, slots: Sequence[int], windows: Samples) -> Sequence[float | Exception]:
        """Have the network hear a window in each of these slots; one for which it fails takes no other with it."""
        import numpy as np

        try:
            voices, states = self._network(
                np.concatenate((self._contexts[slots], windows), axis=1), self._states[:, slots]
            )
            answers: Sequence[float] = voices.tolist()
            self._states[:, slots] = states
        except Exception as exc:  # noqa: BLE001 - adapter boundary: the network's runtime may raise anything
            if len(slots) == 1:
                return [exc]
            return [self._ask([slot], windows[number : number + 1])[0] for number, slot in enumerate(slots)]
        return answers

    def _narrowed(self, samples: Samples) -> Samples:
        """Return windows as the network wants them, one a row."""
        if self._narrow is None:
            return samples.reshape(-1, self._window)
        # The shortest filter: windows are narrowed apart, and a longer one would ring at the seams. To it they are
        # channels of one sound.
        channels = samples.reshape(-1, self._audio.rate_hz * WINDOW_MS // 1000).T
        narrow = self._narrow(channels, self._audio.rate_hz, self._window * 1000 // WINDOW_MS, quality="LQ")
        return cast("Samples", narrow.T)
