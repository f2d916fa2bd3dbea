"""The key that signs a request: one that was given, or one that a function returns for each request."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from otpkit.core.checks import Checks
from otpkit.effects import Call, Flow
from otpkit.errors import ConfigurationError
from otpkit.gateways import validation
from otpkit.gateways.provider import Provider

__all__ = ["Credentials"]

_NAMES = ("access_key_id", "access_key_secret", "security_token")
_KEY_ID = re.compile(r"[!-+\--~]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An AccessKey; with `security_token` it is a temporary one of the Security Token Service (STS).

    For Tencent Cloud the three are SecretId, SecretKey and Token. Its repr shows the id alone.

    Raises ConfigurationError for a field that can't be right.
    """

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check(_NAMES, (self.access_key_id, self.access_key_secret, self.security_token))


def _check(names: tuple[str, str, str], values: tuple[str | None, str | None, str | None]) -> None:
    """Raise `ConfigurationError` for an id, a secret and a token that can't be right, by the provider's own names."""
    with Checks() as checks:
        for name, value in zip(names, values, strict=True):
            if name != names[2] or value is not None:
                checks.value(name, validation.header_value, value)
        if checks.passed(names[0]) and not _KEY_ID.fullmatch(values[0] or ""):
            checks.add(names[0], f"{names[0]} holds a blank or a comma.", "Copy it again from the console.")


CredentialsSource = Callable[[], Credentials | Awaitable[Credentials]]


def current(provider: Provider, source: Credentials | CredentialsSource) -> Flow[Credentials]:
    """Return the credentials to sign with now; a function that gives them is called each time.

    Raises GatewayRejectedError of category `account` where it raises, or gives none: nothing was sent.
    """
    if isinstance(source, Credentials):
        return source
    found = yield from _fetched(source)
    if found is None:
        problem = "the function that gives credentials failed, nothing was sent"
        raise provider.rejection("account", problem, "the operator must look into what it calls")
    return found


def source(
    static: tuple[str | None, str | None, str | None],
    credentials: CredentialsSource | None,
    names: tuple[str, str, str] = _NAMES,
) -> Credentials | CredentialsSource:
    """Return whose key signs: that of `static` (id, secret, token), or the function `credentials`, which gives it.

    Errors call the three as `names` does. Raises ConfigurationError where there are none, or both.
    """
    if credentials is None:
        # None is refused by name, like any other value that is no key.
        _check(names, static)
        key_id, secret, security_token = static
        return Credentials(key_id, secret, security_token)  # type: ignore[arg-type]
    if not callable(credentials):
        raise ConfigurationError("credentials is no function.", "Pass one that returns Credentials(…).")
    if static != (None, None, None):
        raise ConfigurationError("credentials stands beside an access key.", "Pass one or the other.")
    return credentials


def _fetched(source: CredentialsSource) -> Flow[Credentials | None]:
    try:
        found: Credentials | None = yield Call(_guarded(source), None)
    except Exception:  # noqa: BLE001 - an async function where none is awaited
        return None
    return found


def _guarded(source: CredentialsSource) -> Callable[[None], Any]:
    """Return a function that gives credentials or None: whatever else `source` gives or raises may hold a secret."""

    def plain(_: None) -> Credentials | Awaitable[Credentials | None] | None:
        try:
            found = source()
        except Exception:  # noqa: BLE001
            return None
        if inspect.isawaitable(found):
            return awaited(None, found)
        return found if isinstance(found, Credentials) else None

    async def awaited(_: None, giving: Awaitable[Credentials] | None = None) -> Credentials | None:
        try:
            found = await (giving or cast("Awaitable[Credentials]", source()))
        except Exception:  # noqa: BLE001
            return None
        return found if isinstance(found, Credentials) else None

    return awaited if inspect.iscoroutinefunction(source) else plain
