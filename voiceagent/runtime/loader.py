"""Loading an agent: its phases from a folder of Python, its prompts from the folder beside it."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import sys
import traceback
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.flow import Flow
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Tool

__all__ = ["load_flow"]

_MOST_PROMPT_BYTES = 64 * 1024
_loads = itertools.count(1)


def load_flow(agent: str | Path) -> Flow:
    """Return the flow of an agent, given as a folder or as the name of one below `phases/`.

    Its prompts are those below `prompts/<agent>/`, beside `phases/`. Every load gets modules of its own, so that a
    changed agent can be loaded beside the old one. Raises PhaseError, with file and line, for whatever is wrong.
    """
    folder = _folder_of(agent)
    flow = _flow_in(_imported(folder), folder)
    prompts = _prompts(folder.parent.parent / "prompts", folder.name)
    return flow.model_copy(update={"prompts": {**flow.prompts, **prompts}})


def _folder_of(agent: str | Path) -> Path:
    given = Path(agent)
    folder = given if _is_package(given) else Path("phases") / given
    if not _is_package(folder):
        known = sorted(entry.parent.name for entry in Path("phases").glob("*/__init__.py"))
        listed = f"; there are: {', '.join(known)}" if known else "; there is no folder phases/ with agents here"
        raise PhaseError(f"there is no agent {str(agent)!r}{nearest(str(agent), known) or listed}")
    return folder.resolve()


def _is_package(folder: Path) -> bool:
    try:
        return (folder / "__init__.py").is_file()
    except OSError:  # a name that no file can have
        return False


def _imported(folder: Path) -> ModuleType:
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    name = f"voiceagent_agent_{folder.name}_{digest}_{next(_loads)}"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise PhaseError("not a Python package", source=Source(str(folder)))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except PhaseError:
        _forget(name)
        raise
    except ValidationError as exc:
        _forget(name)
        raise PhaseError(_what_does_not_fit(exc), source=_place(exc, folder)) from exc
    except SyntaxError as exc:
        _forget(name)
        raise PhaseError(
            f"syntax error: {exc.msg}", source=Source(exc.filename or str(folder), exc.lineno or 0)
        ) from exc
    except (Exception, SystemExit) as exc:  # an author's module may raise anything; they get its line, not a traceback
        _forget(name)
        raise PhaseError(f"{type(exc).__name__}: {exc}", source=_place(exc, folder)) from exc
    return module


def _forget(name: str) -> None:
    for known in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[known]


def _place(exc: BaseException, folder: Path) -> Source:
    """Return the innermost line of the author's that led to the exception."""
    frames = traceback.extract_tb(exc.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    return Source(own[-1].filename, own[-1].lineno or 0) if own else Source(str(folder / "__init__.py"))


def _what_does_not_fit(exc: ValidationError) -> str:
    problems: list[str] = []
    for error in exc.errors():
        if _lacks_a_comma(error):
            # A declaration in brackets is taken for its fields: one complaint for each of them would hide the cause.
            name = str(error["loc"][0])
            return f"{exc.title}: {name}: a comma is missing: a single one is written `{name}=(…,)`"
        where = ".".join(str(part) for part in error["loc"])
        hint = ""
        if error["type"] == "extra_forbidden":
            hint = nearest(str(error["loc"][-1]), _fields_of(exc.title))
        problems.append(f"{where}: {error['msg']}{hint}")
    return f"{exc.title}: {'; '.join(problems)}"


def _lacks_a_comma(error: ErrorDetails) -> bool:
    """Whether one item in brackets, `(HELP)`, stands where several are wanted."""
    match error:
        case {"type": "tuple_type", "input": str() | Tool()}:
            return True
        case {"type": "model_type", "loc": (str(), 0), "input": (str(), _)}:
            return True
        case _:
            return False


def _fields_of(title: str) -> list[str]:
    import voiceagent

    declared = getattr(voiceagent, title, None)
    return list(getattr(declared, "model_fields", ()))


def _flow_in(module: ModuleType, folder: Path) -> Flow:
    flow = getattr(module, "FLOW", None)
    if not isinstance(flow, Flow):
        raise PhaseError("the package has no FLOW", source=Source(str(folder / "__init__.py")))
    return flow


def _prompts(root: Path, agent: str) -> dict[str, Prompt]:
    """Read every Markdown file of the agent's prompt folder; a link that leads out of it is refused."""
    prompts: dict[str, Prompt] = {}
    inside = (root / agent).resolve()
    for file in sorted((root / agent).rglob("*.md")):
        if not file.resolve().is_relative_to(inside):
            raise PhaseError("the prompt leads out of its folder", source=Source(str(file)))
        if file.stat().st_size > _MOST_PROMPT_BYTES:
            raise PhaseError(f"the prompt is larger than {_MOST_PROMPT_BYTES} bytes", source=Source(str(file)))
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as exc:
            raise PhaseError("the prompt is not UTF-8", source=Source(str(file))) from exc
        prompts[file.relative_to(root).as_posix()] = Prompt(text, Source(str(file), 1))
    return prompts
