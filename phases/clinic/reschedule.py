"""Reschedule: another day and time for one appointment, read back, done after a clear yes, and only then."""

from __future__ import annotations

from datetime import date, time

from voiceagent import (
    GuidedDialogue,
    Intent,
    OutcomeUnknown,
    Phase,
    Requested,
    Slot,
    ToolContext,
    ToolFailed,
    ToolSucceeds,
    Transition,
    tool,
)

from .appointments import AT, DAY, FREE_TIMES_TOLD, SPOKEN_OF, choose_appointment, free_times, my_appointments
from .talk import (
    CHANGES,
    FREE_TIMES,
    HOLD_ON,
    IN_DANGER,
    NOT_IN_DANGER,
    OTHER_APPOINTMENT,
    STAYS,
    SYNONYMS,
    UNWELL,
    WANTS_HUMAN,
)


@tool(
    effect="irreversible",
    requires="patient_record",
    binds=("patient_id", "appointment_day"),
    scopes="appointments:write",
    invalidates=(my_appointments, free_times),
    confirm=(
        "I will move your appointment from {{ appointment_day | day }} "
        "to {{ day | day }} at {{ at | time }}. Is that right?"
    ),
    sets=SPOKEN_OF,
    timeout_ms=15_000,
)
async def move_appointment(patient_id: str, appointment_day: date, day: date, at: time, ctx: ToolContext) -> object:
    """Move the appointment that is being spoken of to another, free time."""
    answer = await ctx.http.post(
        f"/patients/{patient_id}/appointments/{appointment_day.isoformat()}/move",
        json={"day": day.isoformat(), "at": at.isoformat("minutes")},
        headers={"Idempotency-Key": ctx.idempotency_key or ""},
    )
    if answer.status_code >= 500:
        raise OutcomeUnknown
    if answer.status_code == 409:
        raise ToolFailed("that time is not free")
    if answer.status_code not in (200, 201):
        raise ToolFailed("the calendar did not take it")
    return answer.json()


PHASE = Phase(
    name="reschedule",
    prompt="clinic/reschedule.md",
    tools=(free_times, choose_appointment, move_appointment),
    expects=(DAY, AT),
    transitions=(
        Transition(on=ToolSucceeds(tool=move_appointment), to="wrap_up"),
        Transition(
            on=Requested(name="keep_appointment", description="The appointment shall stay as it is after all."),
            to="wrap_up",
            say="All right, your appointment stands.",
        ),
    ),
    max_turns=20,
    guided=GuidedDialogue(
        opening="To which day and time shall I move your appointment on {{ appointment_day | day }}?",
        intents=(
            IN_DANGER,
            NOT_IN_DANGER,
            Intent(say="I see. To which day and time shall I move it?", examples=UNWELL),
            Intent(
                does=move_appointment,
                examples=(
                    *CHANGES,
                    "make it Thursday at ten",
                    "nine o'clock on Tuesday please",
                    "I'll take the one at half past nine",
                    "quarter past ten would be fine",
                    "quarter to four works for me",
                ),
                slots=(
                    Slot(
                        name="day",
                        expects=DAY,
                        ask="To which day shall I move your appointment on {{ appointment_day | day }}?",
                        ask_again="Which day, please? For example, December fourth.",
                    ),
                    Slot(
                        name="at",
                        expects=AT,
                        ask="And to what time?",
                        ask_again="To what time, please? For example, half past nine.",
                    ),
                ),
            ),
            Intent(
                does=free_times,
                examples=FREE_TIMES,
                slots=(Slot(name="day", expects=DAY, ask="On which day?"),),
            ),
            Intent(
                does="keep_appointment",
                examples=(*STAYS, "no"),
            ),
            Intent(
                does=choose_appointment,
                examples=OTHER_APPOINTMENT,
                slots=(Slot(name="day", expects=DAY, ask="Which one, please: on which day is it now?"),),
            ),
            WANTS_HUMAN,
            HOLD_ON,
        ),
        replies={
            "choose_appointment": (
                "That is {{ result.doctor }} on {{ result.day | day }}. To which day and time shall I move it?"
            ),
            "free_times": FREE_TIMES_TOLD,
        },
        failures={
            "choose_appointment": "I am sorry, {{ reason }}.",
            "free_times": "I cannot see the calendar right now.",
            "move_appointment": (
                "{% if 'not known' in reason %}I cannot tell whether it was moved; the reception can look it up."
                "{% elif 'the caller' in reason %}All right, I have not moved it. "
                "Which other time would you like, or shall it stay?"
                "{% else %}I could not move it: {{ reason }}. Which other time would you like, or shall it stay?"
                "{% endif %}"
            ),
        },
        synonyms=SYNONYMS,
        not_understood="Please tell me a day and a time, or say that it shall stay as it is.",
    ),
)
