"""Why Tencent Cloud SMS refuses: the documented error codes of SendSms, and who must do what about each.

Sources: 短信 API 3.0 发送错误码 (https://cloud.tencent.com/document/api/382/59177), 公共错误码
(https://cloud.tencent.com/document/api/382/38780), and the codes that the official SDK lists for SendSms.

What is counted for each phone is `rate_limit`: another gateway must not be used to get round it. What is counted for
the account is `quota`, the API's own throttling too: another gateway has an allowance of its own. InternalError.* is
not here, nor is anything that is not documented: whether it was sent is uncertain.
"""

from __future__ import annotations

from typing import Final

from otpkit.gateways.provider import Provider, Refusal

PROVIDER: Final = Provider("tencent", "Tencent Cloud")

_CONSOLE: Final = "console.cloud.tencent.com/smsv2"
_KEYS: Final = "the operator must check secret_id, secret_key and token"
_APPROVED: Final = f"the developer must use one that is approved at {_CONSOLE}"
_PARAMS: Final = "the developer must pass what the approved template takes"
_REPORT: Final = "the developer must check what was passed, and report it to otpkit if all of it is right"
_RAISE: Final = f"the operator must raise the limit at {_CONSOLE}, or have another gateway"
_OPEN: Final = f"the operator must open the region at {_CONSOLE}, or have another gateway for it"
_SUPPORT: Final = "the account's owner must contact Tencent Cloud's support"
_OTHER: Final = "the person at the form must give another mobile number"
_SLOWER: Final = "the operator must have the account's limit raised, or have another gateway"
_WAIT: Final = "wait"

