"""The bodies of hooks' requests: what each system sends, read into one shape.

The fields are those of the systems' own sources: `SendSMSInput` of supabase/auth, `httpDataModel` and the SMS templates
of ory/kratos, `connector-http-sms` of Logto, and `send_generic` of authentik. Fields that are not named here are not
read: systems add others from version to version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from otpkit.service.parsing import invalid
from otpkit.service.responses import Refused, refused

_CODE: Final = re.compile(r"[0-9A-Za-z]{4,10}")
_DIGITS: Final = re.compile(r"[0-9]+")
_MOST_MINUTES: Final = 1440
_NO_CODE: Final = "It must be a code of 4 to 10 digits or letters."


class Asked(NamedTuple):
    """A message that a system asks for.

    `kind` is the system's word for the kind of the message, `minutes` the life of its code, `ip` what should be the
    visitor's address; "", None and "" if the system does not say so.
    """

    phone: str
    code: str
    kind: str = ""
    minutes: int | None = None
    ip: str = ""


def read_asked(body: bytes, format: str) -> Asked:  # noqa: A002 - It is the name of the setting.
    """Return the message that a body asks for.

    Args:
        body: the body.
        format: the system that sent it.

    Raises:
        Refused: it is not JSON, or a field is missing or wrong. No error repeats what the body has.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise refused(400, "invalid_json", "Not JSON", "The body is not a JSON object in UTF-8.")
    return _READERS[format](_Fields(found))


class _Fields:
    """The fields of a body. A field of another type than expected counts as an error, a missing one does not."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = table

    def table(self, *path: str) -> Mapping[str, Any]:
        """Return an object of the body, empty if it is missing."""
        found = self._find(path)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise _wrong(path, "It must be an object.")
        return found

    def text(self, *path: str) -> str:
        """Return a text of the body, "" if it is missing."""
        found = self._find(path)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise _wrong(path, "It must be a text.")
        return found

    def phone(self, *path: str, is_international: bool = False) -> str:
        """Return a phone. A number that `is_international` may lack its plus."""
        found = self.text(*path)
        if not found:
            raise _wrong(path, "It must be a phone number.")
        return f"+{found}" if is_international and _DIGITS.fullmatch(found) else found

    def code(self, *path: str) -> str:
        """Return a code."""
        found = self.text(*path)
        if not _CODE.fullmatch(found):
            raise _wrong(path, _NO_CODE)
        return found

    def minutes(self, *path: str) -> int | None:
        """Return a number of minutes, None if it is missing."""
        found = self._find(path)
        if found is not None and (type(found) is not int or not 1 <= found <= _MOST_MINUTES):
            raise _wrong(path, f"It must be a whole number from 1 to {_MOST_MINUTES}.")
        return found

    def _find(self, path: tuple[str, ...]) -> Any:
        found: Any = self._table
        for name in path:
            if not isinstance(found, dict):
                return None
            found = found.get(name)
        return found


def _wrong(path: tuple[str, ...], problem: str) -> Refused:
    """Return the refusal of a field."""
    return invalid("/".join(("#", *path)), f"{'.'.join(path)}: {problem}")


def _generic(fields: _Fields) -> Asked:
    return Asked(
        fields.phone("phone"),
        fields.code("code"),
        fields.text("template"),
        fields.minutes("minutes"),
        fields.text("ip"),
    )


def _supabase(fields: _Fields) -> Asked:
    # A new number is confirmed at `sms.phone`, while `user.phone` is still the old one. Phones have no plus.
    place = ("sms", "phone") if fields.text("sms", "phone") else ("user", "phone")
    return Asked(
        fields.phone(*place, is_international=True),
        fields.code("sms", "otp"),
        fields.text("sms", "sms_type"),
        ip=fields.text("metadata", "ip_address"),
    )


def _kratos(fields: _Fields) -> Asked:
    data = fields.table("template_data")
    # The field is named after the flow, such as `login_code`. A message without a code has none.
    code = next((data[each] for each in sorted(data) if each.endswith("_code")), None)
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise _wrong(("template_data", "*_code"), _NO_CODE)  # The name is the client's, and is not repeated.
    minutes = data.get("expires_in_minutes")
    is_known = type(minutes) is int and 1 <= minutes <= _MOST_MINUTES
    return Asked(
        fields.phone("recipient"),
        code,
        fields.text("template_type"),
        minutes if is_known else None,
    )


def _logto(fields: _Fields) -> Asked:
    return Asked(
        fields.phone("to", is_international=True),
        fields.code("payload", "code"),
        fields.text("type"),
        ip=fields.text("ip"),
    )


def _authentik(fields: _Fields) -> Asked:
    return Asked(fields.phone("To"), fields.code("Body"))


_READERS: Final[Mapping[str, Callable[[_Fields], Asked]]] = {
    "generic": _generic,
    "supabase": _supabase,
    "kratos": _kratos,
    "logto": _logto,
    "authentik": _authentik,
}
