"""`otpkit demo` on a socket, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from otpkit.cli.attack import Attack
from otpkit.cli.demo import EXAMPLES, close, local_sandbox, page_otps
from otpkit.cli.demo_site import DemoSite
from otpkit.sandbox import Sandbox, running
from otpkit.testing import MovableClock


@dataclass(frozen=True, slots=True)
class DemoStage:
    """A running demonstration."""

    base_url: str
    sandbox: Sandbox
    clock: MovableClock
    attack: Attack

    def code(self, phone: str) -> str:
        """Return the code of the newest message to a phone."""
        code = self.sandbox.messages(phone)[0].code
        assert code
        return code


@contextlib.contextmanager
def demo_stage(attack: Attack | None = None) -> Iterator[DemoStage]:
    """Serve a demonstration inside the with block. `attack` is the one that its page can start."""
    sandbox, clock, site = local_sandbox(), MovableClock(time.time()), DemoSite(attack)
    with running(sandbox, extra_routes=site.routes()) as address:
        otps = page_otps(address, clock=clock, on_event=site.attack.on_event)
        site.connect(otps, EXAMPLES)
        try:
            yield DemoStage(address.base_url, sandbox, clock, site.attack)
        finally:
            site.attack.stop()
            with ThreadPoolExecutor(1) as elsewhere:  # Playwright runs a loop in this thread.
                elsewhere.submit(asyncio.run, close(otps)).result()
