"""The browser's half of the proof of work, in Chromium under a strict Content-Security-Policy."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from support.servers import unavailable

from otpkit.captcha import CaptchaCheck, ProofOfWork
from otpkit.transport.http import drive
from otpkit.web.proof_of_work import solver_script

CAPTCHA = ProofOfWork(200_000).bind_key(b"k" * 32)
NOW_MS = 1_800_000_000_000
NONCE = "n0nce"
POLICY = (
    f"default-src 'none'; img-src data:; script-src 'nonce-{NONCE}'; worker-src {' '.join(CAPTCHA.csp['worker-src'])}"
)
PAGE = f"""<!doctype html><html lang="en"><title>Proof of work</title><link rel="icon" href="data:,">
<progress max="1" value="0"></progress><script nonce="{NONCE}">{solver_script()}</script></html>"""
SOLVE = """async (challenge) => {
  const seen = [];
  const answer = await solveProofOfWork(challenge, (share) => {
    document.querySelector("progress").value = share;
    seen.push(share);
  });
  return { answer, seen, shown: document.querySelector("progress").value };
}"""


class Handler(BaseHTTPRequestHandler):
    """The page alone. It counts what else is asked for."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Iterator[Page]:
    Handler.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield open_page(f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    server.server_close()


def challenge() -> dict[str, Any]:
    found = CAPTCHA.parameters("login", NOW_MS)["challenge"]
    assert isinstance(found, dict)
    return found


def test_worker_finds_the_solution_and_shows_progress(page: Page) -> None:
    found = page.evaluate(SOLVE, challenge())
    verdict = drive(CAPTCHA.verify(found["answer"], CaptchaCheck(purpose="login", ip=None, now_ms=NOW_MS)))
    assert verdict.passed
    assert found["seen"] == sorted(found["seen"])
    assert found["seen"][-1] == found["shown"] == 1
    assert Handler.asked == ["/"], "nothing else is loaded"


def test_page_stays_usable_and_progress_moves(page: Page) -> None:
    """A challenge that can't be solved is tried to its end, beside the page and not in its place."""
    endless = {**challenge(), "challenge": "0" * 64, "maxnumber": 3_000_000}
    script = """async (challenge) => {
      const seen = [];
      let beats = 0;
      const timer = setInterval(() => beats++, 20);
      const refusal = await solveProofOfWork(challenge, (share) => seen.push(share)).catch((error) => error.message);
      clearInterval(timer);
      return { refusal, beats, seen };
    }"""
    found = page.evaluate(script, endless)
    assert found["refusal"] == "The proof of work has no solution."
    assert found["beats"] > 10
    assert len(found["seen"]) > 3
    assert all(0 < share < 1 for share in found["seen"])


def test_work_stops_when_asked(page: Page) -> None:
    script = """async (challenge) => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 50);
      return await solveProofOfWork(challenge, () => {}, controller.signal).catch((error) => error.name);
    }"""
    assert page.evaluate(script, {**challenge(), "challenge": "0" * 64, "maxnumber": 10**9}) == "AbortError"


def test_any_salt_and_number_hash_right(page: Page) -> None:
    """At each border of a block of SHA-256, and where the digits grow."""
    salts = ["s" * length for length in (0, 1, 9, 46, 47, 54, 55, 56, 63, 64, 65, 119, 128, 200)]
    cases = [(salt, number) for salt in salts for number in (0, 9, 10, 99, 100, 1234)]
    fixed = {"algorithm": "SHA-256", "signature": "x", "maxnumber": 1234}
    asked = [
        {**fixed, "salt": salt, "challenge": sha256(f"{salt}{number}".encode()).hexdigest()} for salt, number in cases
    ]
    answers = page.evaluate("(all) => Promise.all(all.map((each) => solveProofOfWork(each)))", asked)
    found = [json.loads(base64.b64decode(answer)) for answer in answers]
    assert [each["number"] for each in found] == [number for _, number in cases]


def test_script_fits_into_a_script_element() -> None:
    assert "</script" not in solver_script().lower()


NPM = Path(__file__).parent.parent / "sandbox" / "npm"
WIDGETS = {1: ("altcha-v2/dist/altcha.js", "challengejson"), 2: ("altcha/dist/main/altcha.js", "challenge")}


@pytest.mark.parametrize("form", WIDGETS)
def test_widget_of_altcha_solves_our_challenge(browser: Browser, form: int) -> None:
    """ALTCHA's own widgets, as npm has them: version 2 for format 1, version 3 for format 2."""
    name, attribute = WIDGETS[form]
    script = NPM / "node_modules" / name
    if not script.is_file():
        unavailable(f"ALTCHA's widget is not installed; run: npm ci --ignore-scripts --prefix {NPM}")
    captcha = ProofOfWork(20_000, format=form).bind_key(b"k" * 32)
    now_ms = int(time.time() * 1000)
    challenge = escape(json.dumps(captcha.parameters("login", now_ms)["challenge"]))
    widget = f'<altcha-widget {attribute}="{challenge}" auto="onload" name="altcha"></altcha-widget>'
    page = browser.new_context().new_page()
    body = f"<!doctype html><form>{widget}</form>"
    page.route("**/*", lambda route: route.fulfill(body=body, content_type="text/html"))
    page.route("**/altcha.js", lambda route: route.fulfill(path=script, content_type="text/javascript"))
    page.goto("http://localhost/")  # A secure context: the widget needs crypto.subtle.
    page.add_script_tag(url="/altcha.js", type="module")
    page.wait_for_function("document.querySelector('input[name=altcha]')?.value", timeout=30_000)
    answer = page.eval_on_selector("input[name=altcha]", "(field) => field.value")
    page.context.close()
    check = CaptchaCheck(purpose="login", ip=None, now_ms=now_ms)
    assert drive(captcha.verify(answer, check)).passed
