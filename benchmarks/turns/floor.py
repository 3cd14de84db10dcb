"""Sounds over the agent's words: those that mean to interrupt, and those that do not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from benchmarks.turns.arithmetic import Half, truncation_error, words_heard
from benchmarks.turns.call import Interrupted, Spoken, interrupt
from benchmarks.turns.line import Noises
from benchmarks.turns.material import Clip, Maker
from benchmarks.turns.recogniser import KeptRecogniser
from benchmarks.turns.sound import RATE_HZ, piece, read, silence
from voiceagent.ports import MULAW_8K, VadEngine
from voiceagent.speech.samples import to_bytes

if TYPE_CHECKING:
    from voiceagent.speech.samples import Samples

__all__ = ["Outcome", "Sound", "outcomes", "sounds", "spoken_by_agent"]

_LATE_MS = 1_500
"""After the caller's last sound: an agent that speaks on for longer has not noticed them."""
_BABBLE_S = 12
_BETWEEN_WORDS_MS = 60

_AGENT_SAYS = (
    "September fifteenth, nineteen sixty seven, three hundred seventy two dollars. "
    "January eleventh, nineteen eighty, two thousand four hundred dollars. "
    "December twentieth, nineteen ninety nine, sixteen dollars."
)
_RECORDED = {
    "january": "mon-0", "september": "mon-8", "december": "mon-11", "eleventh": "h-11", "fifteenth": "h-15",
    "twentieth": "h-20", "two": "2", "three": "3", "four": "4", "seven": "7", "nine": "9", "sixteen": "16",
    "nineteen": "19", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90", "hundred": "hundred",
    "thousand": "thousand", "dollars": "dollars",
}  # fmt: skip

_BACKCHANNELS = ("Mm-hm.", "Uh-huh.", "Okay.", "Right.", "I see.", "Yeah.", "Got it.", "All right.")
_MEANT = ("Stop.", "Wait a moment.", "No, that's wrong.", "Sorry, can I ask something?", "I want to talk to a person.")


@dataclass(frozen=True, slots=True)
class Sound:
    """What the caller lets be heard while the agent speaks."""

    name: str
    kind: str
    samples: Samples
    meant: bool
    """Whether it wants the floor."""
    human: bool
    half: Half
    from_the_beginning: bool = False
    """It is there when the call begins; others set in when the agent speaks."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it."""

    sound: Sound
    interrupted: Interrupted
    heard_words: int
    history_error: int
    """Words in the history that were not heard, or below 0: heard and not there."""
    exact_error: int
    """The same if the core cut by the true ends of words, at what the leg tells."""

    @property
    def stopped(self) -> bool:
        """Whether the agent fell silent over it."""
        cleared_ms = self.interrupted.cleared_ms
        return cleared_ms is not None and cleared_ms <= self.interrupted.began_ms + self.lasted_ms + _LATE_MS

    @property
    def lasted_ms(self) -> int:
        """How long the sound is."""
        return len(self.sound.samples) * 1_000 // RATE_HZ


def spoken_by_agent(prompts: Path) -> Spoken:
    """Return what the agent says, in recorded words."""
    import numpy as np

    words = {
        word: to_bytes(
            np.concatenate([piece(read(prompts / "digits" / f"{file}.wav")), silence(_BETWEEN_WORDS_MS)]), MULAW_8K
        )
        for word, file in _RECORDED.items()
    }
    return Spoken(_AGENT_SAYS, words, _BETWEEN_WORDS_MS)


def sounds(clips: Sequence[Clip], demo: Path, noises: Noises, made: Maker | None) -> Iterator[Sound]:
    """Yield everything that is heard over the agent's words."""
    for number, clip in enumerate(c for c in clips if c.group == "free speech"):
        if number % 4 == 0:
            yield Sound(clip.name, "speech", clip.samples, meant=True, human=clip.human, half=clip.half)
    for entry in yaml.safe_load((demo / "manifest.json").read_text(encoding="utf-8")):
        if entry["kind"] in ("interruption", "backchannel"):
            meant = entry["kind"] == "interruption"
            samples = piece(read(demo / entry["file"]))
            yield Sound(
                entry["text"], "speech" if meant else "backchannel", samples, meant=meant, human=False, half="report"
            )
    for number, text in enumerate((*_BACKCHANNELS, *_MEANT) if made is not None else ()):
        assert made is not None
        meant = text in _MEANT
        half: Half = "tuning" if number % 2 else "report"
        yield Sound(text, "speech" if meant else "backchannel", made.say(text), meant=meant, human=False, half=half)
    for number in range(8):
        half = "tuning" if number % 2 else "report"
        yield Sound(f"cough {number}", "cough", _cough(number), meant=False, human=False, half=half)
    for below_db, sets_in in itertools.product((15, 25), (False, True)):
        for number, noise in enumerate(["babble"] * 4 + ["ringing"] * 2):
            if noise in noises.kinds:
                yield Sound(
                    f"{noise} {number}",
                    f"{noise} -{below_db} dB{', sets in' if sets_in else ''}",
                    noises.take(noise, _BABBLE_S * 1_000, seed=f"{noise} {number}") * 10 ** (-below_db / 20),
                    meant=False,
                    human=noise == "babble",
                    half="tuning" if number % 2 else "report",
                    from_the_beginning=not sets_in,
                )


def outcomes(
    heard: Sequence[Sound], spoken: Spoken, *, vad: VadEngine, recogniser: KeptRecogniser
) -> Iterator[Outcome]:
    """Yield what becomes of each, all in calls of their own."""
    ends_ms = spoken.word_ends_ms()
    for number, sound in enumerate(heard):
        after_ms = 0 if sound.from_the_beginning else 1_500 + number * 370 % 5_000
        audio = to_bytes(sound.samples, MULAW_8K)
        result = interrupt(audio, spoken, after_ms=after_ms, vad=vad, recogniser=recogniser)
        words = words_heard(ends_ms, result.heard_ms)
        exact = 0 if result.told_heard_ms is None else words_heard(ends_ms, result.told_heard_ms) - words
        yield Outcome(sound, result, words, truncation_error(result.kept, spoken.text, words), exact)


def _cough(number: int) -> Samples:
    """Return a cough as it is described: a burst out of nothing, a hollow middle, a second weaker burst."""
    import numpy as np

    draw = random.Random(number)  # noqa: S311 - the same coughs every time
    noise = np.random.default_rng(number)

    def burst(ms: int, peak: float) -> Samples:
        count = ms * RATE_HZ // 1_000
        envelope = np.exp(-np.arange(count) / (count / 4)) * np.minimum(1, np.arange(count) / 40)
        # The throat's resonances, at about 500 and 1,500 Hz, on noise.
        raw = noise.standard_normal(count)
        spectrum = np.fft.rfft(raw)
        hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
        shape = 1 / (1 + ((hz - draw.uniform(400, 700)) / 300) ** 2) + 0.6 / (1 + ((hz - 1_500) / 400) ** 2) + 0.05
        coloured = np.fft.irfft(spectrum * shape, count) * envelope
        return (coloured / max(1e-9, float(abs(coloured).max())) * peak).astype(np.float32)

    parts = [burst(draw.randint(120, 220), 0.6), silence(draw.randint(20, 90)), burst(draw.randint(100, 180), 0.35)]
    if number % 3 == 2:
        parts += [silence(250), burst(180, 0.5)]
    return np.concatenate(parts)
