"""The clips: what is said, by whom, with the last sound of every word known from how the clip was put together."""

from __future__ import annotations

import calendar
import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from benchmarks.turns.arithmetic import ONES, TENS, Half, half_of
from benchmarks.turns.sound import PER_MS, RATE_HZ, piece, read, silence
from voiceagent.speech.samples import resample

if TYPE_CHECKING:
    from voiceagent.speech.samples import Samples

__all__ = ["Asked", "Clip", "Maker", "clips"]

_BETWEEN_WORDS_MS = 60
_MIDDLE_PAUSE_MS = 700
_SEED = 20_251
_SENTENCES = Path(__file__).with_name("sentences.yaml")

Asked = Literal["digits", "pin", "amount", "date", "yes_no", "free"]
"""What the agent has asked for when the clip is said."""

WHOLE_SPEAKERS: dict[str, Half] = {
    "cards": "tuning",
    "forward": "tuning",
    "librivox": "report",
    "kokoro-jm_kumo": "report",
}
"""Of these everything is in one half; the others have enough sentences to be split by them."""

_MONTHS = tuple(calendar.month_name)[1:]
"""As the files are numbered: mon-0 is January."""


class _Sentences(BaseModel):
    """What `sentences.yaml` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    whole: dict[str, str]
    several: dict[str, str]
    begun: tuple[tuple[str, int, str, str], ...]
    others: tuple[tuple[str, int, str, str], ...]
    made: tuple[tuple[Asked, str] | tuple[Asked, str, str], ...]


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance of a caller, as a telephone would take it in before the codec."""

    name: str
    text: str
    samples: Samples
    word_ends_ms: tuple[int, ...]
    """The last sound of each piece it is made of."""
    asked: Asked
    group: str
    """The row of the table."""
    truth: str | None
    """What a form would have to hold; None: nothing."""
    human: bool
    spliced: bool
    """Put together of recorded pieces, with a pause that is ours."""
    speaker: str

    @property
    def speech_ends_ms(self) -> int:
        """The true end of the caller's speech."""
        return self.word_ends_ms[-1]

    @property
    def half(self) -> Half:
        """Whether it may be tuned on."""
        return half_of(self.speaker, self.text, whole_speakers=WHOLE_SPEAKERS)

    @property
    def digest(self) -> str:
        """A short name for exactly this audio."""
        return hashlib.sha256(self.samples.tobytes()).hexdigest()[:16]


def clips(prompts: Path | None, sphinx: Path | None, demo: Path, made: Maker | None) -> Iterator[Clip]:
    """Yield every clip of the sources that there are."""
    listed = _Sentences.model_validate(yaml.safe_load(_SENTENCES.read_text(encoding="utf-8")))
    if prompts is not None:
        yield from _prompts(prompts, listed)
        yield from _numbers(prompts)
    if sphinx is not None:
        for file, rate_hz, speaker, text in listed.others:
            yield _whole(file, text, read(sphinx / file, rate_hz), human=True, speaker=speaker)
    yield from _shipped(demo)
    if made is not None:
        yield from _made(made, listed.made)


# --- recorded prompts ------------------------------------------------------------------------------------------------


def _prompts(folder: Path, listed: _Sentences) -> Iterator[Clip]:
    for name, text in listed.whole.items():
        yield _whole(name, text, read(folder / f"{name}.wav"), human=True, speaker="allison")
    for name, text in listed.several.items():
        yield _whole(name, text, read(folder / f"{name}.wav"), human=True, speaker="allison", group="two sentences")
    for begin, pause_ms, rest, text in listed.begun:
        # A pause of ours follows a beginning; the rest is said as the pieces of one breath.
        pieces: list[Samples | int] = [piece(read(folder / f"{begin}.wav")), pause_ms]
        for name in rest.split():
            pieces += [piece(read(folder / f"{name}.wav")), _BETWEEN_WORDS_MS]
        group = "free speech, pause"
        yield _joined(f"{begin}+{pause_ms}", text, pieces, asked="free", group=group, human=True, speaker="allison")


