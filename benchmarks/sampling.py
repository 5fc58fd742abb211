"""Drawing codes: with a cache and without one.

The two priors of the quick profile, untrained (what is drawn costs the same), draw a
batch of 16 grids of 32 x 16 codes. *Without cache* is the same network, called for each
code on all rows up to the present one.

One thread, processor time. The cached run is repeated before and after each slow one,
and a ratio is that of a slow run to the mean of the two cached ones beside it. The
arithmetic limit is what this thread does in a large matrix product, measured between
the runs too, divided by the floating-point operations that a code costs with the cache
(counted by torch). Two cores have twice the limit, and two processes twice the speed.

    python benchmarks/sampling.py --store
"""

import math
import statistics
import time
from collections.abc import Callable

import click
import torch
from common import counting, tell
from torch import Tensor

from vqlib import profiles, recipes
from vqlib.priors import CodePrior, draw
from vqlib.priors.sampling import gumbel

CACHED, UNCACHED = "cached", "uncached"


@torch.no_grad()
def sample_uncached(prior: CodePrior, position: Tensor) -> Tensor:
    """What `CodePrior.sample` gives, by a pass over all rows so far for each code."""
    random = torch.Generator().manual_seed(0)
    conditioning = prior.conditioning(position)
    codes = torch.zeros(len(position), *prior.grid, dtype=torch.int64)
    for i in range(codes[0].numel()):
        row, column = divmod(i, prior.grid[1])
        x = prior.features(codes[:, : row + 1], conditioning)[:, row, column]
        logits = prior.logits(x)
        codes[:, row, column] = draw(logits, gumbel(logits.shape, random))
    return codes


def seconds(action: Callable) -> float:
    """Processor time."""
    start = time.process_time()
    action()
    return time.process_time() - start


def flops_per_second(side: int = 1024, repeats: int = 4) -> float:
    """Of a matrix product in float32."""
    a, b, out = (torch.randn(side, side) for _ in range(3))
    torch.mm(a, b, out=out)
    used = seconds(lambda: [torch.mm(a, b, out=out) for _ in range(repeats)])
    return 2 * side**3 * repeats / used


def check(prior: CodePrior, profile: profiles.Profile) -> None:
    """Cached and uncached draw the same first row (later rounding may tell)."""
    position = torch.tensor([0.2, 0.7])
    same = prior.sample(position) == sample_uncached(prior, position)
    assert same.flatten(1)[:, : profile.grid_shape[1]].all(), "the cache is not exact"


def measure(network: str, batch: int, turns: int, grid: str | None) -> dict:
    """One prior: seconds, ratios, codes per second and its share of the limit."""
    profile = profiles.get("quick", prior=network, grid=grid, size=_size(grid))
    prior = recipes.build("prior", profile).eval()
    torch.nn.init.normal_(prior.head.weight, std=0.02)
    check(prior, profile)
    position, codes = torch.rand(batch), batch * math.prod(profile.grid_shape)
    slow = {UNCACHED: lambda: sample_uncached(prior, position)}
    with counting() as counter:
        prior.sample(position)
    limits, fast = [flops_per_second()], [seconds(lambda: prior.sample(position))]
    used, ratios = {name: [] for name in slow}, {name: [] for name in slow}
    for _ in range(turns):
        for name, sampler in slow.items():
            used[name].append(seconds(sampler))
            limits.append(flops_per_second())
            fast.append(seconds(lambda: prior.sample(position)))
            ratios[name].append(used[name][-1] / statistics.mean(fast[-2:]))
    per_code = counter.get_total_flops() / codes
    speed = codes / statistics.median(fast)
    limit = statistics.median(limits) / per_code
    return {
        "prior": network,
        "parameters": sum(p.numel() for p in prior.parameters()),
        "grid": list(profile.grid_shape),
        "batch": batch,
        "seconds": {CACHED: statistics.median(fast)}
        | {name: statistics.median(times) for name, times in used.items()},
        "times_cached": {name: statistics.median(r) for name, r in ratios.items()},
        "codes_per_second": speed,
        "megaflop_per_code": per_code / 1e6,
        "gigaflop_per_second_in_a_product": statistics.median(limits) / 1e9,
        "limit_codes_per_second": limit,
        "share_of_limit": speed / limit,
    }


def _size(grid: str | None) -> str | None:
    """Slices of four times the grid."""
    if grid is None:
        return None
    height, width = profiles.parse_shape("grid", grid)
    return f"{4 * height}x{4 * width}"


def show(row: dict) -> None:
    grid = "x".join(map(str, row["grid"]))
    print(f"\n{row['prior']}, {row['batch']} grids of {grid} codes, one thread")
    for name, used in row["seconds"].items():
        ratio = row["times_cached"].get(name, 1)
        print(f"  {name:<16}{used:>9.2f} s{ratio:>9.1f} x")
    print(
        f"  {row['codes_per_second']:,.0f} codes per second; the limit is "
        f"{row['limit_codes_per_second']:,.0f} ({row['megaflop_per_code']:.2f} MFLOP a "
        f"code, {row['gigaflop_per_second_in_a_product']:.0f} GFLOP/s in a matrix "
        f"product): {row['share_of_limit']:.0%}",
        flush=True,
    )


@click.command(help=__doc__)
@click.option("--batch", default=16, show_default=True, help="Grids at once.")
@click.option("--turns", default=1, show_default=True, help="Slow runs of each kind.")
@click.option(
    "--short", is_flag=True, help="Grids of 16x8 codes, where less is gained."
)
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(batch: int, turns: int, short: bool, store: bool) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for network in profiles.PRIORS:
        rows.append(measure(network, batch, turns, "16x8" if short else None))
        show(rows[-1])
    tell("sampling", {"turns": turns, "rows": rows}, store)


if __name__ == "__main__":
    main()
