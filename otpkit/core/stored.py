"""Every kind of key in Redis: its form, what it may hold, and how long it lives at most.

A script that writes a new kind of key or of field needs a row here: `otpkit audit-keys` reports all others, and a test
runs every call and compares. The table in docs/operating/privacy.md has a row for each kind, with the same names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Shape: TypeAlias = Literal["hash", "string", "stream"]
Contents: TypeAlias = Literal["fixed", "opaque", "free"]

_DAY_S: Final = 86_400
_ID: Final = r"[A-Za-z0-9_-]{22}"  # 128 bits of a keyed hash, or a random id.
_MS: Final = r"[1-3][0-9]{12}"  # A time from 2001 to 2096. With 86 in front, a mainland number is as long.
_COUNT: Final = r"[0-9]{1,10}"
_AMOUNT: Final = r"[0-9]{1,16}"
_HOUR: Final = r"[0-9]{6}"  # Since 1970, from 1984 to 2084.
_SHORT_HOUR: Final = r"[0-9]{1,3}"  # Of a month.
_NAME: Final = r"[!-9;-~]{1,64}"  # Of a gateway.
_WORD: Final = r"[a-z_]{1,32}"
_REGION: Final = r"[A-Z]{2}|001|\*"
_TIME: Final = ".{6}"  # Of phone.lua, in binary.
_OVERRIDE: Final = "(?:[ab].{6})?"


@dataclass(frozen=True, slots=True)
class Field:
    """The form of a hash's or a stream's field, or of a string, whose `name` is "".

    Args:
        name: a regular expression of its name, over bytes as Latin-1.
        value: one of its value.
        contents: `fixed` if the expressions leave no room for a phone or a code; `opaque` if it is a keyed hash, a
            random id or a count in binary; `free` if it is a text of people or of a provider.
    """

    name: str
    value: str
    contents: Contents = "fixed"

    def fits(self, name: bytes, value: bytes) -> bool:
        """Return True if a field has this form."""
        return _fits(self.name, name) and _fits(self.value, value)


@dataclass(frozen=True, slots=True)
class StoredKind:
    """A kind of key.

    Args:
        name: its name, in reports and in the documentation.
        key: a regular expression of the key after the namespace and a colon.
        shape: its type in Redis.
        fields: the forms of its fields, or of its value.
        longest_s: the longest life in seconds, with any policy.
        permanent: a regular expression of the values that may be without a life; "" if none may.
    """

    name: str
    key: str
    shape: Shape
    fields: tuple[Field, ...]
    longest_s: int
    permanent: str = ""

    def has(self, key: bytes) -> bool:
        """Return True if a key, without its namespace, is of this kind."""
        return _fits(self.key, key)

    def may_stay(self, value: bytes) -> bool:
        """Return True if a key with this value may be without a life."""
        return bool(self.permanent) and _fits(self.permanent, value)

    def field(self, name: bytes, value: bytes) -> Field | None:
        """Return the form that a field has, or None."""
        return next((each for each in self.fields if each.fits(name, value)), None)


def _string(value: str, contents: Contents = "fixed") -> tuple[Field, ...]:
    return (Field("", value, contents),)


_ENTRY: Final = (
    Field("operation", _ID),
    Field("action|outcome", f"(?:{_WORD})?"),
    Field("actor|reason", r"(?:[ !#-\[\]-~]|\\[\"\\/bfnrt]|\\u[0-9a-f]{4}){0,1600}", "free"),
    Field("phone_id", f"(?:{_ID})?"),
    Field("scope", f"(?:{_WORD})?"),
    Field("subject", f"(?:{_ID}|{_REGION}|{_NAME})?", "free"),
    Field("times", _COUNT),
)

_PAIR: Final = rf"(?:{_REGION}) (?:{_NAME})"
_FIGURE: Final = r"(?:o?[au][0-9]{1,10}|d[0-9]{1,3}|[rfvw]|[lg][a-z_]{1,32})"
_FIGURES: Final = rf"(?:{_PAIR} {_FIGURE}=-?{_COUNT}(?:,{_FIGURE}=-?{_COUNT})*\n)*"

KINDS: Final = (
    StoredKind(
        "phone",
        rf"\{{{_ID}\}}:p",
        "hash",
        (
            Field("s.{16}", f"{_TIME}{_TIME}[paudfr].{{12}}(?:.{{8}})?", "opaque"),
            Field("c.{8}", rf"{_TIME}.{{36}}[\x00-\x0a\x80-\x8a\xff][\x00\x06-\x0a][\x00\x01](?:.{{17}})?", "opaque"),
            Field("f.{16}", rf"{_TIME}[\x00-\x0a]", "opaque"),
            Field("p.{16}", rf"{_TIME}{_TIME}[\x00\x01](?:.{{16}})?", "opaque"),
            Field("r.{16}", f"{_TIME}.{{8}}", "opaque"),
            Field("u.{16}", rf"{_TIME}.{{3}}(?:{_REGION}|{_TIME}(?:.{{16}}){{0,2}})", "opaque"),
            Field("m.{16}", f"{_TIME}[0-9a-f]{{0,58}}", "opaque"),
            Field("g.{16}", f"{_NAME}(?: [!-~]{{1,128}})?", "free"),
        ),
        _DAY_S + 30,
    ),
    StoredKind(
        "failures", rf"\{{{_ID}\}}:c", "string", _string("[0-9]{1,3}"), 400 * _DAY_S, permanent="(?!1$)[1-9][0-9]*"
    ),
    StoredKind("devices", rf"\{{{_ID}\}}:d", "string", _string(_MS), 400 * _DAY_S),
    StoredKind("limit", rf"\{{{_ID}\}}:w", "hash", (Field("[0-9]{4,10}", f"{_MS} {_COUNT}"),), 31 * _DAY_S),
    StoredKind("limit's memory", rf"\{{{_ID}\}}:w:{_ID}", "string", _string(f"(?:{_MS})?"), 60),
    StoredKind("scope", rf"\{{{_ID}\}}:u", "string", _string(f".{{32}}{_OVERRIDE}", "opaque"), 30 * _DAY_S),
    StoredKind(
        "scope's memory",
        rf"\{{{_ID}\}}:u:{_ID}",
        "string",
        _string(f"[uvd]|c {_MS} [01] {_COUNT} (?:-|{_COUNT})"),
        120,
    ),
    StoredKind(
        "region", rf"\{{guard\}}:(?:{_REGION})", "string", _string(f".{{118}}{_OVERRIDE}", "opaque"), 30 * _DAY_S
    ),
    StoredKind(
        "region's memory",
        rf"\{{guard\}}:(?:{_REGION}):{_ID}(?::g)?",
        "string",
        _string(f"[uvdg]|c {_MS} {_COUNT} {_COUNT} {_COUNT} {_COUNT}"),
        120,
    ),
    StoredKind(
        "guard's report",
        r"\{guard\}:notes",
        "hash",
        (
            Field("latest", _HOUR),
            Field("subjects", _COUNT),
            Field(f"{_HOUR} {_WORD} {_WORD}", _COUNT),
            Field(f"s {_WORD} {_ID}", f"{_HOUR} {_COUNT}"),
        ),
        8 * _DAY_S,
    ),
    StoredKind("guard's observation", r"\{guard\}:since", "string", _string(_MS), 400 * _DAY_S),
    StoredKind("captcha's answer", rf"\{{{_ID}\}}:a", "string", _string("r|u|u.{16}[r-]", "opaque"), _DAY_S),
    StoredKind("gateways", r"\{gateways\}:g", "hash", (Field(_NAME, f"{_COUNT} (?:0|{_MS}) (?:-|{_ID})"),), 7200),
    StoredKind(
        "gateways' errors",
        r"\{gateways\}:e",
        "hash",
        (Field(f"E:{_NAME}", rf"{_MS} {_WORD} \S{{1,64}}", "free"), Field(f"H:{_NAME}", _MS)),
        7 * _DAY_S,
    ),
    StoredKind(
        "budgets",
        r"\{money\}:m",
        "hash",
        (
            Field("[A-Za-z0-9_-]{11}", f"{_MS} {_AMOUNT} {_SHORT_HOUR} {_AMOUNT} {_COUNT}"),
            Field("[A-Za-z0-9_-]{11}!", f"{_MS} {_COUNT} {_COUNT} {_COUNT}"),
        ),
        33 * _DAY_S,
    ),
    StoredKind("budgets' memory", rf"\{{money\}}:m:{_ID}", "string", _string(f"{_MS} [0-9a-f]*"), 900),
    StoredKind(
        "figures",
        r"\{stats\}:s",
        "hash",
        (
            Field(f".{{3}} {_PAIR} {_FIGURE}", f"-?{_COUNT}"),
            Field("open", rf"{_HOUR} {_COUNT}\n(?:{_HOUR} {_PAIR} {_FIGURE}\n)*"),
            Field(f"h{_HOUR}", _FIGURES),
            Field("d[0-9]{5}", _FIGURES),
            Field("first", f"{_HOUR} [0-9]{{5}}"),
            Field("recent", "(?:.{6}){1,256}", "opaque"),
        ),
        400 * _DAY_S,
    ),
    StoredKind("figures' memory", rf"\{{stats\}}:s:{_ID}(?::[a-z]{{1,8}})?", "string", _string(""), 60),
    StoredKind("operators' actions", r"\{audit\}:o", "stream", _ENTRY, 1095 * _DAY_S),
    StoredKind("security events", r"\{audit\}:s", "stream", _ENTRY, 1095 * _DAY_S),
    StoredKind(
        "events of an hour",
        r"\{audit\}:n",
        "hash",
        (
            Field("hour", _HOUR),
            Field("subjects", _COUNT),
            Field(f"{_WORD}(?: (?:{_WORD}|-)? (?:{_ID}|{_REGION}|-)?)?", _COUNT),
        ),
        7200,
    ),
    StoredKind("doctor's fingerprint", r"\{index\}:i", "string", _string(_ID), 400 * _DAY_S),
)
"""All kinds of keys. `otpkit doctor` also writes keys with the tag `doctor-…`, and removes them before it ends."""

DOCTOR: Final = rf"\{{doctor-{_ID}(?:-limit)?\}}:.*"
"""The keys of a doctor that runs at this moment."""


def kind_of(key: bytes) -> StoredKind | None:
    """Return the kind of a key, which is given without its namespace and the colon, or None."""
    return next((kind for kind in KINDS if kind.has(key)), None)


def is_doctors(key: bytes) -> bool:
    """Return True if a key, without its namespace, is one that a running doctor removes."""
    return _fits(DOCTOR, key)


def _fits(pattern: str, text: bytes) -> bool:
    return re.fullmatch(pattern, text.decode("latin-1"), re.DOTALL) is not None
