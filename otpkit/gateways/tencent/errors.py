"""Error codes of Tencent Cloud's SMS API, as documented, each with its remedy.

A limit for each phone is `rate_limit`: another gateway must not be used to bypass it. A limit for the account is
`quota`, and so is the API's own throttling: another gateway has its own limit. After a code that is not documented the
outcome is uncertain.
"""

from __future__ import annotations

from typing import Final

from otpkit.gateways.provider import DAY, HOUR, Doubt, Provider, Refusal, documented

PROVIDER: Final = Provider("tencent", "Tencent Cloud")

_SMS_PAGE: Final = "https://cloud.tencent.com/document/api/382/59177"  # 短信 API 3.0 发送错误码
_COMMON_PAGE: Final = "https://cloud.tencent.com/document/api/382/38780"  # 公共错误码
_SDK: Final = "tencentcloud-sdk-python-sms, tencentcloud/sms/v20210111/errorcodes.py"

_CONSOLE: Final = "console.cloud.tencent.com/smsv2"
_KEYS: Final = "the operator must check secret_id, secret_key and token"
_APPROVED: Final = f"the developer must use one that is approved at {_CONSOLE}"
_PARAMS: Final = "the developer must pass what the approved template takes"
_REPORT: Final = "the developer must check what was passed, and report it to otpkit if all of it is right"
_RAISE: Final = f"the operator must raise the limit at {_CONSOLE}, or add another gateway"
_OPEN: Final = f"the operator must open the region at {_CONSOLE}, or add another gateway for it"
_SUPPORT: Final = "the account's owner must contact Tencent Cloud's support"
_OTHER: Final = "the person at the form must enter another mobile number"
_SLOWER: Final = "the operator must have the account's limit raised, or add another gateway"
_WAIT: Final = "wait"
_CLOCKS: Final = "the operator must set the clocks of Redis and of this host"
_ASK: Final = "the operator must check the records, and contact Tencent Cloud's support if it continues"

_ANOTHER_CALL: Final = Refusal("configuration", "the code belongs to another call", "the operator must check base_url")
_TOO_MANY_CALLS: Final = Refusal("quota", "the account makes too many calls", _SLOWER)

