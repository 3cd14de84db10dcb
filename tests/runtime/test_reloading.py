"""Whoever writes an agent saves a file, and the call that they are in goes on with what it says now."""

from __future__ import annotations

import asyncio
import os
import py_compile
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, desk, placed, rules
from voiceagent.core.codec import decode_event, encode_event, encode_outgoing
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import ModelRequest
from voiceagent.core.events import AgentChanged, CallEnded, CallStarted, Event, HostEvent, LegAttached, PhaseSwapped
from voiceagent.core.ids import CallId, Epoch, LegId
from voiceagent.core.state import Inherited
from voiceagent.devices.keyboard import KeyboardLeg, TypedRecognizer, TypedVoiceActivity
from voiceagent.errors import JournalError, PhaseError
from voiceagent.ports import Engines, ReplyModel, ReplyPiece
from voiceagent.runtime import reloading
from voiceagent.runtime.agent_versions import AgentFiles, KeptVersions, files_of, read_files
from voiceagent.runtime.call_tasks import CallTasks
from voiceagent.runtime.cascade import CascadeVoice
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.ears import Ears
from voiceagent.runtime.fresh_modules import PREFIX
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import Journal, encode_header, header_of, parse_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.manners import Manners
from voiceagent.runtime.reloading import NewVersion, NotTaken, Reloading, Saved
from voiceagent.runtime.replay import replay
from voiceagent.runtime.resume import fold
from voiceagent.spec.flow import Flow
from voiceagent.spec.prompt import Prompt
from voiceagent.speech.null import NullSynthesizer
from voiceagent.testing import SimulatedProvider
from voiceagent.testing.promotion import promoted

FLOW = """
from voiceagent import Flow, HangUpAfter, HostSignals, Phase, Say, Transition

from .words import GREETING, MORE

HELP = Phase(
    name="help",
    prompt="shop/help.md",
    on_enter=Say(text=GREETING),
    transitions=(Transition(on=HostSignals(name="more"), to="more"),),
)
MORE_HELP = Phase(
    name="more",
    on_enter=Say(text=MORE),
    transitions=(Transition(on=HostSignals(name="done"), to="goodbye"),),
)
GOODBYE = Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
FLOW = Flow(name="shop", initial="help", phases=(HELP, MORE_HELP, GOODBYE))
"""


class AtOnce(SystemClock):
    """Nobody waits."""

    async def sleep(self, ms: int) -> None:
        await asyncio.sleep(0)


class Author:
    """Somebody with an agent in a folder, in a call with it."""

    def __init__(self, folder: Path) -> None:
        self.agent = folder / "phases" / "shop"
        self.journals = folder / "journals"
        self.agent.mkdir(parents=True)
        (folder / "prompts" / "shop").mkdir(parents=True)
        self.prompt = folder / "prompts" / "shop" / "help.md"
        self.prompt.write_text("Be kind.")
        self.writes("__init__.py", FLOW)
        self.writes("words.py", 'GREETING = "Hello 1."\nMORE = "More 1."\n')
        self.flow = load_flow(self.agent)
        self.kept = KeptVersions(self.journals)
        self.reloading = Reloading(self.agent, self.flow, kept=self.kept, clock=AtOnce())

    def writes(self, file: str, text: str) -> None:
        (self.agent / file).write_text(text)

    def saved(self) -> Saved:
        async def look() -> Saved:
            return await asyncio.wait_for(self.reloading.next(), 20)

        return asyncio.run(look())

    def taken(self) -> NewVersion:
        saved = self.saved()
        assert isinstance(saved, NewVersion), saved
        return saved


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path)


def test_a_changed_prompt_is_taken_and_told(author: Author) -> None:
    author.prompt.write_text("Be brief.")
    new = author.taken()
    assert new.files == ("prompts/shop/help.md",)
    assert [(change.of, change.name, change.after) for change in new.changes] == [("phase", "help", "Be brief.")]
    assert new.event.changes == ("phase help: prompt text",)
    assert new.event.prompts == new.flow.prompt_hashes != author.flow.prompt_hashes


def test_a_module_is_imported_anew_whatever_bytecode_an_interpreter_has_left_of_it(author: Author) -> None:
    words = author.agent / "words.py"
    py_compile.compile(str(words), doraise=True)
    stale = words.stat()
    author.writes("words.py", 'GREETING = "Hello 2."\nMORE = "More 2."\n')
    # In the same second and of the same length: that is all that bytecode knows of its source.
    os.utime(words, ns=(stale.st_atime_ns, stale.st_mtime_ns + 1))
    assert [change.after for change in author.taken().changes] == ["Hello 2.", "More 2."]


