"""Drawing slices: a label map first where the models were trained with one, then the
latents of a slice given the map, then the slice; and where the run holds a `detail`,
what its decoder averages away.

    from vqlib import sample
    drawn = sample(n=16, run="shipped", seed=0)
    drawn.images, drawn.labels                # [16, 1, 128, 64], [16, 128, 64]

A run holds two families: ``vqvae`` draws codes with a transformer, ``vae`` draws
latents with a flow. Taught in notebook 05.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqlib import profiles, recipes, runs
from vqlib.errors import UserError, unknown_name
from vqlib.experiment import Experiment, load_model
from vqlib.models import VQVAE, SharpVAE, SharpVQVAE
from vqlib.priors import LatentFlow, TransformerPrior, map_planes
from vqlib.recipes import LABELS

SHIPPED = "shipped"  # the run that comes with the package
FAMILIES = {"vqvae": ("sharp_vqvae", "prior"), "vae": ("sharp_vae", "flow")}
MAPS = ("maps", "maps_prior")


class Drawn(NamedTuple):
    """Slices that no scanner saw."""

    images: Tensor  # [N, 1, H, W] in [0, 1]
    labels: Tensor | None  # [N, H, W] uint8, that the slices were drawn for
    positions: Tensor  # [N] in [0, 1]


class Generator:
    """The models that draw slices together, in eval mode and on one device.

    Args:
        autoencoder: whose decoder draws.
        prior: over its latents, a transformer or a flow.
        maps, maps_prior: over label maps, where the others are conditioned on them.
        detail: a flow that draws what the decoder averages away; None: none.
    """

    def __init__(
        self,
        autoencoder: SharpVQVAE | SharpVAE,
        prior: TransformerPrior | LatentFlow,
        maps: VQVAE | None = None,
        maps_prior: TransformerPrior | None = None,
        detail: LatentFlow | None = None,
    ):
        self.autoencoder, self.prior = autoencoder, prior
        self.maps, self.maps_prior = maps, maps_prior
        self.detail = detail
        self.device = autoencoder.device

    @classmethod
    def of_run(
        cls, run: str = SHIPPED, family: str = "vqvae", device: str = "cpu"
    ) -> "Generator":
        """The generator of a run folder, or the one that comes with the package; no
        data are needed. Raises `UserError` where a part is missing, is not of this
        version of the model, or was trained over another one than lies beside it."""
        if family not in FAMILIES:
            raise unknown_name("family", family, FAMILIES)
        home = Path(__file__).parent
        folder = home / SHIPPED if run == SHIPPED else runs.run_folder(run)
        parts = [load_part(folder, kind).to(device) for kind in FAMILIES[family]]
        maps, detail = (None, None), None
        if parts[0].decoder.labels:
            maps = [load_part(folder, kind).to(device) for kind in MAPS]
        if family == "vqvae" and (folder / "detail").is_dir():
            detail = load_part(folder, "detail").to(device)
        return cls(*parts, *maps, detail)

    @torch.no_grad()
    def draw_maps(
        self, positions: Tensor, seed: int = 0, temperature: float = 1.0
    ) -> Tensor:
        """Label maps for positions [N] in [0, 1]: [N, H, W] uint8. Raises `UserError`
        where this generator has none."""
        if self.maps is None:
            raise UserError("this generator draws slices without label maps")
        positions = positions.to(self.device)
        codes = self.maps_prior.sample(positions, temperature, seed=seed)
        return recipes.decode_maps(self.maps, codes)

    @torch.no_grad()
    def sample(
        self,
        positions: Tensor,
        seed: int = 0,
        temperature: float = 1.0,
        guidance: float = 1.0,
        labels: Tensor | None = None,
    ) -> Drawn:
        """Draw a slice for each position.

        Args:
            positions: [N] in [0, 1].
            seed: of all draws.
            temperature: of codes; the flow has none.
            guidance: of the prior over latents; 1: none.
            labels: maps to draw for, [H, W] or [N, H, W], at this generator's size
                or a multiple of it; None: drawn first.

        Raises `UserError` for other labels, or where none are wanted.
        """
        model, prior = self.autoencoder, self.prior
        positions = positions.to(self.device)
        how = {"seed": seed + 1, "guidance": guidance}
        if model.decoder.labels:
            if labels is None:
                labels = self.draw_maps(positions, seed, temperature)
            labels = self._fitted(labels, len(positions)).to(self.device)
            how["context"] = map_planes(labels, prior.grid, LABELS)
        elif labels is not None:
            raise UserError("this generator draws slices without label maps")
        if isinstance(prior, TransformerPrior):
            how["temperature"] = temperature
        latents = prior.sample(positions, **how)
        images = self.decode(latents, labels, positions, seed + 2)
        cpu = [None if x is None else x.cpu() for x in (images, labels, positions)]
        return Drawn(*cpu)

    @torch.no_grad()
    def decode(
        self, latents: Tensor, labels: Tensor | None, positions: Tensor, seed: int = 0
    ) -> Tensor:
        """The slices of codes or latents [N, …, h, w], with noise and details of a
        seed: [N, 1, H, W] in [0, 1]."""
        random = torch.Generator().manual_seed(seed)
        noise = self.autoencoder.decoder.noise(latents, random)
        parts = []
        for i in torch.arange(len(latents)).split(64):
            maps = None if labels is None else labels[i]
            images = self.autoencoder.decode(latents[i], maps, noise[i]).clamp(0, 1)
            if self.detail is not None:
                how = (maps, positions[i], seed + int(i[0]))
                images = recipes.add_detail(self.detail, images, *how)
            parts.append(images)
        return torch.cat(parts)

    @torch.no_grad()
    def reconstruct(
        self, images: Tensor, labels: Tensor, positions: Tensor, seed: int = 0
    ) -> Tensor:
        """Slices [N, 1, H, W] through a VQ-VAE's codes and back, as this generator
        would draw them: the best that its prior could do."""
        given = (labels,) if self.autoencoder.decoder.labels else ()
        batches = zip(*(x.split(64) for x in (images, *given)), strict=True)
        codes = [
            self.autoencoder.encode(*(x.to(self.device) for x in batch))
            for batch in batches
        ]
        where = [x.to(self.device) for x in (*given, positions)]
        maps = where[0] if given else None
        return self.decode(torch.cat(codes), maps, where[-1], seed).cpu()

    def _fitted(self, labels: Tensor, n: int) -> Tensor:
        """Label maps at this generator's size, one for each slice; see `sample`."""
        h, w = (side * self.autoencoder.decoder.factor for side in self.prior.grid)
        times = max(1, labels.shape[-1] // w)
        small = labels[..., times // 2 :: times, times // 2 :: times]
        fits = labels.shape[-2:] == (times * h, times * w) and labels.max() < LABELS
        if not fits or labels.shape[:-2] not in ((), (1,), (n,)):
            raise UserError(
                f"label maps of {tuple(labels.shape)} with values to "
                f"{int(labels.max())} do not fit: give one or {n} of {h}x{w}, or of a "
                f"multiple, with values 0 to {LABELS - 1}"
            )
        return small.expand(n, -1, -1)


def sample(
    n: int = 16,
    run: str = SHIPPED,
    family: str = "vqvae",
    position: float | None = None,
    labels: Tensor | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    guidance: float = 1.0,
) -> Drawn:
    """Draw ``n`` slices with the generator of a run, evenly through the volume or all
    at one ``position``, for a label map [H, W] or [n, H, W] where one is given. See
    `Generator.sample`; raises `UserError`.

    >>> drawn = sample(n=2, seed=1)
    >>> drawn.images.shape, drawn.labels.shape
    (torch.Size([2, 1, 128, 64]), torch.Size([2, 128, 64]))
    """
    checked = {"samples": n, "seed": seed, "guidance": guidance}
    for name, value in (checked | {"temperature": temperature}).items():
        profiles.check(name, value)
    positions = (torch.arange(n) + 0.5) / n
    if position is not None:
        positions = torch.full((n,), profiles.check("position", position))
    generator = Generator.of_run(run, family)
    return generator.sample(positions, seed, temperature, guidance, labels)


def load_part(folder: Path, kind: str) -> nn.Module:
    """A model of a run folder as its ``settings.json`` describes it, in eval mode.
    Raises `UserError` where it is missing, or its source is not the one beside it."""
    path, source = folder / kind / "settings.json", recipes.find(kind).source
    if not path.exists():
        raise UserError(
            f"{folder} holds no {kind}; make it with `{_command(folder, kind)}`, or "
            f"choose the run {SHIPPED}"
        )
    made = runs.load_json(path)
    if source and made.get("source") != runs.checkpoint_sum(folder / source):
        raise UserError(
            f"{path.parent} was trained over another {source} than the one beside it; "
            f"delete it and run `{_command(folder, kind)}`, or choose another run"
        )
    settings = profiles.get(made["name"], **profiles.changes(made))
    return load_model(path.parent, recipes.build(kind, settings))


def _command(folder: Path, kind: str) -> str:
    """What trains a part with the settings of those beside it: those of its source
    count most, then its own where it is there."""
    made = {"name": profiles.named_like(folder.name), "data": "phantom", "seed": 0}
    first = [kind, recipes.find(kind).source]
    for path in sorted(
        folder.glob("*/settings.json"),
        key=lambda path: (path.parent.name in first, path.parent.name != kind, path),
    ):
        made |= runs.load_json(path)
    data = None if made["data"] == "phantom" else "DIR"
    given = profiles.changes(made)
    lab = Experiment(made["name"], data, folder.name, made["seed"], "cpu", **given)
    return lab.command(kind)
