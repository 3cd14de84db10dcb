"""Answering: what the guided model says and asks for, given everything it is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date

from pydantic import JsonValue

from voiceagent.core.effects import Message, ModelRequest
from voiceagent.errors import PhaseError, VoiceFailed
from voiceagent.models.guided.history import arguments_in, is_move, name_of, request_of, unmet_wish, without_covers
from voiceagent.models.guided.slots import SlotValue
from voiceagent.models.guided.understanding import Understanding, Wanted
from voiceagent.ports import ReplyDone, ReplyPiece, SentText, ToolRequest
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import Form, GuidedDialogue, Intent, Slot
from voiceagent.spec.prompt import render
from voiceagent.spec.tool import Tool

__all__ = ["Answering"]


class Answering:
    """One reply in the making."""

    def __init__(
        self, flow: Flow, dialogue: GuidedDialogue, request: ModelRequest, understanding: Understanding, today: date
    ) -> None:
        self._flow = flow
        self._dialogue = dialogue
        self._request = request
        self._understanding = understanding
        self._language = understanding.language
        self._phase = flow.by_name[request.phase]
        self._phrases = flow.wording_of(self._phase).phrases
        self._today = today
        self._history = without_covers(request.history, flow)
        """Up to what this reply is to."""
        self._here = [message for message in request.history if message.epoch == request.epoch]
        self._earlier = [message for message in request.history if message.epoch < request.epoch]

    def pieces(self) -> Sequence[ReplyPiece]:
        """Return the whole reply."""
        newest = self._history[-1] if self._history else None
        if newest is not None and newest.role == "caller" and newest.epoch == self._request.epoch:
            return self._answer_caller(newest)
        result = self._newest_result()
        correction = self._correction(result)
        if correction is not None:
            return self._answer_caller(correction)
        said = self._after(result) if result is not None else ""
        if not said:
            return self._enter()
        return self._go_on(said, result)

    @property
    def _not_understood(self) -> str:
        return self._dialogue.not_understood or self._phrases.not_understood

    # --- after a tool ---

    def _newest_result(self) -> Message | None:
        """Return the result this reply has to tell of: the newest, unless the caller has spoken or been told since."""
        for message in reversed(self._history):
            if message.role == "tool_result":
                return message
            if message.role in ("caller", "agent"):
                break
        return None

    def _said_since_asked(self, result: Message) -> list[Message]:
        """Return what the caller has said since the request that this is the result of, in whichever phase."""
        request = request_of(result, [m for m in reversed(self._request.history) if m.number < result.number])
        asked = request.number if request is not None else result.number
        return [m for m in self._request.history if m.role == "caller" and m.number > asked]

    def _correction(self, result: Message | None) -> Message | None:
        """Return the words that stopped what was about to be done, if they say what is wanted instead."""
        if result is None or not result.failed or result.epoch != self._request.epoch:
            return None
        words = self._said_since_asked(result)
        if not words or self._understanding.plain_answer(words[-1].text) is not None:
            return None
        if self._understanding.is_repeat(words[-1].text):
            return words[-1]
        wanted = self._understanding.wanted(self._words(), self._today)
        return words[-1] if wanted.understood and not self._refuses(words[-1], wanted, result) else None

    def _refuses(self, words: Message, wanted: Wanted, result: Message) -> bool:
        """Whether the words say no to what was read back and name nothing else: "no, don't transfer it"."""
        if self._language.yes_no(words.text) is not False or wanted.intent is None:
            return False
        same = name_of(wanted.intent) == result.tool
        return same and wanted.values == arguments_in(request_of(result, self._here))

    def _after(self, result: Message) -> str:
        """Return the words for a result; none for a move, or for a tool that this phase has no words for."""
        tool = result.tool or ""
        if is_move(self._flow, tool):
            return self._phrases.cannot if result.failed and result.epoch == self._request.epoch else ""
        value: JsonValue = json.loads(result.text)
        arguments = arguments_in(request_of(result, self._request.history))
        if result.failed:
            words = self._dialogue.failures.get(tool, self._phrases.failed)
            return self._rendered(words, {"reason": value, "arguments": arguments})
        words = self._dialogue.replies.get(tool, "")
        return self._rendered(words, {"result": value, "arguments": arguments})

    def _go_on(self, said: str, result: Message | None) -> Sequence[ReplyPiece]:
        """After an answer: hand the floor back, or ask for the first slot of the form once more."""
        form = self._dialogue.form
        if form is not None and result is not None and result.tool == form.does.name:
            slot = form.slots[0]
            return self._say(f"{said} {self._rendered(slot.ask_again or slot.ask, {})}", asks=slot.name)
        meanwhile = self._wanted_meanwhile(result) if result is not None else None
        if meanwhile is not None:
            return [SentText(said), *meanwhile]
        more = self._dialogue.anything_else
        return self._say(f"{said} {self._rendered(more, {})}" if more else said)

    def _wanted_meanwhile(self, result: Message) -> Sequence[ReplyPiece] | None:
        """Do what the caller asked for while they waited; a yes or a no was the answer to a read-back."""
        said = self._said_since_asked(result) if not result.failed else []
        words = [message for message in said if self._language.yes_no(message.text) is None]
        wanted = self._understanding.wanted(words[-1:], self._today)
        return self._do(wanted.intent, wanted.values, wanted.missing) if wanted.intent is not None else None

    # --- on entry ---

    def _enter(self) -> Sequence[ReplyPiece]:
        """The phase begins: do what the caller has asked for already, else ask, else open."""
        if self._dialogue.form is not None:
            return self._fill_form(self._dialogue.form, newest=None)
        brought = unmet_wish(self._understanding, self._flow, self._earlier)
        if brought is not None:
            wanted = self._understanding.wanted([brought], self._today)
            if wanted.intent is not None:
                return self._do(wanted.intent, wanted.values, wanted.missing)
        opening = self._dialogue.opening or self._not_understood
        return self._say(self._rendered(opening, {}))

    # --- the caller's words ---

    def _answer_caller(self, newest: Message) -> Sequence[ReplyPiece]:
        if self._understanding.is_repeat(newest.text):
            return self._repeat()
        if self._dialogue.form is not None:
            return self._fill_form(self._dialogue.form, newest)
        wanted = self._understanding.wanted(self._words(), self._today)
        if wanted.intent is not None and wanted.understood:
            return self._do(wanted.intent, wanted.values, wanted.missing)
        if wanted.missing is not None:
            return self._ask(wanted.missing, wanted.values, again=True)
        corrected = self._corrected(newest) if wanted.intent is None else None
        return corrected or self._say(self._rendered(self._not_understood, {}), understood=False)

    def _words(self) -> list[Message]:
        """Return what the caller has said about what is being settled now: everything since the last success."""
        since = [m.number for m in self._here if m.role == "tool_result" and not m.failed]
        answers = self._answers_to_read_backs()
        words = [
            m for m in self._here if m.role == "caller" and m.number > max(since, default=0) and m.number not in answers
        ]
        brought = None if since else unmet_wish(self._understanding, self._flow, self._earlier)
        return [brought, *words] if brought is not None else words

    def _answers_to_read_backs(self) -> set[int]:
        """Return the numbers of the messages that only said yes or no to something that was not done then."""
        answers: set[int] = set()
        for result in (m for m in self._here if m.role == "tool_result" and m.failed):
            request = request_of(result, self._here)
            asked = request.number if request is not None else result.number
            answers |= {
                m.number
                for m in self._here
                if m.role == "caller"
                and asked < m.number < result.number
                and self._understanding.plain_answer(m.text) is not None
            }
        return answers

    def _corrected(self, newest: Message) -> Sequence[ReplyPiece] | None:
        """Do the last thing once more, with what the caller says instead: "sorry, I meant savings"."""
        requests = [m for m in self._here if m.role == "tool_request" and not is_move(self._flow, m.tool)]
        intent = next((i for i in self._dialogue.intents if requests and name_of(i) == requests[-1].tool), None)
        if intent is None or not isinstance(intent.does, Tool):
            return None
        told: dict[str, SlotValue] = {}
        self._understanding.fill(intent.slots, told, newest.text, self._today, {})
        before = arguments_in(requests[-1])
        if all(before.get(name) == value for name, value in told.items()):
            return None
        return self._request_tool(intent.does, {**before, **told})

    def _repeat(self) -> Sequence[ReplyPiece]:
        """Say the last sentence again; one that was a read-back is read back by asking for its tool again."""
        results = [message for message in self._here if message.role == "tool_result"]
        said = [message for message in self._request.history if message.role == "agent"]
        tool = self._flow.tool_of(self._flow.by_name[self._request.phase], results[-1].tool or "") if results else None
        if tool is not None and tool.confirm and results[-1].failed and said[-1].number < results[-1].number:
            return self._request_tool(tool, arguments_in(request_of(results[-1], self._here)))
        return self._say(said[-1].text if said else self._rendered(self._not_understood, {}))

    # --- forms, slots, tools ---

    def _fill_form(self, form: Form, newest: Message | None) -> Sequence[ReplyPiece]:
        values: dict[str, SlotValue] = {}
        begun: dict[str, str] = {}
        since = [m.number for m in self._here if m.role == "tool_result" and m.tool == form.does.name]
        filled = False
        for message in self._here:
            if message.role == "caller" and message.number > max(since, default=0):
                is_answer = self._understanding.named_in(message.text) is None
                filled = self._understanding.fill(
                    form.slots, values, message.text, self._today, begun, as_they_are=is_answer
                )
        missing = next((slot for slot in form.slots if slot.name not in values), None)
        if missing is None:
            return self._request_tool(form.does, values)
        if newest is not None and not filled:
            intent = self._understanding.intent_of(newest.text)
            if intent is not None:
                return self._do(intent, {}, None)
        return self._ask(missing, values, again=newest is not None and not filled)

    def _do(self, intent: Intent, values: Mapping[str, SlotValue], missing: Slot | None) -> Sequence[ReplyPiece]:
        name = name_of(intent)
        if name is None or name not in self._request.tools:
            return self._say(self._rendered(intent.say or self._phrases.cannot, {}))
        if missing is not None:
            return self._ask(missing, values, again=False)
        return self._request_tool(intent.does if isinstance(intent.does, Tool) else name, values)

    def _request_tool(self, tool: Tool | str, values: Mapping[str, JsonValue]) -> Sequence[ReplyPiece]:
        name = tool.name if isinstance(tool, Tool) else tool
        if name not in self._request.tools:
            return self._say(self._phrases.cannot)
        number = self._request.history[-1].number if self._request.history else 0
        return [ToolRequest(f"guided-{self._request.epoch}-{number}", name, json.dumps(dict(values))), ReplyDone()]

    def _ask(self, slot: Slot, values: Mapping[str, SlotValue], *, again: bool) -> Sequence[ReplyPiece]:
        words = slot.ask_again if again and slot.ask_again else slot.ask
        return self._say(self._rendered(words, values), asks=slot.name, understood=not again)

    def _say(self, words: str, *, asks: str | None = None, understood: bool = True) -> Sequence[ReplyPiece]:
        return [SentText(words), ReplyDone(asks=asks, understood=understood)]

    def _rendered(self, words: str, values: Mapping[str, object]) -> str:
        try:
            return render(words, {**self._request.facts, **values}, locale=self._flow.language_of(self._phase)).strip()
        except PhaseError as exc:
            raise VoiceFailed(f"a reply of phase {self._request.phase!r} cannot be made: {exc}") from exc
