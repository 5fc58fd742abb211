"""Jobs done by several processes at once: drawing the phantom, cutting scans.

Processes are spawned, since a fork of one that runs threads (torch, Jupyter) may hang.
A spawned process would first import the caller's script, and fail where that has no
``if __name__ == "__main__"``. Our jobs live in modules of `pelvis`, so the script is
kept out of sight while processes start.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import ModuleType
from typing import Any

from vqlib.errors import UserError


def run(
    function: Callable, jobs: Iterable, processes: int | None = None
) -> Iterator[tuple[Any, Any]]:
    """Calls a function with each job; yields (job, result) as they are ready.

    ``processes`` work at once, by default one a core; one alone is this process. Raises
    what the function does, and `UserError` where a process is killed.
    """
    jobs = list(jobs)
    processes = min(processes or os.cpu_count() or 1, len(jobs))
    if processes < 2:
        for job in jobs:
            yield job, function(job)
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
    script = sys.modules["__main__"]
    try:
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            waiting = {pool.submit(function, job): job for job in jobs}
        finally:
            sys.modules["__main__"] = script
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()  # and keep no result
    except BrokenProcessPool:
        raise UserError(
            "a process was ended from outside, perhaps for want of memory; close other "
            "programs and give the same command again"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Ctrl-C is for the process that hands out the work; when that is killed, this one
    would wait for more work for ever."""

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
