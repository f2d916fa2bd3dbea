"""What operators are told about a provider's error code."""

from __future__ import annotations

import pytest

from otpkit.gateways.provider import Doubt, Refusal, family_of, remedy_in

REFUSALS = {
    "full": Refusal("quota", "the account is full", "the operator must empty it"),
    "isv.*": Refusal("request", "the call is wrong", "the developer must correct it"),
}
DOUBTS = {"slow": Doubt("the provider took too long", "the operator must wait")}


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("full", "The account is full. The operator must empty it."),
        ("isv.ODD", "The call is wrong. The developer must correct it."),
        ("slow", "The provider took too long. The operator must wait."),
        ("other", ""),
        ("", ""),
    ],
)
def test_remedy_is_that_of_the_tables(code: str, remedy: str) -> None:
    """The tables are searched in order; an unknown code has no remedy."""
    assert remedy_in(code, REFUSALS, DOUBTS) == remedy
    assert family_of("isv.ODD", REFUSALS) == "isv.*"
