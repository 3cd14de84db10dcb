"""A write may outlast the apology by longer than the flow allows."""

# breaks silence-too-long

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


@tool(effect="write", timeout_ms=40_000)  # ← wrong
async def print_book(title: str) -> None:
    """Print a whole book."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(print_book,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
