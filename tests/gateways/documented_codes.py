"""The error codes in the providers' documents that a message or a call may receive, by category.

They are copied from the documents, not from the package's tables, so that a test can compare the two. After a code in
`uncertain` the message may or may not have been sent.
"""

from __future__ import annotations

from typing import Final

Codes = dict[str, list[str]]


def _words(text: str) -> list[str]:
    return text.split()


def refusals(*lists: Codes) -> list[tuple[str, str]]:
    """Return each code after which nothing was sent, with its category."""
    found = {code: category for listed in lists for category, codes in listed.items() for code in codes}
    return [(code, category) for code, category in found.items() if category != "uncertain"]


# 《阿里云大鱼服务 API 使用文档》, 业务错误码对照表, for both calls.
ALIDAYU: Final[Codes] = {
    "account": _words("50001 50002 50003 50004"),
    "configuration": _words("70001 70002 70003"),
    "number": ["50009"],
    "request": _words("50010 80001 80002 99998"),
}

# help.aliyun.com/document_detail/43906.html, API网关错误代码表: the older phrases, and the codes in X-Ca-Error-Code.
API_GATEWAY: Final[Codes] = {
    "quota": [
        *(f"Throttled by {whose} Flow Control" for whose in ("USER", "APP", "API", "DOMAIN", "GROUP")),
        *("TThrottled by GROUP Flow Control", "Quota Exhausted", "B403MQ"),
        *_words("T429ID T429IN T429GR T429PA T429PR T429SR T429MR"),
    ],
    "account": [
        *("User Arrears", "Quota Expired", "B403ME", "B403MI", "B403OD", "B403MO", "B451DO", "B451GO"),
        *_words("A403IP A403VN A403AC A403CO A403IN"),
    ],
    "configuration": [
        *("Invalid AppKey", "Invalid AppSecret", "Unauthorized", "Expiry of Authorization"),
        *_words("A400IK A403IS I403AA A403EP A403PR A400MA A400AC A401AC"),
    ],
    "request": [
        *("Empty Request Body", "Invalid Request Body", "Invalid Param Location", "Unsupported Multipart"),
        *("Invalid Url", "Invalid Domain", "Invalid HttpMethod", "API Not Found"),
        *("Timestamp Expired", "Invalid Timestamp", "Empty Signature", "Nonce Used", "Invalid Content-MD5"),
        "Invalid Signature, Server StringToSign:GET#x",
        *_words("I400HD I400MH I400BD I400PA I405UM I400RU I403PT I413RL I413UL I400CT I404DO I410GG I404NF"),
        *_words("I404NR"),
        *_words("I404SR I400SG I400I5 I400NC I400MP I400IP I400JP A403FC X400PM X403DG"),
    ],
    "uncertain": [
        *("Internal Error", "Failed To Invoke Backend Service", "Service Unavailable", "Async Service"),
        *_words("D504RE D504IL D504CO D504CS D504TO D502FC D503BB D503CB N502RE"),
        *_words("X500ER X500ED X500AM X503BZ X504VE X504TO"),
    ],
}

# The codes of all APIs of Aliyun: error-center.alibabacloud.com/status/product/Public,
# help.aliyun.com/document_detail/51132.html.
ALIYUN_PUBLIC: Final[Codes] = {
    "quota": _words("Throttling Throttling.User Throttling.Api Throttling.API"),
    "account": [
        *_words("InvalidAccessKeyId.NotFound InvalidAccessKeyId.Inactive Forbidden.AccessKeyDisabled"),
        *_words("SignatureDoesNotMatch InvalidTimeStamp.Format InvalidTimeStamp.Expired MissingSecurityToken"),
        *(f"InvalidSecurityToken.{what}" for what in ("Expired", "Malformed", "MismatchWithAccessKey")),
        *_words("Forbidden Forbidden.RAM Forbidden.RiskControl Forbidden.UserVerification"),
        *_words("Forbidden.InstanceNotFound"),
        *_words("Forbedden.NotSupportRAM ActionUnauthorized InsufficientBalance NoPermission"),
    ],
    "request": [
        *_words("MissingParameter MissingPhoneNumbers MissingAccessKeyId InvalidParameter InvalidParameter.Format"),
        *_words("InvalidParameter.Accept IncompleteSignature InvalidSignatureMethod InvalidVersion NoSuchVersion"),
        *_words("InvalidAction InvalidAction.NotFound InvalidApi.NotFound InvalidProduct.NotFound"),
        *_words("InvalidProtocol.NeedSsl InvalidRegion.NotFound ContentLengthDoesNotMatch ContentMD5NotMatched"),
        *_words("IllegalTimestamp InvalidOwner InvalidOwnerId InvalidOwnerAccount UnsupportedHTTPMethod"),
        *_words("UnsupportedParameter UnsupportedOperation"),
    ],
    "uncertain": _words("SignatureNonceUsed InternalError ServiceUnavailable UnknownError"),
}

