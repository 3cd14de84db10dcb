"""Recording: the sound of a call as both sides heard it, without what is nobody's business.

The caller is recorded as they arrive, the agent as it was heard: what a barge-in cut off is not there. Nothing is
recorded of the caller in a sensitive phase, from the sample in which it is entered to the one in which it is left, nor
of anybody where a phase says `record=False` or the host application has paused. Where secret digits turn up elsewhere,
the words in which they were said and the tones with which they were pressed are silenced afterwards: the tones before
they reach the disk, the words as soon as they are understood.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from voiceagent.audio import ALAW_SILENCE, MULAW_SILENCE
from voiceagent.core import events as ev
from voiceagent.core.ids import CallId, UtteranceId
from voiceagent.core.sealing import handles_in
from voiceagent.core.state import CallState
from voiceagent.in_time import within
from voiceagent.ports import AudioFormat, Clock, IncomingCall, Leg
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.conversion import Converter
from voiceagent.runtime.journal_disk import record_stem
from voiceagent.runtime.recording_disk import Begun, Channel, Ended, Placed, RecordingFile, RecordingsDisk, Silenced

__all__ = ["PAUSE", "RESUME", "STOPPED", "Recording", "Recordings"]

_log = logging.getLogger(__name__)

PAUSE, RESUME = "pause_recording", "resume_recording"
"""Events of the host application."""
STOPPED = "recording_stopped"
"""Event by which the call is told, and its journal with it, that the rest of it is not recorded."""

_HELD_MS = 1_000
"""Caller audio that is not on the disk yet: a tone may prove to be a secret after it was heard."""
_TONE_BEFORE_MS, _TONE_AFTER_MS = 400, 100
"""Carriers tell of a key once its tone, 40 to 250 ms long, is over, or while it lasts."""
_WORDS_AROUND_MS = 300
"""A voice is noticed a little after it has begun, and is taken to be over a little before it is."""
_JITTER_MS = 150
"""How late a mark may be without there having been a pause in what was heard."""
_GAP_MS = 1_000
"""A leg that has sent nothing for so long sends no silence, and time passes. Less is made up for by the leg itself."""
_CLOSED_WITHIN_MS = 5_000
_REMEMBERED = 16
_REAL_TIME = SystemClock()


class Recordings:
    """A folder of recordings, and the thread that writes them for all calls of the process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._disk = RecordingsDisk()

    def begin(
        self, call: CallId, incoming: IncomingCall, state: CallState, clock: Clock, post: Callable[[ev.Event], None]
    ) -> Recording:
        """Begin to record a call; `post` is told, once, if it cannot be recorded to its end.

        Raises MissingExtra for a leg on which both sides have different rates, where soxr is not installed.
        """
        loop = asyncio.get_running_loop()

        def tell(reason: str) -> None:
            _log.error("the recording of call %s stops: %s; the call goes on", call, reason)
            post(ev.HostEvent(STOPPED, {"reason": reason}))

        def tell_soon(reason: str) -> None:
            with suppress(RuntimeError):  # the loop is gone, and with it everybody who could be told
                loop.call_soon_threadsafe(tell, reason)

        file = RecordingFile(self._directory / f"{record_stem(call)}.wav", incoming.leg.audio_in.rate_hz, tell_soon)
        recording = Recording(file, self._disk, state, clock, incoming.leg, tell)
        recording.begin(
            {
                "call": call,
                "agent": incoming.agent,
                "caller_number": incoming.caller_number,
                "began_unix_ms": clock.unix_ms(),
            }
        )
        return recording

    async def close(self) -> None:
        """Write what is left and end the thread; recordings are closed before."""
        await _told(self._disk.end)


@dataclass(slots=True)
class _Said:
    """An utterance of the agent's on its way to the ear."""

    audio: bytearray = field(default_factory=bytearray)
    """What has been handed to the leg and not been placed yet."""
    placed_ms: int = 0
    at: int | None = None
    """Sample at which the rest of it begins; None before any of it was heard."""


@dataclass(slots=True)
class _Voice:
    """An utterance of the caller's: samples at which their voice came on and went off."""

    began: int
    ended: int | None = None
    secret: bool = False
    """A part of it fell into a sensitive phase."""


