"""Every page of the website, opened as readers open it: wide and on a phone, light and
dark. The site is built once, and served without any other host in reach."""

import re
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest
from commands import ROOT, python
from notebook_page import ARTEFACTS
from served import served, watch

pytestmark = pytest.mark.browser
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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the site, built as ``make site`` does."""
    out = tmp_path_factory.mktemp("site") / "html"
    options = ("-c", "docs", "-b", "html", "-q", "-W", "--keep-going")
    python("-m", "sphinx", *options, "-d", out.parent / "trees", ".", out, cwd=ROOT)
    with served(out) as address:
        yield address, out


def pages_of(out: Path) -> list[str]:
    found = (path.relative_to(out).as_posix() for path in out.rglob("*.html"))
    return sorted(page for page in found if not page.startswith("_"))


def test_every_page(site, browser):
    address, out = site
    faults, seen = [], {}  # page -> what was found on it
    for width, scheme in VIEWS:
        view = {"width": width, "height": 900}
        context = browser.new_context(viewport=view, color_scheme=scheme)
        page = context.new_page()

        def fault(text, page=page, view=f"{width} {scheme}"):
            faults.append(f"{page.url} at {view}: {text}")

        watch(page, address, fault)
        for name in pages_of(out):
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
    python("docs/slides.py", out, cwd=ROOT)
    for deck in out.glob("slides/[0-9]*.html"):
        slides = deck.read_text(encoding="utf-8").count("<section>")
        pages = re.findall(rb"/Type /Page\b", deck.with_suffix(".pdf").read_bytes())
        assert len(pages) == slides, deck.name
