import os
from dataclasses import replace
from pathlib import Path

import pytest

from pelvis.plan import plan
from pelvis.scans import Source, find_scans, natural, nifti_sources


def found(*names):
    """name -> source, and the faults."""
    folder = Path("scans")
    sources, faults = nifti_sources(folder, [folder / name for name in names])
    return {source.name: source for source in sources}, faults


def sources(*names):
    sources, faults = found(*names)
    assert not faults
    return list(sources.values())


def others(count, first=0):
    return sources(*(f"man{n}.nii" for n in range(first, first + count)))


def splits(scans):
    return {scan.case: scan.split for scan in scans.values()}


NAMES = [  # a file, its patient and week
    ("Case_004_Week0_LFOV.nii.gz", "case_004", 0),
    ("B006_Week11_LFOV.nii.gz", "case_006", 11),
    ("case_19_week2.nii", "case_019", 2),
    ("sub-01_ses-2_T2w.nii.gz", "sub-01", 2),
    ("deep/down/patient_7_week3.nii.gz", "patient_7", 3),
    ("week3_patient_7.nii.gz", "patient_7", 3),
    ("ProstateX-0000_4_T2tra.nii.gz", "prostatex-0000", None),
    ("T2w_patient 12 cor.nii.gz", "t2w_patient_12", None),
    ("Müller/T2.nii.gz", "Müller/T2", None),
    ("week.nii.gz", "week", None),
]


@pytest.mark.parametrize(("name", "patient", "week"), NAMES)
def test_patient_and_week(name, patient, week):
    (source,) = sources(name)
    assert (source.patient, source.week) == (patient, week)
    assert source.case == (int(patient[5:]) if patient[:5] == "case_" else None)


LABELS = {
    "a/Case_004_Week0_LFOV.nii.gz": "b/Case_004_Week0_SEMANTIC_LFOV.nii.gz",
    "B006_Week0_LFOV.nii.gz": "B006_Week0_SEMANTIC.nii.gz",
    "x/t2.nii": "x/T2_seg.nii",
}


@pytest.mark.parametrize(("image", "label"), LABELS.items())
def test_labels_are_paired(image, label):
    paired, faults = found("y/t2.nii", "y/T2_seg.nii", image, label)
    assert not faults
    assert len(paired) == 2
    assert paired[image].label == Path("scans", label)


FAULTS = [
    (["Case_004_Week0_SEMANTIC.nii.gz"], "is a label without its image"),
    (["Case_004_Week0_LFOV.nii.gz", "B004_Week0_LFOV.nii.gz"], "remove"),
    (["a/Case_004_Week0.nii.gz", "b/Case_004_Week0.nii.gz"], "remove"),
    (["x_3_week1.nii.gz", "x_3_week1_again.nii.gz"], "remove"),
    (["x_3.nii", "x_3.nii.gz"], "remove"),
    (["x_3.nii", "x_3_seg.nii", "x_3_mask.nii"], "remove"),
]


@pytest.mark.parametrize(("names", "words"), FAULTS)
def test_names_that_are_a_fault(names, words):
    right, (fault,) = found(*names, "other_5.nii")
    assert "other_5.nii" in right
    assert words in fault
    assert "\n" not in fault


def test_the_release_is_split_as_hipmri():
    names = [f"Case_{n:03d}_Week{w}_LFOV.nii.gz" for n in range(4, 43) for w in (0, 3)]
    scans = plan(sources(*names), {}, seed=0)
    assert len(scans) == 2 * 39
    assert {scan.week for scan in scans.values()} == {0, 3}
    for case, split in splits(scans).items():
        assert split == ("train" if case < 36 else "validate" if case < 40 else "test")


@pytest.mark.parametrize(
    ("patients", "held_out"), [(1, 0), (2, 0), (3, 1), (14, 1), (30, 3), (96, 10)]
)
def test_a_tenth_each_is_held_out(patients, held_out):
    parts = list(splits(plan(others(patients), {}, seed=0)).values())
    assert parts.count("validate") == parts.count("test") == held_out
    assert parts.count("train") == patients - 2 * held_out


SERIES = Source("d", (Path("1.dcm"),), "p1", series="1.2", when=((-1, "x"),))


# (scans, those that are known, patients and weeks)
NUMBERS = [
    (sources("p10_b.nii", "p9.nii", "p10.nii"), {}, [(101, 0), (102, 0), (102, 1)]),
    (sources("p1_a.nii", "p1_week0.nii"), {}, [(101, 1), (101, 0)]),
    ([SERIES, *sources("p1_T1w.nii")], {}, [(101, 1), (101, 0)]),
    (sources("Case_101_Week0.nii", "man.nii"), {}, [(101, 0), (102, 0)]),
]


@pytest.mark.parametrize(("scans", "known", "numbers"), NUMBERS)
def test_numbers_and_weeks(scans, known, numbers):
    planned = plan(scans, known, 0)
    by_name = sorted(planned, key=natural)
    assert [(planned[n].case, planned[n].week) for n in by_name] == numbers


def test_what_was_planned_stays():
    """Numbers, splits and stamps, also when others come and go."""
    first = plan(others(12), {}, seed=0)
    first["man3.nii"] = replace(first["man3.nii"], stamp="abc")
    for now in (others(12), others(30), others(5), others(12, first=6)):
        scans = plan(now, first, seed=0)
        assert {name: scans[name] for name in first} == first
        assert len({(scan.case, scan.week) for scan in scans.values()}) == len(scans)
    parts = list(splits(plan(others(30), first, seed=0)).values())
    assert parts.count("validate") == parts.count("test") == 3
    assert splits(plan(others(30), {}, seed=1)) != splits(plan(others(30), {}, seed=0))


def test_what_is_found(tmp_path):
    """At any depth, links to folders once, hidden files and pipes never."""
    scans = tmp_path / "scans"
    hidden = (".hidden.nii", ".git/p3.nii", "._p1.nii", "LICENSE.txt")
    for name in ("a/b/p1.nii", "p 2/Täst.NII.GZ", *hidden):
        (scans / name).parent.mkdir(parents=True, exist_ok=True)
        (scans / name).write_bytes(b"")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "p4.nii").write_bytes(b"")
    try:
        os.mkfifo(scans / "p5.nii.gz")
        os.mkfifo(scans / "1.dcm")
        (scans / "there").symlink_to(tmp_path / "real")
        (scans / "again").symlink_to(tmp_path / "real")
        (scans / "a" / "loop").symlink_to(scans)
        (scans / "self.nii.gz").symlink_to(scans / "self.nii.gz")
    except (OSError, AttributeError):
        pytest.skip("this system has no pipes or links")
    sources, faults, notes = find_scans(scans, progress=False)
    names = ["a/b/p1.nii", "again/p4.nii", "p 2/Täst.NII.GZ", "self.nii.gz"]
    assert [source.name for source in sources] == names
    assert (faults, notes) == ([], [])
