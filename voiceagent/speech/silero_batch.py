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
        """Take the probability of voice in it; None where the network was not to hear it."""
        ...

    def failed(self, problem: Exception) -> None:
        """Nothing is known of its window."""
        ...


class SileroBatch:
    """The calls of one audio format, and what the network remembers of each."""

    def __init__(self, network: Callable[[Samples, Samples], tuple[Samples, Samples]], audio: AudioFormat) -> None:
        """`network` is `SileroVad.probabilities` at this format's rate."""
        import numpy as np

        rate_hz = NETWORK_HZ[audio.rate_hz]
        self._network = network
        self._audio = audio
        self._window = rate_hz * WINDOW_MS // 1000
        self._context = rate_hz * _CONTEXT_MS // 1000
        self._contexts: Samples = np.zeros((1, self._context), np.float32)
        self._states: Samples = np.zeros((2, 1, _STATE_UNITS), np.float32)
        self._free = [0]
        self._live = 0
        """Calls that want to be told later."""
        self._waiting: dict[Judged, None] = {}
        self._wake: asyncio.Handle | None = None

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

    def judge_soon(self, call: Judged) -> None:
        """Have this call's windows judged with those of others: in this round of the event loop, or 10 ms from now."""
        self._waiting[call] = None
        if self._wake is None:
            loop = asyncio.get_running_loop()
            # Where calls are few it comes behind whatever else is ready in this round, and takes its windows along.
            many = self._live > _FEW_CALLS
            self._wake = (
                loop.call_later(_GATHERED_S, self.judge_waiting) if many else loop.call_soon(self.judge_waiting)
            )

    def judge_waiting(self) -> None:
        """Judge all windows that wait, those of one call in their order."""
        self._stay()
        while self._waiting:
            calls, self._waiting = [call for call in self._waiting if call.waits], {}
            if calls:
                self.judge(calls)
            self._waiting = {call: None for call in calls if call.waits}

    def judge(self, calls: Sequence[Judged]) -> None:
        """Judge the oldest window of each of these. Raises nothing: a call is told of what fails for it."""
        import numpy as np

        windows = self._narrowed(self.samples(b"".join([call.next_window() for call in calls])))
        loudness = np.abs(windows).max(axis=1).tolist()
        power = (np.einsum("ij,ij->i", windows, windows) / self._window).tolist()
        asked: list[int] = []
        for number, call in enumerate(calls):
            if call.weighed(loudness[number], power[number]):
                asked.append(number)
            else:
                call.judged(None)
        if asked:
            self._ask([calls[number] for number in asked], windows[asked])
        self._contexts[[call.slot for call in calls]] = windows[:, -self._context :]

    def samples(self, audio: bytes) -> Samples:
        """Return the samples in some of a call's audio."""
        return from_bytes(audio, self._audio)

    def _stay(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def _ask(self, calls: Sequence[Judged], windows: Samples) -> None:
        """Have the network hear a window of each of these calls; one for which it fails takes no other with it."""
        import numpy as np

        slots = [call.slot for call in calls]
        try:
            voices, states = self._network(
                np.concatenate((self._contexts[slots], windows), axis=1), self._states[:, slots]
            )
        except Exception as exc:  # noqa: BLE001 - adapter boundary: the network's runtime may raise anything
            if len(calls) == 1:
                calls[0].failed(exc)
                return
            for number, call in enumerate(calls):
                self._ask([call], windows[number : number + 1])
            return
        self._states[:, slots] = states
        for call, voice in zip(calls, voices.tolist(), strict=True):
            call.judged(voice)

    def _narrowed(self, samples: Samples) -> Samples:
        """Return windows as the network wants them, one a row."""
        if self._audio.rate_hz in NETWORK_HZ.values():
            return samples.reshape(-1, self._window)
        # The shortest filter: windows are narrowed apart, and a longer one would ring at the seams. To it they are
        # channels of one sound.
        channels = samples.reshape(-1, self._audio.rate_hz * WINDOW_MS // 1000).T
        narrow = library("soxr").resample(channels, self._audio.rate_hz, self._window * 1000 // WINDOW_MS, quality="LQ")
        return cast("Samples", narrow.T)
