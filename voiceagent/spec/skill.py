"""Skills: a phase as a folder in the open Agent Skills format, a SKILL.md beside its tools.

The front matter says `name`, `description` and `allowed-tools`; the text below it is the prompt
(https://agentskills.io/specification).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.declared import author_frame, written_at
from voiceagent.spec.located_yaml import LocatedYaml, read_text
from voiceagent.spec.phase import SKILL_FILE
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Tool
from voiceagent.spec.yaml_code import AgentCode, is_reference
from voiceagent.spec.yaml_files import place_in

__all__ = ["Skill", "read_skill", "skill_of_author", "skill_prompt"]

_MOST_BYTES = 64 * 1024
_FENCE = "---"
_TOOLS = "tools"


class _FrontMatter(BaseModel):
    """The keys that the format knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$", max_length=64)
    description: str = Field(min_length=1, max_length=1_024)
    license: str | None = None
    compatibility: str | None = Field(default=None, max_length=500)
    metadata: Mapping[str, JsonValue] = Field(default_factory=dict)
    allowed_tools: str | list[str] = Field(default="", alias="allowed-tools")


@dataclass(frozen=True, slots=True)
class Skill:
    """What a SKILL.md says of a phase."""

    name: str
    """As a phase is called: with underscores for the hyphens of the format."""
    prompt: str
    """The file of the prompt, as the phase names it: `<agent>/<folder>/SKILL.md`."""
    tools: tuple[Tool, ...]
    source: Source
    """Where the phase asks for the skill."""

    def with_the_rest(self, declared: Mapping[str, object]) -> dict[str, object]:
        """Return the fields of the phase; PhaseError for what the skill says and is declared once more."""
        said = {"name": self.name, "prompt": self.prompt, "tools": self.tools}
        for field in said:
            if field in declared:
                raise PhaseError(f"{field!r} stands in the skill {self.name!r} already", source=self.source)
        return {**said, **declared}


def read_skill(code: AgentCode, folder: str, asked_at: Source) -> Skill:
    """Return the skill in a folder of the agent's.

    Its tools are functions of the `tools.py` beside the SKILL.md or, where there is none, of the agent's; one of
    another module is named `module:function`. Raises PhaseError, with file and line, for whatever is wrong.
    """
    file = _file_in(code.folder, folder, asked_at)
    place = file.parent.relative_to(code.folder).as_posix()
    matter, lines, _ = _halves(file)
    if matter.name.replace("-", "_") != file.parent.name.replace("-", "_"):
        message = f"the skill is called {matter.name!r} and its folder {file.parent.name!r}: they must be the same"
        raise PhaseError(message, source=lines.source(("name",)))
    named = matter.allowed_tools
    names = re.split(r"[\s,]+", named.strip()) if isinstance(named, str) and named.strip() else named or []
    source = lines.source(("allowed-tools",))
    references = [name if is_reference(name) else f"{_TOOLS}:{name}" for name in names]
    for name, reference in zip(names, references, strict=True):
        if not is_reference(reference):
            raise PhaseError(f"{name!r} is no name of a tool", source=source)
    tools = tuple(code.tool(reference, source, below=place) for reference in references)
    return Skill(matter.name.replace("-", "_"), f"{code.folder.name}/{place}/{SKILL_FILE}", tools, asked_at)


def skill_of_author(folder: str) -> Skill:
    """Return the skill in a folder of the agent whose Python is being loaded; PhaseError outside of an agent."""
    frame = author_frame()
    package = str(frame.f_globals.get("__package__") or "").partition(".")[0] if frame is not None else ""
    places = list(getattr(sys.modules.get(package), "__path__", []))
    if not places:
        raise PhaseError("a skill belongs to an agent: only the package of one can read it", source=written_at())
    return read_skill(AgentCode(Path(places[0]).resolve(), package), folder, written_at())


def skill_prompt(agent: Path, prompt: str, asked_at: Source) -> Prompt:
    """Return the prompt of a skill, by the name that its phase has for it; `agent` is the agent's folder."""
    folder = prompt.removeprefix(f"{agent.name}/").removesuffix(f"/{SKILL_FILE}")
    return _halves(_file_in(agent, folder, asked_at))[2]


def _file_in(agent: Path, folder: str, asked_at: Source) -> Path:
    file = place_in(agent, f"{folder}/{SKILL_FILE}", asked_at)
    if file.parent == agent:
        raise PhaseError(f"the skill {folder!r} is the agent's own folder: it needs one of its own", source=asked_at)
    if not file.is_file():
        known = [skill.parent.relative_to(agent).as_posix() for skill in sorted(agent.rglob(SKILL_FILE))]
        raise PhaseError(f"there is no {folder}/{SKILL_FILE}{nearest(folder, known)}", source=asked_at)
    return file


def _halves(file: Path) -> tuple[_FrontMatter, LocatedYaml, Prompt]:
    """Return the front matter, its lines, and the prompt below it."""
    lines = read_text(file, wrong=PhaseError, max_bytes=_MOST_BYTES).splitlines()
    fences = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE][:2]
    if fences[:1] != [0]:
        raise PhaseError(f"a skill begins with a line `{_FENCE}` and its front matter", source=Source(str(file), 1))
    if len(fences) < 2:
        raise PhaseError(f"the front matter does not end: a line `{_FENCE}` is missing", source=Source(str(file), 1))
    if not any(line.strip() for line in lines[1 : fences[1]]):
        raise PhaseError("the front matter is empty: `name` and `description` are missing", source=Source(str(file), 1))
    # An empty line instead of the fence, so that every line has the number that it has in the file.
    yaml = LocatedYaml.parse("\n".join(["", *lines[1 : fences[1]]]), str(file), wrong=PhaseError)
    body = Prompt("\n".join(lines[fences[1] + 1 :]), Source(str(file), fences[1] + 2))
    if not body.static:
        raise PhaseError("the skill has no text below its front matter: that is the prompt", source=body.source)
    if not isinstance(yaml.content, dict):
        message = "the front matter is keys and values: name, description, allowed-tools"
        raise PhaseError(message, source=yaml.source(()))
    return yaml.check(_FrontMatter, yaml.content, ()), yaml, body
