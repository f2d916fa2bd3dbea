"""The demo: all steps of a verification in the terminal, or a page to try it on. Nothing is sent anywhere."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any, Final, TypeVar

from otpkit import OTP, AsyncOTP, Guard, Policy, Template
from otpkit.effects import HttpRequest, TransportFailure, http
from otpkit.errors import ExpiredCodeError, Language, OTPError, RateLimitError, UsedTokenError, WrongCodeError
from otpkit.gateways import Alidayu, Gateway, Twilio
from otpkit.models import Challenge, Proof, mask
from otpkit.sandbox import Address, Sandbox, running, serve
from otpkit.store.library import embedded_library
from otpkit.transport.http import drive

E = TypeVar("E", bound=OTPError)
Write = Callable[[str], object]

PHONE = "+8613800138000"
SHOWN = mask(PHONE)
PARAMS: Final = {"code": "{code}", "product": "otpkit"}
# The messages by language. The page's are in the visitor's, the others in that of the steps, English.
TEMPLATES: Final[Mapping[Language, Template]] = {
    "en": Template("SMS_585015", "otpkit", PARAMS, body="Your ${product} code is ${code}. Never share it with anyone."),
    "zh": Template(
        "SMS_585014", "阿里大鱼", PARAMS, body="验证码${code}，您正在进行${product}身份验证，打死不要告诉别人哦！"
    ),
}
# Regions of the page, with a number for each as its people write it. All but CN need the extra `intl`.
EXAMPLES: Final[Mapping[str, str]] = {
    "CN": "138 0013 8000",
    "HK": "5123 4567",
    "SG": "8123 4567",
    "GB": "07400 123456",
    "US": "(201) 555-0123",
}

PRICES: Final[Mapping[str, str]] = {"CN": "0.045 CNY", "*": "0.4 CNY"}


class DemoError(OTPError):
    """Raised when a step of the demo has an unexpected result."""


def settings(gateway: Address) -> dict[str, Any]:
    """Return the arguments of an `OTP` with an embedded store that sends through the sandbox at `gateway`."""
    return {
        "redis": "memory://",
        "gateway": Alidayu("sandbox", "sandbox-secret", base_url=gateway.gateway_url),
        "template": TEMPLATES["en"],
        "secret": secrets.token_bytes(32),
    }


def page_otps(gateway: Address, **options: Any) -> dict[Language, AsyncOTP]:
    """Return an `AsyncOTP` for each language of the page, whose messages are in that language.

    They share the store and the secret, so a code is valid after the visitor switches the language. Numbers of China
    go through Alidayu's format, all others through Twilio's. A guard asks for a proof of work over the allowance.

    Args:
        gateway: the address of the sandbox.
        options: more arguments of `AsyncOTP`, such as `clock` or `on_event`.
    """
    regions = set(EXAMPLES) if find_spec("phonenumbers") else {"CN"}
    library = embedded_library()
    server, shared = library.FakeServer(), settings(gateway)
    twilio = Twilio("ACsandbox", "sandbox-secret", sender="+15005550006", base_url=gateway.base_url)
    gateways: dict[str, Gateway] = {region: shared["gateway"] if region == "CN" else twilio for region in regions}
    shared |= {"gateway": gateways, "policy": Policy(regions=regions), "guard": Guard("enforce"), "prices": PRICES}
    shared |= options
    return {
        language: AsyncOTP(**shared | {"redis": library.FakeAsyncRedis(server=server), "template": template})
        for language, template in TEMPLATES.items()
    }


def local_sandbox() -> Sandbox:
    """Return a sandbox that accepts the demo's templates only. Its receipts come at once."""
    templates = {each.code: each.body or "" for each in TEMPLATES.values()}
    return Sandbox(templates=templates, sign_names={each.sign_name for each in TEMPLATES.values()}, receipt_after=0)


def serve_page(write: Write, host: str, port: int) -> None:
    """Serve the sign-up page until interrupted.

    Args:
        write: prints a line.
        host: the name or IP address to listen on.
        port: the TCP port; 0 picks a free one.

    Raises:
        ConfigurationError: the server can't listen on the address.
    """
    from otpkit.cli.demo_site import PATH, DemoSite

    site = DemoSite()

    def ready(address: Address) -> None:
        otps = page_otps(address, on_event=site.attack.on_event)
        ending.callback(lambda: asyncio.run(close(otps)))
        site.connect(otps, EXAMPLES)
        write(f"Sign up: {address.base_url}{PATH}\nInbox:   {address.base_url}/")
        write("Nothing is sent to a real phone. All data is deleted at the end. Press Ctrl-C to stop.")

    with ExitStack() as ending:
        serve(local_sandbox(), host, port, extra_routes=site.routes(), on_ready=ready)


async def close(otps: Mapping[Language, AsyncOTP]) -> None:
    """Close all."""
    for otp in otps.values():
        await otp.close()


def run_steps(write: Write) -> None:
    """Verify a number from beginning to end, over HTTP, and print each step.

    Args:
        write: prints a line.

    Raises:
        DemoError: a step has an unexpected result.
    """
    sandbox = local_sandbox()
    with running(sandbox) as address, OTP(**settings(address)) as otp:
        try:
            _Steps(write, address, otp).run()
        except DemoError:
            raise
        except OTPError as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            return
    raise DemoError(f"The demo failed. {problem}")


