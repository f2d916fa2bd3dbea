"""A policy accepts values within its bounds, and names a field that is not."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpkit import ConfigurationError, Policy, Rate
from otpkit.policy import DEFAULT_POLICY, ipv6_share, stranger_consecutive, stranger_failures, stranger_sends

DAY = 86_400

# Rates


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/hour", Rate(5, 3600)),
        ("1/second", Rate(1, 1)),
        ("1/minute", Rate(1, 60)),
        ("10/day", Rate(10, DAY)),
        ("3/10 minutes", Rate(3, 600)),
        ("3/10minutes", Rate(3, 600)),
        ("2 / 30 seconds", Rate(2, 30)),
        ("1/1 days", Rate(1, DAY)),
        ("  7/hours ", Rate(7, 3600)),
        ("999999999/day", Rate(999_999_999, DAY)),
    ],
)
def test_a_rate_is_read(text: str, rate: Rate) -> None:
    """Each spelling has the same meaning."""
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "5/", "/hour", "5//hour", "5 per hour", "5/hour/day", "5/hour;", "5/hour, ", "5/\nhour\n5"),
        *("5/week", "5/Hour", "0/hour", "5/0 hours", "1000000000/day", "-5/hour", "+5/hour", "5.5/hour", "1e3/hour"),
        *("5/1.5 hours", "５/hour", "٥/hour"),
    ],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    """A misread limit could mean no limit."""
    with pytest.raises(ConfigurationError, match=r"[Rr]ate"):
        Rate.parse(text)
    with pytest.raises(ConfigurationError, match=r"Policy\.sends: .*[Rr]ate"):
        Policy(sends=text)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "5", None])
@pytest.mark.parametrize("field", ["limit", "seconds"])
def test_a_rate_is_of_whole_numbers_from_one(field: str, value: Any) -> None:
    """A window of 0 seconds would be meaningless."""
    with pytest.raises(ConfigurationError, match=rf"Rate\.{field}"):
        Rate(**{"limit": 1, "seconds": 1} | {field: value})


@given(st.integers(1, 10**9 - 1), st.integers(1, 99_999))
def test_a_rate_is_read_as_it_is_written(limit: int, seconds: int) -> None:
    """`str` and `parse` are inverse to each other."""
    rate = Rate(limit, seconds)
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize(
    "given_rates",
    ["5/hour, 1/minute", ["1/minute", Rate(5, 3600)], ("5/hour,1/minute",), [Rate(5, 3600), Rate(1, 60), Rate(1, 60)]],
)
def test_rates_are_kept_as_one_sorted_tuple(given_rates: Any) -> None:
    """The longest window comes last, for any form of the argument."""
    assert Policy(sends=given_rates).sends == (Rate(1, 60), Rate(5, 3600))


def test_an_ipv6_network_has_a_fifth_and_at_least_one() -> None:
    """The defaults are 20 and 30."""
    assert ipv6_share(DEFAULT_POLICY.ip_sends) == (Rate(20, 3600),)
    assert ipv6_share(DEFAULT_POLICY.ip_failures) == (Rate(30, 3600),)
    assert ipv6_share([Rate(4, 60)]) == (Rate(1, 60),)


# Fields

NUMBERS = [  # Field, least, most.
    ("code_length", 6, 10),
    ("ttl", 30, 600),
    ("max_age", 120, 600),
    ("attempts", 1, 10),
    ("max_consecutive_failures", 1, 100),
    ("proof_ttl", 30, 3600),
    ("replicas", 0, 8),
    ("device_failures", 0, 19),
    ("device_consecutive", 0, 99),
    ("device_ttl", 3600, 400 * DAY),
    ("audit_days", 1, 1095),
]


def policy_with(field: str, value: Any) -> Policy:
    """Return a policy in which a field's least value does not conflict with another field."""
    return Policy(**({"ttl": 30} if field == "max_age" else {"max_age": 600}) | {field: value})


@pytest.mark.parametrize(("field", "least", "most"), NUMBERS)
def test_a_number_at_its_bounds_is_taken(field: str, least: int, most: int) -> None:
    """Both bounds are valid."""
    for value in (least, most):
        assert getattr(policy_with(field, value), field) == value


