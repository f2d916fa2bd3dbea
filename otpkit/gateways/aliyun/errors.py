"""Error codes of Alibaba Cloud's SMS and voice APIs, from the tables of its documents, each with its remedy.

A code that ends in `*` matches every code with that prefix. Only codes decide the category: `Message` may contain a
number, and its wording changes. Codes of receipts (回执错误码) are not here: they come after a message was accepted.

A limit for each phone is `rate_limit`: another gateway must not be used to bypass it. A limit for the account is
`quota`, and so is the throttling of its calls: another gateway has its own limit.
"""

from __future__ import annotations

import re
from typing import Final

from otpkit.errors import RejectionCategory
from otpkit.gateways.provider import DAY, HOUR, MINUTE, Doubt, Provider, Refusal, documented
from otpkit.gateways.provider import row_of as row_of

SMS: Final = Provider("aliyun", "Aliyun SMS")
VOICE: Final = Provider("aliyun-voice", "Aliyun Voice")

BAD_PARAMETERS: Final = "isv.INVALID_PARAMETERS"
NO_RECORD: Final = frozenset({"100008", "100008.0"})  # 数据不存在, with HTTP 400. This is an answer, not a refusal.

_PUBLIC_PAGE: Final = "https://error-center.alibabacloud.com/status/product/Public"
_CLIENT_PAGE: Final = "https://help.aliyun.com/document_detail/51132.html"  # 客户端错误码
_SMS_PAGE: Final = "https://help.aliyun.com/document_detail/101346.html"  # 国内消息API错误码
_ELSEWHERE_PAGE: Final = "https://help.aliyun.com/zh/sms/developer-reference/error-codes"  # 国际/港澳台短信错误码
_VOICE_PAGE: Final = "https://help.aliyun.com/document_detail/178344.html"  # 语音服务API错误码
_VOICE_LIST: Final = "https://help.aliyun.com/zh/vms/developer-reference/api-dyvmsapi-2017-05-25-errorcodes"

_PAY = "its owner must top it up in the console's expense centre"
_SUPPORT = "its owner must contact Aliyun's support"
_TEMPLATE = "the developer must use the code of a template that is approved in the console"
_SIGN = "the developer must use a signature that is approved and filed with the carriers, without 【】"
_VALUES = "the developer must pass every variable of the approved template, each within its rules there"
_REPORT = "the developer must check what was passed, and report it to otpkit if all of it is right"
_KEY = "the operator must check the AccessKey, or the credentials function"
_GRANT = "the account's owner must grant the RAM user this call"
_ADDRESS = "the operator must check base_url"
_SHOWN = "the developer must set called_show_number to a number that the account bought, or leave it out"
_OTHER_NUMBER = "the person at the form must enter another mobile number"
_EXTENSION = "its owner must have the signature's extension code (扩展码) checked by Aliyun's support"
_OPEN = "the account's owner must open it in the console"
_SENDER_ID = "the developer must use a sender id that is approved in the console, as it is written there"
_OWN = "the developer must use a signature and a template of the account's own"
_FASTER = "its owner must have the limit raised, or the operator must add another gateway"
_ASK = "the operator must check the records, and contact Aliyun's support if it continues"


def _request(problem: str, remedy: str = _REPORT) -> Refusal:
    """Return a row for a fault in every request, independent of its message."""
    return Refusal("request", problem, remedy, concerns="gateway")


