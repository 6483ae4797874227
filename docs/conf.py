"""How Sphinx builds the documentation."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "trionitro"
author = "The trionitro developers"
copyright = "2026, The trionitro developers"
release = version = version_of("trionitro")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"trionitro {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"

napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Cancellation", "Error handling", "Resource handling"]
