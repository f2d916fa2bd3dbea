"""The key that signs a request: a fixed one, or one that a function returns for each request."""

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
    """An AccessKey. The repr shows only its id.

    For Tencent Cloud the three fields are SecretId, SecretKey and Token.

    Args:
        access_key_id: the key's id.
        access_key_secret: the key's secret.
        security_token: the token of a temporary key from the Security Token Service (STS); None for a permanent key.

    Raises:
        ConfigurationError: a field is not valid.
    """

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check(_NAMES, (self.access_key_id, self.access_key_secret, self.security_token))


def _check(names: tuple[str, str, str], values: tuple[str | None, str | None, str | None]) -> None:
    """Check an id, a secret and a token. Raise ConfigurationError, with the provider's names, if one is not valid."""
    with Checks() as checks:
        for name, value in zip(names, values, strict=True):
            if name != names[2] or value is not None:
                checks.value(name, validation.header_value, value)
        if checks.passed(names[0]) and not _KEY_ID.fullmatch(values[0] or ""):
            checks.add(names[0], f"{names[0]} contains a space or a comma.", "Copy it again from the console.")


CredentialsSource = Callable[[], Credentials | Awaitable[Credentials]]


def current(provider: Provider, source: Credentials | CredentialsSource) -> Flow[Credentials]:
    """Return the credentials to sign with. If `source` is a function, call it for each request.

    Raises:
        GatewayRejectedError: the function failed or returned no credentials, category `account`. Nothing was sent.
    """
    if isinstance(source, Credentials):
        return source
    found = yield from _fetched(source)
    if found is None:
        problem = "the credentials function failed, nothing was sent"
        raise provider.rejection("account", problem, "the operator must check the service that it calls")
    return found


def source(
    static: tuple[str | None, str | None, str | None],
    credentials: CredentialsSource | None,
    names: tuple[str, str, str] = _NAMES,
) -> Credentials | CredentialsSource:
    """Return the source of the signing key: `static` (id, secret, token), or the function `credentials`.

    `names` are the provider's names of the three, used in errors.

    Raises:
        ConfigurationError: neither is set, both are set, or one is not valid.
    """
    if credentials is None:
        # The check refuses None by the argument's name, like any other value that is not a key.
        _check(names, static)
        key_id, secret, security_token = static
        return Credentials(key_id, secret, security_token)  # type: ignore[arg-type]
    if not callable(credentials):
        raise ConfigurationError("credentials is not a function.", "Pass a function that returns Credentials(…).")
    if static != (None, None, None):
        raise ConfigurationError("credentials and an access key are both set.", "Pass one or the other.")
    return credentials


def _fetched(source: CredentialsSource) -> Flow[Credentials | None]:
    try:
        found: Credentials | None = yield Call(_guarded(source), None)
    except Exception:  # noqa: BLE001 - The sync client cannot await an async function.
        return None
    return found


def _guarded(source: CredentialsSource) -> Callable[[None], Any]:
    """Return a function that returns credentials or None. Any other result or exception may contain a secret."""

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
