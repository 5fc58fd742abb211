"""How tissue looks: signals, textures with their own statistics, coil and noise.

Signals are relative to bright fat, in the manner of a T2-weighted turbo spin echo scan:
fluid and fat bright, marrow a little darker, muscle dark grey, cortex and gas black.
Textures are read from two small periodic cubes of noise, stretched to a size and, for
muscle, along the fibres.
"""

from functools import cache

import numpy as np

from vqlib.data.phantom.shapes import Points

SIDE = (
    64  # cells along the side of a noise cube; a power of two, so it tiles by masking
)


@cache
def noise_cube(exponent: float, low_cut: float, seed: int) -> np.ndarray:
    """Periodic noise [SIDE³], mean 0, variance 1, power falling as f^-exponent.

    Features are at least some four cells wide (a Gaussian roll-off), so that reading
    the nearest cell shows no steps.
    """
    rng = np.random.default_rng([seed, 7])
    f = np.fft.fftfreq(SIDE) * SIDE
    squares = f * f
    radius = np.sqrt(
        squares[:, None, None] + squares[:, None] + squares[: SIDE // 2 + 1]
    )
    shape = np.maximum(radius, 1) ** (-exponent / 2) * np.exp(-((radius / 14) ** 2))
    shape[radius < low_cut] = 0
    spectrum = np.fft.rfftn(rng.standard_normal((SIDE,) * 3)) * shape
    cube = np.fft.irfftn(spectrum, s=(SIDE,) * 3, axes=(0, 1, 2))
    return ((cube - cube.mean()) / cube.std()).astype(np.float32).ravel()


def clouds() -> np.ndarray:
    """Noise with a natural power law: patches within patches."""
    return noise_cube(2.6, 1.0, 11)


def grains() -> np.ndarray:
    """Noise of one size, about eight cells: lobules and bundles."""
    return noise_cube(0.0, 5.0, 12)


def read(cube, u, v, w, cell, offset: int = 0) -> np.ndarray:
    """Noise at positions in mm; ``cell`` is the size of a cell, one or three numbers."""
    cu, cv, cw = (cell,) * 3 if np.isscalar(cell) else cell
    mask = SIDE - 1
    index = (u * (1 / cu) + (4096 + offset)).astype(np.int32) & mask
    index <<= 6
    index |= (v * (1 / cv) + (4096 + 3 * offset)).astype(np.int32) & mask
    index <<= 6
    index |= (w * (1 / cw) + (4096 + 7 * offset)).astype(np.int32) & mask
    return cube.take(index)


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
        septa = self.noise(grains(), (1.9, 1.3, 0.9), 5)
        gate = np.clip(self.noise(clouds(), 2.2, 9) * 0.5 + 0.2, 0, 1)
        line = np.exp(-(septa * septa) * 45) * gate
        return 1.0 + 0.03 * self.noise(clouds(), 1.6) - 0.33 * line

    def deep_fat(self) -> np.ndarray:
        """Fat between muscles: darker strands of connective tissue and vessels."""
        strands = np.clip(self.noise(grains(), 0.8, 3) - 0.9, 0, 1)
        return 0.93 + 0.05 * self.noise(clouds(), 1.2, 2) - 0.3 * strands

    def visceral_fat(self) -> np.ndarray:
        """Fat around bladder and bowel: many small vessels and folds."""
        strands = np.clip(np.abs(self.noise(grains(), 0.65, 13)) - 0.9, 0, 1.2)
        return 0.9 + 0.06 * self.noise(clouds(), 1.0, 4) - 0.38 * strands

    def muscle(self, fibres: np.ndarray, coarse: np.ndarray) -> np.ndarray:
        """Muscle: bundles along ``fibres`` [3, X, Z], bright streaks of fat between.

        ``coarse`` [X, Z] says how thick bundles and streaks are, 1 is usual.
        """
        p, man = self.p, self.patient
        fx, fy, fz = fibres
        # coordinates in which the fibre direction is squeezed: noise becomes streaks
        along = (p.x * fx + p.y * fy + p.z * fz) * 0.86
        u, v, w = p.x - along * fx, p.y - along * fy, p.z - along * fz
        bundle = read(grains(), u, v, w, 0.75, self.offset)
        patch = self.noise(clouds(), 1.5, 21)
        amount = 1.75 - 1.1 * man.infiltration - 0.25 * patch - 0.5 * (coarse - 1)
        streak = np.clip(bundle - amount, 0, 0.9)
        base = man.muscle_signal * (1 + 0.05 * patch + 0.06 * bundle)
        return base + 0.42 * streak

    def marrow(self, red: float) -> np.ndarray:
        """Fatty marrow with darker red patches and fine trabeculae."""
        man = self.patient
        patch = np.clip(self.noise(clouds(), 0.9, 31) + 0.2, 0, 2)
        grain = self.noise(grains(), 0.35, 33)
        return man.marrow_signal * (1 - red * 0.55 * patch + 0.045 * grain)

    def fluid(self) -> np.ndarray:
        return self.patient.fluid_signal * (1 + 0.015 * self.noise(clouds(), 2.0, 41))

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
    tilt_x, tilt_z, bow = rng.normal(0, (0.00045, 0.0007, 0.03))
    bias *= 1 + tilt_x * p.x + tilt_z * p.z + bow * np.sin(p.x * 0.017 + p.z * 0.02)
    return bias * (1 - 0.22 * np.square(p.z * (1 / 118)))


def rician(signal: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of a signal with noise in both channels (Gudbjartsson & Patz 1995)."""
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32)
    noise *= sigma
    noise[0] += signal
    np.square(noise, out=noise)
    return np.sqrt(noise[0] + noise[1])
