"""How callers say what they want from the bank: the same in every phase."""

from voiceagent import Intent

__all__ = [
    "ASKS_FOR_HUMAN",
    "BALANCES",
    "CARDS",
    "CHARGES",
    "DECLINED",
    "FINISHED",
    "HOLD_ON",
    "ON_AN_ACCOUNT",
    "TRANSACTIONS",
    "TRANSFERS",
    "VAGUE",
    "WANTS_HUMAN",
    "WANTS_TO_FINISH",
]

BALANCES = (
    "I'd like to check the balance on my account please",
    "what is my balance",
    "what's the current balance in checking",
    "how much money do I have",
    "how much is in my savings account",
    "what's left in checking",
    "do I have enough money to pay the rent",
    "is there enough in there",
    "what's my available balance",
    "tell me my account balances",
    "am I overdrawn",
    "how much have I saved up",
    "show me my savings",
    "how much do I have on my accounts",
    "is there any money in my account",
    "are there at least two hundred dollars in checking",
)
TRANSACTIONS = (
    "can you tell me about the last three transactions",
    "what were my recent transactions",
    "what did I spend lately",
    "read me the latest activity on my account",
    "what were my last purchases",
    "did my paycheck come in",
    "has my salary been deposited yet",
    "is my deposit there",
    "has a check cleared",
    "which payments went out of my account",
    "what was taken out of my checking",
    "which transactions are pending or posted",
    "go over my statement with me",
    "where has my money gone",
    "list my last payments",
    "what have I paid this month",
    "what has happened on my account",
    "is there anything new on my account",
    "did any money come in",
)
CHARGES = (
    "there is a charge that I don't recognize",
    "there's a charge and I don't know what it is",
    "I see a payment I did not make",
    "somebody charged me and I don't know who",
    "I want to dispute a charge",
    "what is this amount on my statement",
    "there is a strange withdrawal on my account",
    "I think this transaction is fraud",
    "I was charged twice for the same purchase",
    "the store charged me the wrong amount",
    "somebody used my card without permission",
    "I never bought that",
    "someone used my card",
    "there is a charge on my card that I don't know",
    "find a payment of thirty dollars",
    "I have been billed twice",
    "I was charged for nothing",
)
CARDS = (
    "I lost my debit card and I need to block it",
    "my card was stolen",
    "please block my card",
    "I can't find my card",
    "my wallet is gone with my card in it",
    "my purse was stolen",
    "I left my card at a store",
    "deactivate my debit card",
    "put a freeze on my card",
    "the ATM kept my card",
    "I need to report a missing card",
    "my card was taken",
    "stop my card",
    "shut my card off",
    "cancel my debit card",
)
TRANSFERS = (
    "I want to transfer two hundred dollars to my savings account",
    "I'd like to move some money",
    "send money from savings to checking",
    "put fifty dollars into savings",
    "make a transfer between my accounts",
    "move funds over to my other account",
    "take a hundred out of savings and put it in checking",
    "shift money from one account to the other",
    "add fifty to my savings",
)
ON_AN_ACCOUNT = (*BALANCES, *TRANSACTIONS, *CHARGES, *CARDS, *TRANSFERS)
"""Everything for which the bank must know who is calling."""

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

DECLINED = (*FINISHED, "no", "thank you", "I'm good", "done", "later")
"""Where the agent has just asked whether there is anything else."""

WANTS_TO_FINISH = Intent(
    does="finish",
    examples=(*FINISHED, "never mind", "forget it", "I will call back later", "please hang up"),
)

VAGUE = (
    "I have a question about my account",
    "I am calling about my account",
    "I need help with my account",
    "I need help with my card",
    "there is something wrong with my account",
    "I want to check something on my account",
    "I need some information",
)
"""Something about an account, and not yet what."""

HOLD_ON = Intent(
    say="Of course, take your time.",
    examples=("hold on", "hold on a second", "hang on", "wait a moment please", "give me a minute"),
)

ASKS_FOR_HUMAN = (
    "I would like to speak to a real person please",
    "can I talk to a human",
    "put me through to an agent",
    "get me a representative",
    "I want an operator",
    "connect me to somebody who works there",
    "I don't want to talk to a machine",
    "customer service please",
    "is there someone who can help me",
    "let me talk to your manager",
    "transfer me to a colleague",
)

WANTS_HUMAN = Intent(does="talk_to_human", examples=ASKS_FOR_HUMAN)
