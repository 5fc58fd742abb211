import pytest
import torch

from vqlib.models import Critic, SharpVAE, SharpVQVAE
from vqlib.models.critic import fine_detail
from vqlib.models.sharp import SharpDecoder, map_channels

X = torch.rand(2, 1, 32, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 6, (2, 32, 16), generator=torch.Generator().manual_seed(1))


def make(kind, labels):
    torch.manual_seed(0)
    first = {"codebook_size": 7} if kind is SharpVQVAE else {"latent_channels": 4}
    return kind(**first, factor=4, width=24, labels=labels).eval()


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_the_decoder_gives_slices_at_every_factor(factor):
    decoder = SharpDecoder(factor, 4, 24, labels=6)
    labels = torch.zeros(2, 2 * factor, 3 * factor, dtype=torch.uint8)
    images = decoder(torch.randn(2, 4, 2, 3), labels)
    assert images[:, 0].shape == labels.shape


@pytest.mark.parametrize("kind", [SharpVAE, SharpVQVAE])
@torch.no_grad()
def test_a_label_map_matters_to_encoder_and_decoder_and_may_be_left_out(kind):
    model, other = make(kind, 6), LABELS.clone()
    other[0] = 3
    ours, theirs = (
        model.encoder(torch.cat([X, map_channels(m, 6)], 1)) for m in (LABELS, other)
    )
    assert not torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    latents = model.encode(X, LABELS)
    latents = latents if kind is SharpVQVAE else latents[0]
    noise = model.decoder.noise(latents)
    ours, theirs = (model.decode(latents, m, noise) for m in (LABELS, other))
    assert not torch.allclose(ours[0], theirs[0])
    torch.testing.assert_close(ours[1], theirs[1])
    plain = make(kind, 0)
    assert plain.reconstruct(X).shape == X.shape
    assert plain(X).reconstruction.shape == X.shape


def test_lines_of_one_pixel_are_left_out_of_a_map():
    labels = torch.full((1, 16, 16), 2)
    labels[0, 6] = 1  # the gap of a joint
    labels[0, 11:14, 9:13] = 3
    channels = map_channels(labels, 6)
    assert channels.sum(1).unique() == 1
    assert not channels[:, 1].any()
    assert channels[0, 3, 12, 10:12].all()


@torch.no_grad()
def test_noise_follows_its_seed_and_changes_a_slice():
    model = make(SharpVQVAE, 0)
    codes = model.encode(X)
    one, same, other = (
        model.decoder.noise(codes, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert one.shape == X.shape
    assert torch.equal(one, same)
    first, again, another = (model.decode(codes, noise=n) for n in (one, same, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, another)
    assert not torch.equal(model.decode(codes), model.decode(codes))  # drawn anew


@torch.no_grad()
def test_every_resolution_sees_noise_of_variance_1():
    decoder, seen = SharpDecoder(8, 4, 24), []
    for conv in decoder.convs:
        conv.register_forward_pre_hook(lambda _, given: seen.append(given[0][:, -1]))
    decoder(torch.zeros(8, 4, 8, 8))
    assert len(seen) == 4
    for grain in seen:
        assert grain.std().item() == pytest.approx(1, abs=0.1)


def test_fine_detail_is_nothing_of_a_plane_and_all_of_a_dot():
    plane = torch.linspace(0, 1, 9).expand(1, 1, 9, 9)
    assert fine_detail(plane)[..., 1:-1].abs().max() < 1e-6
    dot = torch.zeros(1, 1, 9, 9)
    dot[..., 4, 4] = 1.0
    assert fine_detail(dot)[0, 0, 4, 4].item() == pytest.approx(8 / 9)


def test_a_critic_scores_patches_and_its_slope_is_bounded():
    critic = Critic(labels=6, width=8).eval()
    scores, features = critic(X, LABELS)
    assert (scores.shape, len(features)) == ((2, 1, 4, 2), 4)
    for layer in (*critic.layers, critic.head):
        for _ in range(50):  # of the power iteration, which runs while training
            layer.train()(torch.randn(1, layer.in_channels, 8, 8))
        norm = torch.linalg.matrix_norm(layer.eval().weight.flatten(1), 2)
        assert norm.item() == pytest.approx(1, abs=0.02)
    assert not torch.allclose(scores, critic(X, (LABELS + 1) % 6)[0])
