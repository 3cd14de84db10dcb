"""`voiceagent test`: play scripted conversations on a virtual clock and say which went otherwise than expected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Literal

import typer

from voiceagent.cli.less_logged import less_logged
from voiceagent.cli.live_model import LiveModel, live_model
from voiceagent.cli.progress import progress
from voiceagent.errors import AuthorError, OperatorError, ScriptError
from voiceagent.models.choose import ProviderAccess
from voiceagent.testing.call_file import SUFFIX, CallFile, CallFiles
from voiceagent.testing.call_results import CallResult, Summary, junit_xml
from voiceagent.testing.call_script import CallScript
from voiceagent.testing.persona_playing import PersonaPlayer
from voiceagent.testing.playing import CallPlayer, VoiceKind, not_for, refuse_for_the_runtime
from voiceagent.testing.selecting import selector

__all__ = ["play"]

_MARKS = {"passed": "ok    ", "known": "known ", "failed": "FAILED", "mended": "MENDED", "skipped": "skip  "}
_SCHEDULES = 5


def play(
    paths: Annotated[list[Path], typer.Argument(help=f"Files *{SUFFIX}, or folders of them.")],
    keyword: Annotated[
        str, typer.Option("-k", metavar="EXPR", help="Only conversations whose names have these words: and, or, not.")
    ] = "",
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the first schedule; 0, the usual one, is the plain order.")
    ] = None,
    schedules: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"In how many orders things that nearly coincide are let happen; {_SCHEDULES}, or 1 with --model.",
        ),
    ] = None,
    runtime: Annotated[
        int, typer.Option(min=0, metavar="N", help="In how many orders to play it through the whole runtime as well.")
    ] = 0,
    jobs: Annotated[
        int, typer.Option(min=1, help="How many processes share the files; with --audio, how many calls at a time.")
    ] = 1,
    voice: Annotated[
        Literal["cascade", "in_place", "new_session"],
        typer.Option(
            help="What hears and speaks: the cascade of engines, or a simulated speech model, through the runtime, "
            "whose session is changed in place or replaced at every swap."
        ),
    ] = "cascade",
    audio: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--audio", help="Speak them: a call per conversation, in real time, by the local engines.")
    ] = False,
    recordings: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --audio: keep each call as heard, and its journal.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="openai:<model>, openai-responses:<model> or anthropic:<model>: a live model speaks, whatever the "
            "scripts say, and personas call."
        ),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what the live model says, for `model: {cassette: FILE}`.")
    ] = None,
    openai_base_url: Annotated[
        str | None, typer.Option(envvar="OPENAI_BASE_URL", help="Any OpenAI-compatible endpoint, for --model.")
    ] = None,
    openai_api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="Key of that endpoint.")] = None,
    anthropic_base_url: Annotated[
        str | None,
        typer.Option(envvar="ANTHROPIC_BASE_URL", help="An endpoint other than Anthropic's own, for --model."),
    ] = None,
    anthropic_api_key: Annotated[
        str | None, typer.Option(envvar="ANTHROPIC_API_KEY", help="Key of that endpoint.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Play scripted conversations, each under several schedules; nothing is heard, nothing leaves the machine.

    With --audio each is one call instead: words are spoken and recognised, everything takes its time, and there are no
    schedules.

    They are played on the core of the conversation alone, which is fast, and with --runtime through all that serves
    callers too: sessions, tools, telephone protocol.

    With --model the agent's words come from a live model, which is sent what the scripts say. Conversations in which a
    persona calls need one and are skipped otherwise.

    Exit code 0: all went as expected. 1: some did not. 2: something could not be read.

    Example: voiceagent test tests
    """
    if recordings is not None and not audio:
        raise typer.BadParameter("only a call in audio can be kept: add --audio", param_hint="--recordings")
    if audio and (model or runtime or voice != "cascade"):
        raise typer.BadParameter("it goes with none of --model, --runtime and --voice", param_hint="--audio")
    began = perf_counter()
    try:
        files = _read(paths, keyword, CallFiles(plays_cassettes=model is None))
        through = runtime and voice == "cascade"
        for script in (script for file in files if through for script in file.scripts if script.persona is None):
            refuse_for_the_runtime(script)
        access = ProviderAccess(
            openai_api_key=openai_api_key,
            openai_base_url=openai_base_url,
            anthropic_api_key=anthropic_api_key,
            anthropic_base_url=anthropic_base_url,
        )
        speaking = live_model(model, record=record, access=access, jobs=jobs, runtime=runtime)
    except (AuthorError, OperatorError) as exc:
        typer.echo(f"voiceagent: {exc}", err=True)
        raise typer.Exit(2) from exc
    results: list[CallResult] = []

    def tell(result: CallResult) -> None:
        results.append(result)
        done(1)
        if not as_json:
            _print(result, first_of_file=len(results) < 2 or results[-2].file != result.file)

    with speaking as live, progress("conversations", of=sum(len(file.scripts) for file in files)) as done:
        how = _How(seed, schedules or (1 if live else _SCHEDULES), runtime, voice)
        if audio:
            from voiceagent.cli.play_audio import play_in_audio  # a server, for the calls that are really placed

            asyncio.run(play_in_audio(files, jobs=jobs, record=recordings, tell=tell))
        else:
            for result in _played(files, live, how, jobs=jobs):
                tell(result)
    summary = Summary.of(results, took_s=perf_counter() - began)
    if as_json:
        told = {"model": {"name": live.name, **asdict(live.spent)}} if live else {}
        plain = {"results": [asdict(result) for result in results], "summary": asdict(summary), **told}
        typer.echo(json.dumps(plain, ensure_ascii=False, indent=2))
    else:
        typer.echo(f"\n{_told(summary, audio=audio)}" + (f"\n{live.name}: {live.spent}" if live else ""))
    if junit is not None:
        _write(junit, junit_xml(results))
    if not all(result.ok for result in results):
        raise typer.Exit(1)


