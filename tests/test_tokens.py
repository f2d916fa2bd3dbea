"""A token is accepted only if otpkit signed it and it is unchanged."""

from __future__ import annotations

import base64
import json
import pickle
import string
from datetime import UTC, datetime
from hashlib import sha1, sha256
from typing import Any

import pytest
from itsdangerous import Signer, TimestampSigner, URLSafeSerializer

from otpkit.core.crypto import Keys, encode_id
from otpkit.core.tokens import TokenSigner, from_ms
from otpkit.errors import InvalidTokenError
from otpkit.models import Proof

OLD, NEW = b"the older secret of the tests of tokens", b"the newer secret of the tests of tokens"
KEYS = Keys(OLD, None)
SIGNER = TokenSigner(KEYS)
PHONE, PURPOSE, BIND = "+8613800138000", "payment", "transfer:42"
ID = encode_id(bytes(range(16)))
ISSUED, EXPIRES = 1_767_225_600_123, 1_767_225_900_123
FORMAT = URLSafeSerializer(b"")  # JSON, compressed if that makes it shorter, in base64.
BASE64 = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def proof_of(signer: TokenSigner = SIGNER, *, fixed: bool = False) -> Proof:
    """Return a proof of this signer."""
    return signer.proof(ID, PHONE, PURPOSE, BIND, ISSUED, EXPIRES, fixed)


