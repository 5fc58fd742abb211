import torch


def batch_for(kind, model, shape, size):
    """``size`` items of a model's training set: of a prior latents with what they are
    given, else slices."""
    if kind in ("flow", "detail"):
        latents = (size, model.channels, *model.grid)
        made = {"mu": torch.randn(latents), "logvar": torch.randn(latents)}
    elif "prior" in kind:
        made = {"codes": torch.randint(model.codebook_size, (size, *model.grid))}
    else:
        labels = torch.randint(6, (size, *shape))
        return {"image": torch.rand(size, 1, *shape), "labels": labels}
    if channels := model.conditioning.context_channels:
        made["context"] = torch.randn(size, channels, *model.grid)
    return made | {"position": torch.rand(size)}
