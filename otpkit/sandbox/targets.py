"""Read request targets as the providers' servers do: bytes beyond ASCII, and blanks, as they stand in the URL.

The documents' own lines for curl and Python write Chinese into the URL, and so do older HTTP clients. h11 refuses such
a request line, so its target is percent-encoded before h11 sees it.
"""

from __future__ import annotations

import re
from typing import Final

from otpkit.sandbox._web import h11

_LONGEST_LINE: Final = 65_536  # bytes; h11 takes no longer one
_TO_ENCODE: Final = re.compile(rb"[ \x80-\xff]")


def encoded(line: bytes) -> bytes:
    """Return a request line whose target is ASCII without blanks; one that is no such line comes back as it is."""
    method, _, rest = line.partition(b" ")
    target, blank, version = rest.rpartition(b" ")
    if not blank or not version.startswith(b"HTTP/"):
        return line
    return b"%b %b %b" % (method, _TO_ENCODE.sub(lambda found: b"%%%02X" % found[0][0], target), version)


class LenientConnection(h11.Connection):
    """Holds each request line back until it is whole, and hands it on encoded.

    A request that was sent before the one ahead of it was answered (pipelining) is read as h11 reads it.
    """

    def __init__(self, *, max_incomplete_event_size: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size)
        self._held = b""

    def receive_data(self, data: bytes) -> None:
        """Take what came in; b"" is the end."""
        if self.their_state is not h11.IDLE or self.trailing_data[0]:
            super().receive_data(data)
            return
        self._held += data
        line, end, rest = self._held.partition(b"\n")
        if end or not data or len(line) > _LONGEST_LINE or line[:1] < b"!":
            taken, self._held = encoded(line) + end + rest, b""
            if taken:
                super().receive_data(taken)
            if not data:
                super().receive_data(data)
