"""Without its framework, an integration's error names the package to install."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["django", "fastapi", "flask"])
def test_what_to_install_is_said(name: str) -> None:
    script = f"import sys; sys.modules[{name!r}] = None; import otpkit.integrations.{name}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("otpkit.errors.ConfigurationError")
    assert f"pip install 'otpkit[{name}]'" in done.stderr


def test_a_django_site_without_users_is_told_what_to_add() -> None:
    script = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["otpkit.integrations.django", "django.contrib.sessions"])
django.setup()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1].startswith("otpkit.errors.ConfigurationError")
    assert "Add them to INSTALLED_APPS" in done.stderr
