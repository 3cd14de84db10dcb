"""Tools: typed functions that a phase lets the model ask for."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, overload

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PydanticUserError,
    StrictInt,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.attempts import Attempts
from voiceagent.spec.declared import written_at
from voiceagent.spec.egress import METHODS, READING, SERVICE, Egress
from voiceagent.spec.filler import Filler

__all__ = ["Effect", "Sealed", "Tool", "tool"]

Effect = Literal["read", "write", "irreversible"]
"""What a tool does to the world: nothing, something that can be undone, something that cannot."""

_NAME = re.compile(r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$")
_CONTEXT = "ctx"
_Function = Callable[..., object]
"""An `async def`, or a plain function, which runs in a thread."""
_AsyncFunction = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _SealedMark:
    """Marks a parameter that receives a secret."""


Sealed = Annotated[str, _SealedMark()]
"""Type of a parameter that receives a secret: the model passes the handle, only the tool sees the value."""


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A function the model may ask for, with what the framework must know before it lets it run."""

    name: str
    description: str
    run: _Function
    arguments: type[BaseModel]
    """All parameters but `ctx`, bound ones included."""
    result: TypeAdapter[object]
    """How the function's return value becomes JSON."""
    source: Source
    effect: Effect = "read"
    requires: tuple[str, ...] = ()
    """Grants that must be held when the tool runs."""
    grants: tuple[str, ...] = ()
    """Grants that its return gives, if `grants_when` says so."""
    grants_when: str | None = None
    """Field of the result that must be true for `grants` to be given; None: any return."""
    sets: Mapping[str, str] = field(default_factory=dict[str, str])
    """Fact → field of the result that it is set from (dots go deeper)."""
    binds: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameter → fact it is taken from; the model neither sees nor chooses it."""
    sealed: tuple[str, ...] = ()
    """Parameters of type `Sealed`."""
    timeout_ms: int = 10_000
    retries: int = 0
    """How often a read is tried again after a failure; writes are never repeated by themselves."""
    filler: Filler | None = None
    invalidates: tuple[str, ...] = ()
    """Names of read tools whose cached answers a success makes stale."""
    fresh_ms: int = 300_000
    """How long a prefetched answer may be served."""
    confirm: str | None = None
    """Template of the read-back of an irreversible tool, over its arguments."""
    scopes: tuple[str, ...] = ()
    """Scopes of the credential that a run of this tool is given; none: no credential."""
    egress: tuple[Egress, ...] = ()
    """Where it may send requests, if that is not what its effect says."""
    takes_context: bool = False
    in_thread: bool = False
    """It is a plain function, and would hold up all calls on the event loop."""
    attempts: Attempts | None = None
    """How often somebody may try; None where that does not matter."""
    reconcile: Tool | None = None
    """Reads what has become of a write, by the idempotency key it was made under; its result is the write's.

    It answers for all that one run of the write may do: where that is several requests, some of which may be done and
    others not, a result says that all are, and None that nobody knows.
    """

    @property
    def reach(self) -> tuple[Egress, ...]:
        """Where its requests may go: where it declares, or else to the agent's service, and a read only by reading."""
        return self.egress or (Egress(READING if self.effect == "read" else METHODS, SERVICE),)

    @property
    def parameters(self) -> dict[str, JsonValue]:
        """The JSON schema that a model sees: no `ctx`, no bound parameters, no titles. The same object every time."""
        return _parameters(self)

    def validated(self, arguments: Mapping[str, object]) -> dict[str, JsonValue]:
        """Return the arguments as canonical JSON values, defaults filled in; ValueError says what does not fit."""
        try:
            model = self.arguments.model_validate(dict(arguments))
        except ValidationError as exc:
            raise ValueError(
                "; ".join(_argument_error(self, error["loc"], error["msg"]) for error in exc.errors())
            ) from exc
        return model.model_dump(mode="json")


