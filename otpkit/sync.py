"""`OTP`: the shell that performs the effects of flows, one after the other. It makes no decisions."""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self, TypeVar

from otpkit.core.arguments import NOT_GIVEN, NotGiven
from otpkit.core.checks import Checks
from otpkit.core.config import Clock, FixedCode, Listener, Secret, build
from otpkit.core.flows import Flows
from otpkit.core.issue import IssueRequest
from otpkit.core.lifetime import Calls, renew_in_children
from otpkit.core.routing import GatewayChoice, TemplateChoice
from otpkit.core.tracing import traced
from otpkit.effects import Call, Emit, Flow, HttpRequest, OTPCall, Outbound, PageFlow, RunScript, Together
from otpkit.errors import ConfigurationError
from otpkit.frames import without_locals
from otpkit.gateways.base import Channel, Delivery, Push, Receipts
from otpkit.guard.budgets import Budget, Spending
from otpkit.guard.options import Guard
from otpkit.guard.report import GuardReport, OverrideScope
from otpkit.models import Audit, Challenge, Erased, GatewayStanding, Proof, Sent, Standing, Stats
from otpkit.policy import DEFAULT_POLICY, Policy
from otpkit.store.retry import RetryBudget
from otpkit.store.sync import SyncStore
from otpkit.telemetry.listeners import join
from otpkit.transport.http import Transport

T = TypeVar("T")
_log = logging.getLogger("otpkit")


