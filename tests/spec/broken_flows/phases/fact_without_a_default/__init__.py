"""A fact has no value to begin with."""

# breaks unloadable

from voiceagent import Facts, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition


class LibraryFacts(Facts):  # ← wrong
    reader_id: str


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE), facts=LibraryFacts)
