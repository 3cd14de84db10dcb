"""A Nova that hears and thinks: what its model knows it knows from the events of its stream."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from tests.providers.fake_nova import FakeSession
from tests.providers.minds import Knows, Mind, arguments_of
from tests.providers.spoken_call import hum
from tests.providers.telephone import Ears, Sentences
from voiceagent.ports import AudioFormat

__all__ = ["ThinkingNova"]


class ThinkingNova:
    """The brain of every session."""

    def __init__(self, mind: Mind, sentences: Sentences, *, ready_after_ms: int = 0) -> None:
        self._mind = mind
        self._sentences = sentences
        self._ready_after_ms = ready_after_ms

    async def __call__(self, session: FakeSession) -> None:
        await asyncio.sleep(self._ready_after_ms / 1_000)
        session.head()
        await _Thinking(session, self._mind, self._sentences).run()
        session.end()


class _Thinking:
    def __init__(self, session: FakeSession, mind: Mind, sentences: Sentences) -> None:
        self._session = session
        self._mind = mind
        self._sentences = sentences
        self._knows = Knows()
        self._texts: dict[str, dict[str, Any]] = {}
        self._ears: Ears
        self._speaks: AudioFormat

    async def run(self) -> None:
        while (event := await self._session.event()) is not None:
            name, body = event
            match name:
                case "promptStart":
                    tools = body.get("toolConfiguration", {}).get("tools", ())
                    self._knows.tools = tuple(tool["toolSpec"]["name"] for tool in tools)
                    self._speaks = AudioFormat("pcm16", body["audioOutputConfiguration"]["sampleRateHertz"])
                case "contentStart" if body["type"] == "AUDIO":
                    self._ears = Ears(self._sentences, body["audioInputConfiguration"]["sampleRateHertz"])
                case "contentStart":
                    self._texts[body["contentName"]] = {**body, "words": ""}
                case "textInput" | "toolResult":
                    self._texts[body["contentName"]]["words"] += body["content"]
                case "contentEnd" if body["contentName"] in self._texts:
                    self._told(self._texts.pop(body["contentName"]))
                case "audioInput":
                    for words in self._ears.hear(base64.b64decode(body["content"])):
                        self._session.text("USER", "FINAL", words)
                        self._knows.hears(words)
                        self._reply()
                case _:
                    pass

    def _told(self, content: dict[str, Any]) -> None:
        words = content["words"]
        if content["type"] == "TOOL":
            self._knows.learns(words)
            self._reply()
        elif content["role"] == "SYSTEM":
            self._knows.prompt = words
        elif content["role"] == "USER":
            self._knows.hears(words)
            if content["interactive"]:
                self._reply()

    def _reply(self) -> None:
        decided = self._knows.decide(self._mind)
        if isinstance(decided, str):
            self._session.say(decided, hum(decided, self._speaks))
        else:
            self._session.use_tool(decided.id, decided.tool, **json.loads(arguments_of(decided)))
