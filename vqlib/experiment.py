"""An experiment: settings, data, a run folder, a seed and a device, held together.

It builds, trains, scores and finds again every model of the tutorial, as its recipe
says (`vqlib.recipes`). Everything goes through the run folder, so that each notebook
can be opened on its own, and a training that was interrupted is taken up again.
"""

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from vqlib import recipes, runs, training
from vqlib.data import SliceData, open_data
from vqlib.errors import UserError
from vqlib.profiles import Profile, check, get


class Experiment:
    """What every step of a notebook works with.

    Args:
        profile: "quick" or "full"; or a `Profile`.
        data_dir: slices in the HipMRI layout; None: the phantom, made when missing.
        run: name of the folder under ``runs/``; None: that of the profile.
        seed: of all trainings.
        device: "auto" (a GPU where there is one), "cpu" or "cuda"; or what
            `vqlib.training.make_fabric` gives, for several processes.
        changes: settings other than the profile's, by their flat names; None: the
            profile's value.

    Raises `UserError` for whatever is wrong with these, before any work.

    >>> lab = Experiment("smoke", device="cpu", codebook_size=32)
    >>> lab.settings.autoencoder.codebook_size, lab.settings.prior.layers
    (32, 1)
    >>> lab.build("vqvae").quantizer.codebook.shape
    torch.Size([32, 8])
    """

    def __init__(
        self,
        profile: str | Profile = "quick",
        data_dir: str | Path | None = None,
        run: str | None = None,
        seed: int = 0,
        device: str | Fabric = "auto",
        **changes,
    ):
        profile = get(profile) if isinstance(profile, str) else profile
        self.settings = profile.changed(**changes)
        self.seed = check("seed", seed)
        self.run = runs.run_folder(profile.name if run is None else run)
        ready = isinstance(device, Fabric)
        self.fabric = device if ready else training.make_fabric(device)
        self._data_dir, self._changes = data_dir, changes

    @property
    def device(self) -> torch.device:
        """Where models are trained, and returned by `train` and `load`."""
        return self.fabric.device

    @cached_property
    def data(self) -> SliceData:
        """The slices, opened when they are first asked for."""
        # of several processes the first one makes what is missing
        first, given = self.fabric.is_global_zero, (self._data_dir, self.settings)
        return training.first_then_others(self.fabric, lambda: open_data(*given, first))

    def folder(self, kind: str) -> Path:
        """Where the run keeps a model."""
        return self.run / kind

    def build(self, kind: str) -> nn.Module:
        """An untrained model; its initial weights follow from the seed."""
        return recipes.build(kind, self.settings, self.seed)

    def train(
        self,
        kind: str,
        on_epoch: Callable[[dict[str, list[float]]], None] | None = None,
        compile: bool = False,
    ) -> nn.Module:
        """Train a model, or go on with an interrupted training, or load it where the
        run holds it already; with its scores on the test split in ``metrics.json``.

        ``on_epoch`` is called with the history after each epoch. Returns the best model
        by validation, on ``device``, in eval mode. Raises `UserError` where the run
        holds it with other settings, where another training writes to the same folder,
        and where a prior lacks the model whose latents it is over.
        """
        recipe, folder = recipes.find(kind), self.folder(kind)
        source = self.load(recipe.source) if recipe.source else None
        self._refuse_other_settings(kind)
        if self._is_scored(kind):
            return self.load(kind)
        splits = recipe.splits(self.data, source, self.settings)
        model = self.build(kind)
        if source is not None:
            recipe.attach(model, source, splits)
        schedule = getattr(self.settings, recipe.schedule)
        processes = self.fabric.world_size
        training.check_batch(schedule.batch_size, len(splits.train), processes)
        common = asdict(self.settings.training)
        if recipe.weight_ema is not None:  # its own way, which no setting changes
            common = {"weight_ema": recipe.weight_ema}
        settings = training.FitSettings(
            self.settings.training_epochs(len(splits.train), recipe.schedule),
            schedule.batch_size,
            schedule.learning_rate,
            weight_decay=recipe.weight_decay,
            betas=recipe.betas,
            keep_last=recipe.keep_last,
            seed=self.seed,
            **common,
            compile=compile,
        )
        with ExitStack() as held:
            training.first_then_others(self.fabric, lambda: self._claim(kind, held))
            training.fit(
                recipe.objective(model, self.settings),
                splits.train,
                folder,
                settings,
                lambda objective: recipe.validate(objective, splits.validate),
                self.fabric,
                f"training {kind}",
                recipe.augment(self.settings),
                on_epoch,
            )
            if self.fabric.is_global_zero:
                found = recipe.score(model, splits, self.seed)
                found["checkpoint"] = runs.checkpoint_sum(*self._weights(kind))
                runs.save_json(folder / "metrics.json", found)
            self.fabric.barrier()
        return model

    def load(self, kind: str) -> nn.Module:
        """A trained model from the run folder, on ``device``, in eval mode. Raises
        `UserError`, naming what makes it, where there is none, and where it was made
        with other settings."""
        recipe, folder = recipes.find(kind), self.folder(kind)
        if not (folder / "best.safetensors").exists():
            first = f"notebook {recipe.notebook} first, or " if recipe.notebook else ""
            raise UserError(
                f"{folder} holds no trained model; run {first}`{self.command(kind)}`"
            )
        self._refuse_other_settings(kind)
        return load_model(folder, self.build(kind)).to(self.device)

    def score(self, kind: str) -> dict:
        """The scores of a trained model on the test split, as ``metrics.json`` holds
        them; made anew where they are not those of its weights. Raises `UserError` as
        `load` does."""
        if not self._is_scored(kind):
            self.load(kind)  # raises where there is none
            self.train(kind)
        return runs.load_json(self.folder(kind) / "metrics.json")

    def history(self, kind: str) -> dict[str, list[float]]:
        """Losses and scores by epoch, a list a column."""
        return runs.read_history(self.folder(kind) / "history.csv")

    def command(self, kind: str) -> str:
        """What trains this model from a shell."""
        words = ["vqlib", "train", kind, "--profile", self.settings.name]
        if self._data_dir is not None:
            folder = Path(self._data_dir).expanduser()
            there = folder.resolve() if folder.exists() else folder
            words += ["--data-dir", str(there)]  # from a shell in any folder
        words += ["--run", self.run.name]
        if self.seed:
            words += ["--seed", str(self.seed)]
        for name, value in self._changes.items():
            words += [] if value is None else ["-p", name, str(value)]
        return shlex.join(words)

    def _is_scored(self, kind: str) -> bool:
        """Whether a training has ended, and its scores are those of its weights."""
        folders = self._weights(kind)
        trained = all((folder / "best.safetensors").exists() for folder in folders)
        return trained and runs.read_scores(*folders) is not None

    def _weights(self, kind: str) -> list[Path]:
        """The folders of all weights on which the scores of a model depend."""
        source = recipes.find(kind).source
        return [self.folder(name) for name in (kind, source) if name]

    def _identity(self, kind: str) -> dict:
        """What a model depends on, for ``settings.json``."""
        flat, recipe = self.settings.as_dict(), recipes.find(kind)
        made = {"name": self.settings.name, "seed": self.seed, "data": self.data.name}
        made["data_fingerprint"] = self.data.fingerprint
        if recipe.source:  # a prior fits the latents of these weights alone
            made["source"] = runs.checkpoint_sum(self.folder(recipe.source))
        return made | {name: flat[name] for name in sorted(recipe.settings)}

    def _refuse_other_settings(self, kind: str) -> None:
        """Raise `UserError` where the folder holds a model made with other settings.
        One without any model belongs to no settings yet."""
        folder = self.folder(kind)
        path = folder / "settings.json"
        if not any(folder.glob("*.safetensors")):
            return
        try:
            made = runs.load_json(path)
        except UserError:
            raise UserError(
                f"{path} is missing or broken, so nothing says how the weights beside "
                f"it were trained; choose another run name, or delete {folder}"
            ) from None
        # the file may be older than a setting, whose default then counts
        old, now = Profile("").as_dict() | made, self._identity(kind)
        if differing := sorted(key for key in now if old.get(key) != now[key]):
            key = differing[0]
            raise UserError(
                f"{path} was made with other settings ({key}: {old.get(key)!r} there, "
                f"{now[key]!r} now); choose another run name, or delete {folder}"
            )

    def _claim(self, kind: str, held: ExitStack) -> None:
        """Of several processes the first one keeps the folder for this training."""
        if not self.fabric.is_global_zero:
            return
        folder = self.folder(kind)
        held.enter_context(runs.sole_use(folder))
        self._refuse_other_settings(kind)  # again, now that no one else writes
        path = runs.make_folder(folder) / "settings.json"
        if not path.exists() or not any(folder.glob("*.safetensors")):
            runs.save_json(path, self._identity(kind))


def load_model(folder: Path, model: nn.Module) -> nn.Module:
    """Give a model the best weights of a folder that is called after its kind; in eval
    mode. Raises `UserError` as `vqlib.training.load_weights` does."""
    # where it lies in its objective, which is within another one for a critic
    within = "objective.model." if folder.name.startswith("sharp") else "model."
    training.load_weights(model, folder, within)
    return model.eval()
