"""Whatever a user may give wrongly: one line says what is wrong, and nothing is done.

A row of `ROWS` is a command and words of its line; | stands between different last
words, each of which stands for {}.
"""

import shlex

import nbformat
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook
from pandas import DataFrame
from scan_files import series, write_volume
from slice_files import write_study

from lessons.refresh import KERNEL
from vqlib.cli import main

ROWS = r"""
nope                                   unknown command 'nope'
--nope                                 No such option '--nope'
trian vae                              did you mean 'train'
data nope                              unknown command 'nope'; known: check, convert
notebooks nope                         unknown command 'nope'; known: refresh
train                                  Missing argument 'MODEL'; see
train vqvea                            did you mean 'vqvae'
train vae --profil quick               No such option
train vae --profile ful                did you mean 'full'
train vae --device gpu9                Available names are: auto
train vae --device cuda                accelerator is not available
train vae --precision 16-mixed         Invalid value for '--precision'
train vae --devices 0                  Invalid value for '--devices'
train vae --seed -1                    seed must be from 0 to 4294967295, not -1
train vae --seed abc                   Invalid value for '--seed'
train vae --run '|.|a/b|a:b|a.| a|a\nb|NUL'   not a plain folder name
train vae --run LONG                   at most 200 bytes
train vae -p epoch 3                   unknown setting 'epoch'; did you mean 'epochs'
train vae -p name x                    unknown setting 'name'
train vae -p epochs 3 -p steps 4       steps and epochs were both given; leave one out
train vae -p prior_epochs 3 -p prior_steps 4   were both given; leave one out
train vae -p augment maybe             augment must be bool
train vae -p epochs '1.5|'             epochs must be int
train vae -p learning_rate nan         learning_rate must be from
train vae -p flip true                 set augment to true as well
train vae -p size '64|0x0'             size '{}' is not of the form 128x64
train vae -p size 16x8 -p grid 4x2     size 16x8 is out of range: sides of 16 to
train vae -p size 4096x2048 -p grid 64x32      out of range
train vae -p grid 32                   grid '32' is not of the form
train vae -p grid '32x32|1x1'          grid {} does not fit slices of 64x32
train vae -p phantom_patients 1,2      is not of the form 16,4,5
train vqvae -p quantizer gradiant      did you mean 'gradient'
train prior -p prior_heads 5           5 prior_heads cannot share prior_dim
train vqvae -p quantizer fsq -p codebook_size 64       4x4 make 16 codes
train vqvae -p quantizer fsq -p fsq_levels 4,4         not of the form
train vqvae -p quantizer fsq -p fsq_levels 8x2         in whole numbers from 3
train vae -p generator_grid 2x1        cannot be halved twice
train vae -p maps_grid 3x3             maps_grid 3x3 does not fit slices of 64x32
train prior                            holds no trained model; run
train vae --data-dir none              does not exist
train vae --data-dir file              not a folder
train vae --data-dir 'empty|scans'     {} has no folder keras_slices_train
train vae --data-dir study/keras_slices_train  did you mean study?
train segmenter --data-dir study       has no labels to train a segmenter on
train vae -p batch_size 99             do not fill one batch of 99
train vae -p size 100x50 -p grid 25x12   does not fit slices
sample                                 Missing option '--out'
sample --out new --n 0                 samples must be from 1
sample --out new --n many              Invalid value for '--n'
sample --out study                     samples must not get among scans
sample --out study/new/er              lies in the data folder
sample --out study/keras_slices_seg_test       choose a folder outside
sample --out study/keras_slices_train/new      samples must not get among scans
sample --out empty/keras_slices_test   lies in the data folder
sample --out new --family gan          unknown family 'gan'
sample --out new --position 2          position must be from 0 to 1
sample --out new --seed -1             seed must be from 0
sample --out new --temperature -1      temperature must be from 0
sample --out new --guidance 101        guidance must be from 0 to 100
sample --out new --labels none         none does not exist
sample --out new --labels file         file is truncated or no NIfTI file
sample --out new --run none            make it with `vqlib train
sample --out new --run a/b             not a plain folder name
results --run broken                   metrics.json is not valid JSON
tutorial --profile quik                did you mean 'quick'
tutorial --seed -1                     seed must be
tutorial --data-dir none               none is not a folder
tutorial --timeout 0                   Invalid value for '--timeout'
tutorial --only 9                      unknown notebook '9'
tutorial -p seed 3                     as --seed 3
tutorial -p codebok_size 9             did you mean
tutorial -p codebook_size many         codebook_size must be int, not 'many'
tutorial -p codebook_size 0            codebook_size must be from
notebooks refresh --only 9             unknown notebook '9'
data phantom new --patients '3,a|4,4'  such as 12,4,5
data phantom new --patients 1,1,-1     must be a whole number from 1
data phantom new --patients 900,90,90  too many
data phantom new --weeks 0             Invalid value for '--weeks'
data phantom new --weeks 1000          weeks must be a whole number from 1 to 999
data phantom new --slices 0            Invalid value for '--slices'
data phantom new --slices 1000         slices must be
data phantom new --slices 4 --volumes  slices of a volume must be a whole number from 5
data phantom new --seed -1             seed must be
data phantom study                     already holds files
data phantom file                      is a file
data phantom file/new                  file: cannot write there
data convert none new                  none does not exist
data convert file new                  file is a file
data convert empty new                 holds no NIfTI volumes
data convert scans 'scans|scans/new'   lies in scans
data convert scans study               already holds slices that no conversion made
data convert scans notebooks           already holds files that no conversion made
data convert scans file                is a file
data convert study new                 holds slices already, and no scans
data convert scans new --plane cornal  did you mean 'coronal'
data convert scans new --grid '40|256x12.5'    --grid '{}' must be two whole numbers
data convert scans new --grid 0x128    grid [0, 128] must be
data convert scans new --spacing 1.6   --spacing '1.6' must be
data convert scans new --spacing 0x1   spacing [0.0, 1.0] must be
data convert scans new --spacing nanx1         must be two lengths
data convert scans new --slices 0      slices must be
data convert scans new --processes 0   Invalid value for '--processes'
data check 'none|file|empty|scans'     {} has faults: 1
data fetch --collection bet            did you mean 'beta'
data fetch new --collection prostatx   did you mean 'prostatex'
data fetch new --collection delta      no series of delta is coronal
data fetch new --description flair     has 'flair' in its description
data fetch new --patients 0            --patients '0' must be
data fetch new                         nothing was downloaded; --yes answers
data fetch --yes 'study|file'          {} is there, and not of a fetch
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Slices, scans, a notebook, a file, an empty folder and a broken result."""
    home = tmp_path_factory.mktemp("home")
    write_study(home / "study", (2, 2, 2))
    write_volume(home / "scans" / "p1.nii.gz")
    (home / "file").write_text("mine")
    (home / "empty").mkdir()
    broken = home / "runs" / "broken" / "vae"
    broken.mkdir(parents=True)
    (broken / "metrics.json").write_text("{")
    lines = "profile: str = 'quick'\ndata_dir: str = None\nrun: str = 'quick'\n"
    lines += "seed: int = 0\ndevice: str = 'auto'\ncodebook_size: int = None"
    cell = new_code_cell(lines, metadata={"tags": ["parameters"]})
    (home / "notebooks").mkdir()
    notebook = new_notebook(cells=[cell], metadata=KERNEL)
    nbformat.write(notebook, home / "notebooks" / "01_first.ipynb")
    return home