class Recording:
    """One call's recording. Every method belongs to the event loop."""

    def __init__(
        self,
        file: RecordingFile,
        disk: RecordingsDisk,
        state: CallState,
        clock: Clock,
        leg: Leg,
        tell: Callable[[str], None],
    ) -> None:
        self._file = file
        self._disk = disk
        self._state = state
        self._clock = clock
        self._tell = tell
        self._in = leg.audio_in
        self._line = AudioFormat("pcm16", self._in.rate_hz)
        self._to_line = Converter(leg.audio_out, self._line)
        self._began_ms = clock.now_ms()
        self._deaf_until = 0
        """Sample up to which the caller is not recorded, whatever the phase."""
        self._stopped = False
        self._paused = False
        self._held = bytearray()
        self._held_from = 0
        """Sample at which the held caller audio begins; all before it is with the disk."""
        self._said: dict[UtteranceId, _Said] = {}
        self._over: deque[UtteranceId] = deque(maxlen=_REMEMBERED)
        """What the agent has said to its end, or as far as it was cut off: nothing of it comes any more."""
        self._voices: dict[UtteranceId, _Voice] = {}
        self._off: list[tuple[int, int | None]] = []
        """Where nobody is recorded, in samples."""

    def begin(self, notes: dict[str, str | int | None]) -> None:
        """Make the file."""
        self._put(Begun(notes))

    async def close(self) -> None:
        """Have everything written that was heard; what was not heard is not recorded."""
        self._flush(hold=0)
        await _told(lambda tell: self._disk.put(self._file, Ended(tell)))

    # --- what is heard -----------------------------------------------------------------------------------------------

    def heard(self, audio: bytes) -> None:
        """Take the next caller audio, or silence of the same length where it is not to be recorded."""
        if self._stopped:
            return
        sample_bytes = self._in.sample_bytes
        missing = self._clock_at - self._heard_to - len(audio) // sample_bytes
        if missing > self._samples(_GAP_MS):
            self._held += _silence(self._in, missing)
        count = len(audio) // sample_bytes
        hidden = self._state.phase.sensitive or self._nobody_recorded
        deaf = count if hidden else max(0, min(count, self._deaf_until - self._heard_to))
        self._held += _silence(self._in, deaf) + audio[deaf * sample_bytes : count * sample_bytes]
        if len(self._held) >= 2 * self._samples(_HELD_MS) * sample_bytes:
            self._flush(hold=self._samples(_HELD_MS))

    def queued(self, utterance: UtteranceId, audio: bytes) -> None:
        """Note what the agent is about to say."""
        if not self._stopped and utterance not in self._over:
            self._said.setdefault(utterance, _Said()).audio += self._to_line.feed(audio)

    def happened(self, event: ev.Event) -> None:
        """Follow the call: what has been heard of the agent, and what of the caller turned out to be a secret.

        Words that were written down before recording stopped may turn out to be one afterwards.
        """
        self._mark_off()
        if self._state.phase.sensitive:
            for voice in self._voices.values():
                voice.secret |= voice.ended is None
        match event:
            case ev.PlayoutStarted() | ev.PlayoutReached() | ev.PlayoutStopped():
                self._agent_was_heard(event)
            case ev.HostEvent(name) if name in (PAUSE, RESUME):
                self._paused = name == PAUSE
                self._mark_off()
            case _:
                self._caller_was_heard(event)

    def _agent_was_heard(self, event: ev.PlayoutStarted | ev.PlayoutReached | ev.PlayoutStopped) -> None:
        said = self._said.get(event.utterance)
        match event:
            case ev.PlayoutStarted(_, at_ms):
                if said is not None and said.at is None:
                    said.at = self._sample_of(at_ms)
            case ev.PlayoutReached(utterance, _, heard_ms, finished):
                self._place_agent(utterance, heard_ms, over=finished)
            case ev.PlayoutStopped(utterance, heard_ms):
                self._place_agent(utterance, heard_ms, over=True)

    def _caller_was_heard(self, event: ev.Event) -> None:
        match event:
            case ev.CallerStartedSpeaking(utterance, at_ms):
                self._voices[utterance] = _Voice(self._sample_of(at_ms), secret=self._state.phase.sensitive)
                while len(self._voices) > _REMEMBERED:
                    del self._voices[next(iter(self._voices))]
            case ev.CallerPaused(utterance, at_ms) if utterance in self._voices:
                voice = self._voices[utterance]
                voice.ended = self._sample_of(at_ms)
                if voice.secret:
                    self._silence_words(voice)
            case ev.TranscriptFinal(utterance, text) if handles_in(text) and utterance in self._voices:
                self._silence_words(self._voices[utterance])
            case ev.DigitsPressed(_, handle) if handle is not None:
                self._silence_caller(
                    self._now - self._samples(_TONE_BEFORE_MS), self._now + self._samples(_TONE_AFTER_MS)
                )
            case _:
                pass

    # --- time --------------------------------------------------------------------------------------------------------

    @property
    def _heard_to(self) -> int:
        return self._held_from + len(self._held) // self._in.sample_bytes

    @property
    def _clock_at(self) -> int:
        return self._samples(self._clock.now_ms() - self._began_ms)

    @property
    def _now(self) -> int:
        """The sample that is being heard now: the caller's newest, or where the clock is if they send nothing."""
        return max(self._heard_to, self._clock_at)

    def _sample_of(self, at_ms: int) -> int:
        return max(0, self._now - self._samples(self._clock.now_ms() - at_ms))

    def _samples(self, ms: int) -> int:
        return ms * self._in.rate_hz // 1_000

    # --- what is not recorded ----------------------------------------------------------------------------------------

    @property
    def _nobody_recorded(self) -> bool:
        return self._paused or not self._state.phase.record

    def _mark_off(self) -> None:
        off = bool(self._off) and self._off[-1][1] is None
        if self._nobody_recorded and not off:
            self._off.append((self._now, None))
        elif off and not self._nobody_recorded:
            self._off[-1] = (self._off[-1][0], self._now)

    def _silence_words(self, voice: _Voice) -> None:
        around = self._samples(_WORDS_AROUND_MS)
        self._silence_caller(voice.began - around, (self._now if voice.ended is None else voice.ended) + around)

    def _silence_caller(self, begin: int, end: int) -> None:
        """Silence the caller there: what is held, what is on the disk, and what has still to come."""
        begin = max(0, begin)
        self._deaf_until = max(self._deaf_until, end)
        if begin < self._held_from:
            # Where the thread cannot be told, it finds the file unwanted when it gets to it.
            self._file.unwanted |= not self._disk.put(self._file, Silenced(begin, min(end, self._held_from) - begin))
        sample_bytes = self._in.sample_bytes
        first = max(begin, self._held_from) - self._held_from
        last = min(end, self._heard_to) - self._held_from
        if last > first:
            self._held[first * sample_bytes : last * sample_bytes] = _silence(self._in, last - first)

    # --- to the disk -------------------------------------------------------------------------------------------------

    def _flush(self, *, hold: int) -> None:
        """Hand over what is held of the caller, but for its last samples."""
        count = len(self._held) // self._in.sample_bytes - hold
        if count > 0:
            size = count * self._in.sample_bytes
            self._put(Placed("caller", self._held_from, bytes(self._held[:size]), self._in))
            del self._held[:size]
            self._held_from += count

    def _place_agent(self, utterance: UtteranceId, heard_ms: int, *, over: bool) -> None:
        """Place what has been heard of an utterance since it was last told of."""
        if over:
            self._over.append(utterance)
        said = self._said.get(utterance)
        if said is None:
            return
        count = min(self._samples(heard_ms - said.placed_ms), len(said.audio) // 2)
        if count > 0:
            latest = self._now - count
            if said.at is None or latest - said.at > self._samples(_JITTER_MS):
                said.at = max(0, latest)  # there was a pause in it
            self._place("agent", said.at, bytes(said.audio[: 2 * count]))
            del said.audio[: 2 * count]
            said.at += count
            said.placed_ms = heard_ms
        if over:
            self._said.pop(utterance, None)

    def _place(self, channel: Channel, at: int, pcm: bytes) -> None:
        """Place sound, without what falls where nobody is recorded."""
        audible = bytearray(pcm)
        for begin, end in self._off:
            first, last = max(0, begin - at), (len(pcm) // 2 if end is None else end - at)
            if last > first:
                audible[2 * first : 2 * last] = bytes(2 * (min(last, len(pcm) // 2) - first))
        self._put(Placed(channel, at, bytes(audible), self._line))

    def _put(self, job: Begun | Placed) -> None:
        if self._stopped:
            return
        if self._file.stopped is not None:
            self._stopped = True
        elif not self._disk.put(self._file, job):
            self._stopped = True
            self._file.stopped = "the disk does not keep up"
            self._tell(self._file.stopped)
        if self._stopped:
            self._held.clear()
            self._said.clear()


async def _told(ask: Callable[[Callable[[], None]], bool]) -> None:
    """Ask the thread for something and wait, in bounded time, until it tells that it is done."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def tell() -> None:
        with suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(done.set)

    if ask(tell):
        with suppress(TimeoutError):
            async with within(_CLOSED_WITHIN_MS, _REAL_TIME):
                await done.wait()


def _silence(form: AudioFormat, samples: int) -> bytes:
    codes = {"mulaw": MULAW_SILENCE, "alaw": ALAW_SILENCE, "pcm16": 0}
    return bytes([codes[form.encoding]]) * (max(0, samples) * form.sample_bytes)
