"""The typed faces of the scripts for one phone: status, standing, revoke, unblock, erase, and those of its devices."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from otpkit.core.scripts.parse import LATEST_MS, Described, ListScript, Raw, count_of, hex_of, numbers_of, unfit
from otpkit.effects import RunScript, Script


class LatestSend(NamedTuple):
    """The latest send of a purpose and a bind. `live` is True if its challenge is live."""

    now_ms: int
    live: bool
    operation: bytes
    sent_ms: int
    described: Described


class NoSend(NamedTuple):
    """The reply if nothing was sent."""

    now_ms: int


StatusReply: TypeAlias = LatestSend | NoSend


class Status(ListScript[StatusReply]):
    """The face of status.lua."""

    __slots__ = ()

    lists = (LatestSend, NoSend)

    def __call__(
        self,
        *,
        phone_key: str,
        now: int | str,
        challenge_field: bytes,
        device_key: str = "",
        device_since: int | str = "",
    ) -> RunScript[StatusReply]:
        """Read the latest send. Pass `device_key` and `device_since` if a device token's signature is right."""
        keys = (phone_key, device_key) if device_key else (phone_key,)
        return RunScript(self, keys, (now, challenge_field, device_since))

    def read(self, reply: Raw, args: Raw) -> StatusReply:
        """Return the latest send, or `NoSend`."""
        if type(reply) is not list:
            raise unfit()
        if len(reply) == 1:
            return NoSend(*numbers_of(reply, 1))
        now_ms, live, operation, sent_ms = reply[:4]
        if not (0 <= now_ms <= LATEST_MS and 0 <= live <= 1 and 0 <= sent_ms <= LATEST_MS):
            raise unfit()
        return LatestSend(now_ms, live == 1, hex_of(operation, 16), sent_ms, Described.parse(reply[4:]))


class PhoneStanding(NamedTuple):
    """The block of a phone, and what its own limits still allow, without and with a valid device token.

    `sends_left` and the like count, waits are in ms.
    """

    blocked: bool
    consecutive_failures: int
    sends_left: int
    send_wait_ms: int
    failures_left: int
    verify_wait_ms: int
    device_blocked: bool
    device_sends_left: int
    device_send_wait_ms: int
    device_failures_left: int
    device_verify_wait_ms: int


class StandingOf(ListScript[PhoneStanding]):
    """The face of standing.lua."""

    __slots__ = ()

    lists = (PhoneStanding,)

    def __call__(self, *, phone_key: str, counter_key: str, now: int | str) -> RunScript[PhoneStanding]:
        """Read the standing of a phone."""
        return RunScript(self, (phone_key, counter_key), (now,))

    def read(self, reply: Raw, args: Raw) -> PhoneStanding:
        """Return the standing of a phone."""
        blocked, failures, sends, send, wrong, verify, device_blocked, *device = numbers_of(reply, 11)
        return PhoneStanding(blocked == 1, failures, sends, send, wrong, verify, device_blocked == 1, *device)


class Revoke(Script[bool]):
    """The face of revoke.lua. Its reply is True if a challenge was ended."""

    __slots__ = ()

    def __call__(self, *, phone_key: str, now: int | str, challenge_field: bytes) -> RunScript[bool]:
        """End the live challenge."""
        return RunScript(self, (phone_key,), (now, challenge_field), self.replicas)

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True if one was ended."""
        return count_of(reply, 1) == 1


class Unblock(Script[int]):
    """The face of unblock.lua. Its reply is the previous number of consecutive failures."""

    __slots__ = ()

    def __call__(self, *, phone_key: str, counter_key: str, now: int | str) -> RunScript[int]:
        """Lift a block and clear the failures."""
        return RunScript(self, (phone_key, counter_key), (now,))

    def read(self, reply: Raw, args: Raw) -> int:
        """Return the previous number of failures."""
        return count_of(reply)


class Removed(NamedTuple):
    """What was removed of a phone. `records` is the number of all its records."""

    records: int
    sends: int
    challenges: int
    wrong_codes: int
    proofs: int
    consecutive_failures: int


class Erase(ListScript[Removed]):
    """The face of erase.lua."""

    __slots__ = ()

    lists = (Removed,)

    def __call__(self, *, device_key: str, phone_key: str, counter_key: str, now: int | str) -> RunScript[Removed]:
        """Remove all that is stored about a phone, and forget its devices."""
        return RunScript(self, (device_key, phone_key, counter_key), (now,))

    def read(self, reply: Raw, args: Raw) -> Removed:
        """Return what was removed."""
        return Removed(*numbers_of(reply, 6))


class CheckDevice(Script[bool]):
    """The face of check_device.lua. Its reply is True if the token is valid."""

    __slots__ = ()

    def __call__(self, *, device_key: str, now: int | str, device_since: int) -> RunScript[bool]:
        """Check a token that a verification made at `device_since` (server ms)."""
        return RunScript(self, (device_key,), (now, device_since))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True if the token is valid."""
        return count_of(reply, 1) == 1


class ForgetDevices(Script[bool]):
    """The face of forget_devices.lua. Its reply is True."""

    __slots__ = ()

    def __call__(self, *, device_key: str, now: int | str) -> RunScript[bool]:
        """Forget the devices of a phone."""
        return RunScript(self, (device_key,), (now,), self.replicas)

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1
