"""Where figures are counted: by the scripts of phones, or after them if the figures lie on another node."""

from __future__ import annotations

from typing import Final

OTHER: Final = "*"
"""The region and the gateway of what is beyond the number of pairs that one hour counts."""
NO_GATEWAY: Final = "."
"""The gateway of what concerns none, and of messages whose gateway is not known."""


class Places(dict[str, tuple[str, str]]):
    """The key and the label that scripts count under, by the region of a phone. One is made when it is first needed.

    Apart, the key is "", and the label begins with `!`: the caller counts.
    """

    def __init__(self, key: str, gateway: str) -> None:
        super().__init__()
        self._key, self._gateway = key, gateway

    def __missing__(self, region: str) -> tuple[str, str]:
        place = self[region] = self._key, f"{' ' if self._key else '!'}{region} {self._gateway} "
        return place


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
        self.resumes_s = 0.0
        """When to count again after Redis has refused to, by `Config.elapsed_s`. Only used apart."""
        self._gateway = only or NO_GATEWAY
        self.places = Places("" if clustered else self.key, self._gateway)

    def part(self) -> None:
        """Count apart from now on."""
        self.places = Places("", self._gateway)


def dated(now: int | str, counted: str) -> str:
    """Return a script's time with what it counts behind it: a label, or figures.

    Args:
        now: the time for the script, or "" for the server's own clock.
        counted: what it counts; "" counts nothing.
    """
    return counted if now == "" else f"{now}{counted}"
