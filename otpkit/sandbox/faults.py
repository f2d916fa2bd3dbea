"""The faults that the sandbox can play, and the phone numbers that always play them.

Faults are played on valid calls only. An invalid call gets its error and uses up no fault. A queued fault comes before
a phone number's own. A call has one answer, so the first of its phones with a fault decides for the whole call; each
message has its own receipt.

Phone numbers with a fault of their own, for the calls that send:

    139000CCCCC    rejected with the code CCCCC, which must not begin with 0: 13900050001, 13900099998;
                   the other providers use their own code of the same meaning; Twilio's codes work too: 13900021610
    139001000NN    NN below; the last digit is 1 if the message is sent, 0 if not
        10, 11     HTTP 500
        20         throttled before the call is reached: HTTP 403; Dysmsapi and Dyvmsapi 400; Twilio 429;
                   Tencent Cloud "RequestLimitExceeded"
        30, 31     `success: false` with the code "0"; Dysmsapi and Dyvmsapi "isp.SYSTEM_ERROR"; Tencent Cloud
                   "InternalError.OtherError"; Twilio HTTP 503
        40, 41     the connection is dropped after the request was read
        50, 51     half an answer, then the connection is closed
        60, 61     an answer that is not JSON
        71         accepted; the receipt reports a failure
        72         accepted; the receipt is pushed twice
        81         accepted; the receipt never comes
        82         accepted; the receipt comes 5 s late
        90         accepted; nothing is ever sent
    139001001SS    the answer comes after SS seconds; sent
    139001200SS    a voice call ends in the state 2000SS: 13900120002 is busy

139002CCCCC, 139003000NN (10 to 61) and 139003001SS do the same to the calls that query. Messages to these numbers have
no fault.

No I/O and no lock: the sandbox holds the lock.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

from otpkit.errors import ConfigurationError, Language
from otpkit.languages import DEFAULT, texts
from otpkit.sandbox.calls import APIS, CALLS, HEARD, PROVIDERS, Api, calls_of
from otpkit.sandbox.phones import subscriber

FaultName = Literal[
    "reject",
    "http_500",
    "throttled",
    "success_false",
    "drop",
    "half",
    "not_json",
    "late",
    "receipt_failed",
    "receipt_never",
    "receipt_twice",
    "receipt_late",
    "lost",
]

# True if the message counts as sent. `Fault.sent` overrides it.
SENT_BY_DEFAULT: Final[Mapping[FaultName, bool]] = {
    "reject": False,
    "http_500": False,
    "throttled": False,
    "success_false": True,
    "drop": True,
    "half": True,
    "not_json": True,
    "late": True,
    "receipt_failed": True,
    "receipt_never": True,
    "receipt_twice": True,
    "receipt_late": True,
    "lost": False,
}

RECEIPT_FAULTS: Final[frozenset[FaultName]] = frozenset(
    {"receipt_failed", "receipt_never", "receipt_twice", "receipt_late"}
)
SEND_ONLY: Final[frozenset[FaultName]] = RECEIPT_FAULTS | {"lost"}

MAX_TIMES: Final = 10_000  # calls
MAX_DELAY: Final = 600  # s
LATE_DELAY: Final = 5.0  # s; longer than the timeout of a patient client
_LATE: Final[frozenset[FaultName]] = frozenset({"late", "receipt_late"})
_CODE: Final = re.compile(r"[0-9A-Za-z._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault for the next `times` calls.

    Args:
        fault: the fault's name.
        times: the number of calls to play it on, 1 to 10,000.
        api: limit it to this call; None is any call of a gateway. A call of a captcha must be named.
        phone: limit it to this number, in any usual spelling; None is any number.
        delay: seconds to hold the answer back, 0 to 600. For `receipt_late`, it holds the receipt back instead.
            None is 5 s for `late` and `receipt_late`, else 0.
        code: the code that `reject` answers, or that the receipt of `receipt_failed` reports.
        sent: True if the message counts as sent, or the captcha's answer as used; None uses `SENT_BY_DEFAULT`.

    Raises:
        ConfigurationError: an unknown name, or a value out of range.
    """

    fault: FaultName
    times: int = 1
    api: Api | None = None
    phone: str | None = None
    delay: float | None = None
    code: str | None = None
    sent: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.fault, str) or self.fault not in SENT_BY_DEFAULT:
            raise ConfigurationError(f"Unknown fault {self.fault!r:.40}.", f"Use one of {', '.join(SENT_BY_DEFAULT)}.")
        _check_scope(self)
        _check_numbers(self)
        if self.sent is not None and not isinstance(self.sent, bool):
            raise ConfigurationError(f"'sent' is {self.sent!r:.40}.", "Send true or false.")
        self._fill_in()

    def _fill_in(self) -> None:
        resolved = {
            "phone": None if self.phone is None else subscriber(self.phone),
            "delay": _default_delay(self.fault) if self.delay is None else float(self.delay),
            "code": _default_code(self.api) if self.fault == "reject" and self.code is None else self.code,
            "sent": SENT_BY_DEFAULT[self.fault] if self.sent is None else self.sent,
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)

    def concerns(self, api: Api, phones: tuple[str, ...]) -> bool:
        """Return True if the fault applies to a call of `api` to `phones`."""
        if not CALLS[api].sends and self.fault in SEND_ONLY:
            return False
        if CALLS[api].is_captcha and self.api is None:
            return False  # A fault for any call is for the gateway's: a captcha is verified before its send.
        return self.api in {None, api} and (self.phone is None or self.phone in phones)

    @property
    def answer_delay(self) -> float:
        """Seconds to hold the answer back."""
        return 0.0 if self.fault == "receipt_late" else self.delay or 0.0

    @property
    def receipt_delay(self) -> float:
        """Seconds to hold the receipt back."""
        return self.delay or 0.0 if self.fault == "receipt_late" else 0.0

    @property
    def in_words(self) -> str:
        """The fault described in English."""
        return self.described(DEFAULT)

    def described(self, language: Language) -> str:
        """Return the fault described for people, in one of `otpkit.languages.languages()`."""
        t = texts(language)["inbox"]
        words: str = t["faults"][self.fault]
        if self.fault not in SEND_ONLY:
            words += t["fault"]["sent" if self.sent else "not_sent"]
        if self.code:
            words += t["fault"]["code"].format(code=self.code)
        return words + (t["fault"]["delay"].format(seconds=f"{self.delay:g}") if self.delay else "")


