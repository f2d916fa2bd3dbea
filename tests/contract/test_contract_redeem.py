"""A proof is valid for one account, in one namespace, and for the phone that is compared with it."""

from __future__ import annotations

import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest
from itsdangerous import URLSafeSerializer
from support.rig import PHONE, SECRET, Rig

from otpkit import ConfigurationError, InvalidTokenError, Policy, UsedTokenError
from otpkit.core.crypto import Keys
from otpkit.core.tokens import TokenSigner

KEY = "the visitor's own"
REQUEST = "the fields of the form"
ABSENT = [None, "", " ", 0, False]
"""Values of a form, a query or a JSON document without a phone."""


def _without_audience(token: str) -> str:
    """Return the token that a process of the first version would have signed."""
    serializer: Any = TokenSigner(Keys(SECRET, None))._serialize()
    claims = serializer.loads(token)
    del claims["aud"]
    return str(serializer.dumps(claims))


# One proof creates one account, for any choice of keys


def test_redeem_with_one_key_is_new_once(rig: Rig, otp: Any, proved: Any) -> None:
    """Twenty calls use the visitor's key. Exactly one result is not a replay."""
    proof = proved(otp)
    answers = [otp.redeem(proof.token, idempotency_key=KEY) for _ in range(20)]
    assert [answer.replayed for answer in answers] == [False] + [True] * 19
    assert all(answer == proof and answer.token == proof.token for answer in answers)


@pytest.mark.parametrize("request_", [None, REQUEST])
def test_redeem_at_once_with_one_key_is_new_once(rig: Rig, otp: Any, proved: Any, request_: str | None) -> None:
    """Fifty forms arrive at the same time."""
    token = proved(otp).token
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: otp.redeem(token, idempotency_key=KEY, request=request_).replayed, range(50)))
    assert Counter(answers) == {False: 1, True: 49}


def test_redeem_of_another_request_is_used(rig: Rig, otp: Any, proved: Any) -> None:
    """This holds for the same key, before and after. A call without a request is a different request too."""
    proof = proved(otp)
    assert otp.redeem(proof.token, idempotency_key=KEY, request=REQUEST).replayed is False
    for other in ("other fields", "", REQUEST + " ", None):
        with pytest.raises(UsedTokenError):
            otp.redeem(proof.token, idempotency_key=KEY, request=other)
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token, request=REQUEST)
    assert otp.redeem(proof.token, idempotency_key=KEY, request=REQUEST).replayed is True


def test_key_and_request_are_not_joined(rig: Rig, otp: Any, proved: Any) -> None:
    """The same characters, divided differently, are a different operation."""
    proof = proved(otp)
    otp.redeem(proof.token, idempotency_key="ab", request="c")
    for key, request in (("a", "bc"), ("abc", ""), ("abc", None), ("ab1:c", None)):
        with pytest.raises(UsedTokenError):
            otp.redeem(proof.token, idempotency_key=key, request=request)


def test_redeem_without_a_key_is_never_replayed(rig: Rig, otp: Any, proved: Any) -> None:
    """The first call is no replay, and a second call raises."""
    proof = proved(otp)
    assert otp.redeem(proof.token, request=REQUEST).replayed is False
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token, request=REQUEST)


def test_a_key_is_new_for_each_proof(rig: Rig, proved: Any) -> None:
    """A client with a constant key can redeem its next proof like the first one."""
    otp = rig.otp(policy=Policy(sends="5/hour"))
    for _ in range(2):
        token = proved(otp).token
        assert [otp.redeem(token, idempotency_key=KEY).replayed for _ in range(2)] == [False, True]


def test_verify_and_check_are_not_replayed(rig: Rig, otp: Any) -> None:
    """`verify` may return the same proof twice. Only `redeem` detects the second use."""
    otp.issue(PHONE)
    proofs = [otp.verify(PHONE, rig.outbox[-1].code, idempotency_key=KEY) for _ in range(2)]
    assert [proof.replayed for proof in proofs] == [False, False]
    assert len({proof.id for proof in proofs}) == 1
    otp.redeem(proofs[0].token, idempotency_key=KEY)
    assert otp.check(proofs[1].token).replayed is False
    assert otp.redeem(proofs[1].token, idempotency_key=KEY).replayed is True


def test_replayed_is_in_a_pickle_and_a_repr(rig: Rig, otp: Any, proved: Any) -> None:
    """A process of the previous version can read the pickle. It treats the proof as not replayed."""
    token = proved(otp).token
    first, second = (otp.redeem(token, idempotency_key=KEY) for _ in range(2))
    assert [pickle.loads(pickle.dumps(each)).replayed for each in (first, second)] == [False, True]
    assert len(first.__reduce__()[1]) == 7
    assert ("replayed=False" in repr(first), "replayed=True" in repr(second)) == (True, True)


@pytest.mark.parametrize("request_", [b"bytes", 7, {"name": "Ada"}, ["a"]])
def test_a_request_is_a_text(rig: Rig, otp: Any, proved: Any, request_: Any) -> None:
    """Another type is the developer's error, with or without a key, and does not use up the proof."""
    token = proved(otp).token
    for key in (KEY, None):
        with pytest.raises(ConfigurationError, match="request"):
            otp.redeem(token, idempotency_key=key, request=request_)
    assert otp.redeem(token)


