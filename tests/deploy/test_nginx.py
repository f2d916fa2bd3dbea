"""The nginx of examples/deploy, run: TLS, the visitor's address, and the paths that it keeps inside."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.servers import unavailable

from otpkit.web import client_ip

CONFIG = Path(__file__).parents[2] / "examples" / "deploy" / "nginx.conf"
FORGED = "198.51.100.9"
SECONDS = 20


class Echo(BaseHTTPRequestHandler):
    """An upstream that answers with the headers that it gets."""

    def do_GET(self) -> None:
        body = "\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The server with the file as it is, but for its ports and its certificate: the ports of HTTP and of HTTPS."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    openssl = shutil.which("openssl")
    if program is None or openssl is None:
        unavailable("nginx or openssl is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    pair = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    make = (openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=otp.example.com")
    subprocess.run([*make, *pair], check=True, capture_output=True, timeout=SECONDS)
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    plain, secure = free_port(), free_port()
    site = CONFIG.read_text(encoding="utf-8")
    for before, after in {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl": f"listen 127.0.0.1:{secure} ssl",
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl http2;\n": "",
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{upstream.server_port};",
        "/etc/letsencrypt/live/otp.example.com/fullchain.pem": str(folder / "cert.pem"),
        "/etc/letsencrypt/live/otp.example.com/privkey.pem": str(folder / "key.pem"),
    }.items():
        assert before in site, before
        site = site.replace(before, after)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/errors;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{site}}}\n",
        encoding="utf-8",
    )
    command = [program, "-p", str(folder), "-e", str(folder / "errors"), "-c", str(config)]
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert tested.returncode == 0, tested.stderr
    assert "warn" not in tested.stderr, tested.stderr
    with subprocess.Popen(command) as process:
        try:
            wait_for(secure, process)
            yield plain, secure
        finally:
            process.terminate()
            process.wait(SECONDS)
            upstream.shutdown()
            upstream.server_close()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], dict[str, str]]:
    """Return the status, the headers of the answer, and those that the upstream got."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)
    try:
        client.request("GET", path, headers={"host": "otp.example.com"} | (headers or {}))
        answer = client.getresponse()
        text = answer.read().decode()
        received = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, received
    finally:
        client.close()


def test_the_address_of_the_visitor_is_believed_and_no_forged_one(nginx: tuple[int, int]) -> None:
    """With `forwarded_hops = 1`, as otpkit.toml has it."""
    _, _, received = get(nginx[1], "/v1/challenges", {"x-forwarded-for": FORGED})
    assert received["x-forwarded-for"] == f"{FORGED}, 127.0.0.1"
    assert client_ip("127.0.0.1", received["x-forwarded-for"], 1) == "127.0.0.1"
    assert (received["host"], received["x-forwarded-proto"]) == ("otp.example.com", "https")


@pytest.mark.parametrize("path", ["/metrics", "/console", "/console/", "/console/login"])
def test_the_inside_stays_inside(nginx: tuple[int, int], path: str) -> None:
    status, _, received = get(nginx[1], path)
    assert (status, received) == (404, {})


def test_browsers_are_told_to_stay_with_tls(nginx: tuple[int, int]) -> None:
    status, headers, _ = get(nginx[1], "/healthz")
    assert status == 200
    assert "max-age=" in headers["strict-transport-security"]


def test_plain_http_leads_to_tls(nginx: tuple[int, int]) -> None:
    client = http.client.HTTPConnection("127.0.0.1", nginx[0], timeout=SECONDS)
    try:
        client.request("GET", "/v1/x", headers={"host": "otp.example.com"})
        answer = client.getresponse()
        assert (answer.status, answer.getheader("location")) == (301, "https://otp.example.com/v1/x")
    finally:
        client.close()
