"""E4: neither a name in a flow nor an id of a carrier leads to another place than it should."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.cli.agents import agents_to_serve
from voiceagent.core.ids import CallId
from voiceagent.errors import AuthorError, OperatorError
from voiceagent.runtime.journal_disk import journal_name, record_stem

DEVICES = ("CON", "con", "PRN", "AUX", "nul", "NUL.txt", "COM1", "com9.log", "LPT1", "lpt0")
CALL_IDS = (
    "../../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:x",
    "..",
    ".",
    "",
    "a\0b",
    "a" * 300,
    "CA1\n",
    *DEVICES,
    "\ud800",
)


@pytest.mark.parametrize("call", CALL_IDS)
def test_e4_a_call_id_becomes_a_hash_where_it_is_not_harmless(call: str, tmp_path: Path) -> None:
    name = journal_name(CallId(call))
    assert name.startswith("sha256-")
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()


@given(st.text(max_size=400))
def test_e4_every_call_id_names_a_file_inside_the_directory(call: str) -> None:
    stem = record_stem(CallId(call))
    assert stem.isascii()
    assert 1 <= len(stem) <= 100
    assert not set(stem) & set('/\\:*?"<>|\0\n ')
    assert stem.partition(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}


@given(st.text(max_size=20), st.text(max_size=20))
def test_e4_two_calls_never_share_a_name(one: str, other: str) -> None:
    assert (record_stem(CallId(one)) == record_stem(CallId(other))) == (one == other)


@pytest.mark.parametrize("call", ["CA0123456789abcdef0123456789abcdef", "a-b_c.2", "console", "COM10", "nullify"])
def test_e4_a_harmless_call_id_is_its_files_name(call: str) -> None:
    assert journal_name(CallId(call)) == f"{call}.jsonl"


AGENT = """
from voiceagent import Flow, HangUpAfter, Phase, Say
FLOW = Flow(name="shop", initial={name!r}, phases=(Phase(name={name!r}, prompt={prompt!r}, ends=HangUpAfter()),))
"""


def served(folder: Path, *, name: str = "help", prompt: str = "shop/help.md") -> object:
    """Load an agent as a server does."""
    agent = folder / "phases" / "shop"
    agent.mkdir(parents=True)
    (folder / "prompts" / "shop").mkdir(parents=True, exist_ok=True)
    (agent / "__init__.py").write_text(AGENT.format(name=name, prompt=prompt))
    return agents_to_serve([str(agent)], service_url="")


def test_e4_an_agent_in_good_order_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "prompts" / "shop").mkdir(parents=True)
    (tmp_path / "prompts" / "shop" / "help.md").write_text("Be kind.")
    assert served(tmp_path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "a\0b", "a" * 300, "CON", ""])
def test_e4_a_phase_is_not_named_like_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(AuthorError, match="a phase name is lower case letters"):
        served(tmp_path, name=name)


@pytest.mark.parametrize("prompt", ["../../etc/passwd", "/etc/passwd", "shop/../../secret.md", "shop/a\0b.md"])
def test_e4_a_prompt_outside_its_folder_is_refused_at_load(tmp_path: Path, prompt: str) -> None:
    (tmp_path / "secret.md").write_text("secret")
    with pytest.raises((AuthorError, OperatorError), match="no prompt"):
        served(tmp_path, prompt=prompt)


def test_e4_a_prompt_that_is_a_link_out_of_its_folder_is_refused_at_load(tmp_path: Path) -> None:
    (tmp_path / "prompts" / "shop").mkdir(parents=True)
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "prompts" / "shop" / "help.md").symlink_to(tmp_path / "secret.md")
    with pytest.raises((AuthorError, OperatorError)):
        served(tmp_path)
