"""Identification: date of birth and name, looked up by the clinic; nothing about an appointment is said before.

Names are spelt in many ways and heard in more. The clinic looks among those who were born on that day for one whose
name sounds like what was said, so the name is passed on as it was spoken.
"""

from datetime import date

from voiceagent import (
    Attempts,
    Digits,
    Form,
    FreeSpeech,
    GuidedDialogue,
    Intent,
    Phase,
    Prefetch,
    Slot,
    SpokenDate,
    ToolContext,
    ToolFailed,
    Transition,
    tool,
)

from .appointments import free_times, my_appointments
from .talk import ASKS_FOR_HUMAN, HOLD_ON, IN_DANGER, ON_APPOINTMENTS, SYNONYMS, WANTS_TO_FINISH

DATE_OF_BIRTH = SpokenDate(name="born")
DATE_OF_BIRTH_BY_KEYS = Digits(name="born", length=8)
"""Month, day and year, as people press them: 03141987."""


@tool(
    grants="patient_record",
    grants_when="verified",
    sets={
        "verified": "verified",
        "patient_id": "patient_id",
        "patient_name": "name",
        "attempts_left": "attempts_left",
        "appointment_day": "appointment.day",
        "appointment_time": "appointment.at",
        "appointment_doctor": "appointment.doctor",
    },
    scopes="patients:identify",
    egress="POST service",
    attempts=Attempts(account="name"),
    timeout_ms=6_000,
)
async def find_patient(born: date, name: str, ctx: ToolContext) -> object:
    """Find the patient by date of birth and full name, the name as it was spoken."""
    answer = await ctx.http.post("/identify", json={"born": born.isoformat(), "name": name, "call": ctx.call})
    if answer.status_code == 423:
        return {"verified": False}
    if answer.status_code != 200:
        raise ToolFailed("the clinic cannot look up patients right now")
    return answer.json()


PHASE = Phase(
    name="identification",
    prompt="clinic/identification.md",
    expects=(DATE_OF_BIRTH, DATE_OF_BIRTH_BY_KEYS, FreeSpeech()),
    tools=(find_patient,),
    transitions=(
        Transition(
            on=find_patient,
            to="appointments",
            when={"verified": True},
            prefetch=(Prefetch(tool=my_appointments), Prefetch(tool=free_times)),
        ),
        Transition(on=find_patient, to="human", when={"verified": False, "attempts_left": {"le": 0}}),
    ),
    max_turns=12,
    guided=GuidedDialogue(
        form=Form(
            does=find_patient,
            slots=(
                Slot(
                    name="born",
                    expects=DATE_OF_BIRTH,
                    ask="Sure. What is your date of birth?",
                    ask_again="Please tell me month, day and year of your birth.",
                ),
                Slot(name="name", expects=FreeSpeech(), ask="Thank you. And your first and last name?"),
            ),
        ),
        intents=(
            IN_DANGER,
            Intent(
                does="talk_to_human",
                examples=(*ASKS_FOR_HUMAN, "I would rather not say that", "why do you need to know that"),
            ),
            WANTS_TO_FINISH,
            HOLD_ON,
            Intent(
                say="I will see to that. But first I need your date of birth, and your first and last name.",
                examples=ON_APPOINTMENTS,
            ),
        ),
        synonyms=SYNONYMS,
        replies={"find_patient": "I am sorry, I cannot find anybody with that name and date of birth."},
        failures={"find_patient": "I am sorry, I could not look that up."},
    ),
)
