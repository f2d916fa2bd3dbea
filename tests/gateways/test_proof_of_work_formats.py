"""Proof of work: compatible with ALTCHA's libraries, tied to its purpose and its end, and forged by nobody."""

from __future__ import annotations

import base64
import hmac
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import altcha
import altcha.v1
import pytest
from captcha_lab import NOW, PURPOSE, check
from hypothesis import given, settings
from hypothesis import strategies as st
from support.servers import unavailable

from otpkit import ConfigurationError
from otpkit.captcha import ProofOfWork, Verdict
from otpkit.transport.http import drive

KEY = b"k" * 32
NOW_MS = int(NOW * 1000)
LIBRARY_KEY = hmac.digest(KEY, b"otpkit proof of work", "sha256").hex()
FORMATS = (1, 2)
NPM = Path(__file__).parent.parent / "sandbox" / "npm"


def made(difficulty: int = 300, **options: Any) -> ProofOfWork:
    return ProofOfWork(difficulty, **options).bind_key(KEY)


def challenge_of(captcha: ProofOfWork, purpose: str = PURPOSE, now_ms: int = NOW_MS) -> dict[str, Any]:
    found = captcha.parameters(purpose, now_ms)["challenge"]
    assert isinstance(found, dict)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def encode(payload: object) -> str:
    return base64.b64encode(json.dumps(payload).encode()).decode()


def solve(challenge: dict[str, Any]) -> dict[str, Any]:
    """Return the payload that ALTCHA's library for Python makes of a challenge."""
    if "parameters" in challenge:
        read = altcha.Challenge.from_dict(challenge)
        solution = altcha.solve_challenge(read)
        assert solution is not None
        return altcha.Payload(challenge=read, solution=solution).to_dict()
    names = ("challenge", "salt", "algorithm", "maxnumber")
    found = altcha.v1.solve_challenge(*(challenge[name] for name in names))
    assert found is not None
    return {
        **{name: challenge[name] for name in ("algorithm", "challenge", "salt", "signature")},
        "number": found.number,
    }


def judge(captcha: ProofOfWork, payload: Any, **changes: Any) -> Verdict:
    answer = payload if isinstance(payload, str) else encode(payload)
    return drive(captcha.verify(answer, check(**changes)))


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_solution_of_altcha_for_python_passes(form: int) -> None:
    captcha = made(format=form)
    assert judge(captcha, solve(challenge_of(captcha))) == Verdict(True, "", 600)


def test_solution_is_right_for_altcha_for_python(form: int) -> None:
    """So another server with the key can check an answer too."""
    captcha = made(format=form)
    payload = encode(solve(challenge_of(captcha, now_ms=int(time.time() * 1000))))
    if form == 1:
        assert altcha.v1.verify_solution(payload, LIBRARY_KEY) == (True, None)
        assert altcha.v1.verify_solution(payload, "another") == (False, None)
    else:
        found = altcha.verify_solution(payload, LIBRARY_KEY)
        assert (found.verified, found.error) == (True, None)
        assert not altcha.verify_solution(payload, "another").verified


