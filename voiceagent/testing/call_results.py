"""Results of scripted conversations, for whoever reads them: a person, a machine, a build server."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from voiceagent.testing.call_script import CallScript
from voiceagent.testing.playing import CallFailure, CallOutcome, Level, Played

__all__ = ["NEEDS_A_MODEL", "CallResult", "Summary", "failure_lines", "failure_text", "junit_xml"]

NEEDS_A_MODEL = "a persona calls: play it with voiceagent test --model"


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of one conversation, in values that can be sent to another process."""

    file: str
    line: int
    name: str
    status: Literal["passed", "failed", "known", "mended", "skipped"]
    """`known`: it failed, and its author said that it would. `mended`: it passed although the author said so.
    `skipped`: it cannot be played in this way, or a persona calls, and there is no model that plays one."""
    text: str
    """What is to be said about it; empty where it passed."""
    core: Played
    runtime: Played
    level: Level | None
    """Where it failed."""
    seed: int | None
    """Of the schedule under which it failed."""

    @classmethod
    def of(cls, outcome: CallOutcome, path: Path, *, model: str | None = None) -> CallResult:
        """Sum up an outcome; `model` is the live model that spoke, by the name that was given."""
        script, failure = outcome.script, outcome.failure
        status: Literal["passed", "failed", "known", "mended"] = "passed" if failure is None else "failed"
        text = "" if failure is None else failure_text(failure, path=path, name=script.name, model=model)
        if script.xfail is not None and (failure is None or failure.replays):
            status = "mended" if failure is None else "known"
            text = script.xfail if failure else f"it passes: take out xfail ({script.xfail})"
        return cls(
            file=str(path),
            line=script.source.line if script.source else 0,
            name=script.name,
            status=status,
            text=text,
            core=outcome.core,
            runtime=outcome.runtime,
            level=None if failure is None else failure.level,
            seed=None if failure is None else failure.seed,
        )

    @classmethod
    def skipped(cls, script: CallScript, path: Path, *, reason: str = NEEDS_A_MODEL) -> CallResult:
        """Tell of a conversation that was not played, and why."""
        line = script.source.line if script.source else 0
        return cls(str(path), line, script.name, "skipped", reason, Played(), Played(), None, None)

    @property
    def ok(self) -> bool:
        """Whether nobody needs to look at it."""
        return self.status in ("passed", "known", "skipped")

    @property
    def took_s(self) -> float:
        """Real time, on the core and through the runtime together."""
        return (self.core + self.runtime).took_s


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def failure_text(failure: CallFailure, *, path: Path, name: str, model: str | None = None) -> str:
    """Return what went wrong: the turn, what was expected, what came, the time around it, and how to see it again."""
    again = shlex.join(["voiceagent", "test", str(path), "-k", f'"{name}"', "--seed", str(failure.seed)])
    again += f" --model {shlex.quote(model)}" if model else ""
    through = " --runtime 1" if failure.level == "runtime" else ""
    return "\n".join([*failure_lines(failure), f"  again: {again} --schedules 1{through}"])


def failure_lines(failure: CallFailure) -> list[str]:
    """Return what went wrong: the turn, what was expected, what came, and the time around it."""
    where = f"{failure.source}: " if failure.source else ""
    turn = f"turn {failure.turn}: {failure.act}" if failure.turn else failure.act
    level = " (through the runtime)" if failure.level == "runtime" else ""
    lines = [f"{where}{turn}{level}"]
    for found in failure.mismatches:
        at = f"  ({found.source})" if found.source and found.source != failure.source else ""
        lines += [f"  {found.what}{at}", f"    expected  {found.expected}", f"    got       {_indented(found.got)}"]
    lines += ["  what happened", *(f"  {line}" for line in failure.timeline)]
    if failure.deviations:
        what = "this order" if failure.level == "core" else "these to come late"
        lines += [f"  it takes {what}", *(f"    {deviation}" for deviation in failure.deviations)]
    return lines


