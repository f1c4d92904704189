"""The documentation as a site: `make docs`."""

import re
from importlib.metadata import version as version_of

project = "pose2mesh"
author = "the pose2mesh authors"
copyright = "2026, the pose2mesh authors"
version = release = version_of("pose2mesh")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
# Two pages are tables that a script writes, without a heading.
suppress_warnings = ["toc.no_title"]
html_theme = "furo"
html_title = f"pose2mesh {release}"

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# The notebook is run by a test; the site shows the outputs that are saved in it.
nb_execution_mode = "off"

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def as_code(app, what, name, obj, options, lines):
    """Docstrings mark code by single backticks, as Markdown does; in reStructuredText that takes two."""
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``\\ ", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", as_code)
