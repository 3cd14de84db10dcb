"""Peers: which servers answer the same callers, each with what its documentation recommends for Twilio."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FLOOR", "PEERS", "SILENCE_MS", "Peer"]

SILENCE_MS = 500
"""What every server is told to wait in silence before a caller's turn is over."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the table."""

    name: str
    module: str
    """Prints its port on the first line, and ends when its standard input is closed."""
    arguments: tuple[str, ...] = ()
    environment: str | None = None
    """`requirements/<environment>.txt`, installed into `.venv-peers/<environment>`; None: the project's own."""
    distribution: str | None = None
    """Whose version the table tells."""
    silence_ms: int = SILENCE_MS
    """What it waits by its settings until a turn is over."""
    hears_voices: bool = False
    """It tells voices from tones: its callers speak a sentence instead of humming."""
    remark: str = ""
    """What its figures cannot be read without."""
    companion: str | None = None
    """A module of the project that the server talks to, in a process of its own that is not counted."""


_OURS_WAITS = (
    "listens to half a second of voice for words before it takes it for a barge-in, which it cannot be told not to; "
    "the others are set to stop after 60 ms (pipecat with Silero after its 200)"
)

FLOOR = Peer("floor", "benchmarks.floor")
"""A row of its own as well: beside itself it shows how far two runs of one server are apart on this machine."""

PEERS = (
    FLOOR,
    Peer("voiceagent", "benchmarks.served", distribution="voiceagent", remark=_OURS_WAITS),
    Peer(
        "voiceagent, Silero",
        "benchmarks.served",
        ("--vad", "silero"),
        distribution="voiceagent",
        hears_voices=True,
        remark=_OURS_WAITS,
    ),
    Peer(
        "openai-agents, relay",
        "benchmarks.peers.servers.openai_agents",
        environment="openai_agents",
        distribution="openai-agents",
        remark="detecting voice, taking turns and speaking are the provider's work, which is not counted",
        companion="benchmarks.peers.realtime",
    ),
    Peer(
        "vocode",
        "benchmarks.peers.servers.vocode",
        environment="vocode",
        distribution="vocode",
        remark="after a barge-in it sends a second of silence first, which counts as the answer",
    ),
    Peer(
        "livekit-agents, no media server",
        "benchmarks.peers.servers.livekit_agents",
        environment="livekit_agents",
        distribution="livekit-agents",
        remark="all calls in one process, and no media server, neither of which is how it is meant to be run",
    ),
    Peer("pipecat", "benchmarks.peers.servers.pipecat", environment="pipecat", distribution="pipecat-ai"),
    Peer(
        "pipecat, Silero",
        "benchmarks.peers.servers.pipecat",
        ("--vad", "silero"),
        environment="pipecat",
        distribution="pipecat-ai",
        hears_voices=True,
    ),
    Peer(
        "pipecat, Silero and smart turn",
        "benchmarks.peers.servers.pipecat",
        ("--vad", "silero", "--smart-turn"),
        environment="pipecat",
        distribution="pipecat-ai",
        silence_ms=200,
        remark="waits 200 ms, and then for its model's verdict on whether the sentence is complete",
        hears_voices=True,
    ),
)