def test_code_that_the_flow_does_not_show_is_taken_as_well(author: Author) -> None:
    author.writes("words.py", 'GREETING = "Hello 1."\nMORE = "More 1."\n# said to customers\n')
    new = author.taken()
    assert (new.files, new.changes, new.event.changes) == (("phases/shop/words.py",), (), ("phases/shop/words.py",))


def test_what_cannot_be_spoken_here_is_not_taken(author: Author) -> None:
    def refuse(flow: Flow) -> None:
        raise PhaseError(f"{flow.source}: nobody here speaks Spanish")

    author.reloading = Reloading(author.agent, author.flow, kept=author.kept, clock=AtOnce(), require=refuse)
    author.prompt.write_text("Sé breve.")
    saved = author.saved()
    assert isinstance(saved, NotTaken)
    assert "nobody here speaks Spanish" in saved.reasons[0]


def test_a_mistake_is_told_with_file_and_line_and_the_agent_is_as_it_was(author: Author) -> None:
    author.writes("words.py", 'GREETING = "Hello 2."\nMORE = \n')
    wrong = author.saved()
    assert isinstance(wrong, NotTaken)
    assert wrong.reasons[0].startswith(f"{author.agent / 'words.py'}:2: syntax error")
    author.writes("words.py", 'GREETING = "Hello 2."\nMORE = "More 1."\n')
    assert [change.after for change in author.taken().changes] == ["Hello 2."]


def test_a_flow_that_does_not_pass_the_check_is_not_taken(author: Author) -> None:
    author.writes("__init__.py", FLOW.replace('to="goodbye"', 'to="godbye"').replace('to="more"', 'to="mor"'))
    wrong = author.saved()
    assert isinstance(wrong, NotTaken)
    assert any("__init__.py:" in reason and "'godbye'" in reason for reason in wrong.reasons)
    assert any("'mor'" in reason for reason in wrong.reasons)


def test_another_language_is_for_the_next_call(author: Author) -> None:
    author.writes("__init__.py", FLOW.replace('name="shop",', 'name="shop", locale="en-GB",'))
    wrong = author.saved()
    assert isinstance(wrong, NotTaken)
    assert "the flow's locale was 'en-US' and is 'en-GB': it holds for the next call" in wrong.reasons[0]


