"""Which speech-to-speech model hears and speaks, where one was named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

from voiceagent.errors import MissingExtra, OperatorError, nearest
from voiceagent.models.choose import ProviderAccess
from voiceagent.models.rested_speech import RestedSpeechModel
from voiceagent.ports import MULAW_8K, AudioFormat, Clock, SpeechModelEngine

__all__ = ["speech_model_from"]


def speech_model_from(name: str, *, clock: Clock, access: ProviderAccess) -> SpeechModelEngine:
    """Return the engine for `openai-realtime:<model>` and the like; nothing is sent.

    Raises OperatorError for a name nobody knows and for whatever is missing to reach it, MissingExtra where a library
    is not installed.
    """
    provider, _, model = name.partition(":")
    if provider not in _PROVIDERS or not model:
        known = ", ".join(f"`{known}:`" for known in _PROVIDERS)
        hint = nearest(provider, _PROVIDERS) if provider not in _PROVIDERS else ""
        raise OperatorError(f"no speech model {name!r}: write one of {known} and the model's name{hint}")
    engine = _PROVIDERS[provider](model, clock, access)
    row = engine.capabilities
    if not (_as_telephones(row.audio_in) and _as_telephones(row.audio_out)) and not (
        find_spec("soxr") and find_spec("numpy")
    ):
        raise MissingExtra(f"{name} on a telephone line, which speaks at {MULAW_8K.rate_hz} Hz,", extra="resampling")
    return RestedSpeechModel(engine, clock)


def _as_telephones(formats: tuple[AudioFormat, ...]) -> bool:
    return MULAW_8K in formats or formats[0].rate_hz == MULAW_8K.rate_hz


def _openai(model: str, clock: Clock, access: ProviderAccess) -> SpeechModelEngine:
    from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint

    del clock
    return OpenAIRealtimeModels(openai_endpoint(model, api_key=access.openai_api_key, base_url=access.openai_base_url))


def _azure(model: str, clock: Clock, access: ProviderAccess) -> SpeechModelEngine:
    from voiceagent.models.openai_realtime import OpenAIRealtimeModels, azure_endpoint

    del clock
    if access.azure_openai_endpoint is None:
        raise OperatorError(f"the deployment {model!r} needs AZURE_OPENAI_ENDPOINT, e.g. https://NAME.openai.azure.com")
    return OpenAIRealtimeModels(
        azure_endpoint(access.azure_openai_endpoint, deployment=model, api_key=access.azure_openai_api_key or "")
    )


def _nova(model: str, clock: Clock, access: ProviderAccess) -> SpeechModelEngine:
    from voiceagent.models.nova import NovaSonicModels

    return NovaSonicModels(model, region=access.aws_region or "", clock=clock)


def _gemini(model: str, clock: Clock, access: ProviderAccess) -> SpeechModelEngine:
    from voiceagent.models.gemini_live import GeminiLiveModels

    del clock
    return GeminiLiveModels(model, api_key=access.gemini_api_key or "")


_PROVIDERS: Mapping[str, Callable[[str, Clock, ProviderAccess], SpeechModelEngine]] = {
    "openai-realtime": _openai,
    "azure-realtime": _azure,
    "nova": _nova,
    "gemini-live": _gemini,
}
