"""Why Twilio refuses: its documented error codes for messages and calls, and who must do what about each.

Source: https://www.twilio.com/docs/api/errors. Twilio splits codes now and then: one that is not here is judged by the
HTTP status alone. Those of 30xxx come with a message's status, seldom with its creation.

A 429 (20429) is the account's concurrency, so it is `quota`: another gateway has its own. Only 14107 counts what goes
to one phone and is `rate_limit`, which no other gateway must be used to get round.
"""

from __future__ import annotations

from typing import Final

from otpkit.gateways.provider import Provider, Refusal

PROVIDER: Final = Provider("twilio", "Twilio")

_KEYS: Final = "the operator must check account_sid and auth_token"
_OWNER: Final = "the account's owner must contact Twilio's support"
_UPGRADE: Final = "the account's owner must upgrade it"
_OTHER: Final = "the person at the form must give another mobile number"
_SENDER: Final = "the operator must use a sender of the account's that can send there"
_SERVICE: Final = "the operator must mend the Messaging Service, or name another"
_GEO: Final = "the operator must allow the region in the console's Geo Permissions, or have another gateway for it"
_TEXT: Final = "the developer must mend Template.body"
_CALLBACK: Final = "the operator must check status_callback"
_REGISTER: Final = "the account's owner must register the sender with Twilio"
_REPORT: Final = "the developer must report it to otpkit"
_SLOWER: Final = "the operator must have the account's limit raised, or have another gateway"
_WAIT: Final = "wait"

