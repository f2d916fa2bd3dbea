"""`AsyncOTP`: the shell that awaits the effects of flows. It makes no decisions."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Self, TypeVar

from otpkit.core.arguments import NOT_GIVEN, NotGiven
from otpkit.core.checks import Checks
from otpkit.core.config import Clock, Config, FixedCode, Listener, Secret, build
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
from otpkit.store.aio import AsyncStore
from otpkit.store.retry import RetryBudget
from otpkit.sync import OTP, tell
from otpkit.telemetry.listeners import join
from otpkit.transport.lanes import Lanes

T = TypeVar("T")
_SIDE_BY_SIDE = 8  # The scripts of one call that run concurrently.


@without_locals
class AsyncOTP:
    """Verify phones by one-time codes, in asyncio: the same as `OTP`, but awaited.

    `redis` is a URL, which works in any number of event loops, or a client of redis.asyncio, which works in one at a
    time. Redis is awaited, and so is a gateway that is an async function. HTTP is awaited with the extra `aiohttp`;
    without it, HTTP runs on threads, as plain functions always do. A cancelled call does nothing further: a message
    that was being sent stays uncertain, and one that waited for its turn is never sent.

    Args:
        gateway_wait: seconds that a message may wait while its gateway is at its `gateway_concurrency`. After that it
            is certainly not sent: the next gateway of a `Failover` is tried, or the call raises `GatewayRejectedError`,
            category `connection`, and refunds the limits.
        gateway_concurrency: the number of concurrent messages and queries for each gateway; None is 32 on threads, and
            512 by aiohttp in each event loop.

    Raises:
        ConfigurationError: an argument can't work. In other event loops than asyncio's, such as trio's, every call
            raises it.
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
        gateway_wait: float = 5,
        gateway_concurrency: int | None = None,
    ) -> None:
        with Checks() as checks:
            store = checks.of("redis", AsyncStore, redis)
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
                awaits=True,
                guard=guard,
            )
            lanes = checks.of("", Lanes, gateway_wait, gateway_concurrency)
        self._store, self._config, self._listeners = store, config, listener
        self._flows = Flows(config)
        if listener is not None and (tracers := listener.tracers):
            self._flows = traced(self._flows, tracers, store.server)
        self._lanes = lanes
        self._calls = Calls()
        renew_in_children(self, type(self)._after_fork)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Build an `AsyncOTP` from environment variables; the same as `OTP.from_env`."""
        from otpkit.environment import arguments_from  # Most programs never need it, and it takes time to import.

        return cls(**arguments_from(os.environ, overrides))

    @property
    def policy(self) -> Policy:
        """The policy that was passed in."""
        return self._config.policy

    async def issue(
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
        """Same as `OTP.issue`, but awaited."""
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
        return await self._drive(self._flows.issue(request))

    async def send(
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
        """Same as `OTP.send`, but awaited."""
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
        return await self._drive(self._flows.send(request, code, minutes))

    async def verify(
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
        """Same as `OTP.verify`, but awaited."""
        return await self._drive(self._flows.verify(phone, code, purpose, bind, ip, idempotency_key, region, device))

    async def check(
        self,
        token: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        phone: str | NotGiven | None = NOT_GIVEN,
        region: str | None = None,
    ) -> Proof:
        """Same as `OTP.check`, but awaited."""
        return self._flows.check(token, purpose, bind, phone, region)

    async def redeem(
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
        """Same as `OTP.redeem`, but awaited."""
        return await self._drive(self._flows.redeem(token, purpose, bind, phone, idempotency_key, request, region))

    async def status(
        self,
        phone: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        region: str | None = None,
        device: str | None = None,
    ) -> Challenge | None:
        """Same as `OTP.status`, but awaited."""
        return await self._drive(self._flows.status(phone, purpose, bind, region, device))

    async def standing(self, phone: str, *, region: str | None = None) -> Standing:
        """Same as `OTP.standing`, but awaited."""
        return await self._drive(self._flows.standing(phone, region))

    async def delivery(
        self, phone: str, purpose: str = "signup", *, bind: str = "", region: str | None = None
    ) -> Delivery:
        """Same as `OTP.delivery`, but awaited."""
        return await self._drive(self._flows.delivery(phone, purpose, bind, region))

    async def receive(self, push: Push, *, gateway: str = "") -> Receipts:
        """Same as `OTP.receive`, but awaited."""
        return await self._drive(self._flows.receive(push, gateway))

    async def revoke(
        self,
        phone: str,
        purpose: str = "signup",
        *,
        bind: str = "",
        region: str | None = None,
        actor: str = "",
        reason: str = "",
    ) -> None:
        """Same as `OTP.revoke`, but awaited."""
        await self._drive(self._flows.revoke(phone, purpose, bind, region, actor=actor, reason=reason))

    async def unblock(self, phone: str, *, region: str | None = None, actor: str = "", reason: str = "") -> None:
        """Same as `OTP.unblock`, but awaited."""
        await self._drive(self._flows.unblock(phone, region, actor=actor, reason=reason))

    async def check_device(self, token: str | None, phone: str, *, region: str | None = None) -> datetime | None:
        """Same as `OTP.check_device`, but awaited."""
        return await self._drive(self._flows.check_device(token, phone, region))

    async def forget_devices(self, phone: str, *, region: str | None = None, actor: str = "", reason: str = "") -> None:
        """Same as `OTP.forget_devices`, but awaited."""
        await self._drive(self._flows.forget_devices(phone, region, actor=actor, reason=reason))

    async def erase(self, phone: str, *, region: str | None = None, actor: str = "", reason: str = "") -> Erased:
        """Same as `OTP.erase`, but awaited."""
        return await self._drive(self._flows.erase(phone, region, actor=actor, reason=reason))

    async def guard_report(
        self, hours: int = 24, *, phone: str | None = None, ip: str | None = None, region: str | None = None
    ) -> GuardReport:
        """Same as `OTP.guard_report`, but awaited."""
        return await self._drive(self._flows.guard_report(hours, phone, ip, region))

    async def guard_allow(
        self,
        scope: OverrideScope,
        subject: str = "",
        *,
        seconds: int = 43_200,
        actor: str = "",
        reason: str = "",
    ) -> None:
        """Same as `OTP.guard_allow`, but awaited."""
        await self._drive(self._flows.override("allow", scope, subject, seconds, actor=actor, reason=reason))

    async def guard_block(
        self,
        scope: OverrideScope,
        subject: str = "",
        *,
        seconds: int = 43_200,
        actor: str = "",
        reason: str = "",
    ) -> None:
        """Same as `OTP.guard_block`, but awaited."""
        await self._drive(self._flows.override("block", scope, subject, seconds, actor=actor, reason=reason))

    async def guard_clear(self, scope: OverrideScope, subject: str = "", *, actor: str = "", reason: str = "") -> None:
        """Same as `OTP.guard_clear`, but awaited."""
        await self._drive(self._flows.override("clear", scope, subject, 60, actor=actor, reason=reason))

    async def gateways(self) -> tuple[GatewayStanding, ...]:
        """Same as `OTP.gateways`, but awaited."""
        return await self._drive(self._flows.gateways())

    async def open_circuit(self, gateway: str, *, seconds: int = 3600, actor: str = "", reason: str = "") -> None:
        """Same as `OTP.open_circuit`, but awaited."""
        await self._drive(self._flows.open_circuit(gateway, seconds, actor=actor, reason=reason))

    async def close_circuit(self, gateway: str, *, actor: str = "", reason: str = "") -> None:
        """Same as `OTP.close_circuit`, but awaited."""
        await self._drive(self._flows.close_circuit(gateway, actor=actor, reason=reason))

    async def spending(self) -> tuple[Spending, ...]:
        """Same as `OTP.spending`, but awaited."""
        return await self._drive(self._flows.spending())

    async def stats(self, hours: int = 24) -> Stats:
        """Same as `OTP.stats`, but awaited."""
        return await self._drive(self._flows.stats(hours))

    async def audit(
        self,
        phone: str | None = None,
        *,
        since: datetime | None = None,
        limit: int = 100,
        region: str | None = None,
    ) -> Audit:
        """Same as `OTP.audit`, but awaited."""
        return await self._drive(self._flows.audit(phone, since, limit, region))

    async def close(self) -> None:
        """Same as `OTP.close`, but awaited. Running calls in other tasks end as usual."""
        _require_asyncio()
        if self._calls.close():
            await self._release()
        if self._listeners is not None and self._listeners.has_queues:
            await asyncio.to_thread(self._listeners.close)

    def _after_fork(self) -> None:
        """Leave the parent's threads, tasks and connections alone. Python calls this in a forked child."""
        self._calls.forget()
        self._lanes.after_fork()
        self._store.after_fork()

    async def _release(self) -> None:
        await self._lanes.close()
        await self._store.close()

    async def __aenter__(self) -> Self:
        _require_asyncio()
        self._calls.require_open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _drive(self, flow: Flow[T] | PageFlow[T]) -> T:
        task = _require_asyncio()
        cancelled = 0 if task is None else task.cancelling()
        budget = RetryBudget()
        try:
            self._calls.begin(flow)
            effect = next(flow)
            while True:
                failure: Exception | None = None
                try:
                    if type(effect) is RunScript:  # The most frequent effect, without another function call.
                        reply = await self._store.run(effect, budget)
                    else:
                        reply = await self._perform(effect, budget)
                except Exception as error:  # noqa: BLE001 - The flow decides what it means.
                    failure = error
                # redis-py writes under wait_for, which can swallow a cancellation in Python 3.11.
                if task is not None and task.cancelling() > cancelled:
                    raise asyncio.CancelledError
                # Send outside the except block: otherwise the flow's next error would have this one as its context.
                effect = flow.send(reply) if failure is None else flow.throw(failure)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()  # After a cancellation, end what the flow began.
            if self._calls.end(flow):
                await self._release()

    async def _perform(
        self, effect: Together[object] | Emit | Outbound | HttpRequest | Call | OTPCall, budget: RetryBudget
    ) -> Any:
        if isinstance(effect, Together):
            return await self._together(effect.scripts, budget)
        if isinstance(effect, Emit):
            return tell(self._config.listener, effect)
        if callable(effect):
            result = effect(self)
            return await result if inspect.isawaitable(result) else result
        return await self._lanes.perform(effect if isinstance(effect, Outbound) else Outbound("", effect, None))

    async def _together(self, scripts: Sequence[RunScript[object]], budget: RetryBudget) -> list[Any]:
        """Run scripts a few at a time: a borrowed client may have few connections, and a push many receipts."""
        replies: list[Any] = []
        for start in range(0, len(scripts), _SIDE_BY_SIDE):
            batch = scripts[start : start + _SIDE_BY_SIDE]
            parts = budget.split(len(batch))
            # Wait for all of them even if one raises: nothing may run on after the call.
            answers = await asyncio.gather(*map(self._store.run, batch, parts), return_exceptions=True)
            budget.join(parts)
            for reply in answers:
                if isinstance(reply, BaseException):
                    raise reply
                replies.append(reply)
        return replies