# help.aliyun.com/document_detail/101346.html, 国内消息API错误码.
ALIYUN_SMS: Final[Codes] = {
    "rate_limit": ["isv.BUSINESS_LIMIT_CONTROL"],
    "quota": _words("isv.DAY_LIMIT_CONTROL isv.MONTH_LIMIT_CONTROL"),
    "account": [
        *_words("isv.OUT_OF_SERVICE isv.PRODUCT_UN_SUBSCRIPT isv.PRODUCT_UNSUBSCRIBE isv.ACCOUNT_NOT_EXISTS"),
        *_words("isv.ACCOUNT_ABNORMAL isv.AMOUNT_NOT_ENOUGH isv.SECURITY_FROZEN_ACCOUNT isv.DENY_IP_RANGE"),
        "isp.RAM_PERMISSION_DENY",
    ],
    "configuration": [
        *_words("isv.SMS_SIGNATURE_SCENE_ILLEGAL isv.SMS_SIGNATURE_ILLEGAL isv.SMS_TEMPLATE_ILLEGAL"),
        *_words("isv.EXTEND_CODE_ERROR isv.ONE_CODE_MULTIPLE_SIGN isv.CODE_EXCEED_LIMIT isv.CODE_ERROR"),
        *_words("isv.SIGN_STATE_ILLEGAL isv.SIGN_NAME_ILLEGAL isv.SIGN_SOURCE_ILLEGAL isv.SIGN_OVER_LIMIT"),
        *_words("SIGNATURE_BLACKLIST isv.SIGNATURE_BLACKLIST isv.SMS_SIGN_ILLEGAL isv.SMS_SIGN_EMOJI_ILLEGAL"),
        *_words("isv.DOMESTIC_NUMBER_NOT_SUPPORTED isv.SMS_CONTENT_ILLEGAL isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE"),
        *_words("isv.UNSUPPORTED_CONTENT isv.INVALID_PARAMETERS isv.INVALID_JSON_PARAM isv.PARAM_LENGTH_LIMIT"),
        *_words("isv.PARAM_NOT_SUPPORT_URL isv.TEMPLATE_MISSING_PARAMETERS isv.TEMPLATE_PARAMS_ILLEGAL"),
        *_words("isv.TEMPLATE_OVER_LIMIT template_parameter_count_illegal isv.SMS_TEST_NUMBER_LIMIT"),
        *_words("isv.SMS_TEST_SIGN_TEMPLATE_LIMIT isv.SMS_TEST_TEMPLATE_PARAMS_ILLEGAL"),
        # The codes of calls that apply for signatures, templates and short links.
        *_words("isv.SIGN_COUNT_OVER_LIMIT isv.TEMPLATE_COUNT_OVER_LIMIT isv.SIGN_FILE_LIMIT isv.SMS_OVER_LIMIT"),
        *_words("isv.ERROR_SIGN_NOT_DELETE isv.ERROR_SIGN_NOT_MODIFY isv.ERROR_TEMPLATE_NOT_DELETE"),
        *_words("isv.ERROR_TEMPLATE_NOT_MODIFY isv.ERROR_EMPTY_FILE isv.SHORTURL_OVER_LIMIT"),
        *_words("isv.NO_AVAILABLE_SHORT_URL isv.SHORTURL_NAME_ILLEGAL isv.SOURCEURL_OVER_LIMIT"),
        *_words("isv.SHORTURL_TIME_ILLEGAL isv.SHORTURL_STILL_AVAILABLE isv.SHORTURL_DOMAIN_EMPTY"),
        "isv.PHONENUMBERS_OVER_LIMIT",
    ],
    "number": _words("isv.MOBILE_NUMBER_ILLEGAL isv.BLACK_KEY_CONTROL_LIMIT isv.CUSTOMER_REFUSED"),
    "request": ["isv.MOBILE_COUNT_OVER_LIMIT"],
    "uncertain": _words("isp.SYSTEM_ERROR isp.GATEWAY_ERROR"),
}

