import copy

import pytest
import torch
from made_slices import bumps
from slice_files import refusal

from vqlib.models import (
    FSQ,
    VAE,
    VQVAE,
    VQVAE2,
    Autoencoder,
    Decoder,
    Encoder,
    GlobalVAE,
    Segmenter,
    VectorQuantizer,
)

BOOK = {"codebook_size": 16, "dim": 6, "width": 8}
MODELS = {
    "vae": lambda **more: VAE(6, width=8, **more),
    "global": lambda **more: GlobalVAE(5, (32, 16), width=8, **more),
    "autoencoder": lambda **more: Autoencoder(6, width=8, **more),
    "vqvae": lambda **more: VQVAE(**BOOK, **more),
    "fsq": lambda **more: VQVAE(width=8, quantizer=FSQ((5, 5)), **more),
    "vqvae2": lambda **more: VQVAE2(**BOOK, **more),
}
every_model = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)


@every_model
def test_slices_come_back_in_their_size_and_number_of_channels(build):
    assert build().reconstruct(torch.rand(2, 1, 32, 16)).shape == (2, 1, 32, 16)
    labels = build(in_channels=6)
    assert labels.reconstruct(torch.rand(2, 6, 32, 16)).shape == (2, 6, 32, 16)
    assert labels.device == torch.device("cpu")
    assert build().to("meta").device == torch.device("meta")


@every_model
def test_training_reaches_every_weight(build):
    torch.manual_seed(0)
    model, x = build(), bumps()
    out = model(x)
    image = out if isinstance(out, torch.Tensor) else out.reconstruction
    loss = (image - x).square().mean()
    for name in ("commitment_loss", "codebook_loss", "logvar"):
        loss = loss + getattr(out, name, torch.zeros(())).sum()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every_model
@pytest.mark.parametrize("factor", [0, 1, 3, 6])
def test_a_factor_that_is_no_power_of_two_is_refused(build, factor):
    refusal(lambda: build(factor=factor), match="power of two")


ODD, ODD_ABOVE = torch.rand(1, 1, 30, 16), torch.rand(1, 1, 36, 16)
REFUSED = [  # sizes and parts that do not fit, what is said
    (lambda: MODELS["vqvae"]()(ODD), r"30x16.*multiples of 4"),
    (lambda: MODELS["vqvae"]().encode(ODD), r"30x16.*multiples of 4"),
    (lambda: MODELS["vae"]()(ODD), r"30x16.*multiples of 4"),
    (lambda: MODELS["vae"]().encode(ODD), r"30x16.*multiples of 4"),
    (lambda: MODELS["vqvae2"]()(ODD_ABOVE), r"36x16.*multiples of 8"),
    (lambda: MODELS["vqvae2"]().encode(ODD_ABOVE), r"36x16.*multiples of 8"),
    (lambda: GlobalVAE(size=(30, 16)), r"30x16.*multiples of 4"),
    (lambda: Segmenter()(ODD), r"30x16.*multiples of 8"),
    (lambda: VQVAE(dim=8, encoder=Encoder(4, 6, 8, 1)), "gives 6 channels"),
    (lambda: VQVAE(quantizer=FSQ((5, 5)), decoder=Decoder(4, 3, 8, 1)), "takes 3"),
    (lambda: VQVAE(factor=4, encoder=Encoder(8, 8, 8, 1)), "by 8 and .* by 4"),
    (lambda: VAE(4, encoder=Encoder(4, 4, 8, 1)), "needs 8 and 4"),
    (lambda: Autoencoder(4, decoder=Decoder(4, 6, 8, 1)), "takes 6"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_what_does_not_fit_is_refused(build, message):
    refusal(build, match=message)


def vqvae(**kind):
    return lambda: VQVAE(width=8, quantizer=VectorQuantizer(16, 6, **kind))


DISCRETE = {
    **{name: MODELS[name] for name in ("vqvae", "fsq", "vqvae2")},
    "gradient": vqvae(ema=False),
    "cosine": vqvae(cosine=True),
    "cosine gradient": vqvae(cosine=True, ema=False),
}


@pytest.mark.parametrize("build", DISCRETE.values(), ids=DISCRETE)
def test_decoding_the_codes_is_the_training_path_and_only_training_changes_state(build):
    model, x = build().train(), bumps()
    model(x)
    before = copy.deepcopy(model.state_dict())
    codes, decoded = model.encode(x), model.reconstruct(x)
    with torch.no_grad():
        model(x)
    model.eval()(x)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    # moves the codebook, but after the choice
    torch.testing.assert_close(model.train()(x).reconstruction, decoded)
    levels = codes if isinstance(codes, tuple) else (codes,)
    assert levels[-1].shape == (4, 8, 4)
    assert {level.dtype for level in levels} == {torch.int64}
    out = model.eval()(x)
    torch.testing.assert_close(out.reconstruction, model.decode(*levels))
    torch.testing.assert_close(out.reconstruction, model.reconstruct(x))


def test_a_segmenter_has_a_class_and_features_for_all_and_any_batch_will_do():
    torch.manual_seed(0)
    model, x = Segmenter().eval(), torch.rand(3, 1, 32, 16)
    assert model(x).shape == (3, 6, 32, 16)
    torch.testing.assert_close(model(x)[:1], model(x[:1]))
    assert model.segment(x, batch_size=2).shape == (3, 32, 16)
    assert model.segment(x).dtype == torch.uint8
    assert model.features(x).shape == (3, 256)
    assert 50_000 < sum(p.numel() for p in model.parameters()) < 200_000


def test_both_levels_of_a_vqvae2_reach_the_slice():
    torch.manual_seed(0)
    model = VQVAE2(16, 4, width=8)
    model(bumps())  # the codebooks start at these slices
    top, bottom = model.eval().encode(bumps())
    assert (top.shape, bottom.shape) == ((4, 4, 2), (4, 8, 4))
    whole = model.decode(top, bottom)
    assert not torch.allclose(model.decode((top + 1) % 16, bottom), whole)
    assert not torch.allclose(model.decode(top, (bottom + 1) % 16), whole)
    with torch.no_grad():  # the same top codes are decoded to something else:
        model.top_decoder.net[-1].bias.add_(9)
    top_again, otherwise = model.encode(bumps())
    assert torch.equal(top, top_again)
    assert not torch.equal(bottom, otherwise)  # bottom codes depend on that


def test_the_losses_of_a_vqvae2_are_those_of_both_levels():
    seeds = {"quantizer": 0, "top_quantizer": 1}
    parts = {k: VectorQuantizer(16, 4, seed=s, ema=False) for k, s in seeds.items()}
    model, x = VQVAE2(width=8, **parts).eval(), bumps()
    out, seen = model(x), model.encoder(x)
    top = model.top_quantizer(model.top_encoder(seen))
    joined = torch.cat([seen, model.top_decoder(top.z_q)], dim=1)
    bottom = model.quantizer(model.join(joined))
    for name in ("commitment_loss", "codebook_loss"):
        both = getattr(top, name) + getattr(bottom, name)
        torch.testing.assert_close(getattr(out, name), both)
