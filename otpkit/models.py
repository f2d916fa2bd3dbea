"""The values that callers receive. Frozen and slotted. No repr shows a code, a token or a whole phone number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

EVENT_NAMES: Final = (
    *("issued", "resent", "replayed", "sent", "verified", "redeemed", "revoked", "unblocked", "devices_forgotten"),
    *("erased", "refused", "delivered", "undelivered", "push_refused", "gateway_failed", "circuit_opened"),
    *("circuit_closed", "guard", "captcha", "budget", "ip_not_counted", "operator"),
)
"""The names of events."""
DeliveryState = Literal["pending", "accepted", "uncertain", "delivered", "failed"]


def mask(phone: str) -> str:
    """Return an E.164 phone with only its last four digits visible, for logs and reprs."""
    return f"+{'*' * (len(phone) - 5)}{phone[-4:]}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Challenge:
    """A live challenge: a code for a phone, purpose and bind that waits to be verified.

    `expires_at` and `resend_at` are aware UTC datetimes by the Redis server's clock. `expires_in` and `resend_in` are
    the same times in whole seconds from the moment of the reply. `attempts_left` is how many more wrong codes the
    challenge accepts. `sends_left` is what the longest window of `Policy.sends` still allows this phone. `delivery` is
    `pending` (being sent), `accepted` by the gateway, or `uncertain` (it may or may not have been sent). After a
    receipt it is `delivered` or `failed`. `replayed` is True if an idempotency key found that this send was already
    made. `gateway` is the name of the gateway that served it, or "" while that is not known.
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
    """The block of a phone, and what its own limits still allow. For operators, never for visitors.

    `consecutive_failures` counts wrong codes without a right one in between. `blocked` is True once they reach
    `Policy.max_consecutive_failures` without the part for devices: the phone then gets no message and no proof until
    `unblock` or a device's right code, whatever the other values are. `sends_left` and `failures_left` are what the
    longest windows of `Policy.sends` and `Policy.failures` still allow. `send_in` and `verify_in` are whole seconds
    until a send and a verification are allowed, or 0. Both wait for `Policy.failures`, and `send_in` also waits for
    `Policy.sends`.

    These values are what strangers may do: the parts of `Policy.device_failures`, `device_consecutive` and
    `device_sends` are already kept from them. The values that begin with `device_` are the same for a device with a
    valid token.
    """

    phone: str
    blocked: bool
    consecutive_failures: int
    sends_left: int
    send_in: int
    failures_left: int
    verify_in: int
    device_blocked: bool = False
    device_sends_left: int = 0
    device_send_in: int = 0
    device_failures_left: int = 0
    device_verify_in: int = 0

    @property
    def limited(self) -> bool:
        """True if the phone must wait before a send or a verification."""
        return self.send_in > 0 or self.verify_in > 0

    def __repr__(self) -> str:
        return (
            f"Standing(phone={mask(self.phone)!r}, blocked={self.blocked}, "
            f"consecutive_failures={self.consecutive_failures}, sends_left={self.sends_left}, "
            f"send_in={self.send_in}, failures_left={self.failures_left}, verify_in={self.verify_in}, "
            f"device_blocked={self.device_blocked}, device_sends_left={self.device_sends_left}, "
            f"device_send_in={self.device_send_in}, device_failures_left={self.device_failures_left}, "
            f"device_verify_in={self.device_verify_in})"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Proof:
    """The signed result of a verification: the holder of `token` has shown that `phone` (E.164) is theirs.

    It holds for `purpose`, and it is always truthy. `verified_at` and `expires_at` are aware UTC datetimes. `fixed` is
    True if a `FixedCode` was used, so that no message was received. `replayed` is True if `redeem` found that an
    earlier call with the same idempotency key and request has redeemed this proof: return what that call made, and
    make nothing new. It is False from `verify` and `check`: however often they return a proof, it can be redeemed only
    once. Proofs that differ only in `replayed` are equal.
    """

    id: str
    phone: str
    purpose: str
    verified_at: datetime
    expires_at: datetime
    fixed: bool
    _token: str | Callable[[Proof], str] = field(compare=False)
    replayed: bool = field(default=False, compare=False)
    _device: str | Callable[[Proof], str] | None = field(default=None, compare=False)

    @property
    def token(self) -> str:
        """The token to pass to the form. Anybody who reads it can see the phone, so keep it out of URLs."""
        # Signing costs more than verifying, and many callers never read the token, so sign it on access.
        return self._token if isinstance(self._token, str) else self._token(self)

    @property
    def device(self) -> str | None:
        """The token of this device, from `verify`; None from `check` and `redeem`, and for a fixed code.

        Keep it on the visitor's device, and pass it to `issue` and `verify`. It does not show the phone.
        """
        return self._device(self) if callable(self._device) else self._device

    def __repr__(self) -> str:
        return (
            f"Proof(id={self.id!r}, phone={mask(self.phone)!r}, purpose={self.purpose!r}, fixed={self.fixed}, "
            f"verified_at={self.verified_at.isoformat()!r}, expires_at={self.expires_at.isoformat()!r}, "
            f"replayed={self.replayed})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle contains the token, but never the signer and its secret.
        facts = (self.id, self.phone, self.purpose, self.verified_at, self.expires_at, self.fixed, self.token)
        # Processes of earlier versions read seven or eight values, and skip further ones of the state.
        made = type(self), (*facts, True) if self.replayed else facts
        return made if self.device is None else (*made, [*facts, self.replayed, self.device])


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event for the listeners of an `OTP`, for logs and metrics.

    It contains no code, phone, secret, address or bind. `name` is one of:

    - `issued`, `verified`, `redeemed`, `revoked`, `unblocked`, `devices_forgotten`, `erased`.
    - `sent`: a gateway was given a message. There is one for each message, and an issue may send none or several.
    - `resent`: in place of `issued`, if the code of the live challenge was sent again.
    - `replayed`: an idempotency key found the answer of an earlier call. Nothing was sent, counted or used up.
    - `delivered` and `undelivered`: a receipt reported it.
    - `refused`: the call raised an error.
    - `budget`: a budget of money reached a share of its amount, once in its window, or could not afford a message.
    - `gateway_failed`: the gateway raised an error that is not a rejection, or the next gateway was tried.
    - `push_refused`: a push of receipts was rejected or unreadable; at most once a minute for each gateway.
    - `ip_not_counted`: `ip` was a loopback or private address, perhaps that of a proxy.
    - `guard`: the guard decided about a send, or an operator overrode a scope.
    - `captcha`: a captcha was asked for, or judged.
    - `circuit_opened` and `circuit_closed`: a gateway is skipped for a while, or used again.
    - `operator`: an operator's call changed something, beside the event that names the change.

    `operation` is the name of the call. `operation_id` is its id in Redis: for an issue the id of the send, which the
    gateway also received, for a verify the id of the proof. `challenge_id` is `Challenge.id`. `at` is the time of the
    server's latest reply, an aware UTC datetime. `duration_ms` is the duration of the call, for `sent` that of the
    gateway's part of it. `phone_id` is a keyed pseudonym: it is the same for the same phone, and does not reveal the
    phone. `outcome` is the delivery of an issue, the `code` of an error, the way in which a gateway failed, `alert` or
    `refused` of a budget, or "". For `sent` it is `accepted`, `rejected` or `uncertain`. For the guard it
    is `captcha`, `refused`, `observed` (nothing was refused in that mode), `error` (`Guard.risk` failed), `allowed`,
    `blocked` or `cleared`; for a captcha `required`, `passed`, `rejected`, or `unavailable` (its provider did not
    answer). `gateway` is the name of the gateway that served or failed, `channel` the channel of its message (`sms` or
    `voice`), `region` the phone's region, and `scope` the scope of the limit that refused. `detail` has one or two more
    words: the gateway that served, the scope of a limit, a gateway's code, the class of its exception, or the budget.
    `reasons` are the scopes that are over their allowance, or the words of `Guard.risk`; the first one is also the
    `detail`. For a budget they are the share of an alert, or what is used up. Unknown values are "", None or ().

    `segments` and `price` are those of one message, so only `sent` has them. `segments` is None for a call, and if the
    template has no `body`. `price` is the price of the segments with its currency, such as `0.09 CNY`, by
    `OTP(prices=…)`; "" if there is no price, or the message was rejected.
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
