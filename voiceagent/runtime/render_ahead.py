"""Rendering ahead: what every call will need to say is synthesised before the first caller is there."""

from __future__ import annotations

from voiceagent.language import language_for
from voiceagent.ports import AudioFormat, SynthesizerEngine
from voiceagent.runtime.learned import Learned
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Say

__all__ = ["render_ahead"]


async def render_ahead(flow: Flow, synthesizer: SynthesizerEngine, learned: Learned, audio: AudioFormat) -> None:
    """Synthesise fillers and fixed sentences into the process-wide cache, and learn how long the fillers are."""
    language = language_for(flow.locale)
    for text in dict.fromkeys(_fixed_sentences(flow)):
        await synthesizer.render(text, audio, voice=flow.voice)
    for text in dict.fromkeys(_filler_phrases(flow)):
        # A filler is said clause by clause, so it is rendered clause by clause.
        splitter = language.clause_splitter()
        clauses = [*splitter.feed(text), *splitter.flush()]
        rendered = [await synthesizer.render(clause, audio, voice=flow.voice) for clause in clauses]
        learned.phrase_is(text, sum(map(len, rendered)) // audio.bytes_per_ms)


def _filler_phrases(flow: Flow) -> list[str]:
    fillers = [flow.filler]
    for phase in flow.phases:
        fillers += [filler for filler in (phase.filler, *(tool.filler for tool in phase.tools)) if filler]
    return [text for filler in fillers for text in (*filler.phrases, *filler.later, filler.apology)]


def _fixed_sentences(flow: Flow) -> list[str]:
    said = [phase.on_enter.text for phase in flow.phases if isinstance(phase.on_enter, Say)]
    for phase in flow.phases:
        said += [*phase.no_input.phrases, *phase.no_match.phrases]
    said += [edge.say for phase in flow.phases for edge in flow.transitions_of(phase) if edge.say]
    # What is said when something is broken must not need what may be broken.
    said += flow.phrases.model_dump().values()
    return [text for text in said if "{" not in text]
