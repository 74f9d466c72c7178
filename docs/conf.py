"""Configuration of the documentation site; ``make docs`` builds it without a network."""

import sys
from pathlib import Path

import trisk

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "extensions"))

from external import write_inventories  # noqa: E402

project = "trisk"
author = "The trisk developers"
project_copyright = "The trisk developers, MIT licence"
release = version = trisk.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "sphinx_codeautolink",
    # In docs/extensions.
    "api",
    "drawings",
    "equations",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py", "gallery/*.zip"]
templates_path = ["templates"]
nitpicky = True
suppress_warnings = [
    # Names in import lines of some scripts, and blocks whose last line is a comment, get no link.
    "codeautolink.match_name",
    "codeautolink.match_block",
]
nitpick_ignore_regex = [
    # Private: named in docstrings for those who read the code.
    ("py:.*", r"trisk\.nn\..*"),
]

# Pages
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

# API: texts come from numpydoc docstrings, types stand there.
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
codeautolink_autodoc_inject = False

# Links to other projects, from names listed in docs/extensions/external.toml: no download.
intersphinx_mapping = write_inventories(DOCS / "_build" / "inventories")
intersphinx_disabled_reftypes = ["std:*"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "api.gallery_order",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("trisk",),
    "reference_url": {"trisk": None},
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "matplotlib_animations": False,
    "min_reported_time": 1,
    "reset_argv": "api.gallery_arguments",
}

html_theme = "pydata_sphinx_theme"
html_title = "trisk"
html_static_path = ["static"]
html_css_files = ["site.css"]
# Pages without pages below them.
html_sidebars = {page: [] for page in ("start", "choose", "glossary", "migration", "changelog")}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "trisk"},
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
