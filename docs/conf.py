"""The documentation's site: `make docs` builds it into build/docs, with warnings as errors.

The source folder is the whole repository, so that README.md, CONTRIBUTING.md and the rooms' READMEs are pages
where they lie, and links between pages work in an editor and on the site alike.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))  # the docstrings of this tree, not of an installed version
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "src/batch_processing/__init__.py").read_text(encoding="utf-8")
)

project = "Lote"
author = "The Lote authors"
copyright = "The Lote authors, Apache-2.0"  # noqa: A001 - Sphinx's name
release = VERSION[1] if VERSION else ""

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = [
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/*.md", "src/batch_processing/*/README.md",
]  # fmt: skip
exclude_patterns = [".*", "build", "dist", "demo", "tests", "benchmarks"]  # else looked through, page by page

myst_heading_anchors = 4  # `flats.md#the-palette`, as on the web pages of a repository
suppress_warnings = ["myst.header"]  # the changelog's headings may begin anew

# Docstrings are plain text with code in single backticks, and lists as in Markdown (see `setup`).
default_role = "literal"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"Lote {release}"
html_extra_path = ["site"]  # index.html, which leads to docs/index.html
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#a3541f", "color-brand-content": "#a3541f"},
    "dark_css_variables": {"color-brand-primary": "#e0955c", "color-brand-content": "#e0955c"},
}


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", _part_lists)


def _part_lists(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put the empty line before and after a list that reStructuredText asks for, and our docstrings leave out."""
    parted: list[str] = []
    listing = False
    for line in lines:
        item = line.startswith(("* ", "- "))
        if parted and parted[-1] and ((item and not listing) or (listing and not item and line[:1].strip())):
            parted.append("")
        listing = item or (listing and not line[:1].strip())
        parted.append(line)
    lines[:] = parted