_SENDING: Final = {
    "FailedOperation.ContainSensitiveWord": Refusal("configuration", "the text contains a forbidden word", _SUPPORT),
    "FailedOperation.FailResolvePacket": Refusal("request", "the request can't be read", _REPORT),
    "FailedOperation.InsufficientBalanceInSmsPackage": Refusal(
        "account", "the package of messages is used up", "the account's owner must buy another"
    ),
    "FailedOperation.JsonParseFail": Refusal("request", "the request's JSON can't be read", _REPORT),
    "FailedOperation.MarketingSendTimeConstraint": Refusal(
        "configuration", "advertisements are sent from 8 to 22 h only", "the developer must use a template for codes"
    ),
    "FailedOperation.PhoneNumberInBlacklist": Refusal(
        "number", "the number does not accept messages (stop list)", _OTHER
    ),
    "FailedOperation.SignatureIncorrectOrUnapproved": Refusal("configuration", "the signature is not valid", _APPROVED),
    "FailedOperation.TemplateIncorrectOrUnapproved": Refusal("configuration", "the template is not valid", _APPROVED),
    "FailedOperation.TemplateParamSetNotMatchApprovedTemplate": Refusal(
        "configuration", "the variables are not the template's", _PARAMS
    ),
    "FailedOperation.TemplateUnapprovedOrNotExist": Refusal("configuration", "there is no such template", _APPROVED),
    "InvalidParameterValue.ContentLengthLimit": Refusal("configuration", "the text is too long", _PARAMS),
    "InvalidParameterValue.IncorrectPhoneNumber": Refusal("number", "the number is not valid", _OTHER),
    "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter": Refusal(
        "configuration", "a variable contains a URL", _PARAMS
    ),
    "InvalidParameterValue.SdkAppIdNotExist": Refusal(
        "configuration", "there is no such application", "the operator must check sdk_app_id", concerns="gateway"
    ),
    "InternalError.RequestTimeException": Refusal(
        "configuration", "the request's time is wrong by more than 10 minutes", _CLOCKS, concerns="gateway"
    ),
    "InternalError.RestApiInterfaceNotExist": Refusal(
        "configuration", "there is no such call", "the operator must check base_url", concerns="gateway"
    ),
    "InternalError.SigFieldMissing": Refusal("configuration", "the signature is missing", _KEYS, concerns="gateway"),
    "InternalError.SigVerificationFail": Refusal("configuration", "the signature is wrong", _KEYS, concerns="gateway"),
    "InvalidParameterValue.TemplateParameterFormatError": Refusal(
        "configuration", "a variable must have at most 6 digits", _PARAMS
    ),
    "InvalidParameterValue.TemplateParameterLengthLimit": Refusal("configuration", "a variable is too long", _PARAMS),
    "LimitExceeded.AppCountryOrRegionDailyLimit": Refusal(
        "quota", "the region's daily limit is reached", _RAISE, concerns="message"
    ),
    "LimitExceeded.AppCountryOrRegionInBlacklist": Refusal("configuration", "the region is not opened", _OPEN),
    "LimitExceeded.AppDailyLimit": Refusal("quota", "the application's daily limit is reached", _RAISE),
    "LimitExceeded.AppGlobalDailyLimit": Refusal(
        "quota", "the daily limit abroad is reached", _RAISE, concerns="message"
    ),
    "LimitExceeded.AppMainlandChinaDailyLimit": Refusal(
        "quota", "the mainland's daily limit is reached", _RAISE, concerns="message"
    ),
    "LimitExceeded.DailyLimit": Refusal(
        "quota", "the account's daily limit abroad is reached", _RAISE, concerns="message"
    ),
    # The console's frequency rules apply to each phone. Their day is a calendar day (自然日).
    "LimitExceeded.DeliveryFrequencyLimit": Refusal("rate_limit", "too many messages", _WAIT),
    "LimitExceeded.GlobalSmsSendingRateLimit": Refusal(
        "quota", "too many messages a second abroad", _SLOWER, concerns="message"
    ),
    "LimitExceeded.PhoneNumberCountLimit": Refusal("request", "there are more than 200 numbers", _REPORT),
    "LimitExceeded.PhoneNumberDailyLimit": Refusal(
        "rate_limit", "too many messages to the phone in a day", _WAIT, retry_after=DAY
    ),
    "LimitExceeded.PhoneNumberOneHourLimit": Refusal(
        "rate_limit", "too many messages to the phone in an hour", _WAIT, retry_after=HOUR
    ),
    "LimitExceeded.PhoneNumberSameContentDailyLimit": Refusal(
        "rate_limit", "the same text was sent to the phone too often in a day", _WAIT, retry_after=DAY
    ),
    "LimitExceeded.PhoneNumberThirtySecondLimit": Refusal(
        "rate_limit", "too many messages to the phone in 30 seconds", _WAIT, retry_after=30
    ),
    "MissingParameter.EmptyPhoneNumberSet": Refusal("request", "there is no number", _REPORT),
    "UnauthorizedOperation.IndividualUserMarketingSmsPermissionDeny": Refusal(
        "configuration", "a private account may not send advertisements", "the developer must use a template for codes"
    ),
    "UnauthorizedOperation.RequestIpNotInWhitelist": Refusal(
        "account", "this host's address is not on the account's list", f"the operator must add it at {_CONSOLE}"
    ),
    "UnauthorizedOperation.RequestPermissionDeny": Refusal("account", "the account has no permission", _SUPPORT),
    "UnauthorizedOperation.SdkAppIdIsDisabled": Refusal("account", "the application is disabled", _SUPPORT),
    "UnauthorizedOperation.ServiceSuspendDueToArrears": Refusal(
        "account", "the account is in arrears", "its owner must top it up"
    ),
    "UnauthorizedOperation.SmsSdkAppIdVerifyFail": Refusal(
        "account", "the application is another account's", "the operator must check sdk_app_id and secret_id"
    ),
    "UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone": Refusal(
        "configuration", "the template is for the mainland, the phone is not", _APPROVED
    ),
    "UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber": Refusal(
        "configuration", "the signature or the template is not for the phone's region", _APPROVED
    ),
    "UnsupportedOperation.GlobalTemplateToChineseMainlandPhone": Refusal(
        "configuration", "the template is for abroad, the phone is not", _APPROVED
    ),
    "UnsupportedOperation.UnsupportedRegion": Refusal("configuration", "the region is not served", _OPEN),
}