# The gateway in front of all APIs returns these codes, with HTTP 400, 403 or 404.
_PUBLIC: Final = documented(
    _PUBLIC_PAGE,
    {
        "Throttling*": Refusal("quota", "the account makes too many calls (流控)", _FASTER),
        "Forbidden.AccessKeyDisabled": Refusal("account", "the AccessKey is disabled", _KEY),
        "InvalidAccessKeyId*": Refusal("account", "the AccessKey does not exist or is disabled", _KEY),
        "SignatureDoesNotMatch": Refusal("account", "the signature is wrong: the secret is not this AccessKey's", _KEY),
        "InvalidSecurityToken*": Refusal("account", "the STS token has expired or is not this AccessKey's", _KEY),
        "MissingSecurityToken": Refusal("account", "a temporary AccessKey was sent without its STS token", _KEY),
        "InvalidTimeStamp*": Refusal(
            "account", "the date is off by more than 15 minutes", "the operator must set this host's or Redis's clock"
        ),
        "NoPermission*": Refusal("account", "the RAM user may not make this call", _GRANT),
        "IncompleteSignature": _request("the signature is malformed"),
        "InvalidSignatureMethod": _request("the signature's method is not accepted"),
        "InvalidApi*": _request("there is no such call", _ADDRESS),
        "InvalidProduct*": _request("there is no such product at this address", _ADDRESS),
        "InvalidProtocol.NeedSsl": _request("the API accepts HTTPS only", _ADDRESS),
        "InvalidRegion.NotFound": _request("there is no such region", _ADDRESS),
        "InvalidVersion": _request("there is no such version of the API", _ADDRESS),
        "NoSuchVersion": _request("there is no such version of the API", _ADDRESS),
        "ContentLengthDoesNotMatch": _request("the length is not the body's"),
        "ContentMD5NotMatched": _request("the MD5 is not the body's"),
        "InvalidParameter*": Refusal("request", "a parameter is not valid", _REPORT),
        "InvalidParameter.Format": _request("the format of the answer is not known"),
        "InvalidParameter.Accept": _request("the format of the answer is not known"),
        "Missing*": Refusal("request", "a parameter is missing", _REPORT),
        "MissingAccessKeyId": _request("the AccessKey is missing"),
    },
)
_CLIENT: Final = documented(
    _CLIENT_PAGE,
    {
        "IllegalTimestamp": _request("the date is missing or malformed"),
        "InvalidAction*": _request("there is no such call", _ADDRESS),
        "UnsupportedOperation": _request("there is no such call", _ADDRESS),
        "InvalidOwner*": _request("the owner is not valid"),
        "UnsupportedHTTPMethod": _request("the HTTP method is not accepted"),
        "UnsupportedParameter": Refusal("request", "a parameter is not accepted", _REPORT),
        "ActionUnauthorized": Refusal("account", "the account may not make this call", _GRANT),
        "Forbidden*": Refusal("account", "the account or RAM user may not make this call", _GRANT),
        "Forbedden.NotSupportRAM": Refusal("account", "a RAM user may not make this call", _GRANT),
        "Forbidden.RiskControl": Refusal("account", "the account is blocked by risk control", _SUPPORT),
        "Forbidden.UserVerification": Refusal(
            "account", "the account is not verified (无实名验证)", "its owner must verify it in the console"
        ),
        "InsufficientBalance": Refusal("account", "the balance is too small (余额不足)", _PAY),
    },
)
# Both services list these codes in their own tables.
_BOTH: Final = {
    "isv.BUSINESS_LIMIT_CONTROL": Refusal(
        "rate_limit",
        "the number has reached its carrier's limit (触发业务流控)",
        "wait for its window to end",
    ),
    "isv.OUT_OF_SERVICE": Refusal("account", "the account is suspended (业务停机)", _PAY),
    "isv.AMOUNT_NOT_ENOUG*": Refusal("account", "the balance is too small (账户余额不足)", _PAY),
    "isv.ACCOUNT_*": Refusal("account", "the account does not exist or is abnormal (账户不存在或异常)", _SUPPORT),
    "isv.PRODUCT_UN*": Refusal("account", "the service is not opened (产品未开通)", _OPEN),
    # The documents write isp., the prefix of provider faults. Users have reported isv., so both are listed.
    "isp.RAM_PERMISSION_DENY": Refusal("account", "the RAM user may not make this call (RAM权限不足)", _GRANT),
    "isv.RAM_PERMISSION_DENY": Refusal("account", "the RAM user may not make this call (RAM权限不足)", _GRANT),
    "isv.TEMPLATE_*": Refusal(
        "configuration", "the template or a variable of it is not valid (模板或变量不合法)", _VALUES
    ),
    "isv.TEMPLATE_MISSING_PARAMETERS": Refusal(
        "configuration", "a variable of the template is missing (模板变量中存在未赋值变量)", _VALUES
    ),
    "isv.TEMPLATE_PARAMS_ILLEGAL": Refusal(
        "configuration", "a variable does not match its type (变量与所选属性类型不匹配)", _VALUES
    ),
    "isv.PARAM_NOT_SUPPORT_URL": Refusal("configuration", "a variable contains a URL (变量不支持URL)", _VALUES),
    "isv.PARAM_LENGTH_LIMIT": Refusal("configuration", "a variable is too long (参数超出长度限制)", _VALUES),
    BAD_PARAMETERS: Refusal("configuration", "a parameter is not valid (参数异常)", _REPORT),
    "isv.MOBILE_NUMBER_ILLEGAL": Refusal("number", "the number is not valid (号码格式非法)", _OTHER_NUMBER),
    "isv.MOBILE_COUNT_OVER_LIMIT": Refusal("request", "there are too many numbers (手机号码数量超过限制)", _REPORT),
}

