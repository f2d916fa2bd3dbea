"""The checks beside the README's own test command. `.ci/run` calls them; `nox -l` lists them.

They run in the environment that nox is installed in (`pip install -e '.[dev]'`), so that they need no network.
`lowest`, `python313`, `wheel` and `image` make environments of their own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "docs"]
nox.options.default_venv_backend = "none"

COVERED = 97  # per cent of the lines and branches of otpkit; the whole suite runs 98
LANGUAGES = ("en", "zh_CN")


def run(session: nox.Session, *command: str, **env: str) -> None:
    """Run a module of this environment."""
    session.run(sys.executable, "-m", *command, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types: the package, the examples, code as users write it, and the code of these tools."""
    run(session, "mypy")
    run(session, "mypy", "noxfile.py", "docs", "tests/api/snapshot.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation in both languages; a warning, a dead link or an old translation fails."""
    build = Path("docs/_build")
    strict = ("sphinx", "-W", "--keep-going", "-n", "-q", "-E")
    run(session, *strict, "-b", "gettext", "docs", str(build / "gettext"))
    session.run(sys.executable, "docs/check_catalogues.py")
    for language in LANGUAGES:
        run(session, *strict, "-b", "html", "-D", f"language={language}", "docs", str(build / language))


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel and try it in an empty environment."""
    session.run(sys.executable, "tests/check_wheel.py")


@nox.session
def lowest(session: nox.Session) -> None:
    """Try each extra with the lowest versions that are allowed."""
    session.run(".ci/lowest", external=True)


@nox.session
def python313(session: nox.Session) -> None:
    """Try each extra on Python 3.13."""
    session.run(".ci/python313", external=True)


@nox.session
def base(session: nox.Session) -> None:
    """Write the Debian that `python313` and `image` use to the file that OTPKIT_BASE names, so that it is made once."""
    session.run(".ci/base", os.environ["OTPKIT_BASE"], external=True)


@nox.session
def image(session: nox.Session) -> None:
    """Build the image of examples/deploy, start it without privileges, and sign up through it."""
    session.run(".ci/image", sys.executable, external=True)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the suite with coverage, which may not fall below its figure; arguments go to pytest."""
    run(session, "coverage", "erase")
    saves = ("-p", "support.save_coverage")  # A worker of pytest-xdist may end without a farewell.
    run(session, "coverage", "run", "-m", "pytest", *saves, *session.posargs, PYTHONPATH="tests")
    run(session, "coverage", "combine", "-q")
    run(session, "coverage", "report", "--skip-covered", f"--fail-under={COVERED}")
