"""The limit of a body, the address that is counted, and the contents of the metrics."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator

import pytest
from support import service as service_stage
from support.service import KEY, OTHER_KEY, Served, serving

from otpkit import Policy
from otpkit.service import ApiKey

HEAD = f"POST /v1/challenges HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"


def answered(stage: Served, *sent: bytes) -> bytes:
    """Send bytes, and return the whole answer until the connection is closed."""
    with socket.create_connection(("127.0.0.1", stage.port), timeout=10) as connection:
        for each in sent:
            connection.sendall(each)
        found = b""
        while chunk := connection.recv(65_536):
            found += chunk
        return found


def padded(phone: str, size: int) -> bytes:
    """Return a body of so many bytes."""
    body = json.dumps({"phone": phone}).encode()
    return body + b" " * (size - len(body))


def test_a_body_of_16_kib_is_taken(stage: Served, phone: str) -> None:
    answer = stage.post("/v1/challenges", data=padded(phone, 16_384), headers={"Content-Type": "application/json"})
    assert answer.status_code == 201


@pytest.mark.parametrize("size", [16_385, 1_000_000])
def test_a_longer_one_is_refused(stage: Served, phone: str, size: int) -> None:
    answer = stage.post("/v1/challenges", data=padded(phone, size), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_long")


def test_a_longer_one_in_chunks_is_refused_without_its_length(stage: Served, phone: str) -> None:
    chunks = (padded(phone, 1_000) for _ in range(17))
    answer = stage.post("/v1/challenges", data=chunks, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_long")


def test_a_huge_one_is_not_waited_for(stage: Served) -> None:
    found = answered(stage, f"{HEAD}content-length: 99999999999\r\n\r\n".encode())
    assert found.startswith(b"HTTP/1.1 413 ")


def test_one_without_end_is_cut_off(stage: Served) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", stage.port), timeout=10) as connection:
        connection.sendall(f"{HEAD}transfer-encoding: chunked\r\n\r\n".encode())
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(chunk * 1_000)  # 64 MiB


def test_what_is_no_http_is_answered_by_a_problem(stage: Served) -> None:
    head, _, body = answered(stage, b"\x16\x03\x01 hello\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "invalid_http"


@pytest.fixture
def strict() -> Iterator[Served]:
    """A service behind two proxies, with a limit of one send an hour for an address."""
    options = {"policy": Policy(ip_sends="1/hour")}
    with serving("memory://", otp_options=options, forwarded_hops=2) as served:
        yield served


def test_the_bodys_address_is_limited(strict: Served) -> None:
    strict.issue("13800138001", ip="203.0.113.7")
    answer = strict.post("/v1/challenges", {"phone": "13800138002", "ip": "::ffff:203.0.113.7"})
    assert (answer.status_code, answer.json()["scope"]) == (429, "ip")
    assert answer.headers["ratelimit"].startswith('"ip";r=0;t=')
    strict.issue("13800138002", ip="203.0.113.8")


def test_where_it_is_left_out_the_proxies_are_believed_so_far_as_they_are_ours(strict: Served) -> None:
    def ask(phone: str, *forwarded: str) -> int:
        headers = {"X-Forwarded-For": ", ".join(forwarded)} if forwarded else {}
        return strict.post("/v1/challenges", {"phone": phone}, headers=headers).status_code

    assert ask("13800138001", "203.0.113.7", "10.0.0.1") == 201
    # The entries that the visitor wrote do not count.
    assert ask("13800138002", "198.51.100.1", "203.0.113.7", "10.0.0.1") == 429
    assert ask("13800138003", "203.0.113.9", "10.0.0.1") == 201
    assert [ask(f"1380013800{n}") for n in (4, 5)] == [201, 201]  # The address is unknown, so no limit applies.


def test_without_proxies_the_header_counts_nothing() -> None:
    with serving("memory://", otp_options={"policy": Policy(ip_sends="1/hour")}) as stage:
        headers = {"X-Forwarded-For": "203.0.113.7"}
        found = [
            stage.post("/v1/challenges", {"phone": f"1380013800{n}"}, headers=headers).status_code for n in range(3)
        ]
        assert found == [201, 201, 201]


def test_the_metrics_count_events_and_answers_and_name_no_phone() -> None:
    phone = "+8613800138000"
    with serving("memory://") as stage:
        code = stage.issue(phone)
        stage.post("/v1/challenges", {"phone": phone})
        stage.post("/v1/verifications", {"phone": phone, "code": code})
        stage.get("/v1/nothing-of-the-kind")
        assert stage.get("/metrics").status_code == 401
        for key in (KEY, OTHER_KEY):
            answer = stage.get("/metrics", key=key)
            assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        text = answer.text
        counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        event = (
            'otpkit_events_total{{gateway="{}",name="{}",operation="{}",outcome="{}",'
            'purpose="signup",region="CN",scope="{}"}}'
        )
        assert counted[event.format("outbox", "issued", "issue", "accepted", "")] == "1.0"
        assert counted[event.format("", "refused", "issue", "rate_limit", "phone")] == "1.0"
        assert counted[event.format("outbox", "verified", "verify", "", "")] == "1.0"
        assert counted['otpkit_requests_total{route="/v1/challenges",status="201"}'] == "1.0"
        assert counted['otpkit_requests_total{route="/v1/challenges",status="429"}'] == "1.0"
        assert counted['otpkit_requests_total{route="other",status="404"}'] == "1.0"
        assert counted['otpkit_request_seconds_count{route="/v1/verifications"}'] == "1.0"
        assert phone[1:] not in text
        assert code not in re.sub(r"\d+\.\d+(e[+-]\d+)?", "", text)
        assert "nothing-of-the-kind" not in text


def purposes_in(text: str) -> set[str]:
    return set(re.findall(r'purpose="(\w*)"', text))


def test_a_key_reads_the_metrics_of_its_purposes() -> None:
    """A key without purposes is the operator's and reads all metrics. So does a key with all purposes."""
    login = "key-of-the-login-page-" + KEY[::-1]
    keys = [ApiKey.of("login", login, ["login"]), *service_stage.KEYS]
    with serving("memory://", keys=keys) as stage:
        stage.issue("13800138000", purpose="login")
        stage.issue("13800138001", purpose="signup")
        stage.post("/v1/challenges/revoke", {"phone": "13800138002", "purpose": "signup"})
        found = {key: stage.get("/metrics", key=key).text for key in (login, KEY, OTHER_KEY)}
    assert {key: purposes_in(text) for key, text in found.items()} == {
        login: {"login"},
        KEY: {"login", "signup"},
        OTHER_KEY: {"login", "signup"},
    }
    assert ["otpkit_requests_total" in found[key] for key in (login, KEY, OTHER_KEY)] == [False, True, True]