@pytest.mark.parametrize(("field", "least", "most"), NUMBERS)
def test_a_number_beyond_its_bounds_is_refused_by_name(field: str, least: int, most: int) -> None:
    """The error has the bounds. A float, a bool or a text is not a number."""
    for value in (least - 1, most + 1, -most, float(least), str(least), True, None, 10**30):
        with pytest.raises(ConfigurationError, match=rf"Policy\.{field} .*{least} to {most}"):
            policy_with(field, value)


def test_a_code_lives_at_least_as_long_as_after_one_send() -> None:
    """`max_age` below `ttl` would be a contradiction."""
    assert Policy(ttl=300, max_age=300).max_age == 300
    with pytest.raises(ConfigurationError, match=r"Policy\.max_age \(299 s\) is less than ttl \(300 s\)"):
        Policy(ttl=300, max_age=299)


RATES = [  # Field, the largest limit, the longest window in seconds.
    ("sends", 32, DAY),
    ("failures", 64, DAY),
    ("ip_sends", 10**9, 31 * DAY),
    ("ip_failures", 10**9, 31 * DAY),
    ("total_sends", 10**9, 31 * DAY),
    ("region_sends", 10**9, 31 * DAY),
]


@pytest.mark.parametrize(("field", "limit", "seconds"), RATES)
def test_rates_at_their_bounds_are_taken_and_beyond_refused_by_name(field: str, limit: int, seconds: int) -> None:
    """The record of a phone has room for 32 sends and 64 failures of a day."""

    def build(rate: Any) -> Policy:
        return Policy(**{field: {"CN": rate} if field == "region_sends" else rate})

    kept = getattr(build(Rate(limit, seconds)), field)
    assert (kept["CN"] if field == "region_sends" else kept) == (Rate(limit, seconds),)
    for rate in (Rate(limit + 1, 60), Rate(1, seconds + 1)):
        with pytest.raises(ConfigurationError, match=rf"Policy\.{field}"):
            build(rate)
        with pytest.raises(ConfigurationError, match=rf"Policy\.{field}"):
            build([Rate(1, 60), rate])


@pytest.mark.parametrize("value", ["5/hour", "10/day", "1/minute", "1/10 minutes", "1/hour, 10/day", Rate(32, DAY), 1])
def test_part_of_sends_is_less_than_its_window(value: Any) -> None:
    """A part can't reach the whole, and needs a window of it: otherwise nothing is left for strangers."""
    with pytest.raises(ConfigurationError, match=r"Policy\.device_sends"):
        Policy(device_sends=value)


@pytest.mark.parametrize(
    "fields", [{"failures": "5/day", "device_failures": 5}, {"failures": "9/day, 5/hour", "device_failures": 5}]
)
def test_part_of_failures_is_less_than_each_limit(fields: dict[str, Any]) -> None:
    """A part that somebody wrote is never reduced silently."""
    with pytest.raises(ConfigurationError, match=r"Policy\.device_failures .*0 to 4"):
        Policy(**fields)


@pytest.mark.parametrize("nothing", [None, (), []])
def test_nothing_is_kept_for_devices_on_request(nothing: Any) -> None:
    """Strangers then have the whole."""
    policy = Policy(device_failures=0, device_consecutive=0, device_sends=nothing)
    assert (stranger_sends(policy), stranger_failures(policy)) == (policy.sends, policy.failures)
    assert stranger_consecutive(policy) == 100


def test_strangers_have_the_whole_without_the_parts() -> None:
    """The figures of the documentation."""
    assert stranger_sends(DEFAULT_POLICY) == (Rate(1, 60), Rate(4, 3600), Rate(7, DAY))
    assert stranger_failures(DEFAULT_POLICY) == (Rate(15, DAY),)
    assert stranger_consecutive(DEFAULT_POLICY) == 80


