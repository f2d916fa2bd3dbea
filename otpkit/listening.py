"""A socket for a server of ours to listen on: the sandbox's and the service's."""

from __future__ import annotations

import errno
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
    except (OSError, OverflowError, ValueError) as error:
        listener.close()
        problem, remedy = _problem(error, host, port)
    else:
        return listener
    # Out here, so that the error has no context.
    raise ConfigurationError(problem, remedy)


def _problem(error: Exception, host: str, port: int) -> tuple[str, str]:
    """Return what is wrong, and the remedy."""
    if isinstance(error, OverflowError):
        return f"Can't listen on port {port}: a port is a whole number from 0 to 65535.", "Choose another port."
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return f"Can't listen on {host!r:.80}: no such host can be found (DNS).", "Choose an address of this machine."
    reason = error.strerror or type(error).__name__
    choice = "an address of this machine" if error.errno == errno.EADDRNOTAVAIL else "another port"
    return f"Can't listen on {host} port {port}: {reason}.", f"Choose {choice}."