REFUSALS: Final[dict[str, Refusal]] = {
    # The account.
    "10001": Refusal("account", "the account is not active", _OWNER),
    "10002": Refusal("account", "a trial account can't do this", _UPGRADE),
    "20003": Refusal("account", "the keys are not accepted, or the account is suspended", _KEYS),
    "20005": Refusal("account", "the account is not active", _OWNER),
    "20006": Refusal("account", "access is denied", _KEYS),
    "20008": Refusal("account", "these are test credentials", _KEYS),
    "20010": Refusal("account", "the account may not do this", _OWNER),
    "20403": Refusal("account", "access is denied", _KEYS),
    "20404": Refusal("configuration", "there is no such account or service", "the operator must check account_sid"),
    "21210": Refusal("configuration", "the caller's number is not verified", _SENDER),
    "21219": Refusal("account", "a trial account calls verified numbers only", _UPGRADE),
    "21608": Refusal("account", "a trial account sends to verified numbers only", _UPGRADE),
    "30002": Refusal("account", "the account is suspended", _OWNER),
    # How much, and how fast.
    "10004": Refusal("quota", "too many calls at once", _SLOWER),
    "14107": Refusal("rate_limit", "too many messages to the phone", _WAIT),
    "20429": Refusal("quota", "too many requests at once", _SLOWER),
    "21611": Refusal("quota", "the sender's queue is full", _SLOWER),
    "30001": Refusal("quota", "the sender's queue is full", _SLOWER),
    "30022": Refusal("quota", "the carriers' limit of the campaign is reached", _SLOWER),
    "30023": Refusal("quota", "the carriers' daily limit of the brand is reached", _SLOWER),
    "30027": Refusal("quota", "a carrier's daily limit of the brand is reached", _SLOWER),
    "63017": Refusal("quota", "too many messages a second", _SLOWER),
    "63038": Refusal("quota", "the account's daily limit is reached", _SLOWER),
    # The number.
    "13224": Refusal("number", "the number is not valid, or not called by Twilio", _OTHER),
    "21202": Refusal("number", "the number is a premium one", _OTHER),
    "21211": Refusal("number", "the number is not valid", _OTHER),
    "21214": Refusal("number", "the number can't be reached", _OTHER),
    "21216": Refusal("number", "the number is on Twilio's block list", _OTHER),
    "21217": Refusal("number", "the number is not valid", _OTHER),
    "21265": Refusal("number", "the number is a short code", _OTHER),
    "21266": Refusal("number", "the number is the sender's own", _OTHER),
    "21401": Refusal("number", "the number is not valid", _OTHER),
    "21610": Refusal("number", "the number takes no messages (stop list)", _OTHER),
    "21612": Refusal("number", "the number can't be reached from this sender", _OTHER),
    "21614": Refusal("number", "the number is no mobile one", _OTHER),
    "21635": Refusal("number", "the number is a landline", _OTHER),
    "30003": Refusal("number", "the phone is off or out of reach", _OTHER),
    "30004": Refusal("number", "the phone takes no messages", _OTHER),
    "30005": Refusal("number", "the number is not in service", _OTHER),
    "30006": Refusal("number", "the number is a landline, or its carrier can't be reached", _OTHER),
    # Regions, senders, services and texts.
    "13227": Refusal("configuration", "calls to the region are not allowed", _GEO),
    "21203": Refusal("configuration", "calls abroad are not allowed", _GEO),
    "21215": Refusal("configuration", "calls to the region are not allowed", _GEO),
    "21408": Refusal("configuration", "messages to the region are not allowed", _GEO),
    "21212": Refusal("configuration", "the sender is not valid", _SENDER),
    "21213": Refusal("configuration", "there is no caller's number", _SENDER),
    "21601": Refusal("configuration", "the sender is none of the account's", _SENDER),
    "21603": Refusal("configuration", "there is no sender", _SENDER),
    "21606": Refusal("configuration", "the sender can't send there", _SENDER),
    "21607": Refusal("configuration", "a trial account sends from its own number", _SENDER),
    "21616": Refusal("configuration", "the sender is ambiguous", _SENDER),
    "21657": Refusal("configuration", "the sender id is not valid", _SENDER),
    "21659": Refusal("configuration", "the sender is no number of Twilio's", _SENDER),
    "21660": Refusal("configuration", "the sender is another account's", _SENDER),
    "21661": Refusal("configuration", "the sender can't send messages", _SENDER),
    "21701": Refusal("configuration", "there is no such Messaging Service", _SERVICE),
    "21702": Refusal("configuration", "the Messaging Service can't be used", _SERVICE),
    "21703": Refusal("configuration", "the Messaging Service has no sender that can send there", _SERVICE),
    "21704": Refusal("configuration", "the Messaging Service has no sender", _SERVICE),
    "21705": Refusal("configuration", "the Messaging Service is not valid", _SERVICE),
    "21609": Refusal("configuration", "the callback's URL is not valid", _CALLBACK),
    "21602": Refusal("configuration", "there is no text", _TEXT),
    "21605": Refusal("configuration", "the text is too long", _TEXT),
    "21617": Refusal("configuration", "the text is longer than 1600 characters", _TEXT),
    "21618": Refusal("configuration", "the text can't be sent", _TEXT),
    "21901": Refusal("configuration", "the text's registration (DLT) is not valid", _REGISTER),
    "30007": Refusal("configuration", "the text was filtered", _TEXT),
    "30018": Refusal("configuration", "the carrier knows registered senders only", _REGISTER),
    "30024": Refusal("configuration", "the carrier does not know the sender", _REGISTER),
    "30032": Refusal("configuration", "the toll-free sender is not verified", _REGISTER),
    "30033": Refusal("configuration", "the campaign is suspended", _REGISTER),
    "30034": Refusal("configuration", "the sender is not registered for the US", _REGISTER),
    "30035": Refusal("configuration", "the sender is still being registered", _REGISTER),
    # The request.
    "20001": Refusal("request", "a parameter is unknown", _REPORT),
    "20422": Refusal("request", "a parameter is not valid", _REPORT),
    "21201": Refusal("request", "there is no number", _REPORT),
    "21205": Refusal("request", "a URL is not valid", _CALLBACK),
    "21604": Refusal("request", "there is no number", _REPORT),
}
