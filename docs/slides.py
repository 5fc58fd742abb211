"""Slides: a deck for each notebook, from its cells that are tagged ``slide``.

A deck has the notebook's title and goals, each tagged figure with what the run found,
the formulas of its section, and the summary. The site's build writes the decks, with
reveal.js beside them; ``python docs/slides.py site`` prints each to a PDF.
"""

import html
import json
import re
import shutil
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from string import Template

from markdown_it import MarkdownIt

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title: slides</title>
<link rel="icon" href="../_static/icon.svg">
<link rel="stylesheet" href="reveal/reveal.css">
<link rel="stylesheet" href="reveal/theme/white.css">
<style>
.reveal { font-family: system-ui, sans-serif; font-size: 28px; text-align: left; }
.reveal :is(h1, h2) { font-family: inherit; text-transform: none; font-size: 1.5em; }
.reveal .slides section { text-align: left; }
.reveal section :is(img, .drawing svg) { display: block; margin: 0 auto 12px;
  width: 100%; height: 440px; max-height: none; object-fit: contain; }
.reveal .said { font-size: 0.75em; }
.reveal .found { font-size: 0.55em; columns: 2; }
.reveal .found ul { display: block; margin: 0; }
</style>
</head>
<body>
<div class="reveal"><div class="slides">
$slides
</div></div>
<script>MathJax = {options: {enableMenu: false}};</script>
<script src="../_static/mathjax/tex-mml-chtml.js"></script>
<script src="reveal/reveal.js"></script>
<script>
Reveal.initialize({width: 1280, height: 720, hash: true, transition: "none",
  slideNumber: true, pdfSeparateFragments: false});
</script>
</body>
</html>
""")
render = MarkdownIt("commonmark").render


def of(value) -> str:
    """A text of a notebook's file, which may be a list of lines."""
    return "".join(value)


def deck(notebook: dict) -> tuple[str, list[str]]:
    """The title of a notebook, and its slides in HTML."""
    cells = notebook["cells"]
    opening = of(cells[0]["source"])
    title = re.match(r"# (.*)", opening)[1]
    goals = re.search(r"\*\*You will learn\*\*\n\n((?:[- ] ?.*\n)+)", opening)[0]
    slides = [f"<h1>{html.escape(title)}</h1>{render(goals)}"]
    heading, formulas = title, []
    for cell in cells[1:]:
        source = of(cell["source"])
        if cell["cell_type"] == "markdown":
            if found := re.findall(r"^## (.*)", source, re.MULTILINE):
                heading, formulas = found[-1], []
            for formula in re.findall(r"\$\$(.+?)\$\$", source, re.DOTALL):
                formulas += re.split(r",\s*\\qquad", formula)  # a line for each
        elif "slide" in cell["metadata"].get("tags", []):
            head = f"<h2>{html.escape(heading)}</h2>"
            if formulas:
                said = "".join(f"<p>$${html.escape(f)}$$</p>" for f in formulas)
                slides.append(head + said)
                formulas = []
            slides += [head + figure for figure in figures(cell)]
        elif source.strip() == "findings()":
            shown = "".join(of(o["data"]["text/html"]) for o in cell["outputs"])
            slides.append(f"<h2>What this run found</h2><div class=found>{shown}</div>")
    return title, slides


def figures(cell: dict) -> list[str]:
    """A slide for each figure of a cell; what was found stands under the last."""
    alt = html.escape(cell["metadata"]["mystnb"]["image"]["alt"])
    shown, said = [], ""
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            png = of(data["image/png"]).strip()
            shown.append(f'<img alt="{alt}" src="data:image/png;base64,{png}">')
        elif "image/svg+xml" in data:
            svg = of(data["image/svg+xml"])
            svg = svg.replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)
            shown.append(f"<div class=drawing>{svg}</div>")
        elif re.search("In this run|Not here", text := of(data.get("text/html", ""))):
            said += text
    shown[-1] += f"<div class=said>{said}</div>"
    return shown


def write(root: Path, out: Path) -> None:
    """Write the decks of all notebooks to ``out/slides``, with reveal.js."""
    package = Path(find_spec("sphinx_revealjs").origin).parent
    folder = out / "slides"
    kept = shutil.ignore_patterns("*.map", "*.esm.js")
    origin = package / "_static" / "revealjs" / "dist"
    shutil.copytree(origin, folder / "reveal", ignore=kept, dirs_exist_ok=True)
    for path in sorted((root / "notebooks").glob("[0-9]*.ipynb")):
        title, slides = deck(json.loads(path.read_text(encoding="utf-8")))
        shown = "\n".join(f"<section>{slide}</section>" for slide in slides)
        page = PAGE.substitute(title=html.escape(title), slides=shown)
        (folder / f"{path.stem[:2]}.html").write_text(page, encoding="utf-8")


def print_pdfs(folder: Path) -> None:
    """Print each deck of a folder to a PDF beside it, with Chromium or Chrome."""
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        sys.exit("error: no Chromium found; install Chromium or Chrome")
    handler = partial(SimpleHTTPRequestHandler, directory=folder.parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-gpu"]
        )
        for deck in sorted(folder.glob("[0-9]*.html")):
            page = started.new_page()
            address = f"http://127.0.0.1:{server.server_port}/slides/{deck.name}"
            page.goto(f"{address}?print-pdf", wait_until="networkidle")
            page.wait_for_selector(".pdf-page")
            pdf = deck.with_suffix(".pdf")
            page.pdf(path=pdf, prefer_css_page_size=True, print_background=True)
            print(f"{pdf}: {pdf.stat().st_size / 1024:.0f} kB")
            page.close()
        started.close()
    server.shutdown()


if __name__ == "__main__":
    print_pdfs(Path(sys.argv[1]) / "slides")
