"""`voiceagent doctor`: what is missing, how it is mended, and an exit code for what is needed alone."""

from __future__ import annotations

import importlib.metadata
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.cli.conftest import Run

Doctor = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voiceagent: Run) -> Doctor:
    """Return a function that examines, and returns the exit code and what was found by what it is about."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "VOICEAGENT_STATE", "VOICEAGENT_MODEL", "VOICEAGENT_JOURNALS"):
        monkeypatch.delenv(name, raising=False)

    def run(*options: str) -> tuple[int, dict[str, dict[str, Any]]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        code, said, _ = voiceagent("doctor", "--json", "--port", str(port), *options)
        told = cast("dict[str, Any]", json.loads(said))
        assert told["ok"] == (code == 0)
        return code, {found["what"]: found for found in told["found"]}

    return run


def lacks(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    known = importlib.metadata.version

    def version(package: str) -> str:
        if package in packages:
            raise importlib.metadata.PackageNotFoundError(package)
        return known(package)

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.engines
def test_what_is_optional_may_be_missing(doctor: Doctor, monkeypatch: pytest.MonkeyPatch):
    lacks(monkeypatch, "pyaudio", "openai")
    code, found = doctor()
    assert code == 0
    assert found["extra mic"]["mend"].startswith("pip install 'voiceagent[mic]'")
    assert not found["extra openai"]["ok"]
    assert found["speech engines"]["ok"]
    assert found["key OpenAI"] == {
        "what": "key OpenAI",
        "ok": False,
        "needed": False,
        "says": "OPENAI_API_KEY not set",
        "mend": "set it for --model openai:… and --speech-model openai-realtime:…",
    }
    assert found["agents here"]["mend"] == "voiceagent new my_agent"


def test_what_is_needed_and_missing_is_the_exit_code(doctor: Doctor, monkeypatch: pytest.MonkeyPatch):
    lacks(monkeypatch, "moonshine-voice")
    code, found = doctor()
    assert code == 1
    assert found["extra local"]["says"] == "lacks moonshine-voice"
    assert "speech engines" not in found


def test_for_a_person_every_finding_is_a_line_and_the_last_one_is_the_verdict(
    doctor: Doctor, voiceagent: Run, monkeypatch: pytest.MonkeyPatch
):
    del doctor
    lacks(monkeypatch, "moonshine-voice")
    code, said, _ = voiceagent("doctor")
    assert code == 1
    assert "MISSING extra local: lacks moonshine-voice - pip install 'voiceagent[local]'" in said
    assert said.splitlines()[-1].startswith("missing: extra local")


@pytest.fixture
def without_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long to load: it is missing."""
    lacks(monkeypatch, "moonshine-voice")


@pytest.mark.usefixtures("without_engines")
def test_no_key_is_printed(doctor: Doctor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "twilio-secret")
    _, found = doctor("--model", "openai:gpt-4.1-mini")
    assert found["key OpenAI"]["says"] == "OPENAI_API_KEY set"
    assert found["key Twilio"]["says"] == "VOICEAGENT_PUBLIC_URL not set"
    assert found["model"]["ok"]
    assert "secret" not in json.dumps(found)


@pytest.mark.usefixtures("without_engines")
def test_a_model_that_is_named_needs_its_key(doctor: Doctor):
    _, found = doctor("--model", "openai:gpt-4.1-mini")
    assert (found["model"]["ok"], found["model"]["needed"]) == (False, True)
    assert "OPENAI_API_KEY" in found["model"]["says"]


@pytest.mark.usefixtures("without_engines")
def test_a_port_that_is_taken_is_told(doctor: Doctor):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        _, found = doctor("--port", str(port))
    assert (found[f"port {port}"]["ok"], found[f"port {port}"]["says"]) == (False, "somebody listens there already")


@pytest.mark.usefixtures("without_engines")
def test_a_redis_that_is_not_there_is_told_without_its_password(doctor: Doctor):
    _, found = doctor("--state", "redis://:hunter2@127.0.0.1:1/0")
    assert (found["shared state"]["ok"], found["shared state"]["needed"]) == (False, True)
    assert "hunter2" not in json.dumps(found)


@pytest.mark.usefixtures("without_engines")
def test_a_folder_that_cannot_be_written_is_told_and_none_is_made(doctor: Doctor, tmp_path: Path):
    (tmp_path / "file").write_text("")
    _, found = doctor("--journals", str(tmp_path / "file" / "below"))
    assert not found[f"journals in {tmp_path / 'file' / 'below'}"]["ok"]
    _, found = doctor("--journals", "new")
    assert found["journals in new"]["ok"]
    assert not (tmp_path / "new").exists()
