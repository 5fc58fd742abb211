"""The bony pelvis and the proximal femora, as signed distances in mm.

Coordinates: origin midway between the hip joints, x to the left, y to the back, z to
the head. Paired bones are described once, on points folded to the left side. Positions
are those of an average man (femoral heads 178 mm apart, 48 mm across).
"""

from dataclasses import dataclass

import numpy as np

from pelvis.phantom.patient import Patient
from pelvis.phantom.shapes import (
    FAR,
    Points,
    cone,
    ellipsoid,
    half_space,
    intersection,
    sphere,
    tube,
    union,
)


@dataclass(frozen=True)
class Bones:
    """Distances to the bones of one slice, and to what fills the gaps between them."""

    femur: np.ndarray
    pelvis: np.ndarray
    sacrum: np.ndarray
    joint: np.ndarray  # the socket: cartilage around the femoral head
    capsule: np.ndarray  # around head and neck
    scar: np.ndarray  # of the growth plate in the femoral head
    foramina: np.ndarray  # of the sacrum, with the canal
    discs: np.ndarray  # L5/S1, the remnants below, and the symphysis
    cortex: np.ndarray  # thickness of the femoral cortex, mm


_SOCKET = (0.72, -0.28, -0.63)  # where the socket opens: outwards, down, forwards


def bones(man: Patient, p: Points) -> Bones:
    """All bones near a slice."""
    fold = p.folded()
    head = (man.pelvis_width, 0.0, 0.0)
    sacrum, foramina, discs = _sacrum(p, fold)
    symphysis = ellipsoid(p, (0, -48, -39), (3.2, 10, 19))
    return Bones(
        femur=_femur(man, fold, head),
        pelvis=_pelvis(man, fold, head),
        sacrum=sacrum,
        joint=intersection(
            sphere(fold, head, man.head_radius + 3.2),
            half_space(fold, (head[0] + 12, 0, -6), _SOCKET),
        ),
        capsule=cone(fold, head, (head[0] + 26, 4, -20), man.head_radius + 4, 20),
        scar=np.abs(half_space(fold, (head[0] + 11, 0, -8), (0.8, 0.1, -0.6))),
        foramina=foramina,
        discs=union(discs, symphysis),
        # thin shell over head and neck, a thick tube along the shaft
        cortex=np.clip(1.2 - (fold.z + 20) * 0.075, 1.2, man.cortex),
    )


def _femur(man: Patient, p: Points, head) -> np.ndarray:
    x, r = man.pelvis_width, man.head_radius / 24
    back, low = man.toe_out, -man.neck_drop
    base = (x + 38 * r, 2 + back * 0.6, low)
    knee = (x + 34 + man.leg_gap, -6 + back * 0.3, -140)
    neck = cone(p, head, base, 15.0 * r, 16.5 * r)
    shaft = tube(
        p,
        [(base[0] + 3, base[1] + 2, low + 4), (base[0] + 1, base[1], low - 34), knee],
        [17.5 * r, 15.5 * r, 13.5 * r],
    )
    trochanter = ellipsoid(
        p, (x + 50 * r, 9 + back, low + 15), (11.5 * r, 16 * r, 21 * r)
    )
    lesser = ellipsoid(p, (base[0] - 16 * r, 14 + back * 0.6, low - 30), (8, 9, 12))
    body = union(neck, shaft, trochanter, smooth=9)
    return union(
        union(body, lesser, smooth=6), sphere(p, head, man.head_radius), smooth=4
    )