def test_the_record_is_what_the_version_before_reads(rig: Rig, otp: Any, proved: Any) -> None:
    """The previous version compares all bytes after byte 13 with its operation.

    It reads the first bytes of an unknown field as a time.
    """
    proof = proved(otp)
    otp.redeem(proof.token, idempotency_key=KEY)
    (name,) = rig.stored(":p")
    fields = rig.server.hgetall(name)
    (record,) = [value for field, value in fields.items() if field[:1] == b"p"]
    (call,) = [value for field, value in fields.items() if field[:1] == b"r"]
    assert (len(record), len(call)) == (13 + 16, 6 + 8)
    assert int.from_bytes(call[:6], "big") <= rig.clock.now * 1000
    # The previous version redeemed by key and had no requests. Its form is sent again here.
    rig.server.hdel(name, *[field for field in fields if field[:1] == b"r"])
    assert otp.redeem(proof.token, idempotency_key=KEY).replayed is True


def test_the_record_of_a_call_goes_with_its_proof(rig: Rig, proved: Any) -> None:
    """When the proof has expired and the phone is written again, nothing of the record is left."""
    otp = rig.otp(policy=Policy(sends="5/hour"))
    otp.redeem(proved(otp).token, idempotency_key=KEY)
    rig.advance(301)
    otp.issue(PHONE)
    (name,) = rig.stored(":p")
    assert sorted(field[:1] for field in rig.server.hgetall(name)) == [b"c", b"s", b"s"]


# A token is valid in one namespace


@pytest.mark.parametrize(("maker", "other"), [("shop", "bank"), ("otpkit", "bank"), ("bank", "otpkit")])
def test_a_proof_of_another_namespace_is_refused(rig: Rig, maker: str, other: str, proved: Any) -> None:
    """`check` and `redeem` refuse it although the secret is the same."""
    shop, bank = (rig.otp(namespace=f"{rig.namespace}.{name}") for name in (maker, other))
    proof = proved(shop)
    for call in (bank.check, bank.redeem):
        with pytest.raises(InvalidTokenError):
            call(proof.token)
    assert shop.check(proof.token) == proof == shop.redeem(proof.token)


def test_a_namespace_is_not_compared_by_its_beginning(memory_rig: Rig) -> None:
    """The comparison is exact, and case matters."""
    rig = memory_rig
    otp = rig.otp(namespace="shop")
    otp.issue(PHONE)
    token = otp.verify(PHONE, rig.outbox[-1].code).token
    for name in ("sho", "shop.", "shop2", "Shop", "otpkit"):
        with pytest.raises(InvalidTokenError):
            rig.otp(namespace=name).check(token)


def test_a_token_without_a_namespace_is_redeemed(rig: Rig, otp: Any, proved: Any) -> None:
    """It comes from a process of the previous version. Its record proves the namespace."""
    token = _without_audience(proved(otp).token)
    with pytest.raises(UsedTokenError):
        rig.otp(namespace=f"{rig.namespace}.bank").redeem(token)
    assert otp.redeem(token).phone == PHONE


def test_a_token_without_a_namespace_is_checked_in_the_default_one_alone(memory_rig: Rig) -> None:
    """It may belong to the default namespace. Other namespaces have no evidence for it."""
    rig = memory_rig
    default = rig.otp(namespace="otpkit")
    default.issue(PHONE)
    token = _without_audience(default.verify(PHONE, rig.outbox[-1].code).token)
    assert default.check(token).phone == PHONE
    for name in ("bank", "otpkit2", "Otpkit"):
        with pytest.raises(InvalidTokenError, match="namespace"):
            rig.otp(namespace=name).check(token)


def test_the_version_before_reads_a_token_of_ours(memory_rig: Rig) -> None:
    """The token has the same signature and claims, and one more claim that the previous version ignores."""
    rig = memory_rig
    otp = rig.otp(namespace="shop")
    otp.issue(PHONE)
    token = otp.verify(PHONE, rig.outbox[-1].code).token
    keys = Keys(SECRET, None).tokens
    options = {"key_derivation": "hmac", "digest_method": sha256}
    claims = URLSafeSerializer(keys, salt="otpkit.proof.1", signer_kwargs=options).loads(token)
    assert claims.keys() == {"id", "phone", "purpose", "bind", "iat", "exp", "amr", "aud"}
    assert len(token) <= 1024


# A missing phone does not match any phone


@pytest.mark.parametrize("phone", ABSENT)
@pytest.mark.parametrize("call", ["check", "redeem"])
def test_a_phone_that_is_missing_is_not_the_tokens(rig: Rig, otp: Any, proved: Any, call: str, phone: Any) -> None:
    """`form.get("phone")` returns None, which is refused and does not use up the proof.

    An omitted phone is not compared.
    """
    proof = proved(otp)
    with pytest.raises(InvalidTokenError):
        getattr(otp, call)(proof.token, phone=phone)
    assert getattr(otp, call)(proof.token) == proof


@pytest.mark.parametrize("argument", ["purpose", "bind"])
@pytest.mark.parametrize("call", ["check", "redeem"])
def test_a_missing_purpose_or_bind_is_never_any(rig: Rig, otp: Any, proved: Any, call: str, argument: str) -> None:
    """None is the developer's error. It never selects a default."""
    token = proved(otp).token
    with pytest.raises(ConfigurationError, match=argument):
        getattr(otp, call)(token, **{argument: None})
