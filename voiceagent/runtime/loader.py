"""Loading an agent: its phases from a folder of Python or YAML, its prompts from the folder beside it."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import itertools
import re
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.runtime.fresh_modules import PREFIX, FreshSource, from_source_only
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import SKILL_FILE
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Tool

__all__ = ["agent_folder", "is_agent", "load_flow", "load_on_trial", "prompt_folder"]

_MOST_PROMPT_BYTES = 64 * 1024
_PACKAGE_FILE = "__init__.py"
_FLOW_FILE = "flow.yaml"
_loads = itertools.count(1)


def load_flow(agent: str | Path) -> Flow:
    """Return the flow of an agent, given as a folder or as the name of one below `phases/`.

    Its flow is FLOW in the folder's Python, or stands in its `flow.yaml`. Its prompts are those below
    `prompts/<agent>/`, beside `phases/`, and those of its skills. Every load gets modules of its own, so that a
    changed agent can be loaded beside the old one. Raises PhaseError, with file and line, for whatever is wrong.
    """
    return load_on_trial(agent)[0]


def load_on_trial(agent: str | Path) -> tuple[Flow, Callable[[], None]]:
    """Do the same for whoever may not go by the flow after all; the other result forgets its modules then."""
    with _readable(Path(agent)):
        folder = agent_folder(agent)
        package = f"{PREFIX}{re.sub(r'[^a-zA-Z0-9_]', '_', folder.name)}_{_digest(folder)}_{next(_loads)}"
        with _in_the_authors_words(folder, package):
            flow = _flow_in(folder, package)
            flow.facts.try_to_begin()
        try:
            prompts = {**_prompts(prompt_folder(folder)), **_skill_prompts(flow, folder)}
        except Exception:
            _forget(package)
            raise
        loaded = flow.model_copy(update={"prompts": {**flow.prompts, **prompts}})
        return loaded, functools.partial(_forget, package)


def is_agent(folder: Path) -> bool:
    """Whether a folder declares an agent."""
    try:
        return (folder / _PACKAGE_FILE).is_file() or (folder / _FLOW_FILE).is_file()
    except OSError:  # a name that no file can have
        return False


@contextmanager
def _readable(agent: Path) -> Generator[None]:
    """Turn what the system says of a file that it does not give into a PhaseError that names the file."""
    try:
        yield
    except OSError as exc:
        where = Source(str(exc.filename or agent))
        raise PhaseError(f"it cannot be read: {exc.strerror or type(exc).__name__}", source=where) from exc


def _digest(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def agent_folder(agent: str | Path) -> Path:
    """Return the folder of an agent that is given as a folder or as the name of one below `phases/`."""
    given = Path(agent)
    folder = given if is_agent(given) else Path("phases") / given
    if not is_agent(folder):
        known = sorted(entry.name for entry in Path("phases").glob("*/") if is_agent(entry))
        listed = f"; there are: {', '.join(known)}" if known else "; there is no folder phases/ with agents here"
        message = f"there is no agent {str(agent)!r}{nearest(str(agent), known) or listed}"
        raise PhaseError(message, code="unknown-agent")
    return folder.resolve()


def prompt_folder(folder: Path) -> Path:
    """Return where the prompts of the agent in this folder are."""
    return folder.parent.parent / "prompts" / folder.name


def _flow_in(folder: Path, package: str) -> Flow:
    module = _imported(folder, package)
    declared = getattr(module, "FLOW", None)
    if (folder / _FLOW_FILE).is_file():
        if declared is not None:
            message = f"the flow is declared twice: here, and as FLOW in {_PACKAGE_FILE}"
            raise PhaseError(message, source=Source(str(folder / _FLOW_FILE)))
        from voiceagent.spec.yaml_flow import read_flow  # nobody with a flow in Python waits for the reader of YAML

        return read_flow(folder / _FLOW_FILE, package)
    if not isinstance(declared, Flow):
        where = Source(str(folder / _PACKAGE_FILE))
        if declared is not None:
            message = f"the package has no FLOW of the type Flow, but one of the type {type(declared).__name__!r}"
            raise PhaseError(message, source=where)
        others = [name for name, value in vars(module).items() if isinstance(value, Flow)]
        hint = f": {others[0]} must be called so" if others else ""
        raise PhaseError(f"the package has no FLOW{hint}", source=where)
    return declared


def _imported(folder: Path, name: str) -> ModuleType:
    """Import the agent's folder; beside a flow in YAML it needs no code of its own."""
    file, inside = folder / _PACKAGE_FILE, [str(folder)]
    spec: ModuleSpec | None
    from_source_only()
    if file.is_file():
        source = FreshSource(name, str(file))
        spec = importlib.util.spec_from_file_location(name, file, loader=source, submodule_search_locations=inside)
    else:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = inside
    if spec is None:
        raise PhaseError("not a Python package", source=Source(str(folder)))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if spec.loader is not None:
        spec.loader.exec_module(module)
    return module


@contextmanager
def _in_the_authors_words(folder: Path, name: str) -> Generator[None]:
    """Turn whatever the author's code raises into a PhaseError with their line; forget what was imported."""
    try:
        yield
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
        said = " ".join(str(exc).split())  # one line, whatever it was
        message = f"{type(exc).__name__}: {said}" if said else type(exc).__name__
        raise PhaseError(message, source=_place(exc, folder)) from exc


def _forget(name: str) -> None:
    for known in [module for module in list(sys.modules) if module == name or module.startswith(f"{name}.")]:
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
            name = ".".join(str(part) for part in error["loc"] if isinstance(part, str))
            written = "(…,)" if "." in name else f"{name}=(…,)"
            return f"{exc.title}: {name}: a comma is missing: a single one is written `{written}`"
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


def _prompts(folder: Path) -> dict[str, Prompt]:
    """Read every Markdown file of the agent's prompt folder; a link that leads out of it is refused."""
    prompts: dict[str, Prompt] = {}
    inside = folder.resolve()
    for file in sorted(folder.rglob("*.md")):
        if file.is_dir():
            continue
        if not file.is_file():  # a link that leads nowhere, or round in a circle
            raise PhaseError("the prompt is no file that can be read", source=Source(str(file)))
        if not file.resolve().is_relative_to(inside):
            raise PhaseError("the prompt leads out of its folder", source=Source(str(file)))
        if file.stat().st_size > _MOST_PROMPT_BYTES:
            raise PhaseError(f"the prompt is larger than {_MOST_PROMPT_BYTES} bytes", source=Source(str(file)))
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as exc:
            raise PhaseError("the prompt is not UTF-8", source=Source(str(file))) from exc
        prompts[file.relative_to(folder.parent).as_posix()] = Prompt(text, Source(str(file), 1))
    return prompts


def _skill_prompts(flow: Flow, folder: Path) -> dict[str, Prompt]:
    """Read the prompts of those phases that are skills."""
    named = {phase.prompt: phase for phase in flow.phases if phase.prompt and phase.prompt.endswith(f"/{SKILL_FILE}")}
    if not named:
        return {}
    from voiceagent.spec.skill import skill_prompt

    return {name: skill_prompt(folder, name, phase.source) for name, phase in named.items()}