@pytest.mark.parametrize("copied", [lambda policy: policy, replace, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_part_left_out_is_a_share_of_a_smaller_limit(copied: Any) -> None:
    """A policy from before devices stays valid, also one that is made from another."""
    small = {"sends": "2/hour, 7/day", "failures": "3/day, 8/day", "max_consecutive_failures": 12}
    policy = replace(copied(Policy()), **small)
    assert (policy.device_failures, policy.device_consecutive, policy.device_sends) == (0, 2, (Rate(2, DAY),))
    assert copied(policy) == policy == Policy(**small)
    assert replace(copied(policy), sends="10/day", failures="20/day").device_failures == 5
    written = replace(policy, device_consecutive=5)
    assert copied(written).device_consecutive == 5
    with pytest.raises(ConfigurationError, match="device_consecutive"):
        replace(copied(written), max_consecutive_failures=5)


@pytest.mark.parametrize("value", [None, "", [], (), " "])
@pytest.mark.parametrize("field", ["sends", "failures"])
def test_a_phones_own_limits_can_not_be_left_out(field: str, value: Any) -> None:
    """Without them a code could be guessed, or a phone could get any number of messages."""
    with pytest.raises(ConfigurationError, match=rf"Policy\.{field}"):
        Policy(**{field: value})


@pytest.mark.parametrize("field", ["ip_sends", "ip_failures", "total_sends"])
def test_wider_limits_can_be_left_out(field: str) -> None:
    """None removes them."""
    assert getattr(Policy(**{field: None}), field) == ()


@pytest.mark.parametrize("value", [5, 5.0, {"CN": 1}, [5], [("5", "hour")], b"5/hour", object()])
@pytest.mark.parametrize("field", ["sends", "failures", "ip_sends", "ip_failures", "total_sends"])
def test_what_holds_no_rates_is_refused_by_name(field: str, value: Any) -> None:
    """A number without a window is not a rate."""
    with pytest.raises(ConfigurationError, match=rf"Policy\.{field}"):
        Policy(**{field: value})


@pytest.mark.parametrize("value", ["5/day", ["CN"], {"US": "5/day"}, {"cn": "5/day"}, None, {"CN": 5}])
def test_region_sends_maps_allowed_regions_to_rates(value: Any) -> None:
    """A limit of a region that is not allowed would have no effect."""
    with pytest.raises(ConfigurationError, match=r"Policy\.region_sends"):
        Policy(region_sends=value)


@pytest.mark.parametrize("value", ["CN", [], None, ["cn"], ["CHN"], [5], ["XX"]])
def test_regions_are_checked(value: Any) -> None:
    """An unknown region would admit no phone."""
    with pytest.raises(ConfigurationError, match="region"):
        Policy(regions=value)


def test_the_default_region_is_one_of_the_regions() -> None:
    """Otherwise a number without a country code could not be read."""
    assert Policy(regions=["CN", "HK"], default_region="HK").regions == {"CN", "HK"}
    with pytest.raises(ConfigurationError, match="default_region"):
        Policy(default_region="HK")


# The whole policy


def test_the_defaults_are_those_of_the_design() -> None:
    """Each default has a source."""
    assert {field.name: getattr(DEFAULT_POLICY, field.name) for field in fields(Policy)} == {
        "code_length": 6,
        "ttl": 300,
        "max_age": 600,
        "attempts": 5,
        "sends": (Rate(1, 60), Rate(5, 3600), Rate(10, DAY)),
        "failures": (Rate(20, DAY),),
        "max_consecutive_failures": 100,
        "ip_sends": (Rate(100, 3600),),
        "ip_failures": (Rate(150, 3600),),
        "region_sends": {},
        "total_sends": (),
        "regions": {"CN"},
        "default_region": "CN",
        "proof_ttl": 300,
        "replicas": 0,
        "device_failures": 5,
        "device_consecutive": 20,
        "device_sends": (Rate(1, 3600), Rate(3, DAY)),
        "device_ttl": 180 * DAY,
        "audit_days": 180,
    }


def test_every_field_is_tested_at_its_bounds() -> None:
    """A new field needs a row in a table above."""
    tested = {name for name, *_ in NUMBERS + RATES} | {"regions", "default_region", "device_sends"}
    assert tested == {field.name for field in fields(Policy)}


def test_fields_are_given_by_name_and_an_unknown_one_is_an_error() -> None:
    """A misspelt limit must not be ignored."""
    with pytest.raises(TypeError):
        Policy(6)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Policy(max_attempts=3)  # type: ignore[call-arg]


def test_a_policy_can_not_be_changed_from_outside() -> None:
    """Neither the argument nor the attribute can change it."""
    regional = {"CN": "5/day"}
    policy = Policy(region_sends=regional)
    regional["CN"] = "500/day"
    assert policy.region_sends == {"CN": (Rate(5, DAY),)}
    with pytest.raises(TypeError):
        policy.region_sends["CN"] = ()  # type: ignore[index]
    assert pickle.loads(pickle.dumps(policy)) == policy
