"""How a call to the restaurant ends: with a goodbye, or with somebody at the counter."""

from voiceagent import HangUpAfter, Phase, Say, TransferTo

__all__ = ["GOODBYE", "HUMAN"]

HUMAN = Phase(
    name="human",
    on_enter=Say(text="I will get you somebody from the counter. One moment, please."),
    ends=TransferTo(target="counter"),
)

GOODBYE = Phase(
    name="goodbye",
    on_enter=Say(text="Thank you for calling Bella Pizza. Goodbye."),
    ends=HangUpAfter(),
)
