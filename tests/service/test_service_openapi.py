"""The contract holds: schemathesis asks whatever the OpenAPI document allows and forbids, and finds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from service_stage import KEY, Stage, serving

EXAMPLES = 30  # of each operation


@pytest.fixture(scope="module")
def stage(valkey_url: str) -> Iterator[Stage]:
    """A service whose limits let the whole test through."""
    with serving(valkey_url, namespace=f"t{uuid4().hex[:12]}") as served:
        yield served


@pytest.fixture
def contract(stage: Stage) -> schemathesis.BaseSchema:
    """The document, as it is served."""
    config = schemathesis.Config()
    config.generation.update(max_examples=EXAMPLES, deterministic=True)
    return schemathesis.openapi.from_url(f"{stage.base_url}/openapi.json", config=config)


schema = schemathesis.pytest.from_fixture("contract")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
def test_nothing_that_the_document_says_is_untrue(case: schemathesis.Case) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"})
