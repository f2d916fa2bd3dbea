"""What a proof is good for: one account, in one namespace, for the phone that is shown beside it."""

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
"""What stands in a form, a query or a JSON document where there is no phone."""


def _without_audience(token: str) -> str:
    """Return the token that a process of the first version would have signed."""
    serializer: Any = TokenSigner(Keys(SECRET, None))._serialize()
    claims = serializer.loads(token)
    del claims["aud"]
    return str(serializer.dumps(claims))


# One proof makes one account, whoever chooses the key


def test_redeem_with_one_key_is_new_once(rig: Rig, otp: Any, proved: Any) -> None:
    """Twenty times with the key that the visitor chose: one of them is not a replay."""
    proof = proved(otp)
    answers = [otp.redeem(proof.token, idempotency_key=KEY) for _ in range(20)]
    assert [answer.replayed for answer in answers] == [False] + [True] * 19
    assert all(answer == proof and answer.token == proof.token for answer in answers)


@pytest.mark.parametrize("request_", [None, REQUEST])
def test_redeem_at_once_with_one_key_is_new_once(rig: Rig, otp: Any, proved: Any, request_: str | None) -> None:
    """Fifty forms at the same moment."""
    token = proved(otp).token
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: otp.redeem(token, idempotency_key=KEY, request=request_).replayed, range(50)))
    assert Counter(answers) == {False: 1, True: 49}


def test_redeem_of_another_request_is_used(rig: Rig, otp: Any, proved: Any) -> None:
    """Under the same key, before and after; a request that is not told is another one too."""
    proof = proved(otp)
    assert otp.redeem(proof.token, idempotency_key=KEY, request=REQUEST).replayed is False
    for other in ("other fields", "", REQUEST + " ", None):
        with pytest.raises(UsedTokenError):
            otp.redeem(proof.token, idempotency_key=KEY, request=other)
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token, request=REQUEST)
    assert otp.redeem(proof.token, idempotency_key=KEY, request=REQUEST).replayed is True


def test_key_and_request_are_not_joined(rig: Rig, otp: Any, proved: Any) -> None:
    """No other division of the same characters is the same operation."""
    proof = proved(otp)
    otp.redeem(proof.token, idempotency_key="ab", request="c")
    for key, request in (("a", "bc"), ("abc", ""), ("abc", None), ("ab1:c", None)):
        with pytest.raises(UsedTokenError):
            otp.redeem(proof.token, idempotency_key=key, request=request)


def test_redeem_without_a_key_is_never_replayed(rig: Rig, otp: Any, proved: Any) -> None:
    """The first call is not, and there is no second one."""
    proof = proved(otp)
    assert otp.redeem(proof.token, request=REQUEST).replayed is False
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token, request=REQUEST)


def test_a_key_is_new_for_each_proof(rig: Rig, proved: Any) -> None:
    """A fixed key of a client redeems its next proof like the first."""
    otp = rig.otp(policy=Policy(sends="5/hour"))
    for _ in range(2):
        token = proved(otp).token
        assert [otp.redeem(token, idempotency_key=KEY).replayed for _ in range(2)] == [False, True]


def test_verify_and_check_are_not_replayed(rig: Rig, otp: Any) -> None:
    """Verify's proof may come twice, and is one proof: redeem tells the second use."""
    otp.issue(PHONE)
    proofs = [otp.verify(PHONE, rig.outbox[-1].code, idempotency_key=KEY) for _ in range(2)]
    assert [proof.replayed for proof in proofs] == [False, False]
    assert len({proof.id for proof in proofs}) == 1
    otp.redeem(proofs[0].token, idempotency_key=KEY)
    assert otp.check(proofs[1].token).replayed is False
    assert otp.redeem(proofs[1].token, idempotency_key=KEY).replayed is True


def test_replayed_is_in_a_pickle_and_a_repr(rig: Rig, otp: Any, proved: Any) -> None:
    """A process of the version before reads the pickle of a proof that is not replayed."""
    token = proved(otp).token
    first, second = (otp.redeem(token, idempotency_key=KEY) for _ in range(2))
    assert [pickle.loads(pickle.dumps(each)).replayed for each in (first, second)] == [False, True]
    assert len(first.__reduce__()[1]) == 7
    assert ("replayed=False" in repr(first), "replayed=True" in repr(second)) == (True, True)


@pytest.mark.parametrize("request_", [b"bytes", 7, {"name": "Ada"}, ["a"]])
def test_a_request_is_a_text(rig: Rig, otp: Any, proved: Any, request_: Any) -> None:
    """Anything else is the developer's error, with a key or without, and uses nothing up."""
    token = proved(otp).token
    for key in (KEY, None):
        with pytest.raises(ConfigurationError, match="request"):
            otp.redeem(token, idempotency_key=key, request=request_)
    assert otp.redeem(token)


