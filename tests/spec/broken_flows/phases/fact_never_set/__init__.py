"""A tool binds a fact that no tool ever sets."""

# breaks fact-never-set

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None


@tool(binds=("branch",))  # ← wrong
async def opening_hours(branch: str) -> dict[str, object]:
    """When that branch is open."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(opening_hours,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE), facts=LibraryFacts)
