"""The parts that all doors share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.routing import Route

from otpkit import AsyncOTP
from otpkit.service.capabilities import Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorContext:
    """The parts of the service that a door needs.

    Args:
        otp: the `AsyncOTP` to call.
        capabilities: its properties, such as the channels.
        count_rejected: to be called for each request with wrong credentials: the audit counts them.
        url_of: returns the start of a request's URL as its client knows it, without a path.
    """

    otp: AsyncOTP
    capabilities: Capabilities
    count_rejected: Callable[[], None]
    url_of: Callable[[Request], str]


class Door(Protocol):
    """The API of another service."""

    @property
    def purposes(self) -> frozenset[str]:
        """The purposes of its codes."""

    def routes(self, context: DoorContext) -> Iterable[Route]:
        """Return its routes.

        Raises:
            ConfigurationError: it can't work with this `AsyncOTP`.
        """