def _numbers(folder: Path) -> Iterator[Clip]:
    """Yield numbers, dates and amounts, word by word of one recorded voice."""
    draw = random.Random(_SEED)  # noqa: S311 - the same numbers every time, not secret ones

    def said(*words: str | int) -> list[Samples | int]:
        pieces: list[Samples | int] = []
        for word in words:
            if isinstance(word, int):
                pieces[-1:] = [word]
            else:
                pieces += [piece(read(folder / f"{word}.wav")), _BETWEEN_WORDS_MS]
        return pieces

    def clip(name: str, text: str, pieces: list[Samples | int], asked: Asked, group: str, truth: str | None) -> Clip:
        return _joined(name, text, pieces, asked=asked, group=group, human=True, speaker="allison", truth=truth)

    for number in range(40):
        digits = "".join(draw.choices("0123456789", k=8))
        words = [f"digits/{digit}" for digit in digits]
        text = " ".join(_DIGITS[int(digit)] for digit in digits)
        if number % 2:
            yield clip(f"digits-{digits}", text, said(*words), "digits", "eight digits", digits)
        else:
            middle = said(*words[:4], _MIDDLE_PAUSE_MS, *words[4:])
            yield clip(f"digits-{digits}-paused", text, middle, "digits", "eight digits, 700 ms pause", digits)
    for _ in range(12):
        digits = "".join(draw.choices("0123456789", k=4))
        text = " ".join(_DIGITS[int(digit)] for digit in digits)
        yield clip(f"pin-{digits}", text, said(*(f"digits/{d}" for d in digits)), "pin", "four digits", digits)
    for _ in range(20):
        hundreds, tens, ones = draw.randint(0, 9), draw.choice((20, 30, 40, 50, 60, 70, 80, 90)), draw.randint(1, 9)
        words = [*([f"digits/{hundreds}", "digits/hundred"] if hundreds else []), f"digits/{tens}", f"digits/{ones}"]
        amount = hundreds * 100 + tens + ones
        text = f"{f'{_DIGITS[hundreds]} hundred ' if hundreds else ''}{TENS[tens]} {_DIGITS[ones]} dollars"
        yield clip(f"amount-{amount}", text, said(*words, "digits/dollars"), "amount", "amount", str(amount))
    for _ in range(20):
        month, day, year = draw.randrange(12), draw.randint(1, 20), draw.randint(61, 99)
        tens, ones = year // 10 * 10, year % 10
        words = [f"digits/mon-{month}", f"digits/h-{day}", "digits/19", f"digits/{tens}"]
        words += [f"digits/{ones}"] if ones else []
        text = f"{_MONTHS[month]} {_ORDINALS[day]} nineteen {TENS[tens]}{f' {_DIGITS[ones]}' if ones else ''}"
        truth = f"19{year}-{month + 1:02}-{day:02}"
        yield clip(f"date-{truth}", text, said(*words), "date", "date", truth)
    for _ in range(12):
        letters = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=5))
        text = " ".join(letters.upper())
        yield clip(
            f"letters-{letters}", text, said(*(f"letters/{e}" for e in letters)), "free", "letters", letters.upper()
        )


_DIGITS = ONES[:10]
_ORDINALS = (
    *("zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
    *("eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth"),
    *("nineteenth", "twentieth"),
)


# --- synthetic speech ------------------------------------------------------------------------------------------------


class Maker:
    """Says things in the local synthesizer's voice, each once."""

    def __init__(self) -> None:
        from hibari import Hibari  # pyright: ignore[reportMissingTypeStubs] - it ships none

        self._speech = Hibari()

    def say(self, text: str) -> Samples:
        """Return these words at the telephone's rate, without silence around them."""
        return piece(resample(self._speech(text, seed=0), from_hz=24_000, to_hz=RATE_HZ))


_ASKED: dict[str, tuple[Asked, str]] = {
    "digits": ("free", "free speech"),
    "amount": ("free", "free speech"),
    "date": ("date", "date"),
}
"""Of the shipped utterances those that answer a question; the numbers in them stand in whole sentences."""


def _shipped(folder: Path) -> Iterator[Clip]:
    """Yield the callers' utterances that come with the demo."""
    for entry in yaml.safe_load((folder / "manifest.json").read_text(encoding="utf-8")):
        if entry["kind"] in ("backchannel", "interruption", "incomplete"):
            continue
        asked, group = _ASKED.get(entry["kind"], ("free", "free speech"))
        if entry["file"].startswith(("06_", "26_")):
            asked, group = "yes_no", "yes or no"
        samples = read(folder / entry["file"])
        yield _whole(
            entry["file"], entry["text"], samples, human=False, speaker=entry["voice"], asked=asked, group=group
        )


def _made(maker: Maker, listed: Sequence[tuple[Asked, str] | tuple[Asked, str, str]]) -> Iterator[Clip]:
    for asked, text, *truth in listed:
        pieces: list[Samples | int] = []
        for part in text.split("…"):
            pieces += [maker.say(part.strip()), _MIDDLE_PAUSE_MS]
        group = {"yes_no": "yes or no", "free": "free speech"}.get(asked, asked)
        group = f"{group}, pause" if "…" in text else group
        plain = " ".join(text.replace("…", " ").split())
        yield _joined(
            plain,
            plain,
            pieces,
            asked=asked,
            group=group,
            human=False,
            speaker="hibari-heart",
            truth=truth[0] if truth else None,
        )


# --- audio -----------------------------------------------------------------------------------------------------------


def _whole(
    name: str,
    text: str,
    samples: Samples,
    *,
    human: bool,
    speaker: str,
    asked: Asked = "free",
    group: str = "free speech",
) -> Clip:
    sound = piece(samples)
    ends = (len(sound) // PER_MS,)
    return Clip(name, text, sound, ends, asked, group, None, human, spliced=False, speaker=speaker)


def _joined(
    name: str,
    text: str,
    pieces: Sequence[Samples | int],
    *,
    asked: Asked,
    group: str,
    human: bool,
    speaker: str,
    truth: str | None = None,
) -> Clip:
    """Put sounds and pauses together; a pause at the end is left out."""
    import numpy as np

    joined: list[Samples] = []
    ends: list[int] = []
    lasted = 0
    for part in pieces[:-1] if isinstance(pieces[-1], int) else pieces:
        sound = silence(part) if isinstance(part, int) else part
        joined.append(sound)
        lasted += len(sound)
        if not isinstance(part, int):
            ends.append(lasted // PER_MS)
    samples = np.concatenate(joined)
    return Clip(name, text, samples, tuple(ends), asked, group, truth, human, spliced=True, speaker=speaker)
