"""Every page of the website, opened as readers open it: wide and on a phone, light and
dark. The site is built once, and served without any other host in reach."""

import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest
from notebook_page import ARTEFACTS

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
LOOK = """() => ({
  links: [...document.querySelectorAll("a[href]")].map(a => a.href),
  ids: [...document.querySelectorAll("[id]")].map(e => e.id),
  headings: [...document.querySelectorAll("article :is(h1,h2,h3,h4,h5,h6)")]
    .map(h => Number(h.tagName[1])),
  alone: [...document.images].filter(i => !i.alt.trim() || i.alt.includes("_images"))
    .map(i => i.src),
  broken: [...document.images].filter(i => !i.naturalWidth).map(i => i.src),
  wide: document.documentElement.scrollWidth - innerWidth,
})"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the site, built as ``make site`` does."""
    out = tmp_path_factory.mktemp("site") / "html"
    command = [sys.executable, "-m", "sphinx", "-c", "docs", "-b", "html", "-q", "-W"]
    built = subprocess.run(
        [*command, "--keep-going", "-d", out.parent / "doctrees", ".", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=out))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", out
    server.shutdown()


def pages_of(out: Path) -> list[str]:
    found = (path.relative_to(out).as_posix() for path in out.rglob("*.html"))
    return sorted(page for page in found if not page.startswith("_"))


def test_every_page(site, browser):
    address, out = site
    faults, seen = [], {}  # page -> what was found on it
    for width, scheme in VIEWS:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        page = context.new_page()
        where = {"page": ""}

        def fault(text, where=where, view=f"{width} {scheme}"):
            faults.append(f"{where['page']} at {view}: {text}")

        page.on("pageerror", lambda error, fault=fault: fault(error))
        page.on(
            "console",
            lambda said, fault=fault: said.type == "error" and fault(said.text),
        )
        page.on(
            "response",
            lambda answer, fault=fault: (
                answer.status < 400 or fault(f"{answer.status}: {answer.url}")
            ),
        )
        page.on(
            "request",
            lambda asked, fault=fault: (
                asked.url.startswith((address, "data:", "blob:"))
                or fault(f"asks another host: {asked.url}")
            ),
        )
        for name in pages_of(out):
            where["page"] = name
            page.goto(address + name)  # waits until all of it is loaded
            page.wait_for_load_state("networkidle")
            found = page.evaluate(LOOK)
            seen[urljoin(address, name)] = found
            for kind in ("alone", "broken"):
                for image in found[kind]:
                    fault(f"image {kind}: {image}")
            if found["wide"] > 0:
                fault(f"{found['wide']} pixels too wide")
            steps = zip([0, *found["headings"]], found["headings"], strict=False)
            if any(after > before + 1 for before, after in steps):
                fault(f"headings jump: {found['headings']}")
            if name in ("docs/index.html", "notebooks/05_prior_generation.html"):
                ARTEFACTS.mkdir(parents=True, exist_ok=True)
                picture = f"site_{Path(name).stem}_{width}_{scheme}.png"
                page.screenshot(path=ARTEFACTS / picture)
        context.close()
    for source, found in seen.items():
        for link in found["links"]:
            target, anchor = urldefrag(link)
            if not target.startswith(address):
                continue
            file = out / target.removeprefix(address)
            if not file.is_file() and not (file / "index.html").is_file():
                faults.append(f"{source} links to {link}, which is missing")
            known = seen.get(target, {"ids": [anchor]})["ids"]
            if anchor.strip("/") and anchor not in known:
                faults.append(f"{source} links to {link}, a place that is missing")
    assert len(seen) > 20
    assert not faults, "\n".join(sorted(set(faults)))


def test_search_finds_a_function(site, browser):
    address, _ = site
    page = browser.new_page()
    page.goto(f"{address}search.html?q=straight_through")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.close()


def test_a_solution_is_folded_and_opens(site, browser):
    address, _ = site
    page = browser.new_page()
    page.goto(f"{address}notebooks/03_vqvae_training.html")
    solution = page.locator("details.hide", has_text="Show a solution").first
    code = solution.locator(".highlight").first
    assert not code.is_visible()
    solution.locator("summary").click()
    assert code.is_visible()
    page.close()


def test_each_deck_is_printed_with_a_page_for_each_slide(site):
    _, out = site
    command = [sys.executable, "docs/slides.py", out]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    for deck in out.glob("slides/[0-9]*.html"):
        slides = deck.read_text(encoding="utf-8").count("<section>")
        pages = re.findall(rb"/Type /Page\b", deck.with_suffix(".pdf").read_bytes())
        assert len(pages) == slides, deck.name
