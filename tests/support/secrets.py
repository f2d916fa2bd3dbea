"""Secrets for tests. They look random, and are the same in every run and every process."""

from __future__ import annotations

from hashlib import sha256


def secret_of(name: str) -> str:
    """Return the secret with a name."""
    return sha256(f"otpkit's tests: {name}".encode()).hexdigest()


SECRET, OTHER_SECRET = secret_of("one"), secret_of("another")
