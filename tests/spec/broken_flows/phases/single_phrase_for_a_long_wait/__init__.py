"""A tool has one phrase for its wait, and no phrase is said twice in a row."""

# breaks silence-too-long

from voiceagent import Filler, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition, tool

PRINTING = Filler(phrases=("It is being printed.",), later=())


@tool(effect="write", timeout_ms=40_000, filler=PRINTING)  # ← wrong
async def print_book(title: str) -> None:
    """Print a whole book."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), tools=(print_book,), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
