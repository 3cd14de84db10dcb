"""What a chat is written on: lines for a person, in colours where there are any, or one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol, cast

from pydantic import JsonValue
from rich.console import Console
from rich.text import Text

from voiceagent.cli.chatting.questions import Answer
from voiceagent.cli.chatting.story import Told
from voiceagent.cli.saved import saved_lines
from voiceagent.runtime.reloading import NotTaken, Saved

__all__ = ["JsonPaper", "Paper", "PersonPaper"]

_LABEL = 8
_MOST_LETTERS = 300
"""Of a tool's arguments or result, for a person."""
_COLOURS = {
    "agent": "bold green",
    "filler": "italic yellow",
    "you": "bold cyan",
    "phase": "bold magenta",
    "changed": "bold magenta",
    "problem": "bold red",
    "failed": "red",
}
_MEANWHILE = ("prefetch", "fetched", "failed")
"""What may happen while it is the caller's turn."""
_SPOKEN = {"filler": "filler", "read_back": "asks"}


class Paper(Protocol):
    """Where a chat is written to."""

    def tell(self, told: Told) -> None:
        """Something has happened."""
        ...

    def answer(self, answer: Answer) -> None:
        """Something was asked."""
        ...

    def note(self, text: str) -> None:
        """Something is to be known that is no part of the call."""
        ...

    def saved(self, saved: Saved) -> None:
        """The agent's files have been changed."""
        ...

    def invite(self) -> None:
        """It is the caller's turn."""
        ...

    def typed(self, line: str) -> None:
        """They have taken it."""
        ...

    def recorded(self, journal: Path, problems: Sequence[str]) -> None:
        """The call is over, and its journal is there; this has gone wrong in it."""
        ...


class JsonPaper:
    """One object a line, for machines."""

    def tell(self, told: Told) -> None:
        """Write what has happened."""
        _write(told.plain())

    def answer(self, answer: Answer) -> None:
        """Write the answer to a question."""
        _write({"what": "answer", "to": answer.to, **answer.about})

    def note(self, text: str) -> None:
        """Write what is no part of the call."""
        _write({"what": "note", "text": text})

    def saved(self, saved: Saved) -> None:
        """Write what has changed, or why it is not taken."""
        if isinstance(saved, NotTaken):
            _write({"what": "not taken", "reasons": list(saved.reasons)})
        else:
            changes: list[JsonValue] = [asdict(change) for change in saved.changes]
            _write({"what": "changed", "version": saved.event.version, "files": list(saved.files), "changes": changes})

    def invite(self) -> None:
        """Nothing has happened."""

    def typed(self, line: str) -> None:
        """What comes of it is told."""

    def recorded(self, journal: Path, problems: Sequence[str]) -> None:
        """Write where the journal is."""
        _write({"what": "recorded", "journal": str(journal), "problems": list(problems)})


class _Console(Console):
    """Leaves it to whoever writes what is to be done when nobody reads any more; Rich ends the program."""

    def on_broken_pipe(self) -> None:
        """It is called where the error is caught."""
        raise BrokenPipeError


