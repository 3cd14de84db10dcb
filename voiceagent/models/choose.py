"""Which model speaks: the one that was named, with the guided one behind it or alone, or the guided one."""

from __future__ import annotations

from voiceagent.errors import OperatorError, nearest
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import Clock, ReplyModelEngine

__all__ = ["live_model_from", "model_from"]

_PROVIDERS = ("guided", "openai")


def model_from(
    name: str | None, *, clock: Clock, api_key: str | None = None, base_url: str | None = None
) -> ReplyModelEngine:
    """Return the engine for `openai:<model>` at any compatible endpoint, or for None and `guided` the guided model.

    A named model has the guided one behind it: a provider's outage never leaves the caller in silence. Raises
    OperatorError for a name nobody knows or a key that is missing, MissingExtra where the SDK is not installed.
    """
    if name is None or name == "guided":
        return GuidedModels()
    from voiceagent.models.fallback import FallbackModels

    return FallbackModels(live_model_from(name, api_key=api_key, base_url=base_url), GuidedModels(), clock=clock)


def live_model_from(name: str, *, api_key: str | None = None, base_url: str | None = None) -> ReplyModelEngine:
    """Return the engine for `openai:<model>` with nothing behind it: where it fails, that is to be seen.

    Raises OperatorError for a name nobody knows or a key that is missing, MissingExtra where the SDK is not installed.
    """
    provider, _, model = name.partition(":")
    if provider != "openai" or not model:
        hint = nearest(provider, _PROVIDERS) if provider not in _PROVIDERS else ""
        raise OperatorError(f"no model {name!r}: write `guided`, or `openai:` and the model's name{hint}")
    if not api_key and not base_url:
        raise OperatorError(f"{name} needs OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint of your own")
    from voiceagent.models.openai_chat import OpenAIChatModels

    return OpenAIChatModels(model, api_key=api_key, base_url=base_url)