# Every API of Tencent Cloud may return these codes.
_COMMON: Final = {
    "ActionOffline": Refusal("request", "the API is withdrawn", _REPORT, concerns="gateway"),
    "AuthFailure.InvalidAuthorization": Refusal(
        "request", "the signature's header is malformed", _REPORT, concerns="gateway"
    ),
    "AuthFailure.InvalidSecretId": Refusal("account", "secret_id is not an API key", _KEYS),
    "AuthFailure.MFAFailure": Refusal("account", "the account requires a second factor", _KEYS),
    "AuthFailure.SecretIdNotFound": Refusal("account", "secret_id is deleted or disabled", _KEYS),
    "AuthFailure.SignatureExpire": Refusal("account", "the signature has expired", _CLOCKS),
    "AuthFailure.SignatureFailure": Refusal("account", "the signature is wrong", _KEYS),
    "AuthFailure.TokenFailure": Refusal("account", "the token is wrong", _KEYS),
    "AuthFailure.UnauthorizedOperation": Refusal(
        "account", "the key may not send", "the account's owner must allow it SendSms in CAM"
    ),
    "InvalidAction": Refusal("request", "there is no such action", _REPORT, concerns="gateway"),
    "InvalidParameter": Refusal("request", "a parameter is not valid", _REPORT),
    "InvalidParameterValue": Refusal("request", "a parameter's value is not valid", _REPORT),
    "IpInBlacklist": Refusal("account", "this host's address is blocked", _SUPPORT),
    "IpNotInWhitelist": Refusal("account", "this host's address is not on the account's list", _SUPPORT),
    "LimitExceeded": Refusal("quota", "a quota of the account is used up", _RAISE),
    "MissingParameter": Refusal("request", "a parameter is missing", _REPORT),
    "NoSuchVersion": Refusal("request", "there is no such version", _REPORT, concerns="gateway"),
    "RequestLimitExceeded": Refusal("quota", "too many calls", _SLOWER),
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded": _TOO_MANY_CALLS,
    "RequestLimitExceeded.IPLimitExceeded": Refusal("quota", "too many calls from this host", _SLOWER),
    "RequestLimitExceeded.UinLimitExceeded": _TOO_MANY_CALLS,
    "UnauthorizedOperation": Refusal("account", "the account has no permission", _SUPPORT),
    "UnsupportedOperation": Refusal("request", "the operation is not supported", _REPORT),
    "DryRunOperation": Refusal("request", "it was a dry run", _REPORT, concerns="gateway"),
    "InvalidRequest": Refusal("request", "the body is malformed", _REPORT),
    "NoSuchProduct": Refusal(
        "request", "there is no such product", "the operator must check base_url", concerns="gateway"
    ),
    "RequestSizeLimitExceeded": Refusal("request", "the request is too large", _REPORT),
    "UnknownParameter": Refusal("request", "a parameter is not known", _REPORT),
    "UnsupportedProtocol": Refusal("request", "the HTTP method is not accepted", _REPORT, concerns="gateway"),
    "UnsupportedRegion": Refusal(
        "configuration", "the API is not available in this region", "the operator must check region", concerns="gateway"
    ),
}

