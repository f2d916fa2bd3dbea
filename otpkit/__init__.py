"""Verify phones in two calls: `issue(phone)` sends a one-time code, `verify(phone, code)` returns a signed proof."""

# First of all: a SIGHUP while the rest is imported must not end `otpkit serve`.
from otpkit.core import hangups as _hangups  # noqa: F401

# isort: split

from otpkit.aio import AsyncOTP
from otpkit.core.config import FixedCode
from otpkit.core.spelling import fold, normalize
from otpkit.errors import (
    BlockedError,
    CaptchaRejectedError,
    CaptchaRequiredError,
    CaptchaUnavailableError,
    CodeError,
    ConfigurationError,
    ExpiredCodeError,
    ExpiredTokenError,
    GatewayRejectedError,
    InvalidTokenError,
    MalformedCodeError,
    OTPError,
    PhoneError,
    RateLimitError,
    RefusedError,
    RegionError,
    StoreUnavailableError,
    TokenError,
    UsedTokenError,
    WrongCodeError,
)
from otpkit.guard.budgets import Budget, Spending
from otpkit.guard.options import Decision, Guard, RiskContext
from otpkit.guard.report import GuardReport, ScopeReport, SubjectReport
from otpkit.guard.rule import Rule
from otpkit.models import (
    Audit,
    AuditEntry,
    Challenge,
    Erased,
    Event,
    Figures,
    GatewayStanding,
    Proof,
    Sent,
    Standing,
    Stats,
)
from otpkit.policy import Policy, Rate
from otpkit.sync import OTP
from otpkit.template import Template

__all__ = [
    "OTP",
    "AsyncOTP",
    "Audit",
    "AuditEntry",
    "BlockedError",
    "Budget",
    "CaptchaRejectedError",
    "CaptchaRequiredError",
    "CaptchaUnavailableError",
    "Challenge",
    "CodeError",
    "ConfigurationError",
    "Decision",
    "Erased",
    "Event",
    "ExpiredCodeError",
    "ExpiredTokenError",
    "Figures",
    "FixedCode",
    "GatewayRejectedError",
    "GatewayStanding",
    "Guard",
    "GuardReport",
    "InvalidTokenError",
    "MalformedCodeError",
    "OTPError",
    "PhoneError",
    "Policy",
    "Proof",
    "Rate",
    "RateLimitError",
    "RefusedError",
    "RegionError",
    "RiskContext",
    "Rule",
    "ScopeReport",
    "Sent",
    "Spending",
    "Standing",
    "Stats",
    "StoreUnavailableError",
    "SubjectReport",
    "Template",
    "TokenError",
    "UsedTokenError",
    "WrongCodeError",
    "fold",
    "normalize",
]
