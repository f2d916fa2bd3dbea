"""The values that callers receive. Frozen and slotted. No repr shows a code, a token or a whole phone number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
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
class Sent:
    """A message with a code of another system, from `send`. There is nothing to verify.

    `id` is the id of the send, which the gateway and the events of this message have too; a repeat by an idempotency
    key has that of the first. `phone` is in E.164, and `purpose` the one whose template was used. `delivery`, `gateway`
    and `replayed` are as in `Challenge`. `resend_at` is an aware UTC datetime by the Redis server's clock, and
    `resend_in` the same in whole seconds: when `Policy.sends` allows this phone another message. `sends_left` is what
    its longest window still allows.
    """

    id: str
    phone: str
    purpose: str
    delivery: DeliveryState
    gateway: str
    resend_at: datetime
    resend_in: int
    sends_left: int
    replayed: bool = False

    def __repr__(self) -> str:
        return (
            f"Sent(id={self.id!r}, phone={mask(self.phone)!r}, purpose={self.purpose!r}, delivery={self.delivery!r}, "
            f"gateway={self.gateway!r}, resend_in={self.resend_in}, sends_left={self.sends_left}, "
            f"replayed={self.replayed})"
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
    - `sent`: a gateway was given a message. There is one for each message, and an issue may send none or several. For
      another system's code there is no other event.
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
    - `operator`: an operator's action was carried out, beside the event that names the change.

    `operation` is the name of the call. `operation_id` is its id in Redis: for an issue the id of the send, which the
    gateway also received, for a verify the id of the proof. `challenge_id` is `Challenge.id`. `at` is the time of the
    server's latest reply, an aware UTC datetime. `duration_ms` is the duration of the call, for `sent` that of the
    gateway's part of it, and for a receipt the time since the send. `phone_id` is a keyed pseudonym: it is the same for
    the same phone, and does not reveal the phone. `outcome` is the delivery of an issue, the `code` of an error, the
    way in which a gateway failed, `alert` or `refused` of a budget, or "". For `sent` it is `accepted`, `rejected` or
    `uncertain`. For the guard it is `captcha`, `refused`, `observed` (nothing was refused in that mode), `error`
    (`Guard.risk` failed), `allowed`, `blocked` or `cleared`; for a captcha `required`, `passed`, `rejected`, or
    `unavailable` (its provider did not answer). For `operator` it is the action, and `detail` the operator's name.
    `gateway` is the name of the gateway that served or failed, `channel` the channel of its message (`sms` or `voice`),
    `region` the phone's region, and `scope` the scope of the limit that refused. `detail` has one or two more words:
    the gateway that served, the scope of a limit, a gateway's code, the class of its exception, or the budget.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What happened in a span of time: messages, verifications, refusals and cost.

    `sent` counts messages that a gateway accepted or may have sent, `uncertain` those of them that it may have sent,
    `relayed` those of them whose code another system keeps (see `OTP.send`), and `rejected` those that a gateway
    certainly did not send. `delivered` and `failed` count receipts. `verified` counts verified challenges,
    `wrong_codes` wrong codes; the gateway of both is that of the challenge's latest message. `limited` counts refused
    calls by the scope of the limit, or `budget`, `gateway` or `blocked`. `guard` counts the guard's decisions by
    outcome: `captcha`, `refused` or `observed`. `cost` is what the sent messages cost by `OTP(prices=…)`, and
    `relayed_cost` the part of the relayed ones. `receipt_p50` and `receipt_p95` are the seconds from a send to its
    receipt that half, and 95 %, of the delivered messages took at most; None without receipts. Times from a quarter of
    a second to 18 hours are at most 12.5 % off.
    """

    sent: int = 0
    uncertain: int = 0
    relayed: int = 0
    rejected: int = 0
    delivered: int = 0
    failed: int = 0
    verified: int = 0
    wrong_codes: int = 0
    limited: Mapping[str, int] = field(default_factory=dict)
    guard: Mapping[str, int] = field(default_factory=dict)
    cost: Decimal = Decimal(0)
    relayed_cost: Decimal = Decimal(0)
    receipt_p50: float | None = None
    receipt_p95: float | None = None

    @property
    def conversion(self) -> float | None:
        """Verified challenges for each sent message that is not relayed; None if there is no such message."""
        own = self.sent - self.relayed
        return self.verified / own if own else None

    @property
    def cost_per_verified(self) -> Decimal | None:
        """The cost for each verified challenge, to a millionth, without relayed messages; None if none was verified."""
        return round((self.cost - self.relayed_cost) / self.verified, 6).normalize() if self.verified else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The figures of a span of time, from counters that lie in Redis. They contain nothing about a person.

    `since` and `until` are aware UTC datetimes by the Redis server's clock. `since` is the start of an hour, or of a
    day if the span is longer than the hours that are kept. `currency` is that of the prices, or "". `total` is all of
    it, `regions` and `gateways` the same by the phone's region and by the gateway's name; those beyond the kept number
    of names are under `other`. `spans` are the hours of the span, or its days, each with its start, oldest first.
    """

    since: datetime
    until: datetime
    currency: str
    total: Figures
    regions: Mapping[str, Figures]
    gateways: Mapping[str, Figures]
    spans: tuple[tuple[datetime, Figures], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStanding:
    """The circuit of a gateway, and its last error. For operators.

    `name` is its name in challenges and events. `state` is `closed`; `open`: it is tried after all others; or
    `half_open`: its rest has ended, and the next message decides. `failures` counts those in a row that concern every
    message; a gateway without a `Failover` has none. `open_until` is an aware UTC datetime, or None. `by_hand` is True
    if an operator opened the circuit.

    `last_error` is the gateway's own code, the category of the rejection, or `uncertain`; "" if none is known of the
    last week. `last_error_at` is its time, an aware UTC datetime, or None. `remedy` is what to do about it, by the
    provider's table of errors.
    """

    name: str
    state: Literal["closed", "open", "half_open"]
    failures: int = 0
    open_until: datetime | None = None
    last_error: str = ""
    last_error_at: datetime | None = None
    remedy: str = ""
    by_hand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry of the audit: what an operator did, or a security event. It names phones by their pseudonyms.

    `action` is what an operator did: `unblocked`, `revoked`, `devices_forgotten`, `erased`, `guard_allowed`,
    `guard_blocked`, `guard_cleared`, `circuit_opened` or `circuit_closed`; or what happened: `blocked` (a phone, after
    too many wrong codes), `guard_refused`, `fixed_code_used` or `key_rejected` (an API key of the service). `actor` and
    `reason` are the operator's; both are "" for what happened by itself. `phone_id` is the pseudonym of the phone, or
    "". `scope` is the scope of the guard's decision or override, and `subject` its subject: the pseudonym of a range or
    an address, the code of a region, or the name of a gateway.

    `outcome` of an operator's action is `done`, the `code` of the error, or `begun` if no end was recorded: it may or
    may not have been carried out. Otherwise it is "". `count` is how often it has happened in this hour so far: the
    guard's refusals and rejected keys are written at the first, the tenth, the hundredth … time.
    """

    id: str
    at: datetime
    action: str
    actor: str = ""
    reason: str = ""
    phone_id: str = ""
    scope: str = ""
    subject: str = ""
    outcome: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The entries of an audit, newest first.

    `is_capped` is True if the audit has reached its greatest length, so that entries younger than `Policy.audit_days`
    may be gone. `oldest` is the time of the oldest entry that is kept, of any phone; None if there is none.
    """

    entries: tuple[AuditEntry, ...] = ()
    is_capped: bool = False
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What `erase` removed of a phone: how many sends, challenges, proofs and so on, and whether a block was lifted.

    `wrong_codes` are those of `Policy.failures`, `consecutive_failures` the count that leads to a block. `records` is
    the number of all records of the phone, including those that only belong to one of the others.
    """

    sends: int = 0
    challenges: int = 0
    wrong_codes: int = 0
    proofs: int = 0
    consecutive_failures: int = 0
    records: int = 0