# help.aliyun.com/zh/sms/developer-reference/error-codes, 国际/港澳台短信错误码, and its older edition
# help.aliyun.com/zh/sms/error-code-intl: the codes of messages to other regions, without the prefix isv.
ALIYUN_SMS_ELSEWHERE: Final[Codes] = {
    "quota": ["QPS_LIMIT_CONTROL"],
    "account": [
        *_words("FORBIDDEN_ACTION OUT_OF_SERVICE ACCOUNT_NOT_EXISTS ACCOUNT_ILLEGAL AMOUNT_NOT_ENOUGH"),
        *_words("RAM_PERMISSION_DENY PRODUCT_NOT_SUBSCRIBED"),
    ],
    "configuration": [
        *_words("INVALID_SENDERID SMS_CONTENT_CODE_ILLEGAL SMS_SIGN_NAME_ILLEGAL CONTENT_MISSING_PARAMETERS"),
        *_words("INVALID_PARAMETERS INVALID_JSON_PARAM PARAM_LENGTH_LIMIT SMS_CONTENT_ILLEGAL"),
        *_words("BLACK_KEY_CONTROL_LIMIT NOT_SUPPORTED_COUNTRY"),
        "SENDERID_BL",  # The beginning of the code for a blocked sender id.
    ],
    "number": _words("MOBILE_NUMBER_ILLEGAL SMS_SECURITY_INTERCEPTED"),
    "request": _words("MOBILE_COUNT_OVER_LIMIT QUERY_DATE_ILLEGAL"),
    "uncertain": _words("SYSTEM_ERROR ONLINE_BILLING_FAILED DATA_NOT_EXIST"),
}

# help.aliyun.com/document_detail/178344.html, and the list of Dyvmsapi 2017-05-25 next to it.
ALIYUN_VOICE: Final[Codes] = {
    "rate_limit": ["isv.BUSINESS_LIMIT_CONTROL"],
    "account": [
        *_words("isv.OUT_OF_SERVICE isv.PRODUCT_UN_SUBSCRIPT isv.PRODUCT_UNSUBSCRIBE isv.ACCOUNT_NOT_EXISTS"),
        *_words("isv.ACCOUNT_ABNORMAL isv.AMOUNT_NOT_ENOUGH isv.AMOUNT_NOT_ENOUG isp.RAM_PERMISSION_DENY"),
        *_words("isp.RES_OWNER_ID_UNKNOWN isp.USER_ASSERT_NOT_EXIST isp.USER_NOT_EXIST"),
    ],
    "configuration": [
        *_words("isv.TTS_TEMPLATE_ILLEGAL isv.TEMPLATE_ILLEGAL isv.TEMPLATE_PARAMS_ILLEGAL"),
        *_words("isv.TEMPLATE_MISSING_PARAMETERS isv.VOICE_FILE_ILLEGAL isv.DISPLAY_NUMBER_ILLEGAL"),
        *_words("isv.BILLID_NOT_EXIST BillidNotExist isv.BLACK_KEY_CONTROL_LIMIT isv.VOICE_CALL_PERIOD_ERROR"),
        *_words("isv.INVALID_PARAMETERS InvalidParameters isv.PARAM_NOT_SUPPORT_URL isv.PARAM_LENGTH_LIMIT"),
        # The codes of calls to many numbers, and of calls by robots.
        *_words("isv.VOICE_ROBOT_CALLEE_LIMIT isv.VOICE_ROBOT_NOT_PERIOD isv.ASR_MODEL_ERROR"),
    ],
    "number": _words("isv.MOBILE_NUMBER_ILLEGAL isv.COMPLAINT_REJECT ComplaintReject"),
    "request": _words("isv.MOBILE_COUNT_OVER_LIMIT InvalidParameter.date"),
    "uncertain": _words("isp.SYSTEM_ERROR isp.GATEWAY_ERROR isp.UNKNOWN InternalError isv.VOICE_CALL_FAIL"),
}

