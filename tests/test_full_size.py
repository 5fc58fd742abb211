"""The full profile on the CPU: every model of it takes a step, and slices are drawn."""

import pytest
import torch
from made_batches import batch_for

from vqlib import profiles, recipes
from vqlib.generator import FAMILIES, MAPS, Generator

FULL = profiles.get("full", generator_critic_start=0)


@pytest.mark.slow
def test_every_model_takes_a_step_and_slices_are_drawn():
    models = {}
    for kind in recipes.GENERATORS:
        model = models[kind] = recipes.build(kind, FULL)
        objective = recipes.objective_for(kind, model, FULL).train()
        optimizer = torch.optim.AdamW(objective.parameters(), 1e-4)
        before = {k: v.clone() for k, v in model.named_parameters()}
        loss = objective(batch_for(kind, model, FULL.shape, 1))["loss"]
        loss.backward()
        optimizer.step()
        assert loss.isfinite(), kind
        moved = [
            k for k, v in model.named_parameters() if not torch.equal(v, before[k])
        ]
        assert moved, kind
        model.eval()
    for family in FAMILIES.values():
        generator = Generator(*(models[kind] for kind in (*family, *MAPS)))
        drawn = generator.sample(torch.tensor([0.5]))
        assert drawn.images.shape == (1, 1, 256, 128)
        assert drawn.labels.shape == (1, 256, 128)