@pytest.fixture(autouse=True)
def there(home, monkeypatch):
    for name, value in {"VQLIB_HOME": str(home), "VQLIB_CACHE": "off"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home)
    index = [series(f"1.{n}", f"p{n}") for n in range(3)]
    index += [series("2.1", "a", collection="beta")]
    index += [series("3.1", "a", "dyn_tra", collection="delta")]
    monkeypatch.setattr("pelvis.fetch.read_index", lambda: DataFrame(index))
    monkeypatch.setattr("pelvis.fetch.citations", lambda d: dict.fromkeys(d, "cite"))
    monkeypatch.setattr("pelvis.fetch.transfer", pytest.fail)


def tree(home):
    return {p: (p.lstat().st_size, p.lstat().st_mtime_ns) for p in home.rglob("*")}


def refused(home, words):
    """The one line that a command ends with; it leaves everything as it was."""
    before = tree(home)
    result = CliRunner().invoke(main, words, input="")
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    said = [line for line in result.stderr.splitlines() if "error" in line.lower()]
    assert len(said) == 1, result.stderr
    assert result.stderr.endswith(said[0] + "\n")
    assert said[0].startswith("error: ")
    assert tree(home) == before
    return said[0]


def cases():
    for row in ROWS.strip().splitlines():
        command, words = (part.strip() for part in row.split("  ", 1))
        *given, last = shlex.split(command)
        for value in last.split("|"):
            yield [*given, value], words.format(value)


@pytest.mark.parametrize(("given", "words"), [*cases()])
def test_a_command_is_refused(home, given, words):
    long = {"LONG": "x" * 300, "a\\nb": "a\nb"}
    given = [long.get(word, word) for word in given]
    if given[0] == "train" and "--profile" not in given:
        given += ["--profile", "smoke"]
        given += [] if "--data-dir" in given else ["--data-dir", "study"]
    assert words in refused(home, given)
