"""`otpkit` and `otpkit.gateways` have every name that a custom gateway needs, and the older paths still work."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from otpkit import gateways

ROOT = Path(__file__).parent.parent.parent
NAMES = ["Flow", "HttpRequest", "HttpResponse", "Provider", "json_object", "message_id"]
OLDER = {
    "otpkit.effects": NAMES[:3],
    "otpkit.gateways.provider": NAMES[3:],
    "otpkit.gateways.aliyun_voice": ["AliyunVoice"],
}


def _own_imports(source: str) -> set[str]:
    found = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom))
    return {str(node.module) for node in found if str(node.module).partition(".")[0] == "otpkit"}


def test_names_for_authors_are_public() -> None:
    assert set(NAMES) <= set(gateways.__all__)


def test_registry_and_public_names_agree() -> None:
    """Each module of the registry is registered with exactly its public names."""
    registered: dict[str, set[str]] = {}
    for name, module in gateways._modules.items():
        registered.setdefault(module, set()).add(name)
    own = {module: names for module, names in registered.items() if module.startswith("otpkit.gateways.")}
    assert own == {module: set(importlib.import_module(module).__all__) for module in own}
    assert set(gateways.__all__) == set(gateways._modules)


@pytest.mark.parametrize(("module", "names"), OLDER.items(), ids=OLDER)
def test_older_paths_give_the_same(module: str, names: list[str]) -> None:
    for name in names:
        assert getattr(importlib.import_module(module), name) is getattr(gateways, name)


def test_example_imports_public_modules_alone() -> None:
    source = (ROOT / "examples" / "custom_gateway.py").read_text(encoding="utf-8")
    assert _own_imports(source) == {"otpkit", "otpkit.gateways"}


def test_guide_imports_public_modules_alone() -> None:
    guide = ROOT / "docs" / "guides" / "own-gateway.md"
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [each for each in blocks if "class Carrier" in each]
    assert _own_imports(block) == {"otpkit.gateways"}


def test_a_request_takes_keywords_alone() -> None:
    with pytest.raises(TypeError, match="positional"):
        gateways.HttpRequest("POST", "https://carrier.example/")  # type: ignore[call-arg, misc]


def test_a_request_needs_no_query_and_no_headers() -> None:
    request = gateways.HttpRequest(method="GET", url="https://carrier.example/", timeout=(3, 10))
    assert (request.params, request.headers, request.body, request.proxy) == ({}, {}, None, None)
