import pytest
import torch
from slice_files import refusal
from torch.func import functional_call

from vqlib.models import FSQ, VectorQuantizer, nearest_codes

KINDS = {
    "ema": {},
    "gradient": {"ema": False},
    "cosine": {"cosine": True},
    "cosine gradient": {"cosine": True, "ema": False},
}


def make(kind, **more):
    """A quantizer of vectors of 3 numbers; FSQ where there is no kind."""
    if kind is None:
        return FSQ((8, 5, 3))
    return VectorQuantizer(70, 3, **{"patience": 2, "seed": 1} | kind | more)


def clusters(n=512, dim=2, centres=8, seed=0):
    """[1, dim, n, 1] vectors around well separated centres, as an encoder's output."""
    random = torch.Generator().manual_seed(seed)
    means = 10 * torch.randn(centres, dim, generator=random)
    picks = torch.randint(centres, (n,), generator=random)
    z = means[picks] + 0.1 * torch.randn(n, dim, generator=random)
    return z.T.reshape(1, dim, n, 1)


@pytest.mark.parametrize("kind", [*KINDS.values(), None])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_chooses_and_learns_as_float32_does(kind, dtype):
    half, full = make(kind), make(kind)
    for step in range(4):
        z_e = 20 * torch.randn(2, 3, 8, 4).to(dtype).requires_grad_()
        with torch.autocast("cpu", dtype=dtype):
            out = half(z_e)
        expected = full(z_e.float())
        assert torch.equal(out.codes, expected.codes), step
        assert out.z_q.dtype == dtype
        torch.testing.assert_close(out.z_q, expected.z_q.to(dtype))
        assert out.commitment_loss.dtype == out.codebook_loss.dtype == torch.float32
        assert torch.equal(out.commitment_loss, expected.commitment_loss)
        (out.z_q.float().sum() + out.commitment_loss).backward()
    for key, value in half.state_dict().items():
        assert torch.equal(value, full.state_dict()[key]), key


@pytest.mark.parametrize("size", [17, 4096])
def test_nearest_codes_agree_with_all_distances_ties_included(size):
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(5000, 5, generator=random)
    codebook = torch.randn(size, 5, generator=random)
    slow = torch.cdist(vectors.double(), codebook.double()).argmin(1)
    assert torch.equal(nearest_codes(vectors, codebook), slow)
    assert torch.equal(nearest_codes(vectors, codebook.repeat(2, 1)), slow)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", ["commitment_loss", "codebook_loss"])
def test_losses_are_the_papers_with_the_gradients_of_finite_differences(kind, name):
    quantizer = VectorQuantizer(8, 3, seed=1, **kind).double().eval()
    z_e = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    codebook = quantizer.codebook.detach().clone().requires_grad_()

    def loss(z_e, codebook):
        return getattr(functional_call(quantizer, {"codebook": codebook}, z_e), name)

    if name == "codebook_loss" and quantizer.ema:  # moving averages do the work
        assert loss(z_e, codebook) == 0
        return
    if not quantizer.cosine:
        expected = (z_e - quantizer.lookup(quantizer.encode(z_e))).square().mean()
        torch.testing.assert_close(loss(z_e, codebook), expected)
    moved, held = (z_e, codebook) if name == "commitment_loss" else (codebook, z_e)
    assert torch.autograd.grad(loss(z_e, codebook), held, allow_unused=True)[0] is None
    held.requires_grad_(False)
    assert torch.autograd.gradcheck(loss, (z_e, codebook))
    assert moved.requires_grad


def test_cosine_codes_go_by_the_angle():
    quantizer = VectorQuantizer(16, 3, cosine=True)
    z_e = torch.randn(2, 3, 8, 4) * torch.rand(2, 1, 8, 4) * 100
    for _ in range(3):
        out = quantizer(z_e)
    out = quantizer.eval()(z_e)
    torch.testing.assert_close(quantizer.codebook.norm(dim=1), torch.ones(16))
    similarity = torch.einsum("bdhw,kd->bhwk", z_e, quantizer.codebook)
    assert torch.equal(out.codes, similarity.argmax(-1))
    torch.testing.assert_close(quantizer(7 * z_e).z_q, out.z_q)
    assert quantizer(torch.zeros(1, 3, 2, 2)).z_q.isfinite().all()


