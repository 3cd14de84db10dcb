"""The caller's side of the conversation: when they have the floor, when their turn is over, and what it was."""

from __future__ import annotations

from voiceagent.core import events as ev
from voiceagent.core.confirming import Confirming
from voiceagent.core.desks import Desks
from voiceagent.core.effects import NoteDecision, ReportProblem
from voiceagent.core.hearing import TurnTaken
from voiceagent.core.ids import TurnId, UtteranceId
from voiceagent.core.phase_machine import Signal
from voiceagent.core.replying import Replying
from voiceagent.spec.phase import NotUnderstood, Pressed, TurnLimitReached, VoiceFails

__all__ = ["Listening"]

_BEGINS_WITHIN_MS = 3_000
"""A speech model that has not begun to answer the caller's words by then is asked to."""
_SOON_MS = 300
"""The same for one that was cut off while it was making a reply."""


class Listening:
    """Decides what follows from what the caller says or presses."""

    def __init__(self, desks: Desks, *, replying: Replying, confirming: Confirming) -> None:
        self._state = desks.state
        self._out = desks.out
        self._transcript = desks.transcript
        self._saying = desks.saying
        self._doing = desks.doing
        self._hearing = desks.hearing
        self._phasing = desks.phasing
        self._closing = desks.closing
        self._silence = desks.silence
        self._replying = replying
        self._confirming = confirming
        self.answer_is_owed = False
        """A speech model's own answer to the turn was turned down: it has to be asked for."""
        self._unheard: dict[UtteranceId, None] = {}
        """What the caller has said since they were last answered, and no recognizer has put into words."""
        self._understood: dict[UtteranceId, None] = {}
        """What a recognizer has put into words: it does so once."""
        self._passed_over: tuple[UtteranceId, ...] = ()
        """What was taken for noise since the caller was last answered: its words may still come."""

    def heard(
        self, event: ev.CallerStartedSpeaking | ev.CallerPaused | ev.TranscriptPartial | ev.TranscriptFinal
    ) -> None:
        """The caller's voice comes or goes, or words of theirs."""
        if self._state.closing:
            return
        self._silence.broken()
        match event:
            case ev.CallerStartedSpeaking(utterance, at_ms):
                over_speech = bool(self._saying.speech.sounding)
                self._transcript.began(utterance)
                self._hearing.started(utterance, at_ms, over_speech=over_speech)
                self._saying.fillers.stop()
                if not over_speech or self._saying.reply_is_unheard:
                    self._saying.hold()
                self.give_way()
            case ev.CallerPaused(utterance, at_ms):
                self._hearing.paused(utterance, at_ms)
                self._silence.sound(min(at_ms, self._state.now_ms))
                self._unheard[utterance] = None
            case ev.TranscriptPartial(utterance, text):
                if self._hearing.is_speaking(utterance):
                    self._first_words(utterance, text)
            case ev.TranscriptFinal():
                self._words_came(event)

    def _words_came(self, event: ev.TranscriptFinal) -> None:
        utterance, text, in_audio = event.utterance, event.text, event.in_audio
        if not in_audio:  # a speech model may go on with what was said
            if utterance in self._understood:
                self._out.emit(ReportProblem("repeated transcript", utterance))
                return
            if text:
                self._understood[utterance] = None
            text = self._hearing.understood(text)
        known = self._hearing.transcribed(utterance, text, in_audio=in_audio)
        self._unheard.pop(utterance, None)
        if known and self._hearing.is_meant(text):
            self._hearing.took_the_floor(utterance)
            self.barge_in("words")
        elif not known and text and self._transcript.words_came(utterance, text):
            self._asks_to_wait(text)
        elif not known and text:
            self._out.emit(ReportProblem("late transcript", utterance))
            self._late_words(utterance, text, in_audio=in_audio)

    def _first_words(self, utterance: UtteranceId, text: str) -> None:
        """Words of a voice that is still on: it interrupts, or is listened to for longer."""
        if self._hearing.is_meant(text):
            self._hearing.took_the_floor(utterance)
            self.barge_in("words")
        else:
            self._hearing.backchannel_heard(utterance, text)

    def not_transcribed(self, utterance: UtteranceId) -> None:
        """The recognizer has failed over something that the caller has said."""
        self._unheard[utterance] = None

    def _late_words(self, utterance: UtteranceId, text: str, *, in_audio: bool) -> None:
        """Words came that nobody waits for any more; if they were taken for noise they are answered all the same."""
        unanswered = in_audio and utterance in self._passed_over and self._hearing.has_words(text)
        busy = self._hearing.turn_open or self._saying.reply is not None or self._doing.confirmation is not None
        if not unanswered or busy or self._saying.owed or self._state.swapping:
            self._transcript.late(utterance, text, self._state.epoch, in_audio=in_audio)
            return
        self.barge_in("words that came late")
        self._turn_taken()
        self._transcript.late(utterance, text, self._state.epoch, in_audio=in_audio)
        self._answer_or_ask_again(begins_within_ms=None)

    def give_way(self) -> None:
        """Where the caller speaks and the agent has not begun, the caller was first: the agent waits."""
        if self._hearing.speaking and self._saying.speech.unbegun:
            self.barge_in("the caller was first")

    def barge_in(self, reason: str) -> None:
        """The caller has taken the floor: whatever of the agent's may be interrupted stops."""
        self._hearing.barge_in_decided()
        playing = self._saying.speech.unfinished
        if playing and all(spoken.interruptible for spoken in playing):
            self._out.emit(NoteDecision("barge-in", reason, self._hearing.voice_ms))
            self._saying.stop()

    def turn_over(self) -> None:
        """The caller has been silent long enough: decide what their turn was."""
        turn = self._hearing.take_turn()
        turned_down, self.answer_is_owed = self.answer_is_owed, False
        reply = self._saying.reply
        busy = reply is not None and reply.in_audio and reply.held
        if self._state.only_listens:
            self._machine_has_spoken(turn)
            return
        if not turn.text or turn.below_db is not None or self._only_listens(turn):
            self._nothing_said(turn)
            self._unheard.clear()
            return
        if turn.holds and self._doing.confirmation is None:
            self._keeps_the_floor(turn)
            return
        self._turn_over_because(turn.over_because, turn.ended_ms)
        self._turn_taken()
        self._asks_to_wait(turn.text)
        if self._confirming.answered_by(turn):
            return
        self._transcript.caller(turn.said, self._state.epoch, in_audio=turn.in_audio)
        by_itself = turn.in_audio and self._state.replies_unasked and not turned_down
        # Counted from when the caller fell silent: their words may have come long after that.
        waited_ms = self._state.now_ms - turn.ended_ms
        # A model that was speaking all the while has hardly begun to answer.
        within_ms = _SOON_MS if busy else max(_SOON_MS, _BEGINS_WITHIN_MS - waited_ms)
        self._answer_or_ask_again(begins_within_ms=within_ms if by_itself else None)

    def _only_listens(self, turn: TurnTaken) -> bool:
        return turn.over_speech and self._state.language.is_backchannel(turn.text)

    def _machine_has_spoken(self, turn: TurnTaken) -> None:
        """Nobody answers a recording; what it says is worth knowing."""
        self._unheard.clear()
        self._saying.forget_cut_off()
        if turn.text:
            self._transcript.caller(turn.said, self._state.epoch, in_audio=turn.in_audio)

    def greeted(self) -> None:
        """Whoever has answered has said hello, and what the agent says next answers that."""
        if self._hearing.speaking or not self._hearing.turn_open:
            return
        turn = self._hearing.take_turn()
        if turn.text:
            self._turn_over_because("a person has answered", turn.ended_ms)
            self._turn_taken()
            self._transcript.caller(turn.said, self._state.epoch, in_audio=turn.in_audio)

    def _keeps_the_floor(self, turn: TurnTaken) -> None:
        """The caller looks for what they were asked for: that is not answered, and the silence ladder ends it."""
        self._out.emit(NoteDecision("turn held", turn.over_because, self._state.now_ms - turn.ended_ms))
        self._transcript.caller(turn.said, self._state.epoch, in_audio=turn.in_audio)
        self._asks_to_wait(turn.text)
        self._saying.forget_cut_off()
        self._unheard.clear()
        self._passed_over = ()

    def answered_by_voice(self) -> None:
        """A speech model has begun to answer: the caller's turn is over, whether its words are known yet or not."""
        if not self._hearing.turn_open:
            return  # its words were known first, or nothing was said
        said = self._hearing.answered()
        self._turn_over_because("the speech model answers", self._state.now_ms)
        self._turn_taken()
        self._transcript.caller(said, self._state.epoch, in_audio=True)
        self._asks_to_wait(" ".join(text for text in said.values() if text))
        self._count_turns()

    def _asks_to_wait(self, text: str) -> None:
        self._silence.asked_to_wait = self._state.language.asks_to_wait(text)

    def _turn_over_because(self, reason: str, ended_ms: int) -> None:
        self._out.emit(NoteDecision("turn over", reason, self._state.now_ms - ended_ms))

    def _turn_taken(self) -> None:
        """The caller has had their turn: what they cut off is not said again."""
        self._saying.awaited_until_ms = None
        self._passed_over = ()
        self._unheard.clear()
        self._state.turn = TurnId(self._state.turn + 1)
        self._state.phase_turns += 1
        self._silence.answered()
        self._saying.forget_cut_off()
        self._doing.void_moves()

    def _nothing_said(self, turn: TurnTaken) -> None:
        """It was a cough, a noise, an "uh-huh": go on as if nothing had been, unless they did try to say something."""
        self._passed_over = turn.utterances
        somebody_else = bool(turn.text) and turn.below_db is not None
        if self._saying.cut_off or somebody_else:
            why = "the caller is listening" if turn.text else "no words came of it"
            if somebody_else:
                why = f"the voice is {turn.below_db} dB fainter than a usual one"
            self._out.emit(NoteDecision("no barge-in", why, self._state.now_ms - turn.ended_ms))
        for request in self._saying.resume():
            self._replying.request(request)
        self._confirming.go_on()
        if turn.over_speech or self._saying.speech.busy:
            return
        if any(said in self._unheard for said in turn.utterances) and not self._state.voice_hears:
            self._not_heard()
        elif not turn.was_noise:
            self._not_understood()

    def _not_heard(self) -> None:
        """The recognizer has failed: the caller is asked once to say it again, then another way is taken."""
        if self._state.phase.ends:
            return
        phrase = self._silence.not_heard(self._state.wording.no_match.phrases)
        if phrase is not None:
            self._saying.say(phrase)
        elif self._silence.is_deaf or not self._another_way():
            self._closing.politely("the caller cannot be heard", self._state.phrases.not_available)

    def _another_way(self) -> bool:
        """Go on with keys or with a person, as the flow has it; False where it has nothing of that kind."""
        return self._phasing.signal(Signal(NotUnderstood)) or self._phasing.signal(Signal(VoiceFails))

    def _not_understood(self) -> None:
        if self._state.phase.ends:
            return  # the last words are being said: there is nothing to ask any more
        phrases = self._state.wording.no_match.phrases
        phrase = self._silence.not_understood(phrases)
        if phrase is not None:
            self._saying.say(phrase)
        elif not self._phasing.signal(Signal(NotUnderstood)):
            self._closing.politely("not understood", self._state.phrases.not_available)

    def _count_turns(self) -> None:
        limit = self._state.phase.max_turns
        if self._state.turn >= self._state.flow.limits.max_turns:
            self._closing.limit_reached("turn limit of the call")
        elif limit is not None and self._state.phase_turns > limit:
            self._phasing.signal(Signal(TurnLimitReached))

    def pressed(self, digits: str, handle: str | None) -> None:
        """The caller has pressed keys."""
        if self._state.closing:
            return
        self._silence.broken()
        self._saying.fillers.stop()
        if self._confirming.is_early(digits):
            return
        digits = self._confirming.with_early(digits)
        self.barge_in("keys")
        if self._confirming.answered_by_key(digits):
            self._turn_taken()
            return
        self._hearing.pressed(digits, handle)
        self.try_keys()

    def try_keys(self) -> None:
        """See whether what has been pressed so far leads somewhere; during a swap that is not known yet."""
        if self._state.swapping:
            return
        keys = self._hearing.keys_in_a_row
        # A wrong key before the right one does no harm: the end of what was pressed counts too.
        if any(self._phasing.signal(Signal(Pressed, keys[start:])) for start in range(len(keys))):
            self._hearing.forget_keys()

    def keys_complete(self) -> None:
        """The number that was being pressed is complete."""
        reason = self._hearing.keys_over_because
        said, keys = self._hearing.take_keys()
        self._turn_over_because(reason, self._hearing.last_key_ms)
        if self._phasing.signal(Signal(Pressed, " ".join([*said.values(), keys]))):
            return
        self._turn_taken()
        if said:
            self._transcript.caller(said, self._state.epoch)
        self._transcript.caller(keys, self._state.epoch)
        self._doing.confirmed(yes=False, reason="the caller pressed keys instead of answering")
        self._answer_or_ask_again(begins_within_ms=None)

    def _answer_or_ask_again(self, *, begins_within_ms: int | None) -> None:
        """Have the turn answered: by a reply that begins by itself in this time; None: by one that is asked for."""
        if not self._state.phase.has_model:
            self._not_understood()
            return
        self._saying.words_unanswered = True
        if begins_within_ms is not None:
            self._saying.awaited_until_ms = self._state.now_ms + begins_within_ms
        else:
            self._saying.owed = True
        self._count_turns()
