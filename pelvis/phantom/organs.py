"""Skin, cavity and organs: bladder, prostate, seminal vesicles, rectum; sizes come from
the patient, fillings from the week. Coordinates as in `pelvis.phantom.bones`."""

from types import SimpleNamespace

import numpy as np

from pelvis.phantom.patient import Patient, Week
from pelvis.phantom.shapes import (
    FAR,
    Points,
    cone,
    ellipsoid,
    intersection,
    tube,
    union,
)


def body(patient: Patient, p: Points) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the skin and to the deep surface of the subcutaneous fat, mm."""
    fold = p.folded()
    fat = patient.fat
    bulk = (patient.muscle - 1) * 40
    # what lies under the fat: trunk, two thighs, two buttocks
    front = 72 + (22 + patient.belly) * np.clip(p.z * 0.009 + 0.1, 0, 1)
    trunk = intersection(_trunk(fold, 152 + bulk, front), -52 - p.z, smooth=30)
    gap = patient.leg_gap
    thigh = cone(fold, (92, 0, -20), (94 + gap, -2, -160), 76 + bulk, 72 + bulk)
    buttock = ellipsoid(fold, (74, 42, -12), (86 + bulk, 62, 92))
    deep = union(union(trunk, thigh, smooth=24), buttock, smooth=16)
    mons = ellipsoid(p, (0, -62, -40), (46, 26 + 0.5 * fat, 52))
    # fat is thicker over hip, buttock and belly, thin in the groin
    thickness = fat * (0.5 + 0.6 / (1 + np.exp(-(p.y - 20) * (1 / 22))))
    thickness += fat * 0.45 * np.exp(-np.square((p.z - 60) * (1 / 45)))
    skin = union(deep - thickness, mons, smooth=30)
    # the cleft between the buttocks, the crotch, and the table that flattens the back
    cleft = cone(p, (0, 130, 40), (0, 92, -60), 9, 13)
    crotch = cone(p, (0, 30, -112), (0, -60, -106), 9, 13)
    crease = cone(p, (0, 92, -60), (0, 30, -112), 7, 9)
    hollow = union(cleft, crotch, crease, smooth=8)
    skin = intersection(skin, -hollow, p.y - 97, smooth=14)
    return skin, np.maximum(deep, skin + np.minimum(6, fat * 0.5))


def _trunk(p: Points, width: float, front: np.ndarray) -> np.ndarray:
    """A rounded box in cross-section, ``front`` mm deep forwards, 88 backwards."""
    u = np.square(p.x * (1 / width))
    v = np.square(p.y / np.where(p.y < 0, front, np.float32(88)))
    ellipse, box = np.sqrt(u + v), np.sqrt(np.sqrt(u * u + v * v))
    return (0.5 * (ellipse + box) - 1) * (0.5 * (width + 85))


def cavity(p: Points, deep: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances to the cavity with its fat, to the muscle sheet of the pelvic floor and
    to the fossae of fat beneath it."""
    fold = p.folded()
    lower = ellipsoid(p, (0, 14, 24), (55, 55, 72))
    upper = ellipsoid(p, (0, -30, 100), (98, 66, 72))
    basin = intersection(union(lower, upper, smooth=18), deep + 15, smooth=8)
    floor = intersection(np.abs(basin) - 1.9, p.z + 2)
    fossa = ellipsoid(fold, (30, 44, -52), (22, 40, 36))
    return basin, floor, fossa


def organs(
    patient: Patient, week: Week, p: Points, pelvis: np.ndarray
) -> SimpleNamespace:
    """Distances to the organs near a slice, mm; ``pelvis`` is the distance to the hip
    bones, along whose inner side the obturator internus lies."""
    fold = p.folded()
    size = np.prod(patient.size)  # volumes are meant in the patient
    r = float(np.cbrt(patient.prostate_ml * 1000 / size * 0.75 / np.pi))
    apex, base = -47.0, -47.0 + 1.9 * r
    y = -8 + (r - 22) * 0.3  # of its centre
    lobes = ellipsoid(fold, (0.3 * r, y, apex + r), (0.86 * r, 0.88 * r, 0.94 * r))
    tip = ellipsoid(p, (0, y - 2, apex + 0.5 * r), (0.66 * r, 0.62 * r, 0.55 * r))
    prostate = union(lobes, tip, smooth=8)
    zone = (0, y - 0.2 * r, apex + 1.12 * r), (0.82 * r, 0.58 * r, 0.68 * r)
    b = float(np.cbrt(week.bladder_ml * 1000 / size * 0.75 / np.pi))
    flat = patient.bladder_flat
    centre = (0, -41 + 0.84 * b, base + 0.98 * b / flat)
    bladder = ellipsoid(p, centre, (1.08 * flat * b, 0.86 * b, 1.08 * b / flat))
    vesicle = ellipsoid(fold, (12, y + 0.75 * r + 4, base - 3), (13, 6, 7))
    end = ellipsoid(fold, (27, y + 0.75 * r + 9, base + 5), (11, 5.5, 7))
    rectum, gas = _rectum(week, p)
    root = cone(p, (0, 4, -70), (0, -44, -72), 11, 9)
    crus = cone(fold, (9, -38, -64), (38, 4, -74), 6, 4.5)
    shaft = cone(p, (0, -44, -72), (0, -84, -78), 11, 14)
    return SimpleNamespace(
        bladder=intersection(bladder, -(prostate - 1.5), smooth=5),
        prostate=prostate,
        transition_zone=ellipsoid(p, *zone),
        seminal_vesicles=union(vesicle, end, smooth=4),
        urethra=cone(p, (0, y - 4, base), (0, y - 6, -62), 2.0, 1.6),
        rectum=rectum,
        gas=gas,
        anal_canal=cone(p, (0, 44, -46), (0, 52, -84), 12, 12.5),
        bulb=union(root, crus, shaft),
        obturator=_obturator(patient, fold, pelvis),
    )


def _rectum(week: Week, p: Points) -> tuple[np.ndarray, np.ndarray]:
    """The rectum, and the gas in it, which floats in front."""
    q, share = week.rectum_radius, week.rectum_gas
    path = [(0, 44, -46), (1, 47, -26), (4, 52, -4), (-5, 61, 18), (-2, 63, 40)]
    path.append((16, 54, 58))
    rectum = tube(p, path, [0.7 * q, 0.95 * q, 1.1 * q, q, 0.95 * q, 0.85 * q])
    if share <= 0.35:
        return rectum, FAR
    front = [(x, y - 8 * (1 - share), z) for x, y, z in path[1:5]]
    return rectum, tube(p, front, [v * q * share for v in (0.4, 0.8, 0.75, 0.5)])


def _obturator(patient: Patient, fold: Points, pelvis: np.ndarray) -> np.ndarray:
    """A slab of muscle on the inner side of the hip bone and over the gap in it."""
    gap = ellipsoid(fold, (54, 4, -16), (11, 42, 34))
    if not np.ndim(pelvis):
        return gap
    bed = ellipsoid(fold, (62, 6, -14), (27, 44, 50))
    inner = fold.x - patient.pelvis_width + 20 - 0.4 * fold.z
    slab = intersection(pelvis - 8 - 5 * patient.muscle, inner, bed, smooth=6)
    return union(gap, slab, smooth=4)
