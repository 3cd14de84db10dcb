"""Damages the messages of every dialect at random: `python -m tests.telephony.fuzz [MUTATIONS] [SEED]`.

No codec may raise, take longer than a message is worth, keep more than a little, or take damage for a second start.
What it makes of damage has to be what may be: audio in whole samples and no more of it than came, digits that are some,
names that can be written down, and nothing behind what ends a connection. What it sends stays readable.
Prints the seed of every dialect, and the message that did harm where one does.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
import time
from collections import Counter, deque

from tests.telephony.wire_examples import EXAMPLES, MORE_EXAMPLES, Example, packet
from voiceagent.telephony.codec import (
    ClearAudio,
    Digit,
    Media,
    PlayAudio,
    Refused,
    SetMark,
    Started,
    Stopped,
    WireEvent,
)

__all__ = ["FUZZED", "fuzz", "mutated"]

FUZZED = EXAMPLES | MORE_EXAMPLES

MUTATIONS = 200_000
_PER_CODEC = 500
"""Messages until the codec is another one, so that what one of them leaves behind shows."""
_SLOW_MS = 1_000
_MOST_MEDIA_MS = 1_000
_MOST_KEPT_BYTES = 80_000
"""Early audio, or three messages that wait for the one before them, and the codec itself."""
_SPLICES = (
    *'{}[]",:',
    "\x00",
    "\\u0000",
    "\ud800",
    "é",
    "NaN",
    "-1e999",
    "null",
    "true",
    "7",
    "[]",
    "{}",
    '""',
    "9" * 400,
    "[" * 2_000,
    "A" * 3_000,
    '"start"',
    '"L16"',
)


def mutated(message: str | bytes, rng: random.Random, others: list[str | bytes]) -> str | bytes:
    """Return a message with one to three damages."""
    for _ in range(rng.randint(1, 3)):
        message = _damaged(message, rng, others)
    return message


def _damaged(message: str | bytes, rng: random.Random, others: list[str | bytes]) -> str | bytes:
    at = rng.randint(0, len(message))
    if isinstance(message, bytes):
        other = rng.choice(others)
        return rng.choice(
            [
                message[:at],
                message + message[:at],
                rng.randbytes(at),
                message.hex(),
                message[:at] + rng.randbytes(1) + message[at + 1 :],
                message[:at] + (other if isinstance(other, bytes) else other.encode("utf-8", "surrogatepass")),
                rng.randbytes(3) + message[3:],
                rng.randbytes(1) + message[1:],
                packet(rng.choice([*message[:1], 0x10, 0x12]), bytes(min(at, 65_535))),
                message * rng.randint(2, 60),
            ]
        )
    end = rng.randint(at, len(message))
    match rng.randrange(8):
        case 0:
            return message[:at]
        case 1:
            return message[:at] + rng.choice(_SPLICES) + message[at:]
        case 2:
            return message[:at] + rng.choice(_SPLICES) + message[end:]
        case 3:
            return message[:end] + message[at:]
        case 4:
            return message[:at] + message[end:]
        case 5:
            other = rng.choice(others)
            return message[:at] + other[at:] if isinstance(other, str) else other
        case 6:
            return message.replace('"', rng.choice(["", "'", '""']), rng.randint(1, 4))
        case _:
            return message.encode("utf-8", "surrogatepass") if rng.random() < 0.1 else message[::-1]


def fuzz(example: Example, *, mutations: int, seed: int) -> Counter[str]:
    """Give so many damaged messages to a dialect's codecs; return what came of them. Raises what a codec raises."""
    rng = random.Random(seed)  # noqa: S311 - the same damage for the same seed
    messages: list[str | bytes] = [*example.opening, *example.during]
    outcomes: Counter[str] = Counter()
    for number in range(mutations):
        if number % _PER_CODEC == 0:
            dialect = example.codec() if number % (2 * _PER_CODEC) else example.started()
            starts = 0 if number % (2 * _PER_CODEC) else 1
            started = _start_of(example)
            came, heard = sum(map(len, example.opening)), 0
        message = mutated(rng.choice(messages), rng, messages)
        began_ns = time.monotonic_ns()
        try:
            events = dialect.receive(message)
            sent = [piece for command in (PlayAudio(bytes(640)), SetMark("0.1")) for piece in dialect.send(command)]
        except BaseException:
            print(f"message {number}: {message!r}")  # noqa: T201 - a program
            raise
        assert (time.monotonic_ns() - began_ns) / 1e6 < _SLOW_MS, message
        for event in events:
            if isinstance(event, Started):
                starts += 1
                started = event
        assert starts <= 1, message
        assert bool(sent) == bool(starts), message
        assert len(dialect.send(ClearAudio())) == (1 if starts and dialect.features.clear else 0), message
        try:
            came += len(message)
            heard += sum(_sane(event, started) for event in events)
            assert heard <= came, "audio that nobody sent"
            assert not any(_ends(event) for event in events[:-1]), "something behind the end"
            assert all(_readable(piece) for piece in sent), "nobody could read what was sent"
            assert number % _PER_CODEC != _PER_CODEC - 1 or kept_bytes(dialect) < _MOST_KEPT_BYTES, "it keeps too much"
        except AssertionError as exc:
            exc.add_note(f"message {number}: {message!r}")
            raise
        outcomes.update(_kind(event) for event in events)
    return outcomes


