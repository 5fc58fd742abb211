"""How tissue looks: signals, textures with their own statistics, coil and noise.

Signals are relative to bright fat, in the manner of a T2-weighted turbo spin echo scan.
Textures are read from small periodic cubes of noise, stretched to a size and, for
muscle, along the fibres.
"""

from functools import cache

import numpy as np
from scipy import fft

from pelvis.phantom.shapes import Points

SIDE = 128  # cells along the side of a noise cube; a power of two: it tiles by masking
STEPS = 32  # a standard deviation of noise in whole numbers
KINDS = {  # power falls as f^-exponent, low cut, seed, roll-off in cycles per cell
    "clouds": (3.6, 1 / 80, 11, 0.2),  # a natural power law: patches within patches
    "swells": (6.0, 1 / 70, 13, 0.2),  # long waves: surfaces that are not quite regular
    "grains": (0.0, 0.08, 12, 0.2),  # of one size, about eight cells: lobules, bundles
    # where it is 0 lie curved sheets some ten cells apart, which a slice cuts in lines
    "sheets": (0.0, 0.03, 14, 0.075),
}


@cache
def noise_cube(kind: str) -> np.ndarray:
    """Periodic noise [SIDE³], mean 0, sd `STEPS`; so smooth (a Gaussian roll-off) that
    reading the nearest cell shows no steps."""
    exponent, low_cut, seed, roll_off = KINDS[kind]
    rng = np.random.default_rng([seed, 7])
    f = np.fft.fftfreq(SIDE)  # cycles per cell
    squares = f * f
    half = squares[: SIDE // 2 + 1]
    radius = np.sqrt(squares[:, None, None] + squares[:, None] + half)
    shape = np.maximum(radius, 1 / SIDE) ** (-exponent / 2)
    shape *= np.exp(-((radius / roll_off) ** 2))
    shape[radius < low_cut] = 0
    spectrum = np.fft.rfftn(rng.standard_normal((SIDE,) * 3)) * shape
    cube = np.fft.irfftn(spectrum, s=(SIDE,) * 3, axes=(0, 1, 2))
    # bytes stay in the processor's cache where floats would not
    cube = np.rint((cube - cube.mean()) * (STEPS / cube.std()))
    return np.clip(cube, -127, 127).astype(np.int8).ravel()


def read(kind: str, u, v, w, cell, offset: int = 0) -> np.ndarray:
    """Noise at positions in mm; ``cell`` is the size of a cell (or three)."""
    cu, cv, cw = cell if isinstance(cell, tuple) else (cell,) * 3
    mask, bits = SIDE - 1, SIDE.bit_length() - 1
    # y varies least within a slice: as the slowest index it keeps the reads together
    index = (v * (1 / cv) + (4096 + 3 * offset)).astype(np.int32) & mask
    index <<= bits
    index |= (u * (1 / cu) + (4096 + offset)).astype(np.int32) & mask
    index <<= bits
    index |= (w * (1 / cw) + (4096 + 7 * offset)).astype(np.int32) & mask
    return noise_cube(kind).take(index).astype(np.float32) * np.float32(1 / STEPS)


class Textures:
    """The textures of one slice, each made when first asked for; arrays [X, Z]."""

    def __init__(self, patient, p: Points):
        self.patient, self.p = patient, p
        self.offset = patient.seed * 37 % 1009  # another part of the cube for each
        self.cache: dict = {}

    def noise(self, kind: str, cell, offset: int = 0) -> np.ndarray:
        key = kind, cell, offset
        if key not in self.cache:
            p = self.p
            self.cache[key] = read(kind, p.x, p.y, p.z, cell, self.offset + offset)
        return self.cache[key]

    def fat(self) -> np.ndarray:
        """Subcutaneous fat: lobules between thin, broken, dark septa."""
        septa = self.noise("sheets", (1.5, 1.3, 1.1), 5)
        gate = np.clip(self.noise("clouds", 1.1, 9) * 0.5 + 0.25, 0, 1)
        line = np.exp(-(septa * septa) * 16) * gate
        return 0.99 + 0.05 * self.noise("clouds", 1.3) - 0.2 * line

    def deep_fat(self) -> np.ndarray:
        """Fat between muscles: darker strands of connective tissue and vessels."""
        strands = self.noise("sheets", (0.8, 0.9, 1.5), 3)
        gate = np.clip(self.noise("clouds", 0.9, 2) * 0.6 + 0.35, 0, 1)
        line = np.exp(-(strands * strands) * 9) * gate
        return 0.88 + 0.11 * self.noise("clouds", 0.8, 8) - 0.42 * line

    def visceral_fat(self) -> np.ndarray:
        """Fat around bladder and bowel: vessels and folds of peritoneum."""
        folds = self.noise("sheets", 1.1, 13)
        branches = self.noise("sheets", 0.7, 14)
        gate = np.clip(self.noise("clouds", 1.0, 4) * 0.7 + 0.3, 0, 1)
        line = np.exp(-(folds * folds) * 6) * gate
        fine = np.exp(-(branches * branches) * 4) * np.clip(0.7 - gate, 0, 1)
        patch = self.noise("clouds", 0.7, 16)
        return 0.82 + 0.13 * patch - 0.4 * line - 0.2 * fine

    def muscle(self, fibres: np.ndarray, coarse: np.ndarray, tone) -> np.ndarray:
        """Muscle: bundles along ``fibres`` [3, X, Z], bright streaks of fat between;
        ``coarse`` [X, Z] says how thick they are, ``tone`` how bright the muscle."""
        p, patient = self.p, self.patient
        fx, fy, fz = fibres
        # squeezed along the fibres, noise becomes streaks; no bundle is straight
        along = (p.x * fx + p.y * fy + p.z * fz) * 0.92
        u = p.x - along * fx + 4 * self.noise("swells", 1.4, 23)
        v = p.y - along * fy
        w = p.z - along * fz + 4 * self.noise("swells", 1.4, 25)
        fine = read("clouds", u, v, w, 0.4, self.offset)
        thin = 1 / coarse
        u *= thin
        v *= thin
        w *= thin
        bundle = read("sheets", u, v, w, 0.75, self.offset + 17)
        patch = self.noise("clouds", 1.0, 21)
        gate = 0.55 * patch - 0.25 + patient.infiltration + 0.5 * (coarse - 1)
        streak = np.exp(-(bundle * bundle) * 6) * np.clip(gate, 0, 1)
        base = patient.muscle_signal * tone * (1 + 0.06 * patch + 0.13 * fine)
        return base + 0.34 * streak

    def marrow(self, red: float) -> np.ndarray:
        """Fatty marrow with darker red patches and fine trabeculae."""
        patient = self.patient
        patch = np.clip(self.noise("clouds", 0.55, 31) + 0.4, 0, 2)
        grain = self.noise("grains", 0.45, 33)
        return patient.marrow_signal * (1.04 - red * 0.75 * patch + 0.05 * grain)

    def fluid(self) -> np.ndarray:
        return self.patient.fluid_signal * (1 + 0.015 * self.noise("clouds", 2.0, 41))

    def tubules(self) -> np.ndarray:
        """Coiled, bright tubes between thin dark walls: the seminal vesicles."""
        wall = self.noise("sheets", 0.6, 51)
        return 0.8 - 0.35 * np.exp(-(wall * wall) * 4)

    def rough(self, distance, amplitude: float, cell: float, offset: int):
        """A distance with an uneven surface: no body is made of ellipsoids."""
        if not np.ndim(distance):
            return distance
        return distance + amplitude * self.noise("swells", cell, offset)

    def soft(self, mean: float, spread: float, cell: float, offset: int) -> np.ndarray:
        """Any other soft tissue: a mean and patches of a size."""
        return mean * (1 + spread * self.noise("clouds", cell, offset))

    def glandular(self, mean: float, spread: float, cell: float) -> np.ndarray:
        """Glands and folds: grains, bright and dark."""
        return mean * (1 + spread * self.noise("grains", cell, 51))


def coil_bias(patient, body_distance: np.ndarray, p: Points, y: float) -> np.ndarray:
    """Sensitivity of the coils: bright near the skin, fading with depth, different in
    front and back, with a tilt of the patient's; it drops towards the ends along z."""
    front, back, reach = patient.coil
    share = np.float32(1 / (1 + np.exp(y / 25)))  # 1 in front, 0 at the back
    near = np.exp(np.minimum(body_distance, 6) * (1 / reach))
    bias = 0.82 + (front * share + back * (1 - share)) * near
    rng = np.random.default_rng([patient.seed, 3])
    tilt_x, tilt_z, bow = rng.normal(0, (0.00045, 0.0007, 0.03)).tolist()
    bias *= 1 + tilt_x * p.x + tilt_z * p.z + bow * np.sin(p.x * 0.017 + p.z * 0.02)
    return bias * (1 - 0.22 * np.square(p.z * (1 / 118)))


def scan(signal: np.ndarray, sigma: float, detail: float, ghost: float, rng):
    """What the scanner makes of a signal [X, Z]: blur, ghosts, and noise in magnitude.

    In k-space the outermost frequencies fade, as in a scan with ``detail`` times the
    grid's resolution. Breathing modulates the lines of phase encoding (left–right) and
    leaves faint copies beside the body, ``ghost`` times as bright. The magnitude of
    noise ``sigma`` in both channels is Rician (Gudbjartsson & Patz 1995).
    """
    noisy = rng.standard_normal((*signal.shape, 2), dtype=np.float32) * sigma
    noisy = noisy.view(np.complex64)[..., 0]
    noisy += signal
    nx, nz = signal.shape
    kx, kz = (np.abs(fft.fftfreq(n, 0.5)).astype(np.float32) for n in (nx, nz))
    along_x, along_z = (
        np.cos(np.clip((k - 0.6 * detail) / (0.75 * detail), 0, 1) * (np.pi / 2))
        for k in (kx, kz)
    )
    shift = rng.uniform(0.08, 0.22) * nx  # of the copies, in pixels
    phase = np.arange(nx) * (2 * np.pi * shift / nx) + rng.uniform(0, 2 * np.pi)
    along_x *= 1 + 2 * ghost * np.cos(phase)
    spectrum = fft.fft2(noisy, overwrite_x=True)
    spectrum *= along_x[:, None].astype(np.float32)
    spectrum *= along_z
    return np.abs(fft.ifft2(spectrum, overwrite_x=True))
