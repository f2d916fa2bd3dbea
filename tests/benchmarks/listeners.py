"""What listeners cost: calls with the log, Prometheus and a webhook beside calls without, call by call by turns.

A call is timed as its caller waits for it, and calls come at a rate of a busy site. The medians of single calls do not
depend on what else the machine does. The threads of the listeners work between the calls, so a second figure has the
speed without a pause: then they take their time from the calls.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import redis
from prometheus_client import CollectorRegistry

from otpkit import OTP
from otpkit.telemetry import Listener, LogListener, PrometheusListener, WebhookListener
from tests.benchmarks.measure import ratio
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import POLICY, SECRET, TEMPLATE, Bench, Codes, new_phone, tcp_server
from tests.benchmarks.table import Row, at_least

_ROUNDS = 8
_PAUSE_S = 0.001
_RECEIVER = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
"""


def listeners(server: str, sizes: Sizes) -> Iterator[Row]:
    """Measure calls with a function, and with all listeners that need no SDK."""
    with tcp_server(server) as url, _all() as everything:
        plain = _heard(url, [], "plain")
        for what, heard in {
            "a function": _heard(url, [lambda event: None], "function"),
            "log, Prometheus, webhook": _heard(url, everything, "all"),
        }.items():
            for kind, calls_of in (("verify", _verifying), ("issue", _issuing)):
                calls = sizes.calls * _ROUNDS
                without, with_them = _timed(calls_of(plain, calls), calls_of(heard, calls))
                figure = f"{kind}, {what} / no listener"
                yield at_least(figure, median(without) / median(with_them), 0.90)
        runs: list[tuple[str, Callable[[Bench], Callable[[], None]]]] = [
            ("verify", lambda it: it.verifying(it.issued(sizes.calls))),
            ("issue", lambda it: it.issuing(sizes.calls)),
        ]
        for kind, run in runs:
            found = ratio(lambda run=run: run(plain), lambda run=run: run(heard), sizes.rounds)  # type: ignore[misc]
            yield Row(f"{kind}, log, Prometheus, webhook / no listener, without a pause", f"{found:.2f}")
        heard.otp.close()


def _heard(url: str, chosen: Sequence[Listener], namespace: str) -> Bench:
    client, codes = redis.Redis.from_url(url), Codes()
    otp = OTP(url, codes, TEMPLATE, SECRET, policy=POLICY, namespace=namespace, listeners=chosen)
    return Bench(client, otp, codes, client.script_load("return 1"))


@contextlib.contextmanager
def _all() -> Iterator[list[Listener]]:
    """Yield a listener of each kind. The log goes nowhere, and the webhook to a process of its own."""
    logger = logging.getLogger("benchmark")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        subprocess.Popen([sys.executable, "-c", _RECEIVER], stdout=subprocess.PIPE, text=True) as receiver,
    ):
        handler = logging.StreamHandler(nowhere)
        logger.addHandler(handler)
        assert receiver.stdout is not None
        url = f"http://127.0.0.1:{receiver.stdout.readline().strip()}/"
        secret = f"whsec_{b64encode(os.urandom(32)).decode()}"
        log, webhook = LogListener(logger, json=True), WebhookListener(url, secret)
        try:
            yield [log, PrometheusListener(CollectorRegistry()), webhook]
        finally:
            log.close()
            logger.removeHandler(handler)
            receiver.terminate()


def _verifying(bench: Bench, calls: int) -> list[Callable[[], object]]:
    verify = bench.otp.verify
    return [lambda phone=phone, code=code: verify(phone, code) for phone, code in bench.issued(calls)]  # type: ignore[misc]


def _issuing(bench: Bench, calls: int) -> list[Callable[[], object]]:
    issue = bench.otp.issue
    phones = [new_phone() for _ in range(calls)]
    return [lambda phone=phone: issue(phone) for phone in phones]  # type: ignore[misc]


def _timed(some: Sequence[Callable[[], object]], others: Sequence[Callable[[], object]]) -> tuple[list[int], list[int]]:
    """Run two kinds of calls by turns, with a pause before each. Return the nanoseconds of each call."""
    taken: tuple[list[int], list[int]] = ([], [])
    for number, pair in enumerate(zip(some, others, strict=True)):
        for which in (0, 1) if number % 2 else (1, 0):
            time.sleep(_PAUSE_S)
            start = time.perf_counter_ns()
            pair[which]()
            taken[which].append(time.perf_counter_ns() - start)
    return taken
