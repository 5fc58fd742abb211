"""One scan: the anatomy painted slice by slice, from the skin inwards, then scanned."""

from functools import cache

import numpy as np

from pelvis.phantom import vessels
from pelvis.phantom.bones import bones
from pelvis.phantom.muscles import abdominal_wall, muscles
from pelvis.phantom.organs import body, cavity, organs
from pelvis.phantom.patient import Grid, Patient, Week, patient_points
from pelvis.phantom.shapes import Points, coverage
from pelvis.phantom.tissue import Textures, coil_bias, scan

BODY, BONE, BLADDER, RECTUM, PROSTATE = range(1, 6)
EDGE = 1.25  # mm; how wide edges are, about one pixel: the partial volume effect


class Canvas:
    """A slice on which shapes are painted over one another."""

    def __init__(self, shape: tuple[int, int]):
        self.image = np.zeros(shape, np.float32)
        self.labels = np.zeros(shape, np.uint8)

    def paint(self, distance, signal, label=None, strength=1.0) -> None:
        """Cover the inside of a shape with a signal, or what a function returns."""
        if np.min(distance) > EDGE / 2:
            return  # the shape does not reach this slice
        signal = signal() if callable(signal) else signal
        alpha = coverage(distance, EDGE)
        if strength != 1.0:
            alpha *= strength
        self.image += alpha * (signal - self.image)
        if label is not None:
            self.labels[distance < 0] = label


