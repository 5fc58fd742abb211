"""How tissue looks: signals, textures with their own statistics, coil and noise.

Signals are relative to bright fat, in the manner of a T2-weighted turbo spin echo scan:
fluid and fat bright, marrow a little darker, muscle dark grey, cortex and gas black.
Textures are read from two small periodic cubes of noise, stretched to a size and, for
muscle, along the fibres.
"""

from functools import cache

import numpy as np

from vqlib.data.phantom.shapes import Points

SIDE = 128  # cells along the side of a noise cube; a power of two: it tiles by masking

STEPS = 32  # a standard deviation of noise in whole numbers


@cache
def noise_cube(exponent: float, low_cut: float, seed: int) -> np.ndarray:
    """Periodic noise [SIDE³], mean 0, sd `STEPS`, power falling as f^-exponent.

    Features are at least some five cells wide (a Gaussian roll-off), so that reading
    the nearest cell shows no steps.
    """
    rng = np.random.default_rng([seed, 7])
    f = np.fft.fftfreq(SIDE)  # cycles per cell
    squares = f * f
    radius = np.sqrt(
        squares[:, None, None] + squares[:, None] + squares[: SIDE // 2 + 1]
    )
    shape = np.maximum(radius, 1 / SIDE) ** (-exponent / 2)
    shape *= np.exp(-((radius / 0.2) ** 2))
    shape[radius < low_cut] = 0
    spectrum = np.fft.rfftn(rng.standard_normal((SIDE,) * 3)) * shape
    cube = np.fft.irfftn(spectrum, s=(SIDE,) * 3, axes=(0, 1, 2))
    # bytes stay in the processor's cache where floats would not
    cube = np.rint((cube - cube.mean()) * (STEPS / cube.std()))
    return np.clip(cube, -127, 127).astype(np.int8).ravel()


def clouds() -> np.ndarray:
    """Noise with a natural power law: patches within patches."""
    return noise_cube(3.6, 1 / 80, 11)


def swells() -> np.ndarray:
    """Smooth noise, long waves only: for surfaces that are not quite regular."""
    return noise_cube(6.0, 1 / 70, 13)


def grains() -> np.ndarray:
    """Noise of one size, about eight cells: lobules and bundles."""
    return noise_cube(0.0, 0.08, 12)


def read(cube, u, v, w, cell, offset: int = 0) -> np.ndarray:
    """Noise at positions in mm; ``cell`` is the size of a cell (or three)."""
    cu, cv, cw = cell if isinstance(cell, tuple) else (cell,) * 3
    mask, bits = SIDE - 1, SIDE.bit_length() - 1
    # y varies least within a slice: as the slowest index it keeps the reads together
    index = (v * (1 / cv) + (4096 + 3 * offset)).astype(np.int32) & mask
    index <<= bits
    index |= (u * (1 / cu) + (4096 + offset)).astype(np.int32) & mask
    index <<= bits
    index |= (w * (1 / cw) + (4096 + 7 * offset)).astype(np.int32) & mask
    return cube.take(index).astype(np.float32) * np.float32(1 / STEPS)


class Textures:
    """The textures of one slice, each made when first asked for; arrays [X, Z]."""

    def __init__(self, patient, p: Points):
        self.patient, self.p = patient, p
        self.offset = patient.seed * 37 % 1009  # another part of the cube for each man
        self.cache: dict = {}

    def noise(self, cube, cell, offset=0) -> np.ndarray:
        key = id(cube), cell, offset
        if key not in self.cache:
            p = self.p
            self.cache[key] = read(cube, p.x, p.y, p.z, cell, self.offset + offset)
        return self.cache[key]

    def fat(self) -> np.ndarray:
        """Subcutaneous fat: lobules between thin, broken, dark septa."""
        septa = self.noise(grains(), (2.6, 2.0, 1.8), 5)
        gate = np.clip(self.noise(clouds(), 1.1, 9) * 0.5 - 0.1, 0, 1)
        line = np.exp(-(septa * septa) * 22) * gate
        grain = self.noise(grains(), 0.5, 6)
        return 1.0 + 0.025 * self.noise(clouds(), 1.6) + 0.012 * grain - 0.3 * line

    def deep_fat(self) -> np.ndarray:
        """Fat between muscles: darker strands of connective tissue and vessels."""
        strands = self.noise(grains(), (0.7, 0.8, 1.9), 3)
        gate = np.clip(self.noise(clouds(), 0.9, 2) * 0.6 + 0.25, 0, 1)
        line = np.exp(-(strands * strands) * 7) * gate
        return 0.92 + 0.05 * self.noise(clouds(), 1.2, 8) - 0.38 * line

    def visceral_fat(self) -> np.ndarray:
        """Fat around bladder and bowel: many small vessels and folds."""
        folds = self.noise(grains(), 1.0, 13)
        dots = np.clip(self.noise(grains(), 0.9, 14) - 1.9, 0, 1)
        gate = np.clip(self.noise(clouds(), 1.0, 4) * 0.7 + 0.2, 0, 1)
        line = np.exp(-(folds * folds) * 9) * gate
        patch = self.noise(clouds(), 0.8, 16)
        return 0.88 + 0.08 * patch - 0.36 * line - 0.5 * dots

    def muscle(self, fibres: np.ndarray, coarse: np.ndarray, tone) -> np.ndarray:
        """Muscle: bundles along ``fibres`` [3, X, Z], bright streaks of fat between.

        ``coarse`` [X, Z] says how thick bundles and streaks are and ``tone`` how bright
        the muscle is, 1 is usual.
        """
        p, man = self.p, self.patient
        fx, fy, fz = fibres
        # coordinates in which the fibre direction is squeezed: noise becomes streaks
        along = (p.x * fx + p.y * fy + p.z * fz) * 0.95
        u, v, w = p.x - along * fx, p.y - along * fy, p.z - along * fz
        fine = read(grains(), u, v, w, 0.42, self.offset)
        thin = 1 / coarse
        u *= thin
        v *= thin
        w *= thin
        bundle = read(grains(), u, v, w, 0.9, self.offset + 17)
        patch = self.noise(clouds(), 1.0, 21)
        gate = 0.5 * patch - 0.4 + 1.0 * man.infiltration + 0.4 * (coarse - 1)
        streak = np.exp(-(bundle * bundle) * 9) * np.clip(gate, 0, 1)
        base = man.muscle_signal * tone * (1 + 0.07 * patch + 0.09 * fine)
        return base + 0.36 * streak

    def marrow(self, red: float) -> np.ndarray:
        """Fatty marrow with darker red patches and fine trabeculae."""
        man = self.patient
        patch = np.clip(self.noise(clouds(), 0.55, 31) + 0.4, 0, 2)
        grain = self.noise(grains(), 0.45, 33)
        return man.marrow_signal * (1.04 - red * 0.6 * patch + 0.045 * grain)

    def fluid(self) -> np.ndarray:
        return self.patient.fluid_signal * (1 + 0.015 * self.noise(clouds(), 2.0, 41))

    def rough(self, distance, amplitude: float, cell: float, offset: int):
        """A distance with an uneven surface: no body is made of ellipsoids."""
        if not np.ndim(distance):
            return distance
        return distance + amplitude * self.noise(swells(), cell, offset)

    def soft(self, mean: float, spread: float, cell: float, offset: int) -> np.ndarray:
        """Any other soft tissue: a mean and patches of a size."""
        return mean * (1 + spread * self.noise(clouds(), cell, offset))

    def glandular(self, mean: float, spread: float, cell: float) -> np.ndarray:
        """Glands and folds: grains, bright and dark."""
        return mean * (1 + spread * self.noise(grains(), cell, 51))


def coil_bias(patient, body_distance: np.ndarray, p: Points, y: float) -> np.ndarray:
    """Sensitivity of the surface coils: bright near the skin, fading with depth.

    The front and back coils differ; a broad patient-specific tilt comes on top, and the
    signal drops towards the ends of the field along z.
    """
    front, back, reach = patient.coil
    share = np.float32(1 / (1 + np.exp(y / 25)))  # 1 in front, 0 at the back
    near = np.exp(np.minimum(body_distance, 6) * (1 / reach))
    bias = 0.82 + (front * share + back * (1 - share)) * near
    rng = np.random.default_rng([patient.seed, 3])
    tilt_x, tilt_z, bow = rng.normal(0, (0.00045, 0.0007, 0.03)).tolist()
    bias *= 1 + tilt_x * p.x + tilt_z * p.z + bow * np.sin(p.x * 0.017 + p.z * 0.02)
    return bias * (1 - 0.22 * np.square(p.z * (1 / 118)))


def rician(signal: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of a signal with noise in both channels (Gudbjartsson & Patz 1995)."""
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32)
    noise *= sigma
    noise[0] += signal
    np.square(noise, out=noise)
    return np.sqrt(noise[0] + noise[1])
