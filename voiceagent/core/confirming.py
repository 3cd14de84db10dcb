"""What cannot be undone: read back, heard, answered with a clear yes, in time; or not done."""

from __future__ import annotations

from voiceagent.core.agent_speech import Spoken
from voiceagent.core.confirmations import Confirmation, digest_of, pressed_answer
from voiceagent.core.desks import Desks
from voiceagent.core.effects import ReportProblem
from voiceagent.core.hearing import OVERLAP_MS, TurnTaken
from voiceagent.core.tool_calls import ToolCall
from voiceagent.errors import PhaseError
from voiceagent.spec.expects import BETWEEN_KEYS_MS

__all__ = ["Confirming"]


class Confirming:
    """Decides whether the caller has consented to exactly what was read back to them."""

    def __init__(self, desks: Desks) -> None:
        self._state = desks.state
        self._out = desks.out
        self._transcript = desks.transcript
        self._saying = desks.saying
        self._doing = desks.doing
        self._hearing = desks.hearing
        self._early: tuple[str, int] | None = None
        """A key that came before the end of the question, and when."""
        self._put_off = False
        """The caller began to speak before the question did."""

    def ask(self, call: ToolCall) -> None:
        """Read back what is about to be done, and wait for the yes."""
        try:
            words = self._doing.read_back(call)
        except PhaseError as exc:
            self._out.emit(ReportProblem("read-back", str(exc)))
            self._doing.decline(call, "the read-back could not be made")
            return
        self._early = None
        self._put_off = False
        spoken = self._saying.say(words, "read_back")
        self._doing.confirmation = Confirmation(
            number=self._doing.next_confirmation(),
            call=call.id,
            read_back=spoken.id,
            epoch=self._state.epoch,
            deadline_ms=self._state.now_ms + self._state.flow.limits.confirm_within_ms,
            words=words,
            digest=digest_of(call.tool.name, call.arguments),
        )

    def broken_off(self) -> None:
        """Nobody is there to answer: a yes counts for nothing until the question has been asked again."""
        if self._doing.confirmation is not None:
            self._doing.confirmation.heard = False

    def ask_again(self) -> bool:
        """Read back once more what was waiting for its yes; False where nothing was."""
        confirmation = self._doing.confirmation
        call = self._doing.calls.get(confirmation.call) if confirmation else None
        if call is None:
            return False
        call.epoch = self._state.epoch
        self.ask(call)
        return True

    def answered_by(self, turn: TurnTaken) -> bool:
        """Take the caller's turn as the answer to a read-back; True where nothing else is to be made of it."""
        confirmation = self._doing.confirmation
        if confirmation is None:
            return False
        said = confirmation.answer_in(turn.after_speech, ended_ms=turn.ended_ms)
        if turn.after_speech and not said:
            return True  # the agent has heard itself: the question is still open
        answer = self._state.language.yes_no(said)
        if answer is None or not confirmation.heard:
            self._doing.confirmed(yes=False, reason="the caller said something else instead of a clear yes")
            return False
        self._transcript.caller(turn.said, self._state.epoch, in_audio=turn.in_audio)
        self._doing.confirmed(yes=answer, reason="the caller said no")
        return True

    def go_on(self) -> None:
        """What the caller began before the question was a noise: they are asked now."""
        if self._put_off:
            self.ask_again()

    def deadline_ms(self) -> int | None:
        """When it is too late for a yes."""
        if self._doing.confirmation is None or self._hearing.turn_open or self._state.swapping:
            return None  # whoever is speaking may be saying yes: time is up when they have finished
        return self._doing.confirmation.deadline_ms

    def expired(self) -> None:
        """Nobody has said yes in time."""
        self._saying.say(self._state.phrases.confirm_expired)
        self._doing.confirmed(yes=False, reason="the caller gave no answer in time")

    def answered_by_key(self, digits: str) -> bool:
        """Take a key as the answer: 1 is yes, 2 is no; False where it is none."""
        confirmation = self._doing.confirmation
        answer = pressed_answer(digits)
        if confirmation is None or answer is None or (answer and not self._is_heard(confirmation)):
            return False
        self._doing.confirmed(yes=answer, reason="the caller pressed no")
        return True

    def is_early(self, digits: str) -> bool:
        """Keep a key that says yes to a question of which the caller has not heard the end: it is said to its end.

        Nobody can say yes to what they have not heard; and it is no number either, unless more keys follow.
        """
        confirmation = self._doing.confirmation
        if confirmation is None or self._early is not None or not pressed_answer(digits):
            return False
        if self._is_heard(confirmation):
            return False
        self._early = (digits, self._state.now_ms)
        return True

    def with_early(self, digits: str) -> str:
        """Return keys with the one before them that was kept, where they go on with it."""
        early, self._early = self._early, None
        if early is None or self._doing.confirmation is None or self._state.now_ms - early[1] > BETWEEN_KEYS_MS:
            return digits
        return early[0] + digits

    def _is_heard(self, confirmation: Confirmation) -> bool:
        """Whether the caller knows the question: it was said, or its last syllable is being said."""
        spoken = self._saying.speech.get(confirmation.read_back)
        if confirmation.heard or spoken is None or spoken.started_ms is None or not spoken.complete:
            return confirmation.heard
        return spoken.started_ms + spoken.length_ms - self._state.now_ms <= OVERLAP_MS

    def heard(self, spoken: Spoken) -> None:
        """An utterance was heard to its end: if it was the read-back, a yes counts from here on."""
        confirmation = self._doing.confirmation
        if confirmation is not None and confirmation.read_back == spoken.id:
            confirmation.heard = True
            confirmation.heard_ms = self._state.now_ms
            self._early = None

    def cut_off(self, spoken: Spoken) -> None:
        """An utterance was cut off: nobody can say yes to what they have not heard."""
        confirmation = self._doing.confirmation
        if confirmation is None or confirmation.read_back != spoken.id:
            return
        if spoken.unbegun and self._hearing.turn_open:
            self._put_off = True  # the caller was first, and may have coughed
        else:
            self._doing.confirmed(yes=False, reason="the caller interrupted the read-back")
