"""Devices over the HTTP service: when one last verified a phone, and which keys may end the devices of a phone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from support.service import KEY, OTHER_KEY, TRUSTED_KEY, Served, serving


def device_of(stage: Served, phone: str) -> str:
    """Return the device token of a verification of `phone`."""
    proof = stage.post("/v1/verifications", {"phone": phone, "code": stage.issue(phone)}).json()
    device: str = proof["device"]
    return device


def checked(stage: Served, phone: str, device: str, **options: Any) -> requests.Response:
    return stage.post("/v1/devices/check", {"phone": phone, "device": device}, **options)


def test_device_is_known_until_it_is_forgotten(stage: Served, phone: str) -> None:
    device = device_of(stage, phone)
    answer = checked(stage, phone, device)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    since = datetime.fromisoformat(answer.json()["verified_at"])
    assert abs((datetime.now(UTC) - since).total_seconds()) < 30
    spelled = {"phone": phone.removeprefix("+86"), "region": "CN", "device": f"junk~{device}"}
    assert stage.post("/v1/devices/check", spelled).json() == answer.json()
    forgotten = stage.post("/v1/devices/forget", {"phone": phone}, key=TRUSTED_KEY)
    assert (forgotten.status_code, forgotten.content, forgotten.headers["cache-control"]) == (204, b"", "no-store")
    assert checked(stage, phone, device).json() == {"verified_at": None}


@pytest.mark.parametrize("device", ["", "junk", "x" * 10_000, "a.1.b~" * 9])
def test_bad_token_is_no_device(stage: Served, phone: str, device: str) -> None:
    assert checked(stage, phone, device).json() == {"verified_at": None}


def test_token_of_another_phone_is_no_device(stage: Served, phone: str) -> None:
    assert checked(stage, "+8613912345678", device_of(stage, phone)).json() == {"verified_at": None}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/devices/check", {"device": "junk"}),
        ("/v1/devices/check", {"phone": "12", "device": "junk"}),
        ("/v1/devices/check", {"phone": "+8613800138000"}),
        ("/v1/devices/check", {"phone": "+8613800138000", "device": None}),
        ("/v1/devices/check", {"phone": "+8613800138000", "device": "junk", "purpose": "signup"}),
        ("/v1/devices/check", {"phone": "13800138000", "device": "junk", "region": "XX"}),
        ("/v1/devices/forget", {}),
        ("/v1/devices/forget", {"phone": "12"}),
        ("/v1/devices/forget", {"phone": "+8613800138000", "device": "junk"}),
    ],
)
def test_wrong_body_is_refused(stage: Served, path: str, body: dict[str, Any]) -> None:
    assert stage.post(path, body, key=TRUSTED_KEY).status_code == 422


def test_key_needs_the_right(stage: Served, phone: str) -> None:
    """A key of metrics asks for nothing, and forgetting holds for the purposes of all keys."""
    device = device_of(stage, phone)
    assert checked(stage, phone, device, key=None).status_code == 401
    for path, key in (("/v1/devices/check", OTHER_KEY), ("/v1/devices/forget", OTHER_KEY), ("/v1/devices/forget", KEY)):
        body = {"phone": phone, "device": device} if path.endswith("check") else {"phone": phone}
        refused = stage.post(path, body, key=key)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), (path, key)
    assert checked(stage, phone, device).json()["verified_at"] is not None


def test_forgetting_is_in_the_audit(stage: Served, phone: str) -> None:
    """By the key's name, with its reason."""
    body = {"phone": phone, "reason": "lost the phone"}
    assert stage.post("/v1/devices/forget", body, key=TRUSTED_KEY).status_code == 204
    (entry,) = stage.post("/v1/audit", {"phone": phone}, key=TRUSTED_KEY).json()["entries"]
    assert (entry["action"], entry["actor"], entry["reason"]) == ("devices_forgotten", "accounts", "lost the phone")


@pytest.mark.parametrize("reason", ["call 13800138000 back", "x" * 1000, 5, None])
def test_reason_that_the_audit_refuses(stage: Served, phone: str, reason: Any) -> None:
    body = {"phone": phone, "reason": reason}
    refused = stage.post("/v1/devices/forget", body, key=TRUSTED_KEY)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/reason")
    assert "13800138000" not in refused.text


def test_document_has_the_operations() -> None:
    with serving("memory://") as stage:
        document = stage.get("/openapi.json").json()
    names = {each["post"]["operationId"] for path, each in document["paths"].items() if path.startswith("/v1/devices")}
    assert names == {"check_device", "forget_devices"}
    answer = document["components"]["schemas"]["DeviceAnswer"]["properties"]["verified_at"]
    assert answer["type"] == ["string", "null"]
