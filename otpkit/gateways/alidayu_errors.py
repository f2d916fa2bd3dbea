"""Why Alidayu refuses: the document's table of error codes (业务错误码对照表), and the errors made of it."""

from __future__ import annotations

from typing import Final

from otpkit.errors import GatewayRejectedError
from otpkit.gateways.provider import Provider, Refusal

ALIDAYU: Final = Provider("alidayu", "Alidayu")

BAD_NUMBER: Final = "50009"
TOO_MANY_NUMBERS: Final = "50010"
BAD_DATE: Final = "80001"
BAD_PAGING: Final = "80002"


# Of both calls.
BUSINESS_ERRORS: Final[dict[str, Refusal]] = {
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
    BAD_NUMBER: Refusal(
        "number",
        "the number is not valid (手机号码格式错误)",
        "the person at the form must give another mobile number",
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
        "the date can't be asked for (查询时间非法)",
        "the developer must ask for one of the last 30 days in China",
    ),
    BAD_PAGING: Refusal(
        "request",
        "the paging is not valid (分页参数不合法)",
        "the developer must ask for page 1 or later, and for 1 to 50 rows a page",
    ),
    "99998": Refusal(
        "request",
        "a parameter is not valid (参数异常)",
        "the developer must check what was passed, and report it to otpkit if all of it is right",
    ),
}


def business_error(code: str) -> GatewayRejectedError:
    """Return the error for a code of the table."""
    return ALIDAYU.refused(BUSINESS_ERRORS[code], code)
