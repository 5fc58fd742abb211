"""Who lies in the scanner: what differs between men, and between two of his weeks.

Everything random about the shape of the body is drawn here. A patient is some twenty
numbers (pelvis, muscle, fat, organs, tissue contrast, scale of the scanner) and two
smooth random warps of space, a broad one for build and asymmetry and a fine one so that
no contour is a perfect curve. A week adds the filling of bladder and rectum, the bowel,
and a small shift and rotation on the table.
"""

from dataclasses import dataclass

import numpy as np

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Warp:
    """A smooth random displacement: cubic B-splines on a coarse grid of knots."""

    knots: np.ndarray  # mm, float32 [3, KX, KY, KZ]
    spacing: float  # mm between knots
    origin: Vector  # mm, position of the first knot

    @classmethod
    def draw(cls, rng: np.random.Generator, spacing: float, size: float) -> "Warp":
        """Displacements of about ``size`` mm, smooth over about ``spacing`` mm."""
        half = np.array([220.0, 130.0, 110.0])
        counts = np.ceil(2 * half / spacing).astype(int) + 3
        knots = rng.standard_normal((3, *counts)) * size * 2.9  # splines smooth
        return cls(knots.astype(np.float32), spacing, tuple(-half - spacing))

    def basis(self, axis: int, positions: np.ndarray) -> np.ndarray:
        """B-spline weights [positions, knots] along one axis."""
        t = (positions - self.origin[axis]) / self.spacing
        t = np.abs(t[:, None] - np.arange(self.knots.shape[axis + 1]))
        near = 2 / 3 - t**2 + t**3 / 2
        return np.where(t < 1, near, np.clip(2 - t, 0, None) ** 3 / 6).astype("float32")


