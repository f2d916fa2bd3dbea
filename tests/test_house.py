"""The architecture: the allowed imports, the allowed access to other objects, and the contents of every module."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.metadata
import inspect
import pickle
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import otpkit

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "otpkit"

# A layer never imports a higher one. Modules on one line do not import each other. A folder's own modules may, but
# without a circle.
LAYERS = [
    ["characters", "languages", "models"],
    ["errors"],
    ["effects", "frames", "core.secret"],
    ["core.checks"],
    ["guard.rule", "phone"],
    ["core.addresses", "core.arguments", "core.spelling", "policy", "template"],
    ["core.mentions", "core.stored", "guard.money"],
    ["guard.budgets", "guard.prices"],
    ["transport.connecting", "transport.exchange", "transport.hosts"],
    ["core.crypto"],
    ["core.devices", "core.serializer"],
    ["core.tokens"],
    ["captcha.base", "core.scripts", "gateways.base", "transport.aio", "transport.http", "transport.notifier"],
    ["gateways.provider"],
    ["gateways"],
    ["captcha"],
    ["core.routing"],
    ["core.budgets", "core.tallies", "core.trail", "guard.options"],
    ["core.costs", "guard.protection"],
    ["core.config"],
    ["core.subject"],
    ["core.audit", "core.report"],
    ["core.circuits", "core.figures"],
    ["core.dispatch", "core.limits", "core.spending", "guard.report"],
    ["guard.elsewhere"],
    ["guard.screening"],
    ["core.issue"],
    ["core.discreet", "core.send"],
    ["core.flows"],
    ["core.tracing"],
    ["core.secret_files"],
    ["core.hangups", "core.lifetime", "environment", "store.library", "store.retry", "transport.lanes"],
    ["store.errors", "store.loops", "store.pool", "store.tls", "store.url"],
    ["store.protocol"],
    ["store.multiplexed"],
    ["store.endpoint"],
    ["store.binding"],
    ["store.aio", "store.sync"],
    ["telemetry"],
    ["sync"],
    ["aio"],
    ["core", "guard", "store", "transport"],  # Their `__init__` is empty.
    [""],  # the public names
    ["listening", "settings", "testing"],
    ["web"],
    ["integrations"],
    ["sandbox.calls", "sandbox.captchas", "sandbox.phones"],
    ["sandbox.faults", "sandbox.messages"],
    ["sandbox.events", "sandbox.receipts", "sandbox.storage"],
    ["sandbox.state"],
    ["sandbox.providers"],
    ["sandbox.access", "sandbox.callbacks"],
    ["sandbox.inbox", "sandbox.interface"],
    ["sandbox.widget"],
    ["sandbox.app"],
    ["sandbox.server"],
    ["sandbox"],
    ["doctor", "service", "simulator"],
    ["cli"],
    ["__main__"],
]
FLOWS = next(i for i, layer in enumerate(LAYERS) if "core.flows" in layer)

# The modules that may import a library (a folder's name stands for all its modules), and those that must be lazy.
LIBRARIES = {
    "aiohttp": {"transport.aio"},
    "allauth": {"integrations.django.allauth", "integrations.django.checks"},
    "anyio": {"integrations.fastapi"},
    "apprise": {"transport.notifier"},
    "asgiref": {"integrations.django"},
    "django": {"integrations.django"},
    "fakeredis": {"store"},
    "fastapi": {"cli.demo_site", "integrations.fastapi"},
    "flask": {"integrations.flask"},
    "h11": {"sandbox.server"},
    "hiredis": {"store"},
    "httptools": {"service"},
    "itsdangerous": {"core.serializer"},
    "jinja2": {"cli.demo_site", "sandbox.inbox", "service.console", "web.pages"},
    "lupa": {"store"},
    "markupsafe": {"web.pages"},
    "opentelemetry": {"service.tracing", "telemetry.opentelemetry", "telemetry.spans"},
    "phonenumbers": {"phone"},
    "prometheus_client": {"service", "telemetry.prometheus"},
    "pydantic": {"integrations.fastapi", "service", "settings", "web.json_calls", "web.schemas"},
    "pydantic_core": {"service.openapi", "settings"},
    "pydantic_settings": {"settings"},
    "pytest": {"testing.plugin"},
    "redis": {"store"},
    "requests": {"transport"},
    "rest_framework": {"integrations.django.rest"},
    "rich": {"cli.output", "cli.simulate", "cli.stats"},
    "standardwebhooks": {"service"},
    "starlette": {
        *("sandbox.access", "sandbox.app", "sandbox.inbox", "sandbox.interface", "sandbox.server"),
        "sandbox.widget",
        *("cli.demo_site", "integrations.fastapi", "service"),
    },
    "typer": {
        "cli.auditing",
        "cli.commands",
        "cli.console",
        "cli.failures",
        "cli.guarding",
        "cli.health",
        "cli.output",
        "cli.serving",
        *("cli.durations", "cli.gateways"),
        "cli.simulate",
        "cli.stats",
    },
    "urllib3": {"transport"},
    "uvicorn": {"sandbox.server", "service"},
    "werkzeug": {"integrations.flask"},
    "yarl": {"transport.aio"},
}
LAZY = {"apprise", "fakeredis", "lupa", "phonenumbers", "requests", "urllib3"}
# Modules for I/O, which flows and all layers below them must not import. The shells import them.
HANDS = {f"transport.{name}" for name in ("aio", "connecting", "exchange", "http", "notifier")}
NOT_IN_FLOWS = {
    *(
        "asyncio",
        "concurrent",
        "ctypes",
        "http",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "queue",
        "random",
    ),
    *("select", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time"),
    "urllib.request",
}
# Who may read the host's clock: for a proof that is checked without Redis, and for a gateway or a captcha that is used
# directly.
HOST_CLOCK = {
    "captcha.proof_of_work": "time",
    "core.config": "time",
    "gateways.aliyun.api": "datetime.now",
    "gateways.records": "datetime.now",
    "gateways.china_time": "datetime.now",
    "gateways.tencent.gateway": "datetime.now",
    "gateways.webhook": "datetime.now",
}
# The modules that may import one of these modules without I/O: `inet_pton` parses a text.
HARMLESS = {"core.addresses": "socket"}
NOT_CALLED = {"open", "print", "input", "datetime.now", "datetime.today", "datetime.utcnow", "date.today"}


@dataclasses.dataclass(frozen=True)
class Import:
    """One import: the imported name, and whether the import is in a function."""

    name: str
    is_lazy: bool


@cache
def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module by its name below `otpkit`. A package has its folder's name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports_of(name: str) -> list[Import]:
    """Return the names that a module imports when it runs."""
    return list(_imports(modules()[name], is_lazy=False))


def _imports(node: ast.AST, *, is_lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).startswith("TYPE_CHECKING"):
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, is_lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports must be absolute"
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                is_module = inner.removeprefix("otpkit.") in modules() and inner != "otpkit"
                yield Import(inner if is_module else str(child.module), is_lazy)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith("import_module"):
            yield from (Import(a.value, is_lazy) for a in child.args if isinstance(a, ast.Constant))
        yield from _imports(child, is_lazy=is_lazy or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))


def own_imports(name: str) -> list[str]:
    """Return the modules of otpkit that a module imports, in a function or not."""
    found = [each.name for each in imports_of(name) if each.name.partition(".")[0] == "otpkit"]
    return [other.removeprefix("otpkit").removeprefix(".") for other in found]


def place_of(name: str) -> tuple[int, str]:
    """Return the layer of a module, and its place in the layer."""
    rooms = [(i, room) for i, layer in enumerate(LAYERS) for room in layer if f"{name}.".startswith(f"{room}.")]
    assert rooms, f"otpkit.{name} is in no layer: add it to LAYERS"
    return max(rooms, key=lambda place: len(place[1]))


def is_below_the_shells(name: str) -> bool:
    return place_of(name)[0] <= FLOWS and name not in HANDS


@pytest.mark.parametrize("name", modules())
def test_imports_run_downwards_only(name: str) -> None:
    """A module imports only from lower layers."""
    height, room = place_of(name)
    for other in own_imports(name):
        its_height, its_room = place_of(other)
        assert its_height < height or its_room == room, (
            f"otpkit.{name} imports otpkit.{other}, which is not in a lower layer"
        )


def test_no_imports_run_in_a_circle() -> None:
    """This holds within a folder too."""
    TopologicalSorter({name: [other for other in own_imports(name) if other != name] for name in modules()}).prepare()


@pytest.mark.parametrize("name", modules())
def test_each_library_is_imported_in_its_own_place_alone(name: str) -> None:
    """Only the shells import Redis, only the transport imports HTTP, and only their folders import extras, lazily."""
    for each in imports_of(name):
        library = each.name.partition(".")[0]
        if library in sys.stdlib_module_names or library == "otpkit":
            continue
        places = LIBRARIES[library]
        assert any(f"{name}.".startswith(f"{place}.") for place in places), f"otpkit.{name} imports {library}"
        assert each.is_lazy or library not in LAZY, f"otpkit.{name} imports {library} before it is needed"


@pytest.mark.parametrize("name", [name for name in modules() if is_below_the_shells(name)])
def test_flows_and_all_below_do_no_io(name: str) -> None:
    """They return effects instead, and read no clock except the declared ones."""
    declared = {HOST_CLOCK.get(name), HARMLESS.get(name)}
    for each in imports_of(name):
        assert not {each.name, each.name.partition(".")[0]} & (NOT_IN_FLOWS - declared)
    calls = {ast.unparse(node.func) for node in ast.walk(modules()[name]) if isinstance(node, ast.Call)}
    assert not calls & (NOT_CALLED - declared)


# Names of other objects that a module may use although they begin with an underscore.
PRIVATE = {
    # Names of the module's own classes.
    "aio": {"_after_fork", "_config", "_drive", "_store"},
    "captcha.proof_of_work": {"_keys"},
    "environment": {"_named_captcha", "_chosen", "_names_by_region"},
    "store.retry": {"_spent"},
    "sync": {"_after_fork", "_drive"},
    "telemetry.queue": {"_renew"},
    # Python documents it.
    "service.workers": {"_exit"},
    # Private names of redis-py and asyncio that the drivers of the store need: see `store.library`; and its own.
    "store.aio": {"_available_connections", "_embedded"},
    "store.loops": {
        *("_available_connections", "_connections", "_free", "_in_use_connections", "_loop", "_parser", "_reader"),
        *("_sock", "_ssl_protocol", "_transport", "_writer"),
    },
    "store.endpoint": {"_buffer", "_parser", "_reader"},
    "store.multiplexed": {"_parser", "_writer"},
    "store.pool": {"_available_connections", "_idle", "_in_use_connections", "_lock", "_parser", "_sock"},
    # Names of its own class, and of redis-py's pools and connections.
    "store.sync": {"_checkpid", "_client", "_hiredis_PushNotificationType", "_parser", "_reader", "_sock"},
    # Names of aiohttp's session, to prevent a repeated request, and of asyncio's transports, to close them without it.
    "transport.aio": {"_retry_connection", "_sock", "_ssl_protocol", "_transport"},
    # Django documents both.
    "integrations.django.allauth": {"_default_manager"},
    "integrations.django.backends": {"_default_manager"},
    "integrations.django.checks": {"_meta"},
    "integrations.django.conf": {"_meta"},
    # REST framework names its Django request so, and offers no other way to it.
    "integrations.django.rest": {"_request"},
    "integrations.django.tables": {"_default_manager"},
    # Of FastAPI's routes, and of Starlette's requests, which keep what FastAPI has read.
    "integrations.fastapi.deferred": {"_body", "_embed_body_fields", "_form", "_json"},
}
OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}


def private_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each private name that a module reads or sets on another object, and its line."""
    own = {"self", "cls"}
    for node in ast.walk(tree):
        name, of = "", None
        if isinstance(node, ast.Attribute):
            name, of = node.attr, node.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "setattr", "delattr"}:
            of, given = node.args[0], node.args[1]
            name = given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else ""
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("otpkit"):
            yield from ((alias.name, node.lineno) for alias in node.names if _is_private(alias.name))
        is_own = isinstance(of, ast.Name) and of.id in own
        is_super = isinstance(of, ast.Call) and ast.unparse(of.func) == "super"
        if _is_private(name) and not is_own and not is_super:
            yield name, node.lineno


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in OF_NAMED_TUPLES


