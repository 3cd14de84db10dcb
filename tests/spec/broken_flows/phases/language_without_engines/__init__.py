"""A phase is in a language that the engines on this machine do not speak."""

# breaks language-not-spoken

from voiceagent import Flow, GuidedDialogue, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", language="es-MX", guided=GuidedDialogue(), transitions=(DONE,))  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