@lru_cache(maxsize=1_024)  # pydantic takes 0.2 ms for one, and a change of phase asks for all of them twice
def _parameters(of: Tool) -> dict[str, JsonValue]:
    schema = of.arguments.model_json_schema()
    properties = {name: _plain(part) for name, part in schema.get("properties", {}).items() if name not in of.binds}
    required = [name for name in schema.get("required", ()) if name not in of.binds]
    shape: dict[str, JsonValue] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if required:
        shape["required"] = required
    if "$defs" in schema:
        shape["$defs"] = _plain(schema["$defs"])
    return shape


def _argument_error(owner: Tool, where: tuple[int | str, ...], message: str) -> str:
    name = ".".join(map(str, where)) or "arguments"
    if where and where[0] not in owner.arguments.model_fields:
        return f"{name}: no such argument{nearest(name, owner.arguments.model_fields)}"
    return f"{name}: {message}"


def _plain(schema: JsonValue) -> JsonValue:
    """Drop the titles that pydantic adds: they cost tokens and say nothing."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


@overload
def tool(function: Callable[..., object], /) -> Tool: ...


@overload
def tool(
    *,
    effect: Effect = "read",
    requires: str | tuple[str, ...] = (),
    grants: str | tuple[str, ...] = (),
    grants_when: str | None = None,
    sets: Mapping[str, str] | tuple[str, ...] = (),
    binds: Mapping[str, str] | tuple[str, ...] = (),
    timeout_ms: int = 10_000,
    retries: int = 0,
    filler: Filler | None = None,
    invalidates: tuple[Tool | str, ...] = (),
    fresh_ms: int = 300_000,
    confirm: str | None = None,
    scopes: str | tuple[str, ...] = (),
    egress: str | tuple[str, ...] = (),
    attempts: Attempts | None = None,
    reconcile: _AsyncFunction | None = None,
) -> Callable[[_Function], Tool]: ...


def tool(
    function: _Function | None = None,
    /,
    *,
    effect: Effect = "read",
    requires: str | tuple[str, ...] = (),
    grants: str | tuple[str, ...] = (),
    grants_when: str | None = None,
    sets: Mapping[str, str] | tuple[str, ...] = (),
    binds: Mapping[str, str] | tuple[str, ...] = (),
    timeout_ms: int = 10_000,
    retries: int = 0,
    filler: Filler | None = None,
    invalidates: tuple[Tool | str, ...] = (),
    fresh_ms: int = 300_000,
    confirm: str | None = None,
    scopes: str | tuple[str, ...] = (),
    egress: str | tuple[str, ...] = (),
    attempts: Attempts | None = None,
    reconcile: _AsyncFunction | None = None,
) -> Tool | Callable[[_Function], Tool]:
    """Turn a typed function into a tool; its docstring is what the model reads. A plain `def` runs in a thread.

    A parameter called `ctx` receives the ToolContext. `sets` and `binds` may be tuples where fact and field, or
    parameter and fact, have the same name. `egress` says where it may send requests, such as `"POST service"` or
    `"GET https://rates.example.com"`; undeclared, a read may only read from the agent's service.
    `attempts` limits how often somebody may try to be granted something. `reconcile` is an async function that looks up
    what a write has done: it takes some of the write's parameters and `ctx`, whose `idempotency_key` is the write's,
    and returns what the write would have returned, or None where nothing is known of it. It answers for the whole run:
    of a write that sends several requests it returns a result only where all of them were carried out, because the
    caller is told then that everything is done. After a crash it cannot be given secrets.
    Raises PhaseError, with the function's line, for what cannot be a tool.
    """

    options = {name: value for name, value in locals().items() if name != "function"}

    def declare(run: _Function) -> Tool:
        if not inspect.isfunction(run):
            raise PhaseError(f"@tool stands before a function, not before {run!r}", source=written_at())
        source = Source(run.__code__.co_filename, run.__code__.co_firstlineno)
        _check_options(run.__name__, options, source)
        if inspect.isgeneratorfunction(run) or inspect.isasyncgenfunction(run):
            raise PhaseError(f"tool {run.__name__!r} must return its result: it cannot `yield`", source=source)
        if not _NAME.match(run.__name__):
            raise PhaseError(
                f"tool name {run.__name__!r} must be a plain ASCII identifier of at most 64 letters",
                source=source,
            )
        description = inspect.getdoc(run) or ""
        if not description.strip():
            raise PhaseError(
                f"tool {run.__name__!r} needs a docstring: the model chooses by it",
                source=source,
                code="no-description",
            )
        arguments, sealed, takes_context = _arguments_of(run, source)
        bound = _same_names(binds)
        for parameter in bound:
            if parameter not in arguments.model_fields:
                raise PhaseError(
                    f"tool {run.__name__!r} binds {parameter!r}, which is not one of its parameters"
                    f"{nearest(parameter, arguments.model_fields)}",
                    source=source,
                )
        if effect == "irreversible" and not confirm:
            raise PhaseError(
                f"irreversible tool {run.__name__!r} needs `confirm`, the read-back of its arguments",
                source=source,
                code="no-confirmation",
            )
        if attempts is not None:
            _check_attempts(run.__name__, attempts, arguments, may_grant=bool(grants and grants_when), source=source)
        if effect != "read" and retries:
            raise PhaseError(f"tool {run.__name__!r} writes, so it cannot be retried by itself", source=source)
        return Tool(
            name=run.__name__,
            description=description,
            run=run,
            arguments=arguments,
            result=TypeAdapter(object),
            source=source,
            effect=effect,
            requires=_several(requires),
            grants=_several(grants),
            grants_when=grants_when,
            sets=_same_names(sets),
            binds=bound,
            sealed=sealed,
            timeout_ms=timeout_ms,
            retries=retries,
            filler=filler,
            invalidates=tuple(other.name if isinstance(other, Tool) else other for other in invalidates),
            fresh_ms=fresh_ms,
            confirm=confirm,
            scopes=_several(scopes),
            egress=_egress(run.__name__, egress, source),
            takes_context=takes_context,
            in_thread=not inspect.iscoroutinefunction(run),
            attempts=attempts,
            reconcile=None
            if reconcile is None
            else _reconciliation(
                run.__name__, reconcile, arguments, effect=effect, scopes=_several(scopes), source=source
            ),
        )

    return declare(function) if function is not None else declare


class _Options(BaseModel):
    """What may be said of a tool beside its function; the checker of types knows, but not everybody asks it."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    effect: Effect
    requires: str | tuple[str, ...]
    grants: str | tuple[str, ...]
    grants_when: str | None
    sets: dict[str, str] | tuple[str, ...]
    binds: dict[str, str] | tuple[str, ...]
    timeout_ms: StrictInt = Field(ge=1)
    retries: StrictInt = Field(ge=0)
    filler: Filler | None
    invalidates: tuple[Tool | str, ...]
    fresh_ms: StrictInt = Field(ge=0)
    confirm: str | None
    scopes: str | tuple[str, ...]
    egress: str | tuple[str, ...]
    attempts: Attempts | None
    reconcile: Callable[..., object] | None


