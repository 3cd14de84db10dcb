"""The guided model as one call sees it: no state of its own, every reply follows from what it is shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import date, datetime

from pydantic import JsonValue

from voiceagent.core.effects import Message, ModelRequest
from voiceagent.errors import PhaseError, VoiceFailed
from voiceagent.language import Language, language_for
from voiceagent.models.guided.slots import SlotValue
from voiceagent.models.guided.understanding import Understanding
from voiceagent.models.zones import zone_of
from voiceagent.ports import ReplyDone, ReplyPiece, SentText, ToolRequest
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import Form, GuidedDialogue, Intent, Slot
from voiceagent.spec.phase import Phase
from voiceagent.spec.prompt import render
from voiceagent.spec.tool import Tool

__all__ = ["GuidedModel", "GuidedModels"]

_CANNOT = "I am sorry, I cannot do that right now."
_FAILED = "I am sorry, that did not work."


class GuidedModels:
    """The engine: what it has learned of a phase's examples is kept for all calls of the process."""

    def __init__(self) -> None:
        self._understood: dict[tuple[str, str, str], Understanding] = {}

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> GuidedModel:
        """Return a handle for one call of this flow."""
        return GuidedModel(flow, language_for(locale), time_zone, self._understood)

    async def close(self) -> None:
        """Nothing is held."""


class GuidedModel:
    """Runs guided dialogues. Every reply is a function of the request alone."""

    def __init__(
        self, flow: Flow, language: Language, time_zone: str, understood: dict[tuple[str, str, str], Understanding]
    ) -> None:
        self._flow = flow
        self._language = language
        self._time_zone = time_zone
        self._understood = understood

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        """Yield the words, then a tool request where there is one. VoiceFailed where the phase has no dialogue."""
        phase = self._flow.by_name[request.phase]
        if phase.guided is None:
            raise VoiceFailed(f"phase {phase.name!r} has no guided dialogue")
        understanding = self._understanding(phase, phase.guided)
        for piece in _Turn(self._flow, phase.guided, request, understanding, self._today(request)).pieces():
            yield piece

    async def close(self) -> None:
        """Nothing is held."""

    def _understanding(self, phase: Phase, dialogue: GuidedDialogue) -> Understanding:
        key = (self._flow.sha256, phase.name, self._language.locale)
        if key not in self._understood:
            self._understood[key] = Understanding(dialogue, self._language)
        return self._understood[key]

    def _today(self, request: ModelRequest) -> date:
        return datetime.fromtimestamp(request.unix_ms / 1_000, zone_of(self._time_zone)).date()


