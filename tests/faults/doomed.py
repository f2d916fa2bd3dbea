"""A process that is killed in the middle of `issue`: python doomed.py url namespace now kind before|after.

Its gateway kills it before or after sending the message. It prints the code of a sent message.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.rig import PHONE, SECRET, TEMPLATE

from otpkit import OTP, AsyncOTP
from otpkit.gateways import Message


def main(url: str, namespace: str, now: str, kind: str, when: str) -> None:
    def gateway(message: Message) -> None:
        if when == "after":
            os.write(1, message.code.encode())
        os.kill(os.getpid(), signal.SIGKILL)

    options: dict[str, Any] = {"namespace": namespace, "clock": lambda: float(now)}
    if kind == "sync":
        OTP(url, gateway, TEMPLATE, SECRET, **options).issue(PHONE, idempotency_key="form")
    else:
        asyncio.run(AsyncOTP(url, gateway, TEMPLATE, SECRET, **options).issue(PHONE, idempotency_key="form"))


if __name__ == "__main__":
    main(*sys.argv[1:])
