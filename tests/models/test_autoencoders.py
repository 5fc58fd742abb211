import math

import pytest
import torch

from vqlib.errors import UserError
from vqlib.models.networks import Encoder, ResidualBlock
from vqlib.models.vae import VAE, GlobalVAE, reparameterise
from vqlib.models.vqvae import VQVAE


def vqvae():
    return VQVAE(codebook_size=16, dim=6, width=8)


def test_shapes_on_a_grid_that_is_not_square():
    x = torch.rand(2, 1, 32, 16)
    model = vqvae().eval()
    codes = model.encode(x)
    assert codes.shape == (2, 8, 4)
    assert codes.dtype == torch.int64
    assert model.decode(codes).shape == x.shape
    vae = VAE(latent_channels=6, width=8)
    mu, logvar = vae.encode(x)
    assert mu.shape == logvar.shape == (2, 6, 8, 4)
    vector = GlobalVAE(latent_dim=5, size=(32, 16), width=8)
    assert vector.encode(x)[0].shape == (2, 5)
    assert vector.reconstruct(x).shape == x.shape


def test_encoder_keeps_every_pixel_in_its_own_patch():
    encoder = Encoder(4, 6, 8, 0)
    x = torch.rand(1, 1, 32, 16, requires_grad=True)
    encoder(x)[0, :, 0, 0].sum().backward()
    rows, columns = x.grad[0, 0].nonzero(as_tuple=True)
    assert rows.max() < 8  # a patch of 4 and, by one 3x3 convolution, its neighbour
    assert columns.max() < 8


def test_decoding_the_codes_is_the_training_path():
    model = vqvae().eval()
    x = torch.rand(2, 1, 32, 16)
    out = model(x)
    torch.testing.assert_close(out.reconstruction, model.decode(out.codes))
    torch.testing.assert_close(out.reconstruction, model.reconstruct(x))


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"30x16.*multiples of 4"):
        vqvae().encode(torch.rand(1, 1, 30, 16))


def test_residual_blocks_leave_the_skip_path_alone_and_share_nothing():
    block = ResidualBlock(4)
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.zeros_(block.conv2.bias)
    x = torch.randn(1, 4, 5, 5)
    kept = x.clone()
    torch.testing.assert_close(block(x), kept)
    torch.testing.assert_close(x, kept)
    one, two = (Encoder(4, 6, 8, n) for n in (1, 2))
    per_block = sum(p.numel() for p in ResidualBlock(8).parameters())
    counts = [sum(p.numel() for p in e.parameters()) for e in (one, two)]
    assert counts[1] - counts[0] == per_block


def test_the_training_signal_reaches_the_encoder_through_the_codes():
    model = vqvae()
    out = model(torch.rand(2, 1, 32, 16))
    out.reconstruction.sum().backward()  # without the commitment loss
    assert all(p.grad.abs().sum() > 0 for p in model.encoder.parameters())


def test_reparameterised_draws_have_the_stated_mean_and_variance():
    mu, logvar = torch.full((100_000,), 2.0), torch.full((100_000,), math.log(9.0))
    z = reparameterise(mu, logvar)
    assert z.mean() == pytest.approx(2, abs=0.05)
    assert z.std() == pytest.approx(3, abs=0.05)
