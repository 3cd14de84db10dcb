"""A phase names a prompt that does not exist."""

# breaks missing-prompt

from voiceagent import Flow, HangUpAfter, Phase, Requested, Say, Transition

BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
TALK = Phase(name="talk", prompt="missing_prompt/tlak.md", transitions=(DONE,))  # ← wrong

FLOW = Flow(name="library", initial="talk", phases=(TALK, BYE))
