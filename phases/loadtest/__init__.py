"""For load tests: two phases that change places at every turn, and two seconds of speech in each answer.

Served with `--engines null`, whose ears hear the same sentence whatever is said.
"""

from voiceagent import (
    Flow,
    GuidedDialogue,
    HangUpAfter,
    Intent,
    Limits,
    Phase,
    Requested,
    Say,
    Silent,
    Transition,
)

__all__ = ["FLOW"]


def _phase(name: str, other: str) -> Phase:
    return Phase(
        name=name,
        on_enter=Say(text="Here is the next thing for you."),  # 31 letters: two seconds of the null voice
        transitions=(Transition(on=Requested(name="next", description="The caller wants the next thing."), to=other),),
        guided=GuidedDialogue(intents=(Intent(does="next", examples=("tell me the next thing please",)),)),
    )


FLOW = Flow(
    name="loadtest",
    initial="odd",
    phases=(_phase("odd", "even"), _phase("even", "odd"), Phase(name="over", ends=HangUpAfter())),
    transitions=(Transition(on=Silent(), to="over"),),
    limits=Limits(max_turns=100_000, max_call_ms=24 * 3_600_000),
)
