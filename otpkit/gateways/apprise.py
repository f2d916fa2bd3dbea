"""The gateway of Apprise (https://github.com/caronc/apprise), which supports many services. Extra `apprise`.

Apprise reports only success or failure. There is no message id, and there are no receipts. After a reported failure the
message may still have been sent.
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
    """The gateway of an Apprise URL. In the URL, `{phone}` is the number with its country code and without `+`.

        Apprise("vonage://key:secret@sender/{phone}")

    It sends the template's `body` without the signature. Set timeouts in the URL, by Apprise's `cto` and `rto`.

    Args:
        urls: exactly one Apprise URL, which contains `{phone}` once.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly. The
            environment's proxy variables are ignored, and `http://` to loopback is always direct. An Apprise URL for
            plain `http://`, such as `json://`, is unencrypted through the proxy too.

    Raises:
        ConfigurationError: Apprise is not installed; there are several URLs (each would send a message); the URL has no
            `{phone}` (every code would go to one recipient); the URL sends several messages, because of several
            targets, `retry` or `overflow`; or `proxy` is set and the service does not use HTTP only, such as
            `mailto://` and `mqtt://`.
    """

    name: ClassVar[str] = PROVIDER.name

    def __init__(self, *urls: str, proxy: str | None = None) -> None:
        if len(urls) != 1 or not isinstance(urls[0], str) or urls[0].count(_PHONE) != 1:
            raise ConfigurationError(
                "Apprise needs exactly one URL, with {phone} once in the place of the number.",
                'Pass it like "vonage://key:secret@sender/{phone}".',
            )
        self._url = urls[0]
        self._proxy = validation.proxy_url("proxy", proxy)
        notifier.check(self._url.replace(_PHONE, _ANY_PHONE), self._proxy)

    def __repr__(self) -> str:
        # Show the scheme only: the rest of the URL contains keys.
        return f"Apprise({self._url.partition('://')[0] + '://…'!r})"

    def check(self, template: Template) -> None:
        """Check that a template has a `body`.

        Args:
            template: the template to check.

        Raises:
            ConfigurationError: the template has no `body`.
        """
        PROVIDER.require_body(template)

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message.

        Args:
            message: the message to send.

        Returns:
            The receipt. It is uncertain if Apprise does not report success.

        Raises:
            GatewayRejectedError: the service does not accept the number, category `configuration`. Usually it has fewer
                than 10 digits or more than 14.
        """
        sent = yield Call(self._notify, message)
        if sent is None:
            remedy = "the operator must route the number's region to another gateway"
            raise PROVIDER.rejection("configuration", "the service does not accept numbers like this", remedy)
        return Receipt(self.name) if sent is True else PROVIDER.uncertain()

    def _notify(self, message: Message) -> bool | None:
        text, number = message.template.fill(message.params, signed=False), message.phone.removeprefix("+")
        return notifier.notify(notifier.Order(self._url.replace(_PHONE, number), text, number, self._proxy))
