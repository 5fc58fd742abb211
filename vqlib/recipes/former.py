"""Until every notebook uses `vqlib.experiment.Experiment`."""

from vqlib.runs import load_json


def _lab(profile, data, run, seed, device="cpu", fabric=None):
    from vqlib.experiment import Experiment

    lab = Experiment("smoke", run=run.name, seed=seed, device=fabric or device)
    lab.settings, lab.run, lab.data = profile, run, data
    return lab


def train(kind, profile, data, run, seed=0, device="auto", on_epoch=None, **more):
    lab = _lab(profile, data, run, seed, device, more.pop("fabric", None))
    return lab.train(kind, on_epoch, **more)


def train_prior(profile, data, run, seed=0, device="auto", on_epoch=None, **more):
    kind = more.pop("kind", "prior")
    return train(kind, profile, data, run, seed, device, on_epoch, **more)


def train_segmenter(profile, data, run, seed=0, device="auto", on_epoch=None, **more):
    model = train("segmenter", profile, data, run, seed, device, on_epoch, **more)
    return model.cpu()


def load(kind, profile, data, run, seed=0):
    return _lab(profile, data, run, seed).load(kind)


def read_metrics(run, kind):
    return load_json(run.folder / kind / "metrics.json")
