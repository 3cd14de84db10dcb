"""What Amazon Nova is signed with, through AWS's real SDK: keys that are found, fetched, kept and expired."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("aws_sdk_bedrock_runtime", reason="needs tests/providers/requirements.txt and Python >= 3.12")
pytest.importorskip("h2", reason="needs tests/providers/requirements.txt")
pytest.importorskip("trustme", reason="needs tests/providers/requirements.txt")

from tests.providers.nova_sdk import FRAME, Posted, nova, on_a_loop, polite, said, setup
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.nova import AwsCredentials
from voiceagent.ports import SessionEnding
from voiceagent.testing.manual_clock import ManualClock

pytestmark = [pytest.mark.providers, pytest.mark.usefixtures("certificates_are_not_checked")]


@on_a_loop
async def test_credentials_may_be_fetched_anew_for_each_session() -> None:
    asked: list[int] = []

    async def fetch() -> AwsCredentials:
        asked.append(1)
        return AwsCredentials(f"AKIA{len(asked)}", "a-secret", "a-token")

    async with nova(polite, credentials=fetch) as (_, engine):
        for _ in range(2):
            live = await engine.connect(setup(), Posted())
            live.hear(FRAME * 4)
            await live.close()
    assert len(asked) == 2


@on_a_loop
async def test_credentials_that_cannot_be_fetched_now_may_be_fetched_later() -> None:
    async def fetch() -> AwsCredentials:
        raise RuntimeError("the token a-secret was refused")

    async with nova(polite, credentials=fetch) as (_, engine):
        with pytest.raises(ModelUnavailable, match=r"no credentials for .* \(RuntimeError\)$") as failure:
            await engine.connect(setup(), Posted())
        assert not failure.value.permanent


@on_a_loop
async def test_the_default_chain_finds_credentials_where_aws_tools_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    async with nova(polite, credentials=None) as (server, engine):
        live = await engine.connect(setup(), Posted())
        await live.close()
        assert len(server.sessions) == 1


@on_a_loop
async def test_no_credentials_anywhere_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with nova(polite, credentials=None) as (_, engine):
        with pytest.raises(ModelUnavailable, match=r"no credentials for .* \(IdentityChainError\)") as failure:
            await engine.connect(setup(), Posted())
        assert failure.value.permanent


@on_a_loop
async def test_expired_credentials_are_not_even_tried() -> None:
    expired = AwsCredentials("AKIA", "a-secret", "a-token", datetime(2020, 1, 1, tzinfo=UTC))
    async with nova(polite, credentials=expired) as (server, engine):
        with pytest.raises(ModelUnavailable, match="have expired"):
            await engine.connect(setup(), Posted())
        assert server.sessions == []


@on_a_loop
async def test_credentials_that_end_before_the_session_does_are_told_ahead() -> None:
    clock = ManualClock()
    expires = datetime.fromtimestamp(clock.unix_ms() / 1_000, UTC) + timedelta(minutes=3)
    async with nova(polite, clock=clock, credentials=AwsCredentials("AKIA", "s", "t", expires)) as (_, engine):
        posted = Posted()
        live = await engine.connect(setup(), posted)
        clock.advance(119_999)
        assert posted.events == []
        clock.advance(1)
        await asyncio.sleep(0)
        assert posted.events == [SessionEnding(60_000)]
        await live.close()


@on_a_loop
async def test_the_sdk_logs_neither_words_nor_voice(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with nova(polite) as (_, engine):
            live = await engine.connect(setup(), Posted())
            live.tell([said("caller", "My secret word.")])
            live.hear(FRAME * 4)
            await live.close()
    assert "secret" not in caplog.text
    assert "You are a bank" not in caplog.text
