"""`voiceagent call AGENT`: what was said, where its journal is, and whether anything broke."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Run, Shop
from voiceagent.cli.synthetic_call import problems_of
from voiceagent.core.conversation import Conversation
from voiceagent.core.events import PhaseSwapped
from voiceagent.runtime.call_summary import CallSummary, ToolSeen
from voiceagent.testing import CallerScript, place_call
from voiceagent.testing.caller_script import HangUpStep, WaitStep

HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
"""A process of its own runs this package too."""


def placed(shop: Shop, *steps: str) -> tuple[str, ...]:
    return ("call", "shop", "--engines", "null", "--script", shop.script(*steps))


def test_a_call_says_what_was_said_and_where_its_journal_is(shop: Shop, voiceagent: Run) -> None:
    code, said, complained = voiceagent(*placed(shop, "wait_for: agent_done", "hang_up"), "--record", "call.wav")
    assert (code, complained) == (0, "")
    (journal,) = Path("journals").glob("*.jsonl")
    assert "  agent: Hello." in said
    assert f"journal: {journal}" in said
    assert "recording: call.wav" in said
    assert "closed by the caller (the caller hung up)" in said
    assert voiceagent("inspect", str(journal))[0] == 0
    code, said, _ = voiceagent("replay", str(journal), "--agent", "shop")
    assert code == 0
    assert said.endswith("events: the same effects, byte for byte\n")


def test_a_call_for_machines_has_the_agents_side_too(shop: Shop, voiceagent: Run) -> None:
    _, said, _ = voiceagent(*placed(shop, "wait_for: agent_done", "hang_up"), "--json", "--journals", "kept")
    report = json.loads(said)
    assert report["failure"] is None
    assert report["agent"]["problems"] == []
    assert ["agent", "Hello."] in report["agent"]["transcript"]
    assert Path(report["agent"]["journal"]).parent == Path("kept")


def test_a_script_that_was_not_followed_is_told_with_its_line(shop: Shop, voiceagent: Run) -> None:
    code, _, complained = voiceagent(*placed(shop, "wait_for: agent_done", "expect_hang_up: {within_ms: 100}"))
    assert code == 1
    assert "caller.yaml:4: step 2: the agent did not hang up within 100 ms" in complained


def test_a_call_whose_session_failed_is_told_though_the_caller_noticed_nothing(
    shop: Shop, voiceagent: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = Conversation.handle

    def breaks(conversation: Conversation, event: object, now_ms: int) -> object:
        if isinstance(event, PhaseSwapped):
            raise ZeroDivisionError
        return handle(conversation, event, now_ms)  # pyright: ignore[reportArgumentType] - the method it stands for

    monkeypatch.setattr(Conversation, "handle", breaks)
    code, _, complained = voiceagent(*placed(shop, "wait_ms: 100"))
    assert code == 1
    assert "voiceagent: the agent's session failed: internal error" in complained


@pytest.mark.timeout(30)
def test_a_server_says_where_it_can_be_called_and_stops_at_a_signal(shop: Shop) -> None:
    command = [sys.executable, "-m", "voiceagent.cli", "serve", "shop", "--insecure", "--port", "0"]
    command += ["--engines", "null", "--host", "0.0.0.0"]  # noqa: S104 - what the warning is about
    server = subprocess.Popen(  # noqa: S603 - this repository's own program
        command, cwd=shop.folder, env=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert server.stdout is not None
        lines = list(itertools.takewhile(lambda line: "journals in" not in line, server.stdout))
        server.send_signal(signal.SIGINT)
        rest, _ = server.communicate(timeout=20)
    finally:
        server.kill()
    said = "".join(lines) + rest
    assert "serving shop: media ws://0.0.0.0:" in said
    assert "/media/twilio/shop\n" in said
    assert "--insecure on 0.0.0.0: whoever reaches this machine may call" in said
    assert "Traceback" not in said
    assert server.returncode == 0


@pytest.mark.timeout(30)
def test_a_server_records_and_logs_as_it_is_told(shop: Shop) -> None:
    old = shop.folder / "journals" / "CA1.jsonl"
    old.parent.mkdir()
    old.write_text('{"journal": {"inherited": {"call": "CA1"}}}\n')
    os.utime(old, (0, 0))
    command = [sys.executable, "-m", "voiceagent.cli", "serve", "shop", "--insecure", "--port", "0"]
    command += ["--engines", "null", "--record", "sounds", "--log-format", "json"]
    server = subprocess.Popen(  # noqa: S603 - this repository's own program
        command, cwd=shop.folder, env=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        (url,) = [
            line.split("media ")[1].strip()
            for line in itertools.takewhile(lambda line: "journals in" not in line, server.stdout)
            if "media " in line
        ]
        asyncio.run(place_call(url, CallerScript("test", (WaitStep(1_000), HangUpStep()))))
        server.send_signal(signal.SIGTERM)
        _, logged = server.communicate(timeout=20)
    finally:
        server.kill()
    events = [json.loads(line)["event"] for line in logged.splitlines()]
    assert any(event.startswith("purged 1 records") for event in events)
    assert not old.exists()
    assert sorted(file.suffix for file in (shop.folder / "sounds").iterdir()) == [".json", ".wav"]
    assert server.returncode == 0


@pytest.mark.parametrize("option", ["--keep-journals", "--keep-recordings"])
def test_for_how_long_records_are_kept_is_asked_before_a_call(shop: Shop, voiceagent: Run, option: str) -> None:
    code, _, complained = voiceagent("serve", "shop", "--insecure", option, "always")
    assert code == 1
    assert f"{option} is 'always', but must be a number of days, or 'forever'" in complained


@pytest.mark.parametrize("module", ["voiceagent.cli.commands", "uvicorn"])
def test_ctrl_c_while_the_command_is_still_loading_is_no_traceback(module: str) -> None:
    program = (
        "import os, signal, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # shells have it ignored in the background
        "from voiceagent.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, "serve", "shop"]
    done = subprocess.run(  # noqa: S603 - this repository's own program
        command, env=HERE, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_a_tool_that_crashed_is_a_problem_of_the_agents_side() -> None:
    crashed = ToolSeen("opening_hours", 0, 10, "crashed", "TypeError", prefetch=False)
    finished = ToolSeen("other", 0, 10, "finished", None, prefetch=False)
    summary = CallSummary(
        call="c",
        flow="shop",
        flow_sha256="",
        duration_ms=0,
        ended="caller hung up",
        phases=[],
        turns=[],
        tools=[crashed, finished, crashed],
        served=[],
        fillers=[],
        floor=[],
        barge_ins=[],
        problems=[],
        longest_dead_air_ms=0,
        response_ms={},
        tokens=[],
    )
    assert problems_of(summary) == ["the tool opening_hours crashed: see the log above"]
    assert problems_of(replace(summary, tools=[])) == []
    assert problems_of(replace(summary, tools=[], ended=None)) == ["the agent's session failed: its journal breaks off"]
