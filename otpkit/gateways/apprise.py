"""Apprise (https://github.com/caronc/apprise): messages by one of the services that it knows. Extra `apprise`.

It says whether a service took a message and no more: there is no message id, there are no receipts, and what it calls a
failure may have been sent.
"""

from __future__ import annotations

from typing import ClassVar, Final

from otpkit.effects import Call, Flow
from otpkit.errors import ConfigurationError
from otpkit.gateways import validation
from otpkit.gateways.base import Gateway, Message, Receipt
from otpkit.gateways.provider import Provider
from otpkit.template import Template
from otpkit.transport import notifier

__all__ = ["Apprise"]

PROVIDER: Final = Provider("apprise", "Apprise")
_PHONE: Final = "{phone}"
_ANY_PHONE: Final = "8613800138000"


class Apprise(Gateway):
    """The gateway of an Apprise URL in which `{phone}` stands for the number, its country code first and without `+`.

        Apprise("vonage://key:secret@sender/{phone}")

    It sends `body` of its templates as it is written. How long the service may take is the URL's own `cto` and `rto`.

    Args:
        urls: one URL of Apprise.
        proxy: the URL of a proxy to go through, such as `http://user:password@proxy.example:3128`. What the environment
            says of proxies counts for nothing, and `http://` of loopback goes directly. A URL of Apprise that means
            `http://`, such as `json://`, goes through the proxy in clear, as it would without one.

    Raises ConfigurationError without Apprise, for several URLs (each would be a message), for one without `{phone}`
    (every code would go to one place), and for one that makes several messages, as by several targets, `retry` or
    `overflow`. With `proxy` also for a service that is not reached by HTTP alone, such as `mailto://` and `mqtt://`.
    """

    name: ClassVar[str] = PROVIDER.name

    def __init__(self, *urls: str, proxy: str | None = None) -> None:
        if len(urls) != 1 or not isinstance(urls[0], str) or urls[0].count(_PHONE) != 1:
            raise ConfigurationError(
                "Apprise takes one URL with one {phone} in it, where the number belongs.",
                'Pass it like "vonage://key:secret@sender/{phone}".',
            )
        self._url = urls[0]
        self._proxy = validation.proxy_url("proxy", proxy)
        notifier.check(self._url.replace(_PHONE, _ANY_PHONE), self._proxy)

    def __repr__(self) -> str:
        # The rest of the URL holds keys.
        return f"Apprise({self._url.partition('://')[0] + '://…'!r})"

    def check(self, template: Template) -> None:
        """Raise ConfigurationError for a template without `body`."""
        PROVIDER.require_body(template)

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message. What Apprise does not call a success is uncertain.

        Raises GatewayRejectedError, category `configuration`, for a number that the service does not take: as a rule
        one of fewer than 10 digits or more than 14.
        """
        sent = yield Call(self._notify, message)
        if sent is None:
            remedy = "the operator must route the number's region to another gateway"
            raise PROVIDER.rejection("configuration", "the service does not take a number like this", remedy)
        return Receipt(self.name) if sent is True else PROVIDER.uncertain()

    def _notify(self, message: Message) -> bool | None:
        text, number = message.template.fill(message.params, signed=False), message.phone.removeprefix("+")
        return notifier.notify(notifier.Order(self._url.replace(_PHONE, number), text, number, self._proxy))
