"""A live model is recorded once and replayed; what it was shown decides, and a change of that is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from voiceagent import Flow, HangUpAfter, Phase, Prompt, Requested, Say, Transition, tool
from voiceagent.core.effects import ModelRequest
from voiceagent.errors import OperatorError, ScriptError, VoiceFailed
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import ReplyModel, ReplyPiece
from voiceagent.testing import ScriptedCall, ask_for, say
from voiceagent.testing.cassettes import CassetteModels, RecordingModels


@tool
async def hours(day: str = "today") -> dict[str, str]:
    """When the shop is open on a day."""
    raise AssertionError("scripted tools never run")


def shop(prompt: str = "You answer the telephone of a shop.") -> Flow:
    return Flow(
        name="shop",
        initial="help",
        prompts={"help.md": Prompt(prompt)},
        phases=(
            Phase(
                name="help",
                prompt="help.md",
                on_enter=Say(text="Hello."),
                tools=(hours,),
                transitions=(Transition(on=Requested(name="finish", description="They are done."), to="bye"),),
            ),
            Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
    )


class LiveModels:
    """Stands for a provider: it counts how often it is asked, and fails when told to."""

    def __init__(self, *lines: list[ReplyPiece] | None) -> None:
        self.lines = list(lines)
        self.asked = 0

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> ReplyModel:
        del flow, locale, time_zone
        return self

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        del request
        self.asked += 1
        line = self.lines.pop(0)
        if line is None:
            raise VoiceFailed("overloaded")
        for piece in line:
            yield piece

    async def close(self) -> None:
        pass


LINES = (ask_for("hours", '{"day": "monday"}'), say("From nine to six."), ask_for("finish"))


def conversation(flow: Flow, model: ReplyModel) -> ScriptedCall:
    call = ScriptedCall(flow, model=model, tools={"hours": {"opens": "nine"}}).start()
    return call.says("When are you open on Monday?").says("Thank you, goodbye.")


def opened(models: RecordingModels | CassetteModels, flow: Flow) -> ReplyModel:
    return models.open(flow, locale="en-US", time_zone="UTC")


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    path = tmp_path / "shop.cassette.jsonl"
    recording = RecordingModels(LiveModels(*LINES), path)
    call = conversation(shop(), opened(recording, shop()))
    assert call.ended
    asyncio.run(recording.close())
    return path


def test_a_recording_says_what_the_model_said(cassette: Path) -> None:
    live = conversation(shop(), LiveModels(*LINES).open(shop(), locale="en-US", time_zone="UTC"))
    replayed = conversation(shop(), opened(CassetteModels(cassette), shop()))
    assert replayed.heard == live.heard
    assert replayed.tool_runs == live.tool_runs == [("hours", {"day": "monday"})]
    replayed.assert_replays()


def test_every_call_begins_at_the_beginning(cassette: Path) -> None:
    models = CassetteModels(cassette)
    assert conversation(shop(), opened(models, shop())).heard == conversation(shop(), opened(models, shop())).heard


def test_another_pace_is_not_another_request(cassette: Path) -> None:
    call = ScriptedCall(shop(), model=opened(CassetteModels(cassette), shop()), tools={"hours": {"opens": "nine"}})
    call.start().run_ms(2_000).says("When are you open on Monday?")
    assert call.heard[-1] == "From nine to six."


@pytest.mark.parametrize(
    ("flow", "says", "change"),
    [
        (shop("You answer the phone."), "When are you open on Monday?", r"`prompt` is \"You answer the phone.\", not "),
        (shop(), "When do you open?", r"`history\[1\].text` is \"When do you open\?\", not \"When are you open"),
    ],
)
def test_a_request_that_has_changed_is_named(cassette: Path, flow: Flow, says: str, change: str) -> None:
    call = ScriptedCall(flow, model=opened(CassetteModels(cassette), flow), tools={}).start()
    with pytest.raises(ScriptError, match=f"out of date: in phase 'help' {change}"):
        call.says(says)


def test_a_tool_whose_schema_has_changed_is_named(cassette: Path) -> None:
    @tool(effect="write")
    async def hours(week: int) -> None:
        """When the shop is open on a day."""

    flow = shop()
    phases = (flow.phases[0].model_copy(update={"tools": (hours,)}), flow.phases[1])
    changed = flow.model_copy(update={"phases": phases})
    call = ScriptedCall(changed, model=opened(CassetteModels(cassette), changed), tools={}).start()
    with pytest.raises(ScriptError, match=r"`tools.hours.parameters.properties.day` is gone"):
        call.says("When are you open on Monday?")


def test_a_reply_that_failed_is_not_recorded(tmp_path: Path) -> None:
    async def record() -> None:
        models = RecordingModels(LiveModels(None, say("Nine.")), tmp_path / "c.jsonl")
        request = await _request()
        with pytest.raises(VoiceFailed):
            _ = [piece async for piece in opened(models, shop()).reply(request)]
        _ = [piece async for piece in opened(models, shop()).reply(request)]
        await models.close()

    async def _request() -> ModelRequest:
        call = ScriptedCall(shop(), model=GuidedModels().open(shop(), locale="en-US", time_zone="UTC"))
        return call.start().conversation._phasing.model_request()  # pyright: ignore[reportPrivateUsage] - what a model would be shown now

    asyncio.run(record())
    assert len((tmp_path / "c.jsonl").read_text().splitlines()) == 2


def test_a_cassette_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    models = RecordingModels(LiveModels(), tmp_path / "nowhere" / "c.jsonl")
    with pytest.raises(OperatorError, match=r"nowhere/c.jsonl cannot be written: No such file"):
        asyncio.run(models.close())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"", "not a cassette of schema 1"),
        (b"\xff\xfe", "not text"),
        (b"rubbish\n", ":1: not a line of JSON"),
        (b'{"cassette":2}\n', "not a cassette of schema 1"),
        (b'{"cassette":1}\n[]\n', ":2: not an object"),
        (b'{"cassette":1}\n{"shown":{}}\n', ":2: not a recorded reply"),
        (b'{"cassette":1}\n{"shown":{},"said":[{"piece":"Song","with":{}}]}\n', ":2: not a recorded reply"),
        (b'{"cassette":1}\n{"shown":{},"said":[{"piece":"SentText","with":{"text":7}}]}\n', ":2: not a recorded"),
        (b"[" * 100_000, ":1: not a line of JSON"),
    ],
)
def test_what_is_no_cassette_is_refused_with_its_line(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "c.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScriptError, match=problem):
        CassetteModels(path)
