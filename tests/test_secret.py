"""A secret that is public or can be guessed is refused everywhere, and no random one is."""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.secrets import OTHER_SECRET, SECRET

from otpkit import OTP, AsyncOTP, ConfigurationError, Template
from otpkit.core.crypto import Keys
from otpkit.core.secret import read_secret
from otpkit.core.tokens import TokenSigner
from otpkit.doctor import examine
from otpkit.gateways import Webhook, verify_webhook
from otpkit.service import ApiKey, create_app
from otpkit.service.keys import Keyring
from otpkit.settings import read_settings
from otpkit.testing import Outbox

ROOT = Path(__file__).parents[1]
TEMPLATE = Template("SMS_1", "otpkit")
FILE_SAFE = [  # Weak ones that every argument accepts by their length and letters.
    "a" * 32,
    "ab" * 20,
    "0" * 64,
    "changeme" * 4,
    "ChangeMe-ChangeMe-ChangeMe-ChangeMe-1",
    "change-this-to-a-long-random-string",
    "a-secret-for-tests-and-for-tests-alone",
    "your-secret-key-goes-here-keep-it-safe",
    "YOUR_SUPER_LONG_AND_SECURE_API_KEY_32",
    "django-insecure-w7m4c1x0zq9v8k3j2h5g6f7d8s9a",
    "my-super-secret-key-for-production-0",
    "replace-me-with-something-long-and-odd",
    "put-32-random-characters-in-here-now",
    "insert-the-output-of-keygen-here-ok",
    "example-key-for-the-documentation-only",
    "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY",
    "complex_password_at_least_32_characters_long",
    "a-string-secret-at-least-256-bits-long",
    "dev-only-do-not-use-this-in-production",
    "keyboard-cat-keyboard-dog-keyboard-cow",
    "correct-horse-battery-staple-again-ok",
    "qwertyuiopasdfghjklzxcvbnm0987612345",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdefghijklmnopqrstuvwxyz",
    "zyxwvutsrqponmlkjihgfedcba9876543210",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
    "aabbccddeeffgghhiijjkkllmmnnoopp",
    "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6",
    "12345678901234567890123456789012",
    "deadbeefdeadbeefdeadbeefdeadbeef",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "00000000-0000-0000-0000-000000000000",
    "monday1monday2monday3monday4monday5",
    "k9Qz7Lw2Rt5Yp8Xbk9Qz7Lw2Rt5Yp8Xb",  # Sixteen random characters, twice.
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # From FastAPI's tutorial.
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",  # From Flask's quickstart.
    bytes(range(32)).hex(),
    bytes(range(255, 223, -1)).hex().upper(),
    base64.urlsafe_b64encode(b"changeme" * 4).decode().rstrip("="),
    b"put your secret here, please".hex(),
]
OTHERS = [
    "put 32 random bytes here, from: otpkit keygen",
    "a secret for tests, and for tests alone",
    "gateway's secret" * 2,
    " " * 40,
    "\0" * 32,
    "a" * 31 + "\n",
    "k9Qz7Lw2".ljust(32),
    "k9Qz7Lw2Rt5Yp8Xb".ljust(32, "\0"),
    "  " + "changeme" * 4 + "\r\n",
    "your secret key, and nobody else's",
    "password1!password2!password3!pass",
    "{{ .Values.otpkit.signing | quote }}",
    "${OTPKIT_SIGNING:?set it before you start}",
    "<thirty two bytes of your own choice>",
    "请在此处填写您自己的密钥，不少于三十二个字节",
    "示例：天地玄黄宇宙洪荒日月盈昃辰宿列张",
    "秘密" * 6,
    bytes(32),
    bytes(range(32)),
    b"\xff\x00" * 16,
    b"\xfe" * 40,
]
SPELLINGS: dict[str, Callable[[bytes], str | bytes]] = {
    "raw": lambda raw: raw,
    "hex": bytes.hex,
    "HEX": lambda raw: raw.hex().upper(),
    "base32": lambda raw: base64.b32encode(raw).decode(),
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
    "ascii85": lambda raw: base64.a85encode(raw).decode(),
    "base85": lambda raw: base64.b85encode(raw).decode(),
    "letters and digits": lambda raw: drawn(raw, string.ascii_letters + string.digits),
    "printable": lambda raw: drawn(raw, string.printable),
}


def drawn(seed: bytes, alphabet: str) -> str:
    """Return a random character of an alphabet for each byte. Equal bytes have equal results."""
    return "".join(random.Random(seed).choices(alphabet, k=len(seed)))


def refusal(build: Callable[[], Any], secret: str | bytes) -> str:
    """Return the error's text for a secret. Check that it is refused and not shown."""
    with pytest.raises(ConfigurationError) as refused:
        build()
    text = str(refused.value)
    assert "otpkit keygen" in text
    shown = secret if isinstance(secret, str) else secret.decode("latin-1")
    assert not shown.strip() or shown.strip() not in text
    return text


@pytest.mark.parametrize("kind", [OTP, AsyncOTP])
@pytest.mark.parametrize("weak", [*FILE_SAFE, *OTHERS])
def test_weak_secret_is_refused_in_every_place(kind: Any, weak: str | bytes) -> None:
    """It may be the secret, one of several, the index secret, or a webhook's on either side, as text and as bytes."""
    both = [weak, weak.encode() if isinstance(weak, str) else weak]
    for each in both:
        for secret, index in ((each, None), ([SECRET, each], SECRET), (SECRET, each)):
            name = "index_secret" if index is each else "secret"
            text = refusal(lambda s=secret, i=index: kind("memory://", Outbox(), TEMPLATE, s, index_secret=i), weak)
            assert text.startswith(f"{name} must be ")
        refusal(lambda each=each: Webhook("https://me.example", each), weak)
        refusal(lambda each=each: verify_webhook(b"", {}, each, now=0), weak)


