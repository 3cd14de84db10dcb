"""A call is decided once more in another process, with another hash seed, by another Python: byte for byte the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import voiceagent
from voiceagent.core import events as ev
from voiceagent.core.effects import Fetch, ForgetSealed, ServeFromCache, StopPlayout, SwapPhase
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import ask_for, say

AGENT = '''
from voiceagent import (
    Digits, Facts, Filler, Flow, FromItem, HangUpAfter, Phase, Prefetch, Requested, Say, Sealed, Transition, tool,
)


class Known(Facts):
    recognised: bool = False
    patient: str | None = None


@tool(grants="records", grants_when="recognised", sets=("recognised", "patient"))
async def check(pin: Sealed) -> dict[str, object]:
    """Check who is calling."""
    return {"recognised": True, "patient": f"patient-{len(pin)}", "zebra": 1, "ape": {"y": 2, "x": 3}}


@tool(requires="records", binds=("patient",))
async def visits(patient: str) -> list[dict[str, str]]:
    """The patient's visits."""
    return [{"visit": f"{patient}-{number}", "day": "Monday"} for number in range(3)]


@tool(requires="records", binds=("patient",))
async def visit(patient: str, visit: str) -> dict[str, str]:
    """One visit."""
    return {"visit": visit, "doctor": "Dr Ash"}


@tool(effect="write", requires="records", binds=("patient",), invalidates=(visits,))
async def note(patient: str, text: str) -> str:
    """Leave a note."""
    return f"{patient}: {text}"


FLOW = Flow(
    name="clinic",
    initial="identify",
    facts=Known,
    filler=Filler(patience_ms=300),
    phases=(
        Phase(
            name="identify",
            prompt="clinic/identify.md",
            on_enter=Say(text="Hello, this is the clinic. What is your code?"),
            sensitive=True,
            expects=(Digits(name="pin", length=4, sealed=True),),
            tools=(check,),
            transitions=(
                Transition(
                    on=check,
                    to="desk",
                    when={"recognised": True},
                    prefetch=(
                        Prefetch(tool=visits),
                        Prefetch(tool=visit, after=visits, arguments={"visit": FromItem(field="visit")}),
                    ),
                ),
            ),
        ),
        Phase(
            name="desk",
            prompt="clinic/desk.md",
            tools=(visits, visit, note),
            transitions=(Transition(on=Requested(name="finish", description="They are done."), to="end"),),
        ),
        Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
    ),
)
'''
PROMPTS = {"identify.md": "Ask for the code.", "desk.md": "Help.\n---\nThe patient is {{ patient }}."}
REPLAY = """
import sys
from pathlib import Path

from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import replay

agent, journal = map(Path, sys.argv[1:])
result = replay(read_journal(journal), load_flow(agent))
print(result.events, result.difference or "the same")
"""
ROOT = Path(voiceagent.__file__).parent.parent


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """The folder of an agent."""
    folder, prompts = tmp_path / "phases" / "clinic", tmp_path / "prompts" / "clinic"
    folder.mkdir(parents=True)
    prompts.mkdir(parents=True)
    (folder / "__init__.py").write_text(AGENT)
    for name, text in PROMPTS.items():
        (prompts / name).write_text(text)
    return folder


@pytest.fixture
def line(agent: Path, exchange: Any) -> Any:
    """A call that a session has taken: a PIN, prefetches, answers from memory, a write, a barge-in, keys, a goodbye."""
    replies = iter(
        [
            ask_for("check", '{"pin": "⟨pin#1: 4 digits⟩"}', request="q1"),
            say("Thank you. What can I do for you today?"),
            ask_for("visits", request="q2", words="Let me see."),
            ask_for("visit", '{"visit": "patient-4-1"}', request="q3"),
            ask_for("note", '{"text": "called"}', request="q4"),
            say("You have three visits, the second one is on Monday with Dr Ash, and I have left a note."),
            ask_for("finish", request="q5"),
        ]
    )

    def lines(_: object) -> Any:
        return next(replies, say("Yes?"))

    async def scenario(line: Any) -> None:
        await line.waits(3_200)
        await line.says(900)
        await line.waits(6_000)
        await line.says(600)
        await line.waits(2_000)
        await line.until(ev.ToolFinished, 2)
        await line.waits(3_000)
        await line.speaks(800)
        await line.waits(3_000)
        await line.presses("5")
        await line.waits(9_000)

    heard = ["seven three nine one", "what about my visits", "stop", "no that is all"]
    (line,) = exchange.serve(scenario, load_flow(agent), lines=lines, heard=heard)
    return line


def _replayed(python: str, agent: Path, journal: Path, *, seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(  # noqa: S603 - our own script, by an interpreter that is there
        [python, "-c", REPLAY, str(agent), str(journal)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _python_with_the_dependencies(version: str) -> str:
    """Return the interpreter of another version, or skip the test by its name."""
    own = ROOT / f".venv-{version}" / "bin" / "python"
    python = str(own) if own.exists() else shutil.which(f"python{version}")
    if python is None:
        pytest.skip(f"there is no python{version} here")
    tried = subprocess.run(  # noqa: S603 - an interpreter that is there
        [python, "-c", "import voiceagent.runtime.replay"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=50,
    )
    if tried.returncode != 0:
        pytest.skip(f"python{version} is here, but without the dependencies")
    return python


def test_the_call_has_everything_in_it_that_could_differ(line: Any) -> None:
    assert [swap.phase for swap in line.all(SwapPhase)][:2] == ["identify", "desk"]
    assert len(line.all(Fetch)) == 4
    assert line.all(ServeFromCache)
    assert line.all(ForgetSealed)
    assert line.all(StopPlayout)
    assert [finished.result for finished in line.all(ev.ToolFinished)][-1] == "patient-4: called"


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_a_call_replays_in_a_fresh_process_whatever_its_hash_seed(line: Any, agent: Path, seed: str) -> None:
    file = agent.parent.parent / "journals" / f"{line.call}.jsonl"
    assert _replayed(sys.executable, agent, file, seed=seed) == f"{len(line.journal.entries)} the same"


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_call_replays_on_another_python(line: Any, agent: Path, version: str) -> None:
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        pytest.skip("this is the Python that the call was taken on")
    file = agent.parent.parent / "journals" / f"{line.call}.jsonl"
    replayed = _replayed(_python_with_the_dependencies(version), agent, file, seed="7")
    assert replayed == f"{len(line.journal.entries)} the same"
