"""Verify a phone with a client made by openapi-python-client: `python generated_caller.py URL KEY PHONE`.

The code is read from standard input. The answer is printed as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import TypeVar

from otpkit_client import AuthenticatedClient
from otpkit_client.api.default import issue, redeem, verify
from otpkit_client.models import (
    ChallengeRequest,
    ChallengeRequestParams,
    ProblemDocument,
    RedemptionRequest,
    VerificationRequest,
    VerificationRequestRegion,
)

T = TypeVar("T")


def required(answer: T | ProblemDocument | None) -> T:
    """Return the answer, or exit with the refusal."""
    if answer is None or isinstance(answer, ProblemDocument):
        raise SystemExit(f"refused: {answer}")
    return answer


def main(base_url: str, key: str, phone: str) -> None:
    """Issue, guess wrong, verify and redeem."""
    with AuthenticatedClient(base_url=base_url, token=key) as client:
        body = ChallengeRequest(
            phone=phone, ip="203.0.113.7", params=ChallengeRequestParams.from_dict({"product": "otpkit"})
        )
        challenge = required(issue.sync(client=client, body=body, idempotency_key="form-1"))
        print("issued", flush=True)
        code = sys.stdin.readline().strip()
        wrong = f"{(int(code[0]) + 1) % 10}{code[1:]}"
        refused = verify.sync(client=client, body=VerificationRequest(phone=phone, code=wrong))
        assert isinstance(refused, ProblemDocument)
        right = VerificationRequest(phone=phone, code=code, region=VerificationRequestRegion.CN)
        proof = required(verify.sync(client=client, body=right))
        redeemed = required(redeem.sync(client=client, body=RedemptionRequest(token=proof.token, phone=phone)))
    found = {
        "delivery": challenge.delivery.value,
        "seconds": challenge.expires_in,
        "refused": refused.code,
        "left": refused.attempts_left,
        "phone": redeemed.phone,
        "replayed": redeemed.replayed,
        "verified": redeemed.verified_at.timestamp() * 1000,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