def _require_asyncio() -> asyncio.Task[Any] | None:
    """Return the running task; raise `ConfigurationError` outside asyncio."""
    try:
        task, library = asyncio.current_task(), "asyncio"
    except RuntimeError:
        task, library = None, ""
    if task is None and "sniffio" in sys.modules:  # trio's guest mode has an asyncio loop beside its own.
        with suppress(sys.modules["sniffio"].AsyncLibraryNotFoundError):
            library = sys.modules["sniffio"].current_async_library()
    if library != "asyncio":
        raise ConfigurationError(
            "AsyncOTP needs asyncio.",
            "Run it by asyncio.run, or with trio use OTP on a thread (trio.to_thread.run_sync).",
        )
    return task


@without_locals
async def drive_async(flow: Flow[T] | PageFlow[T], otp: AsyncOTP) -> T:
    """Same as `otpkit.sync.drive`, but awaited."""
    return await otp._drive(flow)


def config_of(otp: OTP | AsyncOTP) -> Config:
    """Return the `Config` of an `OTP` or `AsyncOTP`, for the service and the pages, which show some of it."""
    return otp._config


def share_memory(otp: AsyncOTP, earlier: AsyncOTP) -> None:
    """Let a new `AsyncOTP` on `memory://` use the data of an earlier one. On Redis, do nothing."""
    otp._store.share_memory(earlier._store)
