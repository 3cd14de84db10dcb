"""The caller's desk: their turn as it grows, keys as they are pressed, and secrets that must not be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from voiceagent.core.caller_turn import CallerTurn
from voiceagent.core.deadlines import earliest
from voiceagent.core.effects import ForgetSealed, Transcribe, TranscribeSoFar
from voiceagent.core.endpointing import ANSWER_MS, Patience, by_sound, patience_after
from voiceagent.core.hints import Hints
from voiceagent.core.ids import UtteranceId
from voiceagent.core.pace import CUT_OFF_WITHIN_MS, Pace
from voiceagent.core.sealing import (
    UNASKED,
    Sealing,
    SealingState,
    digits_at_end,
    each_handle_once,
    handle_text,
    handles_in,
)
from voiceagent.core.state import CallState, Outbox
from voiceagent.language import Completeness
from voiceagent.spec.expects import BETWEEN_KEYS_MS, Digits, Expects, FreeSpeech
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase

__all__ = ["OVERLAP_MS", "Hearing", "TurnTaken"]

_LISTEN_MS = 500
"""Voice over the agent's speech for this long is listened to: words are a barge-in, "okay" is none. Its end is known
200 ms late, so it takes 300 ms of voice: coughs are shorter, and a short word counts once it is understood."""
_BARGE_IN_MS = 900
"""Voice for this long counts as barge-in even before there are words: nobody says "uh-huh" for so long."""
_BACKCHANNEL_MS = 1_300
"""The same after an "okay" that may be drawn out; the end of it is known 200 ms late."""
_AGAIN_MS = 300
"""After an "okay" the next words are asked for: "okay, but …"."""
_BARGE_IN_TO_MODEL_MS = 500
"""The same where a speech model listens: its words come late, or not at all."""
_SAME_NUMBER_MS = 10_000
"""Whoever reads a card number off the card pauses between its groups, and the agent may ask what they mean."""
_BETWEEN_UNEXPECTED_MS = 1_500
"""The same where nobody has asked for one: the caller waits for what comes of the keys."""
OVERLAP_MS = 500
"""People answer before the last syllable of a question is over: what begins so shortly before its end answers it."""
_LEFT_BEHIND = Sealing(slots=((UNASKED, 0),), counts=())
"""Where digits go that were begun in a sensitive phase, and are known after its end."""
_TERMINATORS = ("#", "*")
_NOISE_MS = 700
"""Voice without words shorter than this was a noise; longer, somebody who was not understood."""


@dataclass(frozen=True, slots=True)
class TurnTaken:
    """What the caller said in one turn."""

    text: str
    over_speech: bool
    """All of it while the agent was audible."""
    after_speech: str
    """The words that did not fall into the agent's."""
    was_noise: bool
    """Too short to have been words."""
    in_audio: bool
    """A speech model has heard it too."""
    utterances: tuple[UtteranceId, ...]
    said: Mapping[UtteranceId, str]
    """The same words, by utterance."""
    ended_ms: int
    """The last moment of voice."""
    over_because: str
    """Why it was taken to be over."""
    holds: bool
    """What was asked for is still to come: the caller only thinks, or looks for it."""
    below_db: int | None = None
    """All of it may be somebody else's, so much fainter than a usual voice; None where it is the caller's."""


def _unasked(flow: Flow) -> Sealing | None:
    """Return what is sealed where nobody asks for it: the numbers of phases that expect a secret, and long ones."""
    phases = [phase for phase in flow.phases if any(getattr(e, "sealed", False) for e in phase.expects)]
    slots = {f"{e.name}#0": e.length for phase in phases for e in phase.expects if isinstance(e, Digits) and e.length}
    if not slots and flow.seal_unasked is None:
        return None
    return Sealing(slots=tuple(slots.items()), counts=(), unasked=True, long_from=flow.seal_unasked)


