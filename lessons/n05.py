"""What notebook 05 alone needs: the names of the colours of label maps, and edits of
maps to draw slices for."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor
from torch.nn.functional import max_pool2d

from lessons.figures import MAP_COLOURS
from vqlib.data import LABEL_NAMES
from vqlib.metrics import SCORES


def name_organs(figure: Figure) -> None:
    """Name the colours of label maps below a figure of `lessons.figures.slice_rows`."""
    named = zip(LABEL_NAMES[1:], MAP_COLOURS[1:], strict=True)
    patches = [Patch(color=colour, label=name) for name, colour in named]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches))


def grow(labels: Tensor, organ: int, pixels: int) -> Tensor:
    """A label map `[H, W]` whose organ reaches ``pixels`` further into the body and
    other soft organs; fewer than 0: that it draws back, and body is left."""
    other = labels.clone()
    mask = (labels == organ).float()[None, None]
    size = 2 * abs(pixels) + 1
    if pixels >= 0:
        wider = max_pool2d(mask, size, 1, abs(pixels))[0, 0] > 0
        other[wider & (labels != 0) & (labels != 2)] = organ
        return other
    kept = max_pool2d(1 - mask, size, 1, abs(pixels))[0, 0] == 0
    other[(labels == organ) & ~kept] = 1
    return other


def grids(stored: dict) -> pd.DataFrame:
    """What `benchmarks/generation.py` stored of codes on two grids, without a label map
    and with one drawn first, from one seed: a row for each."""
    rows = pd.DataFrame(stored["rows"]).query(
        "data == 'phantom' and seed == 0 and share == 1"
    )
    ways = {"plain, 32x16": "32 x 16", "plain": "16 x 8"}
    ways["organs first"] = "16 x 8, map first"
    names = {f"VQ-VAE + transformer, {way}": name for way, name in ways.items()}
    found = rows.set_index("set").loc[list(names)].rename(names)
    scores = ["areas", "pieces", "recall"]
    titles = {name: SCORES[name].title for name in scores}
    found = found[["bits", *scores]].rename(columns=titles).rename_axis("codes")
    return found.rename(columns={"bits": "bits under the prior"})
