"""Loading an agent: whatever is wrong with what an author wrote is told with its file and line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pydantic
import pytest

from voiceagent.errors import PhaseError
from voiceagent.runtime.loader import load_flow

GOOD = """
from voiceagent import Flow, HangUpAfter, Phase, Say

from .words import HELLO

FLOW = Flow(
    name="shop",
    initial="bye",
    phases=(Phase(name="bye", prompt="shop/bye.md", on_enter=Say(text=HELLO), ends=HangUpAfter()),),
)
"""
WORDS = 'HELLO = "Hello."\n'

Write = Callable[..., Path]


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes an agent called `shop` below the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(init: str = GOOD, words: str = WORDS, *, prompt: bytes = b"Say goodbye.") -> Path:
        folder = tmp_path / "phases" / "shop"
        prompts = tmp_path / "prompts" / "shop"
        for made in (folder, prompts):
            made.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(init)
        (folder / "words.py").write_text(words)
        (prompts / "bye.md").write_bytes(prompt)
        return folder

    return write


def complaint(agent: str | Path) -> tuple[str, str, int]:
    """Load an agent that cannot be loaded; return what is said, in which file, on which line."""
    with pytest.raises(PhaseError) as refusal:
        load_flow(agent)
    source = refusal.value.source
    return str(refusal.value), Path(source.file).name if source else "", source.line if source else 0


# --- what is right ---------------------------------------------------------------------------------------------------


def test_an_agent_is_loaded_by_its_name_or_by_its_folder(author: Write) -> None:
    folder = author()
    assert load_flow("shop").sha256 == load_flow(folder).sha256


def test_prompts_come_from_the_folder_beside_the_phases(author: Write) -> None:
    author(prompt="Café, bitte.".encode())
    flow = load_flow("shop")
    assert flow.prompt_of(flow.phase("bye")).static == "Café, bitte."
    assert flow.prompts["shop/bye.md"].source.line == 1


def test_two_loads_have_modules_of_their_own(author: Write) -> None:
    author()
    before = load_flow("shop")
    author(words='HELLO = "Good evening."\n')
    after = load_flow("shop")
    assert before.sha256 != after.sha256
    assert "Good evening." in str(after.phases[0].on_enter)
    assert "Hello." in str(before.phases[0].on_enter)


def test_what_failed_to_load_leaves_no_module_behind(author: Write) -> None:
    author(words="HELLO = 1 / 0\n")
    before = set(sys.modules)
    complaint("shop")
    assert {name for name in sys.modules if name not in before and "shop" in name} == set()


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_an_unknown_agent_is_told_with_the_nearest_name(author: Write) -> None:
    author()
    said, _, _ = complaint("shpo")
    assert said == "there is no agent 'shpo'; did you mean 'shop'?"


def test_an_agent_like_no_other_is_told_which_there_are(author: Write) -> None:
    author()
    assert complaint("airline")[0] == "there is no agent 'airline'; there are: shop"


def test_a_name_that_no_folder_can_have_is_an_unknown_agent(author: Write) -> None:
    author()
    assert complaint("x" * 300)[0].startswith("there is no agent 'xxx")


def test_a_folder_without_agents_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no folder phases/ with agents here" in complaint("shop")[0]


def test_a_syntax_error_has_its_line(author: Write) -> None:
    author(words='# words\n\nHELLO = "Hello\n')
    said, file, line = complaint("shop")
    assert "syntax error: unterminated string literal" in said
    assert (file, line) == ("words.py", 3)


def test_an_unknown_key_is_told_with_the_nearest_one_and_its_line(author: Write) -> None:
    author(GOOD.replace("prompt=", "promt="))
    said, file, line = complaint("shop")
    assert "promt: Extra inputs are not permitted; did you mean 'prompt'?" in said
    assert (file, line) == ("__init__.py", 9)


@pytest.mark.parametrize(
    ("right", "wrong", "field"),
    [
        ("HangUpAfter()),)", "HangUpAfter()))", "Flow: phases"),
        ("ends=HangUpAfter()),)", 'filler=Filler(phrases=("Hm."))),)', "Filler: phrases"),
    ],
)
def test_a_comma_that_is_missing_is_told_once(author: Write, right: str, wrong: str, field: str) -> None:
    words = "from voiceagent import Filler\n" + WORDS
    author(GOOD.replace("import HELLO", "import HELLO, Filler").replace(right, wrong), words)
    name = field.rsplit(maxsplit=1)[-1]
    said, file, _ = complaint("shop")
    assert said.endswith(f"{field}: a comma is missing: a single one is written `{name}=(…,)`")
    assert file == "__init__.py"


def test_a_tool_without_its_comma_is_told_as_well(author: Write) -> None:
    words = 'from voiceagent import tool\n\n@tool\nasync def f():\n    "Do."\n\nHELLO = ""\n'
    author(GOOD.replace("import HELLO", "import HELLO, f").replace('name="bye",', 'name="bye", tools=(f),'), words)
    assert "Phase: tools: a comma is missing" in complaint("shop")[0]


def test_a_value_that_does_not_fit_is_told_with_its_key_and_line(author: Write) -> None:
    author(GOOD.replace('name="bye"', 'name="Bye Bye"'))
    said, file, line = complaint("shop")
    assert "Phase: name: Value error, a phase name is lower case letters, digits and underscores" in said
    assert (file, line) == ("__init__.py", 9)


def test_an_exception_at_import_has_the_authors_line_and_not_a_librarys(author: Write) -> None:
    author(words="import json\n\nHELLO = json.loads('{')\n")
    said, file, line = complaint("shop")
    assert "JSONDecodeError" in said
    assert (file, line) == ("words.py", 3)


def test_a_module_that_is_not_there_is_told_where_it_was_wanted(author: Write) -> None:
    author(words="import no_such_module_anywhere\nHELLO = ''\n")
    said, file, line = complaint("shop")
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in said
    assert (file, line) == ("words.py", 1)


def test_a_tool_that_cannot_be_one_has_the_line_of_its_function(author: Write) -> None:
    author(words='from voiceagent import tool\n\n@tool\nasync def f():\n    pass\n\nHELLO = ""\n')
    said, file, line = complaint("shop")
    assert "tool 'f' needs a docstring" in said
    assert (file, line) == ("words.py", 3)


@pytest.mark.parametrize("init", ["", "FLOW = None\n", "from .words import HELLO as FLOW\n"])
def test_a_package_without_a_flow_says_so(author: Write, init: str) -> None:
    author(init)
    said, file, _ = complaint("shop")
    assert "the package has no FLOW" in said
    assert file == "__init__.py"


# --- prompts ---------------------------------------------------------------------------------------------------------


def test_a_prompt_that_leads_out_of_its_folder_is_refused(author: Write, tmp_path: Path) -> None:
    author()
    (tmp_path / "secret.md").write_text("private")
    (tmp_path / "prompts" / "shop" / "leak.md").symlink_to(tmp_path / "secret.md")
    said, file, _ = complaint("shop")
    assert "the prompt leads out of its folder" in said
    assert file == "leak.md"


def test_a_folder_of_prompts_that_leads_elsewhere_is_not_followed(author: Write, tmp_path: Path) -> None:
    author()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.md").write_text("private")
    (tmp_path / "prompts" / "shop" / "linked").symlink_to(tmp_path / "elsewhere")
    assert list(load_flow("shop").prompts) == ["shop/bye.md"]


def test_a_prompt_that_is_not_utf_8_is_refused(author: Write) -> None:
    author(prompt="Café".encode("latin-1"))
    said, file, _ = complaint("shop")
    assert "the prompt is not UTF-8" in said
    assert file == "bye.md"


def test_a_prompt_that_is_too_large_is_refused(author: Write) -> None:
    author(prompt=b"a" * (64 * 1024 + 1))
    said, file, _ = complaint("shop")
    assert "larger than 65536 bytes" in said
    assert file == "bye.md"


def test_a_prompt_that_is_just_small_enough_is_taken(author: Write) -> None:
    author(prompt=b"a" * (64 * 1024))
    assert len(load_flow("shop").prompts["shop/bye.md"].text) == 64 * 1024


def test_a_line_is_the_authors_where_packages_are_reached_by_a_link(tmp_path: Path) -> None:
    linked = tmp_path / "site-packages"
    linked.symlink_to(Path(pydantic.__file__).parents[1])
    flow = tmp_path / "written.py"
    flow.write_text("import voiceagent\n\nPHASE = voiceagent.Phase(name='talk')\nprint(PHASE.source)\n")
    paths = os.pathsep.join([str(linked), str(Path(__file__).parents[2])])
    said = subprocess.run(  # noqa: S603 - no shell, nothing that anybody gave
        [sys.executable, str(flow)], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, check=True, text=True
    )
    assert said.stdout == f"{flow}:3\n"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ('tries: int = "many"', "no call can begin with these facts: tries: Input should be a valid integer"),
        ('picture: bytes = b"\\xff"', "these facts cannot be kept as JSON: 'utf-8' codec"),
        ('tries: int = Field(default=0, alias="attempts")', "these facts cannot be kept as JSON: fact tries: Extra"),
    ],
)
def test_facts_that_no_call_can_begin_with_are_refused_before_one_does(author: Write, field: str, said: str) -> None:
    facts = f"from pydantic import Field\nfrom voiceagent import Facts\n\nclass Known(Facts):\n    {field}\n"
    folder = author(facts + GOOD.replace("phases=(", "facts=Known,\n    phases=("))
    with pytest.raises(PhaseError) as refusal:
        load_flow(folder)
    assert str(refusal.value).startswith(f"{folder}/__init__.py:4: {said}")


def test_an_exception_of_several_lines_is_told_in_one(author: Write) -> None:
    with pytest.raises(PhaseError, match=r"__init__\.py:1: ValueError: one two$"):
        load_flow(author('raise ValueError("one\\ntwo")\n'))


def test_a_flow_of_another_name_is_named(author: Write) -> None:
    with pytest.raises(PhaseError, match="the package has no FLOW: Shop must be called so"):
        load_flow(author(GOOD.replace("FLOW =", "Shop =")))


def test_an_agents_folder_may_have_any_name(author: Write) -> None:
    folder = author()
    assert load_flow(folder.rename(folder.parent / "shop.v2 (new)")).name == "shop"


def test_only_files_are_prompts(author: Write) -> None:
    folder = author()
    prompts = folder.parent.parent / "prompts" / "shop"
    (prompts / "old.md").mkdir()
    assert list(load_flow(folder).prompts) == ["shop/bye.md"]
    (prompts / "lost.md").symlink_to("nowhere.md")
    with pytest.raises(PhaseError, match=r"lost\.md: the prompt is no file that can be read"):
        load_flow(folder)
