"""Error codes of Alidayu: the document's table (业务错误码对照表), and that of the API gateway in front of it.

The API gateway names its reasons by phrases (older versions) or by words of six characters. Its flow control counts the
account's calls, so the category is `quota`: another gateway has its own limit.
"""

from __future__ import annotations

from typing import Final

from otpkit.errors import GatewayRejectedError
from otpkit.gateways.provider import Doubt, Provider, Refusal, documented

ALIDAYU: Final = Provider("alidayu", "Alidayu")

TOO_MANY_NUMBERS: Final = "50010"
BAD_DATE: Final = "80001"
BAD_PAGING: Final = "80002"

_DOCUMENT: Final = "《阿里云大鱼服务 API 使用文档》, 业务错误码对照表"
_GATEWAY_PAGE: Final = "https://help.aliyun.com/document_detail/43906.html"  # API网关错误代码表

# Both calls return these codes.
_BUSINESS: Final = {
    "50001": Refusal(
        "account",
        "the account is suspended (业务停机)",
        "its owner must top it up at market.aliyun.com",
    ),
    "50002": Refusal(
        "account",
        "the service is not opened (产品服务未开通)",
        "the account's owner must open it at dev.aliyun.com",
    ),
    "50003": Refusal(
        "account",
        "there is no such account (账户信息不存在)",
        "its owner must complete the registration at dev.aliyun.com",
    ),
    "50004": Refusal(
        "account",
        "the account is in an abnormal state (账户信息异常)",
        "its owner must contact Aliyun's support",
    ),
    "50009": Refusal(
        "number",
        "the number is not valid (手机号码格式错误)",
        "the person at the form must enter another mobile number",
    ),
    TOO_MANY_NUMBERS: Refusal(
        "request",
        "there are too many numbers (手机号码数量超过限制)",
        "the developer must pass at most 200 in a call",
    ),
    "70001": Refusal(
        "configuration",
        "the template is not valid (模板不合法)",
        "the developer must use the code of a template that is approved at dev.aliyun.com",
    ),
    "70002": Refusal(
        "configuration",
        "the signature is not valid (签名不合法)",
        "the developer must use a signature that is approved at dev.aliyun.com, without 【】",
    ),
    "70003": Refusal(
        "configuration",
        "a template variable is missing (短信模板变量缺少参数)",
        "the developer must pass every variable of the approved template, by its name there",
    ),
    BAD_DATE: Refusal(
        "request",
        "the date is out of range (查询时间非法)",
        "the developer must pass one of the last 30 days in China",
    ),
    BAD_PAGING: Refusal(
        "request",
        "the paging is not valid (分页参数不合法)",
        "the developer must pass a page from 1, and 1 to 50 rows a page",
    ),
    "99998": Refusal(
        "request",
        "a parameter is not valid (参数异常)",
        "the developer must check what was passed, and report it to otpkit if all of it is right",
    ),
}

BUSINESS_ERRORS: Final[dict[str, Refusal]] = documented(_DOCUMENT, _BUSINESS)

_KEYS: Final = "the operator must check app_key and app_secret, and remove spaces around them"
_OWNER: Final = "the account's owner must check the application in the console"
_BUY: Final = "the account's owner must buy more calls, or the operator must add another gateway"
_ADDRESS: Final = "the operator must check base_url"
_REPORT: Final = "the developer must report it to otpkit"
_ASK: Final = "the operator must check the records, and contact Aliyun's support if it continues"

_THROTTLED: Final = Refusal(
    "quota",
    "the application makes too many calls (流控)",
    "the operator must have the application's limit raised, or add another gateway",
)
_BAD_KEY: Final = Refusal("configuration", "the AppKey is not valid", _KEYS, concerns="gateway")
_BAD_SECRET: Final = Refusal("configuration", "the AppSecret is wrong", _KEYS, concerns="gateway")
_UNAUTHORIZED: Final = Refusal(
    "configuration", "the application may not call this API (未被授权)", _OWNER, concerns="gateway"
)
_EXHAUSTED: Final = Refusal("quota", "the calls that were bought are used up (调用次数已用完)", _BUY)
_EXPIRED: Final = Refusal("account", "the calls that were bought have expired (购买次数已过期)", _BUY)
_ARREARS: Final = Refusal("account", "the account is in arrears (用户已欠费)", "its owner must top it up")
_DENIED: Final = Refusal("account", "this host's address may not call the API", _OWNER)
_CLOSED: Final = Refusal("account", "the API's domain is closed", _OWNER)
_NO_API: Final = Refusal("request", "there is no such API at this address", _ADDRESS, concerns="gateway")
_MALFORMED: Final = Refusal("request", "the request is malformed", _REPORT)
_SIGNATURE: Final = Refusal("request", "a signature is required, or is not valid", _ADDRESS, concerns="gateway")

