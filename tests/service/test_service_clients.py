"""Clients generated from `/openapi.json` compile, and verify a phone with `otpkit serve`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_command import Slow, config, serving
from support.servers import unavailable
from support.service import KEY

HERE = Path(__file__).parent
NPM = HERE / "npm"
SECONDS = 100  # Enough for a busy machine.
GO_SECONDS = 300  # The first build compiles Go's own library too. Later builds find it in the cache.


@pytest.fixture(scope="module")
def webhook() -> Iterator[Slow]:
    with Slow() as server:
        server.answer.set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def base_url(webhook: Slow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a service on the embedded store, whose templates have a variable."""
    file = config(tmp_path_factory.mktemp("service"), "memory://", webhook, "clients")
    text = file.read_text(encoding="utf-8")
    parameters = 'sign_name = "阿里大鱼"\nparams = { code = "{code}", product = "otpkit" }'
    file.write_text(text.replace('sign_name = "阿里大鱼"', parameters), encoding="utf-8")
    with serving(file) as (_, url):
        yield url


def run(*command: str | Path, cwd: Path, seconds: float = SECONDS, **env: str) -> None:
    """Run a command to its end. It must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def verify(command: list[str | Path], webhook: Slow, cwd: Path, url: str, phone: str, **env: str) -> dict[str, Any]:
    """Run a program that verifies a phone, send it the code, and return its output."""
    with subprocess.Popen(
        [*command, url, KEY, phone],
        cwd=cwd,
        env=os.environ | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        out, err = program.communicate(f"{webhook.codes[-1]}\n" if line == "issued\n" else "", timeout=SECONDS)
        assert program.returncode == 0, line + out + err
    found: dict[str, Any] = json.loads(out)
    assert abs(found.pop("verified") / 1000 - time.time()) < SECONDS
    assert 300 - SECONDS < found.pop("seconds") <= 300
    return found


def expected(phone: str) -> dict[str, Any]:
    return {
        "delivery": "accepted",
        "refused": "wrong_code",
        "left": 4,
        "phone": phone,
        "replayed": False,
    }


def test_typescript_client_compiles_and_verifies(base_url: str, webhook: Slow, tmp_path: Path, phone: str) -> None:
    """openapi-typescript makes the types, and openapi-fetch makes the calls."""
    node, tools = shutil.which("node"), NPM / "node_modules" / ".bin"
    if node is None:
        unavailable("node is not installed")
    if not tools.is_dir():
        unavailable(f"the generator is not installed; run: npm ci --ignore-scripts --prefix {NPM}")
    (tmp_path / "node_modules").symlink_to(NPM / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    shutil.copy(NPM / "client.ts", tmp_path)
    run(tools / "openapi-typescript", f"{base_url}/openapi.json", "--output", "schema.d.ts", cwd=tmp_path)
    options = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--target", "es2022"]
    run(tools / "tsc", *options, "--module", "nodenext", "client.ts", cwd=tmp_path)
    assert verify([node, "client.js"], webhook, tmp_path, base_url, phone) == expected(phone)


def test_python_client_is_typed_and_verifies(base_url: str, webhook: Slow, tmp_path: Path, phone: str) -> None:
    """openapi-python-client makes the client without a warning."""
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    # The generator formats with ruff.
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    client = tmp_path / "otpkit_client"
    run(*generate, "--url", f"{base_url}/openapi.json", "--output-path", client, cwd=tmp_path, **environment)
    caller = shutil.copy(HERE / "generated_caller.py", tmp_path)
    # The generator's own client.py does not pass strict checks. The files made from the document do.
    checked = [caller, client / "api", client / "models"]
    options = ["--strict", "--follow-imports", "silent", "--cache-dir", str(tmp_path / "mypy")]
    run(sys.executable, "-m", "mypy", "--config-file", "", *options, *checked, cwd=tmp_path, MYPYPATH=str(tmp_path))
    assert verify([sys.executable, caller], webhook, tmp_path, base_url, phone) == expected(phone)


@pytest.mark.timeout(GO_SECONDS + SECONDS)
def test_go_client_has_plain_types_and_verifies(base_url: str, webhook: Slow, tmp_path: Path, phone: str) -> None:
    """OpenAPI Generator makes the client. No field has the type `any`, which alternatives would become."""
    tools = Path(sys.executable).parent
    if not (tools / "openapi-generator-cli").exists() or not (tools / "go").exists():
        unavailable("the generator or Go is not installed; run: pip install -e '.[test]'")
    package = tmp_path / "otpkitclient"
    options = ["--package-name", package.name, "--global-property", "apiTests=false,modelTests=false"]
    generate = [tools / "openapi-generator-cli", "generate", "-g", "go", "-o", package, *options]
    run(*generate, "-i", f"{base_url}/openapi.json", cwd=tmp_path)
    (package / "go.mod").unlink()
    models = "".join(file.read_text(encoding="utf-8") for file in package.glob("model_*.go"))
    structs = re.findall(r"^type (?!Nullable)\w+ struct \{\n(.*?)^\}", models, re.MULTILINE | re.DOTALL)
    assert len(structs) == 22
    types = {line.split()[1] for struct in structs for line in struct.splitlines() if not line.strip().startswith("//")}
    assert types == {
        *("string", "*string", "NullableString", "int32", "*int32", "bool", "*bool", "time.Time", "NullableTime"),
        *("map[string]string", "map[string]interface{}", "[]string", "[]FieldError"),
        *(
            "NullableFloat32",
            "NullableInt32",
            "map[string]int32",
            "map[string]FiguresAnswer",
            "[]AuditEntryAnswer",
            "FiguresAnswer",
        ),
        "[]SpanAnswer",
    }
    (tmp_path / "go.mod").write_text("module caller\n\ngo 1.23\n", encoding="utf-8")
    shutil.copy(HERE / "go" / "main.go", tmp_path)
    alone = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}  # The client needs no other module.
    run(tools / "go", "build", "-o", "caller", ".", cwd=tmp_path, seconds=GO_SECONDS, **alone)
    assert verify([tmp_path / "caller"], webhook, tmp_path, base_url, phone) == expected(phone)