TOKEN = proof_of().token


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token without a check."""
    claims: dict[str, Any] = FORMAT.load_payload(token.rpartition(".")[0].encode())
    return claims


def refused(token: object, purpose: str = PURPOSE, bind: str = BIND, phone: str | None = None) -> bool:
    """Return True after a check that a token is refused, and that the error does not show its contents."""
    with pytest.raises(InvalidTokenError) as error:
        SIGNER.read(token, purpose, bind, phone)
    assert error.value.__cause__ is None
    assert error.value.__context__ is None
    assert PHONE not in str(error.value)
    return True


def test_a_token_is_read_as_it_was_signed() -> None:
    """The times are in milliseconds."""
    claims = SIGNER.read(TOKEN, PURPOSE, BIND, PHONE)
    assert (claims.proof_id, claims.issued_ms, claims.expires_ms) == (bytes(range(16)), ISSUED, EXPIRES)
    assert claims.proof == proof_of()
    assert claims.proof.token == TOKEN
    assert SIGNER.read(TOKEN, PURPOSE, BIND, None).proof == proof_of()


@pytest.mark.parametrize("fixed", [False, True])
def test_a_token_says_what_the_design_says_and_no_more(fixed: bool) -> None:
    """It never contains the bind in clear."""
    claims = claims_of(proof_of(fixed=fixed).token)
    expected = {"id", "phone", "purpose", "bind", "iat", "exp", "amr", "aud"}
    assert set(claims) == expected | ({"fixed"} if fixed else set())
    assert claims["aud"] == "otpkit"
    assert (claims["amr"], claims["phone"], claims["iat"], claims["exp"]) == ("sms", PHONE, ISSUED, EXPIRES)
    assert BIND not in str(claims)
    assert SIGNER.read(proof_of(fixed=fixed).token, PURPOSE, BIND, None).proof.fixed is fixed


def test_a_token_is_for_its_own_purpose_bind_and_phone_alone() -> None:
    """None of them can replace another."""
    assert refused(TOKEN, purpose="signup")
    assert refused(TOKEN, bind="transfer:43")
    assert refused(TOKEN, bind="")
    assert refused(TOKEN, phone="+8613800138001")
    assert refused(TOKEN, phone="")


def test_a_token_is_for_its_own_audience_alone() -> None:
    """Another namespace with the same secret refuses it. None, an empty text and a list are not valid audiences."""
    shop, bank = TokenSigner(KEYS, "shop"), TokenSigner(KEYS, "bank")
    assert shop.read(proof_of(shop).token, PURPOSE, BIND, None).has_audience
    for signer in (bank, SIGNER):
        with pytest.raises(InvalidTokenError):
            signer.read(proof_of(shop).token, PURPOSE, BIND, None)
    serializer = shop._serialize()
    claims = claims_of(proof_of(shop).token)
    for other in (None, "", ["bank"], ["shop", "bank"], "shop\0"):
        with pytest.raises(InvalidTokenError):
            shop.read(serializer.dumps(claims | {"aud": other}), PURPOSE, BIND, None)
    del claims["aud"]
    assert not bank.read(serializer.dumps(claims), PURPOSE, BIND, None).has_audience


def test_processes_of_the_version_before_read_and_write_such_tokens() -> None:
    """Their tokens are compressed, and they derive the key for each token. The format is the same."""
    before = URLSafeSerializer(
        KEYS.tokens, salt="otpkit.proof.1", signer_kwargs={"key_derivation": "hmac", "digest_method": sha256}
    )
    assert before.loads(TOKEN) == claims_of(TOKEN)
    compressed = before.dumps(claims_of(TOKEN))
    assert compressed.startswith(".")
    assert SIGNER.read(compressed, PURPOSE, BIND, PHONE).proof == proof_of()


def test_the_longest_token_is_read() -> None:
    """The purpose is the longest, of characters that JSON escapes, and the namespace has 255 characters."""
    signer = TokenSigner(KEYS, string.ascii_letters * 4 + string.ascii_lowercase + string.digits * 2)
    purpose = "".join(chr(0x10000 + 7919 * n) for n in range(128))
    token = signer.proof(ID, PHONE, purpose, BIND, ISSUED, EXPIRES, True).token
    assert signer.read(token, purpose, BIND, PHONE).proof.token == token


def test_purpose_and_bind_don_t_run_into_each_other() -> None:
    """`ab` for `c` differs from `a` for `bc`."""
    token = SIGNER.proof(ID, PHONE, "ab", "c", ISSUED, EXPIRES, False).token
    claims = claims_of(token)
    assert claims["bind"] != claims_of(SIGNER.proof(ID, PHONE, "a", "bc", ISSUED, EXPIRES, False).token)["bind"]


FORGERIES = {
    "id": encode_id(bytes(16)),
    "phone": "+8613800138001",
    "purpose": "login",
    "bind": "AAAAAAAAAAAAAAAA",
    "iat": ISSUED + 1,
    "exp": EXPIRES + 1,
    "amr": "pwd",
    "aud": "bank",
    "fixed": True,
}


@pytest.mark.parametrize("claim", FORGERIES)
def test_no_claim_can_be_altered(claim: str) -> None:
    """The signature covers all of them."""
    payload = FORMAT.dump_payload(claims_of(TOKEN) | {claim: FORGERIES[claim]}).decode()
    signature = TOKEN.rpartition(".")[2]
    purpose = FORGERIES["purpose"] if claim == "purpose" else PURPOSE
    assert refused(f"{payload}.{signature}", purpose=str(purpose))


def test_no_character_of_the_payload_or_the_signature_can_be_altered() -> None:
    """All bits count except the spare ones in the last character, because 32 bytes do not fill their base64 text."""
    for at in range(len(TOKEN)):
        for other in {"A", "z", "_", "."} - {TOKEN[at]}:
            token = TOKEN[:at] + other + TOKEN[at + 1 :]
            if at < len(TOKEN) - 1:
                assert refused(token)


def test_spare_bits_of_the_last_character_give_no_second_proof() -> None:
    """Another spelling is still the same proof by its id, so it can be redeemed only once."""
    spellings = [TOKEN[:-1] + last for last in BASE64]
    ids = set()
    for token in spellings:
        try:
            ids.add(SIGNER.read(token, PURPOSE, BIND, None).proof_id)
        except InvalidTokenError:
            continue
    assert ids == {bytes(range(16))}


SIGNERS = {
    "another salt": lambda key: URLSafeSerializer(key, salt="otpkit.proof.2", signer_kwargs=OPTIONS),
    "no salt of ours": lambda key: URLSafeSerializer(key, signer_kwargs=OPTIONS),
    "sha-1": lambda key: URLSafeSerializer(key, salt=SALT, signer_kwargs=OPTIONS | {"digest_method": sha1}),
    "another key derivation": lambda key: URLSafeSerializer(
        key, salt=SALT, signer_kwargs=OPTIONS | {"key_derivation": "django-concat"}
    ),
    "a time stamp": lambda key: URLSafeSerializer(key, salt=SALT, signer=TimestampSigner, signer_kwargs=OPTIONS),
    "the secret itself": lambda _key: URLSafeSerializer(OLD, salt=SALT, signer_kwargs=OPTIONS),
    "another secret": lambda _key: URLSafeSerializer(Keys(NEW, None).tokens[0], salt=SALT, signer_kwargs=OPTIONS),
    "an empty key": lambda _key: URLSafeSerializer(b"", salt=SALT, signer_kwargs=OPTIONS),
}
SALT = "otpkit.proof.1"
OPTIONS: dict[str, Any] = {"key_derivation": "hmac", "digest_method": sha256}


@pytest.mark.parametrize("how", SIGNERS)
def test_what_was_signed_otherwise_is_refused(how: str) -> None:
    """The claims are exactly the same."""
    assert refused(SIGNERS[how](KEYS.tokens[0]).dumps(claims_of(TOKEN)))


def test_the_forger_of_that_test_can_forge_with_our_key_and_salt() -> None:
    """Without this, the test above would prove nothing."""
    ours = URLSafeSerializer(KEYS.tokens[0], salt=SALT, signer_kwargs=OPTIONS).dumps(claims_of(TOKEN))
    assert SIGNER.read(ours, PURPOSE, BIND, None).proof == proof_of()


def _jwt(header: dict[str, str], signature: str) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims_of(TOKEN))]
    return ".".join([*map(bytes.decode, parts), signature])


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", ""])
def test_a_token_names_no_algorithm_of_its_own(algorithm: str) -> None:
    """The algorithm in a JWT's header is ignored."""
    payload = TOKEN.rpartition(".")[0]
    for signature in ("", Signer(KEYS.tokens[0]).get_signature(payload).decode(), TOKEN.rpartition(".")[2]):
        assert refused(_jwt({"alg": algorithm, "typ": "JWT"}, signature))


