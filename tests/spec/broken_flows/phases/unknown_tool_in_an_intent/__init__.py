"""An intent asks for a tool that its phase does not offer."""

# breaks unknown-tool

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Intent, Phase, Requested, Say, Transition, tool


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
COUNT = Intent(does=count_pages, examples=("how long is it",))  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(intents=(COUNT,)), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
