"""The OpenAPI document: every operation with all its statuses, headers and examples."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from otpkit.languages import languages, tag
from otpkit.service.capabilities import Capabilities
from otpkit.service.operations import ALWAYS, OPERATIONS, Operation
from otpkit.web import MEDIA_TYPE, schemas

JSON = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/"
_DESCRIPTION: Final = """Phone verification by one-time codes: issue, verify, redeem.

Every error is a problem document (RFC 9457) with a stable word in `code`. **401** is about the API key. **403** is
about what the key may do, or about a captcha. **422** means that the same request can never succeed. **409** means that
the code or the proof is not valid. **429** and **503** mean that it may succeed later. `Accept-Language` selects
English or Chinese for `detail`. Unknown fields are refused. Times are RFC 3339, durations are whole seconds.

Every response has an `X-Request-Id`, which a problem document repeats as `request_id`. Send the header to choose it.

With an `Idempotency-Key`, a request that is sent twice has one effect. Its answer is the same while its result lives.
For a challenge, a message and a redemption, `replayed` marks the second answer.
"""
_MEANINGS: Final = schemas.MEANINGS | {
    400: "The body is not JSON.",
    401: "The API key is missing or unknown.",
    403: "The API key may not be used for this purpose or operation: `forbidden`. For a message also "
    "`captcha_required`, `captcha_rejected` and `refused`.",
    404: "There is no live challenge, or no such path.",
    409: "The code or the proof is not valid: `wrong_code`, `expired_code`, `invalid_token`, `expired_token`, "
    "`used_token`.",
    413: "The body is too long: more than 16 KiB, or, for receipts, more than the gateway's provider pushes.",
    422: "A field is missing, unknown or not valid: `invalid_request`, `phone`, `region`, `malformed_code`.",
    500: "An internal error of the service.",
}
_KEY_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Identifies this request, such as a form's hidden id.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "example": "7f9c2ba4",
}
_ANY_OBJECT: Final = {"application/json": {"schema": {"type": "object", "additionalProperties": True}}}
# Any content type. Client generators do not support `*/*`.
_ANY_BODY: Final = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_MODELS: Final = (
    schemas.ChallengeRequest,
    schemas.SendRequest,
    schemas.ChallengeQuery,
    schemas.VerificationRequest,
    schemas.RedemptionRequest,
    schemas.DeviceQuery,
    schemas.DevicesQuery,
    schemas.AuditQuery,
    schemas.StatsQuery,
    schemas.ChallengeAnswer,
    schemas.SentAnswer,
    schemas.ProofAnswer,
    schemas.DeliveryAnswer,
    schemas.DeviceAnswer,
    schemas.AuditAnswer,
    schemas.StatsAnswer,
    schemas.HealthAnswer,
    schemas.ProblemDocument,
)


def document(capabilities: Capabilities) -> JSON:
    """Return the document for a service. Its policy defines the length of a code and the format of a phone."""
    paths: JSON = {operation.path: {"post": _operation(operation)} for operation in OPERATIONS}
    paths |= {
        "/healthz": {"get": _read("live", "Check that the process runs", _json_content(schemas.HealthAnswer))},
        "/readyz": {"get": _read("ready", "Check that the store responds", _json_content(schemas.HealthAnswer), 503)},
        "/metrics": {
            "get": _read(
                "metrics",
                "Get Prometheus metrics; events only of the key's purposes",
                _text_content(),
                401,
                secured=True,
            )
        },
        "/openapi.json": {"get": _read("openapi", "Get this document", _ANY_OBJECT)},
        "/receipts/{secret}/{gateway}": {"post": _receipts()},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "otpkit", "version": version("otpkit"), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": _schemas(capabilities),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


class _ClientSchema(GenerateJsonSchema):
    """JSON Schema in a form that client generators read well.

    A nullable field has two types and no `anyOf`, which would become a separate class in Go. There are no defaults: an
    optional field with a default would become required in TypeScript.
    """

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JSON:
        """Add null to the type."""
        found = self.generate_inner(schema["schema"])
        return {**found, "type": [found["type"], "null"]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JSON:
        """Leave the default out."""
        return self.generate_inner(schema["schema"])


def _schemas(capabilities: Capabilities) -> JSON:
    """Return the schemas of the models, with the values that this service accepts."""
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in _MODELS]
    reference = _REFERENCE + "{model}"
    _, found = models_json_schema(modes, ref_template=reference, schema_generator=_ClientSchema)
    own = {
        "phone": capabilities.phone_schema,
        "code": capabilities.code_schema,
        "region": {"enum": capabilities.regions},
        "channel": {"enum": capabilities.channels},
        "params": capabilities.params_schema,
    }
    schemas: JSON = found["$defs"]
    requests = [schema for schema in schemas.values() if schema.get("additionalProperties") is False]
    for schema in requests:
        fields = schema["properties"]
        for name in fields.keys() & own:
            if name == "code" and "pattern" in fields[name]:
                continue  # The code of another system has its own form.
            fields[name].update(own[name])
            if "enum" in own[name] and "null" in fields[name]["type"]:
                fields[name]["enum"] = [*own[name]["enum"], None]
    return schemas


def _operation(operation: Operation) -> JSON:
    answers = {
        str(status): _response(meaning, _json_content(model) if model else None)
        for status, (meaning, model) in operation.answers.items()
    }
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "security": [{"key": []}],
        "parameters": [_KEY_PARAMETER] if operation.takes_key else [],
        "requestBody": {"required": True, "content": _json_content(operation.body)},
        "responses": answers | _problems(*ALWAYS, *operation.problems),
    }


def _read(name: str, summary: str, content: JSON, *problems: int, secured: bool = False) -> JSON:
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"key": []}] if secured else [],
        "responses": {"200": {"description": "Success.", "content": content}} | _problems(*problems, 500),
    }


def _receipts() -> JSON:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in ("secret", "gateway")
    ]
    texts: JSON = {kind: {"schema": {}} for kind in ("application/json", "text/xml", "text/plain")}
    answers = {
        "200": {"description": "The response that this provider expects.", "content": texts},
        "400": {"description": "The receipts can't be read.", "content": texts},
        "403": {"description": "The signature of the provider is missing or wrong.", "content": texts},
    }
    return {
        "operationId": "receive",
        "summary": "Receive receipts from a gateway",
        "description": "Only for gateways, at the URL that you set at the provider. `secret` is the service's own.",
        "security": [],
        "parameters": parameters,
        "requestBody": {"required": False, "content": _ANY_BODY},
        "responses": answers | _problems(404, 413, 500, 503),
    }


def _problems(*statuses: int) -> JSON:
    return {
        str(status): _response(
            _MEANINGS[status],
            {MEDIA_TYPE: {"schema": {"$ref": f"{_REFERENCE}ProblemDocument"}}},
            _problem_headers(status),
        )
        for status in sorted(statuses)
    }


def _problem_headers(status: int) -> JSON:
    language = {
        "Content-Language": _header({"type": "string", "enum": [tag(each) for each in languages()]}, required=True)
    }
    if status == 401:
        language["WWW-Authenticate"] = _header({"type": "string", "const": "Bearer"}, required=True)
    if status in {429, 502, 503}:
        language["Retry-After"] = _header({"type": "integer", "minimum": 1})
    if status == 429:
        language["RateLimit"] = _header({"type": "string"})
        language["RateLimit-Policy"] = _header({"type": "string"})
    return language


def _response(description: str, content: JSON | None, headers: JSON | None = None) -> JSON:
    every: JSON = {
        "Cache-Control": _header({"type": "string", "const": "no-store"}, required=True),
        "X-Request-Id": _header({"type": "string"}),
    }
    answer: JSON = {"description": description, "headers": every | (headers or {})}
    return answer | ({} if content is None else {"content": content})


def _header(schema: JSON, *, required: bool = False) -> JSON:
    return {"required": required, "schema": schema}


def _json_content(model: type[BaseModel]) -> JSON:
    return {"application/json": {"schema": {"$ref": _REFERENCE + model.__name__}}}


def _text_content() -> JSON:
    return {"text/plain": {"schema": {"type": "string"}}}
