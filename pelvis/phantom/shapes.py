"""The few shapes that the phantom is built from, as signed distances.

A shape is a function of points that returns how far each point lies outside it, in mm
(negative inside): a smooth union welds two bones, an offset gives cortex, an edge as
wide as a pixel the partial volume effect. See I. Quilez, "Distance functions" (2008),
https://iquilezles.org/articles/distfunctions/. One coronal slice is drawn at a time; a
shape that does not reach it costs nothing (its distance is the number `FAR`).
"""

from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise

import numpy as np

FAR = np.float32(1e3)  # mm; the distance to a shape that does not reach the slice
REACH = 16.0  # mm; farther from a slice than this a shape has no influence on it


class Points:
    """Where the pixels of one slice lie in the patient, mm; float32 arrays [X, Z]: x to
    the patient's left, y to the back, z to the head."""

    def __init__(self, x, y, z, y_range: tuple[float, float] | None = None):
        self.x, self.y, self.z = x, y, z
        self.y_range = y_range or (float(y.min()), float(y.max()))  # of the slice

    def folded(self) -> "Points":
        """Both halves laid on the left one: what is drawn once becomes a pair."""
        return Points(np.abs(self.x), self.y, self.z, self.y_range)

    def misses(self, low: float, high: float, reach: float = REACH) -> bool:
        """Whether a shape between ``low`` and ``high`` in y is out of reach."""
        return high + reach < self.y_range[0] or low - reach > self.y_range[1]

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, ...]:
        """Lowest and highest x of each row [X], and z of each column [Z]."""
        return self.x.min(1), self.x.max(1), self.z.min(0), self.z.max(0)

    def block(self, low, high) -> tuple[slice, slice] | None:
        """Rows and columns of all points between two corners; None for no point."""
        if self.misses(low[1], high[1], 0):
            return None
        x_low, x_high, z_low, z_high = self._bounds
        (rows,) = ((x_high >= low[0]) & (x_low <= high[0])).nonzero()
        (columns,) = ((z_high >= low[2]) & (z_low <= high[2])).nonzero()
        if not len(rows) or not len(columns):
            return None
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def ellipsoid(p: Points, centre, radii) -> np.ndarray:
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


def sphere(p: Points, centre, radius: float) -> np.ndarray:
    return cone(p, centre, centre, radius, radius)


def cone(p: Points, a, b, r_a: float, r_b: float, reach: float = REACH) -> np.ndarray:
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


def tube(p: Points, path: list, radii: list[float]) -> np.ndarray:
    """Distance to a tube swept along a path of straight pieces."""
    distance = FAR
    for (a, r_a), (b, r_b) in pairwise(zip(path, radii, strict=True)):
        distance = np.minimum(distance, cone(p, a, b, r_a, r_b))
    return distance


def thin_tube(p: Points, path: list, radii: list[float], reach=4.0) -> np.ndarray:
    """The same, but `FAR` beyond ``reach`` mm: only pixels near it cost anything."""
    distance = FAR
    for (a, r_a), (b, r_b) in pairwise(zip(path, radii, strict=True)):
        r = max(r_a, r_b) + reach
        low = [min(u, v) - r for u, v in zip(a, b, strict=True)]
        high = [max(u, v) + r for u, v in zip(a, b, strict=True)]
        near = p.block(low, high)
        if near is not None:
            if not np.ndim(distance):
                distance = np.full(p.x.shape, FAR)
            points = Points(p.x[near], p.y[near], p.z[near], p.y_range)
            part = distance[near]
            np.minimum(part, cone(points, a, b, r_a, r_b, reach), out=part)
    return distance


def half_space(p: Points, through, normal) -> np.ndarray:
    """Distance to the half of space that ``normal`` points away from."""
    nx, ny, nz = (np.asarray(normal) / np.linalg.norm(normal)).tolist()
    offset = nx * through[0] + ny * through[1] + nz * through[2]
    return p.x * nx + p.y * ny + p.z * nz - offset


def union(*shapes: np.ndarray, smooth: float = 0.0) -> np.ndarray:
    """Distance to the union; ``smooth`` mm of fillet where two shapes meet."""
    result = shapes[0]
    for shape in shapes[1:]:
        joined = np.minimum(result, shape)
        if smooth and np.ndim(result) and np.ndim(shape):
            blend = np.maximum(smooth - np.abs(result - shape), 0)
            blend *= blend
            joined = joined - blend * (0.25 / smooth)
        result = joined
    return result


def intersection(*shapes: np.ndarray, smooth: float = 0.0) -> np.ndarray:
    return -union(*(-shape for shape in shapes), smooth=smooth)


def nearest_two(p: Points, shapes: Iterable[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Distances to the nearest and the second nearest shape, and which is nearest."""
    first, second = np.full(p.x.shape, FAR), np.full(p.x.shape, FAR)
    owner = np.zeros(p.x.shape, np.uint8)
    for index, distance in enumerate(shapes):
        if np.ndim(distance):
            owner[distance < first] = index
            np.minimum(second, np.maximum(first, distance), out=second)
            np.minimum(first, distance, out=first)
    return first, second, owner


def coverage(distance: np.ndarray, width: float) -> np.ndarray:
    """Share of a pixel that a shape fills, for an edge ``width`` mm wide."""
    return np.clip(0.5 - distance * (1 / width), 0, 1)
