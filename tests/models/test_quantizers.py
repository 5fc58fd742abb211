import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from vqlib.models.quantizers import (
    VectorQuantizer,
    nearest_codes,
    rotate,
    straight_through,
)

KINDS = {
    "ema": {},
    "gradient": {"ema": False},
    "cosine": {"cosine": True},
    "cosine gradient": {"cosine": True, "ema": False},
    "rotation": {"estimator": rotate},
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def clusters(n=512, dim=2, centres=8, seed=0):
    """[1, dim, n, 1] vectors around well separated centres, as an encoder's output."""
    random = torch.Generator().manual_seed(seed)
    means = 10 * torch.randn(centres, dim, generator=random)
    picks = torch.randint(centres, (n,), generator=random)
    z = means[picks] + 0.1 * torch.randn(n, dim, generator=random)
    return z.T.reshape(1, dim, n, 1)


def test_nearest_codes_agree_with_all_distances():
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(200, 5, generator=random)
    codebook = torch.randn(17, 5, generator=random)
    slow = torch.cdist(vectors.double(), codebook.double()).argmin(1)
    assert torch.equal(nearest_codes(vectors, codebook), slow)


def test_the_search_in_chunks_and_blocks_is_a_plain_argmin_ties_included():
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(5000, 2, generator=random)
    for size in (64, 100, 4096):
        codebook = torch.randn(size // 2, 2, generator=random).repeat(2, 1)
        norms = codebook.square().sum(1)
        distances = torch.addmm(norms, vectors, codebook.T, alpha=-2)
        assert torch.equal(nearest_codes(vectors, codebook), distances.argmin(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_distances_do_not_overflow_in_half_precision(dtype):
    codebook = 300 * torch.eye(4)  # squares of 90,000: beyond float16
    vectors = codebook.to(dtype) + 1
    with torch.autocast("cpu", dtype=dtype):
        assert nearest_codes(vectors, codebook).tolist() == [0, 1, 2, 3]


@every_kind
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_chooses_and_learns_as_float32_does(kind, dtype):
    half = VectorQuantizer(70, 3, seed=1, **kind)
    full = VectorQuantizer(70, 3, seed=1, **kind)
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


def test_a_model_in_half_precision_still_encodes_and_decodes():
    quantizer = VectorQuantizer(16, 3).half().eval()
    z_e = torch.randn(2, 3, 8, 4).half()
    out = quantizer(z_e)
    assert out.z_q.dtype == torch.float16
    assert torch.equal(out.codes, quantizer.encode(z_e))
    torch.testing.assert_close(out.z_q, quantizer.lookup(out.codes))


def test_straight_through_passes_value_and_gradient():
    z_e = torch.randn(3, 4, requires_grad=True)
    z_q = torch.randn(3, 4)
    out = straight_through(z_e, z_q)
    torch.testing.assert_close(out, z_q)
    weights = torch.randn(3, 4)
    (out * weights).sum().backward()
    torch.testing.assert_close(z_e.grad, weights)


@every_kind
@pytest.mark.parametrize("name", ["commitment_loss", "codebook_loss"])
def test_losses_have_the_gradients_of_finite_differences(kind, name):
    quantizer = VectorQuantizer(8, 3, seed=1, **kind).double().eval()
    z_e = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    codebook = quantizer.codebook.detach().clone().requires_grad_()

    def loss(z_e, codebook):
        return getattr(functional_call(quantizer, {"codebook": codebook}, z_e), name)

    if name == "commitment_loss":  # moves the encoder alone
        assert torch.autograd.gradcheck(loss, (z_e, codebook.detach()))
        assert torch.autograd.grad(
            loss(z_e, codebook), codebook, allow_unused=True
        ) == (None,)
    elif quantizer.ema:  # moving averages do the work
        assert loss(z_e, codebook) == 0
    else:  # moves the codebook alone
        assert torch.autograd.gradcheck(loss, (z_e.detach(), codebook))
        assert torch.autograd.grad(loss(z_e, codebook), z_e, allow_unused=True) == (
            None,
        )


def test_the_losses_are_the_papers():
    quantizer = VectorQuantizer(8, 3, ema=False).eval()
    z_e = torch.randn(2, 3, 4, 5)
    out = quantizer(z_e)
    expected = (z_e - quantizer.lookup(out.codes)).square().mean()
    torch.testing.assert_close(out.commitment_loss, expected)
    torch.testing.assert_close(out.codebook_loss, expected)


def test_gradients_of_forward_match_a_direct_derivation():
    quantizer = VectorQuantizer(8, 3, seed=1).double().eval()
    z_e = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    out = quantizer(z_e)
    weights = torch.randn_like(out.z_q)
    ((out.z_q * weights).sum() + 0.25 * out.commitment_loss).backward()
    expected = weights + 0.25 * 2 * (z_e - quantizer.lookup(out.codes)) / z_e.numel()
    torch.testing.assert_close(z_e.grad, expected)


def test_the_rotation_trick_is_the_explicit_matrix():
    random = torch.Generator().manual_seed(0)
    e, q, gradient = torch.randn(3, 20, 5, dtype=torch.float64, generator=random)
    z_e = e.clone().requires_grad_()
    out = rotate(z_e, q)
    torch.testing.assert_close(out, q)
    out.backward(gradient)
    for i in range(20):
        a, b = e[i] / e[i].norm(), q[i] / q[i].norm()
        # Rodrigues: the turn from a to b in their plane, the identity beside it.
        cos = a @ b
        side = (b - cos * a) / (1 - cos**2).sqrt()
        turn = torch.outer(side, a) - torch.outer(a, side)
        matrix = torch.eye(5) + (1 - cos**2).sqrt() * turn + (1 - cos) * turn @ turn
        matrix = matrix * q[i].norm() / e[i].norm()
        torch.testing.assert_close(matrix @ e[i], q[i])
        torch.testing.assert_close(z_e.grad[i], matrix.T @ gradient[i])


def test_the_rotation_trick_survives_zeros_and_opposites():
    z_e = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    z_q = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])
    out = rotate(z_e, z_q)
    torch.testing.assert_close(out, z_q)
    out.sum().backward()
    assert z_e.grad.isfinite().all()


def test_cosine_codes_go_by_the_angle():
    quantizer = VectorQuantizer(16, 3, cosine=True)
    z_e = torch.randn(2, 3, 8, 4) * torch.rand(2, 1, 8, 4) * 100
    for _ in range(3):
        out = quantizer(z_e)
    out = quantizer.eval()(z_e)
    lengths = quantizer.codebook.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(16))
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


def test_unpicked_codes_keep_their_size_from_the_first_step():
    # The cold start of well-known code: counts from 0 beside sums from the codebook
    # give norms of 10^6 after one step.
    quantizer = VectorQuantizer(64, 2, patience=0, kmeans_steps=0)
    before = quantizer.codebook.clone()
    codes = quantizer(torch.zeros(1, 2, 2, 2)).codes
    unpicked = torch.ones(64, dtype=torch.bool)
    unpicked[codes.flatten()] = False
    torch.testing.assert_close(quantizer.codebook[unpicked], before[unpicked])


def test_a_code_that_nothing_chooses_keeps_its_place_for_ever():
    # Its count and its sum fade until they leave the range of float32; their ratio is
    # then noise, or 0 / 0 = NaN where the processor flushes small numbers to zero.
    quantizer = VectorQuantizer(2, 2, decay=0.5, patience=0, kmeans_steps=0)
    far = quantizer.codebook[1] = quantizer.sums[1] = torch.tensor([12.3, -45.6])
    z_e = torch.randn(1, 2, 1, 2)
    flushing = torch.set_flush_denormal(True)
    for _ in range(300):
        quantizer(z_e)
    if flushing:
        torch.set_flush_denormal(False)
    torch.testing.assert_close(quantizer.codebook[1], far, rtol=1e-4, atol=0)
    assert quantizer.codebook.isfinite().all()


@pytest.mark.parametrize("ema", [True, False])
def test_kmeans_start_finds_the_clusters(ema):
    z_e = clusters()
    quantizer = VectorQuantizer(64, 2, seed=0, ema=ema)
    quantizer(z_e)
    error = (z_e - quantizer.lookup(quantizer.encode(z_e))).square().mean()
    assert error < 0.02  # the spread within a cluster; far apart they are 10 or more


@every_kind
def test_equal_vectors_do_not_start_equal_codes(kind):
    z_e = torch.randn(1, 3, 40, 20)
    z_e[:, :, :, 5:] = z_e[:, :, :1, :1]  # three quarters are one and the same
    quantizer = VectorQuantizer(64, 3, patience=0, **kind)
    quantizer(z_e)
    assert len(quantizer.codebook.unique(dim=0)) == 64
    quantizer = VectorQuantizer(64, 3, **kind)
    quantizer(z_e[:, :, :5, 4:])  # fewer different vectors than codes
    assert quantizer.codebook.isfinite().all()


def test_dead_codes_restart_at_encoder_vectors_and_stay_alive():
    quantizer = VectorQuantizer(32, 2, kmeans_steps=0, patience=3)
    quantizer.codebook.add_(1000)  # nothing is near any code
    quantizer.sums.add_(1000)
    z_e = clusters(centres=32)
    for _ in range(60):
        out = quantizer(z_e)
    used = out.codes.unique().numel()
    assert used >= 30
    assert quantizer.codebook.abs().max() < 100
    without = VectorQuantizer(32, 2, kmeans_steps=0, patience=0)
    without.codebook.add_(1000)
    without.sums.add_(1000)
    for _ in range(60):
        out = without(z_e)
    assert out.codes.unique().numel() < 10


def test_dead_codes_of_a_gradient_codebook_restart_too():
    quantizer = VectorQuantizer(32, 2, kmeans_steps=0, patience=3, ema=False)
    with torch.no_grad():
        quantizer.codebook.add_(1000)
    z_e = clusters(centres=32)
    optimizer = torch.optim.Adam(quantizer.parameters(), 0.1)
    for _ in range(60):
        out = quantizer(z_e)
        optimizer.zero_grad()
        out.codebook_loss.backward()
        optimizer.step()
    assert out.codes.unique().numel() >= 28


def test_a_restart_resets_count_sum_and_clock():
    quantizer = VectorQuantizer(4, 2, kmeans_steps=0, patience=2)
    quantizer.codebook[3] = quantizer.sums[3] = 1e4
    quantizer.counts[3] = 1.0
    z_e = torch.randn(1, 2, 8, 8)
    for _ in range(2):
        quantizer(z_e)
    vectors = z_e.permute(0, 2, 3, 1).reshape(-1, 2)
    restarted = quantizer.codebook[3]
    assert (vectors - restarted).abs().sum(1).min() < 1e-6
    torch.testing.assert_close(quantizer.sums[3], restarted * quantizer.counts[3])
    assert quantizer.idle[3] == 0


@every_kind
@pytest.mark.parametrize("how", ["eval", "no_grad", "encode"])
def test_looking_never_changes_state(how, kind):
    quantizer = VectorQuantizer(16, 3, **kind)
    quantizer(torch.randn(2, 3, 4, 4))
    before = {k: v.clone() for k, v in quantizer.state_dict().items()}
    z_e = torch.randn(2, 3, 4, 4)
    if how == "eval":
        quantizer.eval()(z_e)
    elif how == "no_grad":
        with torch.no_grad():
            quantizer(z_e)
    else:
        quantizer.encode(z_e)
    for key, value in quantizer.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_training_moves_the_state():
    quantizer = VectorQuantizer(16, 3)
    before = quantizer.codebook.clone()
    quantizer(torch.randn(2, 3, 4, 4))
    assert not torch.equal(before, quantizer.codebook)


@every_kind
def test_grids_need_not_be_square_and_decoding_matches_the_training_path(kind):
    quantizer = VectorQuantizer(16, 3, seed=2, kmeans_steps=0, patience=0, **kind)
    z_e = torch.randn(2, 3, 8, 4)
    with torch.no_grad():
        decoded = quantizer.lookup(quantizer.encode(z_e))
    out = quantizer(z_e)  # moves the codebook, but after the choice
    assert out.codes.shape == (2, 8, 4)
    torch.testing.assert_close(out.z_q, decoded)
    out = quantizer.eval()(z_e)
    torch.testing.assert_close(quantizer.lookup(out.codes), out.z_q)
    b, i, j = 1, 6, 3
    looked_for = z_e[b, :, i, j]
    codebook = quantizer.codebook
    if quantizer.cosine:
        looked_for = looked_for / looked_for.norm()
        codebook = codebook / codebook.norm(dim=1, keepdim=True)
    distances = (codebook - looked_for).square().sum(1)
    assert out.codes[b, i, j] == distances.argmin()


def test_same_seed_same_codebook():
    z_e = clusters()
    runs = []
    for seed in (0, 0, 1):
        quantizer = VectorQuantizer(16, 2, patience=2, seed=seed)
        for _ in range(5):
            quantizer(z_e)
        runs.append(quantizer.codebook)
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@every_kind
def test_a_resumed_training_goes_on_as_an_uninterrupted_one(kind):
    batches = [clusters(seed=step) for step in range(8)]
    straight = VectorQuantizer(16, 2, patience=2, **kind)
    for z_e in batches:
        straight(z_e)
    first = VectorQuantizer(16, 2, patience=2, **kind)
    for z_e in batches[:4]:
        first(z_e)
    second = VectorQuantizer(16, 2, patience=2, **kind)
    second.load_state_dict(first.state_dict())
    for z_e in batches[4:]:
        second(z_e)
    for key, value in straight.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@every_kind
def test_on_a_pretended_gpu_all_tensors_are_there_and_nothing_waits_for_it(
    kind, monkeypatch
):
    # A tensor left on the CPU raises here, and so does whatever asks for a value.
    monkeypatch.setattr(
        "torch.cuda.amp.common.amp_definitely_not_available", lambda: False
    )
    with FakeTensorMode():
        try:
            torch.zeros(1, device="cuda")
        except RuntimeError:
            pytest.skip("this build of torch knows no GPU")
        with torch.device("cuda"):
            quantizer = VectorQuantizer(64, 6, patience=2, **kind)
        for _ in range(4):
            z_e = torch.randn(2, 6, 8, 4, device="cuda", requires_grad=True)
            with torch.autocast("cuda", torch.float16):
                out = quantizer(z_e.half())
            assert {t.device.type for t in out} == {"cuda"}
            assert out.z_q.dtype == torch.float16
        assert quantizer.lookup(quantizer.encode(z_e)).device.type == "cuda"


@every_kind
def test_backward_leaves_no_tensor_on_the_cpu(kind):
    quantizer = VectorQuantizer(64, 6, patience=2, **kind).to("meta")
    for _ in range(4):
        z_e = torch.randn(2, 6, 8, 4, device="meta", requires_grad=True)
        out = quantizer(z_e)
        (out.z_q.sum() + out.commitment_loss + out.codebook_loss).backward()
        assert z_e.grad.device.type == "meta"
        if not quantizer.ema:
            assert quantizer.codebook.grad.device.type == "meta"
