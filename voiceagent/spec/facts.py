"""Facts: what tools have established about this call, and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import PydanticSerializationError

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.declared import written_at

__all__ = ["Facts"]


class Facts(BaseModel):
    """The typed, closed list of facts of a flow; subclass it and give every field a default (None = not known yet).

    Only what tools declare in `sets` writes here, so a guard can trust what it reads. Values survive a JSON round trip:
    dates and decimals are written as text and read back as what they were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    _declared_at: ClassVar[Source] = Source("<facts>")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._declared_at = written_at()
        # Before pydantic looks at the fields: it would warn of the name, and go on.
        declared = inspect.get_annotations(cls).items()
        taken = [name for name, kind in declared if hasattr(Facts, name) and "ClassVar" not in str(kind)]
        if taken:
            message = f"a fact cannot be called {', '.join(taken)}: facts have a method of that name"
            raise PhaseError(message, source=written_at())

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        required = [name for name, field in cls.model_fields.items() if field.is_required()]
        if required:
            message = f"facts need a default, since a call starts without them: {', '.join(required)}"
            raise PhaseError(message, source=written_at())

    @classmethod
    def try_to_begin(cls) -> None:
        """Raise PhaseError if no call can begin with the defaults, or if they do not survive a JSON round trip."""
        try:
            cls().with_values({})
        except ValidationError as exc:
            first = exc.errors()[0]
            where = ".".join(map(str, first["loc"])) or cls.__name__
            raise PhaseError(
                f"no call can begin with these facts: {where}: {first['msg']}", source=cls._declared_at
            ) from exc
        except (PhaseError, PydanticSerializationError, UnicodeError) as exc:
            raise PhaseError(f"these facts cannot be kept as JSON: {exc}", source=cls._declared_at) from exc

    def with_values(self, values: Mapping[str, object]) -> Self:
        """Return these facts with some values replaced, validated; PhaseError names the fact that does not fit."""
        for name in values:
            if name not in type(self).model_fields:
                raise PhaseError(f"{name!r} is not a fact of this flow{nearest(name, type(self).model_fields)}")
        try:
            return type(self).model_validate({**self.model_dump(mode="json"), **values})
        except ValidationError as exc:
            first = exc.errors()[0]
            raise PhaseError(f"fact {'.'.join(map(str, first['loc']))}: {first['msg']}") from exc

    def known(self) -> dict[str, JsonValue]:
        """Return the facts that have a value, as JSON values, in the order of declaration."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value is not None}
