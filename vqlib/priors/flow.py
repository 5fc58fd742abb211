"""A prior over a VAE's latents: rectified flow.

A network learns the velocity that carries noise at time 0 to latents at time 1 along
straight lines (`vqlib.losses.FlowObjective`; Lipman et al. 2023, arXiv 2210.02747; Liu
et al. 2023, arXiv 2209.03003). Sampling follows the velocity in a few steps. What the
codes' prior does for a VQ-VAE, this one does for a VAE: N(0, I), which its latents were
pulled towards and never fill, is replaced by a prior that was learned.
Taught in notebook 05.
"""

import math
import warnings
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqlib.models.networks import Model
from vqlib.priors.conditioning import Conditioning, fourier

TIMES = 16  # frequencies of the time's features


class LatentFlow(Model):
    """A small U-Net for the velocity of latents [B, L, h, w] at a time.

    Args:
        channels: L.
        grid: (h, w), multiples of 4.
        width: channels on the grid; twice and three times as many on the coarser two.
        context_channels: C of the context, or 0.

    >>> import torch
    >>> flow = LatentFlow(channels=4, grid=(8, 4), width=16).eval()
    >>> flow.sample(position=torch.tensor([0.2, 0.8]), steps=2).shape
    torch.Size([2, 4, 8, 4])
    """

    def __init__(
        self,
        channels: int = 8,
        grid: tuple[int, int] = (16, 8),
        width: int = 64,
        context_channels: int = 0,
    ):
        super().__init__()
        self.channels, self.grid, w = channels, tuple(grid), width
        # of the train slices' latents; posteriors count, or a collapsed channel, whose
        # means hardly vary, would be blown up to nothing but noise
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))
        self.conditioning = Conditioning(w, context_channels)
        self.place = nn.Parameter(0.02 * torch.randn(w, *grid))
        self.time = nn.Sequential(nn.Linear(2 * TIMES, 2 * w), nn.SiLU())
        self.enter = nn.Conv2d(channels, w, 3, padding=1)
        self.down = nn.ModuleList([_Block(w, w), _Block(2 * w, w), _Block(3 * w, w)])
        self.halve = nn.ModuleList(
            nn.Conv2d(a * w, (a + 1) * w, 4, stride=2, padding=1) for a in (1, 2)
        )
        self.middle = _Block(3 * w, w)
        self.join = nn.ModuleList(nn.Conv2d((2 * a + 1) * w, a * w, 1) for a in (2, 1))
        self.up = nn.ModuleList([_Block(2 * w, w), _Block(w, w)])
        self.leave = nn.Conv2d(w, channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)

    def forward(
        self,
        z: Tensor,
        t: Tensor,
        position: Tensor,
        context: Tensor | None = None,
        unconditional: Tensor | None = None,
    ) -> Tensor:
        """The velocity at z [B, L, h, w] and time t [B]: [B, L, h, w]."""
        e = self.time(fourier(t, TIMES))  # [B, 2 width]
        x = self.enter(z) + self.conditioning(position, context, unconditional)
        x, skips = self.down[0](x + self.place, e), []
        for halve, block in zip(self.halve, self.down[1:], strict=True):
            skips.append(x)
            x = block(halve(x), e)
        x = self.middle(x, e)
        for join, block in zip(self.join, self.up, strict=True):
            x = F.interpolate(x, scale_factor=2.0)
            x = block(join(torch.cat([skips.pop(), x], dim=1)), e)
        return self.leave(F.silu(x))

    def use_latents(self, mu: Tensor, logvar: Tensor) -> None:
        """Take mean and total deviation of each channel from train slices' posteriors,
        [N, L, h, w] twice."""
        self.mean.copy_(mu.mean((0, 2, 3))[:, None, None])
        total = mu.var((0, 2, 3)) + logvar.exp().mean((0, 2, 3))
        self.deviation.copy_(total.sqrt()[:, None, None])

    def standardise(self, z: Tensor) -> Tensor:
        """Latents of the VAE as this network sees them."""
        return (z - self.mean) / self.deviation

    @torch.no_grad()
    def sample(
        self,
        position: Tensor,
        context: Tensor | None = None,
        steps: int = 20,
        seed: int = 0,
        guidance: float = 1.0,
        start: float = 0.0,
    ) -> Tensor:
        """Draw latents of the VAE, one grid for each position [B]: [B, L, h, w].

        Args:
            position: [B] in [0, 1].
            context: [B, C, h, w], where the flow was trained with one.
            steps: of Heun's method, two velocities each.
            seed: of the noise.
            guidance: w of classifier-free guidance, v = v_free + w (v − v_free); 1 is
                none. Doubles the cost.
            start: t to begin at, from the mean latent with noise (SDEdit: Meng et al.
                2022, arXiv 2108.01073). The later, the less is changed on the way.

        Raises:
            UserError: for a condition that does not fit.
        """
        self.conditioning.check(position, context)
        random = torch.Generator(position.device).manual_seed(seed)
        shape = (len(position), self.channels, *self.grid)
        z = torch.randn(shape, generator=random, device=position.device)

        def velocity(z: Tensor, t: float) -> Tensor:
            times = torch.full_like(position, t)
            v = self(z, times, position, context)
            if guidance == 1:
                return v
            free = self(z, times, position, context, torch.ones_like(times).bool())
            return free + guidance * (v - free)

        z, times = (1 - start) * z, torch.linspace(start, 1, steps + 1).tolist()
        for t, after in pairwise(times):
            v = velocity(z, t)
            ahead = velocity(z + (after - t) * v, after)
            z = z + (after - t) * (v + ahead) / 2
        return z * self.deviation + self.mean

    @torch.no_grad()
    def log_prob(
        self,
        z: Tensor,
        position: Tensor,
        context: Tensor | None = None,
        steps: int = 20,
    ) -> Tensor:
        """log p(z | s) in nats of latents of the VAE: [B, L, h, w] -> [B].

        The flow is followed back to the noise; along the way log p changes by the
        divergence of the velocity (Chen et al. 2018, arXiv 1806.07366, eq. 8), which
        a random probe ε estimates without bias as ε·∂v/∂z ε (Grathwohl et al. 2019,
        arXiv 1810.01367, eq. 7). By the midpoint rule, ``steps`` steps.
        """
        self.conditioning.check(position, context)
        pixels = z[0, 0].numel()
        log_p = -pixels * self.deviation.log().sum().expand(len(z)).clone()
        z = self.standardise(z)
        for k in reversed(range(steps)):
            end = torch.full_like(position, (k + 1) / steps)
            middle = torch.full_like(position, (k + 0.5) / steps)
            half = z - self(z, end, position, context) / (2 * steps)
            probe = torch.randint(0, 2, z.shape, device=z.device) * 2.0 - 1
            with warnings.catch_warnings():  # torch's, of its own inside
                warnings.simplefilter("ignore", FutureWarning)
                v, change = torch.func.jvp(
                    lambda x, t=middle: self(x, t, position, context), (half,), (probe,)
                )
            log_p -= (probe * change).flatten(1).sum(1) / steps
            z = z - v / steps
        norm = z.square().flatten(1).sum(1) + z[0].numel() * math.log(2 * math.pi)
        return log_p - 0.5 * norm


class _Block(nn.Module):
    """x + f(x, time): two convolutions, the second one scaled and shifted by time."""

    def __init__(self, width: int, base: int):
        super().__init__()
        groups = max(1, min(8, width // 4))
        self.norm1, self.norm2 = (nn.GroupNorm(groups, width) for _ in range(2))
        self.conv1, self.conv2 = (
            nn.Conv2d(width, width, 3, padding=1) for _ in range(2)
        )
        self.time = nn.Linear(2 * base, 2 * width)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.time(e)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
