"""Write the results table of a run into README.md, between its markers.

    python resources/update_readme.py [--run quick]

stores the run's results in ``results_RUN.json`` and writes the table. With ``--check``
it changes nothing and exits with 1 unless the table is what the stored results say.
"""

import argparse
import sys
from pathlib import Path

from vqlib.results import as_markdown, collect
from vqlib.runs import Run, load_json, save_json, save_text

HERE = Path(__file__).parent
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def with_table(page: str, table: str) -> str:
    """The page with the table between its markers, which must be there."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def update(readme: Path, stored: Path) -> bool:
    """Write the table of stored results into the page; whether the page changed."""
    page = readme.read_text(encoding="utf-8")
    new = with_table(page, as_markdown(load_json(stored)))
    if new != page:
        save_text(readme, new)
    return new != page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="quick")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    readme, stored = HERE.parent / "README.md", HERE / f"results_{given.run}.json"
    if given.check:
        page = readme.read_text(encoding="utf-8")
        if with_table(page, as_markdown(load_json(stored))) != page:
            sys.exit(f"README.md differs from {stored.name}; run {Path(__file__).name}")
    else:
        save_json(stored, collect(Run(given.run)))
        print(
            "README.md changed" if update(readme, stored) else "README.md is as it was"
        )