@pytest.mark.parametrize(
    "token",
    [
        *(
            "",
            ".",
            "..",
            "a.b",
            TOKEN[:-1],
            TOKEN + "A",
            TOKEN * 2,
            f" {TOKEN}",
            TOKEN + "\n",
            "x" * 10**6,
            "." + TOKEN,
        ),
        *(TOKEN.rpartition(".")[0], TOKEN.rpartition(".")[0] + ".", "é" * 20, "\ud800"),
        *(None, 5, b"", TOKEN.encode(), ["x"], {}),
    ],
    ids=lambda token: ascii(token)[:40],
)
def test_what_is_no_token_is_refused(token: object) -> None:
    """This holds for any type and length."""
    assert refused(token)


@pytest.mark.parametrize("payload", [[], "text", 5, None, {}, [["id", "x"]], {"purpose": PURPOSE}])
def test_a_payload_that_is_no_proof_is_refused_even_if_signed(payload: Any) -> None:
    """Another part of the same application may sign with the same key and salt."""
    signed = URLSafeSerializer(KEYS.tokens[0], salt=SALT, signer_kwargs=OPTIONS).dumps(payload)
    assert refused(signed)


# Rotation


def test_an_old_secret_is_accepted_and_the_newest_signs() -> None:
    """The secret is deployed first, then last, then dropped. No token is refused in between."""
    first, both, last = (
        TokenSigner(Keys(OLD, None)),
        TokenSigner(Keys([OLD, NEW], OLD)),
        TokenSigner(Keys(NEW, OLD)),
    )
    early, late = proof_of(first).token, proof_of(both).token
    for signer, token in ((both, early), (both, late), (last, late)):
        assert signer.read(token, PURPOSE, BIND, PHONE).proof == proof_of()
    for signer, token in ((first, late), (last, early)):
        with pytest.raises(InvalidTokenError):
            signer.read(token, PURPOSE, BIND, PHONE)


def test_the_new_secret_first_in_the_sequence_is_accepted_and_does_not_sign_yet() -> None:
    """This is the first step of a rotation, while other hosts have only the old secret."""
    step = TokenSigner(Keys([NEW, OLD], OLD))
    assert proof_of(step).token == TOKEN
    assert step.read(proof_of(TokenSigner(Keys(NEW, OLD))).token, PURPOSE, BIND, None).proof == proof_of()


# Proofs


def test_a_token_is_signed_when_it_is_read_and_the_same_each_time() -> None:
    """Many callers never read it."""
    signed: list[Proof] = []

    def sign(proof: Proof) -> str:
        signed.append(proof)
        return "token"

    proof = Proof(ID, PHONE, PURPOSE, from_ms(ISSUED), from_ms(EXPIRES), False, sign)
    assert not signed
    assert (proof.token, proof.token) == ("token", "token")
    assert signed == [proof, proof]
    lazy = proof_of()
    assert lazy.token == lazy.token == TOKEN


def test_a_pickle_of_a_proof_holds_its_token_and_no_secret() -> None:
    """The signer is not pickled."""
    proof = proof_of()
    pickled = pickle.dumps(proof)
    again = pickle.loads(pickled)
    assert again == proof
    assert again.token == TOKEN
    for secret in (OLD, *KEYS.tokens, KEYS.tokens[0].hex().encode(), b"Signer", b"Keys"):
        assert secret not in pickled


def test_a_proof_is_truthy_equal_by_its_facts_and_shows_no_token() -> None:
    """Its repr does not show the whole phone either."""
    proof = proof_of()
    assert proof
    assert proof == SIGNER.read(TOKEN, PURPOSE, BIND, None).proof
    assert proof != proof_of(fixed=True)
    assert TOKEN not in repr(proof)
    assert PHONE not in repr(proof)


def test_times_are_aware_and_utc() -> None:
    """They are exact to the millisecond."""
    assert from_ms(ISSUED) == datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)
    assert from_ms(ISSUED).tzinfo is UTC
