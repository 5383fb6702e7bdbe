"""Configuration of the site (Sphinx): `make -C docs html`. The pages are the Markdown files of the repository."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]
os.environ.setdefault("MPLBACKEND", "Agg")

import ziamath  # noqa: E402

import mlpcore  # noqa: E402

project, author, copyright = "mlpcore", "the authors of mlpcore", "the authors of mlpcore, BSD-3-Clause"
version = release = mlpcore.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "site_pages",
    "reference_pages",
    "docstrings",
    "notebooks",
    "mathml",
    "printed_program",
]
exclude_patterns = ["_build", "_ext", "examples", "gallery/README.rst"]

# Markdown as GitHub reads it, with dollars around formulas and anchors for headings.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["myst.header", "config.cache"]

# Docstrings are plain paragraphs; single backticks name Python objects, double ones formulas.
default_role = "py:obj"
smartquotes = False  # "float32" is what is typed
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 110
python_use_unqualified_type_names = True
add_module_names = False

# Types in signatures are not looked up; every name in single backticks is, or belongs to another library.
nitpick_ignore_regex = [
    ("py:class", ".*"),
    (
        "py:obj",
        r"(optuna|numpy|scipy|joblib)\.\w+|\w*SearchCV|Pipeline|RandomState|cross_val_predict|FitFailedWarning|set_output",
    ),
]

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "mlpcore"
html_static_path = ["_static", str(Path(ziamath.__file__).parent / "fonts")]  # STIX Two Math
html_css_files = ["site.css"]
html_show_sourcelink = False
html_show_search_summary = False  # a page that is opened as a file may not read others
html_context = {"default_mode": "auto"}
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

plot_gallery = "QUICK" not in os.environ  # whether programs and notebooks run
sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["programs"],
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "write_computation_times": False,
    "capture_repr": (),
    "show_memory": False,
    "show_signature": False,
    "plot_gallery": True,
    "reset_modules": ("matplotlib", "gallery_style.reset"),
    "min_reported_time": 0,
    "remove_config_comments": True,
}
