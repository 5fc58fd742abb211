"""What every benchmark here shares: where it ran, and how it tells its result."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from vqlib.runs import save_json

RESULTS = Path(__file__).parent / "results"


def circumstances() -> dict:
    """Command, versions and machine, so that a stored number can be judged."""
    return {
        "command": " ".join(
            ["python", f"benchmarks/{Path(sys.argv[0]).name}"]
            + [Path(a).name if "/" in a else a for a in sys.argv[1:]]
        ),
        "machine": f"{platform.system()} {platform.machine()}, "
        f"{torch.get_num_threads()} threads"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
        "versions": {
            name: version(name) for name in ("torch", "numpy", "torchmetrics")
        },
    }


def tell(name: str, result: dict, store: bool) -> None:
    """Store the result where README and notebooks find it, and print it as the last
    line."""
    result = circumstances() | result
    if store:
        RESULTS.mkdir(exist_ok=True)
        save_json(RESULTS / f"{name}.json", result)
    print(json.dumps(result, sort_keys=True))
