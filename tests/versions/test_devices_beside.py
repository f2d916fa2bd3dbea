"""The version before devices beside this one: it counts everybody as a stranger up to the totals, which hold."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from test_side_by_side import DAY, MINUTE, PHONE, ROOT, Pair, Version, wrong

LAST = "14f285ac70dcd2751c31cf292e2d9e3f2f0eaa8a"  # The last version without devices.
HOUR = 60 * MINUTE


@pytest.fixture(scope="session")
def last(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with that version."""
    archive = subprocess.run(["git", "archive", LAST, "otpkit"], cwd=ROOT, capture_output=True, check=False)
    assert archive.returncode == 0, f"commit {LAST:.7} is missing; fetch the whole history"
    folder = tmp_path_factory.mktemp("last")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture
def versions(last: Path, redis_url: str, namespace: str) -> Iterator[tuple[Version, Version]]:
    """Give a process of that version and one of this."""
    made = Pair((last, ROOT), redis_url, namespace)
    with made.stack:
        yield made(parts=True)


def enrol(new: Version) -> str:
    device: str = new.verify(new.issue().code).result["device"]
    assert device
    return device


def test_sends_of_both_keep_to_the_total(versions: tuple[Version, Version]) -> None:
    """The version before sends as many as ever, and a device no more than the total."""
    old, new = versions
    device = enrol(new)
    for hour in range(1, 7):
        assert new.issue(at=hour * HOUR).sent
    assert new.issue(at=7 * HOUR).evidence["scope"] == "phone"
    assert old.issue(at=7 * HOUR).sent
    assert new.issue(at=8 * HOUR, device=device).sent
    assert old.issue(at=9 * HOUR).sent
    for process, options in ((old, {}), (new, {}), (new, {"device": device})):
        assert process.issue(at=10 * HOUR, **options).evidence["scope"] == "phone"
    assert new("standing", phone=PHONE, at=10 * HOUR).result["sends_left"] == 0


def test_wrong_codes_of_both_keep_to_the_total(versions: tuple[Version, Version]) -> None:
    """Fifteen for strangers in this version, twenty in the other and for a device."""
    old, new = versions
    device = enrol(new)
    for message in range(1, 4):
        code = old.issue(at=message * HOUR).code
        for _ in range(5):
            assert new.verify(wrong(code), at=message * HOUR).error == "WrongCodeError"
    code = old.issue(at=4 * HOUR).code
    assert new.verify(wrong(code), at=4 * HOUR).evidence["scope"] == "failures"
    assert old.verify(wrong(code), at=4 * HOUR).error == "WrongCodeError"
    for _ in range(3):
        assert new.verify(wrong(code), at=4 * HOUR, device=device).error == "WrongCodeError"
    assert new.verify(code, at=4 * HOUR, device=device).result
    code = old.issue(at=5 * HOUR).code
    assert old.verify(wrong(code), at=5 * HOUR).error == "WrongCodeError"
    for process, options in ((old, {}), (new, {}), (new, {"device": device})):
        assert process.verify(code, at=5 * HOUR, **options).evidence["scope"] == "failures"


def test_challenge_of_a_device_is_verified_by_the_version_before(versions: tuple[Version, Version]) -> None:
    """Records keep their length and letters: a resend is the same code, and its proof is redeemed by either."""
    old, new = versions
    device = enrol(new)
    sent = new.issue(at=HOUR, device=device)
    assert old.issue(at=HOUR + MINUTE).code == sent.code
    proof = old.verify(sent.code, at=HOUR + MINUTE).result
    assert new("redeem", token=proof["token"], at=HOUR + MINUTE).result["id"] == proof["id"]


def test_erase_of_the_version_before_leaves_devices(versions: tuple[Version, Version]) -> None:
    """It does not know them: erase again after the deployment. That of this version ends them, and no error follows."""
    old, new = versions
    device = enrol(new)
    old("erase", phone=PHONE)
    assert new("check_device", token=device, phone=PHONE).result
    new("erase", phone=PHONE)
    assert new("check_device", token=device, phone=PHONE).result is None
    assert old.issue(at=DAY).sent
