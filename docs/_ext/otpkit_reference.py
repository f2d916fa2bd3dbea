"""Directives that write the reference from the code, as Markdown: errors, settings, policy, commands, HTTP API, codes.

A table here can't differ from the program: it is made from what the program runs by.
"""

from __future__ import annotations

import inspect
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar, Final

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from otpkit import AsyncOTP, OTPError, Policy, RateLimitError, RegionError, WrongCodeError, errors
from otpkit.cli.commands import app as command_line
from otpkit.cli.failures import EXIT_STATUS
from otpkit.environment import CAPTCHAS, GATEWAYS, TEMPLATE, captcha_class, gateway_class, tables, variable_of
from otpkit.gateways import Failover
from otpkit.gateways.parameters import parameters_of
from otpkit.gateways.provider import Doubt, Refusal
from otpkit.models import Challenge, Event, Proof, Standing
from otpkit.service.capabilities import Capabilities
from otpkit.service.openapi import document
from otpkit.settings.tables import Service, Telemetry
from otpkit.template import Template
from otpkit.testing import Outbox

VERSION: Final = version("otpkit")

# Each gateway's tables of codes: those that say that nothing was sent, and those that leave it open.
CODES: Final = {
    "alidayu": ("otpkit.gateways.alidayu.errors", ("BUSINESS_ERRORS", "GATEWAY_ERRORS"), "UNCERTAIN"),
    "aliyun": ("otpkit.gateways.aliyun.errors", ("SMS_REFUSALS",), "UNCERTAIN"),
    "aliyun-voice": ("otpkit.gateways.aliyun.errors", ("VOICE_REFUSALS",), "UNCERTAIN"),
    "tencent": ("otpkit.gateways.tencent.errors", ("REFUSALS",), "UNCERTAIN"),
    "twilio": ("otpkit.gateways.twilio.errors", ("REFUSALS",), "UNCERTAIN"),
}
VALUES: Final = {"Challenge": Challenge, "Proof": Proof, "Standing": Standing, "Event": Event}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(_cell(each) for each in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """Return a text in code type; "" for nothing."""
    return f"`{text}`" if str(text) else ""


def error_classes() -> list[type[OTPError]]:
    """Return every public error but the root, as the tree in `otpkit.errors` has them."""

    def below(kind: type[OTPError]) -> Iterator[type[OTPError]]:
        for each in kind.__subclasses__():
            if each.__module__ == errors.__name__:
                yield each
                yield from below(each)

    return list(below(OTPError))


def _sample(kind: type[OTPError]) -> OTPError:
    if kind is WrongCodeError:
        return WrongCodeError(attempts_left=2)
    if kind is RateLimitError:
        return RateLimitError(retry_after=60)
    if kind is RegionError:
        return RegionError(served=("+86",))
    return kind()


def errors_table(language: str) -> str:
    """Return the errors with their codes, their HTTP status, their evidence and the sentence for the person."""
    rows = []
    for kind in error_classes():
        sample = _sample(kind)
        evidence = sorted(vars(sample).keys() - {"problem", "remedy", "retry_after"})
        waits = ["retry_after"] if kind in {RateLimitError, errors.GatewayRejectedError} else []
        said = sample.message(language)
        rows.append(
            [
                code(kind.__name__),
                code(kind.code),
                str(kind.status),
                ", ".join(map(code, evidence + waits)),
                said,
            ]
        )
    return table(["Error", "code", "status", "Evidence", "Sentence for the person"], rows)


def codes_table(gateway: str) -> str:
    """Return every error code that a gateway's adapter knows, with its category and what to do."""
    name, refusals, doubts = CODES[gateway]
    module = import_module(name)
    found: dict[str, Refusal | Doubt] = {}
    for each in refusals:
        found |= getattr(module, each)
    found |= getattr(module, doubts)
    sources = list(dict.fromkeys(row.source for row in found.values()))
    rows = [
        [
            code(key),
            code(row.category) if isinstance(row, Refusal) else "uncertain",
            row.problem,
            row.remedy,
            f"[{sources.index(row.source) + 1}]" if row.source else "",
        ]
        for key, row in found.items()
    ]
    listed = "\n".join(
        f"{place}. {f'<{each}>' if each.startswith('http') else each}" for place, each in enumerate(sources, 1)
    )
    return f"{table(['Code', 'Category', 'Meaning', 'What to do', 'Source'], rows)}\n\nSources:\n\n{listed}"


def _default(build: Any, name: str) -> str:
    found = inspect.signature(build).parameters.get(name)
    if found is None or found.default in {inspect.Parameter.empty, None}:
        return ""
    value = " ".join(map(str, found.default)) if isinstance(found.default, tuple) else str(found.default)
    return code(value)


def settings_tables() -> str:
    """Return all settings: the variable, the name in a file, what belongs into it, and the default."""
    head = ["Variable", "In a file", "What it is", "Default"]
    titles = {
        "": "The OTP",
        "template": "The template",
        "failover": "Several gateways: `[failover]`",
        "guard": "The guard: `[guard]`",
        **{name: f"The captcha `{name}`" for name in CAPTCHAS},
    }
    builds: dict[str, Any] = {"failover": Failover, "template": Template}
    builds |= {name: gateway_class(name) for name in GATEWAYS} | {name: captcha_class(name) for name in CAPTCHAS}
    of_each = {f"template_{each.name}" for each in TEMPLATE} | {"templates"}
    parts = []
    for name, settings in tables().items():
        build = builds.get(name)
        rows = [
            [
                code(variable_of(name, each.name)),
                code(each.name if not name else f"{name.replace('-', '_')}.{each.name}"),
                f"{each.about}{' (required)' if each.required else ''}",
                "" if build is None else _default(build, each.name),
            ]
            for each in settings.values()
            if not (name in GATEWAYS and each.name in of_each)
        ]
        kind = "gateway" if name in GATEWAYS else "captcha"
        parts.append(f"## {titles.get(name, f'The {kind} `{name}`')}\n\n{table(head, rows)}")
    service = [
        [code(variable_of("service", name)), code(f"service.{name}"), "", code(field.default or "")]
        for name, field in Service.model_fields.items()
    ]
    parts.append(f"## The service\n\n{table(['Variable', 'In a file', 'What it is', 'Default'], _described(service))}")
    telemetry = [
        [code(variable_of("telemetry", name)), code(f"telemetry.{name}"), *_TELEMETRY[name]]
        for name in Telemetry.model_fields
    ]
    parts.append(f"## Telemetry\n\n{table(['Variable', 'In a file', 'What it is', 'Default'], telemetry)}")
    return "\n\n".join(parts)


_TELEMETRY: Final = {
    "log": ("1 logs each event, `json` does so in JSON", "0"),
    "webhook_url": ("the URL to post events to", ""),
    "webhook_secret": ("its secret, from `otpkit keygen --webhook`; several are separated by blanks, and all sign", ""),
    "webhook_names": ("the names of the events to post, separated by blanks; all by default", ""),
    "webhook_source": ("the name of this program in the events", "`otpkit`"),
    "prometheus": (
        "1 counts events in the default registry of `prometheus_client`; `otpkit serve` always counts, in its own",
        "0",
    ),
    "otel": ("1 exports traces and metrics by OTLP, for which it needs the extra `otlp`", "0"),
}
_SERVICE: Final = {
    "host": "the address to listen on",
    "port": "the port to listen on; 0 takes a free one",
    "gateway_wait": "seconds that a message may wait for its turn at the gateway, 0–30",
    "gateway_concurrency": "how many messages a gateway is handed at a time, 1–10,000; 32 by default, 512 with aiohttp",
    "forwarded_hops": "how many proxies of yours add to X-Forwarded-For, 0–16; 0 counts no address",
    "receipts_secret": "the secret in the path of receipts: at least 32 characters that a URL can hold",
    "public_url": "the URL under which providers reach the service",
    "workers": "how many processes serve, 1–64",
    "access_log": "1 logs each request as a line of JSON",
}


def _described(rows: list[list[str]]) -> list[list[str]]:
    return [
        [variable, name, _SERVICE.get(name.strip("`").removeprefix("service."), ""), default]
        for variable, name, _, default in rows
    ]


def gateway_settings(gateway: str) -> str:
    """Return the settings of one gateway."""
    build = gateway_class(gateway)
    rows = [
        [code(each.name), code(variable_of(gateway, each.name)), each.about, _default(build, each.name)]
        for each in parameters_of(build).values()
    ]
    return table(["Argument", "Variable", "What it is", "Default"], rows)


_ARGUMENT: Final = re.compile(r"^    (\w+): (.*?)(?=^ {,4}\S|\Z)", re.MULTILINE | re.DOTALL)


def policy_table() -> str:
    """Return the fields of a policy."""
    _, _, listed = (inspect.getdoc(Policy) or "").partition("Args:\n")
    about = dict(_ARGUMENT.findall(listed))
    rows = []
    for field in fields(Policy):
        default: Any = field.default if field.default is not MISSING else {}
        shown = (
            "none"
            if default in (None, {})
            else ", ".join(sorted(default))
            if isinstance(default, frozenset)
            else default
        )
        rows.append([code(field.name), code(shown), about[field.name]])
    return table(["Field", "Default", "What it is, and its bounds"], rows)


def fields_table(name: str) -> str:
    """Return the fields of a value, with their types."""
    rows = [
        [code(field.name), code(str(field.type))] for field in fields(VALUES[name]) if not field.name.startswith("_")
    ]
    return table(["Field", "Type"], rows)


def commands() -> str:
    """Return every command of the command line with its arguments and options."""
    root: Any = typer.main.get_command(command_line)  # Typer has a Click of its own, without types.
    parts = []
    for name, command in root.commands.items():
        inner = root.context_class(command, info_name=f"otpkit {name}")
        rows = []
        for parameter in command.params:
            shown = parameter.get_help_record(inner) or (parameter.make_metavar(inner), parameter.help or "")
            rows.append([code(shown[0]), shown[1]])
        usage = " ".join([f"otpkit {name}", *command.collect_usage_pieces(inner)])
        listed = f"\n\n{table(['Argument or option', 'What it is'], rows)}" if rows else ""
        parts.append(f"### otpkit {name}\n\n`{usage}`\n\n{inspect.cleandoc(command.help or '')}{listed}")
    return "\n\n".join(parts)


def exit_statuses() -> str:
    """Return the exit statuses of the command line."""
    rows = [["0", "done"], ["1", "`doctor` or `numbers` found a problem, or the output can't be written"]]
    rows += [[str(status), code(kind.__name__)] for kind, status in EXIT_STATUS.items()]
    rows[2][1] = "wrong usage, or `ConfigurationError`"
    return table(["Exit status", "Meaning"], [*rows, ["130", "interrupted"]])


def http_api() -> str:
    """Return the calls of the HTTP API from its OpenAPI document."""
    otp = AsyncOTP("memory://", Outbox(), Template("SMS_000000", "otpkit"), secrets.token_bytes(32))
    found = document(Capabilities(otp))
    parts = []
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            answers = [[status, answer["description"]] for status, answer in sorted(operation["responses"].items())]
            body = _body(operation, found["components"]["schemas"])
            parts.append(
                f"## {method.upper()} {path}\n\n{operation['summary']}. {operation.get('description', '')}\n\n"
                f"{body}{table(['Status', 'Meaning'], answers)}"
            )
    return "\n\n".join(parts)


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return ""
    schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
    needed = schema.get("required", [])
    rows = [
        [code(name), "yes" if name in needed else "no", str(field.get("description", ""))]
        for name, field in schema["properties"].items()
    ]
    return f"{table(['Field', 'Required', 'What it is'], rows)}\n\n"


class _Reference(SphinxDirective):
    """A directive whose content is Markdown that a function of this module returns."""

    optional_arguments = 1

    def markdown(self) -> str:
        """Return the Markdown to put in place of the directive."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown."""
        return self.parse_text_to_nodes(self.markdown(), allow_section_headings=True)


class Errors(_Reference):
    def markdown(self) -> str:
        return errors_table("zh" if self.config.language.startswith("zh") else "en")


class Codes(_Reference):
    required_arguments = 1
    optional_arguments = 0

    def markdown(self) -> str:
        return codes_table(self.arguments[0])


class GatewaySettings(_Reference):
    required_arguments = 1
    optional_arguments = 0

    def markdown(self) -> str:
        return gateway_settings(self.arguments[0])


class Fields(_Reference):
    required_arguments = 1
    optional_arguments = 0

    def markdown(self) -> str:
        return fields_table(self.arguments[0])


class Whole(_Reference):
    """A part of the reference that takes no argument."""

    PARTS: ClassVar = {
        "settings": settings_tables,
        "policy": policy_table,
        "commands": commands,
        "exit-statuses": exit_statuses,
        "http-api": http_api,
    }
    required_arguments = 1
    optional_arguments = 0

    def markdown(self) -> str:
        return self.PARTS[self.arguments[0]]()


_CODE: Final = re.compile(r"(?<![`\\w:])`([^`\n]+)`(?!`)(?=(\w?))")


def mark_code(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn what stands between single backticks in a docstring, as Markdown has it, into code."""
    lines[:] = [_CODE.sub(lambda found: f"``{found[1]}``{chr(92) if found[2] else ''}", line) for line in lines]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directives to Sphinx."""
    app.connect("autodoc-process-docstring", mark_code, priority=100)
    app.add_directive("otpkit-errors", Errors)
    app.add_directive("otpkit-codes", Codes)
    app.add_directive("otpkit-gateway", GatewaySettings)
    app.add_directive("otpkit-fields", Fields)
    app.add_directive("otpkit-reference", Whole)
    return {"version": VERSION, "parallel_read_safe": True, "parallel_write_safe": True}
