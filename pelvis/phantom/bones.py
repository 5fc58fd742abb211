"""The bony pelvis and the proximal femora, as signed distances in mm.

Origin midway between the hip joints, x to the left, y to the back, z to the head.
Paired bones are described once, on points folded to the left side. Positions are those
of an average man (femoral heads 178 mm apart, 48 mm across).
"""

from types import SimpleNamespace

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

_SOCKET = (0.72, -0.28, -0.63)  # where the socket opens: outwards, down, forwards


def bones(patient: Patient, p: Points) -> SimpleNamespace:
    """Distances to the bones near a slice, and to what fills the gaps between them."""
    fold = p.folded()
    x, r = patient.pelvis_width, patient.head_radius
    head = (x, 0.0, 0.0)
    sacrum, foramina, discs = _sacrum(p, fold)
    symphysis = ellipsoid(p, (0, -48, -39), (3.2, 10, 19))
    socket = half_space(fold, (x + 12, 0, -6), _SOCKET)
    return SimpleNamespace(
        femur=_femur(patient, fold, head),
        pelvis=_pelvis(patient, fold, head),
        sacrum=sacrum,
        joint=intersection(sphere(fold, head, r + 3.2), socket),  # cartilage
        capsule=cone(fold, head, (x + 26, 4, -20), r + 4, 20),  # around head and neck
        # of the growth plate in the femoral head
        scar=np.abs(half_space(fold, (x + 11, 0, -8), (0.8, 0.1, -0.6))),
        foramina=foramina,  # of the sacrum, with the canal
        discs=union(discs, symphysis),  # L5/S1, the remnants below, the symphysis
        # thickness of the femur's: thin over head and neck, a thick tube at the shaft
        cortex=np.clip(1.2 - (fold.z + 20) * 0.075, 1.2, patient.cortex),
    )


def _femur(patient: Patient, p: Points, head) -> np.ndarray:
    x, r = patient.pelvis_width, patient.head_radius / 24
    back, low = patient.toe_out, -patient.neck_drop
    base = bx, by, _ = (x + 38 * r, 2 + back * 0.6, low)
    knee = (x + 34 + patient.leg_gap, -6 + back * 0.3, -140)
    neck = cone(p, head, base, 15.0 * r, 16.5 * r)
    course = [(bx + 3, by + 2, low + 4), (bx + 1, by, low - 34), knee]
    shaft = tube(p, course, [17.5 * r, 15.5 * r, 13.5 * r])
    radii = (11.5 * r, 16 * r, 21 * r)
    trochanter = ellipsoid(p, (x + 50 * r, 9 + back, low + 15), radii)
    lesser = ellipsoid(p, (bx - 16 * r, 14 + back * 0.6, low - 30), (8, 9, 12))
    body = union(neck, shaft, trochanter, smooth=9)
    ball = sphere(p, head, patient.head_radius)
    return union(union(body, lesser, smooth=6), ball, smooth=4)


def _pelvis(patient: Patient, p: Points, head) -> np.ndarray:
    x, r = head[0], patient.head_radius + 3.0
    wide = patient.pelvis_width - 89.0
    cup = sphere(p, head, r + 7.5)
    cup = intersection(cup, half_space(p, (x + 6, 0, -3), _SOCKET), smooth=4)
    roof = ellipsoid(p, (x - 2, 3, 31), (21, 28, 24))
    # the anterior column, from the antero-inferior spine
    course = [(x + 8, -36, 40), (x - 8, -28, 18), (x - 22, -18, -2)]
    front = tube(p, course, [10, 11, 12])
    upper = union(_ilium(p, wide), roof, front, cup, smooth=9)
    course = [(x - 22, -16, -1), (44 + wide / 2, -42, -14), (13.0, -48.0, -32.0)]
    superior = tube(p, course, [12, 7.5, 9])
    body = ellipsoid(p, (12.2, -47, -39), (9.4, 9.5, 19))
    inferior = tube(p, [(14, -45, -53), (31, -18, -66), (48, 10, -70)], [6.5, 5.5, 8])
    course = [(x - 17, 20, 2), (66 + wide / 2, 28, -34), (56 + wide / 2, 26, -62)]
    ischium = tube(p, course, [18, 11, 14.5])
    spine = cone(p, (66, 34, -8), (51, 45, -12), 8, 3)
    pubis = union(superior, body, inferior, smooth=6)
    lower = union(pubis, union(ischium, spine, smooth=5), smooth=4)
    # The socket is cut last, so that every part leaves room for head and cartilage.
    return intersection(union(upper, lower, smooth=7), -sphere(p, head, r - 0.4))


def _ilium(p: Points, wide: float) -> np.ndarray:
    """A plate through acetabulum, front spine and back spine, a little bowed."""
    if p.misses(-58, 90):
        return FAR
    outline = np.square((p.y - 14) * (1 / 70)) + np.square((p.z - 73) * (1 / 51))
    bow = 5 * np.clip(1 - outline, 0, 1)
    flare = 0.66 - 6e-5 * np.square(p.y)  # the wings lean outwards, more in front
    across = (p.x - wide - 64 + 0.4 * p.y - flare * p.z) * 0.8 - bow
    thick = 3.2 + 9 * np.clip((42 - p.z) * (1 / 34), 0, 1)
    thick += 4.5 * np.clip(outline * 1.8 - 0.95, 0, 1)  # crest and spines
    thick += 5 * np.clip((p.y - 42) * (1 / 25), 0, 1)  # towards the sacrum
    return intersection(np.abs(across) - thick, (np.sqrt(outline) - 1) * 52, smooth=8)


def _sacrum(p: Points, fold: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sacrum with L5, its holes and canal, and the discs."""
    if p.misses(0, 105):
        return FAR, FAR, FAR
    middle = 87 - 0.0074 * np.square(p.z - 25)  # the curve from promontory to coccyx
    half_width = np.clip(18.5 + 0.46 * p.z, 7, 54)
    wing = fold.x * (1 / 54)
    half_depth = np.clip(8.5 + 0.075 * p.z, 4, 17) * (1.05 - 0.25 * wing)
    side = (fold.x - half_width) * 0.9
    depth = (np.abs(p.y - middle - 4 * wing) - half_depth) * 0.85
    # the top is tilted: its front edge is the promontory
    top = 0.78 * (p.z - 92) - 0.62 * (p.y - 50) + 0.1 * fold.x
    plate = intersection(side, depth, -26 - p.z, top, smooth=5)
    lumbar = ellipsoid(p, (0, 36, 113), (27, 19, 20))
    canal = tube(p, [(0, 82, 110), (0, 88, 70), (0, 94, 30)], [8.5, 7.5, 3.5])
    tilted = np.abs(0.78 * (p.z - 95) - 0.62 * (p.y - 50)) - 4
    discs = intersection(ellipsoid(p, (0, 41, 98), (26, 20, 11)), tilted)
    levels = (74, 21, 4.0), (50, 18.5, 3.4), (28, 16, 2.8), (10, 13, 2.2)
    for level, (z, x, r) in enumerate(levels):
        y = 87 - 0.0074 * (z - 25) ** 2
        hole = cone(fold, (x - 5, y + 6, z + 6), (x + 6, y - 22, z - 5), r, r + 1.2)
        canal = np.minimum(canal, hole)
        radii = (15 - 2.5 * level, 9 - level, 2.3 - 0.3 * level)
        discs = np.minimum(discs, ellipsoid(p, (0, y - 3, z + 12), radii))
    return union(plate, lumbar), canal, discs
