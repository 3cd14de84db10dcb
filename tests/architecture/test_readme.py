"""What the README shows is run: its agent passes the check and its test passes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from voiceagent.runtime.loader import load_flow
from voiceagent.spec.verify import verify

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    agent, _ = blocks("python")
    (tmp_path / "phases" / "shop").mkdir(parents=True)
    (tmp_path / "phases" / "shop" / "__init__.py").write_text(agent)
    (tmp_path / "prompts" / "shop").mkdir(parents=True)
    (tmp_path / "prompts" / "shop" / "help.md").write_text(blocks("markdown")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_agent_in_thirty_lines_has_nothing_wrong(shop: Path) -> None:
    assert verify(load_flow("shop")) == []


def test_the_test_of_that_agent_passes(shop: Path) -> None:
    _, test = blocks("python")
    names: dict[str, object] = {}
    exec(compile(test, "README.md", "exec"), names)  # noqa: S102 - our own README
    run = names["test_the_shop_tells_its_hours"]
    assert callable(run)
    run()


def test_the_agent_is_about_thirty_lines() -> None:
    agent, _ = blocks("python")
    code = [line for line in agent.splitlines() if line.strip()]
    assert len(code) <= 34
