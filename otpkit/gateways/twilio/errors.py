"""Twilio's documented error codes for messages and calls, each with its remedy.

Twilio sometimes splits a code into several. A code that is not here is handled by the HTTP status only. Codes of 30xxx
come with a message's status, seldom with its creation. Codes of 13xxx and 14xxx belong to the verbs Dial and Sms.

A 429 (20429) is the account's concurrency limit, so it is `quota`: another gateway has its own limit. Only 14107 counts
the messages to one phone. It is `rate_limit`: another gateway must not be used to bypass it. A message that Twilio
blocks as fraud is `number` for the same reason.
"""

from __future__ import annotations

from typing import Final

from otpkit.errors import RejectionCategory
from otpkit.gateways.provider import Doubt, Provider, Refusal, documented

PROVIDER: Final = Provider("twilio", "Twilio")

_DICTIONARY: Final = "https://www.twilio.com/docs/api/errors"

KEYS: Final = "the operator must check account_sid, and auth_token or the API key"
_OWNER: Final = "the account's owner must contact Twilio's support"
_UPGRADE: Final = "the account's owner must upgrade it"
_OTHER: Final = "the person at the form must enter another mobile number"
_SENDER: Final = "the operator must use a sender of the account that can send there"
_SERVICE: Final = "the operator must check the Messaging Service, or name another"
_GEO: Final = "the operator must allow the region in the console's Geo Permissions, or add another gateway for it"
_TEXT: Final = "the developer must change Template.body"
_CALLBACK: Final = "the operator must check status_callback"
_REGISTER: Final = "the account's owner must register the sender with Twilio"
_REPORT: Final = "the developer must report it to otpkit"
_SLOWER: Final = "the operator must have the account's limit raised, or add another gateway"
_ASK: Final = "the operator must look the message up in Twilio's console"
_WAIT: Final = "wait"


def _all(category: RejectionCategory, problem: str, remedy: str) -> Refusal:
    """Return a row for a fault that refuses every message and call."""
    return Refusal(category, problem, remedy, concerns="gateway")


_PARAMETER: Final = Refusal("request", "a parameter is not valid", _REPORT)
_MEDIA: Final = Refusal("request", "a picture is not valid or not accepted", _REPORT)

