"""A real JupyterLab and a real Chromium, both stopped when the tests are over.

The notebooks are copied into a folder of their own and run in the profile ``smoke``.
Screenshots go to ``.ci/artefacts/``. Without Chromium the tests are skipped, unless
``VQLIB_NEEDS_BROWSER`` is set.
"""

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
from commands import NOTEBOOKS
from notebook_page import TOKEN, Notebook
from playwright.sync_api import sync_playwright

FLAGS = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
FLAGS += " disable-component-update disable-sync"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def browser():
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = "no Chromium found; install Debian's package chromium, or Chrome"
        (pytest.fail if os.environ.get("VQLIB_NEEDS_BROWSER") else pytest.skip)(reason)
    flags = [f"--{flag}" for flag in FLAGS.split()]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A project folder with the notebooks, set to the profile ``smoke``."""
    home = tmp_path_factory.mktemp("lab")
    (home / "notebooks").mkdir()
    small = {
        'profile: str = "quick"': 'profile = "smoke"',
        'run: str = "quick"': 'run = "browser"',
        # some more epochs, so that more than two or three codes are alive
        "epochs: int = None": "epochs: int = 20",
    }
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if "parameters" in cell.metadata.get("tags", []):
                for old, new in small.items():
                    cell.source = cell.source.replace(old, new, 1)
                assert "smoke" in cell.source
        nbformat.write(notebook, home / "notebooks" / path.name)
    return home


@pytest.fixture(scope="session")
def lab(home):
    """Address of a running JupyterLab."""
    config = home / "config"
    settings = config / "lab" / "@jupyterlab"
    for name, setting in {
        # every cell in the page, also those far below; and no pop-up
        "notebook-extension/tracker": '{"windowingMode": "none"}',
        "apputils-extension/notification": '{"fetchNews": "false"}',
    }.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(setting)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    options = {
        "ServerApp.root_dir": home,
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "IdentityProvider.token": TOKEN,
        "LabApp.user_settings_dir": config / "lab",
        "LabApp.workspaces_dir": config / "workspaces",
        "LabApp.expose_app_in_browser": True,
    }
    inherited = {k: v for k, v in os.environ.items() if k != "VQLIB_HEADLESS"}
    own = {"VQLIB_HOME": home, "JUPYTER_CONFIG_DIR": config}
    own["JUPYTER_RUNTIME_DIR"] = home / "runtime"
    log = home / "jupyter.log"
    server = subprocess.Popen(
        [*command, *(f"--{name}={value}" for name, value in options.items())],
        env=inherited | {name: str(path) for name, path in own.items()},
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(server, f"{address}/api/status?token={TOKEN}", log)
        yield address
    finally:
        server.terminate()  # JupyterLab stops its kernels first
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_for(server, address: str, log: Path, seconds: int = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture
def open_notebook(browser, lab):
    """Opens a notebook by its name in a page that is closed after the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    complaints = []

    def said(message):  # but not of files that JupyterLab may lack
        if message.type == "error" and "Failed to load res" not in message.text:
            complaints.append(message.text)

    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", said)
    yield lambda name: Notebook(page, lab, name)
    page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")
    context.close()
    assert complaints == []
