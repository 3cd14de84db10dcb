"""Reading JSON: what stands in a call's records is kept by nobody but whoever has read it."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import TypeAdapter
from pydantic_core import CoreConfig, SchemaValidator

__all__ = ["JsonReader"]

T = TypeVar("T")


class JsonReader(Generic[T]):
    """Makes values of one type of JSON, by pydantic's rules.

    By itself pydantic keeps the short strings that it has read, some sixteen thousand of them, for as long as the
    process lives: callers' names and words long after their calls, and tokens that were to be short-lived.
    """

    def __init__(self, kind: type[T]) -> None:
        self._validator = SchemaValidator(TypeAdapter(kind).core_schema, CoreConfig(cache_strings=False))

    def read(self, written: bytes | str, *, strict: bool | None = None) -> T:
        """Return the value that is written. Raises pydantic's ValidationError; None is as strict as the type is."""
        value: T = self._validator.validate_json(written, strict=strict)
        return value
