"""The database check: find users' numbers that can't be used to log in.

It runs with `manage.py check --database default` and `manage.py migrate`. Other commands don't read the table.
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

# The database filters out these rows: most tables hold little else.
_SURELY_E164: Final = rf"^\+86{MAINLAND_NUMBER}$"
_SHOWN: Final = 5  # primary keys in a message
_BATCH: Final = 500
_HINT: Final = (
    "Store the result of otpkit.normalize for each number. `otpkit numbers FILE` shows it for an export of the table. "
    "If several users have one number, keep it for one of them."
)


@register(Tags.database)
def check_numbers(*, databases: Sequence[str] | None = None, **_: Any) -> Iterator[CheckMessage]:
    """Check stored numbers. W005: a number is not E.164, so no login finds it. W006: several rows have one phone."""
    if not databases or not has_phone_backend():
        return
    try:
        model, field = find_field(get_user_model(), user_phone_field())
        region = get_otp().policy.default_region
    except (ConfigurationError, FieldDoesNotExist):
        return  # check_otp and check_login report this (E001, E004).
    for database in databases:
        if router.allow_migrate_model(database, model):
            yield from _check_table(model._default_manager.using(database), field.name, region, database)


def _check_table(users: QuerySet[Model], name: str, region: str, database: str) -> Iterator[CheckMessage]:
    try:
        # After an error, PostgreSQL refuses all further statements of a transaction, so use a savepoint.
        with transaction.atomic(using=database):
            odd, twice = _odd_numbers(users, name, region)
    except (DatabaseError, FieldError, TypeError, ValueError):
        return  # The table does not exist yet, or the field does not hold text.
    where = f"{users.model.__name__}.{name} in the database {database!r}"
    if odd:
        text = f"{where}: {len(odd)} numbers are not E.164, so no user can log in with them; {_named(odd)}."
        yield Warning(text, hint=_HINT, id="otpkit.W005")
    if twice:
        text = f"{where}: {len(twice)} rows have a number that another row also has; {_named(twice)}."
        yield Warning(text, hint=_HINT, id="otpkit.W006")


def _odd_numbers(users: QuerySet[Model], name: str, region: str) -> tuple[list[Any], list[Any]]:
    """Return the primary keys of rows that are not E.164, and of rows whose phone also occurs in another row."""
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
    """Return the phone in E.164, or "" if the text is not a phone number."""
    try:
        return normalize(text, region)
    except PhoneError:
        return ""


def _named(pks: list[Any]) -> str:
    shown = ", ".join(str(pk) for pk in pks[:_SHOWN])
    return f"primary keys: {shown}" + (", …" if len(pks) > _SHOWN else "")
