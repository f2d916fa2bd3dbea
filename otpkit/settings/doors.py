"""Services of Twilio Verify that `otpkit serve` stands in for, from the settings. Only digests of tokens are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from otpkit.core.arguments import check_purpose
from otpkit.errors import ConfigurationError, FieldProblem
from otpkit.settings.keys import ApiKey, digest_of, require_strong

# The forms of the SIDs in Twilio's OpenAPI documents. An API key's SID is the user name if one is used.
_SID: Final = {"service_sid": "VA", "account_sid": "AC", "api_key_sid": "SK"}
_HEX: Final = re.compile(r"[0-9a-fA-F]{32}")
_RATE_LIMIT: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VerifyService:
    """A service of Twilio Verify, whose clients call `otpkit serve` instead.

    Args:
        name: a name for people, and for budgets.
        service_sid: the SID in the paths, `VA` and 32 hexadecimal digits.
        account_sid: the SID of the account, `AC` and 32 hexadecimal digits. It is the user name of the clients.
        token_digest: the SHA-256 of the clients' password, 32 bytes.
        purpose: the purpose of its codes.
        api_key_sid: a second user name, `SK` and 32 hexadecimal digits; or None.
        ip_rate_limit: the name of the rate limit whose value is the visitor's address; or None.

    Raises:
        ConfigurationError: a value is wrong.
    """

    name: str
    service_sid: str
    account_sid: str
    token_digest: bytes
    purpose: str
    api_key_sid: str | None = None
    ip_rate_limit: str | None = None

    def __post_init__(self) -> None:
        problems = [
            FieldProblem(field, f"{field} must be {start} and 32 hexadecimal digits.", "Copy it from Twilio's console.")
            for field, start in _SID.items()
            if (sid := getattr(self, field)) is not None and not (sid[:2] == start and _HEX.fullmatch(sid[2:]))
        ]
        if self.ip_rate_limit is not None and not _RATE_LIMIT.fullmatch(self.ip_rate_limit):
            problems.append(
                FieldProblem("ip_rate_limit", "ip_rate_limit must be the unique name of a rate limit.", "Correct it.")
            )
        try:
            check_purpose(self.purpose)
        except ConfigurationError as error:
            problems.append(FieldProblem("purpose", error.problem, error.remedy))
        if problems:
            raise ConfigurationError(problems=problems)

    @classmethod
    def of(cls, *, auth_token: str, name: str, **fields: str | None) -> Self:
        """Return the service with a token's text.

        Args:
            auth_token: the clients' password, at least 32 characters, as from `otpkit keygen`.
            name: a name for people.
            fields: the other fields.

        Raises:
            ConfigurationError: the token is too short or not random, or another value is wrong.
        """
        require_strong(name, auth_token)
        return cls(name=name, token_digest=sha256(auth_token.encode()).digest(), **fields)  # type: ignore[arg-type]

    @classmethod
    def of_digest(cls, *, auth_token_sha256: str, name: str, **fields: str | None) -> Self:
        """Return the service with a token's digest. A weak token is detected only on its first use.

        Args:
            auth_token_sha256: the SHA-256 of the clients' password, 64 hexadecimal digits.
            name: a name for people.
            fields: the other fields.

        Raises:
            ConfigurationError: the digest or another value is wrong.
        """
        return cls(name=name, token_digest=digest_of(f"The service {name!r}", auth_token_sha256), **fields)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"VerifyService(name={self.name!r}, purpose={self.purpose!r})"


def require_distinct_services(services: Iterable[VerifyService], keys: Iterable[ApiKey] = ()) -> None:
    """Check that no two services share a SID or a name, and that none has the name or the secret of an API key.

    Args:
        services: the services.
        keys: the API keys.

    Raises:
        ConfigurationError: they do.
    """
    found, programs = tuple(services), tuple(keys)
    for what, values in (("SID", {each.service_sid for each in found}), ("name", {each.name for each in found})):
        if len(values) < len(found):
            raise ConfigurationError(
                f"Two services of Twilio Verify have the same {what}.", f"Use a different {what} for each."
            )
    names, digests = {key.name for key in programs}, {key.digest for key in programs}
    for each in found:
        if each.name in names:  # Budgets name both.
            raise ConfigurationError(
                f"A service of Twilio Verify and an API key have the same name {each.name!r:.80}.", "Rename one."
            )
        if each.token_digest in digests:
            raise ConfigurationError(
                f"The service {each.name!r:.80} has the token of an API key.", "Make another one with `otpkit keygen`."
            )