@pytest.mark.parametrize("name", modules())
def test_no_module_reaches_into_another(name: str) -> None:
    """A name with an underscore belongs to its class. Each exception is declared."""
    found, declared = set(private_names(modules()[name])), PRIVATE.get(name, set())
    stray = sorted((private, line) for private, line in found if private not in declared)
    assert not stray, f"otpkit.{name} uses private names of others: {stray}"
    unused = declared - {private for private, _ in found}
    assert not unused, f"otpkit.{name} no longer uses these: {unused}"


def test_importing_otpkit_imports_no_extra_and_no_http_library() -> None:
    """The import is cheap and works with the core only. Texts are loaded when one is needed."""
    unwanted = {
        *LAZY,
        *("aiohttp", "h11", "hypothesis", "jinja2", "pydantic", "pydantic_settings", "pytest", "rich", "starlette"),
        *("tomllib", "typer", "uvicorn"),
    }
    names = "otpkit, otpkit.captcha, otpkit.gateways, otpkit.web"
    script = f"import sys, {names}; print(sorted({unwanted!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


# The contents of every module


@pytest.mark.parametrize("name", modules())
def test_every_module_has_a_docstring(name: str) -> None:
    """The description is its docstring."""
    assert ast.get_docstring(modules()[name])


def test_the_root_holds_few_modules() -> None:
    """A newcomer can read the names at a glance."""
    names = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert len(names) <= 12


