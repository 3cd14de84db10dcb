"""A guard in Python does not take the facts, so it never permits."""

# breaks dead-guard

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Pressed, Requested, Say, Transition


def is_open() -> bool:
    """Whether the library is open."""
    return True


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
OPEN = Transition(on=Pressed(digits="1"), to="bye", when=is_open)  # ← wrong
TALK = Phase(name="talk", guided=GuidedDialogue(), transitions=(OPEN, DONE))

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