def _start_of(example: Example) -> Started:
    dialect = example.codec()
    (started,) = [
        event for message in example.opening for event in dialect.receive(message) if isinstance(event, Started)
    ]
    return started


def _sane(event: WireEvent, started: Started) -> int:
    """Assert that an event is one that may be; return how many bytes of audio it brings."""
    match event:
        case Media(audio):
            assert len(audio) % started.audio_in.sample_bytes == 0
            assert 0 < len(audio) <= _MOST_MEDIA_MS * started.audio_in.bytes_per_ms
            return len(audio)
        case Digit(digit):
            assert len(digit) == 1
            assert digit in "0123456789*#ABCD"
        case Started(stream, call, caller, called, parameters):
            assert stream
            assert call
            assert len(parameters) <= 64
            texts = (stream, call, caller or "", called or "", *parameters, *parameters.values())
            assert all(len(text.encode()) <= 4 * 1_024 for text in texts)
        case _:
            pass
    return 0


def _ends(event: WireEvent) -> bool:
    return isinstance(event, Stopped) or (isinstance(event, Refused) and event.fatal)


def _readable(piece: str | bytes) -> bool:
    if isinstance(piece, str) and piece.startswith("{"):
        json.loads(piece)
    return isinstance(piece, bytes) or piece.isascii()


def kept_bytes(kept: object, seen: set[int] | None = None) -> int:
    """Return the size of everything that an object holds, but for classes, functions and constants."""
    seen = set() if seen is None else seen
    if id(kept) in seen or callable(kept):
        return 0
    seen.add(id(kept))
    size = sys.getsizeof(kept)
    if isinstance(kept, dict):
        return size + sum(kept_bytes(each, seen) for pair in kept.items() for each in pair)
    if isinstance(kept, (list, tuple, set, frozenset, deque)):
        return size + sum(kept_bytes(each, seen) for each in kept)
    names = [name for kind in type(kept).__mro__ for name in getattr(kind, "__slots__", ())]
    held = [getattr(kept, name) for name in names if hasattr(kept, name)]
    return size + sum(kept_bytes(each, seen) for each in (*held, *getattr(kept, "__dict__", {}).values()))


def _kind(event: WireEvent) -> str:
    return f"refused: {event.why}" if isinstance(event, Refused) else type(event).__name__.lower()


def main() -> None:
    """Fuzz every dialect in turn."""
    mutations = int(sys.argv[1]) if len(sys.argv) > 1 else MUTATIONS
    for name, example in FUZZED.items():
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbits(32)
        print(f"{name}: seed {seed}", end="", flush=True)  # noqa: T201 - a program
        began_s = time.monotonic()
        outcomes = fuzz(example, mutations=mutations, seed=seed)
        understood = sum(count for kind, count in outcomes.items() if not kind.startswith("refused"))
        print(  # noqa: T201 - a program
            f", {mutations:,} damaged messages in {time.monotonic() - began_s:.0f} s, 0 uncaught; {understood:,} still "
            f"meant something, {len(outcomes)} kinds of outcome"
        )


if __name__ == "__main__":
    main()
