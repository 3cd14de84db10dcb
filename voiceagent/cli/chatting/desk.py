"""The desk of whoever types: a line is said to the agent; one that begins with a stroke is for us."""

from __future__ import annotations

import re

from voiceagent.cli.chatting.paper import Paper
from voiceagent.cli.chatting.questions import Answer, LastTurn, about_facts, about_phase, about_tools, why
from voiceagent.cli.chatting.typed_call import TypedCall
from voiceagent.core.conversation import Conversation
from voiceagent.devices.keyboard import LONGEST_LINE
from voiceagent.errors import nearest

__all__ = ["HELP", "Desk"]

_QUESTIONS = {"/phase": about_phase, "/facts": about_facts, "/tools": about_tools}
_COMMANDS = {
    "/phase": ("", "which phase, since when, where it may lead, and the prompt as the model reads it"),
    "/facts": ("", "what tools have established, and the grants"),
    "/tools": ("", "what the model is offered now, and why not the rest"),
    "/why": ("", "what it was offered in the last turn, and why each transition fired or did not"),
    "/press": ("KEYS", "press keys of the telephone: /press 123#"),
    "/wait": ("SECONDS", "say nothing for so long: /wait 10"),
    "/hangup": ("", "hang up"),
    "/help": ("", "this"),
}
HELP = tuple(f"{name} {takes}".ljust(16) + says for name, (takes, says) in _COMMANDS.items())
_KEYS = re.compile(r"[0-9*#A-D]{1,64}")
_LONGEST_WAIT_S = 3_600


class Desk:
    """Does what was typed."""

    def __init__(self, call: TypedCall, last: LastTurn, paper: Paper) -> None:
        self._call = call
        self._last = last
        self._paper = paper

    async def take(self, line: str) -> None:
        """Say a line, or do what is asked for; nothing for an empty one."""
        line = line.strip()
        if not line:
            return
        if not line.startswith("/"):
            if len(line) > LONGEST_LINE:
                self._paper.note(f"only the first {LONGEST_LINE} characters of the line are said")
            await self._call.says(line)
            return
        name, _, given = line.partition(" ")
        await self._do(name, given.strip())

    async def _do(self, name: str, given: str) -> None:
        conversation = self._call.conversation
        if name not in _COMMANDS:
            self._paper.note(f"there is no {name}{nearest(name, _COMMANDS) or '; /help tells what there is'}")
        elif given and not _COMMANDS[name][0]:
            self._paper.note(f"{name} takes nothing behind it")
        elif name == "/help":
            self._paper.answer(Answer("help", HELP, {"commands": list(_COMMANDS)}))
        elif name == "/press":
            await self._press(given)
        elif name == "/wait":
            await self._wait(given)
        elif name == "/hangup":
            await self._call.hangs_up()
        elif conversation is not None:
            self._paper.answer(self._asked(name, conversation))

    def _asked(self, name: str, conversation: Conversation) -> Answer:
        if name == "/why":
            return why(conversation, self._last)
        return _QUESTIONS[name](conversation)

    async def _press(self, keys: str) -> None:
        if _KEYS.fullmatch(keys):
            await self._call.presses(keys)
        else:
            self._paper.note("/press takes the keys 0 to 9, *, # and A to D, up to 64 of them: /press 123#")

    async def _wait(self, given: str) -> None:
        try:
            seconds = float(given)
        except ValueError:
            seconds = 0.0
        if 0 < seconds <= _LONGEST_WAIT_S:
            await self._call.waits(round(seconds * 1_000))
        else:
            self._paper.note(f"/wait takes seconds, more than 0 and at most {_LONGEST_WAIT_S}: /wait 10")
