"""The parameters of Aliyun's voice API, and parsing of its records and of the receipts that it pushes."""

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

TTS_CALLS: Final = 11010000138001  # ProdId of SingleCallByTts
FILE_CALLS: Final = 11000000300006  # ProdId of SingleCallByVoice
MAX_OUT_ID: Final = 15  # bytes

HEARD: Final = "200000"
# 200101 is calling, 200102 answered, 200103 talking, 200201 ringing. 300000 means that the user pressed a key.
UNDER_WAY: Final = frozenset({"200101", "200102", "200103", "200201", "300000"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetail:
    """One call in the records of `QueryCallDetailByCallId`. Its repr hides the numbers.

    Args:
        caller: the number of the caller.
        callee: the number of the person called.
        caller_show_number: the number that the caller sees.
        callee_show_number: the number that the person called sees.
        state: the call's status code, like `200000` (played to its end); "" if there is none yet.
        duration: the length of the call in seconds.
        created_at: the time of the request, an aware datetime in UTC+8, or None.
        started_at: the start of the call, an aware datetime in UTC+8, or None.
        ended_at: the end of the call, an aware datetime in UTC+8, or None.
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
    """Settings of a call: the number shown to the user, repeats, volume (0 to 100) and speed (-500 to 500)."""

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
        """Return the parameters of these settings. For a setting that is None, Aliyun's default applies."""
        given = {
            "CalledShowNumber": self.called_show_number,
            "PlayTimes": self.play_times,
            "Volume": self.volume,
            "Speed": self.speed,
        }
        return {name: str(value) for name, value in given.items() if value is not None}


def tts_params(number: str, tts_code: str, params: Mapping[str, str] | None, out_id: str | None) -> dict[str, str]:
    """Return the parameters of SingleCallByTts for the number, the template, its variables and the out id.

    Raises:
        ConfigurationError: an id or a value is malformed.
    """
    fields = {"CalledNumber": number, "TtsCode": word("tts_code", tts_code)} | out_id_param(out_id)
    if params is None:
        return fields
    for name, value in params.items():
        if not isinstance(name, str) or not isinstance(value, str):
            kind = type(value).__name__
            raise ConfigurationError(f"params: the value of {name!r:.60} is a {kind:.40}.", "Pass a str.")
        if not _is_whole(name + value):
            raise ConfigurationError(f"params: {name!r:.60} or its value contains a lone surrogate.", "Remove it.")
    return fields | {"TtsParam": json.dumps(dict(params), ensure_ascii=False, separators=(",", ":"))}


def out_id_param(out_id: str | None) -> dict[str, str]:
    """Return the parameter that receipts return, 1 to 15 bytes; an empty dict for None."""
    if out_id is None:
        return {}
    if not isinstance(out_id, str) or not _is_whole(out_id) or not 1 <= len(out_id.encode()) <= MAX_OUT_ID:
        raise ConfigurationError("out_id is not a text of 1 to 15 bytes.", "Shorten it, or omit it.")
    return {"OutId": out_id}


def word(name: str, value: object) -> str:
    """Return an id from the console if it is a printable text. Errors name it `name`."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigurationError(f"{name} is empty or not a text.", "Copy it from the console.")
    return value


def show_number(name: str, value: object) -> str:
    """Return a number to show if it consists of 3 to 20 digits. Errors name it `name`."""
    _check_number(name, value, required=True)
    return str(value)


def day_begins(day: date) -> int:
    """Return the start of a day in Shanghai, in milliseconds since the epoch.

    As `QueryDate` it selects that day by both of Aliyun's descriptions: the day that contains the moment, and the 24
    hours after it.
    """
    return int(datetime.combine(day, time(), SHANGHAI).timestamp()) * 1000


def read_call(body: Mapping[str, Any]) -> CallDetail | None:
    """Return the call in an answer to QueryCallDetailByCallId, or None without a record. `Data` is a JSON text."""
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
    """Return the delivery of a call's record. A call that was played to its end is delivered."""
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
    """Return the delivery state for a call's status code."""
    if not code or code in UNDER_WAY:
        return "pending"
    return "delivered" if code == HEARD else "failed"


def read_call_receipts(push: Push) -> Receipts:
    """Return the receipts in a VoiceReport, the JSON array that Aliyun pushes after calls end."""
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
        raise ConfigurationError(f"{name} is not 3 to 20 digits.", "Copy it from the console's list of numbers.")
