"""Why Alibaba Cloud refuses a message or a call: its documents' tables of error codes, and the errors made of them.

A code that ends in `*` is that of a family. Codes alone decide: `Message` may hold a number, and its wording changes.

Sources: 《国内消息API错误码》, help.aliyun.com/document_detail/101346.html; 《语音服务API错误码》,
help.aliyun.com/document_detail/178344.html and its OpenAPI list; the error codes that all its APIs share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otpkit.gateways.provider import Provider, Refusal

SMS: Final = Provider("aliyun", "Aliyun SMS")
VOICE: Final = Provider("aliyun-voice", "Aliyun Voice")

BAD_NUMBER: Final = "isv.MOBILE_NUMBER_ILLEGAL"
BAD_PARAMETERS: Final = "isv.INVALID_PARAMETERS"
NO_RECORD: Final = frozenset({"100008", "100008.0"})  # 数据不存在, by HTTP 400: an answer, and no refusal

_PAY = "its owner must top it up in the console's expense centre"
_SUPPORT = "its owner must contact Aliyun's support"
_TEMPLATE = "the developer must use the code of a template that is approved in the console"
_SIGN = "the developer must use a signature that is approved and filed with the carriers, without 【】"
_VALUES = "the developer must pass every variable of the approved template, each within its rules there"
_REPORT = "the developer must check what was passed, and report it to otpkit if all of it is right"
_KEY = "the operator must check the AccessKey, or the function that gives credentials"
_GRANT = "the account's owner must grant the RAM user this call"
_ADDRESS = "the operator must check base_url"
_SHOWN = "the developer must set called_show_number to a number that the account bought, or leave it out"
_OTHER_NUMBER = "the person at the form must give another mobile number"

# Of the gateway in front of all APIs: with HTTP 400, 403 or 404.
_COMMON: Final[dict[str, Refusal]] = {
    "Throttling*": Refusal("rate_limit", "too many calls (流控)", "wait, or the owner must have the limit raised"),
    "InvalidAccessKeyId*": Refusal("account", "the AccessKey does not exist or is disabled", _KEY),
    "SignatureDoesNotMatch": Refusal("account", "the signature is wrong: the secret is not this AccessKey's", _KEY),
    "InvalidSecurityToken*": Refusal("account", "the STS token has expired or is not this AccessKey's", _KEY),
    "MissingSecurityToken": Refusal("account", "a temporary AccessKey came without its STS token", _KEY),
    "InvalidTimeStamp*": Refusal(
        "account", "the date is off by more than 15 minutes", "the operator must set this host's or Redis's clock right"
    ),
    "Forbidden*": Refusal("account", "the account or RAM user may not make this call", _GRANT),
    "NoPermission*": Refusal("account", "the RAM user may not make this call", _GRANT),
    "ActionUnauthorized": Refusal("account", "the account may not make this call", _GRANT),
    "InsufficientBalance": Refusal("account", "the balance is too small (余额不足)", _PAY),
    "IncompleteSignature": Refusal("request", "the signature is malformed", _REPORT),
    "InvalidAction*": Refusal("request", "there is no such call", _ADDRESS),
    "InvalidApi*": Refusal("request", "there is no such call", _ADDRESS),
    "InvalidProduct*": Refusal("request", "there is no such product at this address", _ADDRESS),
    "InvalidVersion": Refusal("request", "there is no such version of the API", _ADDRESS),
    "InvalidParameter*": Refusal("request", "a parameter is not valid", _REPORT),
    "Missing*": Refusal("request", "a parameter is missing", _REPORT),
    "UnsupportedHTTPMethod": Refusal("request", "the HTTP method is not taken", _REPORT),
    "UnsupportedParameter": Refusal("request", "a parameter is not taken", _REPORT),
    # Of both services.
    "isv.BUSINESS_LIMIT_CONTROL": Refusal(
        "rate_limit",
        "the number has had all that its carrier's rule allows (触发业务流控)",
        "wait: one a minute, five an hour, and a day's limit for a number",
    ),
    "isv.OUT_OF_SERVICE": Refusal("account", "the account is suspended (业务停机)", _PAY),
    "isv.AMOUNT_NOT_ENOUG*": Refusal("account", "the balance is too small (账户余额不足)", _PAY),
    "isv.ACCOUNT_*": Refusal("account", "the account does not exist or is abnormal (账户不存在或异常)", _SUPPORT),
    "isv.PRODUCT_UN*": Refusal(
        "account", "the service is not opened (产品未开通)", "the account's owner must open it in the console"
    ),
    # The documents write isp., though it is no fault of the provider's; others have seen isv.
    "isp.RAM_PERMISSION_DENY": Refusal("account", "the RAM user may not make this call (RAM权限不足)", _GRANT),
    "isv.RAM_PERMISSION_DENY": Refusal("account", "the RAM user may not make this call (RAM权限不足)", _GRANT),
    "isv.TEMPLATE_*": Refusal(
        "configuration", "the template or a variable of it is not valid (模板或变量不合法)", _VALUES
    ),
    "isv.PARAM_NOT_SUPPORT_URL": Refusal("configuration", "a variable holds a URL (变量不支持URL)", _VALUES),
    "isv.PARAM_LENGTH_LIMIT": Refusal("configuration", "a variable is too long (参数超出长度限制)", _VALUES),
    BAD_PARAMETERS: Refusal("configuration", "a parameter is not valid (参数异常)", _REPORT),
    BAD_NUMBER: Refusal("number", "the number is not valid (号码格式非法)", _OTHER_NUMBER),
    "isv.MOBILE_COUNT_OVER_LIMIT": Refusal("request", "there are too many numbers (手机号码数量超过限制)", _REPORT),
}

SMS_REFUSALS: Final[dict[str, Refusal]] = _COMMON | {
    "isv.DAY_LIMIT_CONTROL": Refusal(
        "quota",
        "the account's own limit of messages a day is used up (触发日发送限额)",
        "its owner must raise it in the console's security settings, or wait for tomorrow",
    ),
    "isv.MONTH_LIMIT_CONTROL": Refusal(
        "quota",
        "the account's own limit of messages a month is used up (触发月发送限额)",
        "its owner must raise it in the console's security settings, or wait for next month",
    ),
    "isv.SECURITY_FROZEN_ACCOUNT": Refusal("account", "the account is frozen (账号已被安全冻结)", _SUPPORT),
    "isv.DENY_IP_RANGE": Refusal(
        "account",
        "the caller's address lies outside the Chinese mainland (IP地址所在的地区被禁用)",
        "the operator must send from a mainland address",
    ),
    "isv.SMS_TEMPLATE_ILLEGAL": Refusal("configuration", "the template is not valid (模板不合法)", _TEMPLATE),
    "isv.SMS_SIGNATURE_*": Refusal(
        "configuration", "the signature is not valid, or not for this kind of template (签名不合法)", _SIGN
    ),
    "isv.SMS_SIGN_*": Refusal("configuration", "the signature may not be used (签名禁止使用)", _SIGN),
    "isv.SIGN_*": Refusal("configuration", "the signature is not usable (签名状态不可用)", _SIGN),
    "isv.SIGNATURE_BLACKLIST": Refusal("configuration", "the signature is on a blacklist (签名涉及违规信息)", _SIGN),
    "isv.SMS_CONTENT_*": Refusal(
        "configuration", "the text holds what may not be sent, or not as this kind (短信内容不合规)", _VALUES
    ),
    "isv.UNSUPPORTED_CONTENT": Refusal("configuration", "the text holds characters that are not sent", _VALUES),
    "isv.INVALID_JSON_PARAM": Refusal("configuration", "the variables are no JSON of texts (JSON参数不合法)", _VALUES),
    "isv.EXTEND_CODE_ERROR": Refusal(
        "configuration", "one extension code serves several signatures (扩展码使用错误)", _SIGN
    ),
    "isv.DOMESTIC_NUMBER_NOT_SUPPORTED": Refusal(
        "configuration", "a template for other regions can't serve a mainland number (不支持发送境内号码)", _TEMPLATE
    ),
    "isv.SMS_TEST_NUMBER_LIMIT": Refusal(
        "configuration",
        "the test signature sends to numbers alone that agreed to it",
        "the developer must use a signature of the account's own",
    ),
    "isv.BLACK_KEY_CONTROL_LIMIT": Refusal(
        "number", "a blacklist holds the message back (黑名单管控)", "the person at the form must give another number"
    ),
}

VOICE_REFUSALS: Final[dict[str, Refusal]] = _COMMON | {
    "isv.TTS_TEMPLATE_ILLEGAL": Refusal("configuration", "the TTS template is not valid (TTS模板不合法)", _TEMPLATE),
    "isv.VOICE_FILE_ILLEGAL": Refusal(
        "configuration",
        "the voice file is not valid (语音文件不合法)",
        "the developer must use the voice id of a file that is approved in the console",
    ),
    "isv.DISPLAY_NUMBER_ILLEGAL": Refusal(
        "configuration",
        "the number to show is not valid (号显不合法)",
        _SHOWN,
    ),
    "isv.BILLID_NOT_EXIST": Refusal(
        "configuration",
        "the number to show is not the account's (计费账号不存在)",
        _SHOWN,
    ),
    "BillidNotExist": Refusal(
        "configuration",
        "the number to show is not the account's (号码不存在)",
        _SHOWN,
    ),
    "isv.BLACK_KEY_CONTROL_LIMIT": Refusal(
        "configuration", "a variable holds a word of a blacklist (模板变量中存在黑名单关键字)", _VALUES
    ),
    "isv.VOICE_CALL_PERIOD_ERROR": Refusal(
        "configuration",
        "calls are not allowed at this hour (获取语音呼叫时段失败)",
        "the operator must send an SMS then",
    ),
    "isv.COMPLAINT_REJECT": Refusal(
        "number", "calls to the number are held back after complaints (防骚扰拦截)", _OTHER_NUMBER
    ),
    "ComplaintReject": Refusal(
        "number", "calls to the number are held back after complaints (投诉拦截)", _OTHER_NUMBER
    ),
    "InvalidParameters": Refusal("configuration", "a parameter is not valid (参数非法)", _REPORT),
}

# Documented, and yet no verdict: a fault of the provider's (isp.), a call that failed while it was being made, and a
# nonce that was used already. We use each once: who repeated our request got the first one through, perhaps.
_NO_VERDICT = ("isp.", "isv.VOICE_CALL_FAIL", "SignatureNonceUsed")


def row_of(code: str, rows: Mapping[str, Refusal]) -> Refusal | None:
    """Return the row of a code, or of the most particular family that it belongs to."""
    if code in rows:
        return rows[code]
    families = [family for family in rows if family.endswith("*") and code.startswith(family[:-1])]
    return rows[max(families, key=len)] if families else None


def says_nothing(code: str) -> bool:
    """Return whether a code leaves open what became of the request."""
    return code.startswith(_NO_VERDICT)