@pytest.fixture
def slow(author: Author, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file for which the module that is saved waits while it is imported."""
    go_on = author.journals / "go-on"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(go_on)!r}).exists():\n    time.sleep(0.01)\n"
    author.writes("words.py", f'{waits}GREETING = "Hello 2."\nMORE = "More 1."\n')
    monkeypatch.setattr(reloading, "_LOADED_WITHIN_MS", 1)
    yield go_on
    go_on.touch()
    for thread in threading.enumerate():
        if thread.name == "reloading":
            thread.join(20)


@pytest.mark.timeout(40)
def test_a_module_that_does_not_return_does_not_keep_the_call_from_ending(author: Author, slow: Path) -> None:
    saved = author.saved()
    assert isinstance(saved, NotTaken)
    assert "it is still being loaded" in saved.reasons[0]
    assert not slow.exists(), "the call was over before"


@pytest.mark.timeout(40)
def test_what_takes_its_time_is_taken_when_it_is_loaded(author: Author, slow: Path) -> None:
    async def both() -> tuple[Saved, Saved]:
        first = await author.reloading.next()
        await asyncio.to_thread(slow.touch)
        return first, await author.reloading.next()

    waiting, taken = asyncio.run(both())
    assert isinstance(waiting, NotTaken)
    assert isinstance(taken, NewVersion)
    assert [change.after for change in taken.changes] == ["Hello 2."]


def test_of_what_is_not_taken_no_module_is_kept(author: Author) -> None:
    before = set(sys.modules)
    author.writes("__init__.py", FLOW.replace('to="goodbye"', 'to="godbye"'))
    assert isinstance(author.saved(), NotTaken)
    author.writes("__init__.py", FLOW)
    author.prompt.write_bytes(b"\xff")
    assert isinstance(author.saved(), NotTaken)
    assert {name for name in sys.modules if name.startswith(PREFIX)} <= before


def test_a_script_that_is_written_meanwhile_is_no_part_of_the_agent(author: Author) -> None:
    author.writes("silence.call.yaml", "agent: shop\n")
    author.prompt.write_text("Be brief.")
    assert author.taken().files == ("prompts/shop/help.md",)


def test_a_folder_that_goes_while_it_is_looked_into_is_looked_into_again(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([FileNotFoundError(2, "No such file or directory")])

    def goes_once(folder: Path) -> Iterator[tuple[str, Path]]:
        if (gone := next(looks, None)) is not None:
            raise gone
        return files_of(folder)

    monkeypatch.setattr(reloading, "files_of", goes_once)
    author.prompt.write_text("Be brief.")
    assert author.taken().files == ("prompts/shop/help.md",)


def test_a_file_that_cannot_be_read_is_told_and_not_before_it_was_looked_at_twice(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def refused(folder: Path) -> AgentFiles:
        nonlocal reads
        reads += 1
        raise PermissionError(13, "Permission denied", str(author.prompt))

    monkeypatch.setattr(reloading, "read_files", refused)
    author.prompt.write_text("Be brief.")
    assert author.saved() == NotTaken((f"{author.prompt}: it cannot be read: Permission denied",))
    assert reads == 2
    monkeypatch.undo()
    author.prompt.write_text("Be very brief.")
    assert author.taken().files == ("prompts/shop/help.md",)


def test_whatever_breaks_over_a_save_is_told_and_the_next_one_is_taken(author: Author) -> None:
    def refuse_once(flow: Flow) -> None:
        if flow.prompts["shop/help.md"].static == "Be brief.":
            raise RuntimeError("nobody has thought of that")

    following = Reloading(author.agent, author.flow, kept=author.kept, clock=AtOnce(), require=refuse_once)
    told: list[Saved] = []

    async def two_saves() -> None:
        news = asyncio.Event()

        def tell(saved: Saved) -> None:
            told.append(saved)
            news.set()

        async with following.following(lambda _flow, _event: True, tell), asyncio.timeout(20):
            for text in ("Be brief.", "Be very brief."):
                await asyncio.to_thread(author.prompt.write_text, text)
                await news.wait()
                news.clear()

    asyncio.run(two_saves())
    refused, taken = told
    assert isinstance(refused, NotTaken)
    assert "RuntimeError: nobody has thought of that" in refused.reasons[0]
    assert isinstance(taken, NewVersion)


# --- the record ---


def record(author: Author) -> Journal:
    """A call in which the agent was changed once, as it is read back."""
    author.writes("words.py", 'GREETING = "Hello 1."\nMORE = "More 2."\n')
    new = author.taken()
    inherited = Inherited(CallId("call-1"))
    conversation = Conversation(author.flow, inherited)
    conversation.prepare(new.event.version, new.flow)
    lines = [encode_header(header_of(author.flow, inherited, time_zone="UTC", unix_ms=0))]
    happened: list[Event] = [
        CallStarted("en-US", "UTC", 0, None, None),
        LegAttached(LegId("leg-1"), "test"),
        PhaseSwapped(Epoch(1)),
        new.event,
        HostEvent("more"),
        PhaseSwapped(Epoch(2)),
        CallEnded("over"),
    ]
    for number, event in enumerate(happened):
        lines.append(encode_event(event, number * 100))
        lines += [encode_outgoing(out) for out in conversation.handle(event, number * 100)]
    return parse_journal(b"".join(line + b"\n" for line in lines), Path("call-1.jsonl"))


def changed_in(journal: Journal) -> AgentChanged:
    return next(entry.event for entry in journal.entries if isinstance(entry.event, AgentChanged))


def test_the_change_stands_in_the_journal_as_it_was(author: Author) -> None:
    journal = record(author)
    event = changed_in(journal)
    assert decode_event(encode_event(event, 300)) == (300, event)
    (seen,) = inspect_journal(journal).versions
    assert (seen.version, seen.at_ms, seen.used_ms) == (event.version, 300, 400)
    assert seen.changes == ["phase more: on_enter.text"]


def test_a_call_is_replayed_by_the_versions_that_are_kept_however_the_agent_is_by_now(author: Author) -> None:
    journal = record(author)
    author.writes("words.py", 'GREETING = "Hello 9."\nMORE = "More 9."\n')
    event = changed_in(journal)
    begun_with, later = author.kept.flow(event.before), author.kept.flow(event.version)
    result = replay(journal, begun_with, versions={event.version: later})
    assert result.same, str(result.difference)
    assert result.events == len(journal.entries)


def test_without_the_version_a_call_is_replayed_up_to_the_change_and_not_beyond(author: Author) -> None:
    journal = record(author)
    assert replay(journal, author.flow, until=3).same
    with pytest.raises(JournalError, match=r"by event 4, to version \w+, which is not there: .*`--until 3`"):
        replay(journal, author.flow)


def test_a_version_that_is_not_what_the_journal_says_is_refused(author: Author) -> None:
    journal = record(author)
    with pytest.raises(JournalError, match="is not what event 4 says"):
        replay(journal, author.flow, versions={changed_in(journal).version: author.flow})


def test_a_call_whose_agent_was_changed_is_neither_gone_on_with_nor_promoted(author: Author) -> None:
    journal = record(author)
    with pytest.raises(JournalError, match="was changed while it went on"):
        fold(journal, author.flow)
    with pytest.raises(JournalError, match="was changed in this call, by event 4"):
        promoted(journal, author.flow, agent="shop")


def test_a_version_that_another_call_keeps_in_the_same_moment_is_kept(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    author.prompt.write_text("Be brief.")
    files = read_files(author.agent)
    make = tempfile.mkdtemp

    def meanwhile(dir: Path, prefix: str) -> str:  # noqa: A002 - as it is called
        monkeypatch.undo()
        KeptVersions(author.journals).keep(files)
        return make(dir=dir, prefix=prefix)

    monkeypatch.setattr(tempfile, "mkdtemp", meanwhile)
    author.kept.keep(files)
    assert author.kept.has(files.version)
    assert list((author.journals / "agents").glob(".new-*")) == []


def test_what_is_kept_is_for_its_owner_alone(author: Author) -> None:
    kept = [path for path in (author.journals / "agents").rglob("*") if path.is_file()]
    assert {path.name for path in kept} == {"__init__.py", "words.py", "help.md"}
    assert {path.stat().st_mode & 0o077 for path in kept} == {0}
    with pytest.raises(JournalError, match="version 0123 of the agent is not kept in"):
        author.kept.flow("0123")


def test_code_that_was_put_in_the_place_of_a_version_is_not_run(author: Author) -> None:
    journal = record(author)
    version = changed_in(journal).version
    ran = author.journals / "ran"
    kept = author.journals / "agents" / version / "phases" / "shop" / "words.py"
    kept.write_text(f"open({str(ran)!r}, 'w').close()\n" + kept.read_text())
    with pytest.raises(JournalError, match=f"is not version {version} of the agent any more"):
        author.kept.flow(version)
    assert not ran.exists()


def test_a_version_of_another_user_is_not_run(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    version = changed_in(record(author)).version
    somebody_else = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody_else)
    with pytest.raises(JournalError, match="belongs to another user"):
        author.kept.flow(version)


# --- what is told to whoever speaks and does ---


@pytest.mark.parametrize("swap", BOTH)
def test_a_speech_model_has_the_changed_prompt_and_tools_from_the_next_phase_on(swap: Swapping) -> None:
    flow = desk()
    visits = flow.by_name["visits"].model_copy(update={"tools": flow.by_name["reception"].tools})
    phases = tuple(visits if phase.name == "visits" else phase for phase in flow.phases)
    changed = flow.model_copy(
        update={"phases": phases, "prompts": {**flow.prompts, "desk/visits.md": Prompt("Visits only.")}}
    )
    provider = SimulatedProvider(changed, rules(), swap=swap)
    call = placed(flow, provider)
    call.start()
    call.conversation.prepare("v2", changed)
    call.happens(AgentChanged("v2", "v1", changed.sha256, changed.prompt_hashes)).says("I have a visit")
    setup = provider.sessions[-1].setup
    assert setup.prompt == "Visits only."
    assert [offered.name for offered in setup.tools] == ["opening_hours", "bye"]
    assert "You are at the right counter." in call.really_heard
    assert call.end(replay=False) is None


class Listed:
    """Reply models that tell which flows they were opened for, and which of them are closed."""

    def __init__(self) -> None:
        self.opened: list[Flow] = []
        self.closed = 0

    def open(self, flow: Flow) -> ReplyModel:
        self.opened.append(flow)
        return _Handle(self)


class _Handle:
    def __init__(self, models: Listed) -> None:
        self._models = models

    def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        raise AssertionError("nobody asks")

    async def close(self) -> None:
        self._models.closed += 1


def test_a_cascade_thinks_with_the_changed_flow_and_gives_every_handle_back(author: Author) -> None:
    models, leg = Listed(), KeyboardLeg(LegId("keyboard"), AtOnce())
    engines = Engines(TypedVoiceActivity(), TypedRecognizer(), NullSynthesizer())
    author.prompt.write_text("Be brief.")
    changed = author.taken().flow

    async def main() -> None:
        clock = AtOnce()
        tasks = CallTasks(clock, failed=lambda _: None)
        voice = CascadeVoice(
            ears=Ears(engines.vad.open(leg.audio_in), leg.audio_in, clock, lambda _: None),
            manners=Manners(
                engines,
                author.flow.manner_of(author.flow.phases[0]),
                audio_in=leg.audio_in,
                audio_out=leg.audio_out,
            ),
            model=models.open,
            flow=author.flow,
            leg=leg,
            clock=clock,
            tasks=tasks,
            post=lambda _: None,
        )
        voice.use(changed)
        await voice.close()
        await tasks.close()

    asyncio.run(main())
    assert models.opened == [author.flow, changed]
    assert models.closed == 2
