"""The few shapes that the phantom is built from, as signed distances.

A shape is a function of points that returns how far each point lies outside it, in mm
(negative inside). Signed distances make the rest easy: a smooth union welds two bones,
an offset gives cortex or a bladder wall, and an edge that is as wide as a pixel gives
the partial volume effect for free. See I. Quilez, "Distance functions" (2008),
https://iquilezles.org/articles/distfunctions/.

Points are a `Points` of three arrays, x to the patient's left, y to the back, z to the
head, for one coronal slice at a time: such an array fits the processor's cache, and a
shape that does not reach the slice costs nothing.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

FAR = np.float32(1e3)  # mm; the distance to a shape that does not reach the slice
REACH = 16.0  # mm; farther from a slice than this a shape has no influence on it

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Points:
    """Where the pixels of one slice lie in the patient, mm; float32 arrays [X, Z]."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    y_low: float
    y_high: float

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> "Points":
        return cls(x, y, z, float(y.min()), float(y.max()))

    def folded(self) -> "Points":
        """Both halves laid on the left one: what is drawn once becomes a pair."""
        return Points(np.abs(self.x), self.y, self.z, self.y_low, self.y_high)

    @cached_property
    def bounds(self) -> tuple[np.ndarray, ...]:
        """Lowest and highest x of each row [X], and z of each column [Z]."""
        return self.x.min(1), self.x.max(1), self.z.min(0), self.z.max(0)

    def cut(self, low: Vector, high: Vector):
        """The block of pixels that holds all points between two corners, and its
        points; None where there are none."""
        if self.misses(low[1], high[1], 0):
            return None
        x_low, x_high, z_low, z_high = self.bounds
        (rows,) = ((x_high >= low[0]) & (x_low <= high[0])).nonzero()
        (columns,) = ((z_high >= low[2]) & (z_low <= high[2])).nonzero()
        if not len(rows) or not len(columns):
            return None
        block = (
            slice(rows[0], rows[-1] + 1),
            slice(columns[0], columns[-1] + 1),
        )
        arrays = (values[block] for values in (self.x, self.y, self.z))
        return block, Points(*arrays, self.y_low, self.y_high)

    def misses(self, low: float, high: float, reach: float = REACH) -> bool:
        """Whether a shape between ``low`` and ``high`` in y is out of reach."""
        return high + reach < self.y_low or low - reach > self.y_high


def ellipsoid(p: Points, centre: Vector, radii: Vector) -> np.ndarray:
    """Distance to an ellipsoid; exact on its surface, close to exact near it."""
    (cx, cy, cz), (rx, ry, rz) = centre, radii
    if p.misses(cy - ry, cy + ry):
        return FAR
    x, y, z = (p.x - cx) * (1 / rx), (p.y - cy) * (1 / ry), (p.z - cz) * (1 / rz)
    squares = x * x + y * y + z * z
    length = np.sqrt(squares)
    x *= 1 / rx
    y *= 1 / ry
    z *= 1 / rz
    slope = np.sqrt(x * x + y * y + z * z) + 1e-6
    return (squares - length) / slope


def sphere(p: Points, centre: Vector, radius: float) -> np.ndarray:
    cx, cy, cz = centre
    if p.misses(cy - radius, cy + radius):
        return FAR
    x, y, z = p.x - cx, p.y - cy, p.z - cz
    return np.sqrt(x * x + y * y + z * z) - radius


def cone(
    p: Points, a: Vector, b: Vector, r_a: float, r_b: float, reach: float = REACH
) -> np.ndarray:
    """Distance to a rounded cone from ``a`` to ``b``; equal radii make a capsule."""
    if p.misses(min(a[1] - r_a, b[1] - r_b), max(a[1] + r_a, b[1] + r_b), reach):
        return FAR
    x, y, z = p.x - a[0], p.y - a[1], p.z - a[2]
    bx, by, bz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    along = x * bx + y * by + z * bz
    along *= 1 / max(bx * bx + by * by + bz * bz, 1e-6)
    np.clip(along, 0, 1, out=along)
    x -= along * bx
    y -= along * by
    z -= along * bz
    along *= r_b - r_a
    return np.sqrt(x * x + y * y + z * z) - along - r_a


def tube(
    p: Points, path: list[Vector], radii: list[float], reach: float = REACH
) -> np.ndarray:
    """Distance to a tube swept along a path of straight pieces."""
    distance = FAR
    for a, b, r_a, r_b in zip(path, path[1:], radii, radii[1:], strict=False):
        distance = np.minimum(distance, cone(p, a, b, r_a, r_b, reach))
    return distance


def thin_tube(
    p: Points, path: list[Vector], radii: list[float], reach: float = 4.0
) -> np.ndarray:
    """The same, but `FAR` beyond ``reach`` mm: only pixels near it cost anything."""
    distance = FAR
    for a, b, r_a, r_b in zip(path, path[1:], radii, radii[1:], strict=False):
        r = max(r_a, r_b) + reach
        low = tuple(min(u, v) - r for u, v in zip(a, b, strict=True))
        high = tuple(max(u, v) + r for u, v in zip(a, b, strict=True))
        near = p.cut(low, high)
        if near is None:
            continue
        block, points = near
        if not np.ndim(distance):
            distance = np.full(p.x.shape, FAR)
        part = distance[block]
        np.minimum(part, cone(points, a, b, r_a, r_b, reach), out=part)
    return distance


def half_space(p: Points, through: Vector, normal: Vector) -> np.ndarray:
    """Distance to the half of space that ``normal`` points away from."""
    nx, ny, nz = (np.asarray(normal) / np.linalg.norm(normal)).tolist()
    offset = nx * through[0] + ny * through[1] + nz * through[2]
    return p.x * nx + p.y * ny + p.z * nz - offset


def union(*shapes: np.ndarray, smooth: float = 0.0) -> np.ndarray:
    """Distance to the union; ``smooth`` mm of fillet where two shapes meet."""
    result = shapes[0]
    for shape in shapes[1:]:
        if smooth and np.ndim(result) and np.ndim(shape):
            blend = np.maximum(smooth - np.abs(result - shape), 0)
            blend *= blend
            result = np.minimum(result, shape) - blend * (0.25 / smooth)
        else:
            result = np.minimum(result, shape)
    return result


def intersection(*shapes: np.ndarray, smooth: float = 0.0) -> np.ndarray:
    return -union(*(-shape for shape in shapes), smooth=smooth)


def coverage(distance: np.ndarray, width: float) -> np.ndarray:
    """Share of a pixel that a shape fills, for an edge ``width`` mm wide."""
    return np.clip(0.5 - distance * (1 / width), 0, 1)
