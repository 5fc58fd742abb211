"""A folder that is served, and pages that complain of what goes wrong in them."""

import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """The address of a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def watch(page, address, fault, warnings=False):
    """Tells `fault` of errors in a page, of what is missing, and of other hosts."""
    bad = ("error", "warning") if warnings else ("error",)

    def said(message):
        if message.type in bad:
            fault(message.text)

    def answered(answer):
        if answer.status >= 400:
            fault(f"{answer.status}: {answer.url}")

    def asked(request):
        if not request.url.startswith((address, "data:", "blob:")):
            fault(f"asks another host: {request.url}")

    page.on("pageerror", lambda error: fault(str(error)))
    page.on("console", said)
    page.on("response", answered)
    page.on("request", asked)
