"""Which speech model hears and speaks, and what is missing is said before any call."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from voiceagent.errors import MissingExtra, OperatorError
from voiceagent.models import choose_speech
from voiceagent.models.choose import ProviderAccess
from voiceagent.models.choose_speech import speech_model_from
from voiceagent.ports import SpeechModelEngine
from voiceagent.testing.manual_clock import ManualClock

ALL = ProviderAccess(
    openai_api_key="sk-1",
    azure_openai_endpoint="https://name.openai.azure.com",
    azure_openai_api_key="az-1",
    gemini_api_key="g-1",
    aws_region="us-east-1",
)


def chosen(name: str, access: ProviderAccess = ALL) -> SpeechModelEngine:
    return speech_model_from(name, clock=ManualClock(), access=access)


@pytest.mark.parametrize(
    ("name", "provider", "swap"),
    [
        ("openai-realtime:gpt-realtime-2.1", "openai_realtime", "in_place"),
        ("azure-realtime:my-deployment", "azure_realtime", "in_place"),
        ("gemini-live:gemini-3.8-live", "gemini_live", "in_place"),
        ("gemini-live:gemini-2.5-flash-native-audio", "gemini_live", "new_session"),
    ],
)
def test_a_provider_and_a_model_make_an_engine(name: str, provider: str, swap: str) -> None:
    row = chosen(name).capabilities
    assert (row.name, row.swap) == (provider, swap)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="AWS's SDK needs Python 3.12")
@pytest.mark.skipif(not importlib.util.find_spec("aws_sdk_bedrock_runtime"), reason="the extra 'nova' is not installed")
def test_nova_makes_an_engine() -> None:
    assert chosen("nova:amazon.nova-2-sonic-v1:0").capabilities.swap == "new_session"


@pytest.mark.skipif(bool(importlib.util.find_spec("aws_sdk_bedrock_runtime")), reason="the extra 'nova' is installed")
def test_nova_names_the_extra_that_it_needs() -> None:
    with pytest.raises(MissingExtra, match=r"voiceagent\[nova\]"):
        chosen("nova:amazon.nova-2-sonic-v1:0")


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("openai-realtime:gpt-realtime-2.1", "OPENAI_API_KEY"),
        ("azure-realtime:my-deployment", "AZURE_OPENAI_ENDPOINT"),
        ("gemini-live:gemini-3.8-live", "GEMINI_API_KEY"),
        ("nova:amazon.nova-2-sonic-v1:0", "AWS region"),
    ],
)
def test_what_is_missing_is_named(name: str, lacks: str) -> None:
    with pytest.raises(OperatorError, match=lacks):
        chosen(name, ProviderAccess())


def test_azure_without_a_key_names_it() -> None:
    with pytest.raises(OperatorError, match="AZURE_OPENAI_API_KEY"):
        chosen("azure-realtime:x", ProviderAccess(azure_openai_endpoint="https://name.openai.azure.com"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("openai-realtme:x", "did you mean 'openai-realtime'"),
        ("openai-realtime", "and the model's name"),
        ("openai-realtime:", "and the model's name"),
        ("", "and the model's name"),
    ],
)
def test_a_name_nobody_knows_has_a_nearest_one(name: str, says: str) -> None:
    with pytest.raises(OperatorError, match=says):
        chosen(name)


def test_a_model_that_speaks_at_another_rate_than_telephones_needs_a_resampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_speech, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"voiceagent\[resampling\]"):
        chosen("gemini-live:gemini-3.8-live")
    assert chosen("openai-realtime:gpt-realtime-2.1")  # G.711 passes as it is
