"""Number words as numerals: "two hundred and fifty" becomes "250", the rest stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

# Compiled, without type stubs: the cast below says what its docstring does.
from text_to_num import alpha2digit  # pyright: ignore[reportUnknownVariableType] - untyped

__all__ = ["with_numerals"]

_alpha2digit = cast("Callable[..., str]", alpha2digit)


def with_numerals(text: str) -> str:
    """Return `text` with every cardinal and ordinal written in numerals ("3rd")."""
    return _alpha2digit(text, "en", threshold=0)
