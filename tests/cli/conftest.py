"""An author's folder with a small agent in it, and the command line, run in it as a person would."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from voiceagent.cli import main

AGENT = """
from voiceagent import Flow, HangUpAfter, Phase, Requested, Say, ToolContext, Transition, tool


@tool{egress}
async def opening_hours(ctx: ToolContext) -> object:
    "When the shop is open."
    return {body}


HELP = Phase(
    name="help",
    prompt="shop/help.md",
    tools=(opening_hours,),
    on_enter=Say(text="Hello."),
    transitions=(Transition(on=Requested(name="finish", description="Done."), to="{then}"),),
)
GOODBYE = Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
FLOW = Flow(name="shop", initial="help", phases=(HELP, GOODBYE))
"""


@dataclass(frozen=True, slots=True)
class Shop:
    """A folder in which an agent called `shop` is."""

    folder: Path

    def write(
        self, *, body: str = '{"opens": "nine"}', then: str = "goodbye", beside: str = ".", egress: str = ""
    ) -> None:
        for made in (self.folder / beside / "phases" / "shop", self.folder / beside / "prompts" / "shop"):
            made.mkdir(parents=True, exist_ok=True)
        agent = AGENT.replace("{body}", body).replace("{then}", then).replace("{egress}", egress)
        (self.folder / beside / "phases" / "shop" / "__init__.py").write_text(agent)
        (self.folder / beside / "prompts" / "shop" / "help.md").write_text("Be kind.")

    def script(self, *steps: str) -> str:
        lines = "\n".join(f"  - {step}" for step in steps)
        (self.folder / "caller.yaml").write_text(f"name: test\nsteps:\n{lines}\n")
        return "caller.yaml"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(tmp_path)
    for name in ("TWILIO_AUTH_TOKEN", "VOICEAGENT_PUBLIC_URL", "VOICEAGENT_SERVICE_URL", "VOICEAGENT_STATE"):
        monkeypatch.delenv(name, raising=False)
    for provider in ("OPENAI", "ANTHROPIC"):
        monkeypatch.delenv(f"{provider}_BASE_URL", raising=False)
        monkeypatch.delenv(f"{provider}_API_KEY", raising=False)
    made = Shop(tmp_path)
    made.write()
    return made


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    """Let what a command says of logging end with its test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def voiceagent(logs_as_before: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command line and returns its exit code, output and complaints."""
    del logs_as_before

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["voiceagent", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        seen = capsys.readouterr()
        return int(left.value.code or 0), seen.out, seen.err

    return run
