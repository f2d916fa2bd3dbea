"""The service accepts pasted numbers and codes, and `region` with a national number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.service import Served, serving

from otpkit import Policy

ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
_numbers = iter(range(13_500_000_000, 13_600_000_000))


@pytest.fixture(scope="module")
def stage() -> Iterator[Served]:
    with serving("memory://", otp_options={"policy": Policy(regions={"CN", "HK"})}) as stage:
        yield stage


@pytest.mark.parametrize(
    "spelling",
    [
        "\u202d{0} {1} {2}\u202c",
        "{0}\u00a0{1}\u00a0{2}",
        "+86\u00a0{0}\u2011{1}\u2011{2}",
        "+86 (0){0}{1}{2}",
        "arabic",
    ],
    ids=ascii,
)
def test_each_operation_reads_what_is_pasted(stage: Served, spelling: str) -> None:
    number = str(next(_numbers))
    text = number.translate(ARABIC) if spelling == "arabic" else spelling.format(number[:3], number[3:7], number[7:])
    assert stage.post("/v1/challenges", {"phone": text}).json()["phone"] == f"+86{number}"
    code = "\u202d" + stage.outbox[-1].code.translate(ARABIC) + "\u202c"
    assert stage.post("/v1/challenges/status", {"phone": text}).status_code == 200
    assert stage.post("/v1/challenges/delivery", {"phone": text}).status_code == 200
    token = stage.post("/v1/verifications", {"phone": text, "code": code}).json()["token"]
    assert stage.post("/v1/proofs/redeem", {"token": token, "phone": text}).json()["phone"] == f"+86{number}"
    assert stage.post("/v1/challenges/revoke", {"phone": text}).status_code == 204


def test_each_operation_takes_a_region(stage: Served) -> None:
    body, phone = {"phone": "5123 4567", "region": "HK"}, "+85251234567"
    assert stage.post("/v1/challenges", body).json()["phone"] == phone
    assert stage.post("/v1/challenges/status", body).json()["phone"] == phone
    assert stage.post("/v1/challenges/delivery", body).status_code == 200
    proof = stage.post("/v1/verifications", {**body, "code": stage.outbox[-1].code}).json()
    wrong = stage.post("/v1/proofs/redeem", {"token": proof["token"], "phone": "13800138000", "region": "CN"})
    assert wrong.json()["code"] == "invalid_token"
    assert stage.post("/v1/proofs/redeem", {"token": proof["token"], **body}).json()["phone"] == phone
    assert stage.post("/v1/challenges/revoke", body).status_code == 204


@pytest.mark.parametrize("path", ["/v1/challenges", "/v1/challenges/status", "/v1/challenges/revoke"])
@pytest.mark.parametrize("region", ["US", "ZZ", "hk", ""])
def test_a_region_that_is_not_served_is_refused(stage: Served, path: str, region: str) -> None:
    answer = stage.post(path, {"phone": "13800138000", "region": region})
    assert (answer.status_code, answer.json()["code"]) == (422, "region")
    redeem = stage.post("/v1/proofs/redeem", {"token": "t", "region": region})
    assert redeem.json()["code"] == "region"


def test_the_document_lists_the_regions(stage: Served) -> None:
    schemas = stage.get("/openapi.json").json()["components"]["schemas"]
    for name in ("ChallengeRequest", "ChallengeQuery", "VerificationRequest", "RedemptionRequest"):
        assert schemas[name]["properties"]["region"]["enum"] == ["CN", "HK", None]
