"""Check replies: what a script can't have said is no answer of its own, such as a proxy's `+OK` or another's reply.

Every reply is checked, so this is written for speed: a value of another kind fails in a comparison, which says False.
Times are milliseconds. A text is bytes or str, whichever the client decodes to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Arguments: TypeAlias = Sequence[Any]
Check: TypeAlias = Callable[[Any, Arguments], bool]

_MOST = 253_402_300_799_999  # The last millisecond of the year 9999: no time is later, no count is greater.
_HEX: dict[type, Any] = {bytes: b"0123456789abcdef", str: "0123456789abcdef"}
_STATES: dict[type, Any] = {bytes: frozenset({b"p", b"a", b"u", b"d", b"f"}), str: frozenset("paudf")}
_SCOPES = frozenset({"phone", "ip", "region", "total", "failures"})
_UNFIT = (AttributeError, LookupError, TypeError, ValueError)


def _list(check: Check) -> Check:
    """Return the check of a reply that is a list."""

    def checked(reply: Any, arguments: Arguments) -> bool:
        try:
            return type(reply) is list and check(reply, arguments)
        except _UNFIT:
            return False

    return checked


def _of_operation(check: Check) -> Check:
    """Return the check of a reply that begins with the operation it is for, as operation.lua has it."""

    def checked(reply: Any, arguments: Arguments) -> bool:
        try:
            return (
                type(reply) is list
                and reply[0] == int.from_bytes(arguments[1][:6], "big")
                and check(reply[1:], arguments)
            )
        except _UNFIT:
            return False

    return checked


def _text(value: Any) -> str:
    text: str = value.decode("ascii") if type(value) is bytes else value
    return text


def _numbers(*sizes: int) -> Check:
    return _list(
        lambda reply, _: (
            len(reply) in sizes and type(sum(reply)) is int and (not reply or (min(reply) >= 0 and max(reply) <= _MOST))
        )
    )


def _is_description(described: Sequence[Any]) -> bool:
    """Whether `describe` in describe.lua gives this."""
    ends, resend, attempts, sends, state, generation, fixed, served_by = described
    kind = type(state)
    return (
        0 <= ends <= _MOST
        and 0 <= resend <= _MOST
        and 0 <= attempts <= _MOST
        and 0 <= sends <= _MOST
        and 0 <= fixed <= 1
        and state in _STATES[kind]
        and len(generation) == 8
        and not generation.strip(_HEX[kind])
        and served_by.isascii()
    )


def _is_known(nonce: Any, key_id: Any, known: bytes) -> bool:
    """Whether the caller has the key that reserve.lua names."""
    sought = bytes.fromhex(_text(key_id))
    return len(bytes.fromhex(_text(nonce))) == 16 and sought in {known[i : i + 4] for i in range(0, len(known), 4)}


def _is_before(before: Any) -> bool:
    """Whether reserve.lua gives this of who served the same code last."""
    _, state, sent = _text(before).split(" ")
    return state in _STATES[str] and 0 <= int(sent) <= _MOST


def _reserve(reply: Any, arguments: Arguments) -> bool:
    word = _text(reply[0])
    if word == "reserved":
        nonce, key_id, before = reply[2:5]
        return (
            0 <= reply[1] <= _MOST
            and (_is_known(nonce, key_id, arguments[5]) if key_id else _text(nonce) == "")
            and (_is_before(before) if before else _text(before) == "")
            and _is_description(reply[5:])
        )
    if word == "replayed":
        return 0 <= reply[1] <= _MOST and _is_description(reply[2:])
    if word == "limited":
        return _is_limited(reply)
    return word == "blocked" and len(reply) == 2 and 0 <= reply[1] <= _MOST


def _is_limited(reply: Any) -> bool:
    _, now, scope, wait, limit, window, *described = reply
    return (
        _text(scope) in _SCOPES
        and type(now + wait + limit + window) is int
        and 0 <= now <= _MOST
        and 0 <= wait <= _MOST
        and 1 <= limit <= _MOST
        and 1000 <= window <= _MOST
        and (not described or _is_description(described))
    )


def _verify(reply: Any, _: Arguments) -> bool:
    word = _text(reply[0])
    if word == "proved":
        _word, issued, expires, fixed, *repeated = reply
        return (
            type(issued + expires + fixed) is int
            and 0 <= issued < expires <= _MOST
            and 0 <= fixed <= 1
            and repeated in ([], [1])
        )
    if word == "wrong":
        _word, left, *repeated = reply
        return type(left) is int and 0 <= left <= _MOST and repeated in ([], [1])
    if word == "limited":
        return _is_limited(reply)
    return word in {"none", "blocked"} and len(reply) == 1


def _redeem(reply: Any, _: Arguments) -> bool:
    (word,) = reply
    return _text(word) in {"redeemed", "repeated", "expired", "used"}


def _status(reply: Any, _: Arguments) -> bool:
    if len(reply) == 1:
        return type(reply[0]) is int and 0 <= reply[0] <= _MOST
    now, live, send_id, sent = reply[:4]
    return (
        0 <= now <= _MOST
        and 0 <= live <= 1
        and 0 <= sent <= _MOST
        and len(send_id) == 32
        and not send_id.strip(_HEX[type(send_id)])
        and _is_description(reply[4:])
    )


def _resting(reply: Any, arguments: Arguments) -> bool:
    return len(reply) == len(arguments) - 1 and all(type(state) is int and 0 <= state <= 2 for state in reply)


def _take(reply: Any, _: Arguments) -> bool:
    is_whole = len(reply) == 4 or (len(reply) == 2 and reply[1] == 0)
    return is_whole and type(sum(reply)) is int and min(reply) >= 0 and max(reply) <= _MOST


def _number(most: int = _MOST) -> Check:
    return lambda reply, _: type(reply) is int and 0 <= reply <= most


CHECKS: dict[str, Check] = {
    "reserve": _of_operation(_reserve),
    "settle": _numbers(0, 3),
    "undo": _numbers(2),
    "verify": _of_operation(_verify),
    "unverify": _number(1),
    "redeem": _of_operation(_redeem),
    "unredeem": _number(1),
    "status": _list(_status),
    "standing": _numbers(6),
    "revoke": _number(1),
    "unblock": _number(),
    "erase": _number(2),
    "take": _list(_take),
    "give": _number(1),
    "receive": _number(1),
    "resting": _list(_resting),
    "faltered": _number(1),
}
"""Of each script by its name, whether it can have said a reply to its arguments."""
