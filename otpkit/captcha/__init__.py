"""The captchas, one provider a file, and the parts from which a custom captcha is built.

A provider's module is imported when its name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

_modules: dict[str, str] = {}
CLASSES: Final[dict[str, str]] = {}
"""Captcha names, as in settings, mapped to the names of their classes."""


def _lazy(module: str, *names: str) -> bool:
    """Register public names that are imported from a module on first use."""
    _modules.update(dict.fromkeys(names, f"{__name__}.{module}"))
    return False


def _captcha(module: str, name: str, setting: str) -> bool:
    """Register a captcha that settings can name."""
    CLASSES[setting] = name
    return _lazy(module, name)


# The registry, one entry for each module. Type checkers read the imports; at run time only the names are registered.
# Settings list the captchas in this order.
if TYPE_CHECKING or _captcha("turnstile", "Turnstile", "turnstile"):
    from otpkit.captcha.turnstile import *
if TYPE_CHECKING or _captcha("hcaptcha", "HCaptcha", "hcaptcha"):
    from otpkit.captcha.hcaptcha import *
if TYPE_CHECKING or _captcha("recaptcha", "ReCaptcha", "recaptcha"):
    from otpkit.captcha.recaptcha import *
if TYPE_CHECKING or _captcha("aliyun", "AliyunCaptcha", "aliyun-captcha"):
    from otpkit.captcha.aliyun import *
if TYPE_CHECKING or _captcha("tencent", "TencentCaptcha", "tencent-captcha"):
    from otpkit.captcha.tencent import *
if TYPE_CHECKING or _captcha("geetest", "Geetest", "geetest"):
    from otpkit.captcha.geetest import *
if TYPE_CHECKING or _captcha("proof_of_work", "ProofOfWork", "proof-of-work"):
    from otpkit.captcha.proof_of_work import *
if TYPE_CHECKING or _lazy("base", "Captcha", "CaptchaCheck", "CaptchaSilent", "Verdict"):
    from otpkit.captcha.base import *

__all__ = sorted(_modules, key=lambda name: (name[0].islower(), name))  # noqa: PLE0605 - type checkers read the imports


if not TYPE_CHECKING:  # With a module `__getattr__`, a type checker would accept any name.

    def __getattr__(name: str) -> Any:
        if name not in _modules:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_modules[name]), name)
        globals()[name] = value
        return value
