import cv2
import numpy as np
import pytest

from drf.data.check import check_dataset
from drf.data.w300 import TEST_SIZES, in_val, photo_of
from tests.data.made_up import picture_of, points_of, pts_text, write_folder, write_picture


@pytest.fixture
def tree(tmp_path):
    """A small training set and a whole Helen test set without a fault."""
    write_folder(tmp_path, "afw", 20)
    write_folder(tmp_path, "helen/testset", TEST_SIZES["helen/testset"])
    return tmp_path


def report(root) -> dict:
    return {found.subset: found for found in check_dataset(root).subsets}


def test_a_sound_tree_has_no_fault_and_absent_folders_are_none(tree):
    found = report(tree)
    assert {name: subset.n_faults for name, subset in found.items()} == dict.fromkeys(found, 0)
    assert found["train"].faces + found["val"].faces == 20
    assert {name: subset.state for name, subset in found.items()} == {
        "train": "partial",
        "val": "partial",
        "helen": "present",
        "lfpw": "absent",
        "common": "partial",
        "challenging": "absent",
        "full": "partial",
    }
    assert found["full"].absent == ["lfpw/testset", "ibug"]


def test_each_kind_of_fault_is_counted_where_it_belongs(tree):
    helen = tree / "helen/testset"
    (helen / "1000_1.jpg").unlink()
    (helen / "1001_1.pts").unlink()
    jpeg = (helen / "1002_1.jpg").read_bytes()
    (helen / "1002_1.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (helen / "1003_1.jpg").write_bytes(b"")
    (helen / "1004_1.pts").write_text(pts_text(points_of("any")[:67]))
    outside = points_of("any")
    outside[5] = -3, 10
    (helen / "1005_1.pts").write_text(pts_text(outside))
    for suffix in (".jpg", ".pts"):
        (helen / f"1006_1{suffix}").unlink()
    found = report(tree)["helen"]
    assert found.missing == [
        "helen/testset holds 329 of 330 faces",
        "helen/testset/1000_1: its picture is missing",
        "helen/testset/1001_1: its .pts is missing",
    ]
    assert list(found.unreadable) == ["helen/testset/1002_1", "helen/testset/1003_1"]
    assert list(found.malformed) == ["helen/testset/1004_1"]
    assert found.outside == ["helen/testset/1005_1"]
    assert found.faces == 330 - 1 - 2 - 2 - 1
    assert found.n_faults == 6
    assert report(tree)["train"].n_faults == 0


def test_a_test_face_that_was_copied_into_training_is_a_fault(tree):
    name = next(f"lfpw/trainset/copy{i}" for i in range(99) if not in_val(photo_of(f"x/copy{i}")))
    (tree / "lfpw/trainset").mkdir(parents=True)
    for suffix in (".jpg", ".pts"):
        source = tree / f"helen/testset/1010_1{suffix}"
        (tree / f"{name}{suffix}").write_bytes(source.read_bytes())
    found = report(tree)
    assert found["helen"].copies == [("helen/testset/1010_1", name)]
    assert found["helen"].same_photo == [("helen/testset/1010_1", name)]
    assert found["full"].n_faults == found["helen"].n_faults == 1
    assert found["train"].n_faults == 0


def test_a_photo_in_another_size_quality_and_annotation_is_noted(tree):
    original = "helen/testset/1011_1"
    smaller = cv2.resize(picture_of(original), (36, 36), interpolation=cv2.INTER_AREA)
    wobble = np.random.default_rng(0).normal(0, 0.15, (68, 2))
    points = (points_of(original) + 0.5) * 36 / 48 - 0.5 + wobble
    write_picture(tree / "afw/another_1.png", smaller)
    (tree / "afw/another_1.pts").write_text(pts_text(points))
    found = report(tree)["helen"]
    assert found.same_photo == [(original, "afw/another_1")]
    assert found.copies == []
    assert found.n_faults == 0


def test_the_smallest_box_is_that_of_the_landmarks(tree):
    names = [f"helen/testset/{1000 + i}_1" for i in range(330)]
    sides = [1.25 * np.ptp(points_of(name), axis=0).max() for name in names]
    assert report(tree)["helen"].smallest_box_px == pytest.approx(min(sides), rel=1e-5)


def test_the_real_faces_are_sound(real_faces):
    found = report(real_faces)
    assert {name: subset.n_faults for name, subset in found.items()} == dict.fromkeys(found, 0)
    assert found["helen"].same_photo == []
    for val, train in found["val"].same_photo:  # LFPW holds some photos under several numbers
        assert val.startswith("lfpw/")
        assert train.startswith("lfpw/")