def test_solution_of_altcha_for_node_passes(form: int) -> None:
    node = shutil.which("node")
    if node is None or not (NPM / "node_modules" / "altcha-lib").is_dir():
        unavailable(f"node or altcha-lib is not installed; run: npm ci --ignore-scripts --prefix {NPM}")
    captcha = made(format=form)
    challenge = challenge_of(captcha, now_ms=int(time.time() * 1000))
    asked = json.dumps({"challenge": challenge, "key": LIBRARY_KEY})
    done = subprocess.run(
        [node, str(NPM / "altcha.mjs")], input=asked, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verified"] is True
    assert judge(captcha, found["payload"], now_ms=int(time.time() * 1000)).passed


def test_answer_is_for_its_purpose_alone(form: int) -> None:
    captcha = made(format=form)
    payload = solve(challenge_of(captcha, "reset"))
    assert judge(captcha, payload, purpose="reset").passed
    assert judge(captcha, payload).reason == "foreign"


@pytest.mark.parametrize("purpose", ["注册", "a&b=c?d", "\ud800", "x" * 128])
def test_any_purpose_has_challenges(form: int, purpose: str) -> None:
    captcha = made(format=form)
    assert judge(captcha, solve(challenge_of(captcha, purpose)), purpose=purpose).passed


def test_answer_ends_with_its_challenge(form: int) -> None:
    captcha = made(format=form, ttl=60)
    payload = solve(challenge_of(captcha))
    assert judge(captcha, payload, now_ms=NOW_MS + 59_999) == Verdict(True, "", 1)
    assert judge(captcha, payload, now_ms=NOW_MS + 60_000).reason == "expired"
    assert judge(captcha, payload, now_ms=NOW_MS - 10**9).passed


def test_answer_signed_with_an_older_key_passes(form: int) -> None:
    old, new = KEY, b"n" * 32
    payload = solve(challenge_of(made(format=form)))
    assert judge(ProofOfWork().bind_key(old, new), payload).passed
    assert judge(ProofOfWork().bind_key(new), payload).reason == "wrong"
    signed = challenge_of(ProofOfWork(300, format=form).bind_key(old, new))
    assert judge(ProofOfWork().bind_key(new), solve(signed)).passed


def test_answer_in_either_format_passes() -> None:
    payloads = [solve(challenge_of(made(format=form))) for form in FORMATS]
    for form in FORMATS:
        assert all(judge(made(format=form), payload).passed for payload in payloads)


def test_number_can_not_be_cut_otherwise() -> None:
    """The end of the salt and the beginning of the number have one border: no digit moves over it (CVE-2025-68113)."""
    captcha = made(100_000)
    payload = solve(challenge_of(captcha))
    salt, number = payload["salt"], str(payload["number"])
    for cut in range(1, len(number)):
        moved = {**payload, "salt": salt + number[:cut], "number": int(number[cut:])}
        assert judge(captcha, moved).reason == "malformed"
    later = salt.replace("&purpose", "9&purpose")
    assert judge(captcha, {**payload, "salt": later}).reason == "wrong"
    assert judge(captcha, {**payload, "salt": salt[:-1]}).reason == "malformed"


CHANGES: dict[int, dict[str, Any]] = {
    1: {
        "algorithm": ["SHA-1", "SHA-512", "", None],
        "challenge": ["0" * 64, "", None, 7, "x" * 64],
        "salt": ["0" * 24, "", None, []],
        "signature": ["0" * 64, "", None, [], "é" * 64],
        "number": [-1, 1.5, "1", True, None, 10**30, [], 2**32],
    },
    2: {
        "algorithm": ["SHA-1", "ARGON2ID", None],
        "cost": [2, 0, -1, 10**30, None],
        "data": [{}, {"purpose": "0" * 16}, {"purpose": "x"}, None, {"purpose": "0" * 16, "x": 1}],
        "expiresAt": [2**32 - 1, 0, None, 1e9, "1"],
        "keyLength": [1, 0, None],
        "keyPrefix": ["", "00", None, "0" * 32],
        "nonce": ["0" * 32, "", "xy" * 16, None],
        "salt": ["0" * 32, "", None],
    },
}
CASES = [(form, name, value) for form, names in CHANGES.items() for name, values in names.items() for value in values]


@pytest.mark.parametrize(("form", "name", "value"), CASES)
def test_changed_answer_never_passes(form: int, name: str, value: Any) -> None:
    captcha = made(format=form)
    payload = solve(challenge_of(captcha))
    place = payload if form == 1 else payload["challenge"]["parameters"]
    for changed in ({**place, name: value}, {key: each for key, each in place.items() if key != name}):
        odd = changed if form == 1 else {**payload, "challenge": {**payload["challenge"], "parameters": changed}}
        verdict = judge(captcha, odd)
        assert verdict.reason in {"malformed", "wrong"}, odd


def test_changed_solution_of_format_2_never_passes() -> None:
    captcha = made(format=2)
    payload = solve(challenge_of(captcha))
    right = payload["solution"]
    for solution in ({**right, "counter": right["counter"] + 1}, {**right, "derivedKey": "0" * 64}, {}, None, []):
        assert not judge(captcha, {**payload, "solution": solution}).passed
    for signature in ("0" * 64, "", None, 1):
        assert not judge(captcha, {**payload, "challenge": {**payload["challenge"], "signature": signature}}).passed


@given(st.one_of(st.text(max_size=300), st.binary(max_size=300).map(lambda raw: base64.b64encode(raw).decode())))
@settings(max_examples=200, deadline=None)
def test_any_text_is_malformed(odd: str) -> None:
    captcha = made()
    assert judge(captcha, odd).reason == "malformed"
    assert captcha.identity(odd) == odd


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
shapes = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([*CHANGES[1], *CHANGES[2], "parameters", "solution", "counter", "derivedKey"]), inner
        ),
    ),
    max_leaves=20,
)


@given(shapes)
@settings(max_examples=200, deadline=None)
def test_any_json_gets_a_verdict(odd: object) -> None:
    verdict = judge(made(), odd)
    assert not verdict.passed


@pytest.mark.parametrize("odd", [None, ["x"], 7, b"x", "x" * 1_000_000, "=" * 4000, encode("[" * 2000), "\ud800"])
def test_what_is_no_text_is_malformed(odd: Any) -> None:
    assert drive(made().verify(odd, check())) == Verdict(False, "malformed", 1)


def test_spelling_keeps_the_identity(form: int) -> None:
    """One solved challenge, marked as used once, can't pass again in another spelling."""
    captcha = made(format=form)
    payload = solve(challenge_of(captcha))
    spellings = [
        encode(payload),
        encode({"took": 123, **payload}),
        base64.b64encode(json.dumps(payload, indent=2).encode()).decode(),
        base64.b64encode(json.dumps(dict(reversed(payload.items())), separators=(",", ":")).encode()).decode(),
    ]
    assert all(judge(captcha, spelling).passed for spelling in spellings)
    assert len(set(spellings)) == 4
    assert len({captcha.identity(spelling) for spelling in spellings}) == 1
    assert captcha.identity(encode(solve(challenge_of(captcha)))) != captcha.identity(spellings[0])


def test_challenges_differ(form: int) -> None:
    captcha = made(format=form)
    assert len({json.dumps(challenge_of(captcha)) for _ in range(50)}) == 50


def test_without_a_key_it_says_so() -> None:
    captcha = ProofOfWork()
    for call in (lambda: captcha.parameters(PURPOSE), lambda: judge(captcha, "x")):
        with pytest.raises(ConfigurationError, match="no key"):
            call()


def test_binding_changes_nothing_of_the_users() -> None:
    captcha = ProofOfWork(7, ttl=99, format=2)
    bound = captcha.bind_key(KEY)
    assert (bound.difficulty, bound.ttl, bound.format) == (7, 99, 2)
    assert not captcha._keys
    assert captcha.origins == ()
    assert KEY.hex() not in repr(bound)


def test_host_clock_dates_a_challenge_without_another() -> None:
    challenge = made().parameters(PURPOSE)["challenge"]
    assert isinstance(challenge, dict)
    expires = int(challenge["salt"].partition("expires=")[2].partition("&")[0])
    assert abs(expires - 600 - time.time()) < 30
