"""Open a listening socket for the servers of otpkit: the sandbox and the service."""

from __future__ import annotations

import errno
import os
import socket

from otpkit.errors import ConfigurationError


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Args:
        host: a host name or an IP address of this machine.
        port: the TCP port; 0 picks a free one.

    Raises:
        ConfigurationError: it can't listen on the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Set the protocol: with 0, asyncio does not disable Nagle's algorithm, and every response takes 40 ms longer.
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
    # Raise outside the except block, so that the error has no context.
    raise ConfigurationError(problem, remedy)


def _problem(error: Exception, host: str, port: int) -> tuple[str, str]:
    """Return the problem and the remedy."""
    if isinstance(error, OverflowError):
        return f"Can't listen on port {port}: a port is a whole number from 0 to 65535.", "Choose another port."
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return f"Can't listen on {host!r:.80}: the host was not found (DNS).", "Choose an address of this machine."
    reason = error.strerror or type(error).__name__
    choice = "an address of this machine" if error.errno == errno.EADDRNOTAVAIL else "another port"
    return f"Can't listen on {host} port {port}: {reason}.", f"Choose {choice}."
