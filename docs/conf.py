"""Settings of Sphinx: pages in Markdown, reference from docstrings and help texts."""

import tvseg
from tvseg.evaluation.schema import COLUMNS

project = "tvseg"
author = "The tvseg authors"
copyright = "2026, the tvseg authors"  # noqa: A001  (Sphinx's name)
version = release = tvseg.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"tvseg {release}"
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["deflist", "dollarmath", "substitution"]
_rows = [f"| `{name}` | {meaning} |" for name, meaning in COLUMNS.items()]
myst_substitutions = {"columns": "\n".join(["| column | holds |", "|---|---|", *_rows])}
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
add_module_names = False
default_role = "code"
