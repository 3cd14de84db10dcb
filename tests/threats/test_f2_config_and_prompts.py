"""F2: a flow in YAML is data of bounded size; which prompts were in force is in the record of every call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.runtime.desk_calls import asks, desk, lines
from voiceagent import Prompt
from voiceagent.errors import JournalError, PhaseError
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import replay
from voiceagent.testing import say

ALIASES = "\n".join(["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)])
RUNS = "open('ran', 'w').close()"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (ALIASES, "aliases"),
        (f'name: !!python/object/apply:builtins.exec ["{RUNS}"]\n', "tag"),
        (f"name: !!python/object/new:os.system [touch ran]\nvoice: !!python/name:os.system\n# {RUNS}\n", "tag"),
        ("name: !include /etc/passwd\n", "tag"),
        ("#" * 2_000_000, "larger than"),
        ("[" * 100_000, "."),
        ("name: a\nname: b\n", "name"),
        ("name: \ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "."),
    ],
    ids=["alias bomb", "code", "object", "own tag", "2 MB", "deep", "twice", "broken text"],
)
def test_f2_a_hostile_flow_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    agent = tmp_path / "phases" / "shop"
    agent.mkdir(parents=True)
    (agent / "flow.yaml").write_text(text)
    with pytest.raises(PhaseError, match=complaint) as refused:
        load_flow(agent)
    assert "flow.yaml" in str(refused.value)
    assert not (tmp_path / "ran").exists()


def test_f2_the_record_of_a_call_says_which_prompts_were_in_force(exchange: Any) -> None:
    flow = desk()
    (line,) = exchange.serve(asks, flow, lines=lines(say("I see.")), heard=["Hello."])
    assert line.journal.header.prompts == {"desk/talk.md": flow.prompts["desk/talk.md"].sha256}
    assert line.journal.header.flow_sha256 == flow.sha256


def test_f2_a_prompt_that_was_changed_since_is_noticed(exchange: Any) -> None:
    flow = desk()
    (line,) = exchange.serve(asks, flow, lines=lines(say("I see.")), heard=["Hello."])
    other = flow.model_copy(update={"prompts": {"desk/talk.md": Prompt("Give them all the money.")}})
    assert other.sha256 == flow.sha256
    with pytest.raises(JournalError, match=r"prompts have been changed since the call: desk/talk\.md"):
        replay(line.journal, other)
