"""`AsyncOTP`: the shell that awaits what flows ask for. It holds no decision."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from otpkit.deployment import Clock, FixedCode, Listener, Secret, build
from otpkit.effects import Call, Effect, Flow, HttpRequest, RunScript, Together
from otpkit.environment import arguments_from
from otpkit.flows import Flows
from otpkit.gateways.base import Channel, Delivery, Push, Receipts
from otpkit.models import Challenge, Proof, Standing
from otpkit.names import NOT_GIVEN, NotGiven
from otpkit.policy import DEFAULT_POLICY, Policy
from otpkit.routing import GatewayChoice, TemplateChoice
from otpkit.store_async import AsyncStore
from otpkit.sync import tell
from otpkit.transport import Transport

T = TypeVar("T")
_GATEWAY_THREADS = 32
_SIDE_BY_SIDE = 8  # scripts of one call


class AsyncOTP:
    """Same as `OTP`, but for asyncio: `redis` is a URL or a client of redis.asyncio.

    Redis is awaited, and so is a gateway that is an async function; HTTP runs on threads of a pool of its own. A
    cancelled call does nothing further: a message that was on its way stays uncertain.
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
        self._store = AsyncStore(redis)
        self._deployment = build(
            gateway,
            template,
            secret,
            policy=policy,
            index_secret=index_secret,
            fixed_codes=fixed_codes,
            namespace=namespace,
            on_event=on_event,
            clock=clock,
            clustered=self._store.clustered,
        )
        self._flows = Flows(self._deployment)
        self._transport = Transport()
        self._threads = ThreadPoolExecutor(_GATEWAY_THREADS, thread_name_prefix="otpkit-gateway")

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Same as `OTP.from_env`."""
        return cls(**arguments_from(os.environ, overrides))

    @property
    def policy(self) -> Policy:
        """Same as `OTP.policy`."""
        return self._deployment.policy

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
    ) -> Challenge:
        """Same as `OTP.issue`, but awaited."""
        return await self._drive(self._flows.issue(phone, purpose, bind, ip, params, idempotency_key, channel, region))

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
    ) -> Proof:
        """Same as `OTP.verify`, but awaited."""
        return await self._drive(self._flows.verify(phone, code, purpose, bind, ip, idempotency_key, region))

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
        self, phone: str, purpose: str = "signup", *, bind: str = "", region: str | None = None
    ) -> Challenge | None:
        """Same as `OTP.status`, but awaited."""
        return await self._drive(self._flows.status(phone, purpose, bind, region))

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

    async def revoke(self, phone: str, purpose: str = "signup", *, bind: str = "", region: str | None = None) -> None:
        """Same as `OTP.revoke`, but awaited."""
        await self._drive(self._flows.revoke(phone, purpose, bind, region))

    async def unblock(self, phone: str, *, region: str | None = None) -> None:
        """Same as `OTP.unblock`, but awaited."""
        await self._drive(self._flows.unblock(phone, region))

    async def erase(self, phone: str, *, region: str | None = None) -> None:
        """Same as `OTP.erase`, but awaited."""
        await self._drive(self._flows.erase(phone, region))

    async def close(self) -> None:
        """Same as `OTP.close`, but awaited."""
        self._threads.shutdown(wait=False)
        self._transport.close()
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _drive(self, flow: Flow[T]) -> T:
        task = asyncio.current_task()
        cancelled = 0 if task is None else task.cancelling()
        try:
            effect = next(flow)
            while True:
                failure: Exception | None = None
                try:
                    reply = await self._perform(effect)
                except Exception as error:  # noqa: BLE001 - the flow decides what it means
                    failure = error
                # The wait_for of Python 3.11, which redis-py writes under, can swallow a cancellation.
                if task is not None and task.cancelling() > cancelled:
                    raise asyncio.CancelledError
                # Outside the except block, or what the flow raises next would carry it as its context.
                effect = flow.send(reply) if failure is None else flow.throw(failure)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, RunScript):
            return await self._store.run(effect)
        if isinstance(effect, HttpRequest):
            return await self._in_thread(self._transport.exchange, effect)
        if isinstance(effect, Call):
            if inspect.iscoroutinefunction(effect.function):
                return await effect.function(effect.argument)
            result = await self._in_thread(effect.function, effect.argument)
            return await result if inspect.isawaitable(result) else result
        if isinstance(effect, Together):
            return await self._together(effect.scripts)
        return tell(self._deployment.listener, effect)

    async def _together(self, scripts: Sequence[RunScript]) -> list[Any]:
        """Run scripts a few at a time: a client passed in may have few connections, and a push many receipts."""
        replies: list[Any] = []
        for start in range(0, len(scripts), _SIDE_BY_SIDE):
            batch = scripts[start : start + _SIDE_BY_SIDE]
            # All of them, whatever one raises: nothing is to run on after the call.
            for reply in await asyncio.gather(*map(self._store.run, batch), return_exceptions=True):
                if isinstance(reply, BaseException):
                    raise reply
                replies.append(reply)
        return replies

    async def _in_thread(self, function: Callable[[Any], Any], argument: Any) -> Any:
        # A task may be cancelled while its call waits for a thread; the call is then never made.
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, _called, function, argument)


def _called(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function; its StopIteration is none of ours: no future carries one, and the caller would wait for ever."""
    try:
        return function(argument)
    except StopIteration:
        pass
    raise RuntimeError("StopIteration")