PUBLIC = [
    *("otpkit", "otpkit.captcha", "otpkit.gateways", "otpkit.testing", "otpkit.sandbox", "otpkit.telemetry"),
    "otpkit.web",
]


def _sorting(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_listed_in_order(name: str) -> None:
    """`__all__` has constants first, then classes, then functions."""
    module = importlib.import_module(name)
    assert module.__all__ == sorted(set(module.__all__), key=_sorting)
    assert all(hasattr(module, public) for public in module.__all__)


def test_the_package_holds_nothing_but_its_public_names() -> None:
    """`__init__` has no logic and no other names to import."""
    names = {name for name, value in vars(otpkit).items() if name[0] != "_" and not isinstance(value, ModuleType)}
    assert names == set(otpkit.__all__)
    assert all(isinstance(node, (ast.Expr, ast.ImportFrom, ast.Assign)) for node in modules()[""].body)


def public_callables() -> Iterator[tuple[str, object]]:
    """Yield the public callables: classes with their public methods, and functions."""
    for name in PUBLIC:
        module = importlib.import_module(name)
        for public in module.__all__:
            value = getattr(module, public)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{name}.{public}", value
            if inspect.isclass(value):
                members = {n: getattr(m, "__func__", m) for n, m in vars(value).items() if n[0] != "_"}
                methods = {n: m for n, m in members.items() if inspect.isfunction(m) or isinstance(m, property)}
                yield from ((f"{name}.{public}.{n}", method) for n, method in methods.items())


@pytest.mark.parametrize(("name", "value"), [pytest.param(*each, id=each[0]) for each in public_callables()])
def test_every_public_name_has_a_docstring_of_its_own(name: str, value: object) -> None:
    """The signature that dataclasses generate does not count."""
    text = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    assert text, f"{name} has no docstring"
    assert not text.startswith(f"{name.rpartition('.')[2]}(")


def test_the_version_is_that_of_the_project_file() -> None:
    """The installed and the declared version are the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert importlib.metadata.version("otpkit") == project["version"]


def test_core_dependencies_are_three() -> None:
    """These are for Redis, HTTP and signatures. All others are extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(line.partition(">=")[0] for line in project["dependencies"]) == ["itsdangerous", "redis", "requests"]


VALUES = [
    otpkit.Budget("400 CNY/day", alerts=(0.5,)),
    otpkit.Rate(5, 3600),
    otpkit.Policy(region_sends={"CN": "5/day"}),
    otpkit.Template("SMS_1", "otpkit"),
    otpkit.Event(name="issued", operation="issue"),
    otpkit.Standing(
        phone="+8613800138000",
        blocked=True,
        consecutive_failures=100,
        sends_left=9,
        send_in=60,
        failures_left=0,
        verify_in=0,
    ),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_survives_a_pickle(value: object) -> None:
    """The copy equals the original."""
    assert pickle.loads(pickle.dumps(value)) == value


FROZEN = [
    *("Budget", "Challenge", "Decision", "Event", "FixedCode", "Guard", "Policy", "Proof", "Rate", "RiskContext"),
    *("Spending", "Standing", "Template"),
]


@pytest.mark.parametrize("name", FROZEN)
def test_a_value_is_frozen_and_slotted(name: str) -> None:
    """No attribute can be set, not even by mistake."""
    kind = getattr(otpkit, name)
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)
    assert not hasattr(object.__new__(kind), "__dict__")
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        object.__new__(kind).surprise = 1