def test_one_ema_step_is_the_papers_update():
    decay = 0.9
    quantizer = VectorQuantizer(4, 2, decay=decay, patience=0, kmeans_steps=0)
    counts, sums = quantizer.counts.clone(), quantizer.sums.clone()
    z_e = torch.randn(2, 2, 3, 5)
    codes = quantizer(z_e).codes.flatten()
    vectors = z_e.permute(0, 2, 3, 1).reshape(-1, 2)
    one_hot = torch.nn.functional.one_hot(codes, 4).float()
    counts = decay * counts + (1 - decay) * one_hot.sum(0)
    sums = decay * sums + (1 - decay) * one_hot.T @ vectors
    torch.testing.assert_close(quantizer.codebook, sums / counts[:, None])


def test_an_unchosen_code_keeps_its_place():
    """Its count and sum fade until they leave the range of float32."""
    quantizer = VectorQuantizer(2, 2, decay=0.5, patience=0, kmeans_steps=0)
    far = quantizer.codebook[1] = quantizer.sums[1] = torch.tensor([12.3, -45.6])
    z_e = torch.randn(1, 2, 1, 2)
    for _ in range(300):
        quantizer(z_e)
        torch.testing.assert_close(quantizer.codebook[1], far, rtol=1e-4, atol=0)


@pytest.mark.parametrize("ema", [True, False])
def test_dead_codes_restart_at_encoder_vectors(ema):
    z_e, used = clusters(centres=32), {}
    for patience in (2, 0):
        quantizer = VectorQuantizer(32, 2, ema=ema, patience=patience, kmeans_steps=0)
        for x in (quantizer.codebook.data, quantizer.sums if ema else torch.zeros(1)):
            x.add_(1000)  # nothing is near any code
        for _ in range(60):
            out = quantizer(z_e)
        used[patience] = out.codes.unique().numel()
    assert used[2] >= 28
    assert used[0] < 10


@pytest.mark.parametrize("ema", [True, False])
def test_kmeans_start_finds_the_clusters(ema):
    z_e = clusters()
    quantizer = VectorQuantizer(64, 2, seed=0, ema=ema)
    quantizer(z_e)
    error = (z_e - quantizer.lookup(quantizer.encode(z_e))).square().mean()
    assert error < 0.02  # the spread within a cluster; far apart they are 10 or more


@pytest.mark.parametrize("levels", [(8, 8, 8), (7, 5, 6, 3), (4,)])
def test_fsq_indices_and_code_vectors_map_one_to_one(levels):
    quantizer = FSQ(levels)
    codebook = quantizer.codebook
    assert codebook.shape == (quantizer.codebook_size, len(levels))
    assert len(codebook.unique(dim=0)) == quantizer.codebook_size
    every = torch.arange(quantizer.codebook_size).view(1, 1, -1)
    assert torch.equal(quantizer.lookup(every)[0, :, 0].T, codebook)
    # An input whose squeezed value is the whole number itself comes back as its code.
    sizes = torch.tensor(levels)
    digits = codebook * sizes.div(2, rounding_mode="floor")
    half, offset = (sizes - 1) * 1.001 / 2, 0.5 * (sizes % 2 == 0)
    z_e = torch.atanh((digits + offset) / half) - torch.atanh(offset / half)
    assert torch.equal(quantizer.encode(z_e.T[None, :, None]), every)


def test_the_gradient_of_fsq_is_that_of_the_squeezing():
    z_e = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    out = FSQ((8, 5))(z_e)
    weights = torch.randn_like(out.z_q)
    out.z_q.backward(weights)
    half = 1.001 * torch.tensor([3.5, 2.0]).double().view(2, 1, 1)
    shift = torch.atanh(torch.tensor([0.5, 0.0]).double().view(2, 1, 1) / half)
    slope = half * (1 - torch.tanh(z_e.detach() + shift) ** 2)
    scale = torch.tensor([4.0, 2.0]).view(2, 1, 1)
    torch.testing.assert_close(z_e.grad, weights * slope / scale)


@pytest.mark.parametrize("levels", [(), (8, 2)])
def test_levels_that_make_no_code_are_refused(levels):
    refusal(FSQ, levels, match="3 or more")
