"""Vault: where a caller's secret digits are kept while everything else sees only a handle."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from pydantic import JsonValue

from voiceagent.core.sealing import Sealing, handle_text
from voiceagent.errors import ToolFailed
from voiceagent.language import DigitSpan, Language

__all__ = ["Vault"]

_HANDLE = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]*#\d+")
_SHORTEST_SCRUBBED = 3
"""One or two digits stand in every text; to take them out would say what they were."""


def _numbers_in(text: str, language: Language) -> list[DigitSpan]:
    """Return every number in a text, in order; what is left once they are taken out may read as another one."""
    numbers: list[DigitSpan] = []
    left = text
    while found := [span for span in language.digit_spans(left) if span.digits]:
        numbers += found
        for span in found:
            left = left[: span.start] + ";" * (span.end - span.start) + left[span.end :]
    return sorted(numbers, key=lambda span: span.start)


class Vault:
    """The secrets of one call, in memory only. They die with their phase, at the latest with the call."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._values)})"

    def __reduce__(self) -> str:
        raise TypeError("a vault is not copied and not written anywhere")

    # --- in ---

    def append(self, handle: str, digits: str) -> None:
        """Add digits to what a handle stands for."""
        self._values[handle] = self._values.get(handle, "") + digits

    def seal(self, text: str, language: Language, sealing: Sealing) -> str:
        """Return the words with handles in place of all digits, which are kept.

        A handle that takes several numbers stands where the last of them stood, with the count of all.
        """
        spans = sealing.secrets(text, _numbers_in(text, language), language)
        runs = sealing.plan([len(span.digits) for span in spans])
        last_run = {handle: number for number, run in enumerate(runs) for handle, _, _ in run}
        words: list[str] = []
        end = 0
        for number, (span, run) in enumerate(zip(spans, runs, strict=True)):
            words.append(text[end : span.start])
            end = span.end
            begin = 0
            for handle, taken, count in run:
                if count == taken:
                    self._values.pop(handle, None)  # begun anew: what it held before belongs to another answer
                self.append(handle, span.digits[begin : begin + taken])
                begin += taken
            words.append(" ".join(handle_text(handle, count) for handle, _, count in run if last_run[handle] == number))
        words.append(text[end:])
        return "".join(words)

    # --- out ---

    def resolve(self, text: str) -> str:
        """Return the secret of the one handle in `text`: `⟨pin#1: 4 digits⟩`, or a bare `pin#1`.

        Raises ToolFailed, in words for the model, where there is none, more than one, or it has been destroyed.
        """
        handles = tuple(dict.fromkeys(_HANDLE.findall(text)))
        if len(handles) != 1:
            raise ToolFailed("a secret is passed by its handle as it stands in the conversation, and nothing else")
        if handles[0] not in self._values:
            raise ToolFailed(f"{handles[0]} is no longer there: ask the caller for it again")
        return self._values[handles[0]]

    def mentioned_in(self, value: JsonValue) -> bool:
        """Whether a handle or a secret stands anywhere in a JSON value."""
        text = json.dumps(value, ensure_ascii=False)
        return any(handle in self._values for handle in _HANDLE.findall(text)) or self.scrub(text) != text

    def scrub(self, text: str) -> str:
        """Return the text with handles in place of the secrets that stand in it as whole numbers."""
        for handle, digits in self._values.items():
            if len(digits) >= _SHORTEST_SCRUBBED and digits in text:
                # A part of a longer number is another number: 1234 is not in 1234.50 and not in 91234.
                whole = rf"(?<!\d)(?<!\d[.,]){re.escape(digits)}(?!\d)(?![.,]\d)"
                text = re.sub(whole, handle_text(handle, len(digits)), text)
        return text

    def scrubbed(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every string, key and whole number in it scrubbed."""
        match value:
            case str():
                return self.scrub(value)
            case bool() | None | float():
                return value
            case int():
                text = str(value)
                scrubbed = self.scrub(text)
                return value if scrubbed == text else scrubbed
            case list():
                return [self.scrubbed(item) for item in value]
            case dict():
                return {self.scrub(key): self.scrubbed(item) for key, item in value.items()}

    # --- the end ---

    def forget(self, handles: Iterable[str]) -> None:
        """Destroy the values of these handles."""
        for handle in handles:
            self._values.pop(handle, None)

    def forget_all(self) -> None:
        """The call is over."""
        self._values.clear()
