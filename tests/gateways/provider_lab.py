"""Shared parts of the providers' tests: one message, the expected rejection, and a search for leaks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from leaks import errors_of, reachable_text

from otpkit.errors import GatewayRejectedError
from otpkit.gateways import Message
from otpkit.template import Template

CODE, NUMBER, SECRET, SEND_ID = (
    "730452",
    "13800138000",
    "s3cr3t-of-at-least-32-bytes-for-tests",
    "Zm9vYmFyYmF6cXV4MTIzNA",
)
PHONE = f"+86{NUMBER}"
NOW = datetime(2026, 1, 1, 0, 0, 0, tzinfo=UTC)
TEMPLATE = Template(
    "585014", "阿里大鱼", {"code": "{code}", "product": "otpkit"}, body="验证码${code}，您正在进行${product}身份验证"
)
BARE = Template("585014", "阿里大鱼")


def message(**changes: Any) -> Message:
    fields = {
        "phone": PHONE,
        "code": CODE,
        "template": TEMPLATE,
        "params": {"code": CODE, "product": '大鱼 "x" <&>+~*%😀'},
        "send_id": SEND_ID,
        "sent_at": NOW,
    }
    return Message(**(fields | changes))


def refused(call: Callable[[], object], gateway: str) -> GatewayRejectedError:
    """Return the rejection that a call raises, and check that nothing reachable from it contains a secret."""
    with pytest.raises(GatewayRejectedError) as caught:
        call()
    error = caught.value
    assert error.gateway == gateway
    assert list(errors_of(error)) == [error]
    for secret in (CODE, SECRET):
        assert secret not in reachable_text(error)
    assert NUMBER not in f"{error} {error!r} {error.args} {error.gateway_code}"
    assert error.problem.endswith(".")
    assert error.remedy[:1].isupper()
    return error
