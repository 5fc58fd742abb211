"""How close is the phantom to real MR? Grey values, spectrum, edges and noise.

Real slices in the HipMRI layout (``--real``) and one T2-weighted prostate volume
(``--t2``) are measured with `vqlib.metrics.realism`, and so are seventeen men of the
phantom. Only statistics of the real images are kept, and no pixel. Without ``--real``
and ``--t2`` the stored ones are compared with. With ``--store`` the phantom's numbers
are filed under the version of its generator beside those of other versions: before and
after stand side by side.

What should match, and what need not: the real slices are women on another scanner,
T1-weighted, about 5 mm thick, resampled to the pixels of HipMRI, and the phantom is a
T2-weighted man. How fine texture is, how many edges there are and how steep, how the
power falls with frequency, and that most of the field is muscle and fat, hardly depend
on that and should come close. The order of the tissues does: fluid is dark on T1 and
bright on T2, muscle darker on T2, and there is a prostate; so grey values are to come
nearer, not to agree, and neither noise nor resolution of one scanner is a goal. The T2
prostate volume shows the weighting of HipMRI, but is one man, in a small field, on a
scanner that interpolates: it is reported, and nothing was tuned to it.

    python benchmarks/phantom_realism.py --real DIR --t2 FILE --store
"""

import time
from pathlib import Path

import click
import nibabel as nib
import numpy as np
import torch
from common import RESULTS, tell
from scipy.ndimage import affine_transform, gaussian_filter

from pelvis.phantom import make_volume
from pelvis.phantom.write import VERSION
from vqlib.data import (
    NATIVE_SIZE,
    PIXEL_MM,
    SliceDataset,
    SliceIndex,
    fit_to,
    scale_volume,
)
from vqlib.metrics import body_masks
from vqlib.metrics.realism import BAND, EDGE_PER_MM, Portrait, describe, distances
from vqlib.runs import load_json

PROSTATE = 5
NARROW = 116  # columns of the small field of view of a prostate scan, 195 mm
MEN = tuple(range(4, 21))  # seeds; as many as there are real volumes
SLICES = 25  # a volume, as in the real ones
SIZES = {"256x128": (256, 128), "128x64": (128, 64)}
CREDIT = {
    "real": "CPTAC-UCEC, The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2018.3R3JUISW,"
    " CC BY 4.0; T1-weighted coronal series of 17 women, resampled to 256 x 128",
    "t2": "PROSTATEx, The Cancer Imaging Archive, doi 10.7937/K9TCIA.2017.MURS5CL,"
    " CC BY 3.0; one T2-weighted coronal series, resampled to the same pixels",
}


def dataset(images: torch.Tensor) -> SliceDataset:
    """Unlabelled slices, so that the body is found in the same way everywhere."""
    n = torch.zeros(len(images))
    return SliceDataset(images, None, n, n, n)


def portraits(images: torch.Tensor) -> dict[str, Portrait]:
    """Slices `[N, 1, 256, 128]` at both sizes."""
    found = {}
    for name, size in SIZES.items():
        small = torch.from_numpy(fit_to(images.numpy(), size))
        found[name] = describe(small, body_masks(dataset(small)))
    return found


def real_slices(folder: Path) -> torch.Tensor:
    index = SliceIndex.from_folder(folder)
    return SliceDataset.from_index(index, NATIVE_SIZE, progress=False).images


def t2_portrait(path: Path) -> Portrait:
    """A coronal volume (any orientation) at the pixels of HipMRI: [S, X, Z]."""
    image = nib.as_closest_canonical(nib.load(path))  # right, front, head
    volume = np.moveaxis(image.get_fdata(dtype=np.float32), 1, 0)[::-1, ::-1]
    zoom = np.divide(PIXEL_MM, np.array(image.header.get_zooms())[[0, 2]])
    slices = []
    for pixels in volume:
        smooth = gaussian_filter(pixels, 0.5 * np.sqrt(zoom**2 - 1))
        shape = tuple((np.array(pixels.shape) / zoom).astype(int))
        slices.append(affine_transform(smooth, zoom, output_shape=shape, order=3))
    scaled = torch.from_numpy(scale_volume(np.stack(slices)))[:, None]
    # the series is tilted: what its corners do not hold is 0
    return describe(scaled, scaled[:, 0] > 0.005, spacing=PIXEL_MM)


