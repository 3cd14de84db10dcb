"""Rendering ahead: what every call will need to say is synthesised before the first caller is there."""

from __future__ import annotations

from collections.abc import Iterator

from voiceagent.language import language_for
from voiceagent.ports import AudioFormat, SynthesizerEngine
from voiceagent.runtime.learned import Learned
from voiceagent.spec.flow import Flow
from voiceagent.spec.manner import Manner
from voiceagent.spec.phase import Phase, Say

__all__ = ["render_ahead"]


async def render_ahead(flow: Flow, synthesizer: SynthesizerEngine, learned: Learned, audio: AudioFormat) -> None:
    """Synthesise fillers and fixed sentences into the process-wide cache, and learn how long the fillers are.

    Each in every manner in which a phase may say it.
    """
    phases = [(phase, flow.manner_of(phase)) for phase in flow.phases]
    for manner, text in dict.fromkeys((manner, text) for phase, manner in phases for text in _sentences(flow, phase)):
        await _render(text, manner, synthesizer, audio)
    for manner, text in dict.fromkeys((manner, text) for phase, manner in phases for text in _fillers(flow, phase)):
        # A filler is said clause by clause, so it is rendered clause by clause.
        splitter = language_for(manner.language).clause_splitter()
        clauses = [*splitter.feed(text), *splitter.flush()]
        rendered = [await _render(clause, manner, synthesizer, audio) for clause in clauses]
        learned.phrase_is(text, sum(map(len, rendered)) // audio.bytes_per_ms)


async def _render(text: str, manner: Manner, synthesizer: SynthesizerEngine, audio: AudioFormat) -> bytes:
    return await synthesizer.render(
        text, audio, voice=manner.voice, locale=manner.language, speaking_rate=manner.speaking_rate
    )


def _fillers(flow: Flow, phase: Phase) -> Iterator[str]:
    for tool in (None, *flow.tools_of(phase)):
        filler = flow.filler_of(phase, tool)
        yield from (*filler.phrases, *filler.later, filler.apology)


def _sentences(flow: Flow, phase: Phase) -> Iterator[str]:
    wording = flow.wording_of(phase)
    said = [phase.on_enter.text] if isinstance(phase.on_enter, Say) else []
    said += [*wording.no_input.phrases, *wording.no_match.phrases, *flow.backchannels_of(phase)]
    ways = [edge for other in flow.phases for edge in flow.transitions_of(other) if edge.to == phase.name]
    said += [edge.say for edge in ways if edge.say]
    # What is said when something is broken must not need what may be broken.
    said += wording.phrases.model_dump().values()
    yield from (text for text in said if "{" not in text)
