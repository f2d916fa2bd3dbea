"""What the doctor finds of the audit."""

from __future__ import annotations

import pytest
from support.doctor import SECRET, settings_of

from otpkit import OTP, Template
from otpkit.core import audit as flows
from otpkit.core import scripts
from otpkit.doctor import trail
from otpkit.testing import Outbox

COMPLETE = {"gateway": "console", "development": "1", "template_code": "SMS_1", "template_sign_name": "otpkit"}


def test_a_full_audit_is_a_warning(valkey_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how many entries there are, and what to do."""
    assert settings_of(valkey_url, namespace=namespace, **COMPLETE)["audit"].status == "ok"
    for module in (scripts, flows, trail):
        monkeypatch.setattr(module, "LENGTH", 4)
    with OTP(valkey_url, Outbox(), Template("SMS_1", "otpkit"), SECRET, namespace=namespace) as otp:
        for _ in range(3):
            otp.unblock("13800138000")
    found = settings_of(valkey_url, namespace=namespace, **COMPLETE)["audit"]
    assert found.status == "warning"
    assert "4 entries" in found.found
    assert found.remedy
    assert "audit" not in settings_of("memory://", **COMPLETE)
