"""`chat --reload`: the author changes a file in mid-call, is told what that means, and hears it in the next phase."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.chats import Terminal, chat_by_pipe
from tests.cli.conftest import Run

pytestmark = pytest.mark.timeout(180)
"""Each is a process of its own, on a machine that may have others."""


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voiceagent: Run) -> Path:
    """A folder with the agent `workshop`, as `voiceagent new` writes it."""
    monkeypatch.chdir(tmp_path)
    assert voiceagent("new", "workshop")[0] == 0
    return tmp_path


def edit(folder: Path, file: str, before: str, after: str) -> None:
    path = folder / "workshop" / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def test_a_phase_a_prompt_and_a_tool_are_changed_in_mid_call(workshop: Path, voiceagent: Run) -> None:
    chat = Terminal(workshop, "workshop", "--reload").until("your ticket?").until("you      ")
    edit(workshop, "flow.yaml", "to: repair", "to: repare")
    chat.until("flow.yaml:").until("'repare'").until("not taken: the agent is as it was").until("you      ")
    edit(workshop, "flow.yaml", "to: repare", "to: repair")
    edit(workshop, "repair/SKILL.md", "in one short sentence", "in ten words")
    edit(workshop, "tools.py", "blue city bicycle", "red racing bicycle")
    chat.until("repair/SKILL.md").until("tools.py").until("in ten words")
    chat.until("taken when the call enters a phase").until("you      ")
    chat.types("4711\n").until("blue city bicycle").until("changed  the agent from here on")
    chat.until("you      ").types("/phase\n").until("in ten words")
    chat.types("\x04")
    (journal,) = chat.ends().journals
    code, _, complained = voiceagent("replay", str(journal), "--agent", "workshop")
    assert code == 1
    assert "`--kept-versions` replays it" in complained
    code, said, complained = voiceagent("replay", str(journal), "--agent", "workshop", "--kept-versions")
    assert (code, complained) == (0, ""), said
    assert "byte for byte" in said
    code, said, _ = voiceagent("inspect", str(journal))
    assert "agent changed at" in said
    assert "used from" in said
    code, _, complained = voiceagent("promote", str(journal), "--agent", "workshop")
    assert code == 1
    assert "the agent was changed in this call" in complained


def test_machines_are_told_too(workshop: Path) -> None:
    chat = chat_by_pipe(workshop, "workshop", "4711\n", "--reload", "--json")
    assert chat.code == 0
    assert chat.of("changed") == [], "nothing was changed"
    assert [entry.name for entry in (workshop / "journals" / "agents").iterdir()]


def test_a_server_does_not_change_agents_under_its_callers(workshop: Path, voiceagent: Run) -> None:
    code, _, complained = voiceagent("serve", "workshop", "--insecure", "--reload")
    assert code == 1
    assert "a caller keeps the agent that answered them" in complained
    assert "SIGHUP" in complained