class Hearing:
    """Everything the caller says or presses."""

    def __init__(self, state: CallState, out: Outbox, hints: Hints, *, reads_back: Callable[[], bool]) -> None:
        """`reads_back` says whether something was read back, or is, and waits for a yes."""
        self._state = state
        self._out = out
        self._hints = hints
        self._reads_back = reads_back
        limits = state.flow.limits
        self._turn = CallerTurn(limits.recognizer_timeout_ms, limits.max_utterance_ms)
        self._pace = Pace()
        self._taken: tuple[int, int] | None = None
        """The last moment of voice of the turn that was taken last, and when it was taken."""
        self._barge_in_at_ms: int | None = None
        self._listen_at_ms: int | None = None
        """When to ask for the first words of what is said into the agent's."""
        self._keys = ""
        self._key_handle: str | None = None
        self._key_at_ms = 0
        self._keys_left_behind = False
        """They were begun in a sensitive phase that is over: so are those that go on with them."""
        self._unexpected_keys = 0
        """How many have been pressed in a row, by groups or not, that had no effect and that nobody asked for."""
        self._seal: SealingState | None = None
        self._serial = 1
        self._begun_in_secret: dict[UtteranceId, None] = {}
        self._answered: dict[UtteranceId, None] = {}
        """What was answered before it was transcribed, and was said where nobody asks for secrets."""
        self._unasked = _unasked(state.flow)
        self.asks: str | None = None
        """The expected answer that the last reply asked for, where the model said so."""
        self._last_patience: tuple[tuple[object, ...], Patience] | None = None
        """All that it was worked out of, and what it was."""

    # --- voice ---

    @property
    def turn_open(self) -> bool:
        """Whether the caller has said or pressed something that is not a finished turn yet."""
        return self._turn.open or bool(self._keys)

    @property
    def speaking(self) -> bool:
        """Whether the caller's voice is on."""
        return self._turn.speaking

    @property
    def voice_ms(self) -> int:
        """How long ago the voice came on that is on, or was on last, in this turn; 0 where there was none."""
        return self._state.now_ms - max(
            (u.started_ms for u in self._turn.utterances.values()), default=self._state.now_ms
        )

    @property
    def has_paused(self) -> bool:
        """Whether the caller has said something that may be all, is silent, and all their words are known."""
        turn = self._turn
        return turn.open and not (turn.unheard or turn.over_speech or turn.holds(self._patience) or self._keys)

    def pause_in_a_story(self, least_ms: int) -> int | None:
        """Return when the caller fell silent who has spoken for so long in this turn, and has not finished.

        None where they have, where their words are not known, or where something short is expected of them.
        """
        if not self.has_paused or self._turn.spoken_ms < least_ms:
            return None
        if any(not isinstance(expected, FreeSpeech) for expected in self._expected()):
            return None
        finished = self._state.language.completeness(self._turn.text) is Completeness.COMPLETE
        return None if finished or not self._turn.text else self._turn.ended_ms

    @property
    def said_so_far(self) -> Mapping[UtteranceId, str]:
        """The words of the turn as far as they are known, by utterance; a secret stands where it was mentioned last."""
        return self._said()

    @property
    def taking_their_turn(self) -> bool:
        """Whether nobody should speak for them; keys do not count that are for the next phase to decide about."""
        if self._keys and self._state.swapping:
            return self._turn.unheard
        return self.turn_open

    @property
    def undecided(self) -> bool:
        """Whether the caller has said something into the agent's words, and nobody knows whether it was meant."""
        return self._turn.open and self._turn.over_speech

    @property
    def deadline_ms(self) -> int | None:
        """When a turn, a run of keys or an undecided barge-in is due."""
        overdue_ms = self._turn.overdue_ms()
        if overdue_ms is not None or not self.turn_open:  # neither a turn nor a number is over while the voice is on
            return earliest(overdue_ms, self._listen_at_ms, self._barge_in_at_ms)
        turn = None if self._keys or self._is_kept_open else self._turn.deadline_ms(self._patience)
        return earliest(turn, self._listen_at_ms, self._barge_in_at_ms, self._keys_deadline_ms())

    def started(self, utterance: UtteranceId, at_ms: int, *, over_speech: bool) -> None:
        """The caller's voice came on; nothing can have happened after now, whatever a clock says."""
        at_ms = min(at_ms, self._state.now_ms)
        if not (over_speech or self._turn.open) and self._taken is not None:
            ended_ms, taken_ms = self._taken
            if at_ms - taken_ms <= CUT_OFF_WITHIN_MS:
                self._pace.cut_off(at_ms - ended_ms)
        self._turn.started(utterance, at_ms, over_speech=over_speech)
        if self._seal is not None:
            self._begun_in_secret[utterance] = None
        if over_speech:
            self._may_cut_in(at_ms)

    def agent_finished(self, *, began_ms: int | None) -> None:
        """The agent has said what it began to say then: whoever began to speak just before the end has heard it."""
        if began_ms is not None:
            self._turn.agent_finished(max(began_ms, self._state.now_ms - OVERLAP_MS))

    def agent_is_silent(self) -> None:
        """Nothing of the agent's is heard any more: who goes on well beyond that does not speak behind its words."""
        self._turn.agent_is_silent(self._state.now_ms + OVERLAP_MS)

    def voice_overdue(self) -> None:
        """Take a voice that does not end for what it has said so far: a television, or somebody with no full stops."""
        for utterance in self._turn.overdue(self._state.now_ms):
            self.paused(utterance, self._state.now_ms)

    def paused(self, utterance: UtteranceId, at_ms: int) -> None:
        """The caller's voice went off: have it transcribed."""
        at_ms = min(at_ms, self._state.now_ms)
        self._barge_in_at_ms = self._listen_at_ms = None
        if self._turn.paused(utterance, at_ms):
            self._out.emit(Transcribe(utterance, self._hinted()))

    def transcribed(self, utterance: UtteranceId, text: str, *, in_audio: bool = False) -> bool:
        """Words came, or none; False where they are late, double or unknown."""
        if self._state.language.is_noise(text):
            text = ""
        known = self._turn.transcribed(utterance, text, in_audio=in_audio)
        if known and self._seal:
            for handle in handles_in(text):
                self._seal.collected(handle.handle, handle.count)
        return known

    def judged(self, utterance: UtteranceId, done: float) -> None:
        """A model has heard whether the caller has finished."""
        self._turn.judged(utterance, done)

    def found_faint(self, utterance: UtteranceId, below_db: int) -> None:
        """A voice is so much fainter than a usual one; over the agent's words it interrupts nobody by itself.

        A speech model that hears the caller has heard it, too, and answers whom it likes.
        """
        if self._state.voice_hears:
            return
        self._turn.found_faint(utterance, below_db)
        if self._turn.below_db is not None:
            self._barge_in_at_ms = None

    def is_meant(self, text: str) -> bool:
        """Whether these words take the floor from the agent who is speaking.

        Not "uh-huh"; and of a faint voice, which may be a television's, only what is said to an agent: the answer to
        what was asked, "yes", "stop", "wait a moment".
        """
        if not self.has_words(text):
            return False
        if self._turn.below_db is None:
            return True
        language, plain = self._state.language, text.strip(" .,;:!?¡¿…").casefold()
        if language.asks_to_wait(plain):
            return True
        # Without its mark a text is complete only where nobody could add to it: "yes", "stop". "No problem" is an
        # answer too, and said to anybody.
        alone = " " not in plain or language.yes_no(plain) is None
        whole = alone and language.completeness(plain) is Completeness.COMPLETE
        return whole or self._expected_patience(text).ms <= ANSWER_MS

    def took_the_floor(self, utterance: UtteranceId) -> None:
        """These words were meant, whatever is asked when the turn is over: the voice is the caller's."""
        self._turn.is_the_callers(utterance)

    def backchannel_heard(self, utterance: UtteranceId, text: str) -> None:
        """The first words of a voice that is still on came: where they only tell of listening, give it more time.

        A speech model hears by itself whether somebody goes on, and its words come late.
        """
        began_ms = self._turn.on_since_ms(utterance)
        if self._barge_in_at_ms is None or began_ms is None or self._state.voice_hears:
            return
        if not self._state.language.is_backchannel(text):
            return
        over_at_ms = began_ms + _BACKCHANNEL_MS
        self._barge_in_at_ms = max(self._barge_in_at_ms, over_at_ms)
        again_ms = self._state.now_ms + _AGAIN_MS
        self._listen_at_ms = again_ms if again_ms < over_at_ms else None

    def understood(self, text: str) -> str:
        """Return what a recognizer has written down, with the names that the phase hints at where it misheard them."""
        names = self._hints.names()
        return self._state.language.with_names(text, names) if names else text

    def heard_by_nobody(self) -> None:
        """Another session of the speech model goes on, which has not heard what the caller has said so far."""
        self._turn.heard_by_nobody()

    def is_speaking(self, utterance: UtteranceId) -> bool:
        """Whether that utterance belongs to the turn that is going on."""
        return utterance in self._turn.utterances

    def has_words(self, text: str) -> bool:
        """Whether a text is more than noise or an "uh-huh"."""
        language = self._state.language
        return bool(text.strip()) and not language.is_noise(text) and not language.is_backchannel(text)

    def barge_in_due(self) -> bool:
        """Whether the voice has been on long enough to count as barge-in."""
        return self._barge_in_at_ms is not None and self._state.now_ms >= self._barge_in_at_ms

    def barge_in_decided(self) -> None:
        """It was one: no need to wait any longer."""
        self._barge_in_at_ms = self._listen_at_ms = None

    def listen_if_due(self) -> None:
        """Ask for the first words of a voice that has been on for some time, and may be no more than an "uh-huh"."""
        if self._listen_at_ms is None or self._state.now_ms < self._listen_at_ms:
            return
        self._listen_at_ms = None
        self.listen_now()

    def listen_now(self) -> None:
        """Ask for the first words of a voice that is still on."""
        for utterance in self._turn.utterances.values():
            if utterance.ended_ms is None:
                self._out.emit(TranscribeSoFar(utterance.id, self._hinted()))

    def _may_cut_in(self, at_ms: int) -> None:
        now_ms, by_model = self._state.now_ms, self._state.voice_hears
        self._listen_at_ms = None if by_model else max(at_ms + _LISTEN_MS, now_ms)
        self._barge_in_at_ms = max(at_ms + (_BARGE_IN_TO_MODEL_MS if by_model else _BARGE_IN_MS), now_ms)

    def turn_due(self) -> bool:
        """Whether the caller has been silent long enough; keys that are being pressed go on with what was said."""
        due = self._turn.deadline_ms(self._patience)
        return due is not None and self._state.now_ms >= due and not (self._keys or self._is_kept_open)

    @property
    def _is_kept_open(self) -> bool:
        """Whether a pause is no end of a turn: nobody knows yet whose turn it is."""
        return self._state.answered_by == "nobody knows"

    def take_turn(self) -> TurnTaken:
        """End the caller's turn."""
        said, over_because = self._said(), self._turn.reason(self._patience)
        below_db = self._turn.below_db
        if below_db is not None and self.is_meant(self._turn.text):
            below_db = None
        turn = TurnTaken(
            text=" ".join(said.values()),
            over_speech=self._turn.over_speech,
            after_speech=self._turn.text_after_speech,
            was_noise=self._turn.spoken_ms < _NOISE_MS,
            in_audio=self._turn.in_audio,
            utterances=tuple(self._turn.utterances),
            said=said,
            ended_ms=self._turn.ended_ms,
            over_because=over_because,
            holds=self._turn.holds(self._patience),
            below_db=below_db,
        )
        if turn.holds or turn.below_db is not None:
            self._taken = None  # whoever goes on was not cut off
        elif said:
            self._pace.turn_over((self._expected_patience(text), ms) for text, ms in self._turn.pauses())
            self._taken = (turn.ended_ms, self._state.now_ms)
        self._turn.take()
        self._close_handles()
        return turn

    def answered(self) -> dict[UtteranceId, str | None]:
        """End the turn because a speech model has begun to answer it.

        Returns the words of each utterance, None where they are still to come. A voice that is still on speaks into
        the answer from here on.
        """
        said = self._said()
        taken = self._turn.take_paused(self._state.now_ms)
        self._barge_in_at_ms = self._listen_at_ms = None
        if self._turn.open:
            self._may_cut_in(self._state.now_ms)
        self._close_handles()
        self._answered = {utterance.id: None for utterance in taken if utterance.id not in self._begun_in_secret}
        return {u.id: None if u.text is None else said[u.id] for u in taken if u.text is None or u.id in said}

    def _said(self) -> dict[UtteranceId, str]:
        """Return the words of the turn, by utterance; a secret stands only where it was mentioned last."""
        known = {u.id: u.text for u in self._turn.utterances.values() if u.text}
        once = zip(known, each_handle_once(list(known.values())), strict=True)
        return {utterance: text for utterance, text in once if text}

    def drop(self) -> None:
        """Nobody listens any more."""
        self._turn.take()
        self.forget_keys()
        self._barge_in_at_ms = self._listen_at_ms = None

    # --- keys ---

    def pressed(self, digits: str, handle: str | None) -> None:
        """Take pressed keys."""
        if not self._keys and digits in _TERMINATORS and self._expected_digits():
            return  # people press it behind a number that was complete without it
        self._unexpected_keys = self._unexpected_so_far() + len(digits)
        self._key_at_ms = self._state.now_ms
        self._keys += digits
        self._key_handle = handle or self._key_handle
        if handle is not None and self._seal:
            held = self._seal.counts.get(handle.partition("#")[0], 0)
            self._seal.collected(handle, held + len(digits))

    @property
    def keys_in_a_row(self) -> str:
        """What has been pressed so far, where no digits are expected."""
        return "" if self._expected_digits() else self._keys

    def keys_due(self) -> bool:
        """Whether the number is complete: all its digits, its terminator, or a long pause."""
        due_ms = self._keys_deadline_ms()
        if due_ms is not None and self._state.now_ms >= due_ms:
            return True
        if not self._keys or self._turn.unheard or self._state.swapping:
            return False  # what is being said may be the first half of it
        return self._keys_complete

    @property
    def _keys_complete(self) -> bool:
        return any(
            (expected.terminator is not None and self._keys.endswith(expected.terminator))
            or (expected is self._asked_digits() and expected.length is not None and self._entered >= expected.length)
            for expected in self._expected_digits()
        )

    @property
    def keys_over_because(self) -> str:
        """Why the number that is being pressed is taken to be over now."""
        return "all keys are there" if self._keys_complete else "no key follows"

    @property
    def last_key_ms(self) -> int:
        """When a key was pressed last."""
        return self._key_at_ms

    def _keys_deadline_ms(self) -> int | None:
        """When a number that was pressed is over, complete or not; None where there is none, or the voice is on."""
        if not self._keys or self._turn.speaking or self._state.swapping:
            return None  # what they are good for is decided by the phase that is about to begin
        pause_ms = self._key_at_ms + self._between_keys_ms
        words_ms = self._turn.deadline_ms(self._patience) if self._turn.unheard else None
        return pause_ms if words_ms is None else max(pause_ms, words_ms)

    @property
    def _between_keys_ms(self) -> int:
        asked, expected = self._asked_digits(), self._state.phase.expects
        if asked is not None:
            return asked.between_keys_ms
        return BETWEEN_KEYS_MS if expected else _BETWEEN_UNEXPECTED_MS

    @property
    def _entered(self) -> int:
        """How many digits of the number there are, spoken ones included where they are sealed."""
        slot = (self._key_handle or "").partition("#")[0]
        return self._seal.counts.get(slot, 0) if self._seal and slot else len(self._keys)

    def take_keys(self) -> tuple[dict[UtteranceId, str], str]:
        """End the number and return what was said before it, and the number or its handle."""
        keys, handle, unexpected = self._keys, self._key_handle, self._unexpected_keys
        self.forget_keys()
        self._unexpected_keys = 0 if self._expected_digits() else unexpected
        for expected in self._expected_digits():
            if expected.terminator is not None:
                keys = keys.removesuffix(expected.terminator)
        if handle is not None:
            held = self._seal.counts if self._seal else {}
            keys = handle_text(handle, held.get(handle.partition("#")[0], len(keys)))
        known = {u.id: u.text for u in self._turn.take() if u.text}
        *said, keys = each_handle_once([*known.values(), keys])
        self._close_handles()
        return {utterance: text for utterance, text in zip(known, said, strict=True) if text}, keys

    def forget_keys(self) -> None:
        """The keys have had their effect."""
        self._keys = ""
        self._key_handle = None
        self._keys_left_behind = False
        self._unexpected_keys = 0

    # --- secrets ---

    def sealing_of(self, utterance: UtteranceId | None) -> Sealing | None:
        """Return where the digits of an utterance, or the next keys, go; None where nothing is secret."""
        begun_in_secret = self._keys_left_behind if utterance is None else utterance in self._begun_in_secret
        if utterance is None or self._turn.waits_for(utterance):
            if self._seal is not None:
                return self._seal.sealing()
            # Nobody stops in the middle of a PIN because the phase that has asked for it is over.
            return _LEFT_BEHIND if begun_in_secret else self._not_asked_for()
        if utterance in self._answered:
            return self._not_asked_for()
        # Words of a turn that is over: their digits belong to nothing any more, and are nobody's business.
        return _LEFT_BEHIND if self._seal is not None or begun_in_secret else self._not_asked_for()

    def _not_asked_for(self) -> Sealing | None:
        """Return what is sealed in a phase that asks for no secret: no number as long as it does ask for."""
        if self._unasked is None or self._unasked.long_from is None:
            return self._unasked
        long_from = self._unasked.long_from
        expected = [e.length or long_from - 1 for e in self._state.phase.expects if isinstance(e, Digits)]
        # Half a card number says which bank it is of, and little more. Keys come one by one, and the first ones have
        # to be seen: they may be all there is, and mean something.
        shown = max(expected, default=long_from // 2)
        return replace(
            self._unasked,
            long_from=max(long_from, *(length + 1 for length in expected)) if expected else long_from,
            said_before=digits_at_end(self._turn.text, self._state.language),
            keys_shown=shown - self._unexpected_so_far(),
        )

    def _unexpected_so_far(self) -> int:
        return self._unexpected_keys if self._state.now_ms - self._key_at_ms <= _SAME_NUMBER_MS else 0

    def agent_changed(self) -> None:
        """The phases are others, and so is what is a secret wherever it is said."""
        self._unasked = _unasked(self._state.flow)

    def enter_phase(self, phase: Phase) -> None:
        """A phase has come into force: know what it expects."""
        self.asks = None
        if phase.sensitive:
            slots = tuple(expected for expected in phase.expects if isinstance(expected, Digits))
            self._seal = SealingState(slots, self._serial)

    def leave_phase(self) -> None:
        """The phase is over: its secrets are destroyed."""
        if self._seal is None:
            return
        self._serial = self._seal.serial + 1
        if self._seal.handles:
            self._out.emit(ForgetSealed(tuple(self._seal.handles)))
        self._seal = None
        self._keys_left_behind = bool(self._keys)

    def forget_sealed(self) -> tuple[str, ...]:
        """The secrets that were collected are gone, and have to be asked for again; returns their handles."""
        if self._seal is None:
            return ()
        slots, handles = self._seal.expected, tuple(self._seal.handles)
        self.leave_phase()
        self._seal = SealingState(slots, self._serial)
        return handles

    def answers_used(self) -> None:
        """A tool has used what was collected, and the phase goes on."""
        if self._seal:
            self._seal.start_over()

    def reply_asks(self, slot: str | None) -> None:
        """The model has asked for this answer."""
        self.asks = slot
        if self._seal:
            self._seal.asks = slot

    def _close_handles(self) -> None:
        if self._seal:
            self._seal.turn_over()

    # --- what is expected ---

    def _expected(self) -> tuple[Expects, ...]:
        """What the caller is about to say: the answer that was asked for, else all that the phase expects."""
        asked = tuple(e for e in self._state.phase.expects if getattr(e, "name", None) == self.asks)
        return asked or self._state.phase.expects

    def _expected_digits(self) -> tuple[Digits, ...]:
        return tuple(expected for expected in self._expected() if isinstance(expected, Digits))

    def _asked_digits(self) -> Digits | None:
        """The number being pressed now: the one asked for, else the first that is not there yet."""
        expected = self._expected_digits()
        if self._seal and self._key_handle:
            slot = self._key_handle.partition("#")[0]
            return next((e for e in expected if e.name == slot), None)
        return expected[0] if expected else None

    def _patience(self, text: str, done: float | None) -> Patience:
        expected = self._expected_patience(text)
        return self._pace.fitted(expected if done is None else by_sound(expected, done))

    def _expected_patience(self, text: str) -> Patience:
        """Return how long everybody is waited for after these words; it is asked for after every event."""
        expects, language = self._expected(), self._state.language
        missing = self._seal.missing() if self._seal else None
        reads_back = self._reads_back()
        last, worked_out_of = self._last_patience, (text, expects, language, missing, reads_back)
        if last is not None and last[0] == worked_out_of:
            return last[1]
        patience = patience_after(
            text, expects=expects, language=language, digits_missing=missing, reads_back=reads_back
        )
        self._last_patience = (worked_out_of, patience)
        return patience

    def _hinted(self) -> tuple[str, ...]:
        return self._hints.words(self._expected())
