from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from scan_files import SHAPE, STACK, sample, turn

from pelvis.resample import cut

GRID, SPACING, SPAN = (40, 30), (10.0, 10.0), 220
FINE = np.array([[-8.0, 0, 0, 156], [0, -8, 0, 96], [0, 0, 8, -140], [0, 0, 0, 1]])
PIXELS = np.rint(sample(SHAPE, STACK)).astype(np.int16)


def cut_all(pixels, affine, labels=None, **how):
    how = {"grid": GRID, "spacing": SPACING, "slices": None} | how
    return cut(pixels, labels, affine, **how)


def misfit(piece):
    """How far each pixel is from the truth, as a share of the range."""
    truth = sample(piece.pixels.shape, piece.affine)
    return np.abs(piece.pixels - truth) / SPAN


def test_a_volume_on_the_grid_comes_out_as_it_went_in():
    labels = (PIXELS > 50).astype(np.uint8)
    pieces = cut_all(PIXELS, STACK, labels)
    assert len(pieces) == SHAPE[1] - 2  # the first and last are air
    for number, piece in enumerate(pieces, start=1):
        assert piece.pixels.dtype == np.int16
        assert (piece.pixels == PIXELS[:, number]).all()
        assert (piece.labels == labels[:, number]).all()
        assert np.allclose(piece.affine[:, 3], STACK @ [0, number, 0, 1])
        assert np.allclose(np.diag(piece.affine[[0, 2, 1]][:, :3]), [-10, 10, -21])


def test_all_48_orders_and_directions_of_axes_give_the_same_slices():
    image, expected = nib.Nifti1Image(PIXELS, STACK), cut_all(PIXELS, STACK)
    for order, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        stored = image.as_reoriented(np.column_stack([order, flips]))
        found = cut_all(np.asarray(stored.dataobj), stored.affine)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert (one.pixels == other.pixels).all()
            assert np.allclose(one.affine, other.affine, atol=1e-4)


PLANES = {"coronal": "LSP", "axial": "LAS", "sagittal": "PSL"}


@pytest.mark.parametrize(("plane", "axes"), PLANES.items())
def test_left_is_left_and_up_is_up(plane, axes):
    """The brightest spot is at the left hip; the others are in front and on top."""
    pixels = sample((40, 25, 36), FINE)
    pieces = cut_all(pixels, FINE, plane=plane, grid=(40, 40))
    volume = np.stack([piece.pixels for piece in pieces])  # slices, columns, rows
    assert volume.dtype == np.float32
    assert nib.aff2axcodes(pieces[0].affine) == tuple(axes)
    s, r, c = np.unravel_index(volume.argmax(), volume.shape)
    where = pieces[s].affine @ [r, c, 0, 1]
    assert np.abs(where[:3] - [-110, 0, -20]).max() < 15
    # on the right of the picture, or in the last slices
    assert r > 20 if plane != "sagittal" else s > len(pieces) / 2


@pytest.mark.parametrize(("axis", "degrees"), [(1, -20), (2, 35), (0, 80)])
def test_an_oblique_volume_is_cut_along_the_patient(axis, degrees):
    """Linear interpolation of 8 mm voxels: within 4 % of the range, and on average
    within 0.5 %."""
    centred = FINE.copy()
    centred[:3, 3] = -FINE[:3, :3] @ np.full(3, 24.5)
    affine = turn(axis, degrees) @ turn(1, 5) @ centred
    pieces = cut_all(sample((50, 50, 50), affine), affine, spacing=(8.0, 8.0))
    assert nib.aff2axcodes(pieces[0].affine) == ("L", "S", "P")
    directions = pieces[0].affine[:3, :3]
    assert np.allclose(np.abs(directions).sum(0), np.linalg.norm(directions, axis=0))
    misfits = np.array([misfit(piece) for piece in pieces])
    assert misfits.max() < 0.04
    assert misfits.mean() < 0.005


def test_tilted_thick_slices_are_kept_and_turned_upright():
    affine = turn(0, 18) @ turn(1, 25) @ STACK  # out of the plane, and within it
    pieces = cut_all(sample(SHAPE, affine), affine)
    assert SHAPE[1] - 2 <= len(pieces) <= SHAPE[1]
    normals = np.array([np.cross(p.affine[:3, 0], p.affine[:3, 1]) for p in pieces])
    cosine = normals @ affine[:3, 1] / np.linalg.norm(normals, axis=1) / 21
    assert np.allclose(np.abs(cosine), 1)  # no slice lies across the scanner's
    up = pieces[0].affine[:3, 1]
    assert abs(up[0]) < 1e-9  # the head is up, not to the side
    assert up[2] > 0
    assert max(misfit(piece)[8:32, 8:22].max() for piece in pieces) < 0.05
    affine = turn(0, 45) @ STACK  # too far from the plane: cut across
    pieces = cut_all(sample(SHAPE, affine), affine)
    assert np.allclose(pieces[0].affine[:3, 1] / 10, [0, 0, 1])


def test_slices_are_even_and_hold_anatomy():
    fine = np.diag([-10.0, -2, 10, 1])
    fine[:3, 3] = 195, 200, -145
    pixels = sample((40, 201, 30), fine)  # the body fills less than the middle half
    pieces = cut_all(pixels, fine, slices=12)
    places = np.array([piece.affine[1, 3] for piece in pieces])
    gaps = -np.diff(places)
    assert len(pieces) == 12
    assert 70 < places[0] <= 104
    assert -104 <= places[-1] < -70
    assert np.ptp(gaps) <= 2 + 1e-6  # no farther apart than a voxel of the scan
    assert np.allclose(-pieces[0].affine[1, 2], gaps.mean())
    assert len(cut_all(pixels, fine, slices=500)) == len(cut_all(pixels, fine)) > 60
    speck = np.zeros(SHAPE, np.int16)
    speck[3, 3, 3] = 1
    assert cut_all(speck, STACK) == []


def test_the_field_of_view_keeps_its_centre_and_the_rest_is_zero():
    piece = cut_all(sample(SHAPE, STACK) + 10, STACK, grid=(60, 20))[5]
    middle = piece.affine @ [29.5, 9.5, 0, 1]
    assert np.allclose(middle[[0, 2]], (STACK @ [19.5, 0, 14.5, 1])[[0, 2]])
    assert not piece.pixels[np.r_[:10, 50:60]].any()
    assert (piece.pixels[10:50] > 9).all()


def test_fine_structure_does_not_alias():
    """Stripes of one voxel must fade into grey on a grid three times as coarse."""
    pixels = np.zeros((80, 8, 60), np.float32)
    pixels[::2, :, 10:50] = 200
    affine = np.diag([-5.0, -20, 5, 1])
    picture = cut_all(pixels, affine, spacing=(15.0, 5.0))[4].pixels[10:30, 5:25]
    assert np.ptp(picture) < 5
    assert abs(picture.mean() - 100) < 5


def test_grey_values_keep_their_scale():
    signal = sample(SHAPE, STACK)
    assert cut_all(signal / 1000, STACK)[3].pixels.dtype == np.float32
    assert cut_all((signal * 300).astype(np.uint16), STACK)[3].pixels.max() > 32767
    wider = STACK @ np.diag([1.005, 1, 1, 1])  # so nearly the grid's: not interpolated
    assert (cut_all(PIXELS, wider)[4].pixels == PIXELS[:, 5]).all()
