from pathlib import Path

ARTEFACTS = Path(__file__).parents[2] / ".ci" / "artefacts"
TOKEN = "browser-test"


class Notebook:
    """A notebook in a page of JupyterLab, and what a reader does to it."""

    def __init__(self, page, address: str, name: str):
        self.page, self.name = page, name
        page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?reset&token={TOKEN}")
        page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext"
            "?.session?.kernel?.status === 'idle'",
            timeout=120_000,
        )

    def run_all(self, seconds: int = 900) -> None:
        """Run all cells, as the menu does; fails with the error of a cell."""
        self.page.evaluate(
            "() => { window.done = false;"
            "window.jupyterapp.commands.execute('notebook:run-all-cells')"
            ".finally(() => { window.done = true; }); }"
        )
        self.page.wait_for_function("() => window.done", timeout=1000 * seconds)
        assert self.errors() == []

    def kernel(self) -> str:
        """Its status: idle, busy, ..."""
        return self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.sessionContext"
            ".session.kernel.status"
        )

    def errors(self) -> list[str]:
        """What cells show as errors, warnings of a missing widget among them."""
        outputs = self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.model"
            ".toJSON().cells.flatMap(cell => cell.outputs ?? [])"
        )
        found = [f"{o['ename']}: {o['evalue']}" for o in outputs if "ename" in o]
        for text in ("Error displaying widget", "Failed to load model class"):
            found += [text] * self.page.get_by_text(text).count()
        return found

    def widget(self, holds: str):
        """The cell output that holds what a CSS selector finds."""
        inside = self.page.locator(holds)
        return self.page.locator(".jp-OutputArea-output", has=inside).first

    def screenshot(self, what: str, widget) -> None:
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        widget.screenshot(path=ARTEFACTS / f"{self.name[:2]}_{what}.png")
