"""What Aliyun's voice API is asked and what it tells of calls: parameters, records, and the receipts that it pushes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, Final, Literal

from otpkit.core.checks import Checks
from otpkit.errors import ConfigurationError
from otpkit.gateways.aliyun.errors import VOICE
from otpkit.gateways.aliyun.phones import pushed_phone
from otpkit.gateways.aliyun.responses import in_utc, receipts_of
from otpkit.gateways.base import Delivery, Push, Receipts
from otpkit.gateways.china_time import SHANGHAI, read_moment
from otpkit.gateways.provider import count, message_id, read_json, text_of, token

TTS_CALLS: Final = 11010000138001  # the ProdId of SingleCallByTts
FILE_CALLS: Final = 11000000300006  # the ProdId of SingleCallByVoice
MAX_OUT_ID: Final = 15  # bytes

HEARD: Final = "200000"
# 200101 calling, 200102 answered, 200103 talking, 200201 ringing; 300000 is a key that was pressed meanwhile.
UNDER_WAY: Final = frozenset({"200101", "200102", "200103", "200201", "300000"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetail:
    """One call as `QueryCallDetailByCallId` records it. Its repr hides the numbers.

    `state` is the call's status code, like `200000` (heard to its end), or "" while there is none; `duration` is in
    seconds; the times are aware, at UTC+8, or None.
    """

    caller: str = field(repr=False)
    callee: str = field(repr=False)
    caller_show_number: str = field(repr=False)
    callee_show_number: str = field(repr=False)
    state: str
    duration: int
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Playing:
    """How a call plays: what the person sees as caller, how often, how loud (0 to 100) and how fast (-500 to 500)."""

    called_show_number: str | None = field(default=None, repr=False)
    play_times: int | None = None
    volume: int | None = None
    speed: int | None = None

    def __post_init__(self) -> None:
        with Checks() as checks:
            checks.value("called_show_number", _check_number, self.called_show_number)
            checks.of("play_times", _check_range, "play_times", self.play_times, 1, 3)
            checks.of("volume", _check_range, "volume", self.volume, 0, 100)
            checks.of("speed", _check_range, "speed", self.speed, -500, 500)

    def params(self) -> dict[str, str]:
        """Return the parameters that say so; what is None is left to Aliyun."""
        given = {
            "CalledShowNumber": self.called_show_number,
            "PlayTimes": self.play_times,
            "Volume": self.volume,
            "Speed": self.speed,
        }
        return {name: str(value) for name, value in given.items() if value is not None}


def tts_params(number: str, tts_code: str, params: Mapping[str, str] | None, out_id: str | None) -> dict[str, str]:
    """Return the parameters of SingleCallByTts that say what is read to whom.

    Raises ConfigurationError for a malformed id or value.
    """
    fields = {"CalledNumber": number, "TtsCode": word("tts_code", tts_code)} | out_id_param(out_id)
    if params is None:
        return fields
    for name, value in params.items():
        if not isinstance(name, str) or not isinstance(value, str):
            kind = type(value).__name__
            raise ConfigurationError(f"params: the value of {name!r:.60} is a {kind:.40}.", "Pass a str.")
        if not _is_whole(name + value):
            raise ConfigurationError(f"params: {name!r:.60} or its value holds half a surrogate pair.", "Remove it.")
    return fields | {"TtsParam": json.dumps(dict(params), ensure_ascii=False, separators=(",", ":"))}


def out_id_param(out_id: str | None) -> dict[str, str]:
    """Return the parameter that comes back in receipts, at most 15 bytes; none for None."""
    if out_id is None:
        return {}
    if not isinstance(out_id, str) or not _is_whole(out_id) or not 1 <= len(out_id.encode()) <= MAX_OUT_ID:
        raise ConfigurationError("out_id is no text of 1 to 15 bytes.", "Shorten it, or leave it out.")
    return {"OutId": out_id}


def word(name: str, value: object) -> str:
    """Return an id of the console's, once it is a text; errors call it `name`."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigurationError(f"{name} is empty or no text.", "Copy it from the console.")
    return value


def show_number(name: str, value: object) -> str:
    """Return a number to show, once it is one; errors call it `name`."""
    _check_number(name, value, required=True)
    return str(value)


def day_begins(day: date) -> int:
    """Return when a day begins in Shanghai, in milliseconds since the epoch.

    As `QueryDate` it asks for that day, whether the API looks at the day of that moment or, as it says elsewhere, at
    the 24 hours after it.
    """
    return int(datetime.combine(day, time(), SHANGHAI).timestamp()) * 1000


def read_call(body: Mapping[str, Any]) -> CallDetail | None:
    """Read the answer to QueryCallDetailByCallId, once its code is OK; `Data` is JSON in a text. None: no record."""
    data = body.get("Data")
    row = read_json(data) if isinstance(data, str) else data
    if not isinstance(row, dict) or not row:
        return None
    return CallDetail(
        caller=text_of(row.get("caller")),
        callee=text_of(row.get("callee")),
        caller_show_number=text_of(row.get("callerShowNumber")),
        callee_show_number=text_of(row.get("calleeShowNumber")),
        state=token(row.get("state")),
        duration=count(row.get("duration")),
        created_at=read_moment(text_of(row.get("gmtCreate"))),
        started_at=read_moment(text_of(row.get("startDate"))),
        ended_at=read_moment(text_of(row.get("endDate"))),
    )


def read_call_delivery(call: CallDetail) -> Delivery:
    """Turn a record into what became of the call: delivered is one that was heard to its end."""
    state = state_of(call.state)
    settled = state != "pending"
    return Delivery(
        state=state,
        gateway=VOICE.name,
        result_code=call.state if settled else "",
        sent_at=in_utc(call.created_at),
        received_at=in_utc(call.ended_at) if settled else None,
    )


def state_of(code: str) -> Literal["pending", "delivered", "failed"]:
    """Return what a call's status code says of its message."""
    if not code or code in UNDER_WAY:
        return "pending"
    return "delivered" if code == HEARD else "failed"


def read_call_receipts(push: Push) -> Receipts:
    """Read a VoiceReport, the JSON array that Aliyun pushes when calls have ended."""
    return receipts_of(push, _pushed)


def _pushed(row: dict[str, Any]) -> Delivery | None:
    code, phone = token(row.get("status_code")), pushed_phone(text_of(row.get("callee")))
    state, call_id = state_of(code), message_id(row.get("call_id"))
    if state == "pending" or not phone or not call_id:
        return None
    return Delivery(
        state=state,
        gateway=VOICE.name,
        result_code=code,
        sent_at=in_utc(read_moment(text_of(row.get("originate_time")))),
        received_at=in_utc(read_moment(text_of(row.get("end_time")))),
        phone=phone,
        send_id=message_id(row.get("out_id")),
        message_id=call_id,
    )


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_range(name: str, value: object, least: int, most: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationError(f"{name} is {value!r:.20}.", f"Pass a whole number from {least} to {most}.")


def _check_number(name: str, value: object, *, required: bool = False) -> None:
    if value is None and not required:
        return
    if not isinstance(value, str) or not (value.isascii() and value.isdigit() and 3 <= len(value) <= 20):
        raise ConfigurationError(f"{name} is no number of digits alone.", "Copy it from the console's list of numbers.")
