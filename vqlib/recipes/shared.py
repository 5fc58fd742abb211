"""What the recipes of autoencoders, priors and the segmenter share."""

from pathlib import Path

from torch import nn
from torch.utils.data import Dataset

from vqlib.data import SliceData, make_loader
from vqlib.profiles import QUANTIZER_SETTINGS, Profile
from vqlib.runs import claim_settings, save_json


def claim(
    folder: Path,
    kind: str,
    profile: Profile,
    data: SliceData,
    seed: int,
    write: bool = True,
) -> None:
    """Tie a folder to what its model depends on; raises `UserError` where it holds one
    that was trained with other settings. One that was trained before a setting existed
    was trained with the setting's default; a folder without any model belongs to nobody
    yet."""
    settings = _settings(profile, data, seed, kind)
    if any(folder.glob("*.safetensors")):
        claim_settings(folder, settings, Profile("").as_dict())
    elif write:
        save_json(folder / "settings.json", settings)


def _settings(profile: Profile, data: SliceData, seed: int, kind: str) -> dict:
    """What a trained part depends on: not on how the phantom was made, which the data's
    fingerprint tells, nor on how samples are drawn; only the prior on the prior's
    settings; only these two on the quantizer's; the segmenter on its own and the size
    alone."""
    ignored = ["phantom_", "guidance"]
    if kind != "segmenter":
        ignored.append("segmenter_")
    if not kind.startswith("prior"):
        ignored += ["prior", "pixelcnn_"]
    elif profile.prior == "pixelcnn":
        ignored += ["prior_dim", "prior_layers", "prior_heads"]
    else:
        ignored.append("pixelcnn_")
    if not kind.startswith(("vqvae", "prior")):
        ignored += QUANTIZER_SETTINGS
    settings = {"seed": seed, "data": data.name, "data_fingerprint": data.fingerprint}
    for key, value in profile.as_dict().items():
        if kind == "segmenter" and not key.startswith(("name", "size", "segmenter_")):
            continue
        if not key.startswith(tuple(ignored)):
            settings[key] = value
    return settings


def mean_losses(objective: nn.Module, dataset: Dataset, batch_size=32) -> dict:
    """Mean over a split of everything that an objective returns."""
    device = next(objective.parameters()).device
    totals: dict[str, float] = {}
    for batch in make_loader(dataset, batch_size):
        size = len(next(iter(batch.values())))
        batch = {key: value.to(device) for key, value in batch.items()}
        for key, value in objective(batch).items():
            totals[key] = totals.get(key, 0.0) + float(value) * size
    return {key: total / len(dataset) for key, total in totals.items()}