def make_volume(
    patient_seed: int, week: int = 0, slices: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """One weekly scan of one patient, from a seed alone.

    Returns image float32 [S, 256, 128] in the scanner's arbitrary units (bright fat at
    about 100 to 250) and labels uint8 [S, 256, 128], `LABEL_NAMES`. Slices run from
    front to back, axes are left–right and inferior–superior.
    """
    patient, grid = Patient(patient_seed), Grid(slices)
    now = Week(patient, week)
    tubes = vessels.bowel(patient, now), vessels.small_vessels(patient)
    image = np.empty((slices, *Grid.SHAPE), np.float32)
    labels = np.empty((slices, *Grid.SHAPE), np.uint8)
    for s in range(slices):
        p = Points(*patient_points(patient, now, grid, s))
        canvas, skin = _draw(patient, now, tubes, p)
        signal = canvas.image * coil_bias(patient, skin, p, grid.y[s])
        # a seed for each slice, so that a slice does not depend on those before it
        rng = np.random.default_rng([patient_seed, 8, week, s])
        image[s] = scan(signal, patient.noise, patient.detail, now.ghost, rng)
        labels[s] = canvas.labels
    image *= patient.scale * now.gain
    return image, labels


def _draw(patient: Patient, now: Week, tubes: tuple[list, list], p: Points):
    """The anatomy of one slice, without coil and noise; the distance to the skin."""
    canvas = Canvas(p.x.shape)
    skin, deep = body(patient, p)
    if skin.min() > EDGE:
        return canvas, skin
    look = Textures(patient, p)
    deep = look.rough(deep, 2.0, 1.2, 81)
    canvas.paint(skin, 0.5, BODY)
    canvas.paint(skin + 2.2, look.fat)
    canvas.paint(np.abs(deep) - 0.2, 0.35, strength=0.75)  # deep fascia
    canvas.paint(deep + 0.8, look.deep_fat)
    _draw_muscles(canvas, patient, p, deep, look)
    found = bones(patient, p)
    _draw_organs(canvas, patient, now, tubes, p, deep, found.pelvis, look)
    _draw_bones(canvas, found, patient, look)
    canvas.labels[skin > 0] = 0
    return canvas, skin


def _draw_muscles(canvas, patient, p, deep, look) -> None:
    found = muscles(patient, p, look.noise("swells", 0.4, 84))
    if found is not None:
        distance = look.rough(np.maximum(found.distance, deep + 1.5), 0.6, 0.6, 83)
        canvas.paint(distance, look.muscle(found.fibres, found.coarse, found.tone))
    wall = abdominal_wall(p.folded(), -deep)
    if np.ndim(wall):
        canvas.paint(wall, look.muscle(*_fibres(p, 0, 0, 1), tone=1))


def _fibres(p, x: float, y: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Fibres in one direction, a unit vector, of the usual coarseness."""
    fibres = np.empty((3, *p.x.shape), np.float32)
    fibres[0], fibres[1], fibres[2] = x * np.sign(p.x), y, z
    return fibres, np.ones_like(p.x)


def _draw_organs(canvas, patient, now, tubes, p, deep, pelvis, look) -> None:
    loops, small = tubes
    basin, floor, fossa = cavity(p, deep)
    parts = organs(patient, now, p, pelvis)
    basin = look.rough(basin, 3.5, 1.0, 85)
    bladder = look.rough(parts.bladder, 2.2, 1.2, 89)

    @cache
    def flesh():
        return look.muscle(*_fibres(p, 0.3, 0.6, -0.74), tone=1.05)

    canvas.paint(look.rough(fossa, 4, 0.8, 86), look.deep_fat)
    canvas.paint(basin, look.visceral_fat)
    canvas.paint(look.rough(parts.obturator, 3.0, 0.6, 62), flesh)
    canvas.paint(look.rough(floor, 1.2, 0.7, 87), flesh, strength=0.85)
    found = vessels.bowel_near(p, loops)
    if found is not None:
        distance = look.rough(np.maximum(found.distance, basin + 3), 1.2, 0.5, 70)
        canvas.paint(distance, lambda: look.soft(0.36, 0.1, 0.7, 63))
        mottle = 1 + found.mottle * look.noise("clouds", 0.7, 71)
        canvas.paint(distance + 2.0, found.content * mottle)
    large = vessels.named(p)
    fast, slow = vessels.small_vessels_near(p, small)
    canvas.paint(slow - 0.9, 0.4, strength=0.8)
    canvas.paint(slow, 0.95)
    canvas.paint(fast, 0.15, strength=0.85)
    canvas.paint(large["cord"], lambda: look.soft(0.5, 0.2, 0.6, 64))
    canvas.paint(large["nerve"], lambda: look.soft(0.42, 0.12, 0.6, 65))
    for name, lumen in (("internal", 0.12), ("vein", 0.5), ("artery", 0.07)):
        canvas.paint(large[name], 0.2)
        canvas.paint(large[name] + 1.2, lumen)
    bulb = look.rough(parts.bulb, 1.5, 0.5, 105)
    canvas.paint(bulb, lambda: look.glandular(0.62, 0.12, 0.6))
    canvas.paint(parts.anal_canal, flesh)
    canvas.paint(parts.anal_canal + 8, 0.6, strength=0.7)
    canvas.paint(parts.rectum, lambda: look.soft(0.3, 0.08, 0.6, 67), RECTUM)
    canvas.paint(parts.rectum + 2.8, lambda: look.soft(0.46, 0.25, 0.7, 66))
    canvas.paint(parts.gas, 0.03)
    canvas.paint(parts.seminal_vesicles, look.tubules)
    wall = look.rough(bladder, 0.7, 0.8, 68) - 2.6
    canvas.paint(wall, lambda: look.soft(0.27, 0.08, 0.7, 69))
    canvas.paint(bladder, look.fluid, BLADDER)
    _draw_prostate(canvas, patient, parts, look)


def _draw_prostate(canvas, patient, parts, look) -> None:
    mean = patient.prostate_signal
    gland = look.rough(parts.prostate, 1.0, 0.5, 101)
    canvas.paint(gland - 1.8, lambda: look.glandular(0.45, 0.5, 0.6), strength=0.8)
    canvas.paint(gland, 0.28, PROSTATE)
    canvas.paint(gland + 1.2, lambda: look.glandular(mean * 1.4, 0.1, 0.5))
    zone = look.rough(parts.transition_zone, 1.2, 0.5, 103)
    canvas.paint(zone - 0.8, 0.27, strength=0.7)
    nodules = 0.22 * patient.nodularity
    canvas.paint(zone + 0.3, lambda: look.glandular(mean * 0.95, nodules, 0.95))
    canvas.paint(parts.urethra, 0.62, strength=0.45)


def _draw_bones(canvas, found, patient, look) -> None:
    uneven = 1 + 0.35 * look.noise("swells", 0.5, 91)  # thickness of the cortex
    canvas.paint(found.capsule, lambda: look.soft(0.3, 0.15, 0.6, 72), strength=0.8)
    canvas.paint(found.joint, lambda: look.soft(0.42, 0.08, 0.6, 73))
    pelvic = look.marrow(patient.red_marrow)
    femoral = look.marrow(patient.red_marrow * 0.6)
    femoral -= 0.2 * np.exp(-np.square(found.scar * (1 / 1.1))) * (found.femur < -2)
    for distance, cortex, inside in (
        (look.rough(found.sacrum, 1.8, 0.6, 93), 1.0, pelvic),
        (look.rough(found.pelvis, 0.8, 0.7, 95), 1.25, pelvic),
        (look.rough(found.femur, 0.6, 0.6, 97), found.cortex, femoral),
    ):
        canvas.paint(distance, 0.1, BONE)
        canvas.paint(distance + cortex * uneven, inside)
    canvas.paint(found.foramina - 0.6, 0.25)
    canvas.paint(found.foramina + 0.6, lambda: look.soft(0.7, 0.15, 0.6, 99))
    canvas.paint(found.discs, lambda: look.soft(0.36, 0.15, 0.6, 75))
