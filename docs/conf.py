"""The website: ``make site`` builds it into site/, offline, from committed outputs.

The source folder is the repository, so that links between docs, notebooks and drawings
are the same here and on a code host. Nothing is executed.
"""

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import slides  # noqa: E402
from settings_table import settings_table  # noqa: E402

from vqlib import __version__  # noqa: E402

project = "VAE vs VQ-VAE"
author = "the vqlib authors"
copyright = "the vqlib authors, MIT licence"
release = version = __version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb"]
# not pages; of the folders, those that a search for pages should not walk through
exclude_patterns = ["docs/_*", "**/.ipynb_checkpoints"]
exclude_patterns += [".*", "build", "cache", "data", "runs", "site", "tests"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
myst_enable_extensions = ["amsmath", "dollarmath", "substitution"]
myst_heading_anchors = 4
myst_substitutions = {"settings": settings_table()}

default_role = "py:obj"  # `Name` in docstrings is a link where there is such a name
autodoc_typehints = "none"  # signatures have them already
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # not what torch says of every module
autodoc_default_options = {"members": True}
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
add_module_names = False
napoleon_use_ivar = True

html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_source_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}
html_favicon = "_static/icon.svg"
html_show_sourcelink = False
html_copy_source = False
# the generator as a page, where `make demo` has made it
DEMO = ROOT / "build" / "demo"
if DEMO.is_dir():
    tags.add("demo")  # noqa: F821
# the site's own address leads to the home page
templates_path = ["_templates"]
html_additional_pages = {"index": "to_home.html"}
mathjax_path = "mathjax/tex-mml-chtml.js"


def fold_solutions(app, docname, source):
    """Solutions of exercises are folded on the site."""
    if not docname.startswith("notebooks/"):
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if "solution" in cell["metadata"].get("tags", []):
            cell["metadata"]["tags"].append("hide-cell")
            words = {"code_prompt_show": "Show a solution"}
            words["code_prompt_hide"] = "Hide the solution"
            cell["metadata"].setdefault("mystnb", {}).update(words)
    source[0] = json.dumps(notebook)


def add_files(app, failed):
    """MathJax, so that formulas need no other host; the demo; and the slides."""
    if failed or app.builder.name != "html":
        return
    origin = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax"
    kept = Path(app.outdir, "_static", "mathjax")
    for part in ("input/tex/extensions", "output/chtml"):
        shutil.copytree(origin / part, kept / part, dirs_exist_ok=True)
    shutil.copy2(origin / "tex-mml-chtml.js", kept)
    if DEMO.is_dir():
        shutil.copytree(DEMO, Path(app.outdir, "docs", "demo"), dirs_exist_ok=True)
    slides.write(ROOT, Path(app.outdir))


def setup(app):
    app.connect("source-read", fold_solutions)
    app.connect("build-finished", add_files)