def _told(summary: Summary, *, audio: bool) -> str:
    if not audio:
        return str(summary)
    from voiceagent.cli.play_audio import audio_notes

    return audio_notes(summary)


def _read(paths: Sequence[Path], keyword: str, reader: CallFiles) -> list[CallFile]:
    """Return the files with the conversations that are meant. Raises AuthorError where there are none."""
    wanted = selector(keyword) if keyword else None
    files: list[CallFile] = []
    for path in _found(paths):
        file = reader.read(path)
        scripts = tuple(script for script in file.scripts if wanted is None or wanted(f"{path} {script.name}"))
        if scripts:
            files.append(CallFile(path, file.flow, scripts))
    if not files:
        raise ScriptError(f"-k {keyword!r} selects no conversation")
    return files


def _found(paths: Sequence[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            below = dict.fromkeys(sorted(path.rglob(f"*{SUFFIX}")))
            if not below:
                raise ScriptError(f"there is no *{SUFFIX} in {path}")
            found |= below
        else:
            found[path] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class _How:
    """Under which schedules conversations are played."""

    seed: int | None
    schedules: int
    runtime: int
    voice: VoiceKind


def _played(files: Sequence[CallFile], live: LiveModel | None, how: _How, *, jobs: int) -> Iterator[CallResult]:
    if jobs == 1:
        players: dict[int, CallPlayer] = {}
        for file in files:
            new = CallPlayer(file.flow, live=live.models if live else None, voice=how.voice)
            player = players.setdefault(id(file.flow), new)
            yield from _play_file(file, player, how, live)
        return
    with ProcessPoolExecutor(jobs) as pool:
        tasks = [
            pool.submit(_play_elsewhere, file.path, tuple(script.name for script in file.scripts), how)
            for file in files
        ]
        for task in tasks:
            yield from task.result()


def _play_file(file: CallFile, player: CallPlayer, how: _How, live: LiveModel | None = None) -> Iterator[CallResult]:
    for script in file.scripts:
        with less_logged():
            result = _play_script(file.path, script, player, how, live)
        yield result


def _play_script(path: Path, script: CallScript, player: CallPlayer, how: _How, live: LiveModel | None) -> CallResult:
    name = live.name if live else None
    if (reason := not_for(script, how.voice)) is not None:
        return CallResult.skipped(script, path, reason=reason)
    if script.persona is None:
        outcome = player.play(script, seed=how.seed, schedules=how.schedules, runtime=how.runtime)
        return CallResult.of(outcome, path, model=name)
    if live is None:
        return CallResult.skipped(script, path)
    return CallResult.of(PersonaPlayer(player, live.models).play(script, seed=how.seed), path, model=name)


def _play_elsewhere(path: Path, names: Sequence[str], how: _How) -> list[CallResult]:
    """Play some conversations of a file, in a process of the pool."""
    file = CallFiles().read(path)
    scripts = tuple(script for script in file.scripts if script.name in names)
    return list(_play_file(CallFile(path, file.flow, scripts), CallPlayer(file.flow, voice=how.voice), how))


def _print(result: CallResult, *, first_of_file: bool) -> None:
    if first_of_file:
        typer.echo(result.file)
    typer.echo(f"  {_MARKS[result.status]}  {result.name}")
    if result.text:
        typer.echo("\n".join(f"          {line}" for line in result.text.splitlines()))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        typer.echo(f"voiceagent: {path} cannot be written: {exc.strerror}", err=True)
        raise typer.Exit(2) from exc
