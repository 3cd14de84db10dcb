"""The hash of a flow: the same in every process, another one as soon as anything declared is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.phase import (
    HangUpAfter,
    NotUnderstood,
    Phase,
    Requested,
    Say,
    Silent,
    TimedOut,
    Transition,
    Trigger,
    VoiceFails,
)
from voiceagent.spec.prefetch import Prefetch
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Tool, tool


class HashedFacts(Facts):
    recognised: bool = False
    name: str | None = None


@tool(sets=("recognised",))
async def look_up(name: str, *, often: int = 1) -> dict[str, object]:
    """Look somebody up."""
    return {}


def some_flow(*, used: Tool = look_up, text: str = "Hello.", facts: type[Facts] = HashedFacts, **more: object) -> Flow:
    return Flow.model_validate(
        {
            "name": "small",
            "initial": "hello",
            "facts": facts,
            "prompts": {"small/hello.md": Prompt("Be kind.")},
            "phases": (
                Phase(
                    name="hello",
                    prompt="small/hello.md",
                    on_enter=Say(text=text),
                    tools=(used,),
                    transitions=(
                        Transition(on=used, to="bye", when={"recognised": True}, prefetch=(Prefetch(tool=used),)),
                        Transition(on=Requested(name="finish", description="Done."), to="bye"),
                    ),
                ),
                Phase(name="bye", ends=HangUpAfter()),
            ),
            **more,
        }
    )


@tool(sets=("recognised",), timeout_ms=5_000)
async def look_up_sooner(name: str, *, often: int = 1) -> dict[str, object]:
    """Look somebody up."""
    return {}


@tool(sets=("recognised",))
async def look_up_by_town(name: str, town: str) -> dict[str, object]:
    """Look somebody up."""
    return {}


class OtherFacts(Facts):
    recognised: bool = False
    name: int | None = None


def test_the_same_declarations_have_the_same_hash() -> None:
    assert some_flow().sha256 == some_flow().sha256


@pytest.mark.parametrize(
    "changed",
    [
        some_flow(text="Good morning."),
        some_flow(used=look_up_sooner),
        some_flow(facts=OtherFacts),
        some_flow(limits=Limits(max_turns=3)),
        some_flow(name="other"),
        some_flow(locale="en-GB"),
        some_flow(reaches_human=True),
        some_flow(limits=Limits(max_silence_ms=4_000)),
    ],
    ids=[
        "a sentence",
        "a tool's time-out",
        "the type of a fact",
        "a limit",
        "the name",
        "the locale",
        "a promise",
        "a bound",
    ],
)
def test_any_change_is_seen(changed: Flow) -> None:
    assert changed.sha256 != some_flow().sha256


@pytest.mark.parametrize(
    "trigger", [Silent(), NotUnderstood(), TimedOut(), VoiceFails()], ids=["silence", "no words", "time", "no voice"]
)
def test_a_trigger_without_values_is_told_from_every_other(trigger: Trigger) -> None:
    others = [
        other for other in (Silent(), NotUnderstood(), TimedOut(), VoiceFails()) if type(other) is not type(trigger)
    ]
    with_trigger = some_flow(transitions=(Transition(on=trigger, to="bye"),)).sha256
    for other in others:
        assert some_flow(transitions=(Transition(on=other, to="bye"),)).sha256 != with_trigger


def test_what_a_class_of_facts_is_called_does_not_matter() -> None:
    class Renamed(Facts):
        """Said otherwise."""

        recognised: bool = False
        name: str | None = None

    assert some_flow(facts=Renamed).sha256 == some_flow().sha256


def test_tools_have_hashes_of_what_a_model_is_told_of_them() -> None:
    assert list(some_flow().tool_hashes) == ["look_up"]
    sooner = some_flow(used=look_up_sooner)
    assert sooner.tool_hashes["look_up_sooner"] == some_flow().tool_hashes["look_up"]
    assert some_flow(used=look_up_by_town).tool_hashes["look_up_by_town"] != some_flow().tool_hashes["look_up"]


def test_prompts_have_hashes_of_their_own() -> None:
    other = some_flow(prompts={"small/hello.md": Prompt("Be rude.")})
    assert other.sha256 == some_flow().sha256
    assert other.prompt_hashes != some_flow().prompt_hashes
    assert some_flow().prompt_hashes == {"small/hello.md": Prompt("Be kind.").sha256}


def test_where_a_flow_stands_does_not_matter() -> None:
    here = some_flow(limits=Limits(max_turns=3))
    there = some_flow(limits=Limits(max_turns=3))
    assert here.limits.source != there.limits.source
    assert here.sha256 == there.sha256


_AGENT = '''
from voiceagent import Facts, Flow, HangUpAfter, Phase, Requested, Say, Transition, tool


class MyFacts(Facts):
    recognised: bool = False
    names: frozenset[str] = frozenset({"ada", "bob", "cy", "dee", "eve"})
    tags: set[str] = {"one", "two", "three", "four", "five"}


@tool(sets=("recognised",))
async def look_up(name: str) -> dict[str, object]:
    """Look somebody up."""
    return {}


def happy(facts: Facts) -> bool:
    return True


FLOW = Flow(
    name="small",
    initial="hello",
    facts=MyFacts,
    phases=(
        Phase(
            name="hello",
            on_enter=Say(text="Hello."),
            tools=(look_up,),
            transitions=(
                Transition(on=look_up, to="bye", when=happy),
                Transition(on=Requested(name="finish", description="."), to="bye", when={"recognised": {"in": [True]}}),
            ),
        ),
        Phase(name="bye", ends=HangUpAfter()),
    ),
)
'''


def hash_elsewhere(folder: Path, *, seed: str) -> str:
    """Load the agent in a process of its own and return the hash of its flow."""
    program = "import sys; from voiceagent.runtime.loader import load_flow; print(load_flow(sys.argv[1]).sha256)"
    done = subprocess.run(  # noqa: S603 - this interpreter, our own program
        [sys.executable, "-c", program, str(folder)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return done.stdout.strip()


def test_another_process_with_another_hash_seed_has_the_same_hash(tmp_path: Path) -> None:
    folder = tmp_path / "phases" / "small"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(_AGENT)
    assert hash_elsewhere(folder, seed="1") == hash_elsewhere(folder, seed="4711")


def test_a_second_load_in_the_same_process_has_the_same_hash(tmp_path: Path) -> None:
    from voiceagent.runtime.loader import load_flow

    folder = tmp_path / "phases" / "small"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(_AGENT)
    assert load_flow(folder).sha256 == load_flow(folder).sha256


def test_a_changed_copy_of_a_flow_remembers_nothing_of_the_original() -> None:
    flow = Flow(name="shop", initial="bye", phases=(Phase(name="bye", ends=HangUpAfter()),))
    known, named = flow.sha256, dict(flow.by_name)
    changed = flow.model_copy(update={"phases": (*flow.phases, Phase(name="talk"))})
    assert changed.sha256 != known
    assert [*changed.by_name] == [*named, "talk"]