def _check_options(name: str, options: Mapping[str, object], source: Source) -> None:
    try:
        _Options.model_validate(options)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        option = str(first["loc"][0])
        said = dict.fromkeys(error["msg"] for error in exc.errors() if error["loc"][0] == option)
        hint = nearest(str(options[option]), get_args(Effect)) if option == "effect" else ""
        raise PhaseError(f"tool {name!r}: {option}: {', or '.join(said)}{hint}", source=source) from exc


def _check_attempts(
    name: str, attempts: Attempts, arguments: type[BaseModel], *, may_grant: bool, source: Source
) -> None:
    if not may_grant:
        message = f"tool {name!r} limits attempts, so it needs `grants` and `grants_when`, which say what a try is for"
        raise PhaseError(message, source=source)
    for parameter in attempts.accounts:
        if parameter not in arguments.model_fields:
            known = nearest(parameter, arguments.model_fields)
            message = f"tool {name!r} limits attempts by {parameter!r}, which is not one of its parameters{known}"
            raise PhaseError(message, source=source)


def _reconciliation(
    name: str,
    function: _AsyncFunction,
    arguments: type[BaseModel],
    *,
    effect: Effect,
    scopes: tuple[str, ...],
    source: Source,
) -> Tool:
    """Return a read over some of the write's parameters. It is never offered to a model."""
    if effect == "read":
        raise PhaseError(f"tool {name!r} only reads: there is nothing to reconcile", source=source)
    if not inspect.iscoroutinefunction(function):
        raise PhaseError(f"tool {name!r}: `reconcile` takes an `async def`, not {function!r}", source=source)
    own, _, takes_context = _arguments_of(function, source)
    for parameter in own.model_fields:
        if parameter not in arguments.model_fields:
            known = nearest(parameter, arguments.model_fields)
            message = f"tool {name!r}: `reconcile` takes {parameter!r}, which is not one of its parameters{known}"
            raise PhaseError(message, source=source)
    return Tool(name, "", function, own, TypeAdapter(object), source, takes_context=takes_context, scopes=scopes)


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _egress(name: str, written: str | tuple[str, ...], source: Source) -> tuple[Egress, ...]:
    declared = tuple(map(Egress.written, _several(written)))
    for place in declared:
        if place.problem:
            raise PhaseError(f"tool {name!r}: egress: {place.problem}", source=source, code="bad-egress")
    return declared


