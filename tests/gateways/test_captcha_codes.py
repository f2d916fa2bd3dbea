"""Every documented code of each captcha's provider has its meaning, as an answer over HTTP and not only in a table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from captcha_lab import APIS, CAPTCHAS, judge, sandbox, solved
from support.transports import AnyTransport
from tencentcloud.captcha.v20190722 import errorcodes

from otpkit.captcha import CaptchaSilent, aliyun, hcaptcha, recaptcha, siteverify, tencent, turnstile
from otpkit.captcha import geetest as gt
from otpkit.captcha.provider import Trouble, meaning_of
from otpkit.sandbox import Address, Fault, Sandbox, running

KINDS = ("threads",)
SITEVERIFY = {
    "wrong": ("missing-input-response", "invalid-input-response", "bad-request"),
    "misconfigured": ("missing-input-secret", "invalid-input-secret"),
}
LATE = {"expired": ("timeout-or-duplicate",)}
# From the documents that the modules name. `silent` is the provider's own trouble.
DOCUMENTED: dict[str, dict[str, tuple[str, ...]]] = {
    "turnstile": {**SITEVERIFY, **LATE, "silent": ("internal-error",)},
    "hcaptcha": {
        "wrong": (*SITEVERIFY["wrong"], "invalid-remoteip"),
        "expired": ("expired-input-response", "already-seen-response", "invalid-or-already-seen-response"),
        "misconfigured": (
            *SITEVERIFY["misconfigured"],
            *("missing-remoteip", "not-using-dummy-passcode", "sitekey-secret-mismatch"),
        ),
    },
    "recaptcha v2": {**SITEVERIFY, **LATE},
    "recaptcha v3": {**SITEVERIFY, **LATE},
    "recaptcha enterprise": {
        "wrong": (
            *("INVALID_REASON_UNSPECIFIED", "UNKNOWN_INVALID_REASON", "MALFORMED", "MISSING", "BROWSER_ERROR"),
            "INVALID_ARGUMENT",
        ),
        "expired": ("EXPIRED", "DUPE"),
        "foreign": ("UNEXPECTED_ACTION", "SITE_MISMATCH"),
        "misconfigured": ("UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION"),
        "silent": ("RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE"),
    },
    "aliyun": {
        "": ("T001", "T005", "T006"),
        "wrong": ("F002", "F003", "F004", "F013", "F015", "F022", "F023", "InvalidParameter"),
        "expired": ("F008", "F014", "F018", "F019"),
        "foreign": ("F005", "F006", "F012", "F016", "F020"),
        "score": ("F001", "F009", "F010", "F011", "F017", "F024"),
        "misconfigured": (
            *("MissingParameter", "Forbidden.AccountAccessDenied", "Forbidden.RAMUserAccessDenied", "Forbidden.RAM"),
            *("NoPermission", "InvalidAccessKeyId.NotFound", "InvalidAccessKeyId.Inactive", "SignatureDoesNotMatch"),
            *("InvalidSecurityToken.Expired", "IncompleteSignature", "InvalidTimeStamp.Expired", "InvalidVersion"),
            "InvalidAction.NotFound",
        ),
        "silent": ("InternalError", "Throttling", "Throttling.User", "ServiceUnavailable"),
    },
    "tencent": {
        "": ("1",),
        "wrong": ("7", "15", "InvalidParameter", "InvalidParameterValue"),
        "expired": ("8", "9"),
        "foreign": ("16", "100"),
        "score": ("21", "evil"),
        "misconfigured": (
            *("MissingParameter", "UnauthorizedOperation.ErrAuth", "UnauthorizedOperation.Unauthorized"),
            *("AuthFailure.SecretIdNotFound", "AuthFailure.SignatureFailure", "AuthFailure.SignatureExpire"),
            *("AuthFailure.TokenFailure", "UnauthorizedOperation", "InvalidAction", "NoSuchVersion"),
        ),
        "silent": ("InternalError", "RequestLimitExceeded", "RequestLimitExceeded.UinLimitExceeded"),
    },
    "geetest": {
        "wrong": (
            *("-50000", "-50001", "-50002", "-50004", "-50005"),
            *("-50302", "-50303", "-50304", "-50306", "-50307"),
        ),
        "expired": ("-50003", "-50301", "-50305", "-50308"),
        "misconfigured": ("-50101", "-50102", "-50103", "-50104", "-50105"),
    },
}
# A code that no document lists. What an unknown answer means is no trouble that a visitor could cause.
UNKNOWN = {
    "turnstile": "wrong",
    "hcaptcha": "wrong",
    "recaptcha v2": "wrong",
    "recaptcha v3": "wrong",
    "recaptcha enterprise": "wrong",
    "aliyun": "misconfigured",
    "tencent": "misconfigured",
    "geetest": "wrong",
}
CODES = [
    pytest.param(name, code, meaning, id=f"{name}: {code}")
    for name, meanings in DOCUMENTED.items()
    for meaning, codes in (*meanings.items(), (UNKNOWN[name], ("Pigeon",)))
    for code in codes
]


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Sandbox, Address]]:
    made = sandbox()
    with running(made) as address:
        yield made, address


@pytest.mark.parametrize(("name", "code", "meaning"), CODES)
def test_documented_code_has_its_meaning(
    name: str, code: str, meaning: str, place: tuple[Sandbox, Address], transport: AnyTransport
) -> None:
    captcha = CAPTCHAS[name](place[1].base_url)
    place[0].add_fault(Fault("reject", api=APIS[name], code=code))
    answer = place[0].solve_captcha(solved(name, captcha))
    if meaning in {"silent", "misconfigured"}:
        with pytest.raises(CaptchaSilent) as caught:
            judge(captcha, answer, transport)
        assert caught.value.misconfigured == (meaning == "misconfigured")
    else:
        verdict = judge(captcha, answer, transport)
        assert (verdict.passed, verdict.reason) == (meaning == "", meaning)


TABLES = {
    "turnstile": turnstile.Turnstile.codes,
    "hcaptcha": hcaptcha.HCaptcha.codes,
    "recaptcha v2": recaptcha.ReCaptcha.codes,
    "recaptcha enterprise": {**recaptcha.INVALID_REASONS, **recaptcha.STATUSES},
    "aliyun": {**aliyun.VERIFY_CODES, **aliyun.CODES},
    "tencent": {**{str(code): meaning for code, meaning in tencent.CAPTCHA_CODES.items()}, **tencent.CODES},
    "geetest": gt.CODES,
}


@pytest.mark.parametrize("name", TABLES)
def test_table_has_no_code_that_is_not_documented(name: str) -> None:
    known = {code for codes in DOCUMENTED[name].values() for code in codes} | {"timeout-or-duplicate"}
    for code in TABLES[name]:
        assert any(each == code or (code[-1] == "*" and each.startswith(code[:-1])) for each in known), code


def test_table_of_tencent_has_all_that_its_sdk_lists() -> None:
    codes = {value for name, value in vars(errorcodes).items() if name.isupper() and isinstance(value, str)}
    assert codes
    assert all(meaning_of(code, tencent.CODES) is not None for code in codes)


def test_troubles_name_who_acts() -> None:
    for table in (*TABLES.values(), siteverify.COMMON):
        for meaning in table.values():
            if isinstance(meaning, Trouble):
                assert meaning.problem[0].islower()
                assert "must" in meaning.remedy or meaning.remedy.startswith("wait")


def test_refused_key_comes_before_other_codes() -> None:
    """Google reports the answer first, and the secret after it."""
    captcha = recaptcha.ReCaptcha("k", "s")
    for codes in (["invalid-input-response", "invalid-input-secret"], ["x", "invalid-input-secret", "bad-request"]):
        meaning = captcha._refusal(codes)
        assert isinstance(meaning, Trouble)
        assert meaning.misconfigured
    for nothing in ([], None, "x", {}, [[]], [None]):
        assert captcha._refusal(nothing) == "wrong"
