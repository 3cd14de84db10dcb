"""What the agent says: which clauses were sent, which were heard, and what is left of a sentence that was cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from voiceagent.core.effects import Speak, SpeechKind
from voiceagent.core.ids import ReplyId, UtteranceId
from voiceagent.language import Language, WordLength, word_ends

__all__ = ["AgentSpeech", "Clause", "Spoken"]


@dataclass(slots=True)
class Clause:
    """A piece of an utterance that was sent at once."""

    text: str
    language: Language
    duration_ms: int | None = None
    """Known once its audio is complete."""
    told_ends_ms: tuple[int, ...] | None = None
    """When each word is over, where the synthesizer has told."""
    _lengths: Sequence[WordLength] | None = None

    @property
    def expected_ms(self) -> int:
        """Its length, or an estimate."""
        if self.duration_ms is not None:
            return self.duration_ms
        return sum(said_ms + pause_ms for said_ms, pause_ms in self._estimated) if self.text else 0

    @property
    def word_ends_ms(self) -> Sequence[int]:
        """When each of its words is over; an estimate where nobody has told."""
        if self.told_ends_ms is not None and len(self.told_ends_ms) == self.text.count(" ") + 1:
            return self.told_ends_ms
        return word_ends(self._estimated, self.duration_ms)

    def after(self, heard_ms: int) -> tuple[str, str]:
        """Return its words of which the last sound was heard within so long, and the others."""
        words, ends_ms = self.text.split(" "), self.word_ends_ms
        said = 0
        # Whatever was told of them, no word is over before the one in front of it is.
        while said < len(words) and ends_ms[said] <= heard_ms:
            said += 1
        return " ".join(words[:said]), " ".join(words[said:])

    @property
    def _estimated(self) -> Sequence[WordLength]:
        if self._lengths is None:
            self._lengths = self.language.word_lengths(self.text)
        return self._lengths


@dataclass(slots=True)
class Spoken:
    """One utterance of the agent."""

    id: UtteranceId
    kind: SpeechKind
    interruptible: bool
    language: Language
    """Of the phase that says it: the call may be in another one before it is over."""
    clauses: list[Clause] = field(default_factory=list[Clause])
    text: str = ""
    """Everything that was sent."""
    complete: bool = False
    """No clause follows."""
    started_ms: int | None = None
    heard_ms: int = 0
    heard_clauses: int = 0
    """How many clauses have been heard to their end."""
    over: bool = False
    """Played to its end, or stopped."""
    said_by: ReplyId | None = None
    """The reply in which a speech model says it itself."""
    skipped_ms: int = 0
    """How much of a speech model's audio comes before what was sent here: it was heard before a noise cut it off."""
    stopped: bool = False
    whole: bool = False
    """It was stopped when all its clauses were known: what is left of it can be told."""
    broken: bool = False
    """Some of it could not be said: what came of it counts as heard, and no more."""

    @property
    def sounding(self) -> bool:
        """Whether something of it is on its way to the ear; a reply that has stalled between two clauses is not."""
        return not self.over and (self.complete or self.heard_clauses < len(self.clauses))

    @property
    def unbegun(self) -> bool:
        """Whether no sound of it has been heard."""
        return self.started_ms is None and not self.heard_ms

    @property
    def length_ms(self) -> int:
        """How long all that was sent takes, where its audio is known; else an estimate."""
        return sum(clause.expected_ms for clause in self.clauses)

    @property
    def left_ms(self) -> int:
        """How much of what was sent has not been heard."""
        return self.length_ms - self.heard_ms

    @property
    def heard_text(self) -> str:
        """What the caller has heard of it, to the word."""
        return self.text if not self.stopped else self.heard_by(self.heard_ms)[0]

    @property
    def unheard_text(self) -> str:
        """What they have not, from the next whole word on."""
        return "" if not self.stopped else self.heard_by(self.heard_ms)[1]

    def add(self, clause: Clause) -> None:
        """It goes on with this."""
        self.clauses.append(clause)
        self._read()

    def breaks_off(self, clause: int, said_ms: int) -> None:
        """Only so much of a clause could be said, or nothing, and nothing of what follows it."""
        said = Clause(self.clauses[clause].after(said_ms)[0], self.language, duration_ms=said_ms)
        unsaid = [Clause("", self.language, duration_ms=0) for _ in self.clauses[clause + 1 :]]
        self.clauses[clause:] = [said, *unsaid]
        self._read()

    def _read(self) -> None:
        self.text = " ".join(clause.text for clause in self.clauses if clause.text)

    def heard_by(self, heard_ms: int) -> tuple[str, str]:
        """Return what has been heard of it after so long, to the word, and what has not."""
        left_ms = heard_ms
        heard: list[str] = []
        for index, clause in enumerate(self.clauses):
            length_ms = clause.expected_ms
            if left_ms >= length_ms:
                heard.append(clause.text)
                left_ms -= length_ms
                continue
            said, unsaid = clause.after(left_ms)
            heard.append(said)
            rest = [unsaid, *(later.text for later in self.clauses[index + 1 :])]
            return " ".join(part for part in heard if part), " ".join(part for part in rest if part)
        return " ".join(part for part in heard if part), ""