class _Steps:
    def __init__(self, write: Write, address: Address, otp: OTP) -> None:
        self._write = write
        self._address = address
        self._otp = otp
        self._steps = 0

    def run(self) -> None:
        self._step(
            "Start a gateway on this machine, and a store in this process",
            'OTP(redis="memory://", gateway=Alidayu(app_key, app_secret, base_url=…), template=…, secret=…)',
            f"a gateway that speaks Alidayu's wire format at {self._address.gateway_url}",
        )
        challenge = self._issue()
        code = self._receive()
        self._ask_for_another()
        proof = self._verify(code, challenge.attempts_left)
        self._redeem(proof)
        self._write("\nAll steps worked as expected. Run `otpkit demo` to try it on a page.")

    def _issue(self) -> Challenge:
        challenge = self._otp.issue(PHONE)
        _expect(challenge.delivery == "accepted", f"the message is {challenge.delivery}, not accepted")
        self._step(
            "Send a code",
            f'otp.issue("{SHOWN}")',
            f"Challenge: {challenge.delivery}, expires in {challenge.expires_in} s, "
            f"{challenge.attempts_left} attempts, resend in {challenge.resend_in} s",
        )
        return challenge

    def _receive(self) -> str:
        message, path = self._read_sms()
        code = message["code"]
        _expect(code in message["text"], "the message does not show its code")
        self._step("Read the SMS, as its recipient would", f"GET {self._address.base_url}{path}", message["text"])
        delivery = self._otp.delivery(PHONE)
        _expect(delivery.state == "delivered", f"the delivery is {delivery.state}, not delivered")
        self._step("Ask the gateway if it was delivered", f'otp.delivery("{SHOWN}")', f"Delivery: {delivery.state}")
        return code

    def _ask_for_another(self) -> None:
        limited = _refused(RateLimitError, lambda: self._otp.issue(PHONE))
        _expect(limited.retry_after is not None, "the limit has no waiting time")
        _expect(limited.challenge is not None, "the limit does not have the live challenge")
        _expect(self._get("/api/stats")["sendSms"]["total"] == 1, "a second message was sent within one minute")
        self._step(
            "Request another code immediately",
            f'otp.issue("{SHOWN}")',
            f"RateLimitError: {limited.message()} Nothing was sent; the first code is still valid.",
        )

    def _verify(self, code: str, attempts: int) -> Proof:
        call = f'otp.verify("{SHOWN}", code)'
        wrong = _refused(WrongCodeError, lambda: self._otp.verify(PHONE, _other_than(code)))
        _expect(wrong.attempts_left == attempts - 1, "the wrong code was not counted")
        self._step("Enter a wrong code", call, f"WrongCodeError: {wrong.message()}")
        proof = self._otp.verify(PHONE, code)
        _expect(proof.phone == PHONE, "the proof is for another phone")
        self._step("Enter the correct code", call, f"Proof {proof.id} of {mask(proof.phone)}")
        spent = _refused(ExpiredCodeError, lambda: self._otp.verify(PHONE, code))
        self._step("Enter it a second time", call, f"ExpiredCodeError: {spent.message()}")
        return proof

    def _redeem(self, proof: Proof) -> None:
        call = f'otp.redeem(proof.token, phone="{SHOWN}")'
        redeemed = self._otp.redeem(proof.token, phone=PHONE)
        _expect(redeemed == proof, "redeem returned another proof")
        self._step("Create the account with the proof", call, f"Proof {redeemed.id}, now used up")
        used = _refused(UsedTokenError, lambda: self._otp.redeem(proof.token, phone=PHONE))
        self._step("Try to create a second account", call, f"UsedTokenError: {used.message()}")

    def _step(self, title: str, call: str, result: str) -> None:
        self._steps += 1
        self._write(f"{self._steps:2}. {title}\n      {call}\n      -> {result}")

    def _read_sms(self) -> tuple[dict[str, str], str]:
        path = f"/api/messages?phone={PHONE[3:]}"
        messages: list[dict[str, str]] = self._get(path)
        _expect(len(messages) == 1, f"the inbox holds {len(messages)} messages, not 1")
        return messages[0], path

    def _get(self, path: str) -> Any:
        request = HttpRequest(method="GET", url=self._address.base_url + path, timeout=(3, 10))
        try:
            return json.loads(drive(http(request)).text)
        except (TransportFailure, ValueError) as error:
            raise DemoError(f"The demo failed: the inbox did not respond ({type(error).__name__}).") from error


def _expect(fact: bool, failure: str) -> None:
    if not fact:
        raise DemoError(f"The demo failed: {failure}.")


def _refused(kind: type[E], call: Callable[[], object]) -> E:
    try:
        call()
    except kind as error:
        return error
    raise DemoError(f"The demo failed: the call should have raised {kind.__name__}.")


def _other_than(code: str) -> str:
    """Return a code that differs in its last digit."""
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"
