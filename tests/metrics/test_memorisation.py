import numpy as np
import pytest
import torch

from vqlib.data import SliceDataset
from vqlib.metrics.memorisation import RUNGS, kinship_ladder, memorisation
from vqlib.metrics.spectrum import blurred


def cohort():
    """12 men of 2 scans of 6 slices; kin are alike, as in life."""
    random = torch.Generator().manual_seed(0)

    def field(scale):
        return scale * torch.rand(1, 64, 32, generator=random)

    images, patients, weeks = [], [], []
    for man in range(12):
        own = blurred(field(3)[None], 3)[0] / 2
        for week in range(2):
            scan = own + blurred(field(1)[None], 2)[0] / 4
            for _ in range(6):
                images.append(scan + blurred(field(0.3)[None], 2)[0])
                patients.append(man)
                weeks.append(week)
    patients, weeks = torch.tensor(patients), torch.tensor(weeks)
    where = torch.linspace(0, 1, 6).repeat(24)
    return SliceDataset(torch.stack(images).float(), None, where, patients, weeks)


def test_the_ladder_has_its_rungs_in_order():
    ladder = kinship_ladder(cohort())
    assert tuple(ladder) == RUNGS
    near, same, other = (np.median(ladder[rung]) for rung in RUNGS)
    assert 0 < near < same < other
    assert len(kinship_ladder(cohort(), most=10)["same scan"]) == 10


def test_a_rung_on_which_nobody_stands_is_missing(tiny):
    ladder = kinship_ladder(tiny.train)
    assert tuple(ladder) == ("same scan", "other patients")


def test_copies_are_found_also_when_they_are_blurred():
    train = cohort()
    ladder = kinship_ladder(train)
    exact = memorisation(train.images[::5], train.images, ladder)
    assert exact == {"nearest": 0, "copies": 1}
    smooth = memorisation(blurred(train.images[::5], 1.5), train.images, ladder)
    assert smooth["copies"] == 1
    assert smooth["nearest"] < 0.5


def test_men_who_were_not_in_training_are_no_copies():
    train = cohort()
    known = train.patients > 2
    without = SliceDataset(
        train.images[known], None, train.positions[known],
        train.patients[known], train.weeks[known],
    )  # fmt: skip
    new = memorisation(train.images[~known], without.images, kinship_ladder(without))
    assert new["copies"] <= 0.25
    assert new["nearest"] > 0.8


def test_one_patient_cannot_judge_copies():
    images = torch.rand(2, 1, 64, 32)
    with pytest.raises(ValueError, match="of one patient"):
        memorisation(images, images, {"same scan": np.ones(2)})
