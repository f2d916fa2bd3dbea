"""Check replies: what a script can't have said is no answer of its own, such as a proxy's `+OK` or another's reply.

Times are milliseconds. A text is bytes or str, whichever the client decodes to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Arguments: TypeAlias = Sequence[Any]
Check: TypeAlias = Callable[[Any, Arguments], bool]

_MOST = 253_402_300_799_999  # The last millisecond of the year 9999: no time is later, no count is greater.
_INT = {int}
_SCOPES = frozenset({"phone", "ip", "region", "total", "failures"})
_STATES = frozenset("paudf")
_HEX = "0123456789abcdef"
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def fits(check: Check) -> Check:
    """Return a check that also says False to a reply that can't even be taken apart."""

    def checked(reply: Any, arguments: Arguments) -> bool:
        try:
            return check(reply, arguments)
        except _UNREADABLE:
            return False

    return checked


def _numbers(values: Any) -> bool:
    return _INT.issuperset(map(type, values)) and min(values) >= 0 and max(values) <= _MOST


def _text(value: Any) -> str:
    if type(value) is bytes:
        return value.decode("ascii")
    if type(value) is str:
        return value
    raise TypeError


def _is_hex(value: Any, *sizes: int) -> bool:
    return len(value) in sizes and not _text(value).strip(_HEX)


def _is_description(values: Sequence[Any]) -> bool:
    """Whether `describe` in describe.lua gives this."""
    ends, resend, attempts, sends, delivery, generation, fixed, served_by = values
    return (
        _numbers((ends, resend, attempts, sends, fixed))
        and _text(delivery) in _STATES
        and _is_hex(generation, 8)
        and fixed <= 1
        and _text(served_by) is not None
    )


def _is_limited(reply: Sequence[Any]) -> bool:
    _, now, scope, wait, limit, window, *described = reply
    return (
        _numbers((now, wait, limit, window))
        and _text(scope) in _SCOPES
        and window >= 1000
        and limit > 0
        and (not described or _is_description(described))
    )


def _is_before(value: Any) -> bool:
    """Whether reserve.lua gives this of who served the same code last."""
    parts = _text(value).split(" ")
    return parts == [""] or (len(parts) == 3 and parts[1] in _STATES and parts[2].isdigit())


def _is_known(key_id: Any, known: bytes) -> bool:
    """Whether an id in hexadecimal is one of those that the caller named."""
    sought = bytes.fromhex(_text(key_id))
    return not sought or sought in {known[start : start + 4] for start in range(0, len(known), 4)}


def _reserve(reply: Any, arguments: Arguments) -> bool:
    word = _text(reply[0])
    if word == "reserved":
        _, now, nonce, key_id, before, *described = reply
        return (
            _numbers((now,))
            and _is_hex(nonce, 0, 32)
            and _is_hex(key_id, 0, 8)
            and len(nonce) == 4 * len(key_id)
            and _is_known(key_id, arguments[5])
            and _is_before(before)
            and _is_description(described)
        )
    if word == "replayed":
        return _numbers(reply[1:2]) and _is_description(reply[2:])
    if word == "limited":
        return _is_limited(reply)
    return word == "blocked" and len(reply) == 2 and _numbers(reply[1:])


def _verify(reply: Any, _: Arguments) -> bool:
    word = _text(reply[0])
    if word == "proved":
        _, issued, expires, fixed = reply
        return _numbers((issued, expires, fixed)) and issued < expires and fixed <= 1
    if word == "wrong":
        return len(reply) == 2 and _numbers(reply[1:])
    if word == "limited":
        return _is_limited(reply)
    return word in {"none", "blocked"} and len(reply) == 1


def _status(reply: Any, _: Arguments) -> bool:
    if len(reply) == 1:
        return type(reply) is list and _numbers(reply)
    now, live, send_id, sent, *described = reply
    return _numbers((now, live, sent)) and live <= 1 and _is_hex(send_id, 32) and _is_description(described)


def _take(reply: Any, _: Arguments) -> bool:
    return type(reply) is list and len(reply) in {2, 4} and _numbers(reply) and (reply[1] == 0 or len(reply) == 4)


def _resting(reply: Any, arguments: Arguments) -> bool:
    return type(reply) is list and len(reply) == len(arguments) - 1 and {0, 1, 2}.issuperset(reply) and _numbers(reply)


def _word(*words: str) -> Check:
    return lambda reply, _: _text(reply) in words


def _number(most: int = _MOST) -> Check:
    return lambda reply, _: type(reply) is int and 0 <= reply <= most


def _list(*sizes: int) -> Check:
    return lambda reply, _: type(reply) is list and len(reply) in sizes and (not reply or _numbers(reply))


CHECKS: dict[str, Check] = {
    name: fits(check)
    for name, check in {
        "reserve": _reserve,
        "settle": _list(0, 3),
        "undo": _list(2),
        "verify": _verify,
        "unverify": _number(1),
        "redeem": _word("redeemed", "repeated", "expired", "used"),
        "unredeem": _number(1),
        "status": _status,
        "standing": _list(6),
        "revoke": _number(1),
        "unblock": _number(),
        "erase": _number(2),
        "take": _take,
        "give": _number(1),
        "receive": _number(1),
        "resting": _resting,
        "faltered": _number(1),
    }.items()
}
"""Of each script by its name, whether it can have said a reply to its arguments."""
