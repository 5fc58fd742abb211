import numpy as np
import pytest
import torch

from vqlib.models.quantizers import VectorQuantizer, nearest_codes, straight_through


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


def test_distances_do_not_overflow_in_half_precision():
    codebook = 300 * torch.eye(4)  # squares of 90,000: beyond float16
    vectors = codebook.half() + 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert nearest_codes(vectors, codebook).tolist() == [0, 1, 2, 3]


def test_straight_through_passes_value_and_gradient():
    z_e = torch.randn(3, 4, requires_grad=True)
    z_q = torch.randn(3, 4)
    out = straight_through(z_e, z_q)
    torch.testing.assert_close(out, z_q)
    weights = torch.randn(3, 4)
    (out * weights).sum().backward()
    torch.testing.assert_close(z_e.grad, weights)


def test_gradients_of_forward_match_a_direct_derivation():
    quantizer = VectorQuantizer(8, 3, seed=1).double().eval()
    z_e = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    out = quantizer(z_e)
    weights = torch.randn_like(out.z_q)
    ((out.z_q * weights).sum() + 0.25 * out.commitment_loss).backward()
    expected = weights + 0.25 * 2 * (z_e - quantizer.lookup(out.codes)) / z_e.numel()
    torch.testing.assert_close(z_e.grad, expected)


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


def test_kmeans_start_finds_the_clusters():
    z_e = clusters()
    quantizer = VectorQuantizer(64, 2, seed=0)
    quantizer(z_e)
    error = (z_e - quantizer.lookup(quantizer.encode(z_e))).square().mean()
    assert error < 0.02  # the spread within a cluster; far apart they are 10 or more


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


@pytest.mark.parametrize("how", ["eval", "no_grad", "encode"])
def test_looking_never_changes_state(how):
    quantizer = VectorQuantizer(16, 3)
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


def test_grids_need_not_be_square_and_decoding_matches_the_training_path():
    quantizer = VectorQuantizer(16, 3, seed=2).eval()
    z_e = torch.randn(2, 3, 8, 4)
    out = quantizer(z_e)
    assert out.codes.shape == (2, 8, 4)
    torch.testing.assert_close(quantizer.lookup(out.codes), out.z_q)
    b, i, j = 1, 6, 3
    distances = (quantizer.codebook - z_e[b, :, i, j]).square().sum(1)
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


def _train_on_a_rank(rank, world, port, folder):
    import os

    import torch.distributed as dist

    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=world)
    quantizer = VectorQuantizer(32, 2, patience=2)
    random = torch.Generator().manual_seed(rank)
    for _ in range(6):
        quantizer(torch.randn(2, 2, 4, 4, generator=random))
    np.save(folder / f"{rank}.npy", quantizer.codebook.numpy())
    dist.destroy_process_group()


def test_two_processes_keep_the_same_codebook(tmp_path):
    import socket

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(_train_on_a_rank, (2, port, tmp_path), nprocs=2)
    ours, theirs = (np.load(tmp_path / f"{rank}.npy") for rank in range(2))
    np.testing.assert_array_equal(ours, theirs)
