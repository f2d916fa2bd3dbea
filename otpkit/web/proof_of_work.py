"""The browser's half of `otpkit.captcha.ProofOfWork`: a script to put into a page, inline or as a file of your own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).parent / "templates" / "proof-of-work.js"


@cache
def solver_script() -> str:
    """Return the script that defines `solveProofOfWork(challenge, onProgress, signal)`.

    `challenge` is `CaptchaRequiredError.parameters["challenge"]`. The function returns a promise of the answer, which
    the page sends in the field `altcha`. It works in a worker that it makes from the script itself, so it loads and
    sends nothing; the page's Content-Security-Policy needs `worker-src blob:`.

    Returns:
        JavaScript for a script element with the page's nonce. It contains no `</script`.
    """
    return SCRIPT.read_text(encoding="utf-8")
