"""Bowel, vessels and nerves: everything that is a thin, bent tube.

Drawn at random are the loops of bowel, whose course is the patient's and whose place
and content are the week's, and the small vessels of the pelvic side walls.
"""

from types import SimpleNamespace

import numpy as np

from pelvis.phantom.patient import Patient, Week
from pelvis.phantom.shapes import FAR, Points, nearest_two, thin_tube

# paired, on the left side: the course, mm, and its radii
# fmt: off
NAMED = {
    "artery": ([(36, 22, 112), (46, 4, 66), (64, -34, 22), (74, -54, -8),
                (80, -54, -50), (92, -40, -140)], [5.5, 5, 4.8, 4.6, 4.4, 4]),
    "vein": ([(30, 30, 112), (42, 14, 66), (54, -28, 22), (62, -51, -10),
              (68, -50, -50), (84, -34, -140)], [7, 6.5, 6.5, 6.5, 6, 5]),
    "internal": ([(40, 30, 82), (50, 46, 48), (47, 44, 12), (42, 30, -12)],
                 [4, 3.5, 3, 2]),
    "nerve": ([(56, 66, 30), (72, 50, -12), (84, 42, -70), (90, 36, -140)],
              [5, 6, 5.5, 5]),
    "cord": ([(66, -58, 18), (38, -72, -14), (18, -78, -52), (16, -82, -84)],
             [4, 4.5, 5, 7]),
}
SIGMOID = [(16, 54, 58), (8, 34, 48), (-22, 18, 46), (-10, -4, 66), (34, 2, 72),
           (62, -10, 92), (74, -14, 116)]  # from the rectum to the left flank
# fmt: on


def named(p: Points) -> dict[str, np.ndarray]:
    """Distances to paired vessels, the sciatic nerve and the spermatic cord."""
    fold = p.folded()
    return {name: thin_tube(fold, *course) for name, course in NAMED.items()}


def bowel(patient: Patient, week: Week) -> list[tuple[list, list, float, float]]:
    """Loops of small bowel and colon above the bladder: of each path, radii, the signal
    of what is in it (0 gas, 0.4 stool, 1 fluid), and how mottled that is."""
    usual = np.random.default_rng([patient.seed, 4])
    now = np.random.default_rng([patient.seed, 5, week.number])
    course = np.array(SIGMOID)
    course = course + usual.normal(0, 7, course.shape) + now.normal(0, 4, course.shape)
    radii = usual.uniform(9, 13) * now.uniform(0.75, 1.25, len(course))
    content = float(now.choice((0.03, 0.36, 0.45), p=(0.2, 0.4, 0.4)))
    loops = [(course.tolist(), radii.tolist(), content, 0.25)]
    for _ in range(44):
        start = [usual.uniform(*span) for span in ((-78, 78), (-70, 45), (34, 104))]
        heading = usual.normal(size=3) * (1.0, 0.7, 0.6)
        path, radius = [start + now.normal(0, 3.0, 3)], usual.uniform(8, 15)
        for _ in range(3):
            heading = heading / np.linalg.norm(heading) + usual.normal(0, 0.6, 3)
            step = path[-1] + heading * usual.uniform(10, 18)
            path.append(np.clip(step, (-88, -76, 30), (88, 40, 112)))
        radii = [float(radius * now.uniform(0.8, 1.15)) for _ in path]
        kind = now.choice(3, p=(0.22, 0.48, 0.3))
        content = (0.02, now.uniform(0.3, 0.55), now.uniform(0.6, 0.95))[kind]
        loops.append(([v.tolist() for v in path], radii, content, (0, 0.3, 0.1)[kind]))
    return loops


def bowel_near(p: Points, loops: list) -> SimpleNamespace | None:
    """Loops pressed against each other, only their walls between: the distance, and
    content and mottle of the nearest. None where no loop comes near the slice."""
    tubes = (thin_tube(p, path, radii) for path, radii, _, _ in loops)
    first, second, owner = nearest_two(p, tubes)
    if first.min() > 0:
        return None
    content, mottle = np.array([loop[2:] for loop in loops], np.float32).T
    return SimpleNamespace(
        distance=np.maximum(first, (first - second) * 0.5),
        content=content[owner],
        mottle=mottle[owner],
    )


def small_vessels(patient: Patient) -> list[tuple[list, float, bool]]:
    """Course and radius of the vessels of the side walls, and whether blood flows fast:
    then it is dark; in many veins it hardly flows and is bright."""
    rng = np.random.default_rng([patient.seed, 6])
    vessels = []
    for _ in range(70):
        start = rng.uniform((24, -40, -25), (54, 66, 84))
        start[0] *= rng.choice((-1, 1))
        step = rng.normal(0, (7, 12, 12))
        path = [start, start + 0.5 * step + (3, 0, 0), start + step]
        path = [point.tolist() for point in path]
        vessels.append((path, rng.uniform(0.8, 2.4), rng.random() < 0.55))
    return vessels


def small_vessels_near(p: Points, vessels: list) -> tuple[np.ndarray, np.ndarray]:
    """Distances to those in which blood flows fast, and to the others."""
    flows = [FAR, FAR]
    for path, radius, fast in vessels:
        distance = thin_tube(p, path, [radius] * 3, reach=3)
        if np.ndim(distance):
            flows[not fast] = np.minimum(flows[not fast], distance)
    return tuple(flows)
