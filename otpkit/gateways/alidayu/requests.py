"""Parameters of Alidayu's two calls: pure functions that check and build them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from otpkit import phone as phones
from otpkit.errors import ConfigurationError
from otpkit.gateways.alidayu.errors import (
    ALIDAYU,
    BAD_DATE,
    BAD_PAGING,
    TOO_MANY_NUMBERS,
    business_error,
)
from otpkit.gateways.base import Message
from otpkit.gateways.china_time import recent_day
from otpkit.gateways.records import MAX_PAGE_SIZE, is_page  # The document's tables differ: 100 rows, error 80002: 50.
from otpkit.template import Template

SEND: Final = "sendSms"
QUERY: Final = "querySmsDetail"
MAX_NUMBERS: Final = 200  # numbers in one sendSms


def message_params(message: Message) -> dict[str, str]:
    """Return the parameters that send a message to one number. `extend` is its send id.

    Raises:
        GatewayRejectedError: the number is outside the mainland, category `configuration`.
    """
    number, template = mainland_number(message.phone), message.template
    return _send_params(number, template.code, template.sign_name, message.params, message.send_id)


def send_params(
    numbers: Sequence[str],
    template_code: str,
    sign_name: str,
    params: Mapping[str, str] | None,
    extend: str | None,
) -> dict[str, str]:
    """Return the parameters that send to `numbers`, which come from `read_numbers`.

    Raises:
        ConfigurationError: the template code, the signature or a value is malformed.
    """
    template = Template(template_code, sign_name)  # The constructor checks both.
    for name, value in (params or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            kind = type(value).__name__
            raise ConfigurationError(f"params: the value of {name!r:.60} is a {kind:.40}.", "Pass a str.")
    return _send_params(",".join(numbers), template.code, template.sign_name, params, extend)


def query_params(
    number: str, day: date, page: int = 1, page_size: int = MAX_PAGE_SIZE, biz_id: str | None = None
) -> dict[str, str]:
    """Return the parameters that query one page of records."""
    params = {} if biz_id is None else {"biz_id": biz_id}
    return params | {
        "rec_num": number,
        "query_date": day.strftime("%Y%m%d"),
        "current_page": str(page),
        "page_size": str(page_size),
    }


def mainland_number(phone: str) -> str:
    """Return the 11 digits of an E.164 number, without 0 or +86.

    Raises:
        GatewayRejectedError: the number is outside the mainland, category `configuration`.
    """
    number = phones.mainland_number(phone)
    if number is None:
        problem = "it serves mainland numbers only (+86 and 11 digits)"
        raise ALIDAYU.rejection("configuration", problem, "the operator must route this region to another gateway")
    return number


def read_number(text: str) -> str:
    """Return the 11 digits of a mainland number in any usual format, or raise PhoneError."""
    return mainland_number(phones.parse(text))


def read_numbers(rec_num: str | Sequence[str]) -> list[str]:
    """Return the numbers of a list or of a text with commas, each once, in their order.

    Raises:
        GatewayRejectedError: there is no number, or there are more than 200.
        PhoneError: an entry is not a mainland mobile number.
    """
    numbers = list(dict.fromkeys(map(read_number, rec_num.split(",") if isinstance(rec_num, str) else rec_num)))
    if not numbers:
        raise ALIDAYU.rejection("request", "there is no number", "the developer must pass 1 to 200")
    if len(numbers) > MAX_NUMBERS:
        raise business_error(TOO_MANY_NUMBERS)
    return numbers


def read_day(query_date: date | str) -> date:
    """Return the day in Shanghai if it is one of the last 30 by this host's clock.

    Raises:
        GatewayRejectedError: it is not, code 80001.
    """
    day = recent_day(query_date)
    if day is None:
        raise business_error(BAD_DATE)
    return day


def require_paging(page: object, page_size: object) -> None:
    """Check a page's number and size. Raise GatewayRejectedError, code 80002, if one is out of range."""
    if not is_page(page, page_size):
        raise business_error(BAD_PAGING)


def _send_params(
    rec_num: str, template_code: str, sign_name: str, params: Mapping[str, str] | None, extend: str | None
) -> dict[str, str]:
    fields = {} if extend is None else {"extend": extend}
    fields |= {"sms_type": "normal", "sms_free_sign_name": sign_name}
    if params is not None:
        fields["sms_param"] = json.dumps(dict(params), ensure_ascii=False, separators=(",", ":"))
    return fields | {"rec_num": rec_num, "sms_template_code": template_code}
