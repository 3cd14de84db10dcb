"""An agent small enough to be read at a glance, and files of conversations with it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from voiceagent.errors import ScriptError
from voiceagent.spec.flow import Flow
from voiceagent.testing import CallFile, CallFiles, CallOutcome, CallPlayer

AGENT = '''
from voiceagent import (
    Facts, Filler, Flow, Digits, GuidedDialogue, HangUpAfter, HostSignals, Intent, Phase, Prefetch,
    Press, Requested, Say, Sealed, Silent, TransferTo, Transition, VoiceFails, tool,
)


class DeskFacts(Facts):
    side: str | None = None
    member: bool = False


@tool(sets={"member": "member"}, grants="bookings")
async def check_member(code: Sealed) -> object:
    """Check a member's code."""


@tool(requires="bookings", fresh_ms=60_000)
async def opening_hours(day: str = "today") -> object:
    """When the desk is open."""


@tool(sets={"side": "side"})
async def look_left() -> object:
    """Look left."""


@tool(sets={"side": "side"})
async def look_right() -> object:
    """Look right."""


@tool(effect="irreversible", requires="bookings", confirm="Shall I book {{ seats }} seats?")
async def book(seats: int) -> object:
    """Book seats."""


FLOW = Flow(
    name="desk",
    initial="hello",
    facts=DeskFacts,
    filler=Filler(phrases=("One moment.",), patience_ms=800),
    phases=(
        Phase(
            name="hello",
            prompt="desk/hello.md",
            sensitive=True,
            on_enter=Say(text="Hello, this is the desk. What is your code?"),
            expects=(Digits(name="code", length=4, sealed=True),),
            tools=(check_member,),
            transitions=(Transition(on=check_member, to="desk", prefetch=(Prefetch(tool=opening_hours),)),),
        ),
        Phase(
            name="desk",
            prompt="desk/desk.md",
            tools=(opening_hours, look_left, look_right, book),
            guided=GuidedDialogue(
                opening="What can I do for you?",
                intents=(
                    Intent(does=opening_hours, examples=("when are you open", "opening hours please")),
                    Intent(say="Go on.", examples=("hold on",)),
                ),
                replies={"opening_hours": "We are open until {{ result.until }}."},
                not_understood="I can tell you when we are open.",
            ),
        ),
        Phase(name="menu", on_enter=Press(digits="12#"), prompt="desk/desk.md"),
        Phase(name="closed", on_enter=Say(text="We are closing now. Goodbye."), ends=HangUpAfter()),
        Phase(name="person", on_enter=Say(text="A colleague will help."), ends=TransferTo(target="office")),
    ),
    transitions=(
        Transition(on=HostSignals(name="closing_time"), to="closed"),
        Transition(on=HostSignals(name="a_machine_answers"), to="menu"),
        Transition(on=Requested(name="person", description="They want a person."), to="person"),
        Transition(on=Silent(), to="closed"),
        Transition(on=VoiceFails(), to="person"),
    ),
)
'''

LINES = """
agent: desk
model:
  lines:
    hello:
      - {calls: check_member, arguments: {code: ⟨code⟩}}
    desk:
      - What can I do for you?
      - {calls: opening_hours}
      - We are open until six in the evening.
tools:
  check_member: {result: {member: true}}
  opening_hours: {takes_ms: 300, result: {until: six}}
  book: {result: {booked: "{{ seats }}"}}
"""
"""A file whose model says its lines; a test adds the call."""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the agent lives in."""
    root = tmp_path_factory.mktemp("desk")
    for file, text in {
        "phases/desk/__init__.py": AGENT,
        "prompts/desk/hello.md": "Ask for the code.",
        "prompts/desk/desk.md": "Answer questions.",
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text, encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def reader() -> CallFiles:
    return CallFiles()


numbers = itertools.count()

ReadCalls = Callable[..., CallFile]
Mistake = Callable[..., str]
PlayCall = Callable[..., CallOutcome]


@pytest.fixture
def read(place: Path, reader: CallFiles) -> ReadCalls:
    """Return a function that reads a file with this text, and others beside it."""

    def read_text(text: str, **beside: str) -> CallFile:
        # Included files are read once per reader: other texts need other names.
        folder = place / f"calls{next(numbers)}"
        folder.mkdir()
        for name, content in beside.items():
            (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
        path = folder / "a.call.yaml"
        path.write_text(text, encoding="utf-8")
        return reader.read(path)

    return read_text


@pytest.fixture
def mistake(read: ReadCalls, place: Path) -> Mistake:
    """Return a function that returns what is said about a file that cannot be used, without the folder's name."""

    def mistake_in(text: str, **beside: str) -> str:
        with pytest.raises(ScriptError) as raised:
            read(text, **beside)
        return re.sub(rf"{re.escape(str(place))}/calls\d+/", "", str(raised.value))

    return mistake_in


@pytest.fixture
def play(read: ReadCalls) -> PlayCall:
    """Return a function that plays the conversation of such a file: its call is added to `LINES`."""

    def play_text(
        call: str,
        *,
        head: str = LINES,
        instead: Mapping[str, str] | None = None,
        seed: int | None = None,
        schedules: int = 1,
        runtime: int = 0,
    ) -> CallOutcome:
        for old, new in (instead or {}).items():
            head = head.replace(old, new)
        file = read(f"{head}\nname: a call\n{call}")
        return CallPlayer(file.flow).play(file.scripts[0], seed=seed, schedules=schedules, runtime=runtime)

    return play_text


@pytest.fixture
def desk(read: ReadCalls) -> Flow:
    """The agent's flow."""
    return read(f"{LINES}\nname: a call\ncall: [waits]").flow
