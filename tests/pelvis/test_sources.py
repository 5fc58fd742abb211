"""What names tell: patients, weeks, labels."""

from pathlib import Path

import pytest

from pelvis.sources import natural, nifti_sources


def found(*names):
    """name -> source, and the faults."""
    folder = Path("scans")
    sources, faults = nifti_sources(folder, [folder / name for name in names])
    return {source.name: source for source in sources}, faults


@pytest.mark.parametrize(
    ("name", "patient", "week"),
    [
        ("Case_004_Week0_LFOV.nii.gz", "case_004", 0),
        ("B006_Week11_LFOV.nii.gz", "case_006", 11),
        ("case_19_week2.nii", "case_019", 2),
        ("sub-01_ses-2_T2w.nii.gz", "sub-01", 2),
        ("deep/down/patient_7_week3.nii.gz", "patient_7", 3),
        ("week3_patient_7.nii.gz", "patient_7", 3),
        ("C3N-01003_T1cor.nii.gz", "c3n-01003", None),
        ("ProstateX-0000_4_T2tra.nii.gz", "prostatex-0000", None),
        ("T2w_patient 12 cor.nii.gz", "t2w_patient_12", None),
        ("Müller/T2.nii.gz", "Müller/T2", None),
        ("b/T2.nii.gz", "b/T2", None),
        ("week.nii.gz", "week", None),
    ],
)
def test_patient_and_week(name, patient, week):
    sources, faults = found(name)
    assert not faults
    assert sources[name].patient == patient
    assert sources[name].week == week
    assert sources[name].case == (int(patient[5:]) if patient[:5] == "case_" else None)


def test_labels_of_the_release_are_paired():
    sources, faults = found(
        "images/Case_004_Week0_LFOV.nii.gz",
        "labels/Case_004_Week0_SEMANTIC_LFOV.nii.gz",
        "B006_Week0_LFOV.nii.gz",
        "B006_Week0_SEMANTIC.nii.gz",
    )
    assert not faults
    labels = {source.label.as_posix() for source in sources.values()}
    assert labels == {
        "scans/labels/Case_004_Week0_SEMANTIC_LFOV.nii.gz",
        "scans/B006_Week0_SEMANTIC.nii.gz",
    }
    assert len(sources) == 2


def test_a_name_used_in_many_folders_is_paired_within_each():
    sources, faults = found(*(f"{a}/{b}.nii" for a in "xy" for b in ("t2", "T2_seg")))
    assert not faults
    assert sources["x/t2.nii"].label == Path("scans/x/T2_seg.nii")
    assert sources["y/t2.nii"].label == Path("scans/y/T2_seg.nii")


def test_a_label_without_its_image():
    sources, faults = found("Case_004_Week0_SEMANTIC.nii.gz", "B005_Week0.nii.gz")
    assert list(sources) == ["B005_Week0.nii.gz"]
    assert "Case_004_Week0_SEMANTIC.nii.gz is a label without its image" in faults[0]


@pytest.mark.parametrize(
    "names",
    [
        ("Case_004_Week0_LFOV.nii.gz", "B004_Week0_LFOV.nii.gz"),
        ("a/Case_004_Week0_LFOV.nii.gz", "b/Case_004_Week0_LFOV.nii.gz"),
        ("x_3_week1.nii.gz", "x_3_week1_again.nii.gz"),
        ("x_3.nii", "x_3.nii.gz"),
        ("x_3.nii", "x_3_seg.nii", "x_3_mask.nii"),
    ],
)
def test_twice_the_same(names):
    sources, faults = found(*names, "other_5.nii")
    assert list(sources) == ["other_5.nii"]
    assert len(faults) == 1
    assert "remove" in faults[0]
    assert "\n" not in faults[0]


def test_natural_order():
    names = ["p10", "p9", "P1", "a2b10", "a2b9", "²"]
    assert sorted(names, key=natural) == ["a2b9", "a2b10", "P1", "p9", "p10", "²"]
