"""A tool may send requests to what is no host."""

# breaks bad-egress

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


@tool(egress="GET https://rates.example.com/v1")  # ← wrong
async def look(title: str) -> None:
    """Look for a book."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(look,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
