"""Alibaba Cloud's signature equals the one in its documentation, byte for byte."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from hashlib import sha256

import pytest

from otpkit.errors import ConfigurationError
from otpkit.gateways.aliyun.signing import (
    Authorization,
    authorization,
    canonical_query,
    canonical_request,
    read_authorization,
    signature,
    signed_headers,
    string_to_sign,
)
from otpkit.gateways.credentials import Credentials

# The documentation's worked example, help.aliyun.com/document_detail/2593177.html.
SECRET = "YourAccessKeySecret"
PARAMS = {"RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"}
EMPTY = sha256(b"").hexdigest()
HEADERS = {
    "x-acs-action": "RunInstances",
    "Host": "ecs.cn-shanghai.aliyuncs.com",
    "X-Acs-Date": "2023-10-26T10:22:32Z",
    "x-acs-version": "2014-05-26",
    "x-acs-content-sha256": EMPTY,
    "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
}
SIGNED = ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"]
SIGNATURE = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"


def test_is_that_of_the_documentations_example() -> None:
    """This covers all steps from the canonical request to the signature."""
    request = canonical_request("POST", "/", PARAMS, HEADERS, SIGNED, EMPTY)
    assert string_to_sign(request) == (
        "ACS3-HMAC-SHA256\n7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259"
    )
    assert signature("POST", "/", PARAMS, HEADERS, SIGNED, EMPTY, SECRET) == SIGNATURE


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"path": "/x"},
        {"params": {**PARAMS, "RegionId": "cn-hangzhou"}},
        {"params": {}},
        {"headers": {**HEADERS, "Host": "dysmsapi.aliyuncs.com"}},
        {"headers": {**HEADERS, "x-acs-signature-nonce": ""}},
        {"headers": {}},
        {"signed": SIGNED[:-1]},
        {"body_sha256": sha256(b"x").hexdigest()},
        {"secret": "another"},
    ],
)
def test_changes_with_all_that_it_covers(change: dict[str, object]) -> None:
    """A server can then detect any change."""
    request = {"method": "POST", "path": "/", "params": PARAMS, "headers": HEADERS, "signed": SIGNED}
    request |= {"body_sha256": EMPTY, "secret": SECRET}
    assert signature(**request) == SIGNATURE  # type: ignore[arg-type]
    assert signature(**(request | change)) != SIGNATURE  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({}, ""),
        ({"b": "2", "a": "1"}, "a=1&b=2"),
        ({"a": ""}, "a="),
        ({"B": "1", "a": "2", "A": "3"}, "A=3&B=1&a=2"),
        ({"a": "x y+z*~-_.%/"}, "a=x%20y%2Bz%2A~-_.%25%2F"),
        ({"a": '{"code":"1"}'}, "a=%7B%22code%22%3A%221%22%7D"),
        ({"签名": "大鱼"}, "%E7%AD%BE%E5%90%8D=%E5%A4%A7%E9%B1%BC"),
        ({"a": "😀"}, "a=%F0%9F%98%80"),
    ],
)
def test_writes_a_query_by_rfc_3986_sorted(params: dict[str, str], query: str) -> None:
    """A space is %20, an asterisk is %2A, and ~ is unchanged."""
    assert canonical_query(params) == query


def test_a_value_is_signed_without_the_blanks_around_it() -> None:
    """HTTP parsers remove these spaces too."""
    padded = HEADERS | {"x-acs-version": " 2014-05-26\t"}
    assert signature("POST", "/", PARAMS, padded, SIGNED, EMPTY, SECRET) == SIGNATURE


DATE = datetime(2023, 10, 26, 18, 22, 32, 999_999, tzinfo=timezone(timedelta(hours=8)))


def headers_of(credentials: Credentials) -> dict[str, str]:
    return signed_headers(
        credentials, action="SendSms", version="2017-05-25", host="h:1", params={"a": "b"}, date=DATE, nonce="n"
    )


def test_headers_say_who_signs_what_and_when_in_utc() -> None:
    """The date is truncated to seconds."""
    headers = headers_of(Credentials("key", SECRET))
    said = read_authorization(headers.pop("authorization"))
    assert headers == {
        "accept": "application/json",
        "host": "h:1",
        "user-agent": "otpkit",
        "x-acs-action": "SendSms",
        "x-acs-content-sha256": EMPTY,
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "n",
        "x-acs-version": "2017-05-25",
    }
    assert said is not None
    assert (said.access_key_id, said.signed_headers) == ("key", tuple(sorted(headers)))
    assert said.signature == signature("POST", "/", {"a": "b"}, headers, said.signed_headers, EMPTY, SECRET)


def test_a_temporary_keys_token_is_signed() -> None:
    """Without a token, the header is absent."""
    headers = headers_of(Credentials("key", SECRET, "the-token"))
    said = read_authorization(headers["authorization"])
    assert headers["x-acs-security-token"] == "the-token"
    assert said is not None
    assert "x-acs-security-token" in said.signed_headers
    assert "x-acs-security-token" not in headers_of(Credentials("key", SECRET))


def test_an_authorization_is_read_as_it_was_written() -> None:
    """The spaces after its commas are optional."""
    said = Authorization("key", ("host", "x-acs-date"), SIGNATURE)
    assert read_authorization(authorization(said)) == said
    assert read_authorization(authorization(said).replace(",", ", ")) == said


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic a2V5OnNlY3JldA==",
        "ACS3-HMAC-SHA256",
        f"ACS3-HMAC-SHA256 Credential=,SignedHeaders=host,Signature={SIGNATURE}",
        f"ACS3-HMAC-SHA256 Credential=key,SignedHeaders=,Signature={SIGNATURE}",
        "ACS3-HMAC-SHA256 Credential=key,SignedHeaders=host,Signature=",
        f"ACS3-HMAC-SM3 Credential=key,SignedHeaders=host,Signature={SIGNATURE}",
        f"ACS3-HMAC-SHA256 Credential=key,SignedHeaders=host,Signature={SIGNATURE}\n",
    ],
)
def test_another_authorization_is_none(header: str) -> None:
    """Any header of another scheme returns None."""
    assert read_authorization(header) is None


@pytest.mark.parametrize(
    "fields", [("", "s"), ("k", ""), ("k", "s", ""), ("a,b", "s"), ("a b", "s"), ("k", "s\n"), (None, "s"), ("k", None)]
)
def test_credentials_that_can_not_be_right_are_refused(fields: tuple[str, ...]) -> None:
    """The error comes when they are built, and does not show them."""
    with pytest.raises(ConfigurationError, match=r"^(access_key_id|access_key_secret|security_token) "):
        Credentials(*fields)


def test_credentials_show_their_id_alone() -> None:
    """The repr hides the other fields."""
    assert repr(Credentials("key", SECRET, "the-token")) == "Credentials(access_key_id='key')"