# The calls that apply for signatures, templates and short links return these codes.
_ANOTHER_CALL: Final = Refusal("configuration", "the code belongs to another call", _ADDRESS)
_UNFIT_SIGN: Final = Refusal("configuration", "the signature is not valid (签名不合法)", _SIGN)


def _elsewhere(category: RejectionCategory, problem: str, remedy: str) -> Refusal:
    """Return a row for a fault in messages to other regions. Messages to the mainland are sent in spite of it."""
    return Refusal(category, problem, remedy, concerns="message")


# The codes of messages to other regions (国际/港澳台).
_ELSEWHERE: Final = documented(
    _ELSEWHERE_PAGE,
    {
        "FORBIDDEN_ACTION": _elsewhere("account", "the account may not make this call (用户接口降级)", _SUPPORT),
        "OUT_OF_SERVICE": _elsewhere("account", "messages abroad are suspended (国际短信业务停机)", _PAY),
        "ACCOUNT_NOT_EXISTS": _elsewhere("account", "the account does not exist (账户信息不存在)", _SUPPORT),
        "ACCOUNT_ILLEGAL": _elsewhere("account", "the account is on a blacklist (账号被列入黑名单)", _SUPPORT),
        "AMOUNT_NOT_ENOUGH": _elsewhere("account", "the package or the balance is used up (资源包或额度不足)", _PAY),
        "RAM_PERMISSION_DENY": _elsewhere("account", "the RAM user may not make this call (RAM校验失败)", _GRANT),
        "PRODUCT_NOT_SUBSCRIBED": _elsewhere("account", "messages abroad are not opened (短信服务没开通)", _OPEN),
        "QPS_LIMIT_CONTROL": _elsewhere("quota", "too many messages a second (到达系统QPS发送限制)", _FASTER),
        "INVALID_SENDERID": Refusal(
            "configuration", "the sender id is not valid or not approved (SenderID无效)", _SENDER_ID
        ),
        "SENDERID_BL*": Refusal("configuration", "the sender id is blocked", _SENDER_ID),
        "SMS_SIGN_NAME_ILLEGAL": Refusal("configuration", "the signature is not valid (签名不合法)", _SIGN),
        "SMS_CONTENT_CODE_ILLEGAL": Refusal("configuration", "the template is not valid (模板不合法)", _TEMPLATE),
        "SMS_CONTENT_ILLEGAL": Refusal("configuration", "the text may not be sent (短信内容不合法)", _VALUES),
        "CONTENT_MISSING_PARAMETERS": Refusal("configuration", "a variable is missing (模板变量缺少参数)", _VALUES),
        "BLACK_KEY_CONTROL_LIMIT": Refusal(
            "configuration", "a variable contains a blacklisted word (模板变量中存在黑名单关键字)", _VALUES
        ),
        "PARAM_LENGTH_LIMIT": Refusal("configuration", "a variable is too long (变量长度受限)", _VALUES),
        "INVALID_JSON_PARAM": Refusal("configuration", "the variables are not JSON (JSON串解析错误)", _VALUES),
        "INVALID_PARAMETERS": Refusal("configuration", "a parameter is not valid (输入的参数异常)", _REPORT),
        "NOT_SUPPORTED_COUNTRY": Refusal(
            "configuration",
            "the region is not served (暂不支持该国家)",
            "the operator must route this region to another gateway",
        ),
        "MOBILE_NUMBER_ILLEGAL": Refusal("number", "the number is not valid (手机号码格式错误)", _OTHER_NUMBER),
        # Another gateway must not be used to bypass Aliyun's protection of the number.
        "SMS_SECURITY_INTERCEPTED": Refusal("number", "Aliyun blocks it as a risk (风控策略拦截)", _OTHER_NUMBER),
        "MOBILE_COUNT_OVER_LIMIT": Refusal("request", "there are too many numbers (手机号码数量超过限制)", _REPORT),
        "QUERY_DATE_ILLEGAL": Refusal("request", "the date is not valid (查询时间非法)", _REPORT),
    },
)