@pytest.mark.parametrize("weak", FILE_SAFE)
def test_weak_key_of_the_service_is_refused(weak: str) -> None:
    """These are API keys by text and by digest, and the secret of receipts in the settings and in `create_app`."""
    assert "The key 'shop'" in refusal(lambda: ApiKey.of("shop", weak, ["signup"]), weak)
    keyring = Keyring([ApiKey.of_digest("shop", sha256(weak.encode()).hexdigest(), ["signup"])])
    assert "The key 'shop'" in refusal(lambda: keyring.find(f"Bearer {weak}"), weak)
    keys = [ApiKey.of("shop", SECRET, ["signup"])]
    with AsyncOTPs() as otp:
        text = refusal(lambda: create_app(otp, keys, receipts_secret=weak), weak)
    assert text.startswith("service.receipts_secret must be ")
    table = json.dumps({"shop": {"key": weak, "purposes": []}})
    said = refusal(lambda: read_settings({"OTPKIT_SERVICE_RECEIPTS_SECRET": weak, "OTPKIT_API_KEYS": table}), weak)
    assert "service.receipts_secret must be" in said
    assert "The key 'shop' must be" in said


class AsyncOTPs:
    """An `AsyncOTP` that is never used, so it needs no close."""

    def __enter__(self) -> AsyncOTP:
        return AsyncOTP("memory://", Outbox(), TEMPLATE, SECRET)

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


@pytest.mark.parametrize("given", ["", "short", "x" * 31])
def test_digest_of_a_short_key_is_refused(given: str) -> None:
    """An empty variable would have such a digest."""
    keyring = Keyring([ApiKey.of_digest("shop", sha256(given.encode()).hexdigest(), ["signup"])])
    assert "at least 32" in refusal(lambda: keyring.find(f"Bearer {given}"), "x" * 31)


def test_digest_of_a_random_key_is_found_again() -> None:
    keyring = Keyring([ApiKey.of_digest("shop", sha256(SECRET.encode()).hexdigest(), ["signup"])])
    for _ in range(2):
        found = keyring.find(f"Bearer {SECRET}")
        assert found is not None
        assert found.name == "shop"
    assert keyring.find(f"Bearer {OTHER_SECRET}") is None


def test_weak_secret_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` and the doctor refuse it, with spaces around it or without."""
    for weak in ("changeme" * 4, f"  {'changeme' * 4}\n", f"{SECRET} {'changeme' * 4}"):
        refusal(
            lambda weak=weak: OTP.from_env(
                redis="memory://", gateway=Outbox(), template=TEMPLATE, **_secret_of(monkeypatch, weak)
            ),
            weak,
        )
        found = {each.name: each for each in examine({"OTPKIT_SECRET": weak, "OTPKIT_INDEX_SECRET": SECRET}).findings}
        assert found["secret"].status == "problem"
        assert "otpkit keygen" in found["secret"].remedy


def _secret_of(monkeypatch: pytest.MonkeyPatch, value: str) -> dict[str, Any]:
    monkeypatch.setenv("OTPKIT_SECRET", value)
    return {"index_secret": SECRET} if " " in value.strip() else {}


def test_proof_forged_with_a_placeholder_is_worthless() -> None:
    """No deployment has it as its secret, and `Keys` refuses it too."""
    for placeholder in ("put 32 random bytes here, from: otpkit keygen", "a secret for tests, and for tests alone"):
        refusal(lambda placeholder=placeholder: TokenSigner(Keys(placeholder, None)), placeholder)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_random_secret_is_refused(spelling: str) -> None:
    """The secrets have 16 to 64 bytes, in every usual encoding with at least 32 characters."""
    source = random.Random(f"otpkit {spelling}")
    for size in (16, 20, 24, 32, 48, 64):
        for _ in range(600):
            secret = SPELLINGS[spelling](source.randbytes(size))
            if len(secret) >= 32:
                read_secret("secret", secret)


def test_random_hexadecimal_key_has_enough_digits() -> None:
    """Of 200,000 keys of 128 bits, each has at least nine different digits. Eight are enough."""
    source = random.Random("otpkit")
    assert min(len(set(source.randbytes(16).hex())) for _ in range(200_000)) >= 9


def test_uuid_and_generated_password_are_accepted() -> None:
    for secret in ("7f9c24e8-3b1d-4a6e-9c2f-d05b8e7a1c46", "pk_live_9vX2mQ7rT4wZ8nB6cJ3hL5kD1fG0sA", SECRET.upper()):
        assert read_secret("secret", f" {secret} ") == f" {secret} ".encode()


def test_no_document_shows_a_secret_to_paste() -> None:
    """Each example of a secret is generated, too short, or refused."""
    given = r"""(?i)(?:secret|key)\w*["']?\s*[=:,]\s*["']([^"'\n]+)["']"""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found = [text for page in pages for text in re.findall(given, page.read_text(encoding="utf-8"))]
    assert found
    for text in (each for each in found if not each.startswith("$(")):
        with pytest.raises(ConfigurationError):
            read_secret("secret", text)
