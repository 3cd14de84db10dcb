"""How well an agent knows what a caller hears, and how soon it is silent: held against the packets at the ear."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tests.peers.desk import DeskCall
from tests.peers.phone import Phone, now_ms, tone
from voiceagent.audio import FRAME_MS
from voiceagent.core.events import PlayoutReached
from voiceagent.core.ids import UtteranceId
from voiceagent.speech.samples import encoded

__all__ = ["EAR", "Clears", "Stream", "figures_of", "listen_to_clears", "listen_to_stream"]

EAR = (
    "the ear is the caller's RTP socket behind Asterisk, without a buffer: "
    "a packet is heard for 20 ms from when it comes"
)
_PITCHES = 20
_SENTENCE_MS = 2_000
_CLAUSE_MS = 320


@dataclass
class Clears:
    """What sentences came to that were taken back in their second clause."""

    off_ms: list[float] = field(default_factory=list)
    """Told position less true one: at the end of the first clause, and at the clear."""
    silent_ms: list[float] = field(default_factory=list)
    """From `clear()` being called until the ear had silence."""


def figures_of(way: str, seen: Clears) -> list[str]:
    """Return the lines that say so."""
    p50, p99 = np.percentile(np.abs(seen.off_ms), [50, 99])
    most = np.abs(seen.off_ms).max()
    still_p50, still_most = np.median(seen.silent_ms), max(seen.silent_ms)
    return [
        f"{way}: playout position off by p50 {p50:.0f}, p99 {p99:.0f}, at most {most:.0f} ms (n={len(seen.off_ms)})",
        f"{way}: silence {still_p50:.0f} ms after a clear, at most {still_most:.0f} ms (n={len(seen.silent_ms)})",
    ]


async def listen_to_clears(call: DeskCall, phone: Phone, rounds: int) -> Clears:
    """Say sentences, each in two clauses of two pitches, and take each back somewhere in the second."""
    seen = Clears()
    for number in range(rounds):
        began_ms, name = now_ms(), f"p{number}"
        first, second = (500 + 50 * ((2 * number + clause) % _PITCHES) for clause in (0, 1))
        call.say(name, first, _CLAUSE_MS, last=False)
        call.say(name, second, _SENTENCE_MS, clause=1)
        await call.until(lambda name=name: told_end(call, name))
        await asyncio.sleep(0.05 + 0.0137 * (number % 10))  # at every place within a frame
        call.leg.clear()
        cleared_ms, stopped = now_ms(), call.stopped[-1]
        true_ms = sum(phone.heard_ms(pitch, since_ms=began_ms, by_ms=cleared_ms) for pitch in (first, second))
        await asyncio.sleep(0.2)
        end_ms = phone.heard_of(first, since_ms=began_ms)[-1].at_ms + FRAME_MS
        seen.off_ms += [told_end(call, name) - end_ms, stopped.heard_ms - true_ms]
        seen.silent_ms.append(max(0.0, phone.heard_of(second, since_ms=began_ms)[-1].at_ms + FRAME_MS - cleared_ms))
    return seen


def told_end(call: DeskCall, utterance: str) -> float:
    """Return when the first clause was told to have been heard; 0 before."""
    ends = (at for at, e in reversed(call.told) if isinstance(e, PlayoutReached) and e.utterance == utterance)
    return next(ends, 0.0)


@dataclass
class Stream:
    """What a long sentence looked like."""

    written_gaps_ms: list[float]
    """Between two writes to the connection."""
    ear_gaps_ms: list[float]
    ahead_ms: list[float]
    """How much had been written and not been heard whenever a packet reached the ear."""


async def listen_to_stream(call: DeskCall, phone: Phone, length_ms: int) -> Stream:
    """Say one sentence of this length; what comes before and after all is in flow is left out."""
    audio, pitch = call.leg.audio_out, 600
    written = call.note_audio_written()
    call.leg.play(
        UtteranceId("s"), await asyncio.to_thread(lambda: encoded(tone(pitch, length_ms, audio.rate_hz), audio))
    )
    call.leg.end_clause(UtteranceId("s"), 0, last=True)
    await call.until(lambda: call.reached("s"), within_s=length_ms / 1000 + 10)
    await asyncio.sleep(0.1)
    ear_ms = [packet.at_ms for packet in phone.heard_of(pitch)]
    sent_ms, next_write, ahead = 0.0, 0, []
    for number, at_ms in enumerate(ear_ms):
        while next_write < len(written) and written[next_write][0] <= at_ms:
            sent_ms += written[next_write][1]
            next_write += 1
        if next_write < len(written):  # towards the end there is nothing left to be ahead with
            ahead.append(sent_ms - number * FRAME_MS)
    return Stream(_gaps([at for at, _ in written])[2:], _gaps(ear_ms)[2:], ahead[10:])


def _gaps(at_ms: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(at_ms)]
