"""The live model of `voiceagent test`: which one, where it is recorded, and what it has cost."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from voiceagent.cli.addresses import require_address
from voiceagent.errors import OperatorError
from voiceagent.models.choose import ProviderAccess, live_model_from
from voiceagent.testing.cassettes import RecordingModels
from voiceagent.testing.live_models import CountedModels, LiveModels, Spent

__all__ = ["LiveModel", "live_model"]


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model that is asked for real."""

    name: str
    models: LiveModels
    spent: Spent


def live_model(
    name: str | None, *, record: Path | None, access: ProviderAccess, jobs: int, runtime: int
) -> AbstractContextManager[LiveModel | None]:
    """Return the model for as long as it is needed; what was recorded is written at the end. None: no model is named.

    Raises OperatorError for what does not go together, a name nobody knows, a key that is missing and a recording that
    could not be written; MissingExtra.
    """
    if name is None:
        if record is not None:
            raise OperatorError("--record writes what a live model says: name one with --model")
        return nullcontext()
    if name == "guided":
        raise OperatorError(
            "the guided model is none that is asked for real: --model takes a provider and a model's name, `openai:…`"
        )
    if jobs > 1:
        raise OperatorError("a live model is asked by one process: leave out --jobs, or --model")
    if runtime:
        raise OperatorError("no live model answers on the runtime's virtual clock: leave out --runtime, or --model")
    require_address("--openai-base-url", access.openai_base_url)
    require_address("--anthropic-base-url", access.anthropic_base_url)
    counted = CountedModels(live_model_from(name, access=access))
    if record is None:
        return _open(LiveModel(name, LiveModels(counted), counted.spent))
    _require_writable(record)
    return _open(LiveModel(name, LiveModels(RecordingModels(counted, record)), counted.spent))


@contextmanager
def _open(model: LiveModel) -> Generator[LiveModel]:
    with model.models:
        yield model


def _require_writable(path: Path) -> None:
    """Before it costs anything."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as exc:
        raise OperatorError(f"{path} cannot be written: {exc.strerror}") from exc
