"""Valid gateways, the meaning of their answers, and the choice of a message's template."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from support.rig import PHONE, Rig

from otpkit import ConfigurationError, GatewayRejectedError, RateLimitError, Template
from otpkit.effects import Flow
from otpkit.gateways import Gateway, Message, Receipt


class Silent(Gateway):
    """A gateway that returns nothing."""

    name = "silent"

    def send(self, message: Message) -> Flow[Receipt]:
        """Return None."""
        return None  # type: ignore[return-value]
        yield  # This makes the function a generator. The flow has no effects.


class Odd(Gateway):
    """Raises errors that a gateway should never raise."""

    name = "odd"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def send(self, message: Message) -> Flow[Receipt]:
        raise self.error
        yield


class AsyncCallable:
    """A gateway function that is async but does not look like it."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    async def __call__(self, message: Message) -> None:
        self.codes.append(message.code)


@pytest.mark.parametrize("returned", [None, "message id", 7, False, {"code": 1}])
def test_a_function_that_returns_has_accepted(rig: Rig, returned: Any) -> None:
    """Any return value means accepted."""
    codes: list[str] = []

    def gateway(message: Message) -> Any:
        assert message.phone == PHONE
        codes.append(message.code)
        return returned

    otp = rig.otp(gateway=gateway)
    assert otp.issue(PHONE).delivery == "accepted"
    assert otp.verify(PHONE, codes[0])


def test_a_function_that_raises_a_rejection_has_rejected(rig: Rig) -> None:
    """The caller receives the same error object, without another error chained to it."""
    error = GatewayRejectedError("no credit", gateway="mine", gateway_code="42", category="account")

    def gateway(message: Message) -> None:
        raise error

    with pytest.raises(GatewayRejectedError) as raised:
        rig.otp(gateway=gateway).issue(PHONE)
    assert raised.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert rig.otp().issue(PHONE).sends_left == 9


@pytest.mark.parametrize(
    "error", [ValueError("odd"), ZeroDivisionError(), RateLimitError("of another library's use"), TimeoutError()]
)
def test_a_gateway_class_that_raises_something_odd_is_uncertain(rig: Rig, error: Exception) -> None:
    """The message may have been sent before the error. The log names only the class of the error."""
    otp = rig.heard(gateway=Odd(error))
    assert otp.issue(PHONE).delivery == "uncertain"
    failed, issued = rig.events
    assert (failed.name, failed.detail) == ("gateway_failed", type(error).__name__)
    assert (issued.name, issued.outcome) == ("issued", "uncertain")
    assert otp.status(PHONE).delivery == "uncertain"


def test_gateway_class_without_a_receipt_is_uncertain(rig: Rig) -> None:
    """A gateway that forgets to return its receipt may have sent the message."""
    otp = rig.otp(gateway=Silent())
    assert otp.issue(PHONE).delivery == "uncertain"
    assert otp.status(PHONE).delivery == "uncertain"


def test_a_gateways_configuration_error_is_never_swallowed(rig: Rig) -> None:
    """The configuration is wrong, so the error is raised, and the send stays uncertain."""
    otp = rig.otp(gateway=Odd(ConfigurationError("mend me")))
    with pytest.raises(ConfigurationError, match="mend me"):
        otp.issue(PHONE)
    assert otp.status(PHONE).delivery == "uncertain"


def test_an_async_function_is_awaited_by_the_async_shell_and_refused_by_the_other(memory_rig: Rig) -> None:
    """It is never called without an await: the message would count as accepted although it was not sent."""
    codes: list[str] = []

    async def gateway(message: Message) -> str:
        codes.append(message.code)
        return "message id"

    for function in (gateway, functools.partial(gateway)):
        if not memory_rig.is_async:
            with pytest.raises(ConfigurationError, match="AsyncOTP"):
                memory_rig.build(gateway=function)
            continue
        otp = memory_rig.otp(gateway=function)
        otp.erase(PHONE)
        assert otp.issue(PHONE).delivery == "accepted"
        assert otp.verify(PHONE, codes[-1])


def test_an_async_function_in_disguise_is_awaited_or_never_called_accepted(memory_rig: Rig) -> None:
    """Examples are an object with an async `__call__` and a sync function that returns a coroutine."""
    gateway = AsyncCallable()

    def around(message: Message) -> Any:
        return gateway(message)

    for function in (gateway, around):
        memory_rig.otp().erase(PHONE)
        if memory_rig.is_async:
            otp = memory_rig.otp(gateway=function)
            assert otp.issue(PHONE).delivery == "accepted"
            assert otp.verify(PHONE, gateway.codes[-1])
        else:
            with pytest.raises(ConfigurationError, match="AsyncOTP"):
                memory_rig.otp(gateway=function).issue(PHONE)


@pytest.mark.parametrize("outcome", ["rejected", "uncertain"])
def test_what_an_async_function_raises_means_the_same(memory_rig: Rig, outcome: str) -> None:
    """A rejection rejects the send. Any other error makes it uncertain."""

    async def gateway(message: Message) -> None:
        if outcome == "rejected":
            raise GatewayRejectedError("no", gateway="mine", category="account")
        raise TimeoutError

    if not memory_rig.is_async:
        return
    otp = memory_rig.otp(gateway=gateway)
    if outcome == "rejected":
        with pytest.raises(GatewayRejectedError):
            otp.issue(PHONE)
        assert otp.status(PHONE) is None
    else:
        assert otp.issue(PHONE).delivery == "uncertain"


@pytest.mark.parametrize("gateway", [None, "alidayu", 7, Gateway, AsyncCallable])
def test_what_is_no_gateway_is_refused(memory_rig: Rig, gateway: Any) -> None:
    """A class is not a gateway: it must be instantiated first."""
    with pytest.raises(ConfigurationError, match="gateway must be"):
        memory_rig.build(gateway=gateway)


def test_each_purpose_has_its_template(rig: Rig) -> None:
    """A missing template raises in `issue` only, before anything is reserved."""
    templates = {"signup": Template("SMS_1", sign_name="otpkit"), "login": Template("SMS_2", sign_name="otpkit")}
    otp = rig.otp(template=templates)
    with pytest.raises(ConfigurationError, match="'payment'"):
        otp.issue(PHONE, "payment")
    assert rig.stored() == []
    assert otp.status(PHONE, "payment") is None
    otp.issue(PHONE, "login")
    rig.advance(60)
    otp.issue(PHONE, "signup")
    assert [message.template.code for message in rig.outbox] == ["SMS_2", "SMS_1"]


@pytest.mark.parametrize("template", [None, "SMS_1", {}, {"signup": "SMS_1"}, {"": Template("SMS_1", sign_name="x")}])
def test_what_is_no_template_is_refused(memory_rig: Rig, template: Any) -> None:
    """A mapping without a template is refused too."""
    with pytest.raises(ConfigurationError, match=r"template must be|purpose"):
        memory_rig.build(template=template)


def test_a_message_tells_the_minutes_that_its_code_still_has(rig: Rig) -> None:
    """Late in `max_age`, a resend states the minutes that are left, and never zero."""
    params = {"code": "{code}", "min": "{minutes}"}
    otp = rig.otp(template=Template("SMS_1", sign_name="otpkit", params=params))
    for wait in (0, 240, 240, 59):
        rig.advance(wait)
        if wait != 59:
            otp.issue(PHONE)
    assert [message.params["min"] for message in rig.outbox] == ["5", "5", "2"]
