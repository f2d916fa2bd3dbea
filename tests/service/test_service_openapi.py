"""The service matches its OpenAPI document: schemathesis sends valid and invalid requests, and finds no difference."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest
from support.service import KEY, Served, serving

from otpkit import PhoneError, Policy
from otpkit.phone import parse

SECONDS = 115  # Enough for a busy machine. Alone it takes 6 s.
EXAMPLES = 20  # For each operation, besides those that cover every keyword of the document.


@pytest.fixture(scope="module")
def served(valkey_url: str) -> Iterator[Served]:
    """Yield a service on a real server."""
    with serving(valkey_url, namespace=f"t{uuid4().hex[:12]}") as stage:
        yield stage


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    """Return the document, which needs no key."""
    found: dict[str, Any] = served.get("/openapi.json").json()
    return found


def test_schemathesis_finds_nothing_with_its_default_checks(served: Served, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.base_url}/openapi.json"),
        *("--header", f"Authorization: Bearer {KEY}", "--seed", "1", "--max-examples", str(EXAMPLES)),
        *("--continue-on-failure", "--no-color"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    generated = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert generated, done.stdout
    assert generated[1] == generated[2]
    assert int(generated[1]) > 500
    assert served.outbox, "no example sent a message"


def test_every_operation_tells_all_its_answers(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert "https://" not in str(document.get("servers", ""))
    for path, methods in document["paths"].items():
        for operation in methods.values():
            expected = {"500"} if path in {"/healthz", "/openapi.json"} else {"500", *_secured(operation)}
            assert expected <= operation["responses"].keys(), path
            for status, answer in operation["responses"].items():
                assert answer["description"], (path, status)
                if status >= "400" and not path.startswith("/receipts"):
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)


def _secured(operation: dict[str, Any]) -> set[str]:
    return {"401"} if operation["security"] else set()


def test_every_example_is_an_example(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, found in schema["properties"].items():
            for example in found.get("examples", []):
                whole = {
                    "$ref": f"#/components/schemas/{name}/properties/{field}",
                    "components": document["components"],
                }
                assert jsonschema_rs.Draft202012Validator(whole).is_valid(example), (name, field, example)


SPELLINGS = [
    "13800138000",
    "+86 138-0013-8000",
    "0086 13800138000",
    "８６１３８００１３８０００",
    " 138.0013.8000 ",
    "8613800138000",
]
NO_PHONES = [
    "1380013800",
    "23800138000",
    "+1 4155550123",
    "+13800138000",
    "138001380000",
    "abc",
    "",
    "13800138000\n",
    "-13800138000",
]


@pytest.mark.parametrize("text", [*SPELLINGS, *NO_PHONES])
def test_the_pattern_of_a_phone_takes_what_the_library_takes(
    served: Served, document: dict[str, Any], text: str
) -> None:
    schema = document["components"]["schemas"]["ChallengeRequest"]["properties"]["phone"]
    try:
        parse(text)
    except PhoneError:
        is_phone = False
    else:
        is_phone = True
    assert is_phone == (text in SPELLINGS)
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(text) == is_phone


ADDRESSES = ["203.0.113.7", "::", "2001:db8::7", "1:2:3:4:5:6:7::", "::ffff:192.0.2.1", "1:2:3:4:5:6:192.0.2.1"]
NO_ADDRESSES = ["203.0.113.07", "203.0.113", "256.0.0.1", ":::", "1:2:3:4:5:6:7:8::", "fe80::1%eth0", "12345::", ""]


@pytest.mark.parametrize("text", [*ADDRESSES, *NO_ADDRESSES])
def test_ip_pattern_takes_what_ipaddress_reads(document: dict[str, Any], text: str) -> None:
    schema = document["components"]["schemas"]["ChallengeRequest"]["properties"]["ip"]
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(text) == (text in ADDRESSES)


def test_no_schema_has_what_clients_can_not_express(document: dict[str, Any]) -> None:
    """A default makes a field required in TypeScript, and `anyOf` becomes a separate class in Go."""
    schemas = document["components"]["schemas"]
    assert "anyOf" not in str(schemas)
    assert not [
        name for name, schema in schemas.items() for field in schema["properties"].values() if "default" in field
    ]


def test_the_document_is_that_of_the_deployment() -> None:
    policy = Policy(code_length=8, regions={"CN", "HK"})
    with serving("memory://", otp_options={"policy": policy}) as stage:
        schemas = stage.get("/openapi.json").json()["components"]["schemas"]
        assert "{8}" in schemas["VerificationRequest"]["properties"]["code"]["pattern"]
        phone = jsonschema_rs.Draft202012Validator(schemas["ChallengeRequest"]["properties"]["phone"])
        assert phone.is_valid("+852 5123 4567")
        assert phone.is_valid("(138) 0013-8000")
        assert not phone.is_valid("1-800-FLOWERS")
        assert schemas["ChallengeRequest"]["properties"]["channel"]["enum"] == ["sms"]
        params = jsonschema_rs.Draft202012Validator(schemas["ChallengeRequest"]["properties"]["params"])
        assert params.is_valid({"product": "otpkit"})
        assert params.is_valid(None)
        assert not params.is_valid({"brand": "otpkit"})