SMS_REFUSALS: Final[dict[str, Refusal]] = (
    _PUBLIC
    | _CLIENT
    | _ELSEWHERE
    | documented(
        _SMS_PAGE,
        _BOTH
        | {
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
                "messages to mainland numbers are not accepted from an address outside (IP地址所在的地区被禁用)",
                "the operator must send from a mainland address",
                concerns="message",
            ),
            "isv.SMS_TEMPLATE_ILLEGAL": Refusal("configuration", "the template is not valid (模板不合法)", _TEMPLATE),
            "isv.SMS_SIGNATURE_*": _UNFIT_SIGN,
            "isv.SMS_SIGNATURE_SCENE_ILLEGAL": Refusal(
                "configuration", "the signature is not for this kind of template (签名和模板类型不一致)", _SIGN
            ),
            "isv.SMS_SIGN_*": Refusal("configuration", "the signature may not be used (签名禁止使用)", _SIGN),
            "isv.SMS_SIGN_EMOJI_ILLEGAL": Refusal("configuration", "the signature contains an emoji", _SIGN),
            "isv.SIGN_*": Refusal("configuration", "the signature is not usable (签名状态不可用)", _SIGN),
            "isv.SIGN_NAME_ILLEGAL": _UNFIT_SIGN,
            "isv.SIGN_SOURCE_ILLEGAL": Refusal("configuration", "the signature's source is not accepted", _SIGN),
            "isv.SIGN_OVER_LIMIT": Refusal("configuration", "the signature is too long", _SIGN),
            "isv.SIGNATURE_BLACKLIST": Refusal("configuration", "the signature is on a blacklist (违规信息)", _SIGN),
            "SIGNATURE_BLACKLIST": Refusal("configuration", "the signature is on a blacklist (违规信息)", _SIGN),
            "isv.SMS_CONTENT_*": Refusal(
                "configuration",
                "the text contains content that may not be sent, or not as this kind (短信内容不合规)",
                _VALUES,
            ),
            "isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE": Refusal(
                "configuration", "the text does not match its template's kind (短信内容和模板属性不匹配)", _TEMPLATE
            ),
            "isv.UNSUPPORTED_CONTENT": Refusal(
                "configuration", "the text contains unsupported characters (不支持的短信内容)", _VALUES
            ),
            "isv.INVALID_JSON_PARAM": Refusal(
                "configuration", "the variables are not a JSON object of texts (JSON参数不合法)", _VALUES
            ),
            "template_parameter_count_illegal": Refusal(
                "configuration",
                "a template for codes takes one variable only (验证码模板仅支持一个验证码作为变量)",
                "the developer must use a template with one variable",
            ),
            "isv.TEMPLATE_OVER_LIMIT": Refusal("configuration", "the template is too long", _TEMPLATE),
            "isv.EXTEND_CODE_ERROR": Refusal(
                "configuration", "one extension code serves several signatures (扩展码使用错误)", _EXTENSION
            ),
            "isv.ONE_CODE_MULTIPLE_SIGN": Refusal(
                "configuration", "the extension code belongs to another signature (一码多签)", _EXTENSION
            ),
            "isv.CODE_EXCEED_LIMIT": Refusal(
                "configuration", "there is no extension code left for the signature (扩展码已超过上限)", _EXTENSION
            ),
            "isv.CODE_ERROR": Refusal("configuration", "the extension code is not usable (扩展码不可用)", _EXTENSION),
            "isv.DOMESTIC_NUMBER_NOT_SUPPORTED": Refusal(
                "configuration", "a template for other regions can't serve a mainland number", _TEMPLATE
            ),
            "isv.SMS_TEST_NUMBER_LIMIT": Refusal(
                "configuration", "the test signature sends only to numbers that agreed to it", _OWN
            ),
            "isv.SMS_TEST_SIGN_TEMPLATE_LIMIT": Refusal(
                "configuration", "the test signature goes with the test template only (测试模板和签名限制)", _OWN
            ),
            "isv.SMS_TEST_TEMPLATE_PARAMS_ILLEGAL": Refusal(
                "configuration", "the test template takes 4 to 6 digits (测试专用模板中的变量仅支持4~6位纯数字)", _OWN
            ),
            "isv.BLACK_KEY_CONTROL_LIMIT": Refusal(
                "number", "a blacklist blocks the message (黑名单管控)", _OTHER_NUMBER
            ),
            "isv.CUSTOMER_REFUSED": Refusal(
                "number", "the number does not accept such messages (用户已退订)", _OTHER_NUMBER
            ),
            **dict.fromkeys(
                (
                    *("isv.SIGN_COUNT_OVER_LIMIT", "isv.SIGN_FILE_LIMIT", "isv.TEMPLATE_COUNT_OVER_LIMIT"),
                    *("isv.SMS_OVER_LIMIT", "isv.ERROR_SIGN_NOT_DELETE", "isv.ERROR_SIGN_NOT_MODIFY"),
                    *("isv.ERROR_TEMPLATE_NOT_DELETE", "isv.ERROR_TEMPLATE_NOT_MODIFY", "isv.ERROR_EMPTY_FILE"),
                    *("isv.SHORTURL_OVER_LIMIT", "isv.NO_AVAILABLE_SHORT_URL", "isv.SHORTURL_NAME_ILLEGAL"),
                    *("isv.SOURCEURL_OVER_LIMIT", "isv.SHORTURL_TIME_ILLEGAL", "isv.SHORTURL_STILL_AVAILABLE"),
                    *("isv.SHORTURL_DOMAIN_EMPTY", "isv.PHONENUMBERS_OVER_LIMIT"),
                ),
                _ANOTHER_CALL,
            ),
        },
    )
)