@without_locals
class OTP:
    """Verify phones by one-time codes. It is safe to share between threads, and across a fork.

    Args:
        redis: a URL (`redis://`, `rediss://`, `unix://`, `redis+sentinel://`, `redis+cluster://`, or `memory://` for a
            store in this process), or a redis-py client. A URL's query accepts redis-py's options, such as
            `ssl_ca_certs`, and for Sentinels `sentinel_username` and `sentinel_password`. A client that was passed in
            is never closed. One made from a URL waits at most 1 s to connect and 1 s for a reply, and 3 s in all for
            the Redis commands of a call.
        gateway: a `Gateway`, such as `Alidayu(…)`, a function with a `Message` as its argument, a `Failover([…])`, or a
            mapping of regions to these, `{"CN": …, "*": …}`.
        template: a `Template`, or a mapping of purpose to `Template`.
        secret: str or bytes of at least 32 bytes, or a sequence of them: the last one signs, all are accepted. To
            rotate: deploy the new one first in the sequence, then last, and drop the old one after `max_age +
            proof_ttl`.
        policy: the limits and lifetimes.
        index_secret: the secret that keys phones' pseudonyms. It must never change. With several secrets it is
            required: pass the first one.
        fixed_codes: `FixedCode`s for the reviewers of app stores.
        namespace: the prefix of all keys in Redis: letters, digits, `_`, `.`, `-`.
        on_event: a function that is called with every `Event`. Its exceptions are logged by their class, and dropped.
        listeners: more such functions, such as those of `otpkit.telemetry`. What one of them raises concerns neither
            the others nor the call. `close` lets those with a queue pass on what waits in it, for a few seconds.
        clock: a function that returns seconds since the epoch, for tests. None uses the Redis server's clock.
        guard: the protection against abuse; None counts nothing.
        budgets: what messages may cost in a day or a month, as `Budget`s. They need `prices`.
        prices: the price of a message by region, `{"CN": "0.045 CNY"}`, in one currency. `"*"` is any other region,
            `"CN/voice"` a call, `"twilio:US"` one gateway's price. A text of several SMS costs it several times.

    Raises:
        ConfigurationError: an argument can't work. The error names the field and the remedy. The constructor does not
            connect to Redis. The methods raise it too, for a wrong argument, such as a purpose without a template.
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
        listeners: Iterable[Listener] = (),
        clock: Clock | None = None,
        guard: Guard | None = None,
        budgets: Iterable[Budget] = (),
        prices: Mapping[str, str] | None = None,
    ) -> None:
        with Checks() as checks:
            store = checks.of("redis", SyncStore, redis)
            has_store = checks.passed("redis")
            listener = checks.of("listeners", join, on_event, listeners)
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
                listener=listener,
                clock=clock,
                budgets=budgets,
                prices=prices,
                clustered=has_store and store.clustered,
                confirms=not has_store or store.confirms,
                awaits=False,
                guard=guard,
            )
        self._store, self._config, self._listeners = store, config, listener
        self._flows = Flows(config)
        if listener is not None and (tracers := listener.tracers):
            self._flows = traced(self._flows, tracers, store.server)
        self._transport = Transport()
        self._calls = Calls()
        renew_in_children(self, type(self)._after_fork)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Build an `OTP` from environment variables.

        `OTPKIT_REDIS_URL`, `OTPKIT_SECRET`, `OTPKIT_GATEWAY`, `OTPKIT_TEMPLATE_CODE`, `OTPKIT_TEMPLATE_SIGN_NAME` and
        the gateway's own variables (`OTPKIT_ALIDAYU_APP_KEY`, `OTPKIT_ALIDAYU_APP_SECRET`) are read. `OTPKIT_POLICY`
        and `OTPKIT_TEMPLATES` are JSON objects: the fields of the policy, and a template for each purpose.

        `OTPKIT_GATEWAY=alidayu,twilio` is a `Failover`, with its arguments in `OTPKIT_FAILOVER_…`. `OTPKIT_GATEWAYS`, a
        JSON object, names a gateway or a list of them for each region, "*" for all others. A gateway's own templates
        are `OTPKIT_TWILIO_TEMPLATE_…` or `OTPKIT_TWILIO_TEMPLATES`.

        Args:
            overrides: arguments of `OTP`, which replace those of the environment.

        Returns:
            The `OTP`.

        Raises:
            ConfigurationError: variables are missing or wrong. The error names each of them.
        """
        from otpkit.environment import arguments_from  # Most programs never need it, and it takes time to import.

        return cls(**arguments_from(os.environ, overrides))

    @property
    def policy(self) -> Policy:
        """The policy that was passed in."""
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
        device: str | None = None,
        captcha: str | None = None,
        known: bool = False,
        budget_key: str | None = None,
        discreet: bool = False,
    ) -> Challenge:
        """Send a one-time code to a phone. While a code is live, send the same code again.

        `RateLimitError.retry_after` and `BlockedError` reveal, for any bind, what others did with the number, without
        sending anything. `otpkit.web.discreet` answers every stranger alike.

        Args:
            phone: any spelling of a mobile number; fold pasted text with `otpkit.normalize` first.
            purpose: the use of the code; a code for one purpose is not valid for another.
            bind: a text to tie the code to, such as a session id; pass the same to `verify`.
            ip: the visitor's address, for `Policy.ip_sends`, as your trusted proxy reports it, never from a form. None,
                the value of a missing header, counts nothing.
            params: further template variables, used literally.
            idempotency_key: a text that names this request: a second call with it sends nothing, and returns the
                outcome of the first one.
            channel: `"voice"` lets a gateway that can do so call the phone and speak the code. It is the same live
                code, within the same limits.
            region: the region of a number without a country code, one of `Policy.regions`; None is
                `Policy.default_region`.
            device: the device token that `Proof.device` gave this visitor, or up to four joined by `~`, as a shared
                device keeps them. With a valid token for this phone, the visitor may also use the parts of the limits
                that are kept for devices. A wrong or expired token, or one of another phone, counts as None.
            captcha: the answer to the captcha of an earlier `CaptchaRequiredError`, as the visitor's page sent it; None
                without one. It is used up only if a message is sent.
            known: True if your application knows that this very number is verified for this account
                (`user is not None and user.verified_phone == phone`). The guard then asks for a captcha where it would
                refuse a range or an address. Never pass True for a number that was merely typed.
            budget_key: the name of the API key or tenant on whose account the message goes, for `Budget.key`. None is
                no one's.
            discreet: True for a page that hides what others did with the number (`otpkit.web.discreet`). If the number
                is blocked or at its own limits, this first decides the call for a number without a history, which is
                sent nothing: its captcha, its refusal or a limit of the visitor's is then raised instead. It counts at
                the visitor's address, and uses up the captcha's answer, as a message does.

        Returns:
            The `Challenge`. Its `delivery` is `accepted` or `uncertain`: show the form for the code in both cases.

        Raises:
            PhoneError: not a mobile number.
            RegionError: the policy does not allow the number's region.
            RateLimitError: a limit is used up, or the guard refuses a range or an address.
            BlockedError: too many consecutive wrong codes.
            CaptchaRequiredError: the guard asks for a captcha; its child `CaptchaRejectedError`: the answer is wrong,
                too old, or was used before.
            CaptchaUnavailableError: the captcha's provider did not answer, and `Guard.fallback` is `"refuse"`.
            RefusedError: `Guard.risk` refused the send.
            GatewayRejectedError: certainly not sent, and refunded.
            StoreUnavailableError: Redis did not answer; nothing was sent.
        """
        request = IssueRequest(
            phone,
            purpose,
            bind,
            ip,
            params,
            idempotency_key,
            channel,
            region,
            device,
            captcha,
            bool(known),
            budget_key,
            bool(discreet),
        )
        return self._drive(self._flows.issue(request))

    def send(
        self,
        phone: str,
        template: str,
        code: str,
        *,
        minutes: int | None = None,
        ip: str | None = None,
        params: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        channel: Channel = "sms",
        region: str | None = None,
        device: str | None = None,
        captcha: str | None = None,
        known: bool = False,
        budget_key: str | None = None,
    ) -> Sent:
        """Send a code that another system made and keeps, such as Supabase Auth, Ory Kratos or Keycloak.

        It has the limits, the guard, the budgets, the gateways and the outcomes of `issue`, and counts towards the same
        limits of the phone. There is no challenge: the code is neither stored nor logged, `verify` does not know it,
        and a live code of `issue` stays as it is. The other system counts wrong codes itself. otpkit never learns that
        one was right, so a guard counts each of these messages as not verified.

        Args:
            phone: any spelling of a mobile number, as for `issue`.
            template: the purpose whose template is sent, a key of `OTP(template=…)`; any purpose if one template
                serves all. Events, budgets and figures have it as their purpose.
            code: the code, 4 to 10 ASCII digits or letters.
            minutes: the life of the code for the template's `{minutes}`, 1 to 1440; None is `Policy.ttl`.
            ip: the visitor's address, as for `issue`.
            params: further template variables, used literally.
            idempotency_key: a text that names this message: while otpkit remembers it, for a day in most cases, a
                second call with it sends nothing, whatever its code is, and returns the outcome of the first one.
            channel: the same as for `issue`.
            region: the same as for `issue`.
            device: the same as for `issue`.
            captcha: the same as for `issue`.
            known: the same as for `issue`.
            budget_key: the same as for `issue`.

        Returns:
            The `Sent`. Its `delivery` is `accepted` or `uncertain`: the message was sent, or may have been. For a
            repeat it may be `pending`, while the first call is not yet done, or `delivered` or `failed`.

        Raises:
            ConfigurationError: the code or another argument is not valid, or no template serves the purpose.
            PhoneError: not a mobile number.
            RegionError: the policy does not allow the number's region.
            RateLimitError: a limit is used up, or the guard refuses a range or an address.
            BlockedError: too many consecutive wrong codes of `issue` for this phone.
            CaptchaRequiredError: the guard asks for a captcha, or `CaptchaRejectedError`.
            CaptchaUnavailableError: the captcha's provider did not answer, and `Guard.fallback` is `"refuse"`.
            RefusedError: `Guard.risk` refused the send.
            GatewayRejectedError: certainly not sent, and refunded.
            StoreUnavailableError: Redis did not answer; nothing was sent.
        """
        request = IssueRequest(
            phone,
            template,
            "",
            ip,
            params,
            idempotency_key,
            channel,
            region,
            device,
            captcha,
            bool(known),
            budget_key,
        )
        return self._drive(self._flows.send(request, code, minutes))

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
        device: str | None = None,
    ) -> Proof:
        """Verify a typed code: a right code is used up, and a wrong one is counted, in one step.

        It raises instead of returning False, so that a forgotten `if` admits no visitor (NIST SP 800-63B-4 §3.1.3.2,
        OWASP ASVS 6.5.1).

        Args:
            phone: any spelling of the number.
            code: the text as it was typed, with blanks and hyphens.
            purpose: the same as for `issue`.
            bind: the same as for `issue`.
            ip: the visitor's address, for `Policy.ip_failures`, as for `issue`. None counts nothing.
            idempotency_key: a text that names this form: if it is sent twice with the same code, it gets the same
                answer twice. Both answers have one proof with one id, which can be redeemed once.
            region: the same as for `issue`.
            device: the same as for `issue`.

        Returns:
            The `Proof`.

        Raises:
            PhoneError: not a mobile number.
            MalformedCodeError: the text does not have the digits of a code; nothing was counted.
            WrongCodeError: the code is wrong, and was counted.
            ExpiredCodeError: there is no live challenge.
            RateLimitError: a limit is used up.
            BlockedError: too many consecutive wrong codes.
            StoreUnavailableError: Redis did not answer; nothing was granted.
        """
        return self._drive(self._flows.verify(phone, code, purpose, bind, ip, idempotency_key, region, device))

    def check(
        self,
        token: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        phone: str | NotGiven | None = NOT_GIVEN,
        region: str | None = None,
    ) -> Proof:
        """Check a proof's token without Redis, any number of times while it lives.

        A proof that was already redeemed passes too. The time is that of `clock`, or this host's.

        Args:
            token: `Proof.token`.
            purpose: the same as for `verify`.
            bind: the same as for `verify`.
            phone: the form's phone. If it is not the token's phone, the call fails, also for None, the value of a form
                without the field. If it is left out, nothing is compared: then use `proof.phone`, never the form's.
            region: the same as for `issue`.

        Returns:
            The `Proof`.

        Raises:
            InvalidTokenError: the token is not for this purpose, bind, phone and namespace. Outside the default
                namespace, this includes tokens of the first version, which name no namespace.
            ExpiredTokenError: the token has expired.
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
        """Redeem a proof's token, only once: call it where the account is created. The server's time decides.

        Args:
            token: `Proof.token`.
            purpose: the same as for `verify`.
            bind: the same as for `verify`.
            phone: the form's phone. If it is not the token's phone, the call fails, also for None, the value of a form
                without the field. If it is left out, nothing is compared: then use `proof.phone`, never the form's.
            idempotency_key: a text that names this form: if it is sent twice, it gets the same proof twice, while the
                proof lives. With None, a second call is a `UsedTokenError`. The visitor may choose the key, so look at
                `Proof.replayed`.
            request: a text that is the same for the same request, such as the result of `otpkit.web.fingerprint`. A
                different request with the same `idempotency_key` is a `UsedTokenError`. None compares nothing.
            region: the same as for `issue`.

        Returns:
            The `Proof`. If its `replayed` is True, an earlier call redeemed it: return what that call made. A call that
            retries itself after a lost reply is not replayed. A call that you repeat after a `StoreUnavailableError`
            may be replayed, although nothing was made.

        Raises:
            InvalidTokenError: the token is not for this purpose, bind, phone and namespace.
            ExpiredTokenError: the token has expired.
            UsedTokenError: the token was already redeemed, or its record is gone.
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.redeem(token, purpose, bind, phone, idempotency_key, request, region))

    def status(
        self,
        phone: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        region: str | None = None,
        device: str | None = None,
    ) -> Challenge | None:
        """Return the live challenge, and send nothing. Not for strangers: it reveals whether a code is live.

        Args:
            phone: any spelling of the number.
            purpose: the same as for `issue`.
            bind: the same as for `issue`.
            region: the same as for `issue`.
            device: the same as for `issue`. `resend_in` and `sends_left` are then what this device may do.

        Returns:
            The `Challenge`, or None.

        Raises:
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.status(phone, purpose, bind, region, device))

    def standing(self, phone: str, *, region: str | None = None) -> Standing:
        """Return whether a phone is limited or blocked, and change nothing. For operators, never for visitors.

        Only the phone's own limits count, not those of an IP address, a region or all sends.

        Args:
            phone: any spelling of the number.
            region: the same as for `issue`.

        Returns:
            The `Standing`.

        Raises:
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.standing(phone, region))

    def delivery(self, phone: str, purpose: str = "signup", *, bind: str = "", region: str | None = None) -> Delivery:
        """Ask the gateway for the delivery of the live challenge's latest message. Not for strangers.

        Args:
            phone: any spelling of the number.
            purpose: the same as for `issue`.
            bind: the same as for `issue`.
            region: the same as for `issue`.

        Returns:
            A `Delivery`: pending, delivered, failed or unknown (for example without a live challenge).

        Raises:
            PhoneError: not a mobile number.
            GatewayRejectedError: the gateway refused the query.
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.delivery(phone, purpose, bind, region))

    def receive(self, push: Push, *, gateway: str = "") -> Receipts:
        """Record the receipts that a provider pushed, and return the response for it.

        Every receipt of the push is recorded. A repeated receipt, or one of a message from elsewhere, changes nothing.

        Args:
            push: the provider's request.
            gateway: the name of the gateway, as in `Challenge.gateway`; "" if there is only one.

        Returns:
            The `Receipts`, with the response for the provider.

        Raises:
            ConfigurationError: there is no gateway of this name, or it receives no pushes.
            StoreUnavailableError: Redis did not answer. Answer with its `status`, and the provider pushes again.
        """
        return self._drive(self._flows.receive(push, gateway))

    def revoke(
        self,
        phone: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        region: str | None = None,
        actor: str = "",
        reason: str = "",
    ) -> None:
        """End the live challenge. Its messages stay counted.

        Args:
            phone: any spelling of the number.
            purpose: the same as for `issue`.
            bind: the same as for `issue`.
            region: the same as for `issue`.
            actor: the operator's name. With an `actor` or a `reason` the call is audited; without them it is the
                application's own, for its user.
            reason: the operator's reason, as for `unblock`.

        Raises:
            ConfigurationError: `actor` or `reason` can't be written.
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        self._drive(self._flows.revoke(phone, purpose, bind, region, actor=actor, reason=reason))

    def unblock(self, phone: str, *, region: str | None = None, actor: str = "", reason: str = "") -> None:
        """Remove a block and clear the failures: for an operator who knows the user, never for visitors.

        Args:
            phone: any spelling of the number.
            region: the same as for `issue`.
            actor: the operator's name, for the audit: at most 256 characters.
            reason: the reason, for the audit: at most 256 characters, without the number.

        Raises:
            ConfigurationError: `actor` or `reason` can't be written.
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        self._drive(self._flows.unblock(phone, region, actor=actor, reason=reason))

    def check_device(self, token: str | None, phone: str, *, region: str | None = None) -> datetime | None:
        """Return when this device last verified this phone, such as to skip the code for 30 days.

        Args:
            token: the device token, as for `issue`.
            phone: any spelling of the number.
            region: the same as for `issue`.

        Returns:
            The time of the verification that made the token, an aware UTC datetime. None if the token is wrong, expired
            (`Policy.device_ttl`), forgotten, or not for this phone and namespace.

        Raises:
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.check_device(token, phone, region))

    def forget_devices(self, phone: str, *, region: str | None = None, actor: str = "", reason: str = "") -> None:
        """End all device tokens of a phone: for its user who lost a device, or for an operator.

        Each device becomes a stranger until it verifies the phone again.

        Args:
            phone: any spelling of the number.
            region: the same as for `issue`.
            actor: the same as for `unblock`; "" if the phone's user asks for it.
            reason: the same as for `unblock`.

        Raises:
            ConfigurationError: `actor` or `reason` can't be written.
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        self._drive(self._flows.forget_devices(phone, region, actor=actor, reason=reason))

    def erase(self, phone: str, *, region: str | None = None, actor: str = "", reason: str = "") -> Erased:
        """Remove all that is stored about a phone, with its limits (GDPR Art. 17, PIPL Art. 47). Never for visitors.

        Its device tokens end too: the time of this call stays for `Policy.device_ttl`, under the phone's pseudonym.

        Args:
            phone: any spelling of the number.
            region: the same as for `issue`.
            actor: the same as for `unblock`.
            reason: the same as for `unblock`.

        Returns:
            What was removed, as `Erased`.

        Raises:
            ConfigurationError: `actor` or `reason` can't be written.
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.erase(phone, region, actor=actor, reason=reason))

    def guard_report(
        self, hours: int = 24, *, phone: str | None = None, ip: str | None = None, region: str | None = None
    ) -> GuardReport:
        """Return what the guard decided, and what it counts now. For operators, never for visitors.

        Args:
            hours: the last hours whose decisions are counted, 1 to 168.
            phone: a number, to see the counts of its range and its region; None is the subjects with most decisions.
            ip: an address, to see its counts and those of its network.
            region: the same as for `issue`.

        Returns:
            The `GuardReport`. It names ranges and addresses by pseudonyms.

        Raises:
            ConfigurationError: there is no guard, or `hours` is wrong.
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.guard_report(hours, phone, ip, region))

    def guard_allow(
        self,
        scope: OverrideScope,
        subject: str = "",
        *,
        seconds: int = 43_200,
        actor: str = "",
        reason: str = "",
    ) -> None:
        """Let a scope neither refuse nor ask for a captcha for some time. It still counts, and budgets still hold.

        Args:
            scope: `range`, `ip`, `net`, `region` or `total`.
            subject: a number of the range, an address, or a region's code; "" for the total.
            seconds: how long it holds, 60 to 2,592,000 (30 days).
            actor: the same as for `unblock`.
            reason: the same as for `unblock`.

        Raises:
            ConfigurationError: there is no guard, or an argument is wrong.
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        self._drive(self._flows.override("allow", scope, subject, seconds, actor=actor, reason=reason))

    def guard_block(
        self,
        scope: OverrideScope,
        subject: str = "",
        *,
        seconds: int = 43_200,
        actor: str = "",
        reason: str = "",
    ) -> None:
        """Refuse all sends of a scope for some time, also to known users, safe phones and known devices.

        In mode `observe` it is reported and refuses nothing. The arguments and errors are those of `guard_allow`.
        """
        self._drive(self._flows.override("block", scope, subject, seconds, actor=actor, reason=reason))

    def guard_clear(self, scope: OverrideScope, subject: str = "", *, actor: str = "", reason: str = "") -> None:
        """End an override of `guard_allow` or `guard_block`. The arguments and errors are those of `guard_allow`."""
        self._drive(self._flows.override("clear", scope, subject, 60, actor=actor, reason=reason))

    def gateways(self) -> tuple[GatewayStanding, ...]:
        """Return the circuit and the last error of each gateway, and change nothing. For operators.

        Returns:
            One `GatewayStanding` for each gateway, in their order.

        Raises:
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.gateways())

    def open_circuit(self, gateway: str, *, seconds: int = 3600, actor: str = "", reason: str = "") -> None:
        """Skip a gateway for some time: the others are tried before it. A gateway without others still sends.

        Args:
            gateway: its name, as `gateways` returns it; "" if there is only one.
            seconds: how long it is skipped, 60 to 86,400 (a day).
            actor: the same as for `unblock`.
            reason: the same as for `unblock`.

        Raises:
            ConfigurationError: there is no such gateway, or an argument is wrong.
            StoreUnavailableError: Redis did not answer.
        """
        self._drive(self._flows.open_circuit(gateway, seconds, actor=actor, reason=reason))

    def close_circuit(self, gateway: str, *, actor: str = "", reason: str = "") -> None:
        """Use a gateway again: forget its failures, and what `open_circuit` set. Its last error stays.

        The arguments and errors are those of `open_circuit`.
        """
        self._drive(self._flows.close_circuit(gateway, actor=actor, reason=reason))

    def spending(self) -> tuple[Spending, ...]:
        """Return what each budget has spent in its day or month, and change nothing. For operators.

        Returns:
            A `Spending` for each budget, in the order of `OTP(budgets=…)`.

        Raises:
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.spending())

    def stats(self, hours: int = 24) -> Stats:
        """Return what happened in the last hours, and change nothing. For operators.

        The counters lie in Redis, and every process of the namespace adds to them. They contain nothing about a person.

        Args:
            hours: how many, the current one included: 1 to 9600. Up to 840 hours (35 days) are kept by the hour. A
                longer span begins with a UTC day, and its `spans` are days.

        Returns:
            The figures in all, by region, by gateway, and by hour or day.

        Raises:
            ConfigurationError: `hours` is another number.
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.stats(hours))

    def audit(
        self,
        phone: str | None = None,
        *,
        since: datetime | None = None,
        limit: int = 100,
        region: str | None = None,
    ) -> Audit:
        """Return what operators did, and which security events happened, newest first. For operators.

        Args:
            phone: any spelling of a number, to see only its entries; None is all entries.
            since: an aware datetime: the earliest time of an entry; None is `Policy.audit_days` ago.
            limit: the most entries to return, 1 to 10,000.
            region: the same as for `issue`.

        Returns:
            The `Audit`. It names phones, ranges and addresses by pseudonyms.

        Raises:
            ConfigurationError: an argument is wrong.
            PhoneError: not a mobile number.
            StoreUnavailableError: Redis did not answer.
        """
        return self._drive(self._flows.audit(phone, since, limit, region))

    def close(self) -> None:
        """Refuse further calls, and close the connections that this object made.

        Later calls raise `ConfigurationError` before anything is written or sent, except `check`, which needs no
        connection. Running calls in other threads end as usual, and the last one closes the connections. A client that
        was passed in stays open. A second close does nothing.
        """
        if self._calls.close():
            self._release()
        if self._listeners is not None:
            self._listeners.close()

    def _after_fork(self) -> None:
        """Leave the parent's locks and connections alone. Python calls this in a forked child."""
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
                    # A script is the most frequent effect: run it without another function call.
                    reply = run(effect, budget) if type(effect) is RunScript else self._perform(effect, budget)
                except Exception as error:  # noqa: BLE001 - The flow decides what it means.
                    failure = error
                else:
                    effect = flow.send(reply)
                    continue
                # Throw outside the except block: otherwise the flow's next error would have this one as its context.
                effect = flow.throw(failure)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()  # After an interrupt, end what the flow began.
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
    """Return the result of a function; raise `ConfigurationError` for an awaitable, which never ran."""
    if result is None or not inspect.isawaitable(result):
        return result
    if inspect.iscoroutine(result):
        result.close()
    raise ConfigurationError("The gateway function returns an awaitable.", "Use AsyncOTP, or pass a plain function.")


def tell(listener: Listener | None, effect: Emit) -> None:
    """Log an effect's warning, and pass its event to the listeners, which never raise: see `Listeners`."""
    if effect.warning:
        _log.warning("%s", effect.warning)
    if listener is not None:
        listener(effect.event)


@without_locals
def drive(flow: Flow[T] | PageFlow[T], otp: OTP) -> T:
    """Run a page flow to its end, and return its result. It raises what the flow does not catch.

    A page flow is a generator that yields calls, such as `lambda otp: otp.verify(phone, code)`, and receives their
    results. So the same page works with `OTP` and with `AsyncOTP`.

    Args:
        flow: the page flow.
        otp: the `OTP` for its calls.

    Returns:
        The flow's result.
    """
    return otp._drive(flow)