class AgentSpeech:
    """The agent's side of the floor."""

    def __init__(self, language: Language) -> None:
        self.language = language
        """In which is said what begins from here on."""
        self.unfinished: tuple[Spoken, ...] = ()
        """Utterances that are queued or playing, in order."""
        self._utterances: dict[UtteranceId, Spoken] = {}
        self._count = 0

    @property
    def busy(self) -> bool:
        """Whether anything said or about to be said has not been heard to its end."""
        return bool(self.unfinished)

    @property
    def sounding(self) -> tuple[Spoken, ...]:
        """Utterances of which something is queued or playing, in order."""
        return tuple(spoken for spoken in self.unfinished if spoken.sounding) if self.unfinished else ()

    @property
    def unbegun(self) -> bool:
        """Whether something is on its way to the ear, and no sound of it has been heard."""
        sounding = self.sounding
        return bool(sounding) and all(spoken.unbegun for spoken in sounding)

    def get(self, utterance: UtteranceId) -> Spoken | None:
        """Return an utterance that is not forgotten yet."""
        return self._utterances.get(utterance)

    def begin(self, kind: SpeechKind, *, interruptible: bool, utterance: UtteranceId | None = None) -> Spoken:
        """Open an utterance; a speech model brings its own id."""
        if utterance is None:
            self._count += 1
            utterance = UtteranceId(f"a{self._count}")
        spoken = Spoken(utterance, kind, interruptible, self.language)
        self._utterances[utterance] = spoken
        self._find_unfinished()
        return spoken

    def add(self, spoken: Spoken, text: str, *, last: bool) -> Speak:
        """Append a clause and return the effect that says it."""
        spoken.add(Clause(text, spoken.language, duration_ms=None if text else 0))
        spoken.complete = last
        return Speak(spoken.id, len(spoken.clauses) - 1, text, spoken.kind, last=last)

    def queued(
        self, utterance: UtteranceId, clause: int, duration_ms: int, word_ends_ms: tuple[int, ...] | None = None
    ) -> None:
        """The length of a clause is known, and perhaps that of its words."""
        spoken = self._utterances.get(utterance)
        if spoken and 0 <= clause < len(spoken.clauses):
            spoken.clauses[clause].duration_ms = duration_ms
            spoken.clauses[clause].told_ends_ms = word_ends_ms

    def failed(self, utterance: UtteranceId, clause: int, said_ms: int) -> Spoken | None:
        """Only so much of a clause could be said, or nothing, and nothing of what follows it in its utterance.

        Returns the utterance where that is news of it.
        """
        spoken = self._utterances.get(utterance)
        if spoken is None or not 0 <= clause < len(spoken.clauses):
            return None
        spoken.breaks_off(clause, said_ms)
        news = not (spoken.broken or spoken.stopped)
        spoken.broken = True
        return spoken if news else None

    def excused(self) -> None:
        """An apology is about to be said: for what is only about to be said, and cannot be, it is one as well."""
        for spoken in self.unfinished:
            if spoken.kind == "said" and spoken.unbegun:
                spoken.broken = True

    def started(self, utterance: UtteranceId, at_ms: int) -> Spoken | None:
        """The first sound was heard; None where that utterance is over or was heard before."""
        spoken = self._utterances.get(utterance)
        if spoken is None or spoken.over or spoken.started_ms is not None:
            return None
        spoken.started_ms = at_ms
        return spoken

    def reached(self, utterance: UtteranceId, clause: int, heard_ms: int, *, finished: bool) -> Spoken | None:
        """A clause was heard to its end; returns the utterance if that was its last."""
        spoken = self._utterances.get(utterance)
        if spoken is None or spoken.over:
            return None
        spoken.heard_ms = max(spoken.heard_ms, heard_ms)
        spoken.heard_clauses = max(spoken.heard_clauses, clause + 1)
        if not finished:
            return None
        spoken.over = True
        self._find_unfinished()
        return spoken

    def stopped(self, utterance: UtteranceId, heard_ms: int) -> Spoken | None:
        """Playout was cut off; None where the utterance was over already."""
        spoken = self._utterances.get(utterance)
        if spoken is None or spoken.over:
            return None
        spoken.heard_ms = heard_ms
        spoken.whole = spoken.complete
        spoken.over = spoken.stopped = spoken.complete = True
        self._find_unfinished()
        return spoken

    def forget_finished(self, keep: int = 16) -> None:
        """Drop all but the last finished utterances: their words are in the transcript."""
        finished = [key for key, spoken in self._utterances.items() if spoken.over]
        for key in finished[:-keep]:
            del self._utterances[key]

    def _find_unfinished(self) -> None:
        """An utterance has begun or is over: seldom, beside how often it is asked who speaks."""
        self.unfinished = tuple(spoken for spoken in self._utterances.values() if not spoken.over)
