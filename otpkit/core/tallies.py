"""Where figures are counted: by the scripts of phones, or after them if the figures lie on another node."""

from __future__ import annotations

from typing import Final

OTHER: Final = "*"
"""The region and the gateway of what is beyond the number of pairs that one hour counts."""
NO_GATEWAY: Final = "."
"""The gateway of what concerns none, and of messages whose gateway is not known."""


class Tallies:
    """The figures of one `OTP`: their key, and what its calls are counted under. See tally.lua.

    The scripts of phones count them on a single server. On a cluster, and behind a proxy that accepts no keys of
    several slots, they are counted apart: by a script of their own after the call's.

    Args:
        namespace: the prefix of keys in Redis.
        only: the name of the only gateway; "" if there are several.
        clustered: True if the store's keys lie on several nodes.
    """

    def __init__(self, namespace: str, only: str, *, clustered: bool) -> None:
        # It is no secret, and no phone's: like the budgets, it has a plain name.
        self.key = f"{namespace}:{{stats}}:s"
        self.is_apart = clustered
        self.resumes_s = 0.0
        """When to count again after Redis has refused to, by `Config.elapsed_s`. Only used apart."""
        self._gateway = only or NO_GATEWAY
        self._places: dict[str, tuple[str, str]] = {}

    def place(self, region: str) -> tuple[str, str]:
        """Return the key and the label that scripts of a region's phones count under.

        Apart, the key is "", and the label begins with `!`: the caller counts.
        """
        places = self._places
        try:
            return places[region]
        except KeyError:
            pass
        place = ("", f"!{region} {self._gateway} ") if self.is_apart else (self.key, f" {region} {self._gateway} ")
        places[region] = place
        return place

    def part(self) -> None:
        """Count apart from now on."""
        self.is_apart = True
        self._places = {}  # Another thread may still write to the old one.
