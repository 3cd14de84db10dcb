"""From the tokens of a sentence to the numbers in it: the part of reading digits that is the same in every language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Protocol, TypeVar

from voiceagent.language.protocol import DigitSpan

__all__ = ["Placed", "as_corrected", "number_spans"]


class Placed(Protocol):
    """A token, and where it stands: `text[start:end]`."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


PlacedT = TypeVar("PlacedT", bound=Placed)


def number_spans(
    text: str,
    tokens: Sequence[PlacedT],
    numeric: Sequence[bool],
    *,
    run_digits: Callable[[Sequence[PlacedT]], str],
    pronouns: re.Pattern[str],
) -> Iterator[DigitSpan]:
    """Yield every run of tokens that are `numeric`, with its digits; a lone "one" that is a pronoun is no number."""
    counts_nothing = [match.span() for match in pronouns.finditer(text)]
    for is_number, places in groupby(range(len(tokens)), key=lambda at: numeric[at]):
        if not is_number:
            continue
        run = [tokens[at] for at in places]
        span = DigitSpan(run[0].start, run[-1].end, run_digits(run))
        if span.digits != "1" or not any(first <= span.start and span.end <= last for first, last in counts_nothing):
            yield span


def as_corrected(text: str, spans: Iterable[DigitSpan], is_correction: Callable[[str, str], bool]) -> list[DigitSpan]:
    """Join each number with the one that corrects it, whose digits it then has.

    `is_correction` is given the words before a number, from the one before it on, and those between it and the next.
    """
    joined: list[DigitSpan] = []
    for span in spans:
        before = joined[-1] if joined else None
        begin = joined[-2].end if len(joined) > 1 else 0
        if before is not None and is_correction(text[begin : before.start], text[before.end : span.start]):
            joined[-1] = DigitSpan(before.start, span.end, span.digits)
        else:
            joined.append(span)
    return joined
