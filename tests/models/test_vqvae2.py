"""The two-level VQ-VAE: what each level says, and what must not change."""

import pytest
import torch

from vqlib import losses
from vqlib.errors import UserError
from vqlib.models.fsq import FSQ
from vqlib.models.quantizers import VectorQuantizer
from vqlib.models.vqvae2 import VQVAE2


def two_levels(**choices):
    torch.manual_seed(0)
    top, bottom = (VectorQuantizer(16, 4, seed=i, **choices) for i in range(2))
    return VQVAE2(width=8, quantizer=bottom, top_quantizer=top)


def slices(n=4):
    """Smooth bumps at random places: [n, 1, 32, 16] in [0, 1]."""
    random = torch.Generator().manual_seed(0)
    place = torch.rand(n, 2, 1, 1, generator=random)
    i, j = torch.meshgrid(torch.arange(32) / 32, torch.arange(16) / 16, indexing="ij")
    distance = (i - place[:, 0]).square() + (j - place[:, 1]).square()
    return torch.exp(-10 * distance).unsqueeze(1)


def trained(steps=60):
    """A model after some steps, and the loss of each."""
    model = two_levels()
    objective = losses.VQVAEObjective(model, ssim_weight=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    curve = []
    for _ in range(steps):
        loss = objective({"image": slices()})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return model.eval(), curve


def test_codes_of_two_grids_that_are_not_square():
    model, x = two_levels().eval(), slices(2)
    top, bottom = model.encode(x)
    assert (top.shape, bottom.shape) == ((2, 4, 2), (2, 8, 4))
    assert top.dtype == bottom.dtype == torch.int64
    assert model.decode(top, bottom).shape == x.shape


def test_there_and_back_is_decoding_the_codes_and_the_training_path():
    model, _ = trained(20)
    x = slices()
    codes = model.encode(x)
    assert torch.equal(model.decode(*codes), model.reconstruct(x))
    out = model(x)
    assert all(map(torch.equal, out.codes, codes))
    torch.testing.assert_close(out.reconstruction, model.reconstruct(x))


def test_encoding_changes_no_state_even_in_training():
    model = two_levels().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.encode(slices())
    model.reconstruct(slices())
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_both_levels_reach_the_slice():
    model, _ = trained()
    top, bottom = model.encode(slices())
    whole = model.decode(top, bottom)
    assert (model.decode(top.roll(1, 0), bottom) - whole).abs().mean() > 1e-3
    assert (model.decode(top, bottom.roll(1, 0)) - whole).abs().mean() > 1e-3


def test_the_bottom_codes_know_what_the_top_ones_say():
    model, _ = trained()
    top, bottom = model.encode(slices())
    with torch.no_grad():  # the same top codes come to mean something else
        model.top_decoder.net[-1].bias.add_(1)
    top_again, otherwise = model.encode(slices())
    assert torch.equal(top, top_again)
    assert not torch.equal(bottom, otherwise)


def test_the_top_sees_further_than_the_bottom():
    model = VQVAE2(width=8, blocks=0, quantizer=FSQ((5, 5)), top_quantizer=FSQ((5, 5)))
    x = slices(1).requires_grad_()

    def reach(features):
        x.grad = None
        features.sum().backward()
        return int(x.grad[0, 0].any(1).sum())

    assert reach(model.encoder(x)[0, :, 4, 2]) < reach(
        model.top_encoder(model.encoder(x))[0, :, 2, 1]
    )


def test_the_losses_are_those_of_both_levels():
    model = two_levels(ema=False).eval()
    out, x = model(slices()), slices()
    seen = model.encoder(x)
    top = model.top_quantizer(model.top_encoder(seen))
    joined = torch.cat([seen, model.top_decoder(top.z_q)], dim=1)
    bottom = model.quantizer(model.join(joined))
    for name in ("commitment_loss", "codebook_loss"):
        both = getattr(top, name) + getattr(bottom, name)
        torch.testing.assert_close(getattr(out, name), both)
        assert min(getattr(top, name), getattr(bottom, name)) > 0


def test_training_reaches_every_weight_and_lowers_the_loss():
    model = two_levels()
    out = losses.VQVAEObjective(model, ssim_weight=0.1)({"image": slices()})
    out["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    _, curve = trained()
    assert curve[-1] < 0.5 * curve[0]


def test_a_size_whose_grid_cannot_be_halved_is_refused():
    for call in (two_levels().encode, two_levels()):
        with pytest.raises(UserError, match=r"36x16.*multiples of 8"):
            call(torch.rand(1, 1, 36, 16))