def _pelvis(man: Patient, p: Points, head) -> np.ndarray:
    wide = man.pelvis_width - 89.0
    r = man.head_radius + 3.0
    # The ilium: a plate through acetabulum, front spine and back spine, a little bowed.
    ilium = FAR
    if not p.misses(-58, 90):
        outline = np.square((p.y - 14) * (1 / 70)) + np.square((p.z - 73) * (1 / 51))
        bow = 5 * np.clip(1 - outline, 0, 1)
        flare = 0.66 - 6e-5 * np.square(p.y)  # the wings lean outwards, more in front
        across = (p.x - wide - 64 + 0.4 * p.y - flare * p.z) * 0.8 - bow
        thick = 3.2 + 9 * np.clip((42 - p.z) * (1 / 34), 0, 1)
        thick += 4.5 * np.clip(outline * 1.8 - 0.95, 0, 1)  # crest and spines
        thick += 5 * np.clip((p.y - 42) * (1 / 25), 0, 1)  # towards the sacrum
        ilium = intersection(
            np.abs(across) - thick, (np.sqrt(outline) - 1) * 52, smooth=8
        )
    cup = intersection(
        sphere(p, head, r + 7.5),
        half_space(p, (head[0] + 6, 0, -3), _SOCKET),
        smooth=4,
    )
    roof = ellipsoid(p, (head[0] - 2, 3, 31), (21, 28, 24))
    front = tube(
        p,
        [(head[0] + 8, -36, 40), (head[0] - 8, -28, 18), (head[0] - 22, -18, -2)],
        [10, 11, 12],
    )  # the anterior column, from the antero-inferior spine
    upper = union(ilium, roof, front, cup, smooth=9)
    symphysis = (13.0, -48.0, -32.0)
    superior = tube(
        p, [(head[0] - 22, -16, -1), (44 + wide / 2, -42, -14), symphysis], [12, 7.5, 9]
    )
    body = ellipsoid(p, (12.2, -47, -39), (9.4, 9.5, 19))
    inferior = tube(p, [(14, -45, -53), (31, -18, -66), (48, 10, -70)], [6.5, 5.5, 8])
    ischium = tube(
        p,
        [(head[0] - 17, 20, 2), (66 + wide / 2, 28, -34), (56 + wide / 2, 26, -62)],
        [18, 11, 14.5],
    )
    ischial_spine = cone(p, (66, 34, -8), (51, 45, -12), 8, 3)
    lower = union(
        union(superior, body, inferior, smooth=6),
        union(ischium, ischial_spine, smooth=5),
        smooth=4,
    )
    # The socket is cut last, so that every part leaves room for head and cartilage.
    return intersection(union(upper, lower, smooth=7), -sphere(p, head, r - 0.4))


def _sacrum(p: Points, fold: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if p.misses(0, 105):
        return FAR, FAR, FAR
    middle = 87 - 0.0074 * np.square(p.z - 25)  # the curve from promontory to coccyx
    half_width = np.clip(18.5 + 0.46 * p.z, 7, 54)
    wing = fold.x * (1 / 54)
    half_depth = np.clip(8.5 + 0.075 * p.z, 4, 17) * (1.05 - 0.25 * wing)
    plate = intersection(
        (fold.x - half_width) * 0.9,
        (np.abs(p.y - middle - 4 * wing) - half_depth) * 0.85,
        -26 - p.z,
        # the top is tilted: its front edge is the promontory
        0.78 * (p.z - 92) - 0.62 * (p.y - 50) + 0.1 * fold.x,
        smooth=5,
    )
    lumbar = ellipsoid(p, (0, 36, 113), (27, 19, 20))
    holes, discs = FAR, FAR
    for level, (z, x, r) in enumerate(
        ((74, 21, 4.0), (50, 18.5, 3.4), (28, 16, 2.8), (10, 13, 2.2))
    ):
        y = 87 - 0.0074 * (z - 25) ** 2
        hole = cone(fold, (x - 5, y + 6, z + 6), (x + 6, y - 22, z - 5), r, r + 1.2)
        holes = np.minimum(holes, hole)
        disc = ellipsoid(
            p, (0, y - 3, z + 12), (15 - 2.5 * level, 9 - level, 2.3 - 0.3 * level)
        )
        discs = np.minimum(discs, disc)
    canal = tube(p, [(0, 82, 110), (0, 88, 70), (0, 94, 30)], [8.5, 7.5, 3.5])
    top_disc = intersection(
        ellipsoid(p, (0, 41, 98), (26, 20, 11)),
        np.abs(0.78 * (p.z - 95) - 0.62 * (p.y - 50)) - 4,
    )
    bone = union(plate, lumbar)
    return bone, np.minimum(holes, canal), np.minimum(discs, top_disc)
