"""Who lies in the scanner: what differs between patients, and between two weeks.

A patient is some twenty numbers and two smooth random warps of space, a broad one for
build and asymmetry and a fine one so that no contour is a perfect curve. A week adds
the filling of bladder and rectum, the bowel, and a small shift and rotation.
"""

import numpy as np


class Patient:
    """One patient, from a seed. Lengths in mm, signals relative to bright fat."""

    def __init__(self, seed: int):
        rng = np.random.default_rng([seed, 1])

        def normal(mean: float, spread: float) -> float:
            return float(mean + spread * np.clip(rng.standard_normal(), -2.2, 2.2))

        def uniform(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        self.seed = seed
        # the body: its scale along x, y and z, the fat under the skin at the hip, how
        # much farther the abdomen reaches forward, and the bulk of the muscles
        build = normal(1.0, 0.025)
        self.size = build * normal(1, 0.02), build * normal(1, 0.03), normal(1, 0.03)
        self.fat = 10 + 26 * float(rng.beta(1.6, 2.4))
        self.belly = uniform(-8, 22)
        self.muscle = normal(1.0, 0.09)
        # bones
        self.pelvis_width = normal(89, 3.0)  # from the midline to the femoral head
        self.head_radius = normal(24.0, 1.1)  # of the femoral head
        self.neck_drop = normal(31, 3.5)  # how far the neck descends to the trochanter
        self.toe_out = normal(10, 5)  # rotation: the trochanter lies behind the head
        self.cortex = normal(5.4, 0.7)  # thickness, at the shaft of the femur
        self.leg_gap = normal(0, 7)  # how far the knees are apart: tilts the thighs
        # organs
        self.prostate_ml = uniform(30, 68)
        self.nodularity = uniform(0.4, 1.3)  # of the transition zone (hyperplasia)
        self.bladder_ml = uniform(140, 290)  # usual filling
        self.bladder_flat = uniform(0.95, 1.3)  # how much wider than high it is
        self.rectum_radius = uniform(12.8, 16.5)  # usual filling
        # tissue
        self.infiltration = float(rng.beta(1.8, 3.2))  # fat streaks in muscle, 0 to 1
        self.red_marrow = uniform(0.1, 0.5)  # dark patches in bone marrow
        self.muscle_signal = normal(0.35, 0.022)
        self.marrow_signal = normal(0.71, 0.05)
        self.fluid_signal = normal(1.05, 0.12)
        self.prostate_signal = normal(0.46, 0.04)
        # the scanner
        self.scale = uniform(120, 230)  # of bright fat, arbitrary units
        self.noise = uniform(0.014, 0.030)  # Rician sigma
        self.detail = uniform(1.05, 1.35)  # resolution, as a share of the grid's
        # brightness near the coil in front and at the back, and its reach in mm
        self.coil = uniform(0.05, 0.55), uniform(0.05, 0.4), uniform(50, 95)
        self.warps = Warp(rng, spacing=70, size=4.0), Warp(rng, spacing=24, size=0.8)


class Week:
    """What differs between two scans of one patient."""

    def __init__(self, patient: Patient, week: int):
        rng = np.random.default_rng([patient.seed, 2, week])
        filling = float(np.clip(np.exp(0.3 * rng.standard_normal()), 0.55, 1.45))
        self.number = week
        self.shift = rng.normal(0, (2.5, 2.0, 3.0)).tolist()  # mm on the table
        self.rotation = rng.normal(0, 0.012, 3).tolist()  # radians about x, y, z
        self.bladder_ml = patient.bladder_ml * filling
        self.rectum_radius = patient.rectum_radius * float(rng.uniform(0.92, 1.12))
        self.rectum_gas = float(rng.beta(0.7, 1.1))  # share that is gas
        self.ghost = float(rng.uniform(0.002, 0.02))  # brightness of breathing's copies
        self.gain = float(np.exp(0.08 * rng.standard_normal()))  # of the receiver


class Warp:
    """A smooth random displacement of about ``size`` mm: cubic B-splines on knots
    ``spacing`` mm apart."""

    def __init__(self, rng: np.random.Generator, spacing: float, size: float):
        half = np.array([220.0, 130.0, 110.0])
        counts = np.ceil(2 * half / spacing).astype(int) + 3
        knots = rng.standard_normal((3, *counts)) * size * 2.9  # splines smooth
        self.knots = knots.astype(np.float32)  # mm [3, KX, KY, KZ]
        self.spacing, self.origin = spacing, tuple(-half - spacing)

    def basis(self, axis: int, positions: np.ndarray) -> np.ndarray:
        """B-spline weights [positions, knots] along one axis."""
        t = (positions - self.origin[axis]) / self.spacing
        t = np.abs(t[:, None] - np.arange(self.knots.shape[axis + 1]))
        near = 2 / 3 - t**2 + t**3 / 2
        return np.where(t < 1, near, np.clip(2 - t, 0, None) ** 3 / 6).astype("float32")


class Grid:
    """The scanner's grid: pixel centres in mm, x to the left, y back, z to the head."""

    SPACING = (1.68, 1.56)  # mm, left–right and inferior–superior
    SHAPE = (256, 128)
    DEPTH = 201.6  # mm that the slices span: 60 of them are 3.36 mm apart

    def __init__(self, slices: int):
        """``slices`` coronal slices, the first in front; they always span the body."""
        (nx, nz), (dx, dz) = self.SHAPE, self.SPACING
        self.x = (np.arange(nx) - (nx - 1) / 2) * dx
        self.y = -102 + (np.arange(slices) + 0.5) * (self.DEPTH / slices)
        self.z = (np.arange(nz) - (nz - 1) / 2) * dz - 4

    def affine(self, slice_: int) -> np.ndarray:
        """The NIfTI affine of one slice; RAS+, so x and y change their sign."""
        dx, dz = self.SPACING
        affine = np.zeros((4, 4))
        affine[0, 0], affine[2, 1] = -dx, dz
        affine[1, 2] = -self.DEPTH / len(self.y)
        affine[:, 3] = -self.x[0], -self.y[slice_], self.z[0], 1
        return affine


def patient_points(patient: Patient, week: Week, grid: Grid, slice_: int):
    """Anatomical positions of the pixels of one slice, arrays x, y, z [X, Z] in mm: the
    scanner's grid carried back through set-up, warps and size of the body, origin
    between the hip joints."""
    x, y, z = grid.x, grid.y[slice_], grid.z
    moved = []
    for warp in patient.warps:
        bx, by, bz = (warp.basis(i, np.atleast_1d(v)) for i, v in enumerate((x, y, z)))
        plane = np.einsum("cxyz,y->cxz", warp.knots, by[0])
        moved.append([bx @ component @ bz.T for component in plane])
    dx, dy, dz = (broad + fine for broad, fine in zip(*moved, strict=True))
    x = (x - week.shift[0])[:, None].astype(np.float32)
    z = (z - week.shift[2])[None, :].astype(np.float32)
    y = np.float32(y - week.shift[1])
    rx, ry, rz = week.rotation  # small angles: first order is exact to 0.1 mm
    sx, sy, sz = patient.size
    return (
        (x - rz * y + ry * z + dx) * (1 / sx),
        (y + rz * x - rx * z + dy) * (1 / sy),
        (z - ry * x + rx * y + dz) * (1 / sz),
    )
