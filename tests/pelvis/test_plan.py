"""Numbers, weeks and splits."""

from dataclasses import replace
from pathlib import Path

import pytest

from pelvis.plan import Scan, plan
from pelvis.sources import Source, nifti_sources


def sources(*names):
    folder = Path("scans")
    found, faults = nifti_sources(folder, [folder / name for name in names])
    assert not faults
    return found


def others(count, first=0):
    return sources(*(f"man{n}.nii" for n in range(first, first + count)))


def splits(scans):
    return {scan.case: scan.split for scan in scans.values()}


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
    found = list(splits(plan(others(patients), {}, seed=0)).values())
    assert found.count("validate") == found.count("test") == held_out
    assert found.count("train") == patients - 2 * held_out


def test_the_seed_decides():
    one, same, other = (plan(others(40), {}, seed) for seed in (0, 0, 1))
    assert one == same
    assert splits(one) != splits(other)


def test_numbers_follow_names_and_patients_keep_one():
    scans = plan(
        sources("p10_b.nii", "p9_T2w.nii", "p10_a.nii", "B007_Week2.nii"), {}, 0
    )
    found = {name: (scan.case, scan.week) for name, scan in scans.items()}
    assert found == {
        "p9_T2w.nii": (101, 0),
        "p10_a.nii": (102, 0),
        "p10_b.nii": (102, 1),
        "B007_Week2.nii": (7, 2),
    }


def test_weeks_that_names_tell_come_before_those_that_are_free():
    scans = plan(sources("p1_a.nii", "p1_week0.nii", "p1_b.nii"), {}, 0)
    assert {name: scan.week for name, scan in scans.items()} == {
        "p1_week0.nii": 0,
        "p1_a.nii": 1,
        "p1_b.nii": 2,
    }


def test_a_dicom_series_and_a_nifti_of_one_patient():
    series = Source("d", (Path("1.dcm"),), "p1", series="1.2", when=((-1, "x"),))
    scans = plan([series, *sources("p1_T1w.nii")], {}, 0)
    assert {scan.case for scan in scans.values()} == {101}
    assert {scan.week for scan in scans.values()} == {0, 1}


def test_what_was_planned_stays():
    """Numbers, splits and stamps, also when others come and go."""
    first = plan(others(12), {}, seed=0)
    first["man3.nii"] = replace(first["man3.nii"], stamp="abc")
    for now in (others(12), others(30), others(5), others(12, first=6)):
        scans = plan(now, first, seed=0)
        assert {name: scans[name] for name in first} == first
        cases = {(scan.case, scan.week) for scan in scans.values()}
        assert len(cases) == len(scans)
    held_out = list(splits(plan(others(30), first, seed=0)).values())
    assert held_out.count("validate") == held_out.count("test") == 3


def test_a_scan_that_was_moved_keeps_its_place():
    known = {"old/B009_Week1.nii": Scan("case_009", 9, 1, "train", "abc")}
    scans = plan(sources("new/B009_Week1.nii"), known, 0)
    assert scans == {"new/B009_Week1.nii": Scan("case_009", 9, 1, "train")}


def test_numbers_beyond_the_release_are_not_taken_twice():
    scans = plan(sources("Case_101_Week0.nii", "man.nii"), {}, 0)
    assert {scan.case for scan in scans.values()} == {101, 102}
