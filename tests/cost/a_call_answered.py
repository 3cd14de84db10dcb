"""A program: serve one call, for as long as there is standard input, and print what has been imported for it.

First it prints where to call. The caller is another program, else what a caller imports would be there already.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Intent, Phase, Say, ToolSucceeds, Transition, tool
from voiceagent.cli.agent_server import ServerSettings, agent_server
from voiceagent.speech import NULL_HEARS
from voiceagent.telephony.settings import TelephonySettings


@tool
async def look_up() -> dict[str, object]:
    """Look up the next thing."""
    return {"found": "it"}


FLOW = Flow(
    name="counted",
    initial="asked",
    phases=(
        Phase(
            name="asked",
            on_enter=Say(text="Hello."),
            tools=(look_up,),
            transitions=(Transition(on=ToolSucceeds(tool=look_up), to="told"),),
            guided=GuidedDialogue(intents=(Intent(does=look_up, examples=(NULL_HEARS,)),)),
        ),
        Phase(name="told", on_enter=Say(text="Here it is."), ends=HangUpAfter()),
    ),
)
"""Whatever is said, a tool is run, and the next phase says goodbye."""


async def answer(journals: Path) -> None:
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"counted"}), insecure=True, port=0),
        journals=journals,
        engines="null",
    )
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    async with agent_server(settings, {"counted": FLOW}) as server:
        before = set(sys.modules)
        print(f"ws://127.0.0.1:{server.port}/media/twilio/counted", flush=True)  # noqa: T201 - its answer
        await over.wait()
        print(*sorted(set(sys.modules) - before), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(answer(Path(sys.argv[1])))
