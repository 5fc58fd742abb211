"""Autoencoders for generation: a coarse grid, a sharp decoder, a label map where asked.

A prior can learn few, telling codes; the decoder has to draw the rest. So the grid is
coarser than for reconstruction, the decoder resizes and convolves (Odena et al. 2016,
doi 10.23915/distill.00003: transposed convolutions leave checkerboards) and is trained
with a `vqlib.models.critic.Critic` (`vqlib.losses.AdversarialObjective`), which makes
the VQ-VAE a VQGAN (Esser et al. 2021, arXiv 2012.09841) and the VAE a VAE-GAN (Larsen
et al. 2016, arXiv 1512.09300). With ``labels`` both are conditioned on a label map:
p(x) = Σ p(map) p(x | map), organs first. What no code says, the grain of bone and the
noise of the scanner, the decoder draws from noise (as in StyleGAN: Karras et al. 2019,
arXiv 1812.04948, section 3.2). Taught in notebook 05.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.models.networks import Encoder, ResidualBlock
from vqlib.models.quantizers import VectorQuantizer
from vqlib.models.vae import VAE, VAEOutput, reparameterise
from vqlib.models.vqvae import VQVAE, VQVAEOutput


def one_hot(labels: Tensor, count: int) -> Tensor:
    """Label maps [B, H, W] as one channel for each label: [B, count, H, W] float32."""
    return F.one_hot(labels.long(), count).movedim(-1, 1).float()


def map_channels(labels: Tensor, count: int) -> Tensor:
    """What models of slices see of label maps [B, H, W]: the most frequent label of
    3 x 3 pixels, one channel for each, [B, count, H, W] float32. Lines of one pixel,
    such as the gap of a joint, are left out: drawn maps lack them, so no decoder may
    learn to rely on them."""
    shares = F.avg_pool2d(one_hot(labels, count), 3, stride=1, padding=1)
    return one_hot(shares.argmax(1), count)


class SharpDecoder(nn.Module):
    """A grid of vectors to slices, each doubling a resize and a convolution.

    Args:
        factor: pixels per grid position along each axis; a power of two.
        in_channels: D.
        width: channels on the grid; 3/4 and 3/8 of them on the next two resolutions,
            and half of that on any finer one.
        labels: how many labels the map has that every resolution sees, as it sees the
            noise, with variance 1; 0: no map.
    """

    def __init__(self, factor: int, in_channels: int, width: int, labels: int = 0):
        super().__init__()
        self.factor, self.in_channels, self.labels = factor, in_channels, labels
        count = factor.bit_length()
        widths = [width, width * 3 // 4, width * 3 // 8, width // 6, width // 12][
            :count
        ]
        before = [in_channels, *widths]
        self.convs = nn.ModuleList(
            nn.Conv2d(a + labels + 1, b, 3, padding=1)
            for a, b in zip(before, widths, strict=False)
        )
        self.blocks = nn.ModuleList(ResidualBlock(w) for w in widths)
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(
        self, z: Tensor, labels: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """[B, D, h, w], label maps [B, H, W] and noise of N(0, 1), [B, 1, H, W], which
        is drawn where none is given -> [B, 1, H, W]."""
        x, noise = z, self.noise(z) if noise is None else noise
        maps = map_channels(labels, self.labels) if self.labels else None
        for i, (conv, block) in enumerate(zip(self.convs, self.blocks, strict=True)):
            if i:
                x = F.interpolate(F.relu(x), scale_factor=2.0)
            pixels = self.factor >> i  # of a slice, along a side of one of these
            planes = [] if maps is None else [F.avg_pool2d(maps, pixels)]
            grain = pixels * F.avg_pool2d(noise, pixels)  # of variance 1 again
            x = block(conv(torch.cat([x, *planes, grain], dim=1)))
        return self.head(F.relu(x))

    def noise(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """N(0, 1) for codes or latents [B, …, h, w]: [B, 1, H, W]. A generator lies on
        the CPU, so that its seed means the same noise on every device."""
        where = z.device if generator is None else "cpu"
        shape = (len(z), 1, *(self.factor * side for side in z.shape[-2:]))
        return torch.randn(shape, generator=generator, device=where).to(z.device)


class SharpVQVAE(VQVAE):
    """A VQ-VAE with a `SharpDecoder`, given label maps where ``labels`` is not 0.

    Args:
        codebook_size: K.
        dim: D.
        factor, width: of the networks; see `SharpDecoder`.
        labels: how many labels a map has, or 0.
        quantizer: a ready one.

    >>> import torch
    >>> model = SharpVQVAE(256, dim=8, factor=8, width=48, labels=6)
    >>> x, labels = torch.rand(2, 1, 64, 32), torch.zeros(2, 64, 32, dtype=torch.uint8)
    >>> model(x, labels).codes.shape, model.reconstruct(x, labels).shape
    (torch.Size([2, 8, 4]), torch.Size([2, 1, 64, 32]))
    """

    def __init__(
        self,
        codebook_size: int = 256,
        dim: int = 8,
        factor: int = 8,
        width: int = 128,
        labels: int = 0,
        quantizer: VectorQuantizer | None = None,
    ):
        super().__init__(
            quantizer=quantizer or VectorQuantizer(codebook_size, dim),
            encoder=Encoder(factor, dim, width, 1, 1 + labels),
            decoder=SharpDecoder(factor, dim, width, labels),
        )

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """[B, 1, H, W], [B, H, W] -> codes [B, h, w] int64; changes no state."""
        return self.quantizer.encode(self.encoder(_with_map(self, x, labels)))

    def decode(
        self, codes: Tensor, labels: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """codes [B, h, w], [B, H, W], [B, 1, H, W] -> [B, 1, H, W]."""
        return self.decoder(self.quantizer.lookup(codes), labels, noise)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> VQVAEOutput:
        z_q, codes, *losses = self.quantizer(self.encoder(_with_map(self, x, labels)))
        return VQVAEOutput(self.decoder(z_q, labels), codes, *losses)

    def reconstruct(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """There and back: [B, 1, H, W] -> [B, 1, H, W]."""
        return self.decode(self.encode(x, labels), labels)


class SharpVAE(VAE):
    """A VAE with a `SharpDecoder`, given label maps where ``labels`` is not 0.

    Args:
        latent_channels: L.
        factor, width, labels: see `SharpVQVAE`.
    """

    def __init__(
        self,
        latent_channels: int = 8,
        factor: int = 8,
        width: int = 128,
        labels: int = 0,
    ):
        n = latent_channels
        super().__init__(
            n,
            encoder=Encoder(factor, 2 * n, width, 1, 1 + labels),
            decoder=SharpDecoder(factor, n, width, labels),
        )

    def encode(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, 1, H, W], [B, H, W] -> mean and log-variance, each [B, L, h, w]."""
        return super().encode(_with_map(self, x, labels))

    def decode(
        self, z: Tensor, labels: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """[B, L, h, w], [B, H, W], [B, 1, H, W] -> [B, 1, H, W]."""
        return self.decoder(z, labels, noise)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> VAEOutput:
        mu, logvar = self.encode(x, labels)
        z = reparameterise(mu, logvar)
        return VAEOutput(self.decode(z, labels), mu, logvar)

    def reconstruct(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Decode a draw from q(z|x): [B, 1, H, W] -> [B, 1, H, W]."""
        return self(x, labels).reconstruction


def _with_map(model: VQVAE | VAE, x: Tensor, labels: Tensor | None) -> Tensor:
    count = model.decoder.labels
    return torch.cat([x, map_channels(labels, count)], dim=1) if count else x
