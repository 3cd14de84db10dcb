"""Damages the messages of every dialect at random: `python -m tests.telephony.fuzz [MUTATIONS] [SEED]`.

No codec may raise, take longer than a message is worth, keep more than a little, or take damage for a second start.
Prints the seed of every dialect, and the message that did harm where one does.
"""

from __future__ import annotations

import random
import secrets
import sys
import time
from collections import Counter

from tests.telephony.wire_examples import EXAMPLES, Example
from voiceagent.telephony.codec import ClearAudio, PlayAudio, Refused, SetMark, Started, WireEvent

__all__ = ["fuzz", "mutated"]

MUTATIONS = 200_000
_PER_CODEC = 500
"""Messages until the codec is another one, so that what one of them leaves behind shows."""
_SLOW_MS = 1_000
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
        return rng.choice([message[:at], message + message[:at], rng.randbytes(at), message.hex()])
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
        message = mutated(rng.choice(messages), rng, messages)
        began_ns = time.monotonic_ns()
        try:
            events = dialect.receive(message)
            sent = [piece for command in (PlayAudio(bytes(640)), SetMark("0.1")) for piece in dialect.send(command)]
        except BaseException:
            print(f"message {number}: {message!r}")  # noqa: T201
            raise
        assert (time.monotonic_ns() - began_ns) / 1e6 < _SLOW_MS, message
        starts += sum(isinstance(event, Started) for event in events)
        assert starts <= 1, message
        assert bool(sent) == bool(starts), message
        assert len(dialect.send(ClearAudio())) == (1 if starts else 0), message
        outcomes.update(_kind(event) for event in events)
    return outcomes


def _kind(event: WireEvent) -> str:
    return f"refused: {event.why}" if isinstance(event, Refused) else type(event).__name__.lower()


def main() -> None:
    """Fuzz every dialect in turn."""
    mutations = int(sys.argv[1]) if len(sys.argv) > 1 else MUTATIONS
    for name, example in EXAMPLES.items():
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbits(32)
        print(f"{name}: seed {seed}", end="", flush=True)  # noqa: T201
        began_s = time.monotonic()
        outcomes = fuzz(example, mutations=mutations, seed=seed)
        understood = sum(count for kind, count in outcomes.items() if not kind.startswith("refused"))
        print(  # noqa: T201
            f", {mutations:,} damaged messages in {time.monotonic() - began_s:.0f} s, 0 uncaught; {understood:,} still "
            f"meant something, {len(outcomes)} kinds of outcome"
        )


if __name__ == "__main__":
    main()
