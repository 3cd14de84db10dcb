"""`make bench-turns`: how well the agent takes turns, on human and on synthetic speech; `QUICK=1` for a part of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from benchmarks.figures import machine, percentile
from benchmarks.turns.floor import Outcome, outcomes, sounds, spoken_by_agent
from benchmarks.turns.line import CLEAN, CONDITIONS, Condition, Noises
from benchmarks.turns.material import Clip, Maker, clips
from benchmarks.turns.others import KeptSmartTurn
from benchmarks.turns.recogniser import KeptRecogniser
from benchmarks.turns.rows import Point, Taken, curve, takes
from benchmarks.turns.sound import RATE_HZ
from benchmarks.turns.sources import BABBLE, CACHE, PROMPTS, SMART_TURN, SPHINX, Source, fetched
from benchmarks.turns.table import page
from voiceagent.audio import write_wav
from voiceagent.ports import AudioFormat
from voiceagent.speech.samples import to_bytes
from voiceagent.speech.silero import SileroVad

_DEMO = Path("demo/speech")
_IN_NOISE = 2
"""Every so many clips are heard in noise, and when there is little time every so many of all."""
_QUICK = 4
_QUICK_CONDITIONS = ("clean", "babble 15 dB")


def main() -> int:
    """Measure, print and keep; 0 whatever the figures are: no test depends on them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every fourth clip, clean and with babble at 15 dB")
    parser.add_argument("--clips", type=Path, help="only write every clip with its labels into this folder")
    options = parser.parse_args()
    quick = options.quick
    began = perf_counter()
    skipped: list[str] = []
    prompts, sphinx = _folder(PROMPTS, skipped), _folder(SPHINX, skipped)
    noises = Noises([folder for source in BABBLE if (folder := _folder(source, skipped)) is not None])
    packaged = _folder(SMART_TURN, skipped)
    made = Maker()
    found = list(clips(prompts, sphinx, _DEMO, made))[:: _QUICK if quick else 1]
    if options.clips is not None:
        _write(found, options.clips)
        return 0
    with ExitStack() as closing:
        vad, recogniser = SileroVad(), KeptRecogniser(CACHE / "turns")
        closing.callback(recogniser.close)
        model = KeptSmartTurn(packaged, CACHE / "turns") if packaged is not None else None
        taken: list[Taken] = []
        for condition in _conditions(noises, quick=quick):
            print(f"listening: {condition.name} ({perf_counter() - began:.0f} s)", file=sys.stderr)
            heard = found if condition == CLEAN or quick else found[::_IN_NOISE]
            taken += takes(heard, condition, noises, vad=vad, recogniser=recogniser)
        print(f"other ways to find the end ({perf_counter() - began:.0f} s)", file=sys.stderr)
        curves = _curves(taken, recogniser, model)
        print(f"sounds over the agent's words ({perf_counter() - began:.0f} s)", file=sys.stderr)
        stopped = _stopped(found, noises, made, prompts, vad, recogniser)
        if model is not None:
            model.save()
        where = f"{machine()}; {_recogniser(taken)}; the run took {perf_counter() - began:.0f} s"
    lines = list(page(where, taken, curves, stopped, skipped))
    print("\n".join(lines))
    _keep(lines, where, taken, curves, stopped)
    print("\nkept in bench-output/turns.json and bench-output/turns.md")
    return 0


def _write(found: Sequence[Clip], folder: Path) -> None:
    """Write clips as wave files, and beside each the ends of its pieces as a label track."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, clip in enumerate(found):
        name = f"{number:03}-{clip.half}-{clip.group.replace(' ', '-').replace(',', '')}"
        write_wav(folder / f"{name}.wav", to_bytes(clip.samples, AudioFormat("pcm16", RATE_HZ)), rate_hz=RATE_HZ)
        ends = "".join(f"{end / 1_000:.3f}\t{end / 1_000:.3f}\tend\n" for end in clip.word_ends_ms)
        (folder / f"{name}.txt").write_text(f"0\t{clip.speech_ends_ms / 1_000:.3f}\t{clip.text}\n{ends}")


def _folder(source: Source, skipped: list[str]) -> Path | None:
    folder = fetched(source)
    if isinstance(folder, Path):
        return folder
    skipped.append(folder)
    return None


def _conditions(noises: Noises, *, quick: bool) -> list[Condition]:
    there = [condition for condition in CONDITIONS if condition.noise is None or condition.noise in noises.kinds]
    return [condition for condition in there if not quick or condition.name in _QUICK_CONDITIONS]


def _curves(
    taken: Sequence[Taken], recogniser: KeptRecogniser, model: KeptSmartTurn | None
) -> list[tuple[str, list[Point]]]:
    """Return the trade-off of each half on a clean line, and in babble at 15 dB."""
    drawn: list[tuple[str, list[Point]]] = []
    for name in _QUICK_CONDITIONS:
        for half in ("tuning", "report"):
            of = [one for one in taken if one.condition.name == name and one.clip.half == half]
            if of:
                drawn.append((f"{name}, {half} half", list(curve(of, recogniser, model))))
    return drawn


def _stopped(
    found: Sequence[Clip],
    noises: Noises,
    made: Maker,
    prompts: Path | None,
    vad: SileroVad,
    recogniser: KeptRecogniser,
) -> list[Outcome]:
    if prompts is None:
        return []  # the agent's recorded words are there
    over_it = list(sounds(found, _DEMO, noises, made))
    return list(outcomes(over_it, spoken_by_agent(prompts), vad=vad, recogniser=recogniser))


def _recogniser(taken: Sequence[Taken]) -> str:
    took = [ms for one in taken for ms in one.recognised_ms]
    return f"Moonshine took {percentile(took, 0.5):.0f} / {percentile(took, 0.95):.0f} ms an utterance (p50 / p95)"


def _keep(
    lines: Sequence[str],
    where: str,
    taken: Sequence[Taken],
    curves: Sequence[tuple[str, Sequence[Point]]],
    stopped: Sequence[Outcome],
) -> None:
    folder = Path("bench-output")
    folder.mkdir(exist_ok=True)
    (folder / "turns.md").write_text("\n".join([*lines, ""]))
    kept = {
        "machine": where,
        "clips": [
            {
                "clip": one.clip.name,
                "said": one.clip.text,
                "group": one.clip.group,
                "half": one.clip.half,
                "human": one.clip.human,
                "speaker": one.clip.speaker,
                "line": one.condition.name,
                "speech_ends_ms": one.end.speech_ends_ms,
                "taken_ms": one.end.taken_ms,
                "taken_at_once_ms": one.at_once.taken_ms,
                "heard": one.listened.text,
                "reason": one.patience.reason,
                "slot_right": one.slot_right,
            }
            for one in taken
        ],
        "curves": {name: [asdict(point) for point in points] for name, points in curves},
        "sounds": [
            {
                "sound": one.sound.name,
                "kind": one.sound.kind,
                "human": one.sound.human,
                "meant": one.sound.meant,
                "half": one.sound.half,
                "stopped": one.stopped,
                **asdict(one.interrupted),
                "history_error_words": one.history_error,
            }
            for one in stopped
        ],
    }
    (folder / "turns.json").write_text(json.dumps(kept, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    sys.exit(main())
