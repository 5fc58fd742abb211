"""How a worker process begins: as the servant of the one that hands out the work."""

import multiprocessing
import os
import signal
import threading


def begin() -> None:
    """Ctrl-C is for the process that hands out the work; when that is killed, this one
    would wait for more work for ever."""

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