def phantom(men: tuple[int, ...], slices: int) -> tuple[dict, Portrait, float]:
    """Portraits at both sizes, in the field of a prostate scan, and CPU seconds for a
    volume of 60 slices."""
    make_volume(1, 0, 1)  # the noise cubes are made once
    volumes, prostates = [], []
    start = time.process_time()
    made = [make_volume(seed, 0, slices) for seed in men]
    seconds = (time.process_time() - start) / (len(men) * slices) * 60
    for image, labels in made:
        scaled = scale_volume(image)
        volumes.append(scaled)
        prostates.append(scaled[(labels == PROSTATE).any((1, 2))])
    whole = torch.from_numpy(np.concatenate(volumes))[:, None]
    narrow = torch.from_numpy(np.concatenate(prostates))[:, None]
    margin = (NATIVE_SIZE[0] - NARROW) // 2
    narrow = narrow[:, :, margin:-margin]
    inside = torch.ones(narrow[:, 0].shape, dtype=torch.bool)
    return portraits(whole), describe(narrow, inside, spacing=PIXEL_MM), seconds


def show(title: str, rows: dict[str, Portrait], real: Portrait) -> None:
    print(f"\n{title}")
    print(
        f"{'':<22}{'slope':>7}{'edges':>7}{'kurt.':>7}{'noise':>7}{'median':>8}"
        f"{'ΔI':>7}{'Δgrad':>7}{'ΔdB':>6}"
    )
    for name, p in rows.items():
        far = distances(p, real)
        print(
            f"{name:<22}{p.slope:>7.2f}{p.edge_density:>7.3f}"
            f"{p.gradient_kurtosis:>7.1f}{p.noise_tissue:>7.3f}"
            f"{np.interp(0.5, np.linspace(0, 1, 100), p.intensity):>8.3f}"
            f"{far['intensity']:>7.3f}{far['gradient']:>7.4f}{far['spectrum_db']:>6.2f}"
        )


@click.command(help=__doc__)
@click.option("--real", metavar="DIR", help="Real slices in the HipMRI layout.")
@click.option("--t2", metavar="FILE", help="A coronal T2 prostate volume, NIfTI.")
@click.option("--short", is_flag=True, help="Three men, eight slices each.")
@click.option("--store", is_flag=True, help="Write benchmarks/results/.")
def main(real, t2, short, store) -> None:
    path = RESULTS / "phantom_realism.json"
    kept = load_json(path) if path.exists() else {}
    men, slices = (MEN[:3], 8) if short else (MEN, SLICES)
    if real:
        found = portraits(real_slices(Path(real)))
        kept["real"] = {name: p.to_dict() for name, p in found.items()}
    if t2:
        kept["t2"] = t2_portrait(Path(t2)).to_dict()
    if "real" not in kept or "t2" not in kept:
        raise click.UsageError("nothing stored to compare with: give --real and --t2")
    ours, narrow, seconds = phantom(men, slices)
    versions = kept.get("phantom", {})
    versions[str(VERSION)] = {
        **{name: p.to_dict() for name, p in ours.items()},
        "prostate_field": narrow.to_dict(),
        "men": len(men),
        "slices": slices,
        "cpu_seconds_per_60_slices": seconds,
    }
    for title, key in [(name, name) for name in SIZES] + [
        ("prostate field, T2", "prostate_field")
    ]:
        truth = Portrait(**(kept["t2"] if "T2" in title else kept["real"][key]))
        rows = {"real": truth}
        for version in sorted(versions, key=int):
            rows[f"phantom, version {version}"] = Portrait(**versions[version][key])
        show(title, rows, truth)
        for version, entry in versions.items():
            far = distances(rows[f"phantom, version {version}"], truth)
            entry.setdefault("distances", {})[key] = far
    print(f"\n{seconds:.2f} CPU seconds for a volume of 60 slices")
    result = {
        "band_cycles_per_mm": BAND,
        "edge_per_mm": EDGE_PER_MM,
        "credit": CREDIT,
        "real": kept["real"],
        "t2": kept["t2"],
        "phantom": versions,
    }
    tell("phantom_realism", result, store)


if __name__ == "__main__":
    main()
