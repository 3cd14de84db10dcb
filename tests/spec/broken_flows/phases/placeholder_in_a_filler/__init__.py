"""A filler has a hole, and fillers are said as they stand."""

# breaks static-placeholder

from voiceagent import Facts, Filler, Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
WAITING = Filler(phrases=("One moment, {{ reader_id }}.", "Let me check."))  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), filler=WAITING, transitions=(DONE,))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE), facts=LibraryFacts)
