"""A message begins as soon as a machine answers: its greeting is still going on."""

# breaks talks-over-greeting

from voiceagent import Flow, HangUpAfter, MachineAnswers, Phase, Say, Silent, Transition

BYE = Phase(name="bye", on_enter=Say(text="Please call us back. Goodbye."), ends=HangUpAfter())
MACHINE = Transition(on=MachineAnswers(), to="bye")  # ← wrong
NOBODY = Transition(on=Silent(), to="bye")
REACH = Phase(name="reach", on_enter=Say(text="This is the library."), transitions=(MACHINE, NOBODY))

FLOW = Flow(name="library", initial="reach", phases=(REACH, BYE))
