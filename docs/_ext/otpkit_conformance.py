"""The role `test`: {test}`attacks/test_races.py::test_fifty_redemptions_are_one` is the name of a test.

The build fails if a page with `conformance: true` in its front matter names a test that is gone, or if a row of its
tables names none.

The role `enumerated`: {enumerated}`states` is a number of tests/interleavings/states.json.
"""

from __future__ import annotations

import json

from docutils import nodes
from named_tests import TESTS, problems_of
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole
from sphinx.util.typing import ExtensionMetadata

_FRONT_MATTER = "---\nconformance: true\n"
_logger = logging.getLogger(__name__)


class TestRole(SphinxRole):
    """The name of a test, without the path of its file."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the name in code type."""
        name = self.text.rpartition("::")[2]
        return [nodes.literal(name, name)], []


class EnumeratedRole(SphinxRole):
    """A number of what the tests enumerate: `scenarios`, `states`, `steps` or `orders`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the number, with commas."""
        kept = json.loads((TESTS / "interleavings" / "states.json").read_text(encoding="utf-8"))
        return [nodes.Text(f"{kept['together'][self.text]:,}")], []


def check_page(_app: Sphinx, page: str, source: list[str]) -> None:
    """Warn of each problem of a conformance page."""
    if source[0].startswith(_FRONT_MATTER):
        for problem in problems_of(source[0]):
            _logger.warning(problem, location=page, type="otpkit", subtype="test")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the role and the check."""
    app.add_role("test", TestRole())
    app.add_role("enumerated", EnumeratedRole())
    app.connect("source-read", check_page)
    return {"version": "1", "parallel_read_safe": True}