REFUSALS: Final[dict[str, Refusal]] = documented(
    _DICTIONARY,
    {
        # These codes concern the account.
        "10001": Refusal("account", "the account is not active", _OWNER),
        "10002": Refusal("account", "a trial account can't do this", _UPGRADE),
        "10005": Refusal("account", "the account may not call", _OWNER),
        "20003": Refusal("account", "the keys are not accepted, or the account is suspended", KEYS),
        "20005": Refusal("account", "the account is not active", _OWNER),
        "20006": Refusal("account", "access is denied", KEYS),
        "20008": Refusal("account", "these are test credentials", KEYS),
        "20010": Refusal("account", "the account may not do this", _OWNER),
        "20403": Refusal("account", "access is denied", KEYS),
        "20404": _all("configuration", "there is no such account or service", "the operator must check account_sid"),
        "21470": Refusal("account", "account_sid is not valid", KEYS),
        "21471": Refusal("account", "there is no such account", KEYS),
        "21472": Refusal("account", "the account is not active", _OWNER),
        "30002": Refusal("account", "the account is suspended", _OWNER),
        "30037": Refusal("account", "the account may not send messages", _OWNER),
        "32005": Refusal("account", "the account may not call", _OWNER),
        # These codes concern a trial account and a number that is not verified for it.
        "14111": Refusal("account", "a trial account sends to verified numbers only", _UPGRADE, concerns="message"),
        "21219": Refusal("account", "a trial account calls verified numbers only", _UPGRADE, concerns="message"),
        "21608": Refusal("account", "a trial account sends to verified numbers only", _UPGRADE, concerns="message"),
        # These codes concern quotas and rates.
        "10004": Refusal("quota", "too many calls at once", _SLOWER),
        "14107": Refusal("rate_limit", "too many messages to the phone", _WAIT),
        "20429": Refusal("quota", "too many requests at once", _SLOWER),
        "21611": Refusal("quota", "the sender's queue is full", _SLOWER),
        "22005": Refusal("quota", "the queue of calls is full", _SLOWER),
        "30001": Refusal("quota", "the sender's queue is full", _SLOWER),
        "30017": Refusal("quota", "the carrier is congested", _SLOWER, concerns="message"),
        "30022": Refusal("quota", "the US carriers' limit of the campaign is reached", _SLOWER, concerns="message"),
        "30023": Refusal("quota", "the US carriers' daily limit of the brand is reached", _SLOWER, concerns="message"),
        "30027": Refusal("quota", "a US carrier's daily limit of the brand is reached", _SLOWER, concerns="message"),
        "30454": Refusal("quota", "the account's limit of messages is reached", _SLOWER),
        "63017": Refusal("quota", "too many messages a second", _SLOWER),
        "63018": Refusal("quota", "too many messages a second", _SLOWER),
        "63038": Refusal("quota", "the account's daily limit is reached", _SLOWER),
        # These codes concern the recipient's number.
        **dict.fromkeys(
            ("13223", "14101", "21211", "21217", "21401", "21421", "30014"),
            Refusal("number", "the number is not valid", _OTHER),
        ),
        "13224": Refusal("number", "the number is not valid, or not called by Twilio", _OTHER),
        "13225": Refusal("number", "the number is on Twilio's block list", _OTHER),
        "13226": Refusal("number", "the number's country code is not known", _OTHER),
        "21202": Refusal("number", "the number is a premium number", _OTHER),
        "21214": Refusal("number", "the number can't be reached", _OTHER),
        "21216": Refusal("number", "the number is on Twilio's block list", _OTHER),
        "21265": Refusal("number", "the number is a short code", _OTHER),
        "21266": Refusal("number", "the number is the sender's own", _OTHER),
        "21268": Refusal("number", "the number is a premium number", _OTHER),
        "21610": Refusal("number", "the number does not accept messages (stop list)", _OTHER),
        "21614": Refusal("number", "the number is not a mobile number", _OTHER),
        "21635": Refusal("number", "the number is a landline", _OTHER),
        "30003": Refusal("number", "the phone is off or out of reach", _OTHER),
        "30004": Refusal("number", "the phone does not accept messages", _OTHER),
        "30005": Refusal("number", "the number is not in service", _OTHER),
        "30006": Refusal("number", "the number is a landline, or its carrier can't be reached", _OTHER),
        **dict.fromkeys(("30450", "30453", "30485"), Refusal("number", "Twilio blocks the message as fraud", _OTHER)),
        # These codes concern the number's region.
        **dict.fromkeys(("13227", "21215"), Refusal("configuration", "calls to the region are not allowed", _GEO)),
        "21203": Refusal("configuration", "calls abroad are not allowed", _GEO),
        "21408": Refusal("configuration", "messages to the region are not allowed", _GEO),
        "21612": Refusal("configuration", "the number can't be reached from this sender", _SENDER),
        "32017": Refusal("configuration", "the carrier does not accept calls from this number", _SENDER),
        # These codes concern senders and Messaging Services.
        **dict.fromkeys(
            ("13214", "13247", "14102", "21212"), _all("configuration", "the sender is not valid", _SENDER)
        ),
        **dict.fromkeys(("21210", "21264"), _all("configuration", "the caller's number is not verified", _SENDER)),
        "14108": _all("configuration", "the sender can't send messages", _SENDER),
        "21213": _all("configuration", "there is no caller's number", _SENDER),
        "21267": _all("configuration", "a trial account sends from a number only", _SENDER),
        "21601": _all("configuration", "the sender does not belong to the account", _SENDER),
        "21603": _all("configuration", "there is no sender", _SENDER),
        "21606": Refusal("configuration", "the sender can't send there", _SENDER),
        "21607": _all("configuration", "a trial account sends from its own number", _SENDER),
        "21616": _all("configuration", "the sender is ambiguous", _SENDER),
        "21657": _all("configuration", "the sender id is not valid", _SENDER),
        "21659": Refusal("configuration", "the sender is not a Twilio number, or it is from another country", _SENDER),
        "21660": _all("configuration", "the sender is another account's", _SENDER),
        "21661": _all("configuration", "the sender can't send messages", _SENDER),
        "21701": _all("configuration", "there is no such Messaging Service", _SERVICE),
        "21702": _all("configuration", "the Messaging Service can't be used", _SERVICE),
        "21703": Refusal("configuration", "the Messaging Service has no sender that can send there", _SERVICE),
        "21704": _all("configuration", "the Messaging Service has no sender", _SERVICE),
        "21705": _all("configuration", "the Messaging Service is not valid", _SERVICE),
        "21708": Refusal("request", "the sender id is missing", _SENDER),
        "21709": Refusal("request", "the sender id is not valid, or not the Messaging Service's", _SENDER),
        "21910": Refusal("request", "the sender is of another channel than the number", _SENDER),
        **dict.fromkeys(
            ("30015", "30016"), Refusal("configuration", "the sender is of another channel than the number", _SENDER)
        ),
        # These codes concern the text and its registration.
        **dict.fromkeys(("14103", "21602", "21619"), Refusal("configuration", "there is no text", _TEXT)),
        "21605": Refusal("configuration", "the text is too long", _TEXT),
        "21617": Refusal("configuration", "the text is longer than 1600 characters", _TEXT),
        "21618": Refusal("configuration", "the text can't be sent", _TEXT),
        "30007": Refusal("configuration", "the text was filtered", _TEXT),
        "30019": Refusal("configuration", "the text is too long for the carrier", _TEXT),
        "30038": Refusal("configuration", "the text was filtered: it contains a code", _TEXT),
        "30039": Refusal("configuration", "the text was filtered: two machines answer each other", _TEXT),
        **dict.fromkeys(
            ("21900", "21901"), Refusal("configuration", "the text's registration (DLT) is not valid", _REGISTER)
        ),
        "30010": Refusal("configuration", "the message costs more than allowed", _REPORT),
        **dict.fromkeys(
            ("30018", "30040"), Refusal("configuration", "the carrier accepts registered senders only", _REGISTER)
        ),
        "30044": Refusal("configuration", "a trial account sends shorter texts only", _TEXT),
        "30024": Refusal("configuration", "the carrier does not know the sender", _REGISTER),
        "30032": Refusal("configuration", "the toll-free sender is not verified", _REGISTER),
        "30033": Refusal("configuration", "the campaign is suspended", _REGISTER),
        "30034": Refusal("configuration", "the sender is not registered for the US", _REGISTER),
        "30035": Refusal("configuration", "the sender is still being registered", _REGISTER),
        "30041": Refusal("configuration", "the sender is not registered for the UK", _REGISTER),
        "30042": Refusal("configuration", "the sender id is too general, or has special characters", _REGISTER),
        "30043": Refusal("configuration", "the sender is abroad, and the carrier's route is not", _SENDER),
        # These codes concern the request.
        **dict.fromkeys(
            ("14105", "21205", "21402", "21609", "21626"), _all("configuration", "a URL is not valid", _CALLBACK)
        ),
        **dict.fromkeys(("21201", "21604"), Refusal("request", "there is no number", _REPORT)),
        "20001": Refusal("request", "a parameter is not known", _REPORT),
        **dict.fromkeys(("20004", "20410", "20426"), _all("request", "the call is no longer available", _REPORT)),
        **dict.fromkeys(("20011", "20012"), _all("configuration", "the TLS version is too old", _REPORT)),
        "20413": Refusal("request", "the request is too large", _REPORT),
        **dict.fromkeys(
            (
                *("14104", "20007", "20409", "20422", "20423", "21204", "21206", "21207", "21208", "21209", "21218"),
                *("21220", "21234", "21262", "21263", "21403", "21420", "21624", "21627", "21652", "21653", "21654"),
                *("21655", "21656", "21658", "21902", "30012", "30013", "30028", "30029", "30030", "30031"),
            ),
            _PARAMETER,
        ),
        **dict.fromkeys(("21620", "21621", "21622", "21623", "30011"), _MEDIA),
    },
)

UNCERTAIN: Final[dict[str, Doubt]] = documented(
    _DICTIONARY,
    {
        **dict.fromkeys(("20500", "20504"), Doubt("an error occurred at Twilio", _ASK)),
        "20503": Doubt("the service is not available", _ASK),
        "22001": Doubt("the call timed out", _ASK),
        "30008": Doubt("an unknown error occurred", _ASK),
        **dict.fromkeys(("30020", "30021"), Doubt("an error occurred at Twilio as the message was sent", _ASK)),
        "30036": Doubt("the message was not sent in time", _ASK),
        "30410": Doubt("the carrier did not answer", _ASK),
        "32016": Doubt("the carrier did not answer the call", _ASK),
    },
)
