"""Codes are uniform and unpredictable, hashes follow their standards, and keys are separate."""

from __future__ import annotations

import hmac
import pickle
import random
from collections import Counter
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpkit.core.crypto import (
    DIGEST_BYTES,
    ID_BYTES,
    KEY_ID_BYTES,
    CodeKey,
    Keys,
    Mac,
    clean_code,
    decode_id,
    encode_id,
    new_id,
    pack,
)
from otpkit.errors import ConfigurationError, MalformedCodeError

SECRET = b"a secret for the tests of codes, and for them alone"
OTHER = b"another one of these, for where two are to be kept apart"
LENGTHS = range(6, 11)


def nonce(number: int) -> bytes:
    """Return one of many nonces. They are the same in each run, so that a statistical test never fails by chance."""
    return sha256(b"nonce %d" % number).digest()[:ID_BYTES]


# Codes


@pytest.mark.parametrize("length", LENGTHS)
def test_every_digit_is_as_likely_in_every_place(length: int) -> None:
    """A chi-squared test over 20,000 codes with 9 degrees of freedom has a chance of one in a million to fail."""
    key, codes = CodeKey(SECRET), 20_000
    places = zip(*(key.code(nonce(n), b"", length) for n in range(codes)), strict=True)
    expected = codes / 10
    for place in places:
        counts = Counter(place)
        assert set(counts) == set("0123456789")
        assert sum((count - expected) ** 2 / expected for count in counts.values()) < 45


def test_both_ends_are_reached_and_leading_zeros_kept() -> None:
    """The range is 000000–999999 (NIST SP 800-63B-4 §3.1.3.2), not 100000–999999."""
    key = CodeKey(SECRET)
    codes = [key.code(nonce(n), b"", 6) for n in range(30_000)]
    assert min(codes) < "000200"
    assert max(codes) > "999800"
    assert all(len(code) == 6 and code.isascii() and code.isdigit() for code in codes)
    assert 0.09 < sum(code[0] == "0" for code in codes) / len(codes) < 0.11


class Fixed:
    """A MAC that returns one number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, message: bytes) -> bytes:
        return self.number.to_bytes(32, "big")


@pytest.mark.parametrize("length", LENGTHS)
def test_the_first_and_the_last_code_are_codes(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero has all its digits."""
    for number, code in ((0, "0" * length), (10**length - 1, "9" * length), (10**length, "0" * length)):
        monkeypatch.setattr("otpkit.core.crypto.Mac", lambda _key, number=number: Fixed(number))
        assert CodeKey(SECRET).code(nonce(0), b"", length) == code


def test_a_code_follows_from_its_nonce_identity_and_secret_alone() -> None:
    """A resend therefore has the same code, and no other message has it."""
    key = CodeKey(SECRET)
    code = key.code(nonce(1), b"who", 10)
    assert CodeKey(SECRET).code(nonce(1), b"who", 10) == code
    others = {
        key.code(nonce(2), b"who", 10),
        key.code(nonce(1), b"whom", 10),
        CodeKey(OTHER).code(nonce(1), b"who", 10),
    }
    assert code not in others
    assert len(others) == 3


def test_nothing_is_drawn_from_the_module_random() -> None:
    """A person who seeds `random` or reads its state learns nothing."""
    drawn = set()
    for _ in range(100):
        random.seed(1)
        before = random.getstate()
        drawn.add(new_id())
        assert random.getstate() == before
    assert len(drawn) == 100
    assert {len(each) for each in drawn} == {ID_BYTES}


def test_a_digest_is_of_its_key_identity_and_code() -> None:
    """It has 128 bits, and changes with the key, the identity and the code. It is not a digest of the code only."""
    key = CodeKey(SECRET)
    digests = {
        key.digest(b"who", "123456"),
        key.digest(b"who", "123457"),
        key.digest(b"whom", "123456"),
        CodeKey(OTHER).digest(b"who", "123456"),
        key.digest(b"who1", "23456"),
    }
    # The last pair shows the reason for packing identities: without it, they merge with the code.
    assert key.digest(b"who1", "23456") == key.digest(b"who", "123456")
    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {DIGEST_BYTES}


# Typed codes


@pytest.mark.parametrize("typed", ["123456", " 123456 ", "123 456", "123-456", "1-2-3-4-5-6", "- 1 2 3 4 5 6 -"])
def test_blanks_and_hyphens_are_dropped(typed: str) -> None:
    """People copy codes with them."""
    assert clean_code(typed, 6) == "123456"


@pytest.mark.parametrize(
    "typed",
    [
        *("", " ", "12345", "1234567", "12345a", "123456\n", "\t123456", "123\u00a0456", "123\u2013456", "123.456"),
        *(
            "+123456",
            "１２３４５６",
            "١٢٣٤٥٦",
            "²23456",
            "12345\u0660",
            "123456\x00",
            "\u200b123456",
            "0x1234",
            "1e5000",
        ),
        *("1e5000", "-" * 10_000),
        *(123456, 123456.0, b"123456", None, ["123456"], True),
    ],
)
def test_anything_else_is_malformed(typed: Any) -> None:
    """Other digits, other spaces and other types are malformed. The error does not repeat them."""
    with pytest.raises(MalformedCodeError) as refused:
        clean_code(typed, 6)
    assert not isinstance(typed, str) or len(typed.strip()) < 2 or typed not in str(refused.value)


