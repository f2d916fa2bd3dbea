"""A gateway of your own: it makes one HTTP request of a message, and one of three outcomes of the answer.

    pip install 'otpkit[embedded]'
    python examples/custom_gateway.py

It sends to a server on this machine that stands for the provider's.
"""

from __future__ import annotations

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from otpkit import OTP, GatewayRejectedError, Template
from otpkit.gateways import (
    Flow,
    Gateway,
    HttpRequest,
    HttpResponse,
    Message,
    Provider,
    Receipt,
    json_object,
    message_id,
)

CARRIER = Provider("carrier", "The carrier")


class Carrier(Gateway):
    """POSTs a text to a carrier that answers 202 and an id, or a 4xx."""

    name = CARRIER.name

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def check(self, template: Template) -> None:
        CARRIER.require_body(template)

    def send(self, message: Message) -> Flow[Receipt]:
        return (yield from CARRIER.hand_over(self.request(message), self.read))

    def request(self, message: Message) -> HttpRequest:  # apart from send, whose frame an error's traceback shows
        fields = {"to": message.phone, "text": message.template.fill(message.params), "ref": message.send_id}
        body = json.dumps(fields).encode()
        return HttpRequest(method="POST", url=self.url, headers=self.headers, timeout=(3, 10), body=body)

    def read(self, response: HttpResponse) -> Receipt | GatewayRejectedError:
        if response.status == 202:
            return Receipt(self.name, message_id(json_object(response).get("id")))
        if 400 <= response.status < 500:  # certainly not sent
            return CARRIER.rejection("request", f"HTTP {response.status}", "the operator must look into its log")
        return CARRIER.uncertain()  # it may be on its way: the person sees the form, and nothing is sent again


class Provided(BaseHTTPRequestHandler):
    """The carrier, as far as this example needs one."""

    texts: list[str] = []  # noqa: RUF012 - of all requests

    def do_POST(self) -> None:
        self.texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
        print(f"The phone shows: {self.texts[-1]}", flush=True)
        answer = b'{"id": "1"}'
        self.send_response(202)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Provided)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    gateway = Carrier(f"http://127.0.0.1:{server.server_port}/messages", key="a key")
    template = Template("text", "otpkit", body="Your code is ${code}")
    with OTP("memory://", gateway, template, secrets.token_bytes(32)) as otp:
        print(f"The message is {otp.issue('+8613800138000').delivery}.")
        proof = otp.verify("+8613800138000", Provided.texts[-1][-6:])
        print(f"Verified: {proof.phone}")
    server.shutdown()
