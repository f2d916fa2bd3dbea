"""`OTP`: the shell that performs what flows ask for, one after the other. It holds no decision."""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

from otpkit.core.arguments import NOT_GIVEN, NotGiven
from otpkit.core.checks import Checks
from otpkit.core.config import Clock, FixedCode, Listener, Secret, build
from otpkit.core.flows import Flows
from otpkit.core.issue import IssueRequest
from otpkit.core.lifetime import Calls, renew_in_children
from otpkit.core.routing import GatewayChoice, TemplateChoice
from otpkit.effects import Call, Emit, Flow, HttpRequest, OTPCall, Outbound, PageFlow, RunScript, Together
from otpkit.errors import ConfigurationError
from otpkit.frames import without_locals
from otpkit.gateways.base import Channel, Delivery, Push, Receipts
from otpkit.models import Challenge, Proof, Standing
from otpkit.policy import DEFAULT_POLICY, Policy
from otpkit.store.retry import RetryBudget
from otpkit.store.sync import SyncStore
from otpkit.transport.http import Transport

T = TypeVar("T")
_log = logging.getLogger("otpkit")


@without_locals
class OTP:
    """Verify phones by one-time codes. Safe to share between threads, and across a fork.

    Args:
        redis: a URL (`redis://`, `rediss://`, `unix://`, `redis+sentinel://`, `redis+cluster://`, or `memory://` for a
            store in this process), or a redis-py client. A URL's query takes redis-py's options, such as
            `ssl_ca_certs`, and for Sentinels `sentinel_username` and `sentinel_password`. A client that was passed in
            is never closed; one made from a URL waits at most 1 s to connect and 1 s for an answer, and 3 s in all for
            what a call asks of Redis.
        gateway: a `Gateway`, such as `Alidayu(…)`, a function that takes a `Message`, a `Failover([…])`, or a mapping
            of regions to these, `{"CN": …, "*": …}`.
        template: a `Template`, or a mapping of purpose to `Template`.
        secret: str or bytes of at least 32 bytes, or a sequence of them: the last one signs, all are accepted. To
            rotate: deploy the new one first in the sequence, then last, and drop the old one after `max_age +
            proof_ttl`.
        policy: the limits and lives.
        index_secret: the secret that keys phones' pseudonyms. It never changes: required, as the first secret, once
            there are several.
        fixed_codes: `FixedCode`s for the reviewers of app stores.
        namespace: the prefix of all keys in Redis: letters, digits, `_`, `.`, `-`.
        on_event: a function that is told of every `Event`; what it raises is logged and dropped.
        clock: a function that gives seconds since the epoch, for tests. None is the Redis server's own clock.

    Raises `ConfigurationError` for anything that can't work, naming the field and the remedy. Nothing is connected to
    yet. The methods raise it too, for a wrong argument of the developer's, such as a purpose without a template.
    """

    def __init__(
        self,
        redis: Any,
        gateway: GatewayChoice,
        template: TemplateChoice,
        secret: Secret,
        *,
        policy: Policy = DEFAULT_POLICY,
        index_secret: str | bytes | None = None,
        fixed_codes: Iterable[FixedCode] = (),
        namespace: str = "otpkit",
        on_event: Listener | None = None,
        clock: Clock | None = None,
    ) -> None:
        with Checks() as checks:
            store = checks.of("redis", SyncStore, redis)
            has_store = checks.passed("redis")
            config = checks.of(
                "",
                build,
                gateway,
                template,
                secret,
                policy=policy,
                index_secret=index_secret,
                fixed_codes=fixed_codes,
                namespace=namespace,
                on_event=on_event,
                clock=clock,
                clustered=has_store and store.clustered,
                confirms=not has_store or store.confirms,
                awaits=False,
            )
        self._store, self._config = store, config
        self._flows = Flows(self._config)
        self._transport = Transport()
        self._calls = Calls()
        renew_in_children(self, type(self)._after_fork)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Build from the environment: `OTPKIT_REDIS_URL`, `OTPKIT_SECRET`, `OTPKIT_GATEWAY`, `OTPKIT_TEMPLATE_CODE`,
        `OTPKIT_TEMPLATE_SIGN_NAME` and the gateway's own (`OTPKIT_ALIDAYU_APP_KEY`, `OTPKIT_ALIDAYU_APP_SECRET`).
        `OTPKIT_POLICY` and `OTPKIT_TEMPLATES`, JSON objects, are the policy's fields and a template for each purpose.

        `OTPKIT_GATEWAY=alidayu,twilio` is a `Failover`, with its arguments in `OTPKIT_FAILOVER_…`. `OTPKIT_GATEWAYS`, a
        JSON object, names a gateway or a list of them for each region, "*" for all others. A gateway's own templates
        are `OTPKIT_TWILIO_TEMPLATE_…` or `OTPKIT_TWILIO_TEMPLATES`.

        `overrides` are arguments of `OTP`, which win. Raises `ConfigurationError` that says exactly what is missing and
        what is wrong.
        """
        from otpkit.environment import arguments_from  # Most programs never need it, and it takes time to import.

        return cls(**arguments_from(os.environ, overrides))

    @property
    def policy(self) -> Policy:
        """The limits and lives, as they were given."""
        return self._config.policy

    def issue(
        self,
        phone: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        ip: str | None = None,
        params: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        channel: Channel = "sms",
        region: str | None = None,
    ) -> Challenge:
        """Send a one-time code to a phone; while one is live, send the same code again.

        Args:
            phone: any spelling of a mobile number; fold what people paste by `otpkit.normalize` first.
            purpose: what the code is for; a code of one purpose is worth nothing in another.
            bind: a text that the code must stay tied to, such as a session id; the same must be given to `verify`.
            ip: the visitor's address, for `Policy.ip_sends`, as your proxy is trusted to say it, never a form. None, as
                a header that is missing gives, counts none.
            params: further template variables, taken literally.
            idempotency_key: a text that names this request: a second call with it sends nothing and gives the first
                one's outcome.
            channel: `"voice"` has a gateway that can do so call the phone and speak the code: the live challenge's same
                code, within the same limits.
            region: the region of a number without a country code, one of `Policy.regions`; None is
                `Policy.default_region`. All calls that take a phone take it.

        Returns the `Challenge`, whose `delivery` is `accepted` or `uncertain`: show the form for the code in both
        cases.

        Raises `PhoneError`, `RegionError`, `RateLimitError`, `BlockedError`, `GatewayRejectedError` (certainly not
        sent, and given back), `StoreUnavailableError` (nothing was sent).

        `RateLimitError.retry_after` and `BlockedError` tell, whatever the bind, what others did with the number, and
        send nothing: `otpkit.web.discreet` has one answer for strangers.
        """
        request = IssueRequest(phone, purpose, bind, ip, params, idempotency_key, channel, region)
        return self._drive(self._flows.issue(request))

    def verify(
        self,
        phone: str,
        code: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        ip: str | None = None,
        idempotency_key: str | None = None,
        region: str | None = None,
    ) -> Proof:
        """Verify the code that a person typed: a right one is used up, a wrong one is counted, in one step.

        Args:
            phone: any spelling of the number.
            code: what was typed, blanks and hyphens included.
            purpose: as given to `issue`.
            bind: as given to `issue`.
            ip: the visitor's address, for `Policy.ip_failures`, as in `issue`. None counts none.
            idempotency_key: a text that names this form: sent twice with the same code, it gets the same answer twice.
                Both have one proof, with one id, which is redeemed once.
            region: as given to `issue`.

        Returns a `Proof`. It raises instead of returning False, so that a forgotten `if` lets nobody in (NIST SP
        800-63B-4 §3.1.3.2, OWASP ASVS 6.5.1).

        Raises `PhoneError`, `MalformedCodeError`, `WrongCodeError`, `ExpiredCodeError`, `RateLimitError`,
        `BlockedError`, `StoreUnavailableError`.
        """
        return self._drive(self._flows.verify(phone, code, purpose, bind, ip, idempotency_key, region))

    def check(
        self,
        token: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        phone: str | NotGiven | None = NOT_GIVEN,
        region: str | None = None,
    ) -> Proof:
        """Check a proof's token without Redis; it may be checked any number of times while it lives.

        A proof that was redeemed is still read. Judged by `clock`, or this host's.

        Args:
            token: `Proof.token`.
            purpose: as given to `verify`.
            bind: as given to `verify`.
            phone: the form's phone; any but the token's is an error, and so is None, which a form without the field
                gives. Left out, nothing is compared: use `proof.phone` then, never the form's.
            region: as given to `issue`.

        Returns the `Proof`. Raises `InvalidTokenError`, also for a token of another namespace and, in a namespace but
        the default one, for a token of the first version, which names none; `ExpiredTokenError`.
        """
        return self._flows.check(token, purpose, bind, phone, region)

    def redeem(
        self,
        token: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        phone: str | NotGiven | None = NOT_GIVEN,
        idempotency_key: str | None = None,
        request: str | None = None,
        region: str | None = None,
    ) -> Proof:
        """Redeem a proof's token, once ever: call it where the account is created. Judged by the server's time.

        Args:
            token: `Proof.token`.
            purpose: as given to `verify`.
            bind: as given to `verify`.
            phone: the form's phone; any but the token's is an error, and so is None, which a form without the field
                gives. Left out, nothing is compared: use `proof.phone` then, never the form's.
            idempotency_key: a text that names this form: sent twice, it gets the same proof twice, while it lives. None
                stands for none: a second call is then a `UsedTokenError`. The visitor may choose it, so look at
                `Proof.replayed`.
            request: a text that is the same for the same request, such as `otpkit.web.fingerprint` returns: another
                request with the same `idempotency_key` is a `UsedTokenError`. None compares nothing.
            region: as given to `issue`.

        Returns the `Proof`. Where its `replayed` is True, an earlier call redeemed it: return what that call made. A
        call that repeats itself after a lost reply is not replayed; one that was made anew after a
        `StoreUnavailableError` may be, though nothing was made.

        Raises `InvalidTokenError`, `ExpiredTokenError`, `UsedTokenError`, `StoreUnavailableError`.
        """
        return self._drive(self._flows.redeem(token, purpose, bind, phone, idempotency_key, request, region))

    def status(
        self, phone: str, purpose: str = "signup", *, bind: str = "", region: str | None = None
    ) -> Challenge | None:
        """Return the live challenge, or None; sends nothing. Not for strangers: it tells whether a code is live.

        Raises `PhoneError`, `StoreUnavailableError`.
        """
        return self._drive(self._flows.status(phone, purpose, bind, region))

    def standing(self, phone: str, *, region: str | None = None) -> Standing:
        """Tell whether a phone is limited or blocked; changes nothing. For operators, never for visitors.

        Of its own limits alone: those of an IP address, a region and all sends are no phone's. Raises `PhoneError`,
        `StoreUnavailableError`.
        """
        return self._drive(self._flows.standing(phone, region))

    def delivery(self, phone: str, purpose: str = "signup", *, bind: str = "", region: str | None = None) -> Delivery:
        """Ask the gateway what became of the live challenge's latest message. Not for strangers.

        Returns a `Delivery`: pending, delivered, failed or unknown (as where no challenge is live).

        Raises `PhoneError`, `GatewayRejectedError`, `StoreUnavailableError`.
        """
        return self._drive(self._flows.delivery(phone, purpose, bind, region))

    def receive(self, push: Push, *, gateway: str = "") -> Receipts:
        """Record what a provider pushed of messages sent here, and return what to answer it.

        `gateway` is the name of the one that the push is of, as `Challenge.gateway` has it; "" where there is only one.
        Every receipt of the push is recorded, however many they are; one that is told twice, or of a message that was
        not sent here, changes nothing.

        Raises `ConfigurationError` for a name that no gateway has and for a gateway that is pushed no receipts, and
        `StoreUnavailableError`: answer the provider with its `status`, and it pushes again.
        """
        return self._drive(self._flows.receive(push, gateway))

    def revoke(self, phone: str, purpose: str = "signup", *, bind: str = "", region: str | None = None) -> None:
        """End the live challenge; its messages stay counted. Raises `PhoneError`, `StoreUnavailableError`."""
        self._drive(self._flows.revoke(phone, purpose, bind, region))

    def unblock(self, phone: str, *, region: str | None = None) -> None:
        """Lift a block and clear the failures: for an operator who knows the person, never for visitors.

        Raises `PhoneError`, `StoreUnavailableError`.
        """
        self._drive(self._flows.unblock(phone, region))

    def erase(self, phone: str, *, region: str | None = None) -> None:
        """Remove all that is kept of a phone, its limits too (GDPR Art. 17, PIPL Art. 47): never for visitors.

        Raises `PhoneError`, `StoreUnavailableError`.
        """
        self._drive(self._flows.erase(phone, region))

    def close(self) -> None:
        """Refuse further calls, and close the connections that this object made.

        Every call but `check`, which needs no connection, then raises `ConfigurationError` before anything is written
        or sent. Calls under way in other threads end as usual, and the last one closes the connections. A client that
        was passed in stays open. Closing again does nothing.
        """
        if self._calls.close():
            self._release()

    def _after_fork(self) -> None:
        """Leave the parent's locks and connections alone; Python calls this in a forked child."""
        self._calls.forget()
        self._store.after_fork()

    def _release(self) -> None:
        self._transport.close()
        self._store.close()

    def __enter__(self) -> Self:
        self._calls.require_open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _drive(self, flow: Flow[T] | PageFlow[T]) -> T:
        budget, calls, run = RetryBudget(), self._calls, self._store.run
        calls.add(flow)
        try:
            if calls.is_closed:
                calls.require_open()
            effect = next(flow)
            while True:
                try:
                    # A script is the usual one: it is run without a frame between.
                    reply = run(effect, budget) if type(effect) is RunScript else self._perform(effect, budget)
                except Exception as error:  # noqa: BLE001 - the flow decides what it means
                    failure = error
                else:
                    effect = flow.send(reply)
                    continue
                # Outside the except block, or what the flow raises next would carry it as its context.
                effect = flow.throw(failure)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            calls.discard(flow)
            if calls.is_closed and not calls:
                self._release()

    def _perform(
        self, effect: Together[object] | Emit | Outbound | HttpRequest | Call | OTPCall, budget: RetryBudget
    ) -> Any:
        if isinstance(effect, Outbound):
            return self._hand_over(effect.effect, effect.within)
        if isinstance(effect, Together):
            return [self._store.run(script, budget) for script in effect.scripts]
        if isinstance(effect, Emit):
            return tell(self._config.listener, effect)
        if callable(effect):
            return effect(self)
        return self._hand_over(effect, None)

    def _hand_over(self, effect: HttpRequest | Call, within: float | None) -> Any:
        if isinstance(effect, HttpRequest):
            return self._transport.exchange(effect, None if within is None else time.monotonic() + within)
        return refuse_awaitable(effect.function(effect.argument))


def refuse_awaitable(result: Any) -> Any:
    """Return what a function gave; raises `ConfigurationError` for what was never awaited, and so never done."""
    if result is None or not inspect.isawaitable(result):
        return result
    if inspect.iscoroutine(result):
        result.close()
    raise ConfigurationError("The gateway function gives an awaitable.", "Use AsyncOTP with it, or a plain function.")


def tell(listener: Listener | None, effect: Emit) -> None:
    """Hand an event to the listener; what it raises is logged by class alone, for its text may hold anything."""
    if effect.warning:
        _log.warning("%s", effect.warning)
    if listener is None:
        return
    try:
        listener(effect.event)
    except Exception as error:  # noqa: BLE001 - a listener must not undo what has happened
        _log.error("on_event raised %s for the event %s", type(error).__name__, effect.event.name)


@without_locals
def drive(flow: Flow[T] | PageFlow[T], otp: OTP) -> T:
    """Run a page flow to its end, and return what it returns. Raises what it does not catch.

    A page flow is a generator that yields calls, such as `lambda otp: otp.verify(phone, code)`, and is sent what they
    return. So a page is written once for both, `OTP` and `AsyncOTP`.
    """
    return otp._drive(flow)
