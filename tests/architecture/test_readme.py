"""What the README shows is run: its agent passes the check and its test passes."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer.core
import typer.main

from voiceagent.audio import write_wav
from voiceagent.cli.commands import app
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.verify import verify
from voiceagent.testing import CallerScript

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("**/*.md")))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    agent, _ = blocks("python")
    (tmp_path / "phases" / "shop").mkdir(parents=True)
    (tmp_path / "phases" / "shop" / "__init__.py").write_text(agent)
    (tmp_path / "prompts" / "shop").mkdir(parents=True)
    (tmp_path / "prompts" / "shop" / "help.md").write_text(blocks("markdown")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_agent_in_thirty_lines_has_nothing_wrong(shop: Path) -> None:
    assert verify(load_flow("shop")) == []


def test_the_test_of_that_agent_passes(shop: Path) -> None:
    _, test = blocks("python")
    names: dict[str, object] = {}
    exec(compile(test, "README.md", "exec"), names)  # noqa: S102 - our own README
    run = names["test_the_shop_tells_its_hours"]
    assert callable(run)
    run()


@pytest.fixture
def caller(shop: Path) -> Path:
    """The caller's script, and the sentences that its reader is told to record."""
    (script,) = blocks("yaml")
    (shop / "caller.yaml").write_text(script)
    for name in re.findall(r"say: (\S+\.wav)", script):
        write_wav(shop / name, (b"\x00\x20" * 20 + b"\x00\xe0" * 20) * 400, rate_hz=16_000)  # a tone of 400 Hz
    return shop / "caller.yaml"


def test_the_callers_script_can_be_read(caller: Path) -> None:
    pytest.importorskip("soxr", reason="needs the extra 'local'")
    assert len(CallerScript.read(caller).steps) == 5


def test_the_steps_that_are_named_beside_it_are_steps(caller: Path) -> None:
    pytest.importorskip("soxr", reason="needs the extra 'local'")
    told = re.search(r"Other steps are\n(.*?)\. Then:", README.read_text(), flags=re.DOTALL)
    assert told is not None
    steps = re.findall(r"`([^`]+)`", told[1])
    shutil.copy(caller.with_name("hours.wav"), caller.with_name("stop.wav"))
    caller.write_text("name: others\nsteps:\n" + "".join(f"  - {step}\n" for step in steps))
    assert len(CallerScript.read(caller).steps) == len(steps) == 4


def commands() -> list[list[str]]:
    """Return every command line of `voiceagent` in the README and the pages behind it."""
    lines = [line for page in PAGES for line in page.read_text().replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if re.match(r"voiceagent [a-z]+ ", line)]


def test_every_command_has_the_options_that_it_is_shown_with() -> None:
    assert len(commands()) >= 5
    tree = typer.main.get_command(app)
    assert isinstance(tree, typer.core.TyperGroup)
    for name, *arguments in commands():
        tree.commands[name].make_context(name, list(arguments))


def test_the_agent_is_thirty_lines() -> None:
    agent, _ = blocks("python")
    assert len(agent.splitlines()) <= 30


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, part = target.partition("#")
        beside = page.parent / path if path else page
        assert beside.exists(), target
        if part:
            headings = re.findall(r"^#+ (.*)$", beside.read_text(), flags=re.MULTILINE)
            assert part in [re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings], target