VOICE_REFUSALS: Final[dict[str, Refusal]] = (
    _PUBLIC
    | _CLIENT
    | documented(
        _VOICE_PAGE,
        _BOTH
        | {
            "isv.TTS_TEMPLATE_ILLEGAL": Refusal(
                "configuration", "the TTS template is not valid (TTS模板不合法)", _TEMPLATE
            ),
            "isv.TEMPLATE_ILLEGAL": Refusal("configuration", "the template is not valid (模板非法或不存在)", _TEMPLATE),
            "isv.VOICE_FILE_ILLEGAL": Refusal(
                "configuration",
                "the voice file is not valid (语音文件不合法)",
                "the developer must use the voice id of a file that is approved in the console",
            ),
            "isv.DISPLAY_NUMBER_ILLEGAL": Refusal(
                "configuration", "the number to show is not valid (号显不合法)", _SHOWN
            ),
            "isv.BILLID_NOT_EXIST": Refusal(
                "configuration", "the number to show is not the account's (计费账号不存在)", _SHOWN
            ),
            "isv.BLACK_KEY_CONTROL_LIMIT": Refusal(
                "configuration", "a variable contains a blacklisted word (模板变量中存在黑名单关键字)", _VALUES
            ),
            "isv.VOICE_CALL_PERIOD_ERROR": Refusal(
                "configuration",
                "calls are not allowed at this hour (获取语音呼叫时段失败)",
                "the operator must send an SMS then",
            ),
            "isv.COMPLAINT_REJECT": Refusal(
                "number", "calls to the number are blocked after complaints (防骚扰拦截)", _OTHER_NUMBER
            ),
            **dict.fromkeys(("isv.VOICE_ROBOT_CALLEE_LIMIT", "isv.VOICE_ROBOT_NOT_PERIOD"), _ANOTHER_CALL),
        },
    )
    | documented(
        _VOICE_LIST,
        {
            "BillidNotExist": Refusal("configuration", "the number to show is not the account's (号码不存在)", _SHOWN),
            "ComplaintReject": Refusal(
                "number", "calls to the number are blocked after complaints (投诉拦截)", _OTHER_NUMBER
            ),
            "InvalidParameter.date": Refusal("request", "the date is not valid (日期无效)", _REPORT),
            "InvalidParameters": Refusal("configuration", "a parameter is not valid (参数非法)", _REPORT),
            "isv.AMOUNT_NOT_ENOUG": Refusal("account", "the balance is too small (账户余额不足)", _PAY),
            "isv.ASR_MODEL_ERROR": _ANOTHER_CALL,
            "isp.RES_OWNER_ID_UNKNOWN": Refusal("account", "the account is not found (找不到资源归属)", _SUPPORT),
            "isp.USER_ASSERT_NOT_EXIST": Refusal("account", "the account is not found (用户信息获取失败)", _SUPPORT),
            "isp.USER_NOT_EXIST": Refusal("account", "the account is not found (用户信息不存在)", _SUPPORT),
        },
    )
)

