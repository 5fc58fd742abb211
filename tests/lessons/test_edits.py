import torch
import torch.nn.functional as F

from lessons.edits import erase, morph, transplant
from vqlib.priors import PixelCNN

BOX = slice(1, 3), slice(0, 2)


def test_a_transplant_changes_the_block_and_nothing_else():
    recipient, donor = torch.zeros(2, 4, 3).long(), torch.ones(2, 4, 3).long()
    edited = transplant(recipient, donor, BOX)
    assert edited[:, *BOX].eq(1).all()
    assert edited.sum() == 2 * 4
    assert recipient.sum() == 0, "the recipient itself was painted on"


def test_erasing_paints_the_organ_and_one_step_around_with_the_usual_codes():
    codes, usual = torch.full((5, 6), 99), torch.arange(30).view(5, 6)
    usual[1, 2] = -1  # nobody knows what is usual here
    organ = torch.zeros(5, 6, dtype=torch.bool)
    organ[2, 2] = True
    edited, grown = erase(codes, organ, usual)
    around = torch.zeros(5, 6, dtype=torch.bool)
    around[1:4, 1:4] = True
    assert torch.equal(grown, around)
    painted = edited != codes
    around[1, 2] = False
    assert torch.equal(painted, around)
    assert torch.equal(edited[around], usual[around])
    assert codes.eq(99).all()


def small_prior(k=7, grid=(3, 4)):
    torch.manual_seed(0)
    prior = PixelCNN(k, grid, dim=8, layers=2, code_dim=2).eval()
    codebook = torch.randn(k, 2)
    prior.use_codebook(codebook)
    for layer in (prior.head, prior.output_embedding):
        torch.nn.init.normal_(layer.weight, std=0.5)
    first, last = torch.randint(k, (2, 2, *grid))
    return prior, codebook, first, last, (torch.zeros(2), torch.ones(2))


@torch.no_grad()
def test_the_morph_is_what_choosing_one_place_after_the_other_gives():
    prior, codebook, first, last, positions = small_prior()
    found = morph(prior, codebook, first, last, positions, 0.25, weight=2.0)
    line = 0.75 * codebook[first] + 0.25 * codebook[last]
    gap = (line[..., None, :] - codebook).square().sum(-1)  # [B, h, w, K]
    one_by_one = torch.zeros_like(first)
    for i in range(3):
        for j in range(4):
            nats = -F.log_softmax(prior(one_by_one, torch.full((2,), 0.25)), -1)
            cost = nats + 2.0 * gap / gap.mean()
            one_by_one[:, i, j] = cost[:, i, j].argmin(-1)
    assert torch.equal(found, one_by_one)


def test_a_morph_ends_at_its_slices_where_the_line_alone_counts():
    prior, codebook, first, last, positions = small_prior()
    ends = [
        morph(prior, codebook, first, last, positions, t, weight=1e6) for t in (0, 1)
    ]
    assert torch.equal(ends[0], first)
    assert torch.equal(ends[1], last)
    free = morph(prior, codebook, first, last, positions, 0, weight=0.0)
    assert not torch.equal(free, first), "the prior was not asked"


def test_a_morph_of_too_few_rounds_is_right_at_its_first_places():
    prior, codebook, first, last, positions = small_prior()
    how = {"t": 0.5, "weight": 0.5}
    whole = morph(prior, codebook, first, last, positions, **how)
    early = morph(prior, codebook, first, last, positions, **how, rounds=3)
    assert torch.equal(early.flatten(1)[:, :3], whole.flatten(1)[:, :3])
