"""WFLW: its markup, and its lists as its archives unpack."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from drf.data import label_check
from drf.data.check import check_files
from drf.data.dataset import open_dataset
from drf.data.synthetic import face_points
from drf.data.wflw import WFLW
from drf.errors import DataError
from drf.landmarks.markup import IBUG68, WFLW98
from tests.data.other_trees import face, wflw_line, write_wflw
from tests.markups import points_of


def opened(root: Path) -> WFLW:
    dataset = open_dataset("wflw", root)
    assert isinstance(dataset, WFLW)
    return dataset


def test_mirroring_a_symmetric_face_gives_it_back() -> None:
    """The mean of faces and their mirror images under IBUG68 is symmetric about x = 0."""
    points = np.mean([face_points("train", i, 0) for i in range(30)], axis=0, dtype=np.float64)
    points -= points.mean(axis=0)
    symmetric = (points + points[list(IBUG68.flip)] * [-1, 1]) / 2
    wflw = points_of(WFLW98, symmetric)
    np.testing.assert_allclose(wflw[list(WFLW98.flip)] * [-1, 1], wflw, atol=1e-9)
    on_the_axis = np.flatnonzero(np.abs(wflw[:, 0]) < 1e-9)
    assert [k for k in range(98) if WFLW98.flip[k] == k] == on_the_axis.tolist()
    assert (wflw[[60, 96, 33], 0] < 0).all()  # the right of the face is on the left of a picture


def test_a_pair_that_is_not_exchanged_is_found() -> None:
    points = np.stack([face_points("train", i, 0) for i in range(30)]).astype(np.float64)
    for ibug, markup in ((points, IBUG68), (points_of(WFLW98, points), WFLW98)):
        assert label_check.flip_fault(ibug, markup) is None
        flip = list(markup.flip)
        a = markup.groups["right_brow"][0]
        b = flip[a]
        flip[a], flip[b] = a, b
        said = label_check.flip_fault(ibug, dataclasses.replace(markup, flip=tuple(flip)))
        assert said is not None
        assert "brow, outer end cannot be" in said


def test_names_mirror_with_the_face() -> None:
    names = [WFLW98.title(index).partition(" · ")[2] for index in range(98)]
    swap = {"right": "left", "left": "right"}
    for index, name in enumerate(names):
        mirrored = " ".join(swap.get(word, word) for word in name.split(" "))
        assert names[WFLW98.flip[index]] == mirrored


def test_lists_are_read_with_their_attributes(tmp_path: Path) -> None:
    dataset = opened(write_wflw(tmp_path))
    assert dataset.default_test_subset() == "test"
    test = dataset.subset("test").faces
    assert len(test) == 10
    np.testing.assert_allclose(test[3].points, face(3, WFLW98, 10)[1], atol=1e-4)
    assert test[3].name == "test/7--test/7_test_3"
    assert [f.name for f in dataset.subset("blur").faces] == [test[0].name]
    assert len(dataset.subset("pose").faces) == 5
    train, val = dataset.subset("train").faces, dataset.subset("val").faces
    assert (len(train), len(val)) == (36, 4)
    assert not {f.photo for f in train} & {f.photo for f in val}


def test_two_faces_of_one_picture_have_two_names_and_one_photo(tmp_path: Path) -> None:
    dataset = opened(write_wflw(tmp_path))
    *_, one, other = dataset.subset("test").faces
    assert (one.name, other.name) == ("test/7--test/7_test_8", "test/7--test/7_test_8~2")
    assert one.photo == other.photo
    np.testing.assert_array_equal(dataset.picture(one), dataset.picture(other))


def test_faults_cost_their_own_face(tmp_path: Path) -> None:
    root = write_wflw(tmp_path)
    path = root / "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt"
    lines = path.read_text().splitlines()
    lines[0] = "nan" + lines[0][lines[0].index(" ") :]
    lines[1] = wflw_line(np.full((98, 2), 5), "7--test/7_test_1.jpg")
    (root / "WFLW_images/7--test/7_test_2.jpg").unlink()
    path.write_text("\n".join(lines))
    found = {s.subset: s for s in check_files(opened(root)).subsets}["test"]
    assert found.malformed == {
        "test/7--test/7_test_0": "it has a coordinate that is no place in a picture",
        "test/7--test/7_test_1": "it has all 98 points in one place",
    }
    assert found.missing == [
        "test has 10 of 2500 faces",
        "test/7--test/7_test_2: its picture is missing",
    ]
    assert found.faces == 7
    with pytest.raises(DataError, match="3 of the 10 faces of subset 'test' of wflw"):
        opened(root).subset("test")


@pytest.mark.parametrize("placeholder", [0, -1])
def test_a_placeholder_is_a_missing_landmark(tmp_path: Path, placeholder: int) -> None:
    root = write_wflw(tmp_path)
    path = root / "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt"
    first, *others = path.read_text().splitlines()
    numbers = [str(placeholder)] * 2
    path.write_text("\n".join([" ".join([*numbers, *first.split(" ")[2:]]), *others]))
    points = opened(root).subset("test").faces[0].points
    assert np.isnan(points).all(axis=1).nonzero()[0].tolist() == [0]


@pytest.mark.parametrize(
    ("image", "numbers"), [("../7.jpg", 206), ("/7.jpg", 206), ("7.jpg", 205), ("7.jpg", 146)]
)
def test_lines_of_another_form_are_refused(tmp_path: Path, image: str, numbers: int) -> None:
    path = write_wflw(tmp_path, 2, 2) / "list_98pt_rect_attr_test.txt"
    path.write_text("1 " * numbers + image + "\n")
    with pytest.raises(DataError, match=r"test\.txt, line 1: need 206 numbers"):
        opened(tmp_path)


def test_another_folder_is_not_taken_for_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not the root of WFLW"):
        opened(tmp_path)
