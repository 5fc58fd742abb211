import numpy as np
import torch

from lessons.kinship import RUNGS, ladder_pairs, make_folds
from vqlib.data import SliceDataset


def study(weeks=2, patients=4, slices=6):
    """Random slices of each patient's scans, evenly spaced."""
    who, when, place = np.indices((patients, weeks, slices)).reshape(3, -1)
    images = torch.rand(len(who), 1, 64, 32, generator=torch.Generator().manual_seed(0))
    kin = (torch.from_numpy(x) for x in (place / (slices - 1), who, when))
    return SliceDataset(images, None, *kin)


def test_each_rung_joins_the_slices_that_its_name_says():
    data = study()
    rungs = ladder_pairs(data, pairs=1000)
    for rung, rows in rungs.items():
        a, b = rows.T
        same = data.patients[a] == data.patients[b]
        gap = data.positions[b] - data.positions[a]
        if rung == "next slice":
            assert same.all()
            assert (data.weeks[a] == data.weeks[b]).all()
            assert torch.allclose(gap, torch.full_like(gap, 0.2))
            assert len(rows) == len(data) - 8  # the last of a scan has no next one
        elif rung == "another week":
            assert same.all()
            assert (data.weeks[a] != data.weeks[b]).all()
            assert (gap == 0).all()
        else:
            assert not same.any()
            assert (gap == 0).all() == (rung == "another patient")
    assert tuple(rungs) == RUNGS
    assert "another week" not in ladder_pairs(study(weeks=1))
    assert list(ladder_pairs(study(weeks=1, patients=1))) == ["next slice"]


def test_folds_keep_groups_together_and_are_of_about_equal_size():
    groups = torch.tensor([5, 5, 9, 9, 1, 1, 7, 7, 3, 3])
    folds = make_folds(groups, 2, seed=3)
    assert (folds[::2] == folds[1::2]).all()
    assert sorted(torch.bincount(folds).tolist()) == [4, 6]
    assert torch.equal(folds, make_folds(groups, 2, seed=3))
