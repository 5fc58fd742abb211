import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vqlib.models.fsq import FSQ

LEVELS = [(8, 8, 8), (7, 5, 6, 3), (4,)]


@pytest.mark.parametrize("levels", LEVELS)
def test_indices_and_code_vectors_map_one_to_one(levels):
    quantizer = FSQ(levels)
    codebook = quantizer.codebook
    assert codebook.shape == (quantizer.codebook_size, len(levels))
    assert len(codebook.unique(dim=0)) == quantizer.codebook_size
    every = torch.arange(quantizer.codebook_size).view(1, 1, -1)
    assert torch.equal(quantizer.lookup(every)[0, :, 0].T, codebook)
    # An input whose squeezed value is the whole number itself comes back as its code.
    digits = codebook * torch.tensor(levels).div(2, rounding_mode="floor")
    odd = torch.tensor(levels) % 2
    half = (torch.tensor(levels) - 1) * 1.001 / 2
    offset = 0.5 * (1 - odd)
    z_e = torch.atanh((digits + offset) / half) - torch.atanh(offset / half)
    assert torch.equal(quantizer.encode(z_e.T[None, :, None]), every)


@pytest.mark.parametrize("levels", LEVELS)
def test_far_inputs_reach_the_outermost_levels_and_zero_stays_zero(levels):
    quantizer = FSQ(levels)
    reach = torch.tensor([-50.0, 0.0, 50.0]).view(1, 1, 1, 3)
    z_q = quantizer(reach.expand(1, len(levels), 1, 3)).z_q[0, :, 0]
    for channel, size in zip(z_q, levels, strict=True):
        top = 1 if size % 2 else 1 - 2 / size
        assert channel.tolist() == pytest.approx([-1, 0, top])


def test_grids_need_not_be_square_and_decoding_matches_the_training_path():
    quantizer = FSQ((8, 5, 4))
    z_e = 2 * torch.randn(2, 3, 8, 4)
    out = quantizer(z_e)
    assert out.codes.shape == (2, 8, 4)
    assert torch.equal(out.codes, quantizer.encode(z_e))
    torch.testing.assert_close(quantizer.lookup(out.codes), out.z_q)
    assert out.commitment_loss == out.codebook_loss == 0


def test_the_gradient_passes_the_rounding_and_is_that_of_the_squeezing():
    quantizer = FSQ((8, 5))
    z_e = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    out = quantizer(z_e)
    weights = torch.randn_like(out.z_q)
    out.z_q.backward(weights)
    half = 1.001 * torch.tensor([3.5, 2.0]).double().view(2, 1, 1)
    shift = torch.atanh(torch.tensor([0.5, 0.0]).double().view(2, 1, 1) / half)
    slope = half * (1 - torch.tanh(z_e.detach() + shift) ** 2)
    scale = torch.tensor([4.0, 2.0]).view(2, 1, 1)
    torch.testing.assert_close(z_e.grad, weights * slope / scale)


def test_it_holds_no_state_and_no_checkpoint_needs_it():
    quantizer = FSQ((8, 5))
    assert not quantizer.state_dict()
    assert not list(quantizer.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_finds_the_codes_of_float32(dtype):
    quantizer = FSQ((8, 8, 8))
    z_e = torch.randn(2, 3, 8, 4).to(dtype)
    with torch.autocast("cpu", dtype=dtype):
        out = quantizer(z_e)
    assert out.z_q.dtype == dtype
    assert torch.equal(out.codes, quantizer(z_e.float()).codes)


def test_no_tensor_is_left_on_the_cpu_and_nothing_waits_for_a_gpu():
    quantizer = FSQ((8, 5)).to("meta")
    z_e = torch.randn(2, 2, 8, 4, device="meta", requires_grad=True)
    quantizer(z_e).z_q.sum().backward()
    assert z_e.grad.device.type == "meta"
    with FakeTensorMode():
        try:
            torch.zeros(1, device="cuda")
        except RuntimeError:
            pytest.skip("this build of torch knows no GPU")
        with torch.device("cuda"):
            quantizer = FSQ((8, 5))
        out = quantizer(torch.randn(2, 2, 8, 4, device="cuda"))
        assert {t.device.type for t in out} == {"cuda"}
        assert quantizer.lookup(out.codes).device.type == "cuda"
        assert quantizer.codebook.device.type == "cuda"


@pytest.mark.parametrize("levels", [(), (8, 2)])
def test_levels_that_make_no_code_are_refused(levels):
    with pytest.raises(ValueError, match="3 or more"):
        FSQ(levels)
