"""The agent's desk: sentences, replies as they stream in, fillers, and what remains of them when the caller cuts in."""

from __future__ import annotations

from dataclasses import dataclass, field

from voiceagent.core.agent_speech import AgentSpeech, Spoken
from voiceagent.core.effects import (
    AskModel,
    CancelReply,
    ModelRequest,
    PlayReply,
    SpeechKind,
    StopPlayout,
    TruncateReply,
)
from voiceagent.core.events import ToolRequested
from voiceagent.core.fillers import FillerPolicy
from voiceagent.core.ids import Epoch, ReplyId, UtteranceId
from voiceagent.core.state import CallState, Outbox
from voiceagent.core.transcript import Transcript

__all__ = ["Reply", "Saying"]


@dataclass(slots=True)
class Reply:
    """One reply of the model, while it is being made."""

    id: ReplyId
    epoch: Epoch
    in_audio: bool = False
    """A speech model says it itself: its audio does not come from here."""
    spoken: Spoken | None = None
    held: bool = False
    """The caller cut in and nobody knows yet whether they meant it: what comes is kept back."""
    held_text: list[str] = field(default_factory=list[str])
    held_requests: list[ToolRequested] = field(default_factory=list[ToolRequested])
    for_result: bool = False
    """It was asked for because of what a tool has returned."""
    clauses: int = 0
    """How many pieces of text it has had so far."""
    requests: int = 0
    """Tools and moves it asked for."""
    heard_from_ms: int = 0
    """When the model last sent a piece of it."""
    finished: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it has neither said nor asked for anything so far."""
        return self.spoken is None and not (self.requests or self.held_text)


class Saying:
    """Everything the agent says or is about to say."""

    def __init__(self, state: CallState, out: Outbox, transcript: Transcript) -> None:
        self.speech = AgentSpeech(state.language)
        self.fillers = FillerPolicy(phrase_ms=state.inherited.phrase_ms)
        self.reply: Reply | None = None
        """The reply that is being made or whose tools are running."""
        self.cut_off: list[Spoken] = []
        """Utterances stopped by what may turn out to be a cough."""
        self._meant: bool | None = None
        """Whether the caller meant the last interruption; None as long as nobody knows."""
        self.owed = False
        """The model owes the caller a reply: to their words or to a result."""
        self.result_untold = False
        """It is owed to a result, at least."""
        self.words_unanswered = False
        """The caller has said something that no model was shown yet."""
        self.awaited_until_ms: int | None = None
        """By when a speech model that has heard the caller should have begun its reply."""
        self._state = state
        self._out = out
        self._transcript = transcript
        self._replies = 0
        self._filler_rest: list[str] = []
        self._filler: Spoken | None = None

    @property
    def _may_interrupt(self) -> bool:
        """Last words are heard to their end: whoever talks into a goodbye does not want it cut off. Nor does a tape."""
        return self._state.phase.interruptible and not self._state.phase.ends and not self._state.only_listens

    @property
    def reply_is_unheard(self) -> bool:
        """Whether a reply is being made of which nothing is on its way to the ear."""
        return self.reply is not None and self.reply.spoken is None

    # --- whole sentences ---

    def say(self, text: str, kind: SpeechKind = "said", *, interruptible: bool | None = None) -> Spoken:
        """Say a sentence of the flow's or the framework's own."""
        may = self._may_interrupt if interruptible is None else interruptible
        spoken = self.speech.begin(kind, interruptible=may)
        self._out.emit(self.speech.add(spoken, text, last=True))
        self._transcript.agent(spoken, self._state.epoch)
        return spoken

    def say_filler(self, text: str) -> None:
        """Say a filler clause by clause: the next one only if the caller is still waiting when this one was heard."""
        splitter = self._state.language.clause_splitter()
        first, *rest = [*splitter.feed(text), *splitter.flush()] or [text]
        self._filler = self.speech.begin("filler", interruptible=True)
        if self._state.voice_speaks:
            # What it has not said itself a speech model must be told, or it wonders what the caller talks about.
            self._transcript.agent(self._filler, self._state.epoch)
        self._filler_rest = rest
        self._out.emit(self.speech.add(self._filler, first, last=not rest))

    def go_on_with_filler(self, utterance: UtteranceId) -> None:
        """A clause of the filler was heard: say the next, or leave it at that."""
        filler = self._filler
        if filler is None or filler.id != utterance or filler.complete or filler.over:
            return
        wanted = self.fillers.waiting and bool(self._filler_rest)
        text = self._filler_rest.pop(0) if wanted else ""
        self._out.emit(self.speech.add(filler, text, last=not (wanted and self._filler_rest)))

    # --- replies ---

    def ask(self, request: ModelRequest) -> Reply:
        """Ask the model for a reply; one that is still being made is no longer wanted."""
        reply = self.adopt(self._next_id())
        self._out.emit(AskModel(reply.id, request))
        return reply

    def ask_ahead(self, request: ModelRequest) -> ReplyId:
        """Ask for a reply that may come to nothing; return its id. It is no reply of ours unless it is adopted."""
        reply = self._next_id()
        self._out.emit(AskModel(reply, request, ahead=True))
        return reply

    def adopt(self, reply: ReplyId) -> Reply:
        """Take a reply for the one that is owed."""
        self.drop_reply()
        for_result, self.result_untold = self.result_untold, False
        self.owed = self.words_unanswered = False
        self.awaited_until_ms = None
        self.reply = self._new(reply, self._state.epoch)
        self.reply.for_result = for_result
        return self.reply

    def _next_id(self) -> ReplyId:
        self._replies += 1
        return ReplyId(f"r{self._replies}")

    def unasked(self, reply: ReplyId, epoch: Epoch) -> Reply:
        """A speech model has begun a reply by itself, and it is wanted: it comes in place of any other."""
        asked = self.reply
        if asked is not None and asked.for_result and asked.is_empty and not asked.finished:
            self.owed = self.result_untold = True  # what a tool has returned it does not know
        self.drop_reply()
        self.words_unanswered = False
        self.awaited_until_ms = None
        self.reply = self._new(reply, epoch)
        return self.reply

    def _new(self, reply: ReplyId, epoch: Epoch) -> Reply:
        return Reply(reply, epoch, in_audio=self._state.voice_speaks, heard_from_ms=self._state.now_ms)

    def was_asked(self, reply: ReplyId) -> bool:
        """Whether this reply has been asked for, by its name: it may not be wanted any more."""
        return reply.startswith("r") and reply[1:].isdecimal() and int(reply[1:]) <= self._replies

    def current(self, reply: ReplyId) -> Reply | None:
        """Return the reply if it is the one that is wanted and belongs to this phase."""
        known = self.reply
        return known if known and known.id == reply and known.epoch == self._state.epoch else None

    def add_text(self, reply: Reply, text: str) -> None:
        """The next clause of a reply."""
        if reply.held:
            reply.held_text.append(text)
            return
        spoken = self._open(reply)
        effect = self.speech.add(spoken, text, last=False)
        if not reply.in_audio:
            self._out.emit(effect)

    def finish(self, reply: Reply) -> None:
        """The reply is complete."""
        reply.finished = True
        if not reply.held:
            self._complete(reply)

    def drop_reply(self) -> None:
        """The reply is no longer wanted: what it has said stays said, nothing of it follows."""
        reply, self.reply = self.reply, None
        if reply is None:
            return
        if not reply.finished:
            self._out.emit(CancelReply(reply.id))
        self._complete(reply)

    def _open(self, reply: Reply) -> Spoken:
        if reply.spoken is None:
            own = UtteranceId(reply.id) if reply.in_audio else None
            reply.spoken = self.speech.begin("reply", interruptible=self._may_interrupt, utterance=own)
            if own is not None:
                # Not before there is something to hear: a filler that is due goes first, or not at all.
                reply.spoken.said_by = reply.id
                self._out.emit(PlayReply(reply.id, own, 0))
            self._transcript.agent(reply.spoken, reply.epoch, in_audio=reply.in_audio)
        return reply.spoken

    def _complete(self, reply: Reply) -> None:
        if reply.spoken and not reply.spoken.complete:
            effect = self.speech.add(reply.spoken, "", last=True)
            if not reply.in_audio:
                self._out.emit(effect)

    # --- barge-in ---

    def stop(self) -> None:
        """Be silent now."""
        self._filler_rest.clear()
        self._meant = None
        self._out.emit(StopPlayout())
        self.hold()

    def hold(self) -> None:
        """The caller has the floor: a reply that is being made is kept back until it is known whether they meant it."""
        if self.reply and not self.reply.finished:
            self.reply.held = True

    def stopped(self, utterance: UtteranceId, heard_ms: int) -> Spoken | None:
        """Playout of an utterance was cut off here; None where it was over already."""
        spoken = self.speech.stopped(utterance, heard_ms)
        if spoken and spoken.kind in ("reply", "said"):
            if self._meant is None:
                self.cut_off.append(spoken)
            elif self._meant:
                self._truncate(spoken)
            elif spoken.unheard_text:
                self._go_on_with([spoken])  # the cough was over before anybody knew where it had fallen
        return spoken

    def _truncate(self, spoken: Spoken) -> None:
        """Have a speech model know how much of its reply was heard."""
        if spoken.said_by is not None:
            self._out.emit(TruncateReply(spoken.said_by, spoken.skipped_ms + spoken.heard_ms))

    def _go_on_with(self, stopped: list[Spoken]) -> None:
        """Say what was not heard of these; what a speech model said is played from where it stopped."""
        for spoken in stopped:
            if spoken.said_by is not None and spoken.unheard_text:
                self._play_on(spoken.said_by, spoken, spoken.unheard_text, complete=True)
        rest = " ".join(spoken.unheard_text for spoken in stopped if spoken.unheard_text and not spoken.said_by)
        if rest:
            self.say(rest)

    def _play_on(self, reply: ReplyId, stopped: Spoken, text: str, *, complete: bool) -> Spoken:
        """Have a speech model's reply heard from where it stopped; these are its words from there on."""
        utterance = UtteranceId(f"{stopped.id}+")  # a leg has nothing more to do with an utterance that was stopped
        spoken = self.speech.begin("reply", interruptible=self._may_interrupt, utterance=utterance)
        spoken.said_by = reply
        spoken.skipped_ms = stopped.skipped_ms + stopped.heard_ms
        self.speech.add(spoken, text, last=complete)
        self._transcript.agent(spoken, self._state.epoch, in_audio=True)
        self._out.emit(PlayReply(reply, spoken.id, spoken.skipped_ms))
        return spoken

    def forget_cut_off(self) -> None:
        """The caller meant it: what was cut off is not said again, the rest of the reply not at all."""
        self._meant = True
        for spoken in self.cut_off:
            self._truncate(spoken)
        self.cut_off.clear()
        if self.reply and (self.reply.held or self.reply.held_requests):
            self.drop_reply()

    def resume(self) -> list[ToolRequested]:
        """It was a cough: go on where the sentence stopped; returns the tool requests that were kept back."""
        self._meant = False
        cut_off = list(self.cut_off)
        self.cut_off.clear()
        reply = self.reply
        if reply is None or not reply.held:
            self._go_on_with(cut_off)
            return self._release(reply)
        reply.held = False
        if reply.in_audio:
            self._go_on_in_audio(reply, cut_off)
        else:
            reply.spoken = None
            self._say_kept_back(reply, " ".join(spoken.unheard_text for spoken in cut_off if spoken.unheard_text))
        reply.held_text.clear()
        return self._release(reply)

    def _go_on_in_audio(self, reply: Reply, cut_off: list[Spoken]) -> None:
        """Have a speech model's reply heard from where it stopped, or from its beginning, after what came before it."""
        self._go_on_with([spoken for spoken in cut_off if spoken is not reply.spoken])
        if reply.spoken is not None and any(spoken is reply.spoken for spoken in cut_off):
            text = " ".join([reply.spoken.unheard_text, *reply.held_text])
            reply.spoken = self._play_on(reply.id, reply.spoken, text, complete=reply.finished)
            return
        if reply.finished and reply.is_empty:
            self.owed = True  # the model has given it up over a noise: nobody has answered the caller
            self.result_untold = self.result_untold or reply.for_result
        self._say_kept_back(reply)

    def _say_kept_back(self, reply: Reply, *before: str) -> None:
        """Say what was kept back of a reply."""
        for text in [*filter(None, before), *reply.held_text]:
            self.add_text(reply, text)
        if reply.finished:
            self._complete(reply)

    @staticmethod
    def _release(reply: Reply | None) -> list[ToolRequested]:
        if reply is None:
            return []
        requests, reply.held_requests = reply.held_requests, []
        return requests

    # --- a connection that is lost ---

    def broken_off(self) -> None:
        """Nobody hears anything any more: what was not heard never will be, a reply in the making is owed again."""
        reply = self.reply
        if reply is not None and (reply.held or not reply.finished):
            self.drop_reply()
            self.owed = True
        elif self.awaited_until_ms is not None:
            self.owed = True
        self.awaited_until_ms = None
        for spoken in self.speech.unfinished:
            self.speech.stopped(spoken.id, spoken.heard_ms)
        self.cut_off.clear()
        self._filler_rest.clear()
        self.fillers.stop()

    # --- phases ---

    def leave_phase(self) -> None:
        """A transition is decided: nothing more is said under the old prompt, what is playing plays on."""
        self.drop_reply()
        self.forget_cut_off()
        self._filler_rest.clear()
        self.awaited_until_ms = None
        self.result_untold = False
        self.owed = self.words_unanswered
