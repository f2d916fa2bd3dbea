"""Build the wheel and test it in an empty environment: `pip install build && python tests/check_wheel.py`.

This is a script, not a test: it downloads the wheel's dependencies, and takes about half a minute.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = ["import otpkit", "import otpkit.gateways, otpkit.sandbox, otpkit.testing"]
ARGUMENTS = f"gateway=print, template=otpkit.Template('SMS_1', 'otpkit'), secret='{secrets.token_hex(32)}'"
MISSING = {  # Code that fails without an extra: words of its error.
    f"import otpkit; otpkit.OTP('memory://', {ARGUMENTS})": "pip install 'otpkit[embedded]'",
    "import otpkit; otpkit.Policy(regions={'CN', 'HK'})": "pip install 'otpkit[intl]'",
    "import otpkit.settings": "pip install 'otpkit[settings]'",
    "from otpkit.sandbox import create_app": "otpkit[sandbox]",
    "from otpkit.cli import main; main()": "pip install 'otpkit[cli]'",
    "from otpkit.service import create_app": "pip install 'otpkit[service]'",
    "from otpkit.telemetry import PrometheusListener": "pip install 'otpkit[prometheus]'",
    "import otpkit.web.schemas": "pip install 'otpkit[json]'",
}
STORY = f"""
import otpkit
from otpkit.testing import Outbox
outbox = Outbox()
otp = otpkit.OTP('memory://', {ARGUMENTS.replace("print", "outbox")})
otp.issue('13800138000')
proof = otp.verify('13800138000', outbox[-1].code)
assert otp.redeem(proof.token).phone == '+8613800138000'
assert otpkit.UsedTokenError().message('zh') == '请重新验证手机号码。'
"""


def main() -> None:
    """Build, check the contents, install, and test."""
    with tempfile.TemporaryDirectory(prefix="otpkit-wheel-") as folder:
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(ROOT))
        (wheel,) = Path(folder).glob("*.whl")
        check_contents(wheel)
        environment = Path(folder) / "venv"
        venv.create(environment, with_pip=True)
        python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
        for code in CORE:
            run(python, "-I", "-W", "error", "-c", code, cwd=folder)
        for code, words in MISSING.items():
            failed = subprocess.run([python, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
            expect(
                failed.returncode != 0 and words in failed.stderr, f"{code!r} does not say {words!r}: {failed.stderr}"
            )
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[embedded]")
        run(python, "-I", "-c", STORY, cwd=folder)
    print("The wheel is whole: it installs, imports, names what is missing, and verifies a phone.")


def check_contents(wheel: Path) -> None:
    """Compare the contents of the wheel with those of the folder."""
    sources = {path for path in (ROOT / "otpkit").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packed = {name for name in names if ".dist-info/" not in name}
    expected = {path.relative_to(ROOT).as_posix() for path in sources}
    expect(packed == expected, f"the wheel and the folder differ: {sorted(packed ^ expected)}")
    kinds = {Path(name).suffix for name in packed} | {Path(name).name for name in packed}
    expect(
        {".lua", ".html", ".toml", "py.typed"} <= kinds,
        f"the wheel lacks scripts, templates, texts or py.typed: {sorted(packed)}",
    )
    expect(any(name.endswith("licenses/LICENSE") for name in names), "the wheel lacks the license")


def run(*command: str | Path, cwd: str | None = None) -> None:
    """Run a command, and exit with its output if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def expect(fact: bool, words: str) -> None:
    """End the script if a condition does not hold."""
    if not fact:
        sys.exit(words)


if __name__ == "__main__":
    main()
