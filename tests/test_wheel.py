"""A wheel, built and installed as a user would: it works, and holds no more than it
should."""

import os
import shutil
import site
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from commands import ROOT, program, python

PACKAGES = ("vqlib", "lessons", "pelvis")
THREE_LINES = """
from vqlib import VQVAE, open_data
data = open_data(None, "smoke")
model = VQVAE(codebook_size=512, dim=8, factor=4)
out = model(data.train.images[:4])
assert out.reconstruction.shape == data.train.images[:4].shape
"""


@pytest.mark.slow
def test_a_built_wheel_works_in_a_clean_environment(tmp_path):
    pytest.importorskip("build")
    source, env = tmp_path / "source", tmp_path / "env"
    no_traces = shutil.ignore_patterns("__pycache__")
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=no_traces)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    python("-m", "build", "--no-isolation", cwd=source)  # through an sdist
    (wheel,) = source.glob("dist/*.whl")

    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    for file in ROOT.glob("vqlib/shipped/**/*.*"):
        assert file.relative_to(ROOT).as_posix() in names
    assert {"lessons/widgets/touch.js", "lessons/widgets/touch.css"} <= set(names)

    venv.create(env, with_pip=False)
    scripts = env / ("Scripts" if os.name == "nt" else "bin")
    its = scripts / Path(sys.executable).name
    alone = ("--no-deps", "--no-index")
    python("-m", "pip", "--python", its, "install", *alone, wheel)
    (packages,) = (p for p in env.rglob("site-packages") if not p.is_symlink())
    # what it depends on is seen where the tests have it; an editable vqlib is not
    seen = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    (packages / "seen.pth").write_text("\n".join([*seen, *site.getsitepackages()]))

    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    how = {"cwd": tmp_path, "env": own | {"VQLIB_HOME": str(tmp_path / "home")}}
    where = program(its, "-c", "import vqlib; print(vqlib.__file__)", **how)
    assert Path(where.strip()).is_relative_to(env)
    program(its, "-c", THREE_LINES, **how)
    assert "sample" in program(scripts / "vqlib", "--help", **how)
    program(scripts / "vqlib", "sample", "--n", 2, "--out", "drawn", **how)
    assert len(list(tmp_path.glob("drawn/keras_slices_train/*.nii.gz"))) == 2
