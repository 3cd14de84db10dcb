"""A Gemini Live server with ears and a mind: what it knows it knows from its frames."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.models.gemini_live_server import GENERATED, SETUP_COMPLETE, Line, audio, calls, done, heard, said
from tests.providers.minds import Knows, Mind, arguments_of
from tests.providers.spoken_call import hum
from tests.providers.telephone import Ears, Sentences
from voiceagent.models.gemini_live.generations import PCM_16K, PCM_24K

__all__ = ["ThinkingGemini"]


class ThinkingGemini:
    """What every connection follows."""

    def __init__(self, mind: Mind, sentences: Sentences, *, ready_after_ms: int = 0) -> None:
        self._mind = mind
        self._sentences = sentences
        self._ready_after_ms = ready_after_ms

    async def __call__(self, line: Line) -> None:
        await line.until("setup")
        await asyncio.sleep(self._ready_after_ms / 1_000)
        await line.send(SETUP_COMPLETE)
        knows = Knows()
        _take_phase(knows, line.setup)
        ears = Ears(self._sentences, PCM_16K.rate_hz)
        heard_bytes = 0
        while True:
            frame = await line.next()
            reply = False
            for words in ears.hear(bytes(line.heard[heard_bytes:])):
                await line.send(heard(words))
                knows.hears(words)
                reply = True
            heard_bytes = len(line.heard)
            if (update := frame.get("contextUpdate")) is not None:
                _take_phase(knows, {**update, **update.get("tools", {})})
            if (content := frame.get("clientContent")) is not None:
                for turn in content.get("turns", ()):
                    if turn["role"] == "user":
                        knows.hears("".join(part["text"] for part in turn["parts"]))
                reply = reply or content["turnComplete"]
            if (answers := frame.get("toolResponse")) is not None:
                knows.learns(json.dumps(answers["functionResponses"], ensure_ascii=False))
                reply = True
            if reply:
                await self._reply(line, knows)

    async def _reply(self, line: Line, knows: Knows) -> None:
        decided = knows.decide(self._mind)
        if not isinstance(decided, str):
            await line.send(calls((decided.id, decided.tool, json.loads(arguments_of(decided)))))
            return
        spoken = hum(decided, PCM_24K)
        step = PCM_24K.bytes_per_ms * 100
        for start in range(0, len(spoken), step):
            await line.send(audio(spoken[start : start + step]))
        await line.send(said(decided), GENERATED, done(taken=50, made=20))


def _take_phase(knows: Knows, body: Any) -> None:
    if "systemInstruction" in body:
        knows.prompt = "".join(part["text"] for part in body["systemInstruction"]["parts"])
    if "tools" in body:
        knows.tools = tuple(
            function["name"] for group in body["tools"] for function in group.get("functionDeclarations", ())
        )