# cloud.tencent.com/document/api/382/38780, 公共错误码. The codes of SMS are in the official SDK.
TENCENT_COMMON: Final[Codes] = {
    "account": [
        *(f"AuthFailure.{what}" for what in ("InvalidSecretId", "MFAFailure", "SecretIdNotFound", "SignatureExpire")),
        *(f"AuthFailure.{what}" for what in ("SignatureFailure", "TokenFailure", "UnauthorizedOperation")),
        *_words("IpInBlacklist IpNotInWhitelist UnauthorizedOperation"),
    ],
    "quota": [
        *_words("LimitExceeded RequestLimitExceeded RequestLimitExceeded.GlobalRegionUinLimitExceeded"),
        *_words("RequestLimitExceeded.IPLimitExceeded RequestLimitExceeded.UinLimitExceeded"),
    ],
    "configuration": ["UnsupportedRegion"],
    "request": [
        *_words("ActionOffline AuthFailure.InvalidAuthorization DryRunOperation InvalidAction InvalidParameter"),
        *_words("InvalidParameterValue InvalidRequest MissingParameter NoSuchProduct NoSuchVersion"),
        *_words("RequestSizeLimitExceeded UnknownParameter UnsupportedOperation UnsupportedProtocol"),
    ],
    "uncertain": [
        *_words("FailedOperation InternalError ResourceInUse ResourceInsufficient ResourceNotFound"),
        *_words("ResourceUnavailable ResponseSizeLimitExceeded ServiceUnavailable"),
    ],
}
TENCENT_SMS: Final[Codes] = {
    "rate_limit": [
        *(f"LimitExceeded.PhoneNumber{what}Limit" for what in ("Daily", "OneHour", "SameContentDaily", "ThirtySecond")),
        "LimitExceeded.DeliveryFrequencyLimit",
    ],
    "configuration": [
        *(f"InternalError.{what}" for what in ("RequestTimeException", "SigVerificationFail", "SigFieldMissing")),
        "InternalError.RestApiInterfaceNotExist",
    ],
    "uncertain": [
        *(f"InternalError.{what}" for what in ("JsonParseFail", "OtherError", "ParseBackendResponseFail", "Timeout")),
        *(f"InternalError.{what}" for what in ("SendAndRecvFail", "UnknownError")),
        *_words("FailedOperation.OtherError FailedOperation.ParametersOtherError"),
    ],
}

# www.twilio.com/docs/api/errors: of the account, of calls (212xx), of messages (216xx, 217xx, 219xx) and their statuses
# (300xx). Not of SIP trunks, addresses, bought numbers, pictures' links, and the registration of brands and campaigns.
TWILIO: Final[Codes] = {
    "account": [
        *_words("10001 10002 10005 14111 20003 20005 20006 20008 20010 20403 21219 21470 21471 21472 21608"),
        *_words("30002 30037 32005"),
    ],
    "quota": _words("10004 20429 21611 22005 30001 30017 30022 30023 30027 30454 63017 63018 63038"),
    "rate_limit": ["14107"],
    "number": [
        *_words("13223 13224 13225 13226 14101 21202 21211 21214 21216 21217 21265 21266 21268 21401 21421 21610"),
        *_words("21614 21635 30003 30004 30005 30006 30014 30450 30453 30485"),
    ],
    "configuration": [
        *_words("13214 13227 13247 14102 14103 14105 14108 20011 20012 20404 21203 21205 21210 21212 21213 21215"),
        *_words("21264 21267 21402 21408 21601 21602 21603 21605 21606 21607 21609 21612 21616 21617 21618 21619"),
        *_words("21626 21657 21659 21660 21661 21701 21702 21703 21704 21705 21900 21901 30007 30010 30015 30016"),
        *_words("30018 30019 30024 30032 30033 30034 30035 30038 30039 30040 30041 30042 30043 30044 32017"),
    ],
    "request": [
        *_words("14104 20001 20004 20007 20409 20410 20413 20422 20423 20426 21201 21204 21206 21207 21208 21209"),
        *_words("21218 21220 21234 21262 21263 21403 21420 21604 21620 21621 21622 21623 21624 21627 21652 21653"),
        *_words("21654 21655 21656 21658 21708 21709 21902 21910 30011 30012 30013 30028 30029 30030 30031"),
    ],
    "uncertain": _words("20500 20503 20504 22001 30008 30020 30021 30036 30410 32016"),
}
