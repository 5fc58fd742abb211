"""Other people's VQ-VAEs, with the call that our objective and metrics expect.

Each rival maps slices to a `VQVAEOutput` and has ``encode`` and ``reconstruct``. Those
that are packages come from the extra ``bench``; the best-known notebook is no package,
and is written out from its description (two strided convolutions, 128 channels, two
residual layers of 32, one-hot EMA with decay 0.99: github.com/zalandoresearch/pytorch-
vq-vae).
"""

import torch
import torch.nn.functional as F
from monai.networks.nets import VQVAE as MonaiVQVAE
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from vqlib.models.networks import Decoder, Encoder
from vqlib.models.vqvae import VQVAEOutput


class OneHotEMA(nn.Module):
    """The EMA quantizer of the notebook: one-hot matrices, averages from zero."""

    def __init__(self, size: int, dim: int, decay: float = 0.99, epsilon: float = 1e-5):
        super().__init__()
        self.size, self.decay, self.epsilon = size, decay, epsilon
        self.register_buffer("codebook", torch.randn(size, dim))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.randn(size, dim))

    def encode(self, z_e: Tensor) -> Tensor:
        flat = z_e.movedim(1, -1).flatten(0, 2)
        distances = (
            flat.square().sum(1, keepdim=True)
            + self.codebook.square().sum(1)
            - 2 * flat @ self.codebook.T
        )
        return distances.argmin(1).view(z_e.shape[0], *z_e.shape[2:])

    def forward(self, z_e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        codes = self.encode(z_e)
        one_hot = F.one_hot(codes.flatten(), self.size).to(z_e.dtype)  # [N, K]
        z_q = (one_hot @ self.codebook).view(*codes.shape, -1).movedim(-1, 1)
        if self.training:
            self._update(one_hot, z_e.detach().movedim(1, -1).flatten(0, 2))
        loss = F.mse_loss(z_e, z_q.detach())
        return z_e + (z_q - z_e).detach(), codes, loss

    def _update(self, one_hot: Tensor, flat: Tensor) -> None:
        d, e = self.decay, self.epsilon
        self.counts = d * self.counts + (1 - d) * one_hot.sum(0)
        total = self.counts.sum()
        self.counts = (self.counts + e) / (total + self.size * e) * total
        self.sums = d * self.sums + (1 - d) * one_hot.T @ flat
        self.codebook = self.sums / self.counts[:, None]


class _Residual(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.f = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, hidden, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, width, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x)


class Notebook(nn.Module):
    """The small convolutional VQ-VAE of the best-known notebook."""

    def __init__(self, factor: int, size: int, width: int = 128, dim: int = 64):
        super().__init__()
        down, up, before = [], [], 1
        for after in (width // 2, width) if factor == 4 else (width,):
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
            up = [nn.ConvTranspose2d(after, before, 4, stride=2, padding=1), *up]
            up = [nn.ReLU(), *up] if before > 1 or factor == 2 else up
            before = after
        stack = [_Residual(width, 32), _Residual(width, 32), nn.ReLU()]
        self.encoder = nn.Sequential(
            *down,
            nn.Conv2d(width, width, 3, padding=1),
            *stack,
            nn.Conv2d(width, dim, 1),
        )
        self.quantizer = OneHotEMA(size, dim)
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, width, 3, padding=1),
            *(_Residual(width, 32) for _ in range(2)),
            nn.ReLU(),
            *up,
        )

    def forward(self, x: Tensor) -> VQVAEOutput:
        z_q, codes, loss = self.quantizer(self.encoder(x))
        return VQVAEOutput(self.decoder(z_q), codes, loss)

    def encode(self, x: Tensor) -> Tensor:
        return self.quantizer.encode(self.encoder(x))

    def reconstruct(self, x: Tensor) -> Tensor:
        return self(x).reconstruction


class Monai(nn.Module):
    """MONAI's `VQVAE` with the sizes of its two-dimensional tutorial."""

    def __init__(self, factor: int, size: int):
        super().__init__()
        levels = {2: 1, 4: 2}[factor]
        self.network = MonaiVQVAE(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            channels=(256,) * levels,
            num_res_channels=(256,) * levels,
            num_res_layers=2,
            downsample_parameters=((2, 4, 1, 1),) * levels,
            upsample_parameters=((2, 4, 1, 1, 0),) * levels,
            num_embeddings=size,
            embedding_dim=32,
            ddp_sync=False,
        )

    def forward(self, x: Tensor) -> VQVAEOutput:
        reconstruction, loss = self.network(x)
        return VQVAEOutput(reconstruction, None, loss)

    def encode(self, x: Tensor) -> Tensor:
        return self.network.index_quantize(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self(x).reconstruction


class OtherQuantizer(nn.Module):
    """Our encoder and decoder around the default of vector-quantize-pytorch."""

    def __init__(self, encoder: Encoder, decoder: Decoder, size: int, dim: int):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.quantizer = VectorQuantize(dim, size, accept_image_fmap=True)

    def forward(self, x: Tensor) -> VQVAEOutput:
        z_q, codes, loss = self.quantizer(self.encoder(x))
        return VQVAEOutput(self.decoder(z_q), codes, loss.sum())

    def encode(self, x: Tensor) -> Tensor:
        return self.quantizer(self.encoder(x))[1]

    def reconstruct(self, x: Tensor) -> Tensor:
        return self(x).reconstruction
