"""Which models speak: those that were named, one behind the other, and behind them the guided one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from voiceagent.errors import OperatorError, nearest
from voiceagent.models.asking import Patience
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import Clock, ReplyModelEngine

__all__ = ["ProviderAccess", "live_model_from", "model_from"]


@dataclass(frozen=True, slots=True, repr=False)
class ProviderAccess:
    """Where the providers are, and the keys that let us in."""

    openai_api_key: str | None = None
    openai_base_url: str | None = None
    """Any OpenAI-compatible endpoint; None is OpenAI's own."""
    anthropic_api_key: str | None = None
    anthropic_base_url: str | None = None
    """None is Anthropic's own."""
    azure_openai_endpoint: str | None = None
    """Of the resource, e.g. https://NAME.openai.azure.com."""
    azure_openai_api_key: str | None = None
    gemini_api_key: str | None = None
    aws_region: str | None = None
    """AWS's credentials are found where its own tools find them."""


def model_from(names: str | None, *, clock: Clock, access: ProviderAccess) -> ReplyModelEngine:
    """Return the engine for a chain of models, `openai:<model>,anthropic:<model>`; for None, the guided model.

    The first that begins a reply makes it; the caller waits no longer for the chain than for one model. The guided
    model is always behind it: an outage of all providers never leaves the caller in silence. Raises OperatorError for
    names nobody knows and for every key that is missing, MissingExtra where an SDK is not installed.
    """
    chain = [name.strip() for name in (names or "guided").split(",")]
    if chain[-1] == "guided":
        chain.pop()
    if not chain:
        return GuidedModels()
    engines = _engines(chain, access)
    from voiceagent.models.fallback import FallbackModels

    return FallbackModels(*engines, GuidedModels(), clock=clock)


def live_model_from(name: str, *, access: ProviderAccess) -> ReplyModelEngine:
    """Return the engine for one model with nothing behind it: where it fails, that is to be seen.

    Raises OperatorError for a name nobody knows, a chain or a key that is missing, MissingExtra.
    """
    if "," in name:
        raise OperatorError(f"one model is tried at a time, not {name!r}")
    (engine,) = _engines([name], access)
    return engine


# --- providers -------------------------------------------------------------------------------------------------------


class _Engine(Protocol):
    """How the engine of every provider is made."""

    def __call__(
        self, model: str, *, base_url: str | None, api_key: str | None, patience: Patience
    ) -> ReplyModelEngine: ...


@dataclass(frozen=True, slots=True)
class _Provider:
    """What must be known to reach a provider."""

    engine: Callable[[], _Engine]
    """Imports it."""
    variables: str
    """Where key and address come from: OPENAI is for OPENAI_API_KEY and OPENAI_BASE_URL."""
    reached_by: Callable[[ProviderAccess], tuple[str | None, str | None]]
    """Key and address."""


def _openai_chat() -> _Engine:
    from voiceagent.models.openai_chat import OpenAIChatModels

    return OpenAIChatModels


def _openai_responses() -> _Engine:
    from voiceagent.models.openai_responses import OpenAIResponsesModels

    return OpenAIResponsesModels


def _anthropic() -> _Engine:
    from voiceagent.models.anthropic_messages import AnthropicModels

    return AnthropicModels


def _openai_access(access: ProviderAccess) -> tuple[str | None, str | None]:
    return access.openai_api_key, access.openai_base_url


def _anthropic_access(access: ProviderAccess) -> tuple[str | None, str | None]:
    return access.anthropic_api_key, access.anthropic_base_url


_PROVIDERS: Mapping[str, _Provider] = {
    "openai": _Provider(_openai_chat, "OPENAI", _openai_access),
    "openai-responses": _Provider(_openai_responses, "OPENAI", _openai_access),
    "anthropic": _Provider(_anthropic, "ANTHROPIC", _anthropic_access),
}


def _engines(names: Sequence[str], access: ProviderAccess) -> list[ReplyModelEngine]:
    models = [_provider_and_model(name) for name in names]
    missing = [
        f"{name} needs {provider.variables}_API_KEY, or {provider.variables}_BASE_URL for an endpoint of your own"
        for name, (provider, _) in zip(names, models, strict=True)
        if not any(provider.reached_by(access))
    ]
    if missing:
        raise OperatorError("; ".join(missing))
    patience = Patience(shared_by=len(names))
    engines: list[ReplyModelEngine] = []
    for provider, model in models:
        api_key, base_url = provider.reached_by(access)
        engines.append(provider.engine()(model, base_url=base_url, api_key=api_key, patience=patience))
    return engines


def _provider_and_model(name: str) -> tuple[_Provider, str]:
    provider, _, model = name.partition(":")
    if provider == "guided" and not model:
        raise OperatorError("the guided model is always the last one: name no other behind it")
    if provider not in _PROVIDERS or not model:
        known = ", ".join(f"`{known}:`" for known in _PROVIDERS)
        hint = nearest(provider, (*_PROVIDERS, "guided")) if provider not in _PROVIDERS else ""
        raise OperatorError(f"no model {name!r}: write `guided`, or one of {known} and the model's name{hint}")
    return _PROVIDERS[provider], model
