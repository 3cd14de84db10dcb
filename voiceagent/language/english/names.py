"""Names by their sound in English: what is spelled "Smythe" and what is spelled "Smit"."""

from __future__ import annotations

from collections.abc import Sequence

from voiceagent.language.english.common_words import is_common
from voiceagent.language.names import Names, metaphone_of

__all__ = ["with_names"]

_SAME_SOUND = str.maketrans({"0": "T", "X": "S", "Y": None})
"""Over a telephone "th" is "t", and "sh" is "s"."""


def with_names(text: str, names: Sequence[str]) -> str:
    """Return `text` with those of `names` that a few of its words sound like, and everything else as it is."""
    return _NAMES.in_text(text, names)


def _sound(word: str) -> str:
    return metaphone_of(word).translate(_SAME_SOUND)


_NAMES = Names(_sound, is_common)