@pytest.mark.parametrize("length", LENGTHS)
@given(data=st.data())
def test_a_code_of_any_length_is_read_as_it_is_sent(length: int, data: st.DataObject) -> None:
    """A code of another length is malformed."""
    code = data.draw(st.text("0123456789", min_size=length, max_size=length))
    assert clean_code(code, length) == code
    for other in {*LENGTHS} - {length}:
        with pytest.raises(MalformedCodeError):
            clean_code(code, other)


# Hashes


@given(st.binary(max_size=64), st.binary(max_size=300))
def test_a_mac_is_the_hmac_of_the_standard(key: bytes, message: bytes) -> None:
    """This holds for every key that fits a block. otpkit's keys are digests of 32 bytes."""
    mac = Mac(key)
    assert mac(message) == hmac.digest(key, message, "sha256")
    assert mac(message) == mac(message)


def test_a_mac_gives_the_answers_of_rfc_4231() -> None:
    """These are test cases 1 and 2."""
    hi = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    jefe = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert Mac(b"\x0b" * 20)(b"Hi There").hex() == hi
    assert Mac(b"Jefe")(b"what do ya want for nothing?").hex() == jefe


def test_no_key_is_longer_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block has 64 bytes. A longer key would have to be hashed first, which is not implemented.

    Keys have 32 bytes.
    """
    keys = []
    monkeypatch.setattr("otpkit.core.crypto.Mac", lambda key, *prefix: keys.append(key) or Mac(key, *prefix))
    Keys([SECRET, SECRET * 99], OTHER * 9)
    assert {len(key) for key in keys} == {32}
    assert len(set(keys)) == 4  # a code key of each secret, the index key and the device key


awkward = st.sampled_from(["", "1", "1:", ":", "0:", "2:1:", "\ud800"])
texts = st.lists(st.text(st.characters(), max_size=6) | awkward, max_size=4)


@given(texts, texts)
def test_packing_is_injective(one: list[str], other: list[str]) -> None:
    """Two different identities never have the same bytes."""
    assert (pack(*one) == pack(*other)) == (one == other)


@given(texts)
def test_packing_can_be_undone(parts: list[str]) -> None:
    """This is the reason why it is injective."""
    text, found = pack(*parts).decode("utf-8", "surrogatepass"), []
    while text:
        length, _, text = text.partition(":")
        found.append(text[: int(length)])
        text = text[int(length) :]
    assert found == parts


@given(st.binary(min_size=ID_BYTES, max_size=ID_BYTES))
def test_an_id_is_read_as_it_is_written(raw: bytes) -> None:
    """It has 22 characters, which URLs and forms do not change."""
    text = encode_id(raw)
    assert len(text) == 22
    assert decode_id(text) == raw


@pytest.mark.parametrize("text", ["", "A" * 21, "A" * 23, f"{'A' * 22}==", f"{'A' * 21}B", f"{'A' * 21}+", "ä" * 22])
def test_an_id_has_one_spelling(text: str) -> None:
    """Unused bits in the last character do not make a second spelling."""
    with pytest.raises(ValueError, match=r"id|base64|ASCII|padded|characters"):
        decode_id(text)


# Keys


def test_keys_of_one_secret_open_nothing_of_each_other() -> None:
    """The keys for codes, index and tokens are derived separately, and none equals the secret."""
    keys = Keys(SECRET, None)
    derived = {keys.tokens[0], keys.current.id, keys.name(b"a", "x"), keys.name(b"b", "x"), keys.name(b"a", "y")}
    assert len(derived) == 5
    assert SECRET not in derived
    assert len(keys.current.id) == KEY_ID_BYTES


def test_names_are_those_of_the_index_secret_whatever_signs() -> None:
    """A rotation therefore keeps all phones and limits."""
    alone, rotated = Keys(SECRET, None), Keys([SECRET, OTHER], SECRET)
    assert alone.name(b"phone", "+86") == rotated.name(b"phone", "+86") != Keys(OTHER, None).name(b"phone", "+86")
    assert rotated.current.id == Keys(OTHER, None).current.id
    assert set(rotated.by_id) == {alone.current.id, rotated.current.id}


def test_a_text_and_its_bytes_are_one_secret() -> None:
    """The encoding is UTF-8."""
    text = "秘密啊这是我们自己编的一句话"
    assert Keys(text, None).tokens == Keys(text.encode(), None).tokens


@pytest.mark.parametrize(
    ("secret", "index_secret", "words"),
    [
        ("", None, "32 random bytes"),
        ("x" * 31, None, "32 random bytes"),
        (b"x" * 31, None, "32 random bytes"),
        (None, None, "secret must be"),
        (5, None, "secret must be"),
        ([], None, "secret must be"),
        ({SECRET}, None, "secret must be"),
        ([SECRET, "short"], SECRET, "32 random bytes"),
        ([SECRET, None], SECRET, "32 random bytes"),
        ([SECRET, SECRET], SECRET, "same value twice"),
        ([SECRET, SECRET.decode()], SECRET, "same value twice"),
        ([SECRET, OTHER], None, "index_secret is required"),
        (SECRET, "short", "index_secret must be"),
        (SECRET, "", "index_secret must be"),
        (SECRET, [SECRET], "index_secret must be"),
        (bytearray(SECRET), None, "32 random bytes"),
    ],
)
def test_a_secret_that_can_not_work_is_refused_and_not_shown(secret: Any, index_secret: Any, words: str) -> None:
    """The error names the defect."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        Keys(secret, index_secret)
    assert SECRET.decode() not in str(refused.value)


def test_keys_are_never_pickled_nor_shown() -> None:
    """They could end up in a queue or in a log."""
    keys = Keys(SECRET, None)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(keys)
    assert SECRET.decode() not in f"{keys!r}{keys.current!r}"
