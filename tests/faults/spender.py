"""A process that issues codes within a budget: python spender.py url namespace now start count dies.

It prints how many messages it sent. With `dies` 1, its gateway kills it in its last call.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.rig import SECRET, TEMPLATE

from otpkit import OTP, Budget, RateLimitError
from otpkit.gateways import Message

BUDGETS = [
    Budget("10 CNY/day", keep=0, hourly=1, alerts=(0.5,), timezone="Asia/Shanghai"),
    Budget("900 CNY/month", key="shop"),
]
PRICES = {"CN": "0.07 CNY"}


def main(url: str, namespace: str, now: str, start: str, count: str, dies: str) -> None:
    sent = 0
    alerts: list[str] = []

    def gateway(message: Message) -> None:
        nonlocal sent
        if dies == "1" and message.phone.endswith(f"{int(start) + int(count) - 1:06d}"):
            os.kill(os.getpid(), signal.SIGKILL)
        sent += 1

    otp = OTP(
        url,
        gateway,
        TEMPLATE,
        SECRET,
        namespace=namespace,
        clock=lambda: float(now),
        budgets=BUDGETS,
        prices=PRICES,
        on_event=lambda event: alerts.append(event.outcome) if event.outcome == "alert" else None,
    )
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(start), int(start) + int(count)):
        with suppress(RateLimitError):
            otp.issue(f"+86138{number:08d}", budget_key="shop")
    print(sent, len(alerts), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
