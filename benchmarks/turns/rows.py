"""All clips listened to, and what came of it, by row of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from unittest.mock import patch

from benchmarks.turns.arithmetic import TurnEnd, Turns, word_errors
from benchmarks.turns.line import LEAD_MS, Condition, Noises, frames_of, on_the_line
from benchmarks.turns.listening import EXPECTS, Judge, Listened, Voice, listen, utterances, voice_in
from benchmarks.turns.material import Clip
from benchmarks.turns.others import KeptSmartTurn, after_silence, by_model
from benchmarks.turns.recogniser import Heard, KeptRecogniser
from voiceagent.core.endpointing import Patience, patience_after
from voiceagent.language import Language, language_for
from voiceagent.ports import VadEngine

__all__ = [
    "CATEGORIES",
    "SCALES",
    "SILENCES_MS",
    "Point",
    "Taken",
    "category",
    "curve",
    "slots",
    "takes",
    "words",
    "worst",
]

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Of every patience of the product: the points of its curve."""
SILENCES_MS = (300, 400, 500, 600, 800, 1_000, 1_200)

CATEGORIES = ("complete slot", "yes or no", "free speech", "pause inside")
_FREE = ("free speech", "two sentences", "letters")

_LANGUAGE: Language = language_for("en-US")
_ANY_DAY = date(2025, 1, 1)


def category(group: str) -> str:
    """Return what the phase expects of the clips of a group: one of CATEGORIES."""
    if group.endswith("pause"):
        return "complete slot" if group.startswith("eight") else "pause inside"
    return "yes or no" if group == "yes or no" else "free speech" if group in _FREE else "complete slot"


@dataclass(frozen=True, slots=True)
class Taken:
    """One clip in one condition, and how the product listened to it."""

    clip: Clip
    condition: Condition
    frames: tuple[bytes, ...]
    voice: Voice
    listened: Listened
    at_once: Listened
    """The same with a recogniser that takes no time: what is the product's own part of the delay."""
    recognised_ms: tuple[int, ...]
    """What the recogniser took for each utterance."""
    whole: str
    """Every word of the clip that was understood, cut off or not."""

    @property
    def end(self) -> TurnEnd:
        """When the turn was taken, against the true end."""
        return self.ended(self.listened.taken_ms)

    def ended(self, taken_ms: int | None) -> TurnEnd:
        """Return the same for another way to find the end."""
        return TurnEnd(self.clip.name, LEAD_MS + self.clip.speech_ends_ms, taken_ms)

    @property
    def slot_right(self) -> bool | None:
        """Whether a form would hold what was said; None where there is no form."""
        return None if self.clip.truth is None else _slot(self.clip, self.listened.text) == self.clip.truth

    @property
    def patience(self) -> Patience:
        """What the product made of the words that it had."""
        return patience_after(self.listened.text, expects=EXPECTS[self.clip.asked], language=_LANGUAGE)


def takes(
    clips: Sequence[Clip], condition: Condition, noises: Noises, *, vad: VadEngine, recogniser: KeptRecogniser
) -> Iterator[Taken]:
    """Yield what the product makes of every clip."""
    for clip in clips:
        frames = tuple(frames_of(on_the_line(clip, condition, noises)))
        voice = voice_in(vad, frames)
        heard = [recogniser.hear(word.audio) for word in utterances(voice, frames) if word.audio]
        yield Taken(
            clip,
            condition,
            frames,
            voice,
            listen(clip.asked, voice, frames, recogniser.hear),
            listen(clip.asked, voice, frames, recogniser.hear, took_ms=0),
            tuple(one.took_ms for one in heard),
            " ".join(one.text for one in heard),
        )


def _slot(clip: Clip, text: str) -> str | None:
    match clip.asked:
        case "digits" | "pin":
            return _LANGUAGE.digits(text)
        case "amount":
            amount = _LANGUAGE.amount(text)
            return clip.truth if amount == Decimal(clip.truth or 0) else str(amount)
        case "date":
            day = _LANGUAGE.date(text, _ANY_DAY)
            return None if day is None else day.isoformat()
        case _:
            return _LANGUAGE.letters(text)


def slots(taken: Sequence[Taken]) -> tuple[int, int]:
    """Return how many forms hold what was said, and how many there are."""
    judged = [one.slot_right for one in taken if one.slot_right is not None]
    return sum(judged), len(judged)


def words(taken: Sequence[Taken]) -> tuple[int, int]:
    """Return how many words were understood wrongly, and how many were said."""
    counted = [word_errors(one.clip.text, one.whole) for one in taken if one.clip.truth is None]
    return sum(wrong for wrong, _ in counted), sum(said for _, said in counted)


def worst(taken: Sequence[Taken], count: int = 5) -> list[tuple[Taken, str]]:
    """Return the clips on which the product did worst, and what went wrong."""
    ranked = sorted(taken, key=_badness, reverse=True)
    return [(one, _wrong(one)) for one in ranked[:count]]


def _badness(one: Taken) -> tuple[int, int]:
    end = one.end
    if end.taken_ms is None:
        return 2, 0
    return (1, end.speech_ends_ms - end.taken_ms) if end.cut_off else (0, end.delay_ms or 0)


def _wrong(one: Taken) -> str:
    end, said = one.end, one.listened.text
    if end.taken_ms is None:
        return "asked again: nothing was understood" if one.listened.asked_again else "never answered"
    if end.cut_off:
        early = end.speech_ends_ms - end.taken_ms
        return f"cut off {early} ms before the end, after {said!r}: {one.patience.reason}"
    at_once = one.at_once.taken_ms
    own = "" if at_once is None else f", {at_once - end.speech_ends_ms} ms of them without the recogniser's time"
    return f"answered {end.delay_ms} ms after the end{own}; {said!r}: {one.patience.ms} ms, {one.patience.reason}"


# --- the trade-off ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of one way to find the end of a turn."""

    way: str
    setting: str
    turns: Turns


def curve(taken: Sequence[Taken], recogniser: KeptRecogniser, model: KeptSmartTurn | None) -> Iterator[Point]:
    """Yield cut-offs against delay: the product, its patience scaled, and with the model; silence; the model alone."""
    for scale in SCALES:
        ends = [one.ended(_scaled(one, recogniser.hear, scale)) for one in taken]
        yield Point("product", f"× {scale:g}", Turns.of(ends))
    if model is not None:
        ends = [one.ended(_judged(one, recogniser.hear, model.judge)) for one in taken]
        yield Point("product with smart-turn", "× 1", Turns.of(ends))
    for silence_ms in SILENCES_MS:
        ends = [one.ended(after_silence(one.voice, silence_ms)) for one in taken]
        yield Point("fixed silence", f"{silence_ms} ms", Turns.of(ends))
    if model is not None:
        ends = [one.ended(by_model(one.voice, one.frames, model.judge)) for one in taken]
        yield Point("smart-turn v3.2", "as packaged", Turns.of(ends))


def _judged(one: Taken, hear: Callable[[bytes], Heard], judge: Judge) -> int | None:
    return listen(one.clip.asked, one.voice, one.frames, hear, judge=judge).taken_ms


def _scaled(one: Taken, hear: Callable[[bytes], Heard], scale: float) -> int | None:
    if scale == 1:
        return one.listened.taken_ms

    def scaled(*args: object, **named: object) -> Patience:
        patience = patience_after(*args, **named)  # pyright: ignore[reportArgumentType] - whatever it is given
        return replace(patience, ms=round(patience.ms * scale))

    with patch("voiceagent.core.hearing.patience_after", scaled):
        return listen(one.clip.asked, one.voice, one.frames, hear).taken_ms