class _Turn:
    """One reply in the making."""

    def __init__(
        self, flow: Flow, dialogue: GuidedDialogue, request: ModelRequest, understanding: Understanding, today: date
    ) -> None:
        self._flow = flow
        self._dialogue = dialogue
        self._request = request
        self._understanding = understanding
        self._today = today
        self._here = [message for message in request.history if message.epoch == request.epoch]

    def pieces(self) -> Sequence[ReplyPiece]:
        """Return the whole reply."""
        newest = self._request.history[-1] if self._request.history else None
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

    # --- after a tool ---

    def _newest_result(self) -> Message | None:
        """Return the result this reply has to tell of: the newest, unless the caller has spoken or been told since."""
        for message in reversed(self._request.history):
            if message.role == "tool_result":
                return message
            if message.role in ("caller", "agent"):
                break
        return None

    def _correction(self, result: Message | None) -> Message | None:
        """Return the words that stopped what was about to be done, if they say what is wanted instead."""
        if result is None or not result.failed or result.epoch != self._request.epoch:
            return None
        asked = next((m.number for m in self._here if m.role == "tool_request" and m.request == result.request), 0)
        words = [m for m in self._here if m.role == "caller" and m.number > asked]
        if not words or not self._understanding.wanted([*self._words()], self._today).understood:
            return None
        return words[-1]

    def _after(self, result: Message) -> str:
        """Return the words for a result; none for a move, or for a tool that this phase has no words for."""
        tool = result.tool or ""
        if tool in self._flow.requests_of(self._flow.by_name[self._request.phase]) or self._is_move(tool):
            return _CANNOT if result.failed and result.epoch == self._request.epoch else ""
        value: JsonValue = json.loads(result.text)
        if result.failed:
            words = self._dialogue.failures.get(tool, _FAILED)
            return self._rendered(words, {"reason": value})
        words = self._dialogue.replies.get(tool, "")
        return self._rendered(words, {"result": value, "arguments": self._arguments_of(result)})

    def _is_move(self, name: str) -> bool:
        return any(name in self._flow.requests_of(phase) for phase in self._flow.phases)

    def _arguments_of(self, result: Message) -> JsonValue:
        asked = (m for m in self._request.history if m.role == "tool_request" and m.request == result.request)
        request = next(asked, None)
        return json.loads(request.text) if request is not None else {}

    def _go_on(self, said: str, result: Message | None) -> Sequence[ReplyPiece]:
        """After an answer: hand the floor back, or ask for the first slot of the form once more."""
        form = self._dialogue.form
        if form is not None and result is not None and result.tool == form.does.name:
            slot = form.slots[0]
            return self._say(f"{said} {self._rendered(slot.ask_again or slot.ask, {})}", asks=slot.name)
        more = self._dialogue.anything_else
        return self._say(f"{said} {self._rendered(more, {})}" if more else said)

    # --- on entry ---

    def _enter(self) -> Sequence[ReplyPiece]:
        """The phase begins: do what the caller has asked for already, else ask, else open."""
        if self._dialogue.form is not None:
            return self._fill_form(self._dialogue.form, newest=None)
        pending = self._pending()
        if pending is not None:
            wanted = self._understanding.wanted([pending], self._today)
            if wanted.intent is not None:
                return self._do(wanted.intent, wanted.values, wanted.missing, again=False)
        opening = self._dialogue.opening or self._dialogue.not_understood
        return self._say(self._rendered(opening, {}))

    def _pending(self) -> Message | None:
        """Return what the caller asked for in an earlier phase and nobody has tried yet."""
        return self._brought_along(until=lambda message: message.role == "tool_request")

    def _brought_along(self, until: Callable[[Message], bool]) -> Message | None:
        """Return the newest words of an earlier phase that want a tool of this one, unless it was used `until` now."""
        used: set[str] = set()
        for message in reversed(self._request.history):
            if until(message) and message.tool is not None:
                used.add(message.tool)
            if message.role != "caller" or message.epoch == self._request.epoch:
                continue
            intent = self._understanding.intent_of(message.text)
            # A move does not use words up: it is only the way to where they can be acted upon.
            if intent is not None and isinstance(intent.does, Tool) and intent.does.name not in used:
                return message
        return None

    # --- the caller's words ---

    def _answer_caller(self, newest: Message) -> Sequence[ReplyPiece]:
        if self._understanding.is_repeat(newest.text):
            return self._repeat()
        if self._dialogue.form is not None:
            return self._fill_form(self._dialogue.form, newest)
        wanted = self._understanding.wanted(self._words(), self._today)
        if wanted.intent is None or not wanted.understood:
            slot = wanted.missing
            if slot is not None:
                return self._ask(slot, wanted.values, again=True)
            return self._say(self._rendered(self._dialogue.not_understood, {}))
        return self._do(wanted.intent, wanted.values, wanted.missing, again=False)

    def _words(self) -> list[Message]:
        """Return what the caller has said about what is being settled now: everything since the last success."""
        since = [m.number for m in self._here if m.role == "tool_result" and not m.failed]
        words = [m for m in self._here if m.role == "caller" and m.number > max(since, default=0)]
        if since:
            return words
        brought = self._brought_along(until=lambda message: message.role == "tool_result" and not message.failed)
        return [brought, *words] if brought is not None else words

    def _repeat(self) -> Sequence[ReplyPiece]:
        said = [message.text for message in self._request.history if message.role == "agent"]
        return self._say(said[-1] if said else self._rendered(self._dialogue.not_understood, {}))

    # --- forms, slots, tools ---

    def _fill_form(self, form: Form, newest: Message | None) -> Sequence[ReplyPiece]:
        values: dict[str, SlotValue] = {}
        since = [m.number for m in self._here if m.role == "tool_result" and m.tool == form.does.name]
        filled = False
        for message in self._here:
            if message.role == "caller" and message.number > max(since, default=0):
                filled = self._understanding.fill(form.slots, values, message.text, self._today)
        missing = next((slot for slot in form.slots if slot.name not in values), None)
        if missing is None:
            return self._request_tool(form.does, values)
        if newest is not None and not filled:
            intent = self._understanding.intent_of(newest.text)
            if intent is not None:
                return self._do(intent, {}, None, again=False)
        return self._ask(missing, values, again=newest is not None and not filled)

    def _do(
        self, intent: Intent, values: Mapping[str, SlotValue], missing: Slot | None, *, again: bool
    ) -> Sequence[ReplyPiece]:
        name = _name_of(intent)
        if name is None:
            return self._say(self._rendered(intent.say or "", {}))
        if name not in self._request.tools:
            return self._say(_CANNOT)
        if missing is not None:
            return self._ask(missing, values, again=again)
        return self._request_tool(intent.does if isinstance(intent.does, Tool) else name, values)

    def _request_tool(self, tool: Tool | str, values: Mapping[str, SlotValue]) -> Sequence[ReplyPiece]:
        name = tool.name if isinstance(tool, Tool) else tool
        if name not in self._request.tools:
            return self._say(_CANNOT)
        number = self._request.history[-1].number if self._request.history else 0
        return [ToolRequest(f"guided-{self._request.epoch}-{number}", name, json.dumps(dict(values))), ReplyDone()]

    def _ask(self, slot: Slot, values: Mapping[str, SlotValue], *, again: bool) -> Sequence[ReplyPiece]:
        words = slot.ask_again if again and slot.ask_again else slot.ask
        return self._say(self._rendered(words, values), asks=slot.name)

    def _say(self, words: str, *, asks: str | None = None) -> Sequence[ReplyPiece]:
        return [SentText(words), ReplyDone(asks=asks)]

    def _rendered(self, words: str, values: Mapping[str, object]) -> str:
        try:
            return render(words, {**self._request.facts, **values}, locale=self._flow.locale).strip()
        except PhaseError as exc:
            raise VoiceFailed(f"a reply of phase {self._request.phase!r} cannot be made: {exc}") from exc


def _name_of(intent: Intent) -> str | None:
    return intent.does.name if isinstance(intent.does, Tool) else intent.does
