"""The phone numbers that play a fault by themselves; `faults` has the table in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from otpkit.sandbox.calls import CALLS, Api
from otpkit.sandbox.faults import SEND_ONLY, Fault, FaultName

# The six digits before a code to reject with, and the six before the endings below.
SENDING: Final = ("139000", "139001")
ASKING: Final = ("139002", "139003")

# The last digit says whether the message is sent.
ENDINGS: Final[Mapping[str, tuple[FaultName, bool]]] = {
    "00010": ("http_500", False),
    "00011": ("http_500", True),
    "00020": ("throttled", False),
    "00030": ("success_false", False),
    "00031": ("success_false", True),
    "00040": ("drop", False),
    "00041": ("drop", True),
    "00050": ("half", False),
    "00051": ("half", True),
    "00060": ("not_json", False),
    "00061": ("not_json", True),
    "00071": ("receipt_failed", True),
    "00072": ("receipt_twice", True),
    "00081": ("receipt_never", True),
    "00082": ("receipt_late", True),
    "00090": ("lost", False),
}
LATE: Final = "001"  # followed by two digits: seconds
STATE: Final = "200"  # followed by the last two digits of a call's state
HEARD: Final = "200000"  # the state of a call that was listened to


def magic_fault(api: Api, phone: str) -> Fault | None:
    """Return the fault that a phone number of 11 digits asks for by itself, or None for an ordinary one."""
    call = CALLS[api]
    rejected, special = SENDING if call.sends else ASKING
    prefix, ending = phone[:6], phone[6:]
    if prefix == rejected and ending[0] != "0":
        return Fault("reject", code=ending)
    if prefix != special:
        return None
    if ending.startswith(LATE):
        return Fault("late", delay=float(ending[-2:]))
    if ending.startswith(STATE) and call.sends and call.channel == "voice":
        return _state_fault(f"2000{ending[-2:]}")
    name, sent = ENDINGS.get(ending, (None, False))
    if name is None or (not call.sends and name in SEND_ONLY):
        return None
    return Fault(name, sent=sent)


def magic_table() -> Iterator[tuple[str, str]]:
    """Yield each number of the calls that send with what it does, for people to read."""
    rejected, special = SENDING
    yield rejected + "CCCCC", "rejected with that code (13900050001: 50001)"
    for ending, (name, sent) in ENDINGS.items():
        yield special + ending, Fault(name, sent=sent).in_words
    yield special + LATE + "SS", "the answer comes after SS seconds; sent"
    yield special + STATE + "SS", "a voice call ends in the state 2000SS (13900120002: busy)"


def _state_fault(state: str) -> Fault | None:
    return None if state == HEARD else Fault("receipt_failed", code=state)