def _same_names(value: Mapping[str, str] | tuple[str, ...]) -> dict[str, str]:
    return dict(value) if isinstance(value, Mapping) else {name: name for name in value}


def _arguments_of(run: _Function, source: Source) -> tuple[type[BaseModel], tuple[str, ...], bool]:
    """Return the model of the parameters, which of them are sealed, and whether there is a `ctx`."""
    try:
        hints = typing.get_type_hints(run, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as exc:
        raise PhaseError(f"tool {run.__name__!r}: annotation cannot be read: {exc}", source=source) from exc
    fields: dict[str, Any] = {}
    sealed: list[str] = []
    takes_context = False
    for name, parameter in inspect.signature(run).parameters.items():
        if name == _CONTEXT:
            takes_context = True
            continue
        if name.startswith("_") or name == "model_config":
            message = f"tool {run.__name__!r}: no parameter can be called {name!r}"
            raise PhaseError(message, source=source)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            message = f"tool {run.__name__!r}: *args and **kwargs cannot be described to a model"
            raise PhaseError(message, source=source, code="untyped-parameter")
        if name not in hints:
            message = f"tool {run.__name__!r}: parameter {name!r} needs a type"
            raise PhaseError(message, source=source, code="untyped-parameter")
        hint = hints[name]
        if any(isinstance(mark, _SealedMark) for mark in typing.get_args(hint)[1:]):
            sealed.append(name)
            handle = "The handle of the secret as it stands in the conversation, for example ⟨pin#1: 4 digits⟩."
            hint = Annotated[str, FieldInfo(description=handle)]
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hint, default)
    config = ConfigDict(extra="forbid", str_max_length=4_000)
    try:
        model: type[BaseModel] = create_model(f"{run.__name__}_arguments", __config__=config, **fields)
        model.model_json_schema()
    except PydanticUserError as exc:
        first, *_ = str(exc).splitlines()
        message = f"tool {run.__name__!r}: a parameter has a type that a model cannot be told of: {first}"
        raise PhaseError(message, source=source, code="untyped-parameter") from exc
    return model, tuple(sealed), takes_context
