"""How callers say what they want from the clinic: the same in every phase."""

from voiceagent import Intent

__all__ = [
    "AGAINST_AN_APPOINTMENT",
    "ASKS_FOR_HUMAN",
    "BOOKINGS",
    "CANCELLATIONS",
    "CHANGES",
    "DECLINED",
    "FREE_TIMES",
    "HOLD_ON",
    "IN_DANGER",
    "NOT_IN_DANGER",
    "ON_APPOINTMENTS",
    "OPENING_HOURS",
    "OTHER_APPOINTMENT",
    "OWN_APPOINTMENTS",
    "STAYS",
    "SYNONYMS",
    "UNWELL",
    "WANTS_HUMAN",
    "WANTS_TO_FINISH",
]

OWN_APPOINTMENTS = (
    "when is my appointment",
    "what appointments do I have",
    "do I have an appointment this week",
    "which day is my visit",
    "what time is my appointment on Friday",
    "who is my appointment with",
    "which doctor am I seeing",
    "I forgot when I have to come in",
    "when is the next one",
    "check my appointment",
    "I want to confirm my appointment",
    "when am I supposed to see the doctor",
    "is my appointment still on",
)
FREE_TIMES = (
    "what times are free",
    "when is the doctor free",
    "do you have anything free on Tuesday",
    "what is available next week",
    "which slots are open",
    "what openings do you have",
    "is there any availability tomorrow",
    "when could I come in",
    "do you have any openings on Thursday",
    "what is the earliest appointment you have",
    "which times do you have on Monday",
    "how soon can I be seen",
)
BOOKINGS = (
    "I'd like to book an appointment",
    "I need to make an appointment with the doctor",
    "can I see a doctor on Tuesday at ten",
    "I want to come in for a check-up",
    "schedule a visit please",
    "book me in for Thursday at half past nine",
    "I'd like to see my doctor",
    "I need a vaccination",
    "I want a flu shot",
    "I need a new prescription from the doctor",
    "I need a refill of my medication",
    "I'd like a physical",
    "can I get a new appointment",
    "I want an appointment",
    "I need a follow-up",
    "can you squeeze me in",
)
CHANGES = (
    "I need to move my appointment",
    "I'd like to reschedule",
    "can I change my appointment to another day",
    "I can only come later that day",
    "postpone my visit to next week",
    "push my appointment back to Friday",
    "could I come earlier on that day instead",
    "switch my appointment to the afternoon",
    "the time of my appointment doesn't suit me any more",
)
CANCELLATIONS = (
    "I want to cancel my appointment",
    "cancel it",
    "cancel it please",
    "please cancel it",
    "then cancel it",
    "yes cancel it",
    "cancel my appointment on Friday",
    "I can't come to my appointment",
    "I won't be able to make it",
    "call off my visit",
    "delete my appointment",
    "I don't need the appointment any more",
)
AGAINST_AN_APPOINTMENT = (*CHANGES, *CANCELLATIONS)

OTHER_APPOINTMENT = (
    "that is the wrong appointment",
    "I mean a different appointment",
    "it is about my other appointment",
    "I am talking about the appointment on the sixteenth",
    "not that one",
    "the other one",
)

UNWELL = (
    "I am not feeling well",
    "I have been sick since Monday",
    "I have a fever and a cough",
    "my back hurts",
    "I have a pain in my knee",
    "I have back pain",
    "I have a pain",
    "my knee is sore",
    "I have a stomach ache",
    "I have a cold and a sore throat",
    "I have a rash",
    "I have a headache",
    "my child is ill",
    "I need help with an appointment",
    "I am calling about an appointment",
    "I have a question about my appointment",
    "I need a doctor",
    "it's not an emergency but I need an appointment",
    "nothing urgent, I would just like to see the doctor",
)
"""Reasons to see a doctor, and not yet which appointment."""

ON_APPOINTMENTS = (*OWN_APPOINTMENTS, *FREE_TIMES, *BOOKINGS, *AGAINST_AN_APPOINTMENT, *UNWELL)
"""Everything for which the clinic must know who is calling."""

OPENING_HOURS = Intent(
    say="We are open from Monday to Friday, from eight in the morning to six in the evening.",
    examples=(
        "what are your opening hours",
        "when do you open",
        "how late are you open today",
        "are you open on Saturday",
        "when do you close",
    ),
)

STAYS = (
    "forget it",
    "never mind",
    "I changed my mind",
    "leave it as it is",
    "I'll keep it",
    "I'll keep the appointment",
    "let the appointment stay as it is",
    "then I'd rather come as planned",
)
SYNONYMS = (
    (
        "keep",
        "leave it",
        "as planned",
        "forget it",
        "forget about it",
        "never mind",
        "changed my mind",
        "change my mind",
        "stay",
    ),
)
"""To keep an appointment is the opposite of cancelling it, though "forget it" elsewhere means to cancel."""

IN_DANGER = Intent(
    does="emergency",
    examples=(
        "I have chest pain",
        "my chest hurts and my arm is numb",
        "there is a pressure on my chest",
        "my chest feels tight",
        "I can't breathe",
        "I cannot get enough air",
        "he is not breathing",
        "she is choking",
        "my husband has collapsed",
        "she is unconscious",
        "he passed out and doesn't wake up",
        "I think I am having a heart attack",
        "my mother is having a stroke",
        "half of his face is drooping",
        "her arm is paralyzed and her speech is slurred",
        "I can't feel my arm",
        "I am bleeding heavily",
        "there is blood everywhere",
        "he is having a seizure",
        "my child swallowed poison",
        "I took an overdose",
        "I took too many pills",
        "I want to kill myself",
        "I am thinking of suicide",
        "my throat is swelling up",
        "I am having an allergic reaction",
        "he doesn't respond",
        "I think I am dying",
        "somebody is dying here",
        "I want to die",
        "she has fainted",
        "my water broke",
        "I am in labor",
        "there has been an accident",
        "he fell down the stairs",
        "this is an emergency",
        "I need an ambulance",
        "it is a matter of life and death",
    ),
)
"""Said by whoever must not wait for an appointment; no phase is without it."""

NOT_IN_DANGER = Intent(
    say="I see. How can I help you with your appointments?",
    examples=(
        "it is not an emergency",
        "it's not an emergency",
        "no it's not an emergency",
        "it's no emergency",
        "this isn't an emergency",
        "I don't need an ambulance",
        "no emergency",
    ),
)

FINISHED = (
    "okay thank you very much goodbye",
    "no thank you that's all",
    "no that was everything",
    "nothing else thanks",
    "bye",
    "I'm done",
    "I'm all set",
    "I don't need anything else",
    "you have been very helpful have a nice day",
)

DECLINED = (*FINISHED, "no", "thank you", "I'm good", "done")
"""Where the agent has just asked whether there is anything else."""

WANTS_TO_FINISH = Intent(
    does="finish",
    examples=(*FINISHED, "never mind", "forget it", "I will call back later"),
)

HOLD_ON = Intent(
    say="Of course, take your time.",
    examples=("hold on", "hold on a second", "wait a moment please", "let me look at my calendar"),
)

ASKS_FOR_HUMAN = (
    "I would like to speak to a real person please",
    "can I talk to a human",
    "put me through to the reception",
    "let me speak to a nurse",
    "connect me to somebody who works there",
    "I don't want to talk to a machine",
    "is there someone who can help me",
    "I want an operator",
    "I need my test results",
    "I am calling about lab results",
    "I have a question about my bill",
    "I am running late",
)

WANTS_HUMAN = Intent(does="talk_to_human", examples=ASKS_FOR_HUMAN)