def test_the_record_is_what_the_version_before_reads(rig: Rig, otp: Any, proved: Any) -> None:
    """It compares all after byte 13 with its operation, and takes the first bytes of an unknown field for a time."""
    proof = proved(otp)
    otp.redeem(proof.token, idempotency_key=KEY)
    (name,) = rig.stored(":p")
    fields = rig.server.hgetall(name)
    (record,) = [value for field, value in fields.items() if field[:1] == b"p"]
    (call,) = [value for field, value in fields.items() if field[:1] == b"r"]
    assert (len(record), len(call)) == (13 + 16, 6 + 8)
    assert int.from_bytes(call[:6], "big") <= rig.clock.now * 1000
    # That version redeemed by key and knew no calls: its form, sent again, is repeated here.
    rig.server.hdel(name, *[field for field in fields if field[:1] == b"r"])
    assert otp.redeem(proof.token, idempotency_key=KEY).replayed is True


def test_the_record_of_a_call_goes_with_its_proof(rig: Rig, proved: Any) -> None:
    """Nothing of it is left once the proof's life is over and the phone is written again."""
    otp = rig.otp(policy=Policy(sends="5/hour"))
    otp.redeem(proved(otp).token, idempotency_key=KEY)
    rig.advance(301)
    otp.issue(PHONE)
    (name,) = rig.stored(":p")
    assert sorted(field[:1] for field in rig.server.hgetall(name)) == [b"c", b"s", b"s"]


# A token is good in one namespace


@pytest.mark.parametrize(("maker", "other"), [("shop", "bank"), ("otpkit", "bank"), ("bank", "otpkit")])
def test_a_proof_of_another_namespace_is_refused(rig: Rig, maker: str, other: str, proved: Any) -> None:
    """With the same secret, by check and by redeem."""
    shop, bank = (rig.otp(namespace=f"{rig.namespace}.{name}") for name in (maker, other))
    proof = proved(shop)
    for call in (bank.check, bank.redeem):
        with pytest.raises(InvalidTokenError):
            call(proof.token)
    assert shop.check(proof.token) == proof == shop.redeem(proof.token)


def test_a_namespace_is_not_compared_by_its_beginning(memory_rig: Rig) -> None:
    """Nor without regard to its case."""
    rig = memory_rig
    otp = rig.otp(namespace="shop")
    otp.issue(PHONE)
    token = otp.verify(PHONE, rig.outbox[-1].code).token
    for name in ("sho", "shop.", "shop2", "Shop", "otpkit"):
        with pytest.raises(InvalidTokenError):
            rig.otp(namespace=name).check(token)


def test_a_token_without_a_namespace_is_redeemed(rig: Rig, otp: Any, proved: Any) -> None:
    """It is of a process of the version before: the record shows whose it is, where there is one."""
    token = _without_audience(proved(otp).token)
    with pytest.raises(UsedTokenError):
        rig.otp(namespace=f"{rig.namespace}.bank").redeem(token)
    assert otp.redeem(token).phone == PHONE


def test_a_token_without_a_namespace_is_checked_in_the_default_one_alone(memory_rig: Rig) -> None:
    """There it may be this one's; elsewhere nothing says so."""
    rig = memory_rig
    default = rig.otp(namespace="otpkit")
    default.issue(PHONE)
    token = _without_audience(default.verify(PHONE, rig.outbox[-1].code).token)
    assert default.check(token).phone == PHONE
    for name in ("bank", "otpkit2", "Otpkit"):
        with pytest.raises(InvalidTokenError, match="namespace"):
            rig.otp(namespace=name).check(token)


def test_the_version_before_reads_a_token_of_ours(memory_rig: Rig) -> None:
    """The same signature over the same claims and one more, which it does not look at."""
    rig = memory_rig
    otp = rig.otp(namespace="shop")
    otp.issue(PHONE)
    token = otp.verify(PHONE, rig.outbox[-1].code).token
    keys = Keys(SECRET, None).tokens
    options = {"key_derivation": "hmac", "digest_method": sha256}
    claims = URLSafeSerializer(keys, salt="otpkit.proof.1", signer_kwargs=options).loads(token)
    assert claims.keys() == {"id", "phone", "purpose", "bind", "iat", "exp", "amr", "aud"}
    assert len(token) <= 1024


# No phone is not any phone


@pytest.mark.parametrize("phone", ABSENT)
@pytest.mark.parametrize("call", ["check", "redeem"])
def test_a_phone_that_is_missing_is_not_the_tokens(rig: Rig, otp: Any, proved: Any, call: str, phone: Any) -> None:
    """As `form.get("phone")` gives it; the refusal uses nothing up. Left out, it is not compared."""
    proof = proved(otp)
    with pytest.raises(InvalidTokenError):
        getattr(otp, call)(proof.token, phone=phone)
    assert getattr(otp, call)(proof.token) == proof


@pytest.mark.parametrize("argument", ["purpose", "bind"])
@pytest.mark.parametrize("call", ["check", "redeem"])
def test_a_missing_purpose_or_bind_is_never_any(rig: Rig, otp: Any, proved: Any, call: str, argument: str) -> None:
    """None is refused as the developer's error: nothing falls back to a default."""
    token = proved(otp).token
    with pytest.raises(ConfigurationError, match=argument):
        getattr(otp, call)(token, **{argument: None})
