"""The HTML of the forms: one template, two languages, no third party."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from otpkit.errors import ConfigurationError
from otpkit.web.forms import View

try:
    import jinja2
except ImportError as missing:
    raise ConfigurationError(
        "The pages need jinja2; run: pip install jinja2, or one of the extras fastapi, flask and django."
    ) from missing


def render(view: View) -> str:
    """Return the page for a view."""
    return _template().render(view=view)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("phone.html")