GATEWAY_ERRORS: Final[dict[str, Refusal]] = documented(
    _GATEWAY_PAGE,
    {
        **{f"Throttled by {whose} Flow Control": _THROTTLED for whose in ("USER", "APP", "API", "DOMAIN", "GROUP")},
        "TThrottled by GROUP Flow Control": _THROTTLED,  # The table has this spelling.
        "Throttled*": _THROTTLED,
        "T429*": _THROTTLED,
        "Quota Exhausted": _EXHAUSTED,
        "B403MQ": _EXHAUSTED,
        "Quota Expired": _EXPIRED,
        "B403ME": _EXPIRED,
        "User Arrears": _ARREARS,
        **dict.fromkeys(("B403OD", "B403MO"), _ARREARS),
        "B403MI": Refusal("account", "the calls that were bought are not valid", _BUY),
        "Invalid AppKey": _BAD_KEY,
        "A400IK": _BAD_KEY,
        "Invalid AppSecret": _BAD_SECRET,
        "A403IS": _BAD_SECRET,
        **dict.fromkeys(
            ("Unauthorized", "I403AA", "Expiry of Authorization", "A403EP", "A403PR", "A400MA", "A400AC", "A401AC"),
            _UNAUTHORIZED,
        ),
        **dict.fromkeys(("A403IP", "A403VN", "A403AC", "A403CO", "A403IN"), _DENIED),
        **dict.fromkeys(("B451DO", "B451GO"), _CLOSED),
        **dict.fromkeys(("Invalid Url", "Invalid Domain", "Invalid HttpMethod", "API Not Found"), _NO_API),
        **dict.fromkeys(("I404DO", "I404NF", "I404NR", "I404SR", "I405UM", "I410GG", "I403PT"), _NO_API),
        **dict.fromkeys(("Timestamp Expired", "Invalid Timestamp", "Empty Signature", "Nonce Used"), _SIGNATURE),
        **dict.fromkeys(("Invalid Signature*", "Invalid Content-MD5"), _SIGNATURE),
        **dict.fromkeys(("Empty Request Body", "Invalid Request Body", "Invalid Param Location"), _MALFORMED),
        **dict.fromkeys(("Unsupported Multipart", "I400HD", "I400MH", "I400BD", "I400PA", "I400RU"), _MALFORMED),
        **dict.fromkeys(("I413RL", "I413UL", "I400CT", "I400SG", "I400I5", "I400NC", "I400MP", "I400IP"), _MALFORMED),
        **dict.fromkeys(("I400JP", "A403FC", "X400PM", "X403DG"), _MALFORMED),
    },
)

# Each of these codes comes with a 5xx.
UNCERTAIN: Final[dict[str, Doubt]] = documented(
    _GATEWAY_PAGE,
    {
        **dict.fromkeys(("Internal Error", "X500ER", "X500ED", "X500AM"), Doubt("the API gateway failed", _ASK)),
        **dict.fromkeys(("Service Unavailable", "D503BB", "D503CB", "X503BZ"), Doubt("the API is too busy", _ASK)),
        **dict.fromkeys(
            ("Failed To Invoke Backend Service", "D504RE", "D504IL", "D504CO", "D504CS", "X504VE"),
            Doubt("the API gateway could not reach Alidayu", _ASK),
        ),
        **dict.fromkeys(("Async Service", "D504TO", "X504TO"), Doubt("Alidayu did not answer in time", _ASK)),
        **dict.fromkeys(("D502FC", "N502RE"), Doubt("Alidayu's answer was lost", _ASK)),
    },
)


def business_error(code: str) -> GatewayRejectedError:
    """Return the error for a code of the document's table."""
    return ALIDAYU.refused(BUSINESS_ERRORS[code], code)
