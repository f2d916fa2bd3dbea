"""Hooks of `otpkit serve`, from the settings: systems that make their own codes call it to send them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Final, Self

from otpkit.core.arguments import check_purpose
from otpkit.core.checks import Checks, nearest
from otpkit.errors import ConfigurationError
from otpkit.settings.keys import ApiKey
from otpkit.telemetry.webhook import read_secrets

FORMATS: Final = ("generic", "supabase", "kratos", "logto", "authentik")
"""The systems whose requests a hook understands. `generic` is a body of otpkit's own."""
SIGNED: Final = "v1,"
"""What Supabase writes before a secret: the version of its signatures."""
_ALWAYS_SIGNED: Final = "supabase"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Hook:
    """One hook, at the path `/hooks/NAME`.

    Args:
        name: the name, for its path, for people and for budgets.
        format: the system that calls it, one of `FORMATS`.
        template: the purpose whose template is sent.
        templates: the purposes of other templates, by the word that the system sends for the kind of its message.
        secrets: the secrets that sign requests as Standard Webhooks, `whsec_…` or `v1,whsec_…`: any of them is right.
        keys: the API keys that a request may show in place of a signature.
        minutes: the life of a code, for templates that name it; None is `Policy.ttl`, or what the system says.
        visitor_ip: True to count at the visitor's address that the system sends.

    Raises:
        ConfigurationError: a value is wrong.
    """

    name: str
    format: str
    template: str
    templates: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    minutes: int | None = None
    visitor_ip: bool = False

    def __post_init__(self) -> None:
        with Checks() as checks:
            if not _NAME.fullmatch(self.name):
                checks.add("name", "The name of a hook must be 1 to 64 of A-Z, a-z, 0-9, _ and -.", "Rename it.")
            if self.format not in FORMATS:
                problem = f"There is no format {self.format!r:.40}{nearest(self.format, FORMATS)}"
                checks.add("format", problem, f"Set one of {', '.join(FORMATS)}.")
            for purpose in self.purposes:
                checks.of("template", check_purpose, purpose)
            if self.secrets:
                checks.of("secret", read_secrets, [each.removeprefix(SIGNED) for each in self.secrets])
            if bool(self.secrets) == bool(self.keys):
                checks.add("secret", "A hook must have one of secret, key and key_sha256.", "Add one, or remove one.")
            elif self.format == _ALWAYS_SIGNED and not self.secrets:
                checks.add("secret", "Supabase signs its requests.", "Set secret to the secret of the hook.")
        object.__setattr__(self, "templates", MappingProxyType(dict(self.templates)))

    @property
    def purposes(self) -> frozenset[str]:
        """The purposes of its templates."""
        return frozenset((self.template, *self.templates.values()))

    @classmethod
    def of(
        cls,
        *,
        name: str,
        format: str,  # noqa: A002 - It is the name of the setting.
        template: str,
        secret: Iterable[str] = (),
        key: Iterable[str] = (),
        key_sha256: Iterable[str] = (),
        **fields: object,
    ) -> Self:
        """Return the hook with the texts of its secrets or keys.

        Args:
            name: the name.
            format: the system that calls it.
            template: the purpose whose template is sent.
            secret: the signing secrets.
            key: the API keys, at least 32 characters each.
            key_sha256: the SHA-256 of API keys. A weak key is detected only on its first use.
            fields: the other fields.

        Raises:
            ConfigurationError: a value is wrong.
        """
        given = enumerate(chain(((ApiKey.of, each) for each in key), ((ApiKey.of_digest, each) for each in key_sha256)))
        keys = tuple(make(f"{name}-{place}", each, ()) for place, (make, each) in given)
        return cls(name=name, format=format, template=template, secrets=tuple(secret), keys=keys, **fields)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"Hook(name={self.name!r}, format={self.format!r}, template={self.template!r})"


def require_distinct_hooks(hooks: Iterable[Hook], names: Iterable[str] = (), keys: Iterable[ApiKey] = ()) -> None:
    """Check that no two hooks share a name or a key, and that none has the name or the key of another client.

    Args:
        hooks: the hooks.
        names: the names of the API keys and of services of Twilio Verify: budgets name both, and hooks too.
        keys: the API keys.

    Raises:
        ConfigurationError: they do.
    """
    found = tuple(hooks)
    taken, digests = set(names), {key.digest for key in keys}
    for hook in found:
        if hook.name in taken:
            raise ConfigurationError(
                f"A hook and an API key, a service or another hook have the same name {hook.name!r:.80}.", "Rename one."
            )
        own = {key.digest for key in hook.keys}
        if own & digests or len(own) < len(hook.keys):
            raise ConfigurationError(
                f"The hook {hook.name!r:.80} has the key of another client, or one twice.",
                "Make another one with `otpkit keygen`.",
            )
        taken.add(hook.name)
        digests |= own
