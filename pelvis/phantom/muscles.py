"""Muscles: each grows around its line of pull until it meets its neighbours.

A muscle is a list of segments from origin to insertion with radii. Every point belongs
to the muscle that it is nearest to; where two are equally near there is a fascial
plane, and what no muscle reaches is fat between them.
"""

from types import SimpleNamespace

import numpy as np

from pelvis.phantom.patient import Patient
from pelvis.phantom.shapes import FAR, Points, cone, nearest_two

# fmt: off
# name: how coarse its bundles are, then its segments (a, b, radius), mm, left side
MUSCLES = {
    "gluteus maximus": (
        2.2, ((62, 78, 62), (138, 42, -38), 25), ((42, 88, 25), (126, 40, -62), 27),
        ((40, 86, -8), (112, 58, -72), 26), ((84, 72, 40), (132, 58, -10), 24)),
    "gluteus medius": (
        1.25, ((138, 8, 98), (144, 6, 6), 20), ((108, 48, 90), (140, 18, 12), 18),
        ((132, -30, 80), (146, -2, 14), 14)),
    "gluteus minimus": (
        1.1, ((118, 0, 62), (137, -4, 2), 9), ((98, 32, 58), (134, 4, 8), 8)),
    "tensor fasciae latae": (1, ((136, -42, 70), (158, -28, -70), 12)),
    "iliacus": (
        1, ((104, -12, 96), (86, -36, 8), 17), ((94, 20, 92), (84, -28, 22), 13)),
    "psoas": (
        1, ((40, 6, 110), (62, -18, 45), 18), ((62, -18, 45), (88, -38, 2), 13),
        ((88, -38, 2), (108, 4, -62), 10)),
    "sartorius": (
        1, ((124, -52, 68), (104, -70, -30), 8), ((104, -70, -30), (78, -66, -130), 9)),
    "rectus femoris": (
        1, ((104, -44, 34), (112, -62, -60), 13),
        ((112, -62, -60), (114, -66, -140), 17)),
    "vastus lateralis": (
        1, ((152, -2, -42), (150, -12, -140), 23),
        ((136, -30, -62), (140, -38, -140), 15)),
    "vastus intermedius": (1, ((122, -26, -62), (124, -30, -140), 13)),
    "vastus medialis": (1, ((102, -20, -80), (96, -26, -140), 15)),
    "pectineus": (1, ((32, -52, -24), (102, -4, -64), 11)),
    "adductor longus": (1, ((17, -54, -46), (88, -34, -140), 13)),
    "adductor brevis": (1, ((20, -36, -56), (100, -6, -112), 13)),
    "adductor magnus": (
        1.2, ((44, 8, -74), (92, 8, -140), 22), ((54, 20, -72), (104, 4, -96), 14)),
    "obturator externus": (
        1, ((36, -30, -46), (82, 8, -34), 12), ((82, 8, -34), (128, 20, -14), 6)),
    "quadratus femoris": (1, ((70, 30, -58), (122, 24, -48), 12)),
    "hamstrings": (1.2, ((60, 38, -74), (78, 42, -140), 18)),
    "piriformis": (1, ((30, 76, 42), (132, 18, 12), 10)),
    "multifidus": (1.3, ((15, 92, 118), (12, 104, 48), 13)),
    "gemelli": (1, ((66, 40, -12), (134, 20, 0), 7)),
}
# fmt: on
_COARSE = np.array([coarse for coarse, *_ in MUSCLES.values()], np.float32)
_ALONG = [np.subtract(b, a) for _, (a, b, _), *_ in MUSCLES.values()]
_FIBRES = np.array([along / np.linalg.norm(along) for along in _ALONG], np.float32)
_MARGIN = 22.0  # mm that a muscle grows beyond its radii where nothing stops it


def muscles(patient: Patient, p: Points, swell: np.ndarray) -> SimpleNamespace | None:
    """Distance to the nearest muscle, its fibres (unit vectors [3, X, Z]), how coarse
    it is, its tone (brightness); None where there are none. ``swell`` [X, Z] is smooth
    noise: where it is low, neighbours touch without fat."""
    fold = p.folded()
    grow = (patient.muscle - 1) * 22  # bulk: every belly thicker by as many mm
    wide = patient.pelvis_width - 89.0

    def belly(segments):
        distance = FAR
        for a, b, radius in segments:
            a, b = (a[0] + wide * 0.7, *a[1:]), (b[0] + wide, *b[1:])
            distance = np.minimum(distance, cone(fold, a, b, radius, radius))
        return distance

    bellies = (belly(segments) for _, *segments in MUSCLES.values())
    first, second, owner = nearest_two(p, bellies)
    if first.min() > 60:
        return None
    first -= grow
    second -= grow
    plane = 0.5 + 0.7 * patient.infiltration + 0.75 * swell  # half the fat between, mm
    distance = np.maximum(first - _MARGIN, plane - (second - first) * 0.5)
    fibres = _FIBRES.T[:, owner]
    fibres[0] *= np.sign(p.x)
    tone = np.random.default_rng([patient.seed, 9]).normal(1, 0.07, len(MUSCLES))
    tone = tone.astype(np.float32)[owner]
    return SimpleNamespace(
        distance=distance, fibres=fibres, coarse=_COARSE[owner], tone=tone
    )


def abdominal_wall(fold: Points, depth: np.ndarray) -> np.ndarray:
    """Share of wall muscle [X, Z] in front: rectus near the midline, three flat layers
    beside it; ``depth`` is how deep under the fat a point lies, mm."""
    if fold.misses(-140, -20):
        return FAR
    side = np.clip(26 + 0.4 * fold.z, 12, 44)  # the rectus narrows to the pubis
    beside = np.maximum(fold.x - side, 2.5 - fold.x)
    rectus = np.maximum(np.abs(depth - 5.5) - 5, beside)
    flat = np.maximum(np.abs(depth - 9) - 8.5, np.maximum(47 - fold.x, fold.x - 125))
    groin = 0.7 * (fold.x - fold.z) - 38  # the inguinal ligament ends the flat muscles
    flat = np.maximum(flat, groin)
    layers = np.minimum(np.abs(depth - 6), np.abs(depth - 12))
    flat = np.maximum(flat, 0.35 - layers)
    return np.maximum(np.minimum(rectus, flat), np.maximum(-32 - fold.z, fold.y + 20))