# These codes are in the SDK's list but not in the list for sending. Most belong to other calls.
_OTHERS: Final = {
    "FailedOperation.NotEnterpriseCertification": Refusal("account", "the account is not an enterprise's", _SUPPORT),
    "FailedOperation.PhoneNumberParseFail": Refusal("number", "the number is not valid", _OTHER),
    "FailedOperation.ProhibitSubAccountUse": Refusal("account", "a sub-account may not make this call", _SUPPORT),
    "FailedOperation.SignIdNotExist": Refusal("configuration", "there is no such signature", _APPROVED),
    "FailedOperation.TemplateIdNotExist": Refusal("configuration", "there is no such template", _APPROVED),
    "InvalidParameter.AppidAndBizId": Refusal(
        "account", "the application is another account's", "the operator must check sdk_app_id and secret_id"
    ),
    "InvalidParameter.DirtyWordFound": Refusal("configuration", "the text contains a forbidden word", _SUPPORT),
    "InvalidParameter.InvalidParameters": Refusal("request", "a parameter is not valid", _REPORT),
    "InvalidParameterValue.BeginTimeVerifyFail": Refusal("request", "the time is not valid", _REPORT),
    "InvalidParameterValue.EndTimeVerifyFail": Refusal("request", "the time is not valid", _REPORT),
    "InvalidParameterValue.InvalidStartTime": Refusal("request", "the time is not valid", _REPORT),
    "InvalidParameterValue.LimitVerifyFail": Refusal("request", "the paging is not valid", _REPORT),
    "InvalidParameterValue.OffsetVerifyFail": Refusal("request", "the paging is not valid", _REPORT),
    "InvalidParameterValue.TemplateWithDirtyWords": Refusal(
        "configuration", "the template contains a forbidden word", _APPROVED
    ),
    **dict.fromkeys(
        (
            *("FailedOperation.ForbidAddMarketingTemplates", "FailedOperation.MissingSignature"),
            *("FailedOperation.MissingSignatureList", "FailedOperation.MissingSignatureToModify"),
            *("FailedOperation.MissingTemplateList", "FailedOperation.MissingTemplateToModify"),
            *("FailedOperation.QualificationIdNotApproved", "FailedOperation.SignNumberLimit"),
            *("FailedOperation.TemplateAlreadyPassedCheck", "FailedOperation.TemplateNumberLimit"),
            *("InvalidParameterValue.ImageInvalid", "InvalidParameterValue.InvalidDocumentType"),
            *("InvalidParameterValue.InvalidInternational", "InvalidParameterValue.InvalidSignPurpose"),
            *("InvalidParameterValue.InvalidSmsType", "InvalidParameterValue.InvalidTemplateFormat"),
            *("InvalidParameterValue.InvalidUsedMethod", "InvalidParameterValue.MultiSmsInfoSetEmpty"),
            *("InvalidParameterValue.MarketingTemplateWithoutUnsubscribe",),
            *("InvalidParameterValue.QualificationIdNotFound", "InvalidParameterValue.SignAlreadyPassedCheck"),
            *("InvalidParameterValue.SignExistAndUnapproved", "InvalidParameterValue.SignNameLengthTooLong"),
            *("InvalidParameterValue.UnsupportedTemplateVariable",),
            *("UnsupportedOperation.ContainDomesticPhoneNumber",),
        ),
        _ANOTHER_CALL,
    ),
}

REFUSALS: Final[dict[str, Refusal]] = (
    documented(_SMS_PAGE, _SENDING) | documented(_COMMON_PAGE, _COMMON) | documented(_SDK, _OTHERS)
)

UNCERTAIN: Final[dict[str, Doubt]] = documented(
    _SMS_PAGE,
    {
        "FailedOperation.OtherError": Doubt("an error occurred", _ASK),
        "FailedOperation.ParametersOtherError": Doubt("an unknown error occurred", _ASK),
        "InternalError.JsonParseFail": Doubt("the parameters could not be read", _ASK),
        "InternalError.OtherError": Doubt("an error occurred at Tencent Cloud", _ASK),
        "InternalError.ParseBackendResponseFail": Doubt("the carrier's answer could not be read", _ASK),
        "InternalError.SendAndRecvFail": Doubt("the carrier did not answer", _ASK),
        "InternalError.Timeout": Doubt("the message was not accepted in time", _ASK),
        "InternalError.UnknownError": Doubt("an unknown error occurred", _ASK),
    },
) | documented(
    _COMMON_PAGE,
    {
        "FailedOperation": Doubt("an error occurred", _ASK),
        "InternalError": Doubt("an error occurred at Tencent Cloud", _ASK),
        "ResourceInUse": Doubt("a resource is in use", _ASK),
        "ResourceInsufficient": Doubt("a resource is used up", _ASK),
        "ResourceNotFound": Doubt("a resource is not there", _ASK),
        "ResourceUnavailable": Doubt("a resource is not available", _ASK),
        "ResponseSizeLimitExceeded": Doubt("the answer would be too large", _ASK),
        "ServiceUnavailable": Doubt("the service is not available", _ASK),
    },
)
