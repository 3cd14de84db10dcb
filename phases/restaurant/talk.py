"""How callers say what they want from the restaurant: the same in every phase."""

from voiceagent import Intent

from .menu import DISHES, opening_hours

__all__ = [
    "ASKS_DELIVERY",
    "ASKS_HOURS",
    "ASKS_ORDER",
    "DECLINED",
    "DELIVERIES",
    "DISH_QUESTIONS",
    "DROPS",
    "HOLD_ON",
    "HOURS_TOLD",
    "MENU_QUESTIONS",
    "ORDERS",
    "ORDER_TOLD",
    "PAYS",
    "PICK_UPS",
    "REMOVALS",
    "SYNONYMS",
    "WANTS_HUMAN",
]

ORDER_TOLD = (
    "{% for line in lines %}{{ line.quantity }} {{ line.item }}{{ 's' if line.quantity > 1 else '' }}"
    "{{ ' and ' if loop.revindex == 2 else ', ' if not loop.last else '' }}{% endfor %}"
)
"""The whole order, from the facts: 2 margheritas, 1 cola and 1 tiramisu."""

SYNONYMS = (
    *DISHES.values(),
    ("remove", "off", "without", "leave out", "delete"),
    ("price", "how much is", "how much are", "how much for"),
    ("menu", "do you have", "have you got"),
)
"""What callers say for the same thing."""

ORDERS = (
    *(f"{words[0]} please" for words in DISHES.values()),
    "I'd like a pizza",
    "can I have two margheritas",
    "give me a cola",
    "I'll take the lasagna",
    "we want three lemonades",
    "add a garlic bread",
    "another cola please",
    "one more tiramisu",
    "make it two margheritas",
    "put a salad on it",
    "I want to order something",
    "I'd like to place an order",
    "I want to add something",
)
REMOVALS = (
    *(f"remove the {words[0]}" for words in DISHES.values()),
    "take off the cola",
    "take one lemonade away",
    "no tiramisu after all",
    "without the salad",
    "leave out the garlic bread",
    "I don't want the lasagna any more",
    "cancel the cola",
    "drop the garlic bread",
    "delete one margherita",
    *(f"no {word} {after}" for words in DISHES.values() for word in words for after in ("please", "after all")),
    "remove something from my order",
)

MENU_QUESTIONS = (
    "what do you have",
    "what is on the menu",
    "read me the menu",
    "which pizzas do you have",
    "what kinds of pizza are there",
    "what drinks do you have",
    "do you have any desserts",
    "what can I drink",
    "any sides",
    "what are the options",
    "what do you recommend",
)
DISH_QUESTIONS = (
    *(f"what is in the {words[0]}" for words in DISHES.values()),
    *(f"do you have {words[0]}" for words in DISHES.values()),
    *(f"how much is the {words[0]}" for words in DISHES.values()),
    "what is on the veggie pizza",
    "what does a margherita cost",
    "is the lasagna vegetarian",
    "does the tiramisu contain alcohol",
    "which ingredients are in the salad",
    "tell me about the garlic bread",
    "what comes with the salad",
    "what is the price of a cola",
)

DECLINED = (
    "no",
    "no that's all",
    "that's it",
    "that's everything",
    "nothing else thanks",
    "I'm done",
    "that would be all",
    "okay thank you bye",
    "that completes my order",
    "check out please",
)
"""Where the agent has just asked whether there is anything else."""

PICK_UPS = (
    "I'll pick it up",
    "pick up please",
    "pickup",
    "I will come and get it",
    "I'll come and get it",
    "actually I'll come and get it",
    "I'll come by",
    "to go",
    "takeaway",
    "to take away",
    "take out",
    "I'll collect it",
    "I am coming by",
)
DELIVERIES = (
    "deliver it please",
    "delivery",
    "for delivery",
    "I'd like to have it delivered",
    "bring it to my house",
    "can you bring it",
    "bring it please",
    "I want it brought to my home",
    "can you bring it here",
    "send it to my address",
    "to my place",
)

DROPS = (
    "cancel the whole order",
    "cancel everything",
    "cancel my order",
    "forget the order",
    "I don't want to order anything any more",
    "never mind the order",
    "drop the whole thing",
)

ASKS_ORDER = Intent(
    say=(
        "{% if lines %}So far that is " + ORDER_TOLD + ", {{ total | money }} altogether."
        "{% else %}There is nothing on your order yet.{% endif %}"
    ),
    examples=(
        "what do I have so far",
        "what is on my order",
        "read my order back to me",
        "how much is it altogether",
        "what is the total",
        "what does all of it cost",
        "repeat my order please",
        "what was on it",
        "how much is it",
        "how much do I have to pay",
    ),
)

ASKS_HOURS = Intent(
    does=opening_hours,
    examples=(
        "what are your opening hours",
        "when do you open",
        "how late are you open",
        "when do you close tonight",
        "are you still open",
    ),
)
HOURS_TOLD = "Today we are open from {{ result.opens | time }} to {{ result.closes | time }}."

ASKS_DELIVERY = Intent(
    say="You can pick it up, or we deliver it. Would you like anything {{ 'else' if lines else 'now' }}?",
    examples=(*PICK_UPS, *DELIVERIES, "do you deliver", "how long does the delivery take"),
)

PAYS = Intent(
    say="You can pay in cash or by card when you get it.",
    examples=("can I pay by card", "do you take credit cards", "how can I pay", "can I pay in cash"),
)

HOLD_ON = Intent(
    say="Sure, take your time.",
    examples=("hold on", "hold on a second", "wait a moment please", "let me think", "let me ask the others"),
)

WANTS_HUMAN = Intent(
    does="talk_to_human",
    examples=(
        "I would like to speak to a real person please",
        "can I talk to a human",
        "get me somebody from the kitchen",
        "let me talk to the manager",
        "I don't want to talk to a machine",
        "I have a complaint",
        "I want to reserve a table",
        "somebody has an allergy",
    ),
)
