"""The calls of scenarios, in the words of a counterexample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from explorer import Ending, Step, View
from invariants import Issuing, Redeeming, Sending, Verifying
from providers import push
from support.rig import PHONE, wrong

from otpkit.core.arguments import NOT_GIVEN
from otpkit.core.flows import Flows
from otpkit.core.issue import IssueRequest
from otpkit.effects import Flow
from otpkit.models import Proof

IP = "203.0.113.7"
OWN_CODE = "4711"
"""A code of another system."""
Before = Callable[[Flows, Ending], Flow[Any]]


def issuing(
    name: str,
    *,
    phone: str = PHONE,
    ip: str | None = IP,
    key: str | None = None,
    captcha: str | None = None,
    known: bool = False,
    device: str | None = None,
    needs: Callable[[View], Any] = lambda _: True,
) -> Issuing:
    """Return a call of `issue`. A device of "" is the one of the proof that `needs` returns."""

    def start(flows: Flows, given: Any) -> Flow[Any]:
        token = given if device == "" else device
        request = IssueRequest(phone, "signup", "", ip, None, key, "sms", None, token, captcha, known)
        return flows.issue(request)

    return Issuing(name=name, start=start, needs=needs, phone=phone, ip=ip, captcha=captcha)


def sending(name: str, *, key: str | None = None, code: str = OWN_CODE) -> Sending:
    """Return a call of `send` with a code of another system."""

    def start(flows: Flows, _: Any) -> Flow[Any]:
        return flows.send(IssueRequest(PHONE, "signup", "", IP, None, key, "sms", None), code, None)

    return Sending(name=name, start=start, phone=PHONE, ip=IP)


def verifying(
    name: str,
    *,
    right: bool = True,
    step: int = 1,
    phone: str = PHONE,
    ip: str | None = None,
    key: str | None = None,
    device: str | None = None,
    message: Callable[[View], Any] | None = None,
) -> Verifying:
    """Return a call of `verify` with the code of a message, or with the `step`th wrong one."""

    def start(flows: Flows, code: Any) -> Flow[Any]:
        typed = code if right else wrong(code, step)
        return flows.verify(phone, typed, "signup", "", ip, key, None, device)

    return Verifying(name=name, start=start, needs=message or code_before, phone=phone, ip=ip, is_right=right, key=key)


def redeeming(name: str, *, token: Callable[[View], Any], key: str | None = None) -> Redeeming:
    """Return a call of `redeem` with the token that `token` returns."""

    def start(flows: Flows, given: Any) -> Flow[Any]:
        return flows.redeem(given, "signup", "", NOT_GIVEN, key)

    return Redeeming(name=name, start=start, needs=token, key=key)


def receiving(name: str, state: str, *, call: int | None = None, gateway: str = "") -> Step:
    """Return a push of a receipt for the message of a call, or for the last one that was sent before."""

    def sent(view: View) -> Any:
        found = view.sent(call) if call is not None else view.messages_before
        return found[-1].send_id if found else None

    return Step(name, lambda flows, given: flows.receive(push((state, PHONE, given)), gateway), sent)


def revoking(name: str = "revoke") -> Step:
    return Step(name, lambda flows, _: flows.revoke(PHONE, "signup", ""))


def code_before(view: View) -> str:
    """Return the code of the last message that was sent before."""
    code: str = view.messages_before[-1].code
    return code


def code_of(call: int) -> Callable[[View], str | None]:
    """Return a function that returns the code of a call's message, once a gateway has it."""

    def found(view: View) -> str | None:
        sent = view.sent(call)
        return sent[-1].code if sent else None

    return found


def token_of(call: int) -> Callable[[View], str | None]:
    """Return a function that returns the token of a call's proof, once it has one."""

    def found(view: View) -> str | None:
        result = view.result(call)
        return result.token if isinstance(result, Proof) else None

    return found


def issued(*, phone: str = PHONE, ip: str | None = None, captcha: str | None = None) -> Before:
    """Return a call of `issue` that was made before."""
    return lambda flows, _: flows.issue(IssueRequest(phone, "signup", "", ip, None, None, "sms", None, None, captcha))


def verified(*, right: bool = True, step: int = 1, ip: str | None = None) -> Before:
    """Return a call of `verify` that was made before, with the code of the last message."""

    def make(flows: Flows, before: Ending) -> Flow[Any]:
        last = before.messages_before[-1]
        return flows.verify(last.phone, last.code if right else wrong(last.code, step), "signup", "", ip, None)

    return make
