"""The values that callers receive. Frozen and slotted; no repr shows a code, a token or a whole phone number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

DeliveryState = Literal["pending", "accepted", "uncertain", "delivered", "failed"]


def mask(phone: str) -> str:
    """Return an E.164 phone with all but its last four digits hidden, as logs and reprs show it."""
    return f"+{'*' * (len(phone) - 5)}{phone[-4:]}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Challenge:
    """A live question put to a phone.

    `expires_at` and `resend_at` are aware UTC datetimes by the Redis server's clock; `expires_in` and `resend_in` the
    same in whole seconds from the moment of the answer. `attempts_left` counts the wrong codes it still takes,
    `sends_left` what the longest window of `Policy.sends` still allows this phone. `delivery` is `pending` (under way),
    `accepted` by the gateway, `uncertain` (it may or may not have been sent), or, once a receipt told so, `delivered`
    or `failed`. `replayed` says that an idempotency key found this send already made. `gateway` is the name of the one
    that served it, "" while that is not known.
    """

    id: str
    phone: str
    purpose: str
    expires_at: datetime
    expires_in: int
    resend_at: datetime
    resend_in: int
    attempts_left: int
    sends_left: int
    delivery: DeliveryState
    replayed: bool = False
    gateway: str = ""

    def __repr__(self) -> str:
        return (
            f"Challenge(id={self.id!r}, phone={mask(self.phone)!r}, purpose={self.purpose!r}, "
            f"expires_in={self.expires_in}, resend_in={self.resend_in}, attempts_left={self.attempts_left}, "
            f"sends_left={self.sends_left}, delivery={self.delivery!r}, "
            f"replayed={self.replayed}, gateway={self.gateway!r})"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Standing:
    """What a phone's own limits still allow it, and whether it is blocked: for operators, never for visitors.

    `blocked` says that `consecutive_failures`, wrong codes without a right one in between, have reached
    `Policy.max_consecutive_failures`: it gets neither message nor proof until `unblock`, whatever the other values.
    `sends_left` and `failures_left` are what the longest windows of `Policy.sends` and `Policy.failures` still allow.
    `send_in` and `verify_in` are whole seconds until the phone may be sent a code, and until it may try one; 0 where it
    may now. Both wait for `Policy.failures`, `send_in` for `Policy.sends` too.
    """

    phone: str
    blocked: bool
    consecutive_failures: int
    sends_left: int
    send_in: int
    failures_left: int
    verify_in: int

    @property
    def limited(self) -> bool:
        """Whether it must wait, to be sent a code or to try one."""
        return self.send_in > 0 or self.verify_in > 0

    def __repr__(self) -> str:
        return (
            f"Standing(phone={mask(self.phone)!r}, blocked={self.blocked}, "
            f"consecutive_failures={self.consecutive_failures}, sends_left={self.sends_left}, "
            f"send_in={self.send_in}, failures_left={self.failures_left}, verify_in={self.verify_in})"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Proof:
    """The signed answer to a challenge: who holds `token` has shown that `phone` (E.164) is theirs, for `purpose`.

    Always truthy. `verified_at` and `expires_at` are aware UTC datetimes. `fixed` says that a `FixedCode` was used, so
    no message was ever received. `replayed` says that `redeem` found this proof redeemed already, by an earlier call
    with the same idempotency key and request: return what that call made, and make nothing new. It is False from
    `verify` and `check`: however often they return a proof, it is redeemed once. Proofs that differ in it alone are
    equal.
    """

    id: str
    phone: str
    purpose: str
    verified_at: datetime
    expires_at: datetime
    fixed: bool
    _token: str | Callable[[Proof], str] = field(compare=False)
    replayed: bool = field(default=False, compare=False)

    @property
    def token(self) -> str:
        """The token to hand to the form. It shows the phone to whoever reads it: keep it out of URLs."""
        # Signing costs more than verifying, and many callers never read the token: so it is signed here.
        return self._token if isinstance(self._token, str) else self._token(self)

    def __repr__(self) -> str:
        return (
            f"Proof(id={self.id!r}, phone={mask(self.phone)!r}, purpose={self.purpose!r}, fixed={self.fixed}, "
            f"verified_at={self.verified_at.isoformat()!r}, expires_at={self.expires_at.isoformat()!r}, "
            f"replayed={self.replayed})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle holds the token, never the signer and its secret.
        facts = (self.id, self.phone, self.purpose, self.verified_at, self.expires_at, self.fixed, self.token)
        # Processes of the version before read seven values.
        return type(self), (*facts, True) if self.replayed else facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What `on_event` is told, for logs and metrics. It holds no code, phone, secret, address or bind.

    `name` is one of `issued`, `verified`, `redeemed`, `revoked`, `unblocked`, `erased`; `resent` (in place of `issued`:
    the code of the live challenge was sent again); `replayed` (an idempotency key found the answer of an earlier call,
    and nothing was sent, counted or used up); `delivered` and `undelivered` (a receipt told so), `refused` (the call
    raised), `gateway_failed` (the gateway raised what is no rejection, or the next one's turn came), `push_refused` (a
    push of receipts was not believed or not read; one a minute for each gateway), `ip_not_counted` (a loopback or
    private address was given as `ip`: is it a proxy's?).
    `operation` is the call's name. `operation_id` is what the call was remembered by in Redis: of an issue the send's
    id, which the gateway was given too, and of a verify the proof's. `challenge_id` is `Challenge.id`, `at` the time of
    the server's latest answer, an aware UTC datetime, `duration_ms` how long the call took. `phone_id` is the phone's
    keyed pseudonym: the same phone gives the same text, and the text gives no phone. `outcome` is the delivery of an
    issue, the `code` of a refusal's error, how a gateway failed, or "". `gateway` is the name of the gateway that
    served or failed, `channel` how its message went (`sms` or `voice`), `region` the phone's, `scope` that of the limit
    that refused. `detail` is one more word or two: who served, a limit's scope, a gateway's code, the class of what it
    raised. What is not known is "", None or (), and so are `segments`, `price` and `reasons` always: no call tells them
    yet.
    """

    name: str
    operation: str
    purpose: str = ""
    phone_id: str = ""
    outcome: str = ""
    detail: str = ""
    gateway: str = ""
    region: str = ""
    scope: str = ""
    operation_id: str = ""
    challenge_id: str = ""
    at: datetime | None = None
    channel: str = ""
    segments: int | None = None
    price: str = ""
    duration_ms: int | None = None
    reasons: tuple[str, ...] = ()
