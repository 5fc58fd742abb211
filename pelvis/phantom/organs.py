"""Skin, cavity and organs: bladder, prostate, rectum, bowel, vessels.

Coordinates as in `pelvis.phantom.bones`. Sizes come from the patient, fillings from
the week.
"""

from dataclasses import dataclass

import numpy as np

from pelvis.phantom.patient import Patient, Week
from pelvis.phantom.shapes import (
    FAR,
    Points,
    cone,
    ellipsoid,
    intersection,
    thin_tube,
    tube,
    union,
)


def body(man: Patient, p: Points) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the skin and to the deep surface of the subcutaneous fat, mm."""
    fold = p.folded()
    fat = man.fat
    bulk = (man.muscle - 1) * 40
    # what lies under the fat: trunk, two thighs, two buttocks
    trunk = intersection(
        _trunk(
            fold, 152 + bulk, 72 + (22 + man.belly) * np.clip(p.z * 0.009 + 0.1, 0, 1)
        ),
        -52 - p.z,
        smooth=30,
    )
    gap = man.leg_gap
    thigh = cone(fold, (92, 0, -20), (94 + gap, -2, -160), 76 + bulk, 72 + bulk)
    buttock = ellipsoid(fold, (74, 42, -12), (86 + bulk, 62, 92))
    deep = union(trunk, thigh, smooth=24)
    deep = union(deep, buttock, smooth=16)
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
    basin = union(
        ellipsoid(p, (0, 14, 24), (55, 55, 72)),
        ellipsoid(p, (0, -30, 100), (98, 66, 72)),
        smooth=18,
    )
    basin = intersection(basin, deep + 15, smooth=8)
    floor = intersection(np.abs(basin) - 1.9, p.z + 2)
    fossa = ellipsoid(fold, (30, 44, -52), (22, 40, 36))
    return basin, floor, fossa


@dataclass(frozen=True)
class Organs:
    """Distances to the organs of one slice, mm."""

    bladder: np.ndarray
    prostate: np.ndarray
    transition_zone: np.ndarray
    seminal_vesicles: np.ndarray
    urethra: np.ndarray
    rectum: np.ndarray
    gas: np.ndarray
    anal_canal: np.ndarray
    bulb: np.ndarray
    obturator: np.ndarray


def organs(man: Patient, week: Week, p: Points, pelvis: np.ndarray) -> Organs:
    """All organs near a slice; ``pelvis`` is the distance to the hip bones, along whose
    inner side the obturator internus lies."""
    fold = p.folded()
    size = np.prod(man.size)  # volumes are meant in the patient, not in the template
    r = float(np.cbrt(man.prostate_ml * 1000 / size * 0.75 / np.pi))
    apex, base = -47.0, -47.0 + 1.9 * r
    centre_y = -8 + (r - 22) * 0.3
    lobes = ellipsoid(
        fold, (0.3 * r, centre_y, apex + r), (0.86 * r, 0.88 * r, 0.94 * r)
    )
    tip = ellipsoid(
        p, (0, centre_y - 2, apex + 0.5 * r), (0.66 * r, 0.62 * r, 0.55 * r)
    )
    prostate = union(lobes, tip, smooth=8)
    zone = ellipsoid(
        p, (0, centre_y - 0.2 * r, apex + 1.12 * r), (0.82 * r, 0.58 * r, 0.68 * r)
    )
    b = float(np.cbrt(week.bladder_ml * 1000 / size * 0.75 / np.pi))
    flat = man.bladder_flat
    top = base + 0.98 * b / flat
    bladder = ellipsoid(
        p, (0, -41 + 0.84 * b, top), (1.08 * flat * b, 0.86 * b, 1.08 * b / flat)
    )
    bladder = intersection(bladder, -(prostate - 1.5), smooth=5)
    sv = union(
        ellipsoid(fold, (12, centre_y + 0.75 * r + 4, base - 3), (13, 6, 7)),
        ellipsoid(fold, (27, centre_y + 0.75 * r + 9, base + 5), (11, 5.5, 7)),
        smooth=4,
    )
    q = week.rectum_radius
    path = [(0, 44, -46), (1, 47, -26), (4, 52, -4), (-5, 61, 18), (-2, 63, 40),
            (16, 54, 58)]  # fmt: skip
    rectum = tube(p, path, [0.7 * q, 0.95 * q, 1.1 * q, q, 0.95 * q, 0.85 * q])
    gas = FAR
    if week.rectum_gas > 0.35:
        level = 8 * (1 - week.rectum_gas)  # gas floats in front, the man lies supine
        up = [(x, y - level, z) for x, y, z in path[1:5]]
        gas = tube(p, up, [v * q * week.rectum_gas for v in (0.4, 0.8, 0.75, 0.5)])
    return Organs(
        bladder=bladder,
        prostate=prostate,
        transition_zone=zone,
        seminal_vesicles=sv,
        urethra=cone(p, (0, centre_y - 4, base), (0, centre_y - 6, -62), 2.0, 1.6),
        rectum=rectum,
        gas=gas,
        anal_canal=cone(p, (0, 44, -46), (0, 52, -84), 12, 12.5),
        bulb=union(
            cone(p, (0, 4, -70), (0, -44, -72), 11, 9),
            cone(fold, (9, -38, -64), (38, 4, -74), 6, 4.5),
            cone(p, (0, -44, -72), (0, -84, -78), 11, 14),
        ),
        obturator=_obturator(man, fold, pelvis),
    )


def _obturator(man: Patient, fold: Points, pelvis: np.ndarray) -> np.ndarray:
    """A slab of muscle on the inner side of the hip bone and over the gap in it."""
    gap = ellipsoid(fold, (54, 4, -16), (11, 42, 34))
    if not np.ndim(pelvis):
        return gap
    bed = ellipsoid(fold, (62, 6, -14), (27, 44, 50))
    inner = fold.x - man.pelvis_width + 20 - 0.4 * fold.z
    slab = intersection(pelvis - 8 - 5 * man.muscle, inner, bed, smooth=6)
    return union(gap, slab, smooth=4)


@dataclass(frozen=True)
class Loop:
    """A piece of bowel: a bent tube with something in it."""

    path: list
    radii: list
    content: float  # signal: 0 gas, 0.4 stool, 1 fluid
    mottle: float


def bowel(man: Patient, week: Week) -> list[Loop]:
    """Loops of small bowel and colon above the bladder; their course is the patient's,
    their place and content change from week to week."""
    usual = np.random.default_rng([man.seed, 4])
    now = np.random.default_rng([man.seed, 5, week.seed[1]])
    loops = [_sigmoid(usual, now)]
    for _ in range(44):
        start = np.array(
            [usual.uniform(-78, 78), usual.uniform(-70, 45), usual.uniform(34, 104)]
        )
        heading = usual.normal(size=3) * (1.0, 0.7, 0.6)
        path, radius = [start + now.normal(0, 3.0, 3)], usual.uniform(8, 15)
        for _ in range(3):
            heading = heading / np.linalg.norm(heading) + usual.normal(0, 0.6, 3)
            step = path[-1] + heading * usual.uniform(10, 18)
            path.append(np.clip(step, (-88, -76, 30), (88, 40, 112)))
        radii = [float(radius * now.uniform(0.8, 1.15)) for _ in path]
        kind = now.choice(3, p=(0.22, 0.48, 0.3))
        content = (0.02, now.uniform(0.3, 0.55), now.uniform(0.6, 0.95))[kind]
        loops.append(
            Loop([tuple(v.tolist()) for v in path], radii, content, (0, 0.3, 0.1)[kind])
        )
    return loops


@dataclass(frozen=True)
class LoopMap:
    """Bowel of one slice: how deep a point lies in the nearest loop, what is in it."""

    distance: np.ndarray
    content: np.ndarray
    mottle: np.ndarray


def loops_near(p: Points, loops: list[Loop]) -> LoopMap | None:
    """Loops pressed against each other; where two meet, only their walls are between.
    None where no loop comes near the slice."""
    first, second = np.full(p.x.shape, FAR), np.full(p.x.shape, FAR)
    content, mottle = np.zeros_like(first), np.zeros_like(first)
    for loop in loops:
        distance = thin_tube(p, loop.path, loop.radii)
        if not np.ndim(distance):
            continue
        closer = distance < first
        np.minimum(second, np.maximum(first, distance), out=second)
        np.minimum(first, distance, out=first)
        content[closer], mottle[closer] = loop.content, loop.mottle
    if first.min() > 0:
        return None
    return LoopMap(np.maximum(first, (first - second) * 0.5), content, mottle)


def _sigmoid(usual: np.random.Generator, now: np.random.Generator) -> Loop:
    """The sigmoid colon, from the rectum over the bladder to the left flank."""
    course = np.array(
        [(16, 54, 58), (8, 34, 48), (-22, 18, 46), (-10, -4, 66), (34, 2, 72),
         (62, -10, 92), (74, -14, 116)]
    )  # fmt: skip
    course = course + usual.normal(0, 7, course.shape) + now.normal(0, 4, course.shape)
    radii = usual.uniform(9, 13) * now.uniform(0.75, 1.25, len(course))
    content = float(now.choice((0.03, 0.36, 0.45), p=(0.2, 0.4, 0.4)))
    path = [tuple(point) for point in course.tolist()]
    return Loop(path, radii.tolist(), content, 0.25)


ARTERY = ([(36, 22, 112), (46, 4, 66), (64, -34, 22), (74, -54, -8), (80, -54, -50),
           (92, -40, -140)], [5.5, 5, 4.8, 4.6, 4.4, 4])  # fmt: skip
VEIN = ([(30, 30, 112), (42, 14, 66), (54, -28, 22), (62, -51, -10), (68, -50, -50),
         (84, -34, -140)], [7, 6.5, 6.5, 6.5, 6, 5])  # fmt: skip
INTERNAL = ([(40, 30, 82), (50, 46, 48), (47, 44, 12), (42, 30, -12)], [4, 3.5, 3, 2])
NERVE = ([(56, 66, 30), (72, 50, -12), (84, 42, -70), (90, 36, -140)], [5, 6, 5.5, 5])
CORD = ([(66, -58, 18), (38, -72, -14), (18, -78, -52), (16, -82, -84)], [4, 4.5, 5, 7])


def vessels(p: Points) -> dict[str, np.ndarray]:
    """Distances to paired vessels, the sciatic nerve and the spermatic cord."""
    fold = p.folded()
    named = dict(artery=ARTERY, vein=VEIN, internal=INTERNAL, nerve=NERVE, cord=CORD)
    return {name: thin_tube(fold, *course) for name, course in named.items()}


@dataclass(frozen=True)
class Speck:
    """A small vessel of the pelvic side walls."""

    path: list
    radius: float
    fast: bool  # flowing blood is dark; in many veins it hardly flows and is bright


def small_vessels(man: Patient) -> list[Speck]:
    rng = np.random.default_rng([man.seed, 6])
    vessels = []
    for _ in range(70):
        start = rng.uniform((24, -40, -25), (54, 66, 84))
        start[0] *= rng.choice((-1, 1))
        step = rng.normal(0, (7, 12, 12))
        path = [start, start + 0.5 * step + (3, 0, 0), start + step]
        path = [tuple(point.tolist()) for point in path]
        vessels.append(Speck(path, rng.uniform(0.8, 2.4), rng.random() < 0.55))
    return vessels


def specks(p: Points, vessels: list[Speck]) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the small vessels in which blood flows fast, and to the others."""
    fast, slow = FAR, FAR
    for vessel in vessels:
        distance = thin_tube(p, vessel.path, [vessel.radius] * 3, reach=3)
        if not np.ndim(distance):
            continue
        if vessel.fast:
            fast = np.minimum(fast, distance)
        else:
            slow = np.minimum(slow, distance)
    return fast, slow
