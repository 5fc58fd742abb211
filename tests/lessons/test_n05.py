import matplotlib.pyplot as plt
import torch

from lessons import n05
from vqlib.data import LABEL_NAMES

MAP = torch.zeros(32, 16, dtype=torch.uint8)
MAP[2:30, 2:14] = 1
MAP[10:16, 4:10] = 3
MAP[10:16, 10:12] = 2


def test_rows_hold_slices_in_grey_and_maps_in_colours():
    rows = {"map": torch.stack([MAP, MAP]), "slice": torch.rand(2, 1, 32, 16)}
    n05.map_rows(rows, ["a", "b"])
    shapes = [axis.images[0].get_array().shape for axis in plt.gcf().axes]
    assert shapes == 2 * [(16, 32, 3)] + 2 * [(16, 32)]  # upright: the head end is up
    assert [axis.get_title() for axis in plt.gcf().axes[:2]] == ["a", "b"]
    assert len({tuple(n05.in_colours(MAP)[i, j]) for i, j in ((0, 0), (4, 3), (11, 5))})
    palette = n05.in_colours(torch.arange(len(LABEL_NAMES))[None])
    assert len({tuple(colour) for colour in palette[0]}) == len(LABEL_NAMES)


def test_an_organ_grows_into_the_body_and_not_into_bone():
    fuller, emptier = n05.grow(MAP, 3, 2), n05.grow(MAP, 3, -2)
    assert (fuller == 3).sum() > (MAP == 3).sum() > (emptier == 3).sum() > 0
    assert torch.equal(fuller == 2, MAP == 2)
    assert torch.equal(fuller > 0, MAP > 0)
    assert (emptier[MAP == 3] != 0).all()
    assert torch.equal(n05.grow(MAP, 3, 0), MAP)
