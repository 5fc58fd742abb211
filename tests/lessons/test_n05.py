import torch

from lessons import n05

MAP = torch.zeros(32, 16, dtype=torch.uint8)
MAP[2:30, 2:14] = 1
MAP[10:16, 4:10] = 3
MAP[10:16, 10:12] = 2


def test_an_organ_grows_into_the_body_and_not_into_bone():
    fuller, emptier = n05.grow(MAP, 3, 2), n05.grow(MAP, 3, -2)
    assert (fuller == 3).sum() > (MAP == 3).sum() > (emptier == 3).sum() > 0
    assert torch.equal(fuller == 2, MAP == 2)
    assert torch.equal(fuller > 0, MAP > 0)
    assert (emptier[MAP == 3] != 0).all()
    assert torch.equal(n05.grow(MAP, 3, 0), MAP)