def _indented(text: str) -> str:
    return text.replace("\n", "\n              ")


@dataclass(frozen=True, slots=True)
class Speed:
    """How much was simulated, and how fast: what one process does, however many there were."""

    calls: int
    """Every schedule is a call of its own."""
    simulated_s: float
    took_s: float
    simulated_s_per_s: int

    @classmethod
    def of(cls, played: Iterable[Played]) -> Speed:
        """Add up."""
        total = sum(played, start=Played())
        simulated_s = total.simulated_ms / 1_000
        return cls(
            calls=total.schedules,
            simulated_s=round(simulated_s, 3),
            took_s=round(total.took_s, 3),
            simulated_s_per_s=round(simulated_s / max(total.took_s, 1e-9)),
        )

    def __str__(self) -> str:
        return (
            f"{self.simulated_s:,.0f} s simulated in {self.took_s:.1f} s: "
            f"{self.simulated_s_per_s:,} simulated seconds per second"
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """The sums over many results."""

    conversations: int
    passed: int
    failed: int
    known: int
    mended: int
    skipped: int
    core: Speed
    runtime: Speed
    took_s: float
    """From the first file to the last result."""

    @classmethod
    def of(cls, results: Sequence[CallResult], *, took_s: float) -> Summary:
        """Add up."""

        def count(status: str) -> int:
            return sum(result.status == status for result in results)

        return cls(
            conversations=len(results),
            passed=count("passed"),
            failed=count("failed"),
            known=count("known"),
            mended=count("mended"),
            skipped=count("skipped"),
            core=Speed.of(result.core for result in results),
            runtime=Speed.of(result.runtime for result in results),
            took_s=round(took_s, 3),
        )

    @property
    def counts(self) -> str:
        """How many there were, and what has come of them."""
        counts = {
            "passed": self.passed,
            "known to fail": self.known,
            "failed": self.failed,
            "passed although marked xfail": self.mended,
            "skipped": self.skipped,
        }
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        return f"{_counted(self.conversations, 'conversation')} in {self.took_s:.1f} s: {told}"

    def __str__(self) -> str:
        levels = {"on the core": self.core, "through the runtime": self.runtime}
        speeds = [f"{_counted(speed.calls, 'call')} {where}, {speed}" for where, speed in levels.items() if speed.calls]
        return "\n".join([self.counts, *speeds])


def junit_xml(results: Sequence[CallResult]) -> str:
    """Return the results as JUnit XML, one suite per file."""
    suites: list[str] = []
    for file in dict.fromkeys(result.file for result in results):
        own = [result for result in results if result.file == file]
        attributes = {
            "name": file,
            "tests": len(own),
            "failures": sum(not result.ok for result in own),
            "skipped": sum(result.status in ("known", "skipped") for result in own),
            "time": f"{sum(result.took_s for result in own):.3f}",
        }
        suites.append(f"<testsuite{_attributes(attributes)}>\n{''.join(map(_case, own))}</testsuite>\n")
    return f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites>\n{"".join(suites)}</testsuites>\n'


def _case(result: CallResult) -> str:
    attributes = {
        "classname": result.file,
        "name": result.name,
        "file": result.file,
        "line": result.line,
        "time": f"{result.took_s:.3f}",
    }
    match result.status:
        case "passed":
            inside = ""
        case "known" | "skipped":
            inside = f"<skipped{_attributes({'message': result.text})}/>"
        case "failed" | "mended":
            first = result.text.partition("\n")[0]
            inside = f"<failure{_attributes({'message': first})}>{escape(_printable(result.text))}</failure>"
    return f"<testcase{_attributes(attributes)}>{inside}</testcase>\n"


def _attributes(values: Mapping[str, object]) -> str:
    return "".join(f" {name}={quoteattr(_printable(str(value)))}" for name, value in values.items())


def _printable(text: str) -> str:
    """Return the text without the control characters that XML cannot hold."""
    return "".join(letter for letter in text if letter in "\n\t" or letter >= " ")
