"""A tool has an effect that does not exist: it would be taken for one without any."""

# breaks unloadable

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool


@tool(effect="irreversable")  # ← wrong
async def burn(title: str) -> None:
    """Burn a book."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(burn,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
