"""The code blocks of the READMEs and of the documentation, and the few that are not run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md" and "_build" not in path.parts
)

# The blocks that are not run unchanged, by page and first line, with the reason. "" stands for every page.
_INSTALLS = "it installs packages; test_doc_commands.py does so once, in a clone"
_DEPLOYED = "it needs Docker, systemd or a cluster; tests/deploy checks the files, and builds and runs the image"
_BUILT = "it needs the extra docs; `nox -s docs` runs it"
NOT_RUN = {
    (
        "",
        "python3 -m venv .venv && . .venv/bin/activate && pip install -e '.[demo]' && otpkit demo --check",
    ): _INSTALLS,
    ("", "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"): (
        "it is what runs this test; .ci/run takes it from the README"
    ),
    ("", "pip install '/path/to/otpkit[fastapi,cli,sandbox]'"): _INSTALLS,
    ("", "pip install '/path/to/otpkit[flask,cli,sandbox]'"): _INSTALLS,
    ("", "pip install '/path/to/otpkit[django,cli,sandbox]'"): _INSTALLS,
    ("docs/start.md", ". .venv/bin/activate && pip install -e '.[demo,examples]'"): (
        "each of its lines is run by test_doc_commands.py"
    ),
    ("", "pip install '/path/to/otpkit[rest,cli]'"): _INSTALLS,
    (
        "CONTRIBUTING.md",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pre-commit install",
    ): "it installs packages and a hook; .ci/run installs the same",
    ("CONTRIBUTING.md", ".venv/bin/pytest tests/test_policy.py -k bounds"): "it is run by test_doc_commands.py",
    ("CONTRIBUTING.md", ".venv/bin/sphinx-build -W --keep-going -n docs docs/_build/en"): _BUILT,
    ("CONTRIBUTING.md", ".venv/bin/sphinx-build -q -b gettext docs docs/_build/gettext"): _BUILT,
    ("CONTRIBUTING.md", ".venv/bin/python tests/api/snapshot.py --write"): (
        "it writes the file that tests/api compares with what the same program prints"
    ),
    ("", "pip install '/path/to/otpkit[allauth,cli]'"): _INSTALLS,
    (
        "docs/guides/leave-twilio-verify.md",
        'const client = require("twilio")("AC00000000000000000000000000000001", process.env.KEY);',
    ): "tests/service/test_twilio_door.py runs the same calls, where the SDK for Node.js is installed",
    ("docs/guides/ory-kratos.md", "# kratos.yml"): "it is for Ory Kratos, which the tests do not start",
    ("docs/guides/ory-kratos.md", "// otpkit.jsonnet"): (
        "nothing here renders Jsonnet; tests/service/test_hooks.py posts what go-jsonnet makes of it"
    ),
    ("docs/operating/deploy.md", "docker compose build"): _DEPLOYED,
    ("docs/operating/deploy.md", "docker compose run --rm otpkit doctor --config /etc/otpkit/otpkit.toml"): _DEPLOYED,
    ("docs/operating/deploy.md", 'KEY="$(docker run --rm otpkit:0.1.0 keygen)"'): _DEPLOYED,
    (
        "docs/operating/deploy.md",
        "sudo python3 -m venv /opt/otpkit && sudo /opt/otpkit/bin/pip install '/path/to/otpkit[service,speed,aiohttp]'",
    ): _DEPLOYED,
    (
        "docs/operating/deploy.md",
        "kubectl create secret generic otpkit --from-file=otpkit_secret --from-file=alidayu_app_secret",
    ): _DEPLOYED,
    ("docs/operating/proxies.md", "location / {"): "it is for nginx, which the tests do not start",
}
NOT_CODE = {"mermaid", "text"}  # A picture, and the output of the block before it, which is compared there.

_FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$(?:\n*^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|toml|html|conf))(: add .*|：加在末尾)?\n")


@dataclass(frozen=True)
class Block:
    """A block of a page: its language, its text, and its expected output (None if the page does not show it)."""

    page: str
    line: int
    language: str
    text: str
    output: str | None

    @property
    def file(self) -> str:
        """The file that a reader saves the block in, named by its first line; "" for a block that is run at once."""
        found = _FILE.match(self.text)
        return found[1] if found else ""

    @property
    def is_added(self) -> bool:
        """Whether the block is appended to an existing file."""
        found = _FILE.match(self.text)
        return bool(found and found[2])

    @property
    def reason(self) -> str:
        """The reason why the block is not run; "" for one that is."""
        first = self.text.partition("\n")[0]
        return NOT_RUN.get((self.page, first)) or NOT_RUN.get(("", first)) or ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page in their order, without Sphinx's directives."""
    return list(_blocks(page, (ROOT / page).read_text(encoding="utf-8")))


def _blocks(page: str, text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        language, code, output = found.groups()
        if not language.startswith("{"):
            yield Block(page, text.count("\n", 0, found.start()) + 1, language, code, output)