class PersonPaper:
    """Labelled lines; clauses of one sentence stand on one of them."""

    def __init__(self, *, echoes: bool) -> None:
        """`echoes`: what the caller types is on the screen already."""
        self._console = _Console()
        self._echoes = echoes
        self._typed = ""
        self._sentence: JsonValue = None
        """The utterance whose line is not ended yet."""
        self._invited = False
        """The prompt stands there, and nothing behind it."""

    def tell(self, told: Told) -> None:
        """Write what has happened."""
        invited, about = self._invited, told.about
        match told.what:
            case "agent":
                self._say(about)
            case "caller":
                if not (self._echoes and about["text"] == self._typed):
                    self._line("you", str(about["text"]) or "(nothing that could be understood)")
            case "keys":
                self._line("you", f"keys {about['keys']}")
            case "phase":
                self._line("phase", str(about["phase"]))
            case _:
                self._line(*_other(told))
        if invited and told.what in _MEANWHILE:
            self.invite()

    def answer(self, answer: Answer) -> None:
        """Write the answer to a question."""
        self._begin_line()
        for line in answer.lines:
            self._print(Text(_printable(line), style="cyan"))

    def note(self, text: str) -> None:
        """Write what is no part of the call."""
        self._line("", text)

    def saved(self, saved: Saved) -> None:
        """Write what has changed, or why it is not taken; it may come while somebody types."""
        invited = self._invited
        for label, text in saved_lines(saved):
            self._line(label, text)
        if invited:
            self.invite()

    def invite(self) -> None:
        """Write the prompt, where somebody is there to see it."""
        self._begin_line()
        if self._echoes:
            self._print(_labelled("you", ""), end="")
            self._invited = True

    def typed(self, line: str) -> None:
        """The line is on the screen already; it is told again only where it was understood otherwise."""
        self._typed, self._invited = line, False

    def recorded(self, journal: Path, problems: Sequence[str]) -> None:
        """Write where the journal is."""
        self.note(f"journal: {journal}")

    def _say(self, about: Mapping[str, JsonValue]) -> None:
        words = _printable(str(about["text"]))
        if about["utterance"] == self._sentence:
            self._print(Text(f" {words}"), end="")
            return
        self._begin_line()
        self._print(_labelled(_SPOKEN.get(str(about["kind"]), "agent"), words), end="")
        self._sentence = about["utterance"]

    def _line(self, label: str, text: str) -> None:
        self._begin_line()
        self._print(_labelled(label, _printable(text)))

    def _begin_line(self) -> None:
        if self._sentence is not None or self._invited:
            self._print(Text(""))
            self._sentence, self._invited = None, False

    def _print(self, text: Text, *, end: str = "\n") -> None:
        self._console.print(text, end=end, soft_wrap=True, highlight=False)
        self._console.file.flush()


def _labelled(label: str, text: str) -> Text:
    colour = _COLOURS.get(label)
    return Text.assemble((f"{label:<{_LABEL}} ", colour or "dim"), (text, "" if colour else "dim"))


def _other(told: Told) -> tuple[str, str]:
    """Return the label and the words of everything that nobody says."""
    about = told.about
    match told.what:
        case "asked":
            return "asked", f"{about['name']}{_arguments(about['arguments'])}"
        case "tool" | "prefetch":
            return told.what, f"{about['tool']}{_arguments(about['arguments'])}"
        case "result":
            return "result", f"{about['tool']}: {_short(about['result'])} ({about['took_ms']} ms)"
        case "failed":
            return "failed", f"{about['tool']}: {about['kind']}: {about['reason']} ({about['took_ms']} ms)"
        case "fetched":
            return "fetched", f"{about['tool']} ({about['took_ms']} ms)"
        case "served":
            return "served", f"{about['tool']} by the prefetch: {about['how']}, {about['saved_ms']} ms saved"
        case "keys out":
            return "presses", str(about["keys"])
        case "transfer":
            announced = f", who is told: {about['announce']}" if about["announce"] else ""
            asked = f", and asked: {about['accept']}" if about["accept"] else ""
            return "transfer", f"the caller is handed over to {about['target']}{announced}{asked}"
        case "version":
            forgotten = ", ".join(map(str, cast("list[JsonValue]", about["forgotten"])))
            return "changed", f"the agent from here on{f'; forgotten: {forgotten}' if forgotten else ''}"
        case "ended":
            return "ended", str(about["reason"])
        case _:
            return "problem", f"{about['problem']}: {about['reason']}"


def _arguments(arguments: JsonValue) -> str:
    if not isinstance(arguments, dict):
        return ""
    return f"({', '.join(f'{name}={_short(value)}' for name, value in arguments.items())})"


def _short(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


def _printable(text: str) -> str:
    """Return the text without what would move the cursor, or do something worse to a terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _write(plain: Mapping[str, JsonValue]) -> None:
    print(json.dumps(plain, ensure_ascii=False), flush=True)  # noqa: T201 - typer.echo does not flush
