"""A socket for a server of ours to listen on: the sandbox's and the service's."""

from __future__ import annotations

import os
import socket

from otpkit.errors import ConfigurationError


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raises `ConfigurationError` where the address can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol left at 0, asyncio does not turn Nagle's algorithm off: every answer would take 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as exc:
        listener.close()
        raise ConfigurationError(f"Can't listen on {host} port {port}: {exc}. Choose another port.") from exc
    return listener
