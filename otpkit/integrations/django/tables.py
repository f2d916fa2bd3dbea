"""The database check: numbers of users that nobody could log in with. It runs where databases are checked.

That is `manage.py check --database default`, and `manage.py migrate`; the other commands don't read the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004 - Django's own name
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import DatabaseError, router, transaction
from django.db.models import Count, Model, QuerySet

from otpkit import ConfigurationError, PhoneError, normalize
from otpkit.integrations.django.backends import has_phone_backend
from otpkit.integrations.django.conf import find_field, get_otp, user_phone_field
from otpkit.phone import MAINLAND_NUMBER

_SURELY_E164: Final = rf"^\+86{MAINLAND_NUMBER}$"  # the database leaves them out: most tables hold little else
_SHOWN: Final = 5  # primary keys in a message
_BATCH: Final = 500
_HINT: Final = (
    "Write what otpkit.normalize returns of each. `otpkit numbers FILE` shows it for an export of the table; of users "
    "with one number keep one."
)


@register(Tags.database)
def check_numbers(*, databases: Sequence[str] | None = None, **_: Any) -> Iterator[CheckMessage]:
    """W005: numbers of users are E.164, and so can be found. W006: each stands once, also in another spelling."""
    if not databases or not has_phone_backend():
        return
    try:
        model, field = find_field(get_user_model(), user_phone_field())
        region = get_otp().policy.default_region
    except (ConfigurationError, FieldDoesNotExist):
        return  # E001 and E004 say so
    for database in databases:
        if router.allow_migrate_model(database, model):
            yield from _check_table(model._default_manager.using(database), field.name, region, database)


def _check_table(users: QuerySet[Model], name: str, region: str, database: str) -> Iterator[CheckMessage]:
    try:
        with transaction.atomic(using=database):  # PostgreSQL goes on after an error only in a block of its own
            odd, twice = _odd_numbers(users, name, region)
    except (DatabaseError, FieldError, TypeError, ValueError):
        return  # the table is not made yet, or the field holds no text
    where = f"{users.model.__name__}.{name} in the database {database!r}"
    if odd:
        text = f"{where}: {len(odd)} numbers are not E.164, so nobody logs in with them; {_named(odd)}."
        yield Warning(text, hint=_HINT, id="otpkit.W005")
    if twice:
        text = f"{where}: {len(twice)} rows have a number that another row has too; {_named(twice)}."
        yield Warning(text, hint=_HINT, id="otpkit.W006")


def _odd_numbers(users: QuerySet[Model], name: str, region: str) -> tuple[list[Any], list[Any]]:
    """Return the primary keys of rows that are not E.164, and of those whose phone another row has too."""
    sure = {f"{name}__regex": _SURELY_E164}
    holders: dict[str, list[Any]] = {}
    odd = []
    rows = users.exclude(**sure).exclude(**{f"{name}__isnull": True}).exclude(**{name: ""})
    for pk, value in rows.order_by("pk").values_list("pk", name).iterator(_BATCH):
        phone = _read(str(value), region)
        if phone != str(value):
            odd.append(pk)
        if phone:
            holders.setdefault(phone, []).append(pk)
    repeated = (
        users.filter(**sure).values_list(name, flat=True).annotate(rows=Count("pk")).filter(rows__gt=1).order_by()
    )
    phones = [*holders, *(str(value) for value in repeated if str(value) not in holders)]
    for start in range(0, len(phones), _BATCH):
        among = {f"{name}__in": phones[start : start + _BATCH]}
        for pk, value in users.filter(**sure).filter(**among).values_list("pk", name):
            holders.setdefault(str(value), []).append(pk)
    return odd, [pk for pks in holders.values() if len(pks) > 1 for pk in pks]


def _read(text: str, region: str) -> str:
    """Return the phone of a text, or "" for none."""
    try:
        return normalize(text, region)
    except PhoneError:
        return ""


def _named(pks: list[Any]) -> str:
    shown = ", ".join(str(pk) for pk in pks[:_SHOWN])
    return f"primary keys: {shown}" + (", …" if len(pks) > _SHOWN else "")
