"""The configuration of Sphinx. `nox -s docs` builds both languages; nothing is fetched from the network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import otpkit_reference

project = "otpkit"
author = "the otpkit authors"
copyright = "the otpkit authors"
version = release = otpkit_reference.VERSION

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "otpkit_conformance", "otpkit_reference"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"otpkit {release}"
html_static_path = ["_static"]
html_show_copyright = False
html_show_sourcelink = False

language = "en"
locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False

myst_enable_extensions = ["attrs_block", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]

# Docstrings are written for readers of the source: a name between single backticks is code.
default_role = "code"
# Docstrings name classes of Python and of ours that have no page: those are no links.
nitpick_ignore_regex = [("py:.*", ".*")]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
