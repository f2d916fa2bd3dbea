"""Check that a secret is random: a secret of otpkit, of a webhook, or an API key.

Anybody may know a placeholder from documentation, and patterns are guessed soon. A hexadecimal or Base64 secret is
checked twice: as it is, and by the bytes that it encodes. All rules together refuse fewer than one random secret in a
million, in any encoding.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Final

from otpkit.errors import ConfigurationError

MIN_SECRET_BYTES: Final = 32
_MIN_JUDGED: Final = 24  # Random bytes may begin or end with a few blanks. Eight blanks are padding.
_MIN_DISTINCT: Final = 8
_MAX_PERIOD: Final = 16
_BLANKS: Final = b" \t\n\r\v\f\0"
_NOT_IN_WORDS: Final = bytes(set(range(0x80)) - set(b"abcdefghijklmnopqrstuvwxyz0123456789"))
_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")

# Placeholders that people paste, in lower case and without blanks or punctuation. Each has at least seven letters, so
# that random text does not contain it.
_PLACEHOLDER: Final = r"""
      change(me|this|it|before|inprod) | (be|must|please|should|to)change | please(replace|set|generate)
    | replace(me|this|it|with) | (be|to)replaced | (be|to)modified
    | your.{0,24}(secret|key|token|password|value|string|phrase)
    | (enter|generate|insert|paste|put).{0,24}here | (goes|key|secret|token|value)here | generate(anew|arandom)
    | (any|default|demo|dev|dummy|fake|good|long|my|nota?|notso|real|sample|some|strong|super|temp|test|top|very)secret
    | secret(goes|key|password|phrase|string|value) | itsasecret | (super|very)secure | hardtoguess
    | (default|demo|dummy|fake|sample|test)key | (demo|dev|dummy|test|testing|development)only
    | (only|not)for(dev|prod|test) | for(development|testing|theexample) | secretfortests | testsalone
    | do(not|nt)use | neveruse
    | example | foobarbaz | insecure | loremipsum | not(random|safe|secure) | placeholder
    | passw[o0]rd | letmein | qwertyui | asdfghjk | zxcvbnm | iloveyou | keyboardcat | correcthorse
    | thisis(a|my|not|some|the) | averylong | longrandom | random(bytes|char|key|letter|secret|string|text|value)
    | atleast\d{2,3}(bits|char) | 256bit(key|secret) | otpkitkeygen | opensslrand | token(bytes|hex|urlsafe)
    | 密钥 | 秘钥 | 请(修改|填写|更换|更改|替换) | 占位 | 替换 | 示例 | 测试用
    """
# Text that a shell, a chart or a person should have replaced.
_UNFILLED: Final = re.compile(rb"\$\{\w{6}.*\}|\{\{.*\}\}|<[\w -]+>")
# Random secrets that many projects use because documentation shows them: FastAPI's, Flask's.
_PUBLISHED: Final = frozenset(
    {
        b"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        b"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    }
)


def read_secret(name: str, value: object) -> bytes:
    """Return a secret as bytes.

    Args:
        name: the name of the secret in the error.
        value: the secret, str or bytes of at least 32 bytes.

    Raises:
        ConfigurationError: `value` is not str or bytes, too short, or not random.
    """
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if not isinstance(raw, bytes) or len(raw) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"{name} must be at least {MIN_SECRET_BYTES} random bytes, as str or bytes.",
            "Make one with `otpkit keygen`.",
        )
    require_random(name, raw)
    return raw


def require_random(name: str, raw: bytes) -> None:
    """Raise `ConfigurationError`, with the secret's `name`, for a placeholder, a repetition or a sequence."""
    judged = raw.strip(_BLANKS)
    problem = next(filter(None, map(_judge, _spellings(judged))), "")
    if len(judged) < _MIN_JUDGED:
        problem = "this is mostly blanks"
    if problem:
        raise ConfigurationError(f"{name} must be random, and {problem}.", "Make one with `otpkit keygen`.")


def _spellings(raw: bytes) -> Iterator[bytes]:
    """Yield a secret as it is, and the bytes that it may encode."""
    yield raw.lower()
    with suppress(ValueError):
        yield bytes.fromhex(raw.decode()).lower()
    digits = raw.rstrip(b"=").translate(_STANDARD_ALPHABET)
    with suppress(ValueError):
        yield b64decode(digits + b"=" * (-len(digits) % 4), validate=True).lower()


def _judge(raw: bytes) -> str:
    """Return the problem of a secret in lower case, or ""."""
    if raw in _PUBLISHED or _UNFILLED.fullmatch(raw) or _placeholder().search(raw.translate(None, _NOT_IN_WORDS)):
        return "this is a well-known placeholder"
    if len(set(raw)) < _MIN_DISTINCT:
        return f"this has fewer than {_MIN_DISTINCT} different bytes"
    if any(_repeats(raw, period) for period in range(1, min(_MAX_PERIOD, len(raw) // 2) + 1)):
        return f"this repeats itself within {_MAX_PERIOD} bytes"
    if _is_sequence(raw) or (_is_sequence(raw[::2]) and _is_sequence(raw[1::2])):
        return "this is a sequence, or two that alternate"
    return ""


@cache
def _placeholder() -> re.Pattern[bytes]:
    """Return the pattern, compiled on first use: compiling takes as long as importing three modules."""
    return re.compile(_PLACEHOLDER.encode(), re.VERBOSE)


def _repeats(raw: bytes, period: int) -> bool:
    """Check whether at least three quarters of a text equal the byte that stands `period` bytes before."""
    later = raw[period:]
    return 4 * sum(map(int.__eq__, raw, later)) >= 3 * len(later)


def _is_sequence(raw: bytes) -> bool:
    """Check whether two steps, such as one up or none, lead through at least three quarters of a text."""
    steps = Counter((after - before) % 256 for before, after in pairwise(raw))
    return 4 * sum(times for _, times in steps.most_common(2)) >= 3 * (len(raw) - 1)