def test_replays_are_counted_as_such(stage: Served, phone: str) -> None:
    """A repeated form counts as one message, one verification and one redemption."""

    def counted(name: str, operation: str) -> float:
        text = stage.get("/metrics", key=OTHER_KEY).text
        lines = [line for line in text.splitlines() if line.startswith("otpkit_events_total")]
        found = [line for line in lines if f'name="{name}",operation="{operation}"' in line]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    names = [("issued", "issue"), ("verified", "verify"), ("redeemed", "redeem")]
    before = {name: counted(*name) for name in names}
    replayed = {operation: counted("replayed", operation) for _, operation in names}
    headers = {"Idempotency-Key": f"form-of-{phone}"}
    for _ in range(3):
        stage.post("/v1/challenges", {"phone": phone}, headers=headers)
    body = {"phone": phone, "code": stage.outbox[-1].code}
    for _ in range(3):
        token = stage.post("/v1/verifications", body, headers=headers).json()["token"]
    for _ in range(3):
        assert stage.post("/v1/proofs/redeem", {"token": token}, headers=headers).status_code == 200
    assert {name: counted(*name) - before[name] for name in names} == dict.fromkeys(names, 1)
    assert {operation: counted("replayed", operation) - replayed[operation] for _, operation in names} == {
        "issue": 2,
        "verify": 2,
        "redeem": 2,
    }


FLOODS = {
    "header": b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-flood: ",
    "path": b"GET /",
    "extension": f"{HEAD}transfer-encoding: chunked\r\n\r\n1;".encode(),
    "trailer": f"{HEAD}transfer-encoding: chunked\r\n\r\n1\r\n1\r\n0\r\nx-flood: ".encode(),
}


@pytest.mark.parametrize("where", FLOODS)
def test_a_head_without_end_is_cut_off(stage: Served, where: str) -> None:
    with socket.create_connection(("127.0.0.1", stage.port), timeout=10) as connection:
        connection.sendall(FLOODS[where])
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(b"a" * 64 * 1_048_576)


def test_a_head_that_is_too_long_is_told_so(stage: Served) -> None:
    with socket.create_connection(("127.0.0.1", stage.port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        time.sleep(0.05)  # The server then reads the next bytes separately.
        connection.sendall(b"x-flood: " + b"a" * 65_536)
        found = connection.recv(65_536)
    assert found.startswith(b"HTTP/1.1 431 ")
    assert b'"head_too_long"' in found


def test_rubbish_after_a_request_does_not_take_its_answer(
    stage: Served, phone: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"phone": phone}).encode()
    asked = f"{HEAD}content-length: {len(body)}\r\n\r\n".encode() + body
    found = answered(stage, asked + b"rubbish\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 201 ")
    assert b"connection: close" in found
    assert answered(stage, f"{HEAD}transfer-encoding: chunked\r\n\r\nZZ\r\n".encode()).startswith(b"HTTP/1.1 400 ")
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []
