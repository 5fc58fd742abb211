"""A real JupyterLab and a real Chromium, both stopped when the tests are over.

The notebooks are copied into a folder of their own and run in the profile ``smoke``.
Screenshots go to ``.ci/artefacts/``. Without Chromium the tests are skipped, unless
``VQLIB_NEEDS_BROWSER`` is set.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from notebook_page import ARTEFACTS, TOKEN, Notebook
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def chromium():
    """Path of the browser."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found:
        return found
    reason = "no Chromium found; install Debian's package chromium, or Chrome"
    if os.environ.get("VQLIB_NEEDS_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A project folder with the notebooks, set to the profile ``smoke``."""
    home = tmp_path_factory.mktemp("lab")
    (home / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if "parameters" in cell.metadata.get("tags", []):
                small = cell.source.replace(
                    'profile: str = "quick"', 'profile = "smoke"'
                )
                assert small != cell.source
                # some more epochs, so that more than two or three codes are alive
                small = small.replace("epochs: int = None", "epochs: int = 20", 1)
                cell.source = small.replace('run: str = "quick"', 'run = "browser"')
        nbformat.write(notebook, home / "notebooks" / path.name)
    return home


@pytest.fixture(scope="session")
def lab(home):
    """Address of a running JupyterLab."""
    config = home / "config"
    settings = config / "lab" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # every cell in the page, also those far below
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    news = config / "lab" / "@jupyterlab" / "apputils-extension"
    news.mkdir()
    (news / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    inherited = {k: v for k, v in os.environ.items() if k != "VQLIB_HEADLESS"}
    log = (home / "jupyter.log").open("w")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            f"--ServerApp.root_dir={home}",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={TOKEN}",
            f"--LabApp.user_settings_dir={config / 'lab'}",
            f"--LabApp.workspaces_dir={config / 'workspaces'}",
            "--LabApp.expose_app_in_browser=True",
        ],
        env=inherited
        | {"VQLIB_HOME": str(home), "JUPYTER_CONFIG_DIR": str(config)}
        | {"JUPYTER_RUNTIME_DIR": str(home / "runtime")},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(server, f"{address}/api/status?token={TOKEN}", home / "jupyter.log")
        yield address
    finally:
        server.terminate()  # JupyterLab stops its kernels first
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


def wait_for(server, address: str, log: Path, seconds: int = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def browser(chromium):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_notebook(browser, lab):
    """Opens a notebook by its name in a page that is closed after the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def opened(name: str) -> Notebook:
        return Notebook(page, lab, name)

    yield opened
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    (ARTEFACTS / "page_errors.json").write_text(json.dumps(complaints))
    if not page.is_closed():
        page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")
    context.close()
    assert complaints == []