FIELDS: Final = tuple(field.name for field in fields(Fault))


def fault_from_json(data: object) -> Fault:
    """Build a fault from a decoded JSON object.

    Raises:
        ConfigurationError: not an object, or an unknown field, or a wrong value.
    """
    if not isinstance(data, dict):
        raise ConfigurationError("A fault must be a JSON object.", 'Send one like {"fault": "reject"}.')
    unknown = sorted(set(data) - set(FIELDS))
    if unknown:
        raise ConfigurationError(f"Unknown field {unknown[0]!r:.40}.", f"Use one of {', '.join(FIELDS)}.")
    if "fault" not in data:
        raise ConfigurationError("'fault' is missing.", f"Use one of {', '.join(SENT_BY_DEFAULT)}.")
    return Fault(**data)


def _default_delay(fault: FaultName) -> float:
    return LATE_DELAY if fault in _LATE else 0.0


def _default_code(api: Api | None) -> str:
    return PROVIDERS["alidayu" if api is None else CALLS[api].provider].rejection


def _check_scope(fault: Fault) -> None:
    if fault.api is not None and fault.api not in APIS:
        raise ConfigurationError(f"Unknown api {fault.api!r:.40}.", f"Use one of {', '.join(APIS)}, or null for any.")
    if fault.api is not None and not CALLS[fault.api].sends and fault.fault in SEND_ONLY:
        sending = [api for api in calls_of(CALLS[fault.api].provider) if CALLS[api].sends]
        raise ConfigurationError(
            f"{fault.fault!r} only applies to {', '.join(sending)}.", "Set 'api' to one of these, or to null."
        )
    if fault.api is not None and CALLS[fault.api].is_captcha and fault.phone is not None:
        raise ConfigurationError(f"{fault.api!r} has no phone number.", "Leave 'phone' out.")
    if fault.code is None:
        return
    if fault.fault not in {"reject", "receipt_failed"}:
        raise ConfigurationError(
            f"'code' only applies to 'reject' and 'receipt_failed', not to {fault.fault!r}.", "Leave it out."
        )
    if not isinstance(fault.code, str) or not _CODE.fullmatch(fault.code):
        raise ConfigurationError(f"'code' is {fault.code!r:.40}.", "Send a string such as '50001'.")


def _check_numbers(fault: Fault) -> None:
    times, delay = fault.times, fault.delay
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= MAX_TIMES:
        raise ConfigurationError(f"'times' is {times!r:.40}.", f"Send a whole number from 1 to {MAX_TIMES}.")
    if delay is None:
        return
    if (
        isinstance(delay, bool)
        or not isinstance(delay, int | float)
        or math.isnan(delay)
        or not 0 <= delay <= MAX_DELAY
    ):
        raise ConfigurationError(f"'delay' is {delay!r:.40}.", f"Send a number of seconds from 0 to {MAX_DELAY}.")


# The first six digits of a number: those that reject with a code, then those that take the endings below.
SENDING: Final = ("139000", "139001")
QUERYING: Final = ("139002", "139003")

# The last digit is 1 if the message is sent. The value is (fault, sent).
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
LATE: Final = "001"  # two digits follow: seconds
STATE: Final = "200"  # two digits follow: the last two of a call's state


def magic_fault(api: Api, phone: str) -> Fault | None:
    """Return the fault that a phone number always plays, or None for an ordinary number."""
    call = CALLS[api]
    rejected, special = SENDING if call.sends else QUERYING
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


def magic_table(language: Language = DEFAULT) -> Iterator[tuple[str, str]]:
    """Yield (number, description) of the calls that send, for people to read."""
    t = texts(language)["inbox"]["fault"]
    rejected, special = SENDING
    yield rejected + "CCCCC", t["rejected"]
    for ending, (name, sent) in ENDINGS.items():
        yield special + ending, Fault(name, sent=sent).described(language)
    yield special + LATE + "SS", t["late"]
    yield special + STATE + "SS", t["state"]


def _state_fault(state: str) -> Fault | None:
    return None if state == HEARD else Fault("receipt_failed", code=state)


MAX_FAULTS: Final = 1_000  # faults queued at the same time


class FaultQueue:
    """A queue of faults. Each is played on the first calls it applies to, `times` times."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault to the queue.

        Raises:
            ConfigurationError: the queue is full.
        """
        if len(self._faults) >= MAX_FAULTS:
            raise ConfigurationError(f"{MAX_FAULTS} faults are queued already.", "Delete the queued faults first.")
        self._faults.append(fault)

    def take(self, api: Api, phones: tuple[str, ...]) -> Fault | None:
        """Remove and return the fault that a call must play, or None."""
        for place, fault in enumerate(self._faults):
            if fault.concerns(api, phones):
                self._spend(place)
                return fault
        return None

    def _spend(self, place: int) -> None:
        fault = self._faults[place]
        if fault.times > 1:
            self._faults[place] = replace(fault, times=fault.times - 1)
        else:
            del self._faults[place]

    def waiting(self) -> list[Fault]:
        """Return the faults that are left, the next one first."""
        return list(self._faults)