@dataclass(frozen=True)
class Patient:
    """One man. Lengths in mm, volumes in ml, signals relative to bright fat."""

    size: Vector  # scale of the whole body along x, y, z
    fat: float  # thickness of the subcutaneous fat at the hip
    belly: float  # how much farther the abdomen reaches forward
    muscle: float  # bulk of the muscles, 1 is average
    pelvis_width: float  # from the midline to the centre of the femoral head
    head_radius: float  # of the femoral head
    neck_drop: float  # how far the femoral neck descends to the trochanter
    toe_out: float  # rotation of the femur: trochanter behind the head
    cortex: float  # thickness of the cortex of the femoral shaft
    leg_gap: float  # how far the knees are apart: tilts the thighs
    prostate_ml: float
    nodularity: float  # how coarse the transition zone is (hyperplasia)
    bladder_ml: float  # usual filling
    bladder_flat: float  # how much wider than high it is
    rectum_radius: float  # usual filling
    infiltration: float  # fat streaks in muscle, 0 to 1
    red_marrow: float  # dark haematopoietic patches in bone marrow
    muscle_signal: float
    marrow_signal: float
    fluid_signal: float
    prostate_signal: float
    scale: float  # arbitrary scanner units of bright fat
    noise: float  # Rician sigma relative to bright fat
    detail: float  # resolution of the scan, as a share of the grid's
    coil: Vector  # brightness near the coil: front, back, and its reach in mm
    broad: Warp
    fine: Warp
    seed: int

    @classmethod
    def draw(cls, seed: int) -> "Patient":
        """The patient of a seed."""
        rng = np.random.default_rng([seed, 1])

        def normal(mean: float, spread: float) -> float:
            return float(mean + spread * np.clip(rng.standard_normal(), -2.2, 2.2))

        def uniform(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        build = normal(1.0, 0.025)
        return cls(
            size=(build * normal(1, 0.02), build * normal(1, 0.03), normal(1, 0.03)),
            fat=10 + 26 * float(rng.beta(1.6, 2.4)),
            belly=uniform(-8, 22),
            muscle=normal(1.0, 0.09),
            pelvis_width=normal(89, 3.0),
            head_radius=normal(24.0, 1.1),
            neck_drop=normal(31, 3.5),
            toe_out=normal(10, 5),
            cortex=normal(5.4, 0.7),
            leg_gap=normal(0, 7),
            prostate_ml=uniform(30, 68),
            nodularity=uniform(0.4, 1.3),
            bladder_ml=uniform(140, 290),
            bladder_flat=uniform(0.95, 1.3),
            rectum_radius=uniform(12.8, 16.5),
            infiltration=float(rng.beta(1.8, 3.2)),
            red_marrow=uniform(0.1, 0.5),
            muscle_signal=normal(0.35, 0.022),
            marrow_signal=normal(0.71, 0.05),
            fluid_signal=normal(1.05, 0.12),
            prostate_signal=normal(0.46, 0.04),
            scale=uniform(120, 230),
            noise=uniform(0.014, 0.030),
            detail=uniform(1.05, 1.35),
            coil=(uniform(0.05, 0.55), uniform(0.05, 0.4), uniform(50, 95)),
            broad=Warp.draw(rng, spacing=70, size=4.0),
            fine=Warp.draw(rng, spacing=24, size=0.8),
            seed=seed,
        )


@dataclass(frozen=True)
class Week:
    """What differs between two scans of one patient."""

    shift: Vector  # mm on the table
    rotation: Vector  # radians about x, y, z
    bladder_ml: float
    rectum_radius: float
    rectum_gas: float  # share of the rectum that is gas, 0 to 1
    ghost: float  # brightness of the copies that breathing leaves
    gain: float  # receiver gain relative to the patient's scale
    seed: tuple[int, int]

    @classmethod
    def draw(cls, patient: Patient, week: int) -> "Week":
        rng = np.random.default_rng([patient.seed, 2, week])
        filling = float(np.clip(np.exp(0.3 * rng.standard_normal()), 0.55, 1.45))
        return cls(
            shift=tuple(float(v) for v in rng.normal(0, (2.5, 2.0, 3.0))),
            rotation=tuple(float(v) for v in rng.normal(0, 0.012, 3)),
            bladder_ml=patient.bladder_ml * filling,
            rectum_radius=patient.rectum_radius * float(rng.uniform(0.92, 1.12)),
            rectum_gas=float(rng.beta(0.7, 1.1)),
            ghost=float(rng.uniform(0.002, 0.02)),
            gain=float(np.exp(0.08 * rng.standard_normal())),
            seed=(patient.seed, week),
        )


def patient_points(patient: Patient, week: Week, grid: "Grid", slice_: int):
    """Anatomical positions of the pixels of one slice, as arrays x, y, z [X, Z] in mm.

    The scanner's grid is carried back through set-up, warps and size of the body into
    the coordinates in which the anatomy is described, origin between the hip joints.
    """
    x, y, z = grid.x, grid.y[slice_], grid.z
    moved = []
    for warp in (patient.broad, patient.fine):
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


@dataclass(frozen=True)
class Grid:
    """The scanner's grid: positions of pixel centres in mm."""

    x: np.ndarray  # [256], to the left
    y: np.ndarray  # [slices], to the back
    z: np.ndarray  # [128], to the head

    SPACING = (1.68, 1.56)  # mm, left–right and inferior–superior
    SHAPE = (256, 128)
    DEPTH = 201.6  # mm that the slices span: 60 of them are 3.36 mm apart

    @classmethod
    def of(cls, slices: int) -> "Grid":
        """``slices`` coronal slices, the first in front; they always span the body."""
        (nx, nz), (dx, dz) = cls.SHAPE, cls.SPACING
        return cls(
            x=(np.arange(nx) - (nx - 1) / 2) * dx,
            y=-102 + (np.arange(slices) + 0.5) * (cls.DEPTH / slices),
            z=(np.arange(nz) - (nz - 1) / 2) * dz - 4,
        )

    def affine(self, slice_: int) -> np.ndarray:
        """The NIfTI affine of one slice; RAS+, so x and y change their sign."""
        dx, dz = self.SPACING
        affine = np.zeros((4, 4))
        affine[0, 0], affine[2, 1] = -dx, dz
        affine[1, 2] = -self.DEPTH / len(self.y)
        affine[:, 3] = -self.x[0], -self.y[slice_], self.z[0], 1
        return affine