REFUSALS: Final[dict[str, Refusal]] = {
    "FailedOperation.ContainSensitiveWord": Refusal("configuration", "the text holds a forbidden word", _SUPPORT),
    "FailedOperation.FailResolvePacket": Refusal("request", "the request can't be read", _REPORT),
    "FailedOperation.InsufficientBalanceInSmsPackage": Refusal(
        "account", "the package of messages is used up", "the account's owner must buy another"
    ),
    "FailedOperation.JsonParseFail": Refusal("request", "the request's JSON can't be read", _REPORT),
    "FailedOperation.MarketingSendTimeConstraint": Refusal(
        "configuration", "advertisements are sent from 8 to 22 h only", "the developer must use a template for codes"
    ),
    "FailedOperation.PhoneNumberInBlacklist": Refusal("number", "the number takes no messages (stop list)", _OTHER),
    "FailedOperation.SignatureIncorrectOrUnapproved": Refusal("configuration", "the signature is not valid", _APPROVED),
    "FailedOperation.TemplateIncorrectOrUnapproved": Refusal("configuration", "the template is not valid", _APPROVED),
    "FailedOperation.TemplateParamSetNotMatchApprovedTemplate": Refusal(
        "configuration", "the variables are not the template's", _PARAMS
    ),
    "FailedOperation.TemplateUnapprovedOrNotExist": Refusal("configuration", "there is no such template", _APPROVED),
    "InvalidParameterValue.ContentLengthLimit": Refusal("configuration", "the text is too long", _PARAMS),
    "InvalidParameterValue.IncorrectPhoneNumber": Refusal("number", "the number is not valid", _OTHER),
    "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter": Refusal(
        "configuration", "a variable holds a URL", _PARAMS
    ),
    "InvalidParameterValue.SdkAppIdNotExist": Refusal(
        "configuration", "there is no such application", "the operator must check sdk_app_id"
    ),
    "InvalidParameterValue.TemplateParameterFormatError": Refusal(
        "configuration", "a variable is not of up to 6 digits", _PARAMS
    ),
    "InvalidParameterValue.TemplateParameterLengthLimit": Refusal("configuration", "a variable is too long", _PARAMS),
    "LimitExceeded.AppCountryOrRegionDailyLimit": Refusal("quota", "the region's daily limit is reached", _RAISE),
    "LimitExceeded.AppCountryOrRegionInBlacklist": Refusal("configuration", "the region is not opened", _OPEN),
    "LimitExceeded.AppDailyLimit": Refusal("quota", "the application's daily limit is reached", _RAISE),
    "LimitExceeded.AppGlobalDailyLimit": Refusal("quota", "the daily limit abroad is reached", _RAISE),
    "LimitExceeded.AppMainlandChinaDailyLimit": Refusal("quota", "the mainland's daily limit is reached", _RAISE),
    "LimitExceeded.DailyLimit": Refusal("quota", "the account's daily limit abroad is reached", _RAISE),
    # By the console's rules of frequency, which are for each phone.
    "LimitExceeded.DeliveryFrequencyLimit": Refusal("rate_limit", "too many messages", _WAIT),
    "LimitExceeded.GlobalSmsSendingRateLimit": Refusal("quota", "too many messages a second abroad", _SLOWER),
    "LimitExceeded.PhoneNumberCountLimit": Refusal("request", "there are more than 200 numbers", _REPORT),
    "LimitExceeded.PhoneNumberDailyLimit": Refusal("rate_limit", "too many messages to the phone in a day", _WAIT),
    "LimitExceeded.PhoneNumberOneHourLimit": Refusal("rate_limit", "too many messages to the phone in an hour", _WAIT),
    "LimitExceeded.PhoneNumberSameContentDailyLimit": Refusal(
        "rate_limit", "the same text was sent to the phone too often in a day", _WAIT
    ),
    "LimitExceeded.PhoneNumberThirtySecondLimit": Refusal(
        "rate_limit", "too many messages to the phone in 30 seconds", _WAIT
    ),
    "MissingParameter.EmptyPhoneNumberSet": Refusal("request", "there is no number", _REPORT),
    "UnauthorizedOperation.IndividualUserMarketingSmsPermissionDeny": Refusal(
        "configuration", "a private account sends no advertisements", "the developer must use a template for codes"
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
    "UnsupportedOperation": Refusal("request", "the operation is not supported", _REPORT),
    "UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone": Refusal(
        "configuration", "the template is for the mainland, the phone is not", _APPROVED
    ),
    "UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber": Refusal(
        "configuration", "signature or template are not for the phone's region", _APPROVED
    ),
    "UnsupportedOperation.GlobalTemplateToChineseMainlandPhone": Refusal(
        "configuration", "the template is for abroad, the phone is not", _APPROVED
    ),
    "UnsupportedOperation.UnsupportedRegion": Refusal("configuration", "the region is not served", _OPEN),
    # Of every API of Tencent Cloud.
    "ActionOffline": Refusal("request", "the API is withdrawn", _REPORT),
    "AuthFailure.InvalidAuthorization": Refusal("request", "the signature's header is malformed", _REPORT),
    "AuthFailure.InvalidSecretId": Refusal("account", "secret_id is none of the API's", _KEYS),
    "AuthFailure.MFAFailure": Refusal("account", "the account asks for a second factor", _KEYS),
    "AuthFailure.SecretIdNotFound": Refusal("account", "secret_id is deleted or disabled", _KEYS),
    "AuthFailure.SignatureExpire": Refusal(
        "account", "the signature is of another time", "the operator must set the clocks of Redis and of this host"
    ),
    "AuthFailure.SignatureFailure": Refusal("account", "the signature is wrong", _KEYS),
    "AuthFailure.TokenFailure": Refusal("account", "the token is wrong", _KEYS),
    "AuthFailure.UnauthorizedOperation": Refusal(
        "account", "the key may not send", "the account's owner must allow it SendSms in CAM"
    ),
    "InvalidAction": Refusal("request", "there is no such action", _REPORT),
    "InvalidParameter": Refusal("request", "a parameter is not valid", _REPORT),
    "InvalidParameterValue": Refusal("request", "a parameter's value is not valid", _REPORT),
    "IpInBlacklist": Refusal("account", "this host's address is blocked", _SUPPORT),
    "IpNotInWhitelist": Refusal("account", "this host's address is not on the account's list", _SUPPORT),
    "LimitExceeded": Refusal("quota", "a quota of the account is used up", _RAISE),
    "MissingParameter": Refusal("request", "a parameter is missing", _REPORT),
    "NoSuchVersion": Refusal("request", "there is no such version", _REPORT),
    "RequestLimitExceeded": Refusal("quota", "too many calls", _SLOWER),
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded": Refusal("quota", "too many calls of the account", _SLOWER),
    "RequestLimitExceeded.IPLimitExceeded": Refusal("quota", "too many calls from this host", _SLOWER),
    "RequestLimitExceeded.UinLimitExceeded": Refusal("quota", "too many calls of the account", _SLOWER),
    "UnauthorizedOperation": Refusal("account", "the account has no permission", _SUPPORT),
}