UNCERTAIN: Final[dict[str, Doubt]] = (
    documented(
        _PUBLIC_PAGE,
        {
            "InternalError": Doubt("an error occurred at Aliyun (内部错误)", _ASK),
            "ServiceUnavailable": Doubt("the service is not available", _ASK),
            "UnknownError": Doubt("an unknown error occurred (未知错误)", _ASK),
            # otpkit uses each nonce once. If Aliyun has seen it, the first copy of the request may have arrived.
            "SignatureNonceUsed": Doubt("the request was made before", _ASK),
        },
    )
    | documented(
        _SMS_PAGE,
        {
            "isp.*": Doubt("an error occurred at Aliyun", _ASK),
            "isp.SYSTEM_ERROR": Doubt("an error occurred at Aliyun (系统错误)", _ASK),
            "isp.GATEWAY_ERROR": Doubt("the module that sends did not answer (调用发送应用模块失败)", _ASK),
        },
    )
    | documented(
        _ELSEWHERE_PAGE,
        {
            "SYSTEM_ERROR": Doubt("an error occurred at Aliyun (内部系统错误)", _ASK),
            "ONLINE_BILLING_FAILED": Doubt("the charge failed, or an error occurred at Aliyun (在线计费失败)", _ASK),
            "DATA_NOT_EXIST": Doubt("there is no such record yet (短信记录不存在)", _ASK),
        },
    )
    | documented(_VOICE_LIST, {"isp.UNKNOWN": Doubt("an unknown error occurred (未知异常)", _ASK)})
    | documented(_VOICE_PAGE, {"isv.VOICE_CALL_FAIL": Doubt("the call failed while it was made (呼叫发起失败)", _ASK)})
)

_LEVEL: Final = re.compile("(分钟|小时|[天日])级流控")
_WINDOWS: Final = {"分钟": MINUTE, "小时": HOUR}


def says_nothing(code: str) -> bool:
    """Return whether the outcome of the request is uncertain after this code."""
    return row_of(code, UNCERTAIN) is not None


def flow_control_window(message: object) -> int | None:
    """Return the window, in seconds, of the limit in a text like `触发天级流控Permits:10`, or None.

    For messages a day is the last 24 hours (https://help.aliyun.com/document_detail/2881383.html). For calls it is the
    24 hours after the first call. Both have ended after a whole window.
    """
    levels = _LEVEL.findall(message) if isinstance(message, str) else []
    return max((_WINDOWS.get(level, DAY) for level in levels), default=None)
